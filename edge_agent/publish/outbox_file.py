"""The files around the outbox: the lock, the ballast, and what a damaged database becomes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO, Final

__all__ = [
    "OutboxBusyError",
    "OutboxUnusableError",
    "drop_set_aside",
    "lay_ballast",
    "lock_folder",
    "set_aside",
    "sync_log",
]

_BALLAST: Final = 256 * 1024  # octets that a full disk can be given back, to start and to delete


class OutboxUnusableError(Exception):
    """The outbox cannot be opened; the text says what to do."""


class OutboxBusyError(OutboxUnusableError):
    """Another agent uses it."""


def lock_folder(path: Path) -> BinaryIO:
    """Make sure of being alone: two agents would give one number twice."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock_file(path.with_suffix(".lock"))
    except OSError as error:
        raise OutboxUnusableError(
            f"the state folder {path.parent} cannot be written ({error.strerror}): check its owner"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise OutboxBusyError(
            f"another edge-agent uses the state folder {path.parent}: stop it, or set another"
            " [state] directory"
        ) from error
    return lock


def _lock_file(path: Path) -> BinaryIO:
    """Open the file to lock, also where nothing can be written any more."""
    try:
        return path.open("ab")
    except OSError:
        return path.open("rb")


def drop_set_aside(path: Path | None) -> None:
    """Remove damaged databases: what an erasure cannot find in them must not outlive it."""
    aside = [] if path is None else list(path.parent.glob(f"{path.name}.corrupt-*"))
    for damaged in aside:
        damaged.unlink()
    if path is not None and aside:
        _sync(path.parent)


def lay_ballast(ballast: Path) -> None:
    """Keep room that a full disk can be given back; on one already full, do without."""
    if not ballast.exists():
        try:
            ballast.write_bytes(bytes(_BALLAST))
        except OSError:
            ballast.unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    """Rename a damaged database and its companions to `*.corrupt-N`.

    The database goes first, and for good: a power cut must not leave it without its log, which may
    hold what is newest.
    """
    count = len(list(path.parent.glob(f"{path.name}.corrupt-*")))
    for suffix in ("", "-wal", "-shm"):
        damaged = path.with_name(path.name + suffix)
        if damaged.exists():
            damaged.rename(path.with_name(f"{path.name}.corrupt-{count}{suffix}"))
            _sync(path.parent)


def sync_log(path: Path) -> None:
    """Make the log's truncation last: SQLite leaves it to chance, and a power cut may undo it."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        _sync(log)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
