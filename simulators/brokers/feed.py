"""A crowd's events without a crowd: whole visits of three events, as the tracker tells them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from edge_agent.model import Dwell, Enter, Exit, ExitReason, PresenceEvent, Visit
from edge_agent.publish.compose import Composer, Draft
from edge_agent.publish.contract import ClockQuality
from edge_agent.publish.outbox import StoredVisit
from edge_agent.publish.topics import Topics

__all__ = ["BOOT", "EVENTS_OF_A_VISIT", "Feed"]

BOOT: Final = "boot-of-the-brokers-suite"
EVENTS_OF_A_VISIT: Final = 3
_OPENED: Final = datetime(2026, 11, 1, 9, tzinfo=UTC).timestamp()


class Feed:
    """Writes visit after visit, a second apart, for a gateway."""

    def __init__(self, topics: Topics) -> None:
        self._at = 0.0
        self.composer = Composer(
            topics, BOOT, lambda at: _OPENED + at, lambda: ClockQuality.SYNCHRONISED, self._now
        )

    def _now(self) -> float:
        return self._at

    def visits(self, first: int, count: int) -> Iterator[tuple[Draft, StoredVisit]]:
        """Give the events of visits `first` and following, each with its visit as it then was."""
        for number in range(first, first + count):
            self._at = at = float(number)
            name = f"visitor-{number}"
            visit = Visit(f"visit-{number}", name, "floor", at, at + 5, ("ble",), 0.97)
            told: tuple[PresenceEvent, ...] = (
                Enter(at, visit),
                Dwell(at + 60, visit, 60.0, 60),
                Exit(at + 90, visit, 90.0, ExitReason.SILENCE),
            )
            for event in told:
                yield self.composer.draft(event), _stored(visit)


def _stored(visit: Visit) -> StoredVisit:
    return StoredVisit(
        id=visit.id,
        visitor=visit.visitor,
        zone=visit.zone,
        boot=BOOT,
        entered_at=visit.entered_at,
        last_at=visit.decided_at,
        entered_unix=_OPENED + visit.entered_at,
        last_unix=_OPENED + visit.decided_at,
        milestones=1,
        sources=visit.sources,
        exit_decided_at=None,
        exit_decided_unix=None,
    )
