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
    present    the store closed                         left: Exit store_closed, for good
    present    unmoved for hours                        fixture: Exit, dated to last movement
    any        inside in closed hours, at opening       fixture
    fixture    moved, if unmoved is why                 candidate
    fixture    unheard for `ABSENT_S`                   stranger, without a word
    left       sure again, heard within resume_within   present: Enter resumed, same visit
    left       sure again, later                        present: Enter, a new visit
    left       resume_within over and silence           stranger
    any        consent withdrawn                        stranger, without a word

Nobody becomes present while the store is closed. A stranger who may yet turn out a fixture is
remembered for `ABSENT_S` (`fixtures`).

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
    StoreClosed,
    StoreOpened,
    Withdrawal,
)
from edge_agent.track.belief import Rule
from edge_agent.track.fixtures import UNMOVED_SURE, Fixture
from edge_agent.track.presence import DEAF_S, Observer, OpenVisit, Presence
from edge_agent.track.silence import Listeners, Silence

__all__ = ["Tracker", "TrackerSettings"]

SOONEST_S: Final = 15.0  # after a sighting, that silence may decide something
_ORDERED: Final = (ExitReason.LEASE_EXPIRED, ExitReason.STORE_CLOSED)  # by rule: no doubt in them


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """What the operator sets, in seconds; see `Presence` in the configuration."""

    enter_confidence: float = 0.9
    exit_after_at_most: float = 360.0
    resume_within: float = 120.0
    dwell_milestones: tuple[int, ...] = (60, 300, 900, 1800, 3600)


class Tracker:
    """Turns sightings into visits; every method gives the events it decided, in order."""

    def __init__(
        self,
        rule: Rule,
        settings: TrackerSettings,
        name_visit: Callable[[str, float], str],
        observer: Observer | None = None,
    ) -> None:
        """Begin to track.

        Args:
            rule: how evidence is weighed.
            settings: what the operator set.
            name_visit: gives a visit its id, from the visitor and when she entered.
            observer: is told what is heard and decided, and may ask why.
        """
        self._rule = rule
        self._settings = settings
        self._soonest = min(SOONEST_S, settings.exit_after_at_most)
        self._name_visit = name_visit
        self._observer = observer
        self._now = float("-inf")
        self._known: dict[str, Presence] = {}
        self._heap: list[tuple[float, str]] = []
        self._listeners = Listeners()
        self._closed = False
        self._opened_at = float("-inf")

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
        """What must outlive a restart: visits open, those that may be resumed, and fixtures'."""
        resumable = self._now - self._settings.resume_within
        stored = (presence.stored for presence in self._known.values())
        return [
            visit
            for visit in stored
            if visit is not None
            and (
                visit.exit_decided_at is None
                or visit.exit_decided_at >= resumable
                or visit.fixture is not None
            )
        ]

    def visit_of(self, visitor: str) -> OpenVisit | None:
        """Give a visitor's visit, open or lately ended."""
        presence = self._known.get(visitor)
        return None if presence is None else presence.stored

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
                self._known.clear()
                self._heap.clear()
            case StoreClosed():
                self._closed = True
                events += self._end_all(ExitReason.STORE_CLOSED)
            case StoreOpened():
                self._open_doors(evidence.at)
        return events

    def advance(self, now: float) -> list[PresenceEvent]:
        """Let time pass until `now`; an earlier `now` than before changes nothing."""
        events: list[PresenceEvent] = []
        while self._heap and self._heap[0][0] <= now:
            at, visitor = heapq.heappop(self._heap)
            presence = self._known.get(visitor)
            if presence is None or presence.queued != at:
                continue
            presence.queued = float("inf")
            if presence.look_again(self._settings.resume_within) > at:
                self._queue(presence)
                continue
            self._now = max(self._now, at)
            events += self._fall_due(presence)
        self._now = max(self._now, now)
        return events

    def _sighted(self, sighting: Sighting) -> Iterator[PresenceEvent]:
        presence = self._known.get(sighting.visitor)
        if presence is None or presence.lapsed:
            if not sighting.sign.present:
                return
            presence = self._meet(sighting, presence)
        else:
            presence.belief.hear(sighting)
        if self._observer is not None:
            self._observer.heard(sighting, presence.belief)
        if sighting.sign.present:
            radio = (sighting.gateway, sighting.radio)
            if self._listeners.lost_before(radio, sighting.at):  # it hears: then it listens
                self._radio(RadioState(self._now, *radio, listening=True))
            presence.silence.broken(sighting)
            presence.outlasted = False
            presence.heard_at = max(presence.heard_at, sighting.at)
            presence.sources.add(sighting.method.source)
            rssi = sighting.rssi
            if rssi is not None and presence.stillness.hear(sighting.gateway, rssi, sighting.at):
                yield from self._judge(presence)
        yield from self._decide(presence)
        if not sighting.sign.present or presence.queued > presence.heard_at + self._soonest:
            self._reschedule(presence)  # else what is queued comes first, and looks again

    def _meet(self, sighting: Sighting, presence: Presence | None) -> Presence:
        belief, silence = self._rule.meet(sighting), Silence(self._listeners, sighting.at)
        if presence is None:
            presence = Presence(sighting.visitor, belief, silence, self._opened_at)
            self._known[sighting.visitor] = presence
        else:
            presence.begin(belief, silence)
        return presence

    def _decide(self, presence: Presence) -> Iterator[PresenceEvent]:
        """Say what the newest evidence of a visitor changes."""
        belief, visit = presence.belief, presence.open_visit
        zone = belief.zone
        if presence.fixture is not None:
            return
        if visit is None:
            if zone is not None and belief.confidence >= self._settings.enter_confidence:
                yield from self._come_in(presence, zone)
            return
        if zone is not None and zone != visit.zone:
            yield self._move(presence, visit, zone)
        yield from self._dwell(presence)
        departure, visit = belief.departure, presence.open_visit
        if visit is not None and departure is not None and departure.at <= self._now:
            yield self._exit(presence, visit, departure.reason)

    def _judge(self, presence: Presence) -> Iterator[PresenceEvent]:
        """Tell a fixture from a visitor, after another minute of levels."""
        if presence.stillness.moving:
            if presence.fixture is Fixture.UNMOVED:
                presence.belief.leave(cut_short=True)
            presence.stir(self._now)
        elif presence.fixture is None and presence.stillness.unmoved:
            presence.settle(Fixture.UNMOVED)
            visit = presence.open_visit
            if visit is not None:
                yield self._exit(presence, visit, ExitReason.SILENCE)

    def _come_in(self, presence: Presence, zone: str) -> Iterator[PresenceEvent]:
        """Begin a visit, if this is the time for visits."""
        if self._closed:
            if presence.inside_since is None:
                presence.inside_since = self._now
        elif presence.belief.last >= presence.not_before:
            yield self._enter(presence, zone)
            yield from self._dwell(presence)

    def _enter(self, presence: Presence, zone: str) -> PresenceEvent:
        """Open a visit as of its first evidence, or go on with the one ended too early."""
        belief, left = presence.belief, presence.visit
        since = max(belief.since, presence.not_before)
        resumed = (
            left is not None
            and left.exit_decided_at is not None
            and self._settings.resume_within > 0
            and presence.not_before <= left.exit_decided_at
            and since <= left.exit_decided_at + self._settings.resume_within
        )
        if left is not None and resumed:
            visit = replace(left, zone=zone, exit_decided_at=None)
        else:
            name = self._name_visit(presence.visitor, since)
            visit = OpenVisit(name, presence.visitor, zone, since, belief.last)
        presence.visit = visit
        about = presence.about(visit, self._now, belief.confidence)
        return self._told(presence, Enter(since, about, resumed))

    def _move(self, presence: Presence, visit: OpenVisit, zone: str) -> PresenceEvent:
        presence.visit = moved = replace(visit, zone=zone)
        at = max(visit.entered_at, presence.belief.moved_at)
        about = presence.about(moved, self._now, presence.belief.confidence)
        return self._told(presence, Move(at, about, visit.zone))

    def _dwell(self, presence: Presence) -> Iterator[PresenceEvent]:
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
            at = visit.entered_at + milestone
            about = presence.about(visit, self._now, presence.belief.confidence)
            yield self._told(presence, Dwell(at, about, length, milestone))

    def _exit(self, presence: Presence, visit: OpenVisit, reason: ExitReason) -> PresenceEvent:
        """End a visit as of its last evidence; it may be resumed for a while.

        Evidence of a fixture is its last movement; what was told since, a move, is not denied.
        """
        told = max((0, *self._settings.dwell_milestones[: visit.milestones]))
        last, confidence = presence.belief.last, 1.0
        if presence.fixture is not None:
            last = min(last, max(presence.stillness.moved_at, presence.belief.moved_at))
            confidence = UNMOVED_SURE
        elif reason not in _ORDERED:
            confidence = presence.belief.gone(presence.silence.counted(self._now))
        last = max(last, visit.entered_at + told)  # no exit denies a milestone
        about = presence.about(visit, self._now, confidence)
        length = max(last - visit.entered_at, told)
        event = self._told(presence, Exit(last, about, length, reason))
        presence.visit = replace(
            visit, last_at=last, sources=about.sources, exit_decided_at=self._now
        )
        presence.sources.clear()
        presence.belief.leave(cut_short=reason in _ORDERED or reason is ExitReason.GATEWAY_STOPPED)
        return event

    def _told(self, presence: Presence, event: PresenceEvent) -> PresenceEvent:
        if self._observer is not None:
            self._observer.decided(event, presence.explain(self._now))
        return event

    def _fall_due(self, presence: Presence) -> Iterator[PresenceEvent]:
        """Decide what the absence of evidence decides, at its own instant."""
        visit = presence.open_visit
        if visit is None:
            presence.belief.leave()
            if presence.lapsed or presence.fixture is not None or not presence.memorable:
                del self._known[presence.visitor]
            else:
                presence.lapsed = True
                self._reschedule(presence)
            return
        departure, silence = presence.belief.departure, presence.silence
        if departure is not None and departure.at <= self._now:
            yield self._exit(presence, visit, departure.reason)
        elif silence.reaches(presence.belief.patience) <= self._now:
            yield self._exit(presence, visit, ExitReason.SILENCE)
        elif self._closed:
            yield self._exit(presence, visit, ExitReason.STORE_CLOSED)
        elif presence.outlasted or silence.deaf_until(DEAF_S) <= self._now:
            yield self._exit(presence, visit, ExitReason.GATEWAY_STOPPED)
        else:  # her silence was not long enough yet: now it is known what is
            presence.due = presence.runs_out()
            self._queue(presence)
            return
        self._reschedule(presence)

    def recall(self, visit: OpenVisit, now: float) -> None:
        """Take up a visit of before a restart, at boot-clock `now`.

        One whose outage was longer than `exit_after_at_most` exits at the next advance.
        """
        self._now = max(self._now, now)
        belief = self._rule.recall(visit.zone, visit.last_at)
        unheard_since = visit.last_at if visit.fixture is None else self._now
        silence = Silence(self._listeners, unheard_since)
        presence = Presence(visit.visitor, belief, silence, self._opened_at)
        presence.visit, presence.fixture = visit, visit.fixture
        self._known[visit.visitor] = presence
        self._reschedule(presence)
        if visit.exit_decided_at is not None:
            belief.leave()
        elif self._closed or self._now - visit.last_at > self._settings.exit_after_at_most:
            presence.due, presence.outlasted = self._now, True
        self._queue(presence)

    def _radio(self, state: RadioState) -> None:
        """A receiver was lost or recovered: silence stops or starts to count."""
        for presence in self._known.values():
            presence.silence.settle(state.at)
        self._listeners.set(state)
        self._rule.listen(state)
        for presence in self._known.values():
            presence.silence.resume(state.at)
            if state.listening:
                presence.stillness.regain(state.gateway, state.at)
            self._reschedule(presence)

    def _end_all(self, reason: ExitReason) -> Iterator[PresenceEvent]:
        for presence in self._known.values():
            visit = presence.open_visit
            if visit is not None:
                yield self._exit(presence, visit, reason)
                self._reschedule(presence)

    def _open_doors(self, at: float) -> None:
        """Visits may begin again; the night has ended every resumption."""
        self._closed, self._opened_at = False, at
        for presence in self._known.values():
            presence.open_doors(at)
            self._reschedule(presence)

    def _reschedule(self, presence: Presence) -> None:
        """Work out when the absence of evidence will next decide something."""
        presence.due = presence.falls_due(self._settings.resume_within)
        self._queue(presence)

    def _queue(self, presence: Presence) -> None:
        """Keep one entry of the heap per visitor, not later than what falls due."""
        if presence.due < presence.queued:
            presence.queued = presence.due
            heapq.heappush(self._heap, (presence.due, presence.visitor))
