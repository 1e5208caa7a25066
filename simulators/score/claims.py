"""What was claimed: published events, or another's decisions, as spells of presence.

Times are in seconds since the trace began, the clock the truth is told in. A spell is one enter
and the exit that followed it, if any; a visit whose exit was taken back (`resumed`) has several.
The event contract's JSON is read by `read_claims`; whoever decides without publishing (the
tracker by itself, a rule of another program) drafts its claims with `Draft`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ValidationError

__all__ = [
    "BadEventError",
    "ClaimedMove",
    "ClaimedVisit",
    "Claims",
    "Draft",
    "Spell",
    "ZoneClaim",
    "read_claims",
]

PRESENCE = "presence."


class BadEventError(ValueError):
    """An event breaks the contract; the text says which one and where."""


class _Data(BaseModel):
    visit: str
    visitor: str
    zone: str
    decided_at: AwareDatetime
    exited_at: AwareDatetime | None = None
    resumed: bool = False


class _Event(BaseModel):
    type: Literal["presence.enter.v1", "presence.dwell.v1", "presence.move.v1", "presence.exit.v1"]
    time: AwareDatetime
    data: _Data


@dataclass(frozen=True, slots=True)
class ZoneClaim:
    """She was said to be in `zone` from `begins` to `ends`."""

    zone: str
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class ClaimedMove:
    """She was said to have come into `zone` at `at` from another zone."""

    zone: str
    at: float


@dataclass(frozen=True, slots=True)
class Spell:
    """One enter, and the exit after it; both ends of the exit are None while it is open."""

    visit: str
    resumed: bool
    entered_at: float
    enter_decided_at: float
    exited_at: float | None
    exit_decided_at: float | None
    zones: tuple[tuple[str, float], ...]  # zone and since when

    def zone_claims(self, horizon: float) -> Iterator[ZoneClaim]:
        """Tell where she was said to be, up to `horizon` if the spell is open."""
        ends = [since for _zone, since in self.zones[1:]]
        ends.append(horizon if self.exited_at is None else self.exited_at)
        for (zone, since), until in zip(self.zones, ends, strict=True):
            if until > since:
                yield ZoneClaim(zone, since, until)


@dataclass(frozen=True, slots=True)
class ClaimedVisit:
    """One visit as the hub ends up with it: its last exit counts, an open one has none."""

    spells: Sequence[Spell]
    begins: float
    ends: float | None


@dataclass(frozen=True, slots=True)
class Claims:
    """All that was published about one visitor; spells in the order they were decided."""

    spells: Sequence[Spell] = ()
    moves: Sequence[ClaimedMove] = ()

    @property
    def visits(self) -> Sequence[ClaimedVisit]:
        """The visits, in the order of their first enter."""
        found: dict[str, list[Spell]] = defaultdict(list)
        for spell in self.spells:
            found[spell.visit].append(spell)
        return [
            ClaimedVisit(spells, spells[0].entered_at, spells[-1].exited_at)
            for spells in found.values()
        ]


class Draft:
    """One visitor's events so far, in the order they were decided; times in seconds."""

    def __init__(self) -> None:
        """Begin with nothing claimed."""
        self._spells: list[Spell] = []
        self._moves: list[ClaimedMove] = []
        self._open: dict[str, tuple[bool, float, float]] = {}
        self._zones: dict[str, list[tuple[str, float]]] = {}

    def enter(
        self, visit: str, zone: str, at: float, decided_at: float, *, resumed: bool = False
    ) -> None:
        """Open a spell of `visit`; raises `BadEventError` while one is open."""
        if visit in self._open:
            raise BadEventError("a second enter for a visit that is open")
        self._open[visit] = (resumed, at, decided_at)
        self._zones[visit] = [(zone, at)]

    def move(self, visit: str, zone: str, at: float) -> None:
        """Put her into another zone; raises `BadEventError` unless the visit is open."""
        if visit not in self._open:
            raise BadEventError("a move for a visit that is not open")
        self._zones[visit].append((zone, at))
        self._moves.append(ClaimedMove(zone, at))

    def leave(self, visit: str, at: float, decided_at: float) -> None:
        """Close the spell; raises `BadEventError` unless the visit is open."""
        if visit not in self._open:
            raise BadEventError("an exit for a visit that is not open")
        self._close(visit, at, decided_at)

    def finish(self) -> Claims:
        """Give the claims; what is open stays so."""
        for visit in list(self._open):
            self._close(visit, None, None)
        self._spells.sort(key=lambda spell: spell.enter_decided_at)
        return Claims(self._spells, self._moves)

    def _close(self, visit: str, at: float | None, decided_at: float | None) -> None:
        resumed, entered_at, enter_decided_at = self._open.pop(visit)
        zones = tuple(self._zones.pop(visit))
        self._spells.append(
            Spell(visit, resumed, entered_at, enter_decided_at, at, decided_at, zones)
        )


def read_claims(events: Iterable[Mapping[str, Any]], started_at: datetime) -> Mapping[str, Claims]:
    """Read published events, in their order, by visitor.

    Events of other types (`presence.gap.v1`) say nothing about presence and are passed over.

    Raises:
        BadEventError: an event lacks what the contract promises, or contradicts those before it.
    """
    drafts: dict[str, Draft] = defaultdict(Draft)
    for number, raw in enumerate(events, start=1):
        if str(raw.get("type", PRESENCE)).startswith(PRESENCE + "gap"):
            continue
        try:
            event = _Event.model_validate(raw)
            _note(drafts[event.data.visitor], event, started_at)
        except (ValidationError, BadEventError) as fault:
            raise BadEventError(f"event {number}: {fault}") from fault
    return {visitor: draft.finish() for visitor, draft in drafts.items()}


def _note(draft: Draft, event: _Event, started_at: datetime) -> None:
    data = event.data
    at = (event.time - started_at).total_seconds()
    decided_at = (data.decided_at - started_at).total_seconds()
    match event.type:
        case "presence.enter.v1":
            draft.enter(data.visit, data.zone, at, decided_at, resumed=data.resumed)
        case "presence.move.v1":
            draft.move(data.visit, data.zone, at)
        case "presence.exit.v1":
            if data.exited_at is None:
                raise BadEventError("an exit without exited_at")
            draft.leave(data.visit, (data.exited_at - started_at).total_seconds(), decided_at)
        case "presence.dwell.v1":
            return
