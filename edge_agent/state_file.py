"""How a small file is written that somebody else reads, or that a power cut must not halve."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

__all__ = ["replace_file"]

log = structlog.get_logger()


def replace_file(path: Path, payload: bytes, *, durable: bool = True) -> bool:
    """Write a file so that a reader sees the old or the new, never half; a full disk is no harm.

    Args:
        path: of the file; `.new` is put in place of its suffix while it is written.
        payload: without the end of line.
        durable: whether it is on the disk before the old one goes, and its name when this returns.

    Returns:
        Whether it was written.
    """
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("wb") as stream:
            stream.write(payload + b"\n")
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        fresh.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        log.warning("state_not_written", file=path.name, reason=error.strerror)
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
