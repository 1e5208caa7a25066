"""Visits: the pure core. `see(evidence)`, `advance(now)` and `deadline` are its whole surface.

    state      on                                       goes to
    ---------  ---------------------------------------  ---------------------------------------
    stranger   first sighting                           candidate
    candidate  sure enough                              present: Enter, dated to first evidence
    candidate  silence                                  stranger, without a word
    present    evidence past a milestone                present: Dwell
    present    another inside zone                      present: Move
    present    silence beyond patience, or a departure  left: Exit, dated to last evidence
    present    nobody able to hear her for `DEAF_S`     left: Exit gateway_stopped
    present    lease expired                            stranger: Exit lease_expired
    left       sure again, heard within resume_within   present: Enter resumed, same visit
    left       sure again, later                        present: Enter, a new visit
    left       resume_within over and silence           stranger
    any        consent withdrawn                        stranger, without a word

How sure, and how much silence, is the rule's (`belief`). What is here holds for every rule: only
silence that a healthy, trusted receiver listened through is counted; time never moves back,
however radios interleave; and *tick invariance*: advancing once to t gives the same events as
many small advances, because whatever falls due is decided at its own instant and not at the
caller's.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from edge_agent.model import (
    Dwell,
    Enter,
    Evidence,
    Exit,
    ExitReason,
    LeaseExpired,
    Move,
    PresenceEvent,
    RadioState,
    Sighting,
    Visit,
    Withdrawal,
)
from edge_agent.track.belief import Belief, Rule
from edge_agent.track.silence import Listeners, Silence

__all__ = ["DEAF_S", "OpenVisit", "Tracker", "TrackerSettings"]

DEAF_S: Final = 1800.0  # nobody able to hear her for this long: the gateway, not she, has gone
CANDIDATE_S: Final = 120.0  # a candidate unheard for this long was a passer-by
_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """What the operator sets, in seconds; see `Presence` in the configuration."""

    enter_confidence: float = 0.9
    exit_after_at_most: float = 360.0
    resume_within: float = 120.0
    dwell_milestones: tuple[int, ...] = (60, 300, 900, 1800, 3600)


@dataclass(frozen=True, slots=True)
class OpenVisit:
    """A visit as it outlives a restart; `exit_decided_at` is set while it may still be resumed."""

    id: str
    visitor: str
    zone: str
    entered_at: float
    last_at: float
    milestones: int = 0  # how many have been published
    sources: tuple[str, ...] = ()
    exit_decided_at: float | None = None


class _Presence:
    """All that is known of one visitor."""

    __slots__ = ("belief", "due", "heard_at", "queued", "silence", "sources", "visit", "visitor")

    def __init__(self, visitor: str, belief: Belief, silence: Silence) -> None:
        self.visitor = visitor
        self.belief = belief
        self.silence = silence
        self.visit: OpenVisit | None = None
        self.heard_at = belief.last
        self.sources: set[str] = set()
        self.due = _NEVER  # when something falls due without further evidence
        self.queued = _NEVER  # the earliest entry of the heap that is still this one's

    @property
    def open_visit(self) -> OpenVisit | None:
        visit = self.visit
        return visit if visit is not None and visit.exit_decided_at is None else None


class Tracker:
    """Turns sightings into visits; every method gives the events it decided, in order."""

    def __init__(
        self,
        rule: Rule,
        settings: TrackerSettings,
        name_visit: Callable[[str, float], str],
    ) -> None:
        """Begin to track.

        Args:
            rule: how evidence is weighed.
            settings: what the operator set.
            name_visit: gives a visit its id, from the visitor and when she entered.
        """
        self._rule = rule
        self._settings = settings
        self._name_visit = name_visit
        self._now = float("-inf")
        self._known: dict[str, _Presence] = {}
        self._heap: list[tuple[float, str]] = []
        self._listeners = Listeners()

    @property
    def deadline(self) -> float | None:
        """When `advance` may next have something to say, or None."""
        return self._heap[0][0] if self._heap else None

    @property
    def visitors(self) -> list[str]:
        """The pseudonyms of everybody of whom anything is known."""
        return list(self._known)

    @property
    def open_visits(self) -> list[OpenVisit]:
        """What must outlive a restart: visits open, and visits that may still be resumed."""
        resumable = self._now - self._settings.resume_within
        return [
            p.visit if p.open_visit is None else self._as_of_last(p, p.open_visit)
            for p in self._known.values()
            if p.visit is not None
            and (p.visit.exit_decided_at is None or p.visit.exit_decided_at >= resumable)
        ]

    @staticmethod
    def _as_of_last(presence: _Presence, visit: OpenVisit) -> OpenVisit:
        sources = tuple(sorted(presence.sources.union(visit.sources)))
        last = max(visit.entered_at, presence.belief.last)
        return replace(visit, last_at=last, sources=sources)

    def visit_of(self, visitor: str) -> OpenVisit | None:
        """Give a visitor's visit, open or lately ended."""
        presence = self._known.get(visitor)
        if presence is None or presence.visit is None:
            return None
        visit = presence.open_visit
        return presence.visit if visit is None else self._as_of_last(presence, visit)

    def see(self, evidence: Evidence) -> list[PresenceEvent]:
        """Take evidence in. What fell due before it is decided first."""
        events = self.advance(evidence.at)
        match evidence:
            case Sighting():
                events += self._sighted(evidence)
            case RadioState():
                self._radio(evidence)
            case Withdrawal():
                self._known.pop(evidence.visitor, None)
            case LeaseExpired():
                events += self._end_all(ExitReason.LEASE_EXPIRED)
        return events

    def advance(self, now: float) -> list[PresenceEvent]:
        """Let time pass until `now`; an earlier `now` than before changes nothing."""
        events: list[PresenceEvent] = []
        while self._heap and self._heap[0][0] <= now:
            at, visitor = heapq.heappop(self._heap)
            presence = self._known.get(visitor)
            if presence is None or presence.queued != at:
                continue
            presence.queued = _NEVER
            if presence.due <= at:
                self._now = max(self._now, at)
                events += self._fall_due(presence)
            else:
                self._queue(presence)
        self._now = max(self._now, now)
        return events

    def _sighted(self, sighting: Sighting) -> Iterator[PresenceEvent]:
        presence = self._known.get(sighting.visitor)
        if presence is None:
            if not sighting.sign.present:
                return
            silence = Silence(self._listeners, sighting.at)
            presence = _Presence(sighting.visitor, self._rule.meet(sighting), silence)
            self._known[sighting.visitor] = presence
        else:
            presence.belief.hear(sighting)
        if sighting.sign.present:
            radio = (sighting.gateway, sighting.radio)
            if self._listeners.lost_before(radio, sighting.at):  # it hears: then it listens
                self._radio(RadioState(self._now, *radio, listening=True))
            presence.silence.broken(sighting)
            presence.heard_at = max(presence.heard_at, sighting.at)
            presence.sources.add(sighting.method.source)
        yield from self._decide(presence)
        self._reschedule(presence)

    def _decide(self, presence: _Presence) -> Iterator[PresenceEvent]:
        """Say what the newest evidence of a visitor changes."""
        belief, visit = presence.belief, presence.open_visit
        zone = belief.zone
        if visit is None:
            if zone is not None and belief.confidence >= self._settings.enter_confidence:
                yield self._enter(presence, zone)
                yield from self._dwell(presence)
            return
        if zone is not None and zone != visit.zone:
            yield self._move(presence, visit, zone)
        yield from self._dwell(presence)
        departure, visit = belief.departure, presence.open_visit
        if visit is not None and departure is not None and departure.at <= self._now:
            yield self._exit(presence, visit, departure.reason)

    def _enter(self, presence: _Presence, zone: str) -> Enter:
        """Open a visit as of its first evidence, or go on with the one ended too early."""
        belief, left = presence.belief, presence.visit
        resumed = (
            left is not None
            and left.exit_decided_at is not None
            and self._settings.resume_within > 0
            and belief.since <= left.exit_decided_at + self._settings.resume_within
        )
        if left is not None and resumed:
            visit = replace(left, zone=zone, exit_decided_at=None)
        else:
            name = self._name_visit(presence.visitor, belief.since)
            visit = OpenVisit(name, presence.visitor, zone, belief.since, belief.last)
        presence.visit = visit
        return Enter(belief.since, self._about(presence, visit, belief.confidence), resumed)

    def _move(self, presence: _Presence, visit: OpenVisit, zone: str) -> Move:
        presence.visit = moved = replace(visit, zone=zone)
        at = max(visit.entered_at, presence.belief.moved_at)
        about = self._about(presence, moved, presence.belief.confidence)
        return Move(at, about, visit.zone)

    def _dwell(self, presence: _Presence) -> Iterator[Dwell]:
        """Publish the milestones that the evidence has passed.

        Not those that only the clock has passed: were she gone already, a stay would have been
        told that her exit then denies.
        """
        visit = presence.open_visit
        if visit is None:
            return
        length = presence.belief.last - visit.entered_at
        for milestone in self._settings.dwell_milestones[visit.milestones :]:
            if length < milestone:
                return
            visit = replace(visit, milestones=visit.milestones + 1)
            presence.visit = visit
            yield Dwell(
                visit.entered_at + milestone,
                self._about(presence, visit, presence.belief.confidence),
                length,
                milestone,
            )

    def _exit(self, presence: _Presence, visit: OpenVisit, reason: ExitReason) -> Exit:
        """End a visit as of its last evidence; it may be resumed for a while."""
        told = max((0, *self._settings.dwell_milestones[: visit.milestones]))
        last = max(presence.belief.last, visit.entered_at + told)  # no exit denies a milestone
        confidence = 1.0
        if reason is not ExitReason.LEASE_EXPIRED:
            confidence = presence.belief.gone(presence.silence.counted(self._now))
        about = self._about(presence, visit, confidence)
        presence.visit = replace(
            visit, last_at=last, sources=about.sources, exit_decided_at=self._now
        )
        presence.sources.clear()
        presence.belief.leave()
        return Exit(last, about, max(last - visit.entered_at, told), reason)

    def _about(self, presence: _Presence, visit: OpenVisit, confidence: float) -> Visit:
        sources = tuple(sorted(presence.sources.union(visit.sources)))
        return Visit(
            visit.id, visit.visitor, visit.zone, visit.entered_at, self._now, sources, confidence
        )

    def _fall_due(self, presence: _Presence) -> Iterator[PresenceEvent]:
        """Decide what the absence of evidence decides, at its own instant."""
        visit = presence.open_visit
        if visit is None:
            del self._known[presence.visitor]
            return
        departure, silence = presence.belief.departure, presence.silence
        if departure is not None and departure.at <= self._now:
            yield self._exit(presence, visit, departure.reason)
        elif silence.reaches(presence.belief.patience) <= self._now:
            yield self._exit(presence, visit, ExitReason.SILENCE)
        else:
            yield self._exit(presence, visit, ExitReason.GATEWAY_STOPPED)
        self._reschedule(presence)

    def recall(self, visit: OpenVisit, now: float) -> None:
        """Take up a visit of before a restart, at boot-clock `now`.

        One whose outage was longer than `exit_after_at_most` exits at the next advance.
        """
        self._now = max(self._now, now)
        belief = self._rule.recall(visit.zone, visit.last_at)
        presence = _Presence(visit.visitor, belief, Silence(self._listeners, visit.last_at))
        presence.visit = visit
        self._known[visit.visitor] = presence
        self._reschedule(presence)
        if visit.exit_decided_at is not None:
            belief.leave()
        elif self._now - visit.last_at > self._settings.exit_after_at_most:
            presence.due = self._now
        self._queue(presence)

    def _radio(self, state: RadioState) -> None:
        """A receiver was lost or recovered: silence stops or starts to count."""
        for presence in self._known.values():
            presence.silence.settle(state.at)
        self._listeners.set(state)
        for presence in self._known.values():
            presence.silence.resume(state.at)
            self._reschedule(presence)

    def _end_all(self, reason: ExitReason) -> Iterator[PresenceEvent]:
        for presence in self._known.values():
            visit = presence.open_visit
            if visit is not None:
                yield self._exit(presence, visit, reason)
        self._known.clear()
        self._heap.clear()

    def _reschedule(self, presence: _Presence) -> None:
        """Work out when the absence of evidence will next decide something."""
        belief, silence, visit = presence.belief, presence.silence, presence.visit
        if presence.open_visit is not None:
            departure = belief.departure
            presence.due = min(
                _NEVER if departure is None else departure.at,
                silence.reaches(belief.patience),
                silence.deaf_until(DEAF_S),
            )
        else:
            forgotten = presence.heard_at + CANDIDATE_S
            if visit is not None and visit.exit_decided_at is not None:
                resumable = visit.exit_decided_at + self._settings.resume_within
                forgotten = max(forgotten, resumable + 1.0)  # a return at that instant counts
            presence.due = forgotten
        self._queue(presence)

    def _queue(self, presence: _Presence) -> None:
        """Keep one entry of the heap per visitor, not later than what falls due."""
        if presence.due < presence.queued:
            presence.queued = presence.due
            heapq.heappush(self._heap, (presence.due, presence.visitor))
