"""The privacy canary: looks for secrets in files, however they may have been written down.

A secret is octets: a radio address, an EID, a key, a tag's number. Each becomes needles:

| encoding | needles |
|---|---|
| raw | the octets, also in reverse, as controllers and some databases have them |
| text | hexadecimal, upper and lower, bare and with `:`, `-` and `_`; both octet orders |
| decimal | the number the octets make, both orders |
| escaped | as Python prints octets |
| base64 | standard and URL-safe, at each of the three alignments in a longer stream; both orders |
| md5, sha1, sha256 | of the octets (both orders) and of each hexadecimal spelling: raw and hexadecimal, the first 8 octets, so that a truncated hash is found too |

A keyed or iterated hash cannot be found by looking; that nothing of the kind is computed has to be
read in the source. Needles have at least six octets: B octets of random data hold one of N needles
of six by chance B * N / 2**48 times (1 in 3,000 for 10,000 addresses in 10 MB), while a vendor's
prefix of three would be found everywhere. Secrets should be random for the same reason: an address
of mostly zeros is in every empty page.
"""  # noqa: E501 - a table

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Canary", "Finding", "Secret", "needles"]

SHORTEST: Final = 6  # octets of a secret and of a needle; the window that all are looked up by
_HASHES: Final = ("md5", "sha1", "sha256")
_OF_A_HASH: Final = 8  # octets
_TABLE_BITS: Final = 24
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash, 2**64 / golden ratio
_AT_ONCE: Final = 1 << 22  # octets looked at in one step, which bounds memory


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Octets that must be nowhere; `kind` is what a finding calls them."""

    kind: str
    octets: bytes

    def __repr__(self) -> str:
        return f"Secret({self.kind!r}, redacted)"


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret was found. Which one is not said: a report is a file too."""

    file: Path
    offset: int
    kind: str
    encoding: str


class Canary:
    """Searches for many secrets at once: every six octets of a file are looked up in a table."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        """Write all needles of the secrets.

        Raises:
            ValueError: a secret has fewer than six octets, which chance alone would find.
        """
        self._by_prefix: dict[int, dict[bytes, tuple[str, str]]] = defaultdict(dict)
        for secret in secrets:
            for encoding, needle in needles(secret.octets):
                prefix = int.from_bytes(needle[:SHORTEST])
                self._by_prefix[prefix][needle] = (secret.kind, encoding)
        self._prefixes = np.array(sorted(self._by_prefix), dtype=np.uint64)
        self._table = np.zeros(1 << _TABLE_BITS, dtype=np.bool_)
        self._table[_slots(self._prefixes)] = True

    def search(self, folder: Path, but: Collection[Path] = ()) -> list[Finding]:
        """Search every file under `folder`, except those in `but`."""
        excluded = {path.resolve() for path in but}
        return [
            finding
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.resolve() not in excluded
            for finding in self.search_file(path)
        ]

    def search_file(self, path: Path) -> Iterator[Finding]:
        """Search one file."""
        for offset, kind, encoding in self.find(path.read_bytes()):
            yield Finding(path, offset, kind, encoding)

    def find(self, data: bytes) -> Iterator[tuple[int, str, str]]:
        """Give offset, kind and encoding of each needle in `data`."""
        octets = np.frombuffer(data, dtype=np.uint8)
        for begin in range(0, max(0, len(octets) - SHORTEST + 1), _AT_ONCE):
            for at in self._candidates(octets[begin : begin + _AT_ONCE + SHORTEST - 1]):
                offset = begin + int(at)
                prefix = int.from_bytes(data[offset : offset + SHORTEST])
                for needle, (kind, encoding) in self._by_prefix[prefix].items():
                    if data.startswith(needle, offset):
                        yield offset, kind, encoding

    def _candidates(self, octets: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Give the positions at which a needle's first six octets stand."""
        count = len(octets) - SHORTEST + 1
        windows = np.zeros(count, dtype=np.uint64)
        for n in range(SHORTEST):
            windows <<= np.uint64(8)
            windows |= octets[n : n + count]
        found = np.flatnonzero(self._table[_slots(windows)])
        return found[np.isin(windows[found], self._prefixes)]


def needles(octets: bytes) -> set[tuple[str, bytes]]:
    """Give every needle of a secret, each with the name of its encoding.

    Raises:
        ValueError: it has fewer than six octets.
    """
    if len(octets) < SHORTEST:
        raise ValueError(f"{SHORTEST} octets at least: chance alone would find fewer")
    found: set[tuple[str, bytes]] = set()
    for order in (octets, octets[::-1]):
        found.add(("raw", order))
        found.add(("decimal", str(int.from_bytes(order)).encode()))
        found.add(("escaped", repr(order)[2:-1].encode()))
        found.update(("text", text) for text in _spellings(order))
        found.update(("base64", text) for text in _base64(order))
    for clear in (octets, octets[::-1], *_spellings(octets)):
        found.update(_hashes(clear))
    return {(encoding, needle) for encoding, needle in found if len(needle) >= SHORTEST}


def _spellings(octets: bytes) -> Iterator[bytes]:
    """Write octets in hexadecimal in all the usual ways."""
    for text in (octets.hex(), *(octets.hex(separator) for separator in ":-_")):
        yield text.encode()
        yield text.upper().encode()


def _base64(octets: bytes) -> Iterator[bytes]:
    """Write the digits that octets have in base64, wherever in a stream they begin."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + octets)
        first = (8 * before + 5) // 6  # the first digit that no foreign bit is in
        last = 8 * (before + len(octets)) // 6
        yield text[first:last]
        yield text[first:last].translate(bytes.maketrans(b"+/", b"-_"))


def _hashes(clear: bytes) -> Iterator[tuple[str, bytes]]:
    for name in _HASHES:
        digest = hashlib.new(name, clear, usedforsecurity=False).digest()[:_OF_A_HASH]
        yield name, digest
        yield name, digest.hex().encode()
        yield name, digest.hex().upper().encode()


def _slots(prefixes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (prefixes * _SPREAD) >> np.uint64(64 - _TABLE_BITS)
