"""What a disk may hold after a power cut. Pure.

Everything synced is there. What was not synced may be there, may not, may be torn at a sector, or
be there while what was written before it is not; a name that came or went since the folder was
synced may or may not have. POSIX promises no more, and cards keep to that.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from simulators.fault_matrix.storage_shim import Operation

__all__ = ["VARIANTS", "Disk", "Image"]

SECTOR: Final = 512
VARIANTS: Final = ("dropped", "kept", "named only", "torn", "disordered")
_NOT_KEPT: Final = ("-shm", ".ballast")  # mean nothing after a cut

Image = dict[str, bytes]


@dataclass(slots=True)
class Disk:
    """One folder: what is safe, and what the cache still holds."""

    _numbers: dict[int, int] = field(default_factory=dict)  # the file system's -> ours: it reuses
    _safe: dict[int, bytes] = field(default_factory=dict)
    _cached: dict[int, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    _safe_names: dict[str, int] = field(default_factory=dict)
    _cached_names: list[Operation] = field(default_factory=list)
    _made: int = 0

    def take(self, operation: Operation) -> None:
        """Let one operation happen."""
        match operation.kind:
            case "c":
                self._made += 1
                self._numbers[operation.file] = self._made
                self._cached_names.append(Operation("c", self._made, 0, operation.data))
            case "u" | "m":
                self._cached_names.append(operation)
            case "w" | "t" if operation.file in self._numbers:
                self._cached[self._numbers[operation.file]].append(operation)
            case "s" if operation.file in self._numbers:
                number = self._numbers[operation.file]
                self._safe[number] = _written(
                    self._safe.get(number, b""), self._cached.pop(number, [])
                )
            case "s":  # the folder itself
                self._safe_names = _named(self._safe_names, self._cached_names)
                self._cached_names.clear()

    def image(self, variant: str, dice: random.Random) -> Image:
        """Give the folder as it may be, were the power cut now."""
        names = self._cached_names
        if variant == "dropped":
            names = []
        elif variant == "disordered":
            names = [change for change in names if dice.random() < 0.5]  # noqa: PLR2004 - a coin
        return {
            name: self._content(number, variant, dice)
            for name, number in _named(self._safe_names, names).items()
            if not name.endswith(_NOT_KEPT)
        }

    def _content(self, number: int, variant: str, dice: random.Random) -> bytes:
        cached = self._cached.get(number, [])
        if variant in ("dropped", "named only"):
            cached = []
        elif variant == "torn" and cached:
            whole = dice.randrange(len(cached))
            sectors = list(_sectors(cached[whole]))
            cached = [*cached[:whole], *sectors[: dice.randrange(len(sectors) + 1)]]
        elif variant == "disordered":
            share = dice.random()
            cached = [part for one in cached for part in _sectors(one) if dice.random() < share]
        return _written(self._safe.get(number, b""), cached)


def _sectors(operation: Operation) -> Iterator[Operation]:
    """Split a write where a disk may tear it."""
    if operation.kind != "w":
        yield operation
        return
    at, end = operation.at, operation.at + len(operation.data)
    while at < end:
        upto = min(end, (at // SECTOR + 1) * SECTOR)
        yield Operation(
            "w", operation.file, at, operation.data[at - operation.at : upto - operation.at]
        )
        at = upto


def _written(content: bytes, operations: Iterable[Operation]) -> bytes:
    """Give a file after some writes and truncations; what lies between is zeros."""
    octets = bytearray(content)
    for operation in operations:
        end = operation.at if operation.kind == "t" else operation.at + len(operation.data)
        if end > len(octets):
            octets.extend(bytes(end - len(octets)))
        if operation.kind == "t":
            del octets[end:]
        else:
            octets[operation.at : end] = operation.data
    return bytes(octets)


def _named(names: Mapping[str, int], changes: Iterable[Operation]) -> dict[str, int]:
    """Give the folder after some of its names have changed."""
    now = dict(names)
    for change in changes:
        name, _, fresh = change.data.decode().partition("\n")
        match change.kind:
            case "c":
                now[name] = change.file
            case "u":
                now.pop(name, None)
            case "m" if name in now:
                now[fresh] = now.pop(name)
    return now
