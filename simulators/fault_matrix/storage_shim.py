"""The watched disk: builds `storage_shim.c`, runs a process on it, and reads what it did.

It takes a C compiler (Debian: gcc and libc6-dev).
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Operation", "Shim", "read_journal"]

_SOURCE: Final = Path(__file__).with_name("storage_shim.c")
_HEAD: Final = struct.Struct("<cQQI")


@dataclass(frozen=True, slots=True)
class Operation:
    """One change, sync or report: a record of `storage_shim.c`.

    | kind | file | at | data |
    |---|---|---|---|
    | c created, u unlinked, m renamed | its number | | name, or old and new name |
    | w written | its number | offset | octets |
    | t truncated | its number | length | |
    | s synced | its number, or the folder's | | |
    | r reported | | | what the process wrote to stdout |
    """

    kind: str
    file: int
    at: int
    data: bytes


class Shim:
    """The compiled library, and the environment that puts a process under it."""

    def __init__(self, work: Path) -> None:
        """Compile it into `work`.

        Raises:
            FileNotFoundError: there is no C compiler.
        """
        compiler = shutil.which("cc")
        if compiler is None:
            raise FileNotFoundError("no C compiler: install the packages gcc and libc6-dev")
        work.mkdir(parents=True, exist_ok=True)
        self._work = work
        self._library = work / "storage_shim.so"
        self.journal = work / "journal"
        subprocess.run(  # noqa: S603 - our own source
            [compiler, "-shared", "-fPIC", "-O2", "-o", self._library, _SOURCE, "-ldl"], check=True
        )

    def environment(self, folder: Path, *, journal: bool = False) -> dict[str, str]:
        """Watch over `folder`: with a journal of what is done, and taking the orders below."""
        return {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "SHIM_FOLDER": str(folder.resolve()),
            "SHIM_SYNC": str(self._work / "sync"),
            "SHIM_STEP": str(self._work / "step"),
            **({"SHIM_JOURNAL": str(self.journal)} if journal else {}),
        }

    def order(self, *, sync_ms: int = 0, sync_errno: int = 0, write_errno: int = 0) -> None:
        """Let every sync from now on take so long, and syncs and writes fail so unless it is 0."""
        self._put("sync", f"{sync_ms} {sync_errno} {write_errno}")

    def step_clock(self, seconds: float) -> None:
        """Let CLOCK_REALTIME be so many seconds off from now on."""
        self._put("step", f"{seconds}")

    def _put(self, name: str, text: str) -> None:
        fresh = self._work / f"{name}.new"
        fresh.write_text(text, encoding="ascii")
        fresh.replace(self._work / name)


def read_journal(path: Path) -> Iterator[Operation]:
    """Give what a process did, in order."""
    octets = path.read_bytes()
    at = 0
    while at < len(octets):
        kind, file, where, length = _HEAD.unpack_from(octets, at)
        at += _HEAD.size + length
        yield Operation(kind.decode(), file, where, octets[at - length : at])
