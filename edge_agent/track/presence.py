"""What the tracker knows of one visitor, and the part of it that outlives a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from edge_agent.model import PresenceEvent, Sighting, Visit
from edge_agent.track.belief import Belief
from edge_agent.track.fixtures import ABSENT_S, THROUGH_S, Fixture, Stillness
from edge_agent.track.silence import Silence

__all__ = ["DEAF_S", "Observer", "OpenVisit", "Presence"]

DEAF_S: Final = 1800.0  # nobody able to hear her for this long: the gateway, not she, has gone
CANDIDATE_S: Final = 600.0  # a candidate unheard for this long was a passer-by
FORGET_S: Final = 24 * 3600.0  # a fixture that nobody can hear is remembered for so long
_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class OpenVisit:
    """A visit as it outlives a restart.

    `exit_decided_at` is set while it may still be resumed, and while its visitor is a `fixture`,
    who is to stay known as one.
    """

    id: str
    visitor: str
    zone: str
    entered_at: float
    last_at: float
    milestones: int = 0  # how many have been published
    sources: tuple[str, ...] = ()
    exit_decided_at: float | None = None
    fixture: Fixture | None = None


class Observer(Protocol):
    """Looks on, for people who ask why; it changes nothing."""

    def heard(self, sighting: Sighting, belief: Belief) -> None:
        """A sighting of somebody was taken in; what is then believed of her."""

    def decided(self, event: PresenceEvent, accounts: Mapping[str, float]) -> None:
        """This was decided, on these accounts (`Presence.explain`)."""


class Presence:
    """All that is known of one visitor."""

    __slots__ = (
        "belief",
        "due",
        "fixture",
        "heard_at",
        "inside_since",
        "lapsed",
        "not_before",
        "outlasted",
        "queued",
        "silence",
        "sources",
        "stillness",
        "visit",
        "visitor",
    )

    def __init__(self, visitor: str, belief: Belief, silence: Silence, not_before: float) -> None:
        """Begin; no visit of hers begins before `not_before`, boot-clock seconds."""
        self.visitor = visitor
        self.not_before = not_before
        self.stillness = Stillness(belief.last)
        self.fixture: Fixture | None = None
        self.inside_since: float | None = None  # in these closed hours
        self.visit: OpenVisit | None = None
        self.due = _NEVER  # when something falls due without further evidence
        self.queued = _NEVER  # the earliest entry of the heap that is still this one's
        self.sources: set[str] = set()
        self.outlasted = False  # by an outage of the agent
        self.begin(belief, silence)

    def begin(self, belief: Belief, silence: Silence) -> None:
        """Meet her, or meet her again."""
        self.belief, self.silence = belief, silence
        self.heard_at = belief.last
        self.lapsed = False  # the belief is given up; she may yet turn out a fixture
        self.sources.clear()

    @property
    def open_visit(self) -> OpenVisit | None:
        """The visit she is on."""
        visit = self.visit
        return visit if visit is not None and visit.exit_decided_at is None else None

    @property
    def memorable(self) -> bool:
        """Whether she is to be remembered through a silence, as one who may be a fixture."""
        return self.inside_since is not None or self.stillness.memorable

    @property
    def stored(self) -> OpenVisit | None:
        """Her visit as it stands."""
        visit = self.open_visit
        if visit is None:
            return self.visit
        last = max(visit.entered_at, self.belief.last)
        return replace(visit, last_at=last, sources=self._sources_of(visit))

    def _sources_of(self, visit: OpenVisit) -> tuple[str, ...]:
        return tuple(sorted(self.sources.union(visit.sources)))

    def about(self, visit: OpenVisit, now: float, confidence: float) -> Visit:
        """Give what an event decided at `now` says of her visit."""
        sources = self._sources_of(visit)
        return Visit(
            visit.id, visit.visitor, visit.zone, visit.entered_at, now, sources, confidence
        )

    def explain(self, now: float) -> dict[str, float]:
        """Give what a decision at `now` rests on: the belief's accounts, and the silence."""
        told = {**self.belief.explain(), "unheard_s": self.silence.counted(now)}
        if self.fixture is not None:
            told["unmoved_s"] = now - self.stillness.moved_at
        return told

    def falls_due(self, resume_within: float) -> float:
        """Give the earliest time at which the absence of evidence may decide something."""
        belief, silence, visit = self.belief, self.silence, self.visit
        if self.open_visit is not None:
            departure = belief.departure
            return min(
                _NEVER if departure is None else departure.at,
                silence.reaches(belief.least_patience),
                silence.deaf_until(DEAF_S),
            )
        if self.lapsed or self.fixture is not None:
            return min(silence.reaches(ABSENT_S), silence.deaf_until(FORGET_S))
        forgotten = self.heard_at + CANDIDATE_S
        if visit is not None and visit.exit_decided_at is not None:
            resumable = visit.exit_decided_at + resume_within
            forgotten = max(forgotten, resumable + 1.0)  # a return at that instant counts
        return forgotten

    def look_again(self, resume_within: float) -> float:
        """Work out when something falls due, for she may have been heard since it was queued."""
        if not self.outlasted:
            self.due = self.falls_due(resume_within)
        return self.due

    def runs_out(self) -> float:
        """Give the time at which the absence of evidence will decide something: ask when it may."""
        departure = self.belief.departure
        return min(
            _NEVER if departure is None else departure.at,
            self.silence.reaches(self.belief.patience),
            self.silence.deaf_until(DEAF_S),
        )

    def settle(self, fixture: Fixture) -> None:
        """Turn out to be a fixture."""
        self.fixture = fixture
        if self.visit is not None:
            self.visit = replace(self.visit, fixture=fixture)

    def stir(self, at: float) -> None:
        """Move: what lay still is somebody's, and may visit from now on."""
        if self.fixture is Fixture.UNMOVED:
            self.fixture = self.visit = None
            self.not_before = max(self.not_before, at)

    def open_doors(self, at: float) -> None:
        """The store opens at `at`: who has been inside for long is no visitor of the new day."""
        self.not_before = max(self.not_before, at)
        since, self.inside_since = self.inside_since, None
        if since is not None and at - since >= THROUGH_S and self.fixture is None:
            self.settle(Fixture.AFTER_HOURS)
