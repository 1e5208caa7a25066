"""A visit as it outlives a restart."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StoredVisit"]


@dataclass(frozen=True, slots=True)
class StoredVisit:
    """A visit as the disk holds it: in Unix time, and in the boot clock of `boot`."""

    id: str
    visitor: str
    zone: str
    boot: str
    entered_at: float
    last_at: float
    entered_unix: float
    last_unix: float
    milestones: int
    sources: tuple[str, ...]
    exit_decided_at: float | None
    exit_decided_unix: float | None
    fixture: str | None = None  # its visitor turned out to be none: why
