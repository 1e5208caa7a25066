"""Visits told at fixed times, and the composer that writes their events."""

from __future__ import annotations

from datetime import UTC, datetime

from edge_agent.model import Dwell, Enter, Exit, ExitReason, PresenceEvent, Visit
from edge_agent.publish.compose import Composer, Draft
from edge_agent.publish.contract import ClockQuality
from edge_agent.publish.outbox import StoredVisit
from edge_agent.publish.topics import Topics

TOPICS = Topics("acme", "0042", "gw-1")
BOOT = "b007"
OPENED = datetime(2026, 11, 1, 9, tzinfo=UTC).timestamp()  # Unix time of boot-clock 0
NOW = 1_000.0  # boot-clock seconds

ANNA, BERTA = "visitor-anna", "visitor-berta"


def composer() -> Composer:
    """Make a composer whose boot clock began at nine o'clock and stands at 1,000 s."""
    return Composer(
        TOPICS, BOOT, lambda at: OPENED + at, lambda: ClockQuality.SYNCHRONISED, lambda: NOW
    )


def visit(visitor: str = ANNA, *, number: int = 1, decided_at: float = 5.0) -> Visit:
    """Tell of a visit that began at 3.12 s."""
    return Visit(f"visit-{visitor}-{number}", visitor, "floor", 3.12, decided_at, ("ble",), 0.96789)


def enter(visitor: str = ANNA, *, number: int = 1, resumed: bool = False) -> Enter:
    """She comes in."""
    return Enter(3.12, visit(visitor, number=number), resumed)


def dwell(visitor: str = ANNA, *, number: int = 1) -> Dwell:
    """She has stayed a minute."""
    return Dwell(63.12, visit(visitor, number=number, decided_at=63.5), 60.38049, 60)


def leave(visitor: str = ANNA, *, number: int = 1) -> Exit:
    """She leaves."""
    return Exit(90.5, visit(visitor, number=number, decided_at=120.0), 87.38, ExitReason.SILENCE)


def stored(of: Visit) -> StoredVisit:
    """Give a visit as the disk holds it."""
    return StoredVisit(
        id=of.id,
        visitor=of.visitor,
        zone=of.zone,
        boot=BOOT,
        entered_at=of.entered_at,
        last_at=of.decided_at,
        entered_unix=OPENED + of.entered_at,
        last_unix=OPENED + of.decided_at,
        milestones=0,
        sources=of.sources,
        exit_decided_at=None,
        exit_decided_unix=None,
    )


def drafted(writer: Composer, *events: PresenceEvent) -> list[tuple[Draft, StoredVisit]]:
    """Draft events, each with its visit."""
    return [(writer.draft(event), stored(event.visit)) for event in events]
