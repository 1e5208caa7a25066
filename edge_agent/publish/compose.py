"""From a presence event to the contract: where boot-clock seconds become UTC, once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from edge_agent.model import Dwell, Enter, Exit, Move, PresenceEvent
from edge_agent.publish.contract import (
    ClockQuality,
    DwellData,
    EnterData,
    Event,
    EventData,
    EventType,
    ExitData,
    GapData,
    MoveData,
)
from edge_agent.publish.topics import Topics

__all__ = ["Composer", "Draft", "Gap", "lateness", "renumbered"]

LATE_S: Final = 60.0  # sent longer after its decision than this, an event says so
_DECIDED_AT: Final = re.compile(rb'"decided_at":"([0-9TZ:.-]+)"')


@dataclass(frozen=True, slots=True)
class Draft:
    """An event without its number, which only the commit to the outbox gives it."""

    type: EventType
    visitor: str
    visit: str
    urgent: bool  # enter and exit are stored at once, others may wait for company
    time: datetime
    clock: ClockQuality
    data: EventData


@dataclass(frozen=True, slots=True)
class Gap:
    """Events `first` to `last` are dropped for `reason`; `counts` says how many of each type."""

    first: int
    last: int
    reason: str
    counts: dict[str, int]


class Composer:
    """Writes the events of one gateway.

    `entered` remembers the UTC entry of the visits under way. All of a visit is told in the UTC of
    its first event: a step of the clock moves no entry, puts no exit before it, and `exited_at`
    less `entered_at` is the dwell that the boot clock has measured.
    """

    def __init__(
        self,
        topics: Topics,
        boot: str,
        unix: Callable[[float], float],
        quality: Callable[[], ClockQuality],
        now: Callable[[], float],
    ) -> None:
        """Prepare to write.

        Args:
            topics: names the gateway.
            boot: identifies this boot of the gateway.
            unix: Unix time of a boot-clock instant, seconds.
            quality: how far that can be trusted now.
            now: the boot clock, seconds.
        """
        self._topics = topics
        self._boot = boot
        self._unix = unix
        self._quality = quality
        self._now = now
        self.entered: dict[str, float] = {}  # visit -> Unix seconds

    def draft(self, event: PresenceEvent) -> Draft:
        """Write an event as far as it is known before it is stored."""
        visit = event.visit
        entered = self.entered.setdefault(visit.id, self._unix(visit.entered_at))
        epoch = entered - visit.entered_at
        common: dict[str, Any] = {
            "visit": visit.id,
            "visitor": visit.visitor,
            "store": self._topics.store,
            "zone": visit.zone,
            "entered_at": _moment(entered),
            "decided_at": _moment(epoch + visit.decided_at),
            "sources": visit.sources,
            "confidence": visit.confidence,
        }
        at = _moment(epoch + event.at)
        kind: EventType
        data: EventData
        match event:
            case Enter():
                kind, data = (
                    "presence.enter.v1",
                    EnterData(**common, resumed=True if event.resumed else None),
                )
            case Dwell():
                kind = "presence.dwell.v1"
                data = DwellData(**common, dwell_s=event.dwell_s, milestone_s=event.milestone_s)
            case Move():
                kind, data = "presence.move.v1", MoveData(**common, from_zone=event.from_zone)
            case Exit():
                kind = "presence.exit.v1"
                data = ExitData(**common, exited_at=at, dwell_s=event.dwell_s, reason=event.reason)
        return Draft(
            type=kind,
            visitor=visit.visitor,
            visit=visit.id,
            urgent=isinstance(event, Enter | Exit),
            time=at,
            clock=self._quality(),
            data=data,
        )

    def number(self, draft: Draft, epoch: str, seq: int) -> bytes:
        """Finish an event with its epoch and number; gives the JSON that goes on the wire."""
        topics = self._topics
        return (
            Event(
                id=f"{topics.gateway}:{epoch}:{seq}",
                source=f"/{topics.tenant}/{topics.store}/{topics.gateway}",
                type=draft.type,
                subject=draft.visitor,
                time=draft.time,
                dataschema=Event.schema_of(draft.type),
                epoch=epoch,
                seq=seq,
                boot=self._boot,
                clock=draft.clock,
                data=draft.data,
            )
            .model_dump_json(by_alias=True)
            .encode()
        )

    def moment(self) -> datetime:
        """Give this moment in UTC."""
        return _moment(self._unix(self._now()))

    def unix_if_known(self) -> float | None:
        """Give Unix time, seconds; None before the clock was first set."""
        if self._quality() is ClockQuality.UNSYNCHRONISED:
            return None
        return self._unix(self._now())

    def gap(self, gap: Gap, epoch: str) -> bytes:
        """Write a tombstone; its seq is the first of the range that it declares dropped."""
        topics = self._topics
        data = GapData(**{"from": gap.first}, to=gap.last, reason=gap.reason, counts=gap.counts)
        kind: EventType = "presence.gap.v1"
        return (
            Event(
                id=f"{topics.gateway}:{epoch}:{gap.first}",
                source=f"/{topics.tenant}/{topics.store}/{topics.gateway}",
                type=kind,
                time=self.moment(),
                dataschema=Event.schema_of(kind),
                epoch=epoch,
                seq=gap.first,
                boot=self._boot,
                clock=self._quality(),
                data=data,
            )
            .model_dump_json(by_alias=True)
            .encode()
        )


def renumbered(body: bytes, epoch: str, seq: int) -> bytes:
    """Give a stored event's JSON another epoch and number; nothing else of it changes."""
    event = Event.model_validate_json(body)
    gateway = event.id.split(":")[0]
    changed = event.model_copy(
        update={"epoch": epoch, "seq": seq, "id": f"{gateway}:{epoch}:{seq}"}
    )
    return changed.model_dump_json(by_alias=True).encode()


def lateness(body: bytes, unix: float | None) -> float | None:
    """Give how late an event is at `unix`, seconds; None for a prompt one, and for a tombstone."""
    told = _DECIDED_AT.search(body)
    if told is None or unix is None:
        return None
    late = unix - datetime.fromisoformat(told[1].decode()).timestamp()
    return late if late > LATE_S else None


def _moment(unix: float) -> datetime:
    return datetime.fromtimestamp(unix, UTC)
