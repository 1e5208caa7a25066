"""The files around the outbox: the lock, the ballast, and what a damaged database becomes."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import BinaryIO, Final

__all__ = [
    "OutboxUnusableError",
    "lay_ballast",
    "lock_folder",
    "set_aside",
]

_BALLAST: Final = 256 * 1024  # octets that a full disk can be given back, to start and to delete


class OutboxUnusableError(Exception):
    """The outbox cannot be opened; the text says what to do."""


def lock_folder(path: Path) -> BinaryIO:
    """Make sure of being alone: two agents would give one number twice."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("ab")
    except OSError as error:
        raise OutboxUnusableError(
            f"the state folder {path.parent} cannot be written ({error.strerror}): check its owner"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise OutboxUnusableError(
            f"another edge-agent uses the state folder {path.parent}: stop it, or set another"
            " [state] directory"
        ) from error
    return lock


def lay_ballast(ballast: Path) -> None:
    """Keep room that a full disk can be given back; on one already full, do without."""
    if not ballast.exists():
        try:
            ballast.write_bytes(bytes(_BALLAST))
        except OSError:
            ballast.unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    """Rename a damaged database and its companions to `*.corrupt-N`."""
    count = len(list(path.parent.glob(f"{path.name}.corrupt-*")))
    for suffix in ("", "-wal", "-shm"):
        damaged = path.with_name(path.name + suffix)
        if damaged.exists():
            damaged.rename(path.with_name(f"{path.name}.corrupt-{count}{suffix}"))
