"""identify, track and compose, joined without I/O: the one path of production, replay and tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final

from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.hours import Doors
from edge_agent.identify.identifier import Directory, Identifier
from edge_agent.model import LeaseExpired, Observation, PresenceEvent, RadioState, Withdrawal
from edge_agent.publish.compose import Composer, Draft
from edge_agent.publish.contract import ClockQuality
from edge_agent.publish.outbox import StoredVisit
from edge_agent.publish.topics import Topics
from edge_agent.track.belief import Floor
from edge_agent.track.evidence import EvidenceRule
from edge_agent.track.fixtures import Fixture
from edge_agent.track.presence import Observer, OpenVisit
from edge_agent.track.store import Store
from edge_agent.track.tracker import Tracker, TrackerSettings

__all__ = ["Pipeline"]

_FIXTURES: Final = {kind.value: kind for kind in Fixture}
_VISITS: Final = uuid.UUID("5f1f6f0e-6d1b-4b0f-9a56-3c1d7f0d5a11")  # names visits (RFC 9562, v5)

Decided = list[tuple[Draft, StoredVisit]]


class Pipeline:
    """Turns observations into drafts of events, each with its visit as it then stands."""

    def __init__(
        self,
        config: Config,
        directory: Directory,
        clock: Clock,
        boot: str,
        observer: Observer | None = None,
    ) -> None:
        """Join the parts.

        Args:
            config: what the operator set.
            directory: the roster in force.
            clock: which also says whether anything may be resolved yet.
            boot: identifies this boot.
            observer: is told what is heard and decided.
        """
        self._clock = clock
        self._boot = boot
        self._lease_ended = False
        self._newest = float("-inf")  # boot-clock seconds
        self._doors = None if config.hours is None else Doors(config.hours.calendar)
        self.identifier = Identifier(directory, config.ble.namespace, self._unix_if_known)
        self.composer = Composer(
            Topics(config.tenant, config.store, config.gateway),
            boot,
            clock.unix,
            clock.quality,
            clock.now,
        )
        floor = Floor(
            zones={gateway: zone.name for zone in config.zones for gateway in zone.gateways},
            outside=frozenset(zone.name for zone in config.zones if zone.outside),
        )
        presence = config.presence
        self.store = Store(floor, presence.exit_after_at_most, presence.enter_confidence)
        self._names = f"{config.tenant}/{config.store}/"
        self.tracker = Tracker(
            EvidenceRule(self.store),
            TrackerSettings(
                presence.enter_confidence,
                presence.exit_after_at_most,
                presence.resume_within,
                presence.dwell_milestones,
            ),
            self._name_visit,
            observer,
        )

    @property
    def deadline(self) -> float | None:
        """When `advance` may next have something to say, boot-clock seconds."""
        turn = None if self._doors is None else self._doors.due(self._unix_if_known(0.0))
        due = [at for at in (self.tracker.deadline, self._lease_at(), turn) if at is not None]
        return min(due, default=None)

    def feed(self, observation: Observation) -> Decided:
        """Take an observation; gives what it decided."""
        decided = self._by_the_calendar(observation.at)
        if self._lease_ended and not isinstance(observation, RadioState):
            return decided
        evidence = self.identifier.identify(observation)
        if evidence is None:
            return decided
        return decided + self._compose(self.tracker.see(evidence))

    def advance(self, now: float) -> Decided:
        """Let time pass until `now`; gives what that decided."""
        return self._by_the_calendar(now) + self._compose(self.tracker.advance(now))

    def recall(self, visits: Iterable[StoredVisit]) -> None:
        """Take up the visits of before a restart, once UTC can be trusted."""
        for visit in visits:
            self.composer.entered[visit.id] = visit.entered_unix
            self.tracker.recall(self._recalled(visit), self._clock.now())

    def replace_roster(self, directory: Directory, at: float) -> Decided:
        """Put a new roster in force at `at`, and forget who is no longer on it.

        Returns:
            What was decided before.
        """
        decided = self.advance(at)
        self.identifier.directory = directory
        self._lease_ended = False
        for visitor in directory.roster.visitors.absent(self.tracker.visitors):
            self.tracker.see(Withdrawal(at, visitor))
        return decided

    def forget(self, visitor: str, at: float) -> Decided:
        """Forget a visitor as of `at`, whether she is on the roster or not; no exit is told.

        Returns:
            What was decided before.
        """
        decided = self.advance(at)
        self.tracker.see(Withdrawal(at, visitor))
        return decided

    def stored_visits(self) -> list[StoredVisit]:
        """Give what must outlive a restart, and forget the entry times of all else."""
        visits = self.tracker.open_visits
        kept = {visit.id for visit in visits}
        for visit in self.composer.entered.keys() - kept:
            del self.composer.entered[visit]
        return [self._stored(visit) for visit in visits]

    def _unix_if_known(self, at: float) -> float | None:
        if self._clock.quality() is ClockQuality.UNSYNCHRONISED:
            return None
        return self._clock.unix(at)

    def _by_the_calendar(self, now: float) -> Decided:
        """Tell the tracker what UTC alone decides up to `now`, in order."""
        decided: Decided = []
        if self._doors is not None and now >= self._doors.asks_at:
            for turn in self._doors.turns(now, self._unix_if_known(0.0)):
                decided += self._end_lease(turn.at) + self._compose(self.tracker.see(turn))
        return decided + self._end_lease(now)

    def _lease_at(self) -> float | None:
        """Give the boot-clock instant at which the roster's lease ends, while it lies ahead."""
        return None if self._lease_ended else self._lease_ends()

    def _lease_ends(self) -> float | None:
        not_after = self.identifier.directory.roster.not_after
        return None if not_after is None else not_after - self._clock.unix(0.0)

    def _end_lease(self, now: float) -> Decided:
        at = self._lease_ends()
        self._newest = max(self._newest, now)
        if self._lease_ended:  # unless by a clock that ran ahead, and has been set back
            self._lease_ended = at is not None and at <= self._newest
            return []
        if at is None or at > now:
            return []
        self._lease_ended = True
        self.identifier.bindings.clear()
        return self._compose(self.tracker.see(LeaseExpired(at)))

    def _compose(self, events: list[PresenceEvent]) -> Decided:
        return [(self.composer.draft(event), self._visit_after(event)) for event in events]

    def _visit_after(self, event: PresenceEvent) -> StoredVisit:
        visit = self.tracker.visit_of(event.visit.visitor)
        if visit is None or visit.id != event.visit.id:  # ended for good
            told = event.visit
            visit = OpenVisit(
                told.id,
                told.visitor,
                told.zone,
                told.entered_at,
                max(event.at, told.entered_at),
                exit_decided_at=told.decided_at,
            )
        return self._stored(visit)

    def _name_visit(self, visitor: str, entered_at: float) -> str:
        """Name a visit by who, where and when, so that two gateways that saw it agree."""
        entered_ms = round(self._clock.unix(entered_at) * 1000)
        return str(uuid.uuid5(_VISITS, f"{self._names}{visitor}/{entered_ms}"))

    def _stored(self, visit: OpenVisit) -> StoredVisit:
        left = visit.exit_decided_at
        epoch = self._clock.unix(0.0)
        entered_unix = self.composer.entered.get(visit.id, epoch + visit.entered_at)
        if self._clock.quality() is ClockQuality.UNSYNCHRONISED:  # as after a step to 1970
            epoch = entered_unix - visit.entered_at
        return StoredVisit(
            id=visit.id,
            visitor=visit.visitor,
            zone=visit.zone,
            boot=self._boot,
            entered_at=visit.entered_at,
            last_at=visit.last_at,
            entered_unix=entered_unix,
            last_unix=epoch + visit.last_at,
            milestones=visit.milestones,
            sources=visit.sources,
            exit_decided_at=left,
            exit_decided_unix=None if left is None else epoch + left,
            fixture=None if visit.fixture is None else visit.fixture.value,
        )

    def _recalled(self, visit: StoredVisit) -> OpenVisit:
        """Bring a stored visit into this boot's clock.

        After another boot only the outage is measured in UTC: how long she had stayed until her
        last evidence was measured by the clock of then, whatever UTC did meanwhile. An instant
        that would lie ahead, because UTC was set back, is now.
        """
        last, left = visit.last_at, visit.exit_decided_at
        if visit.boot != self._boot:
            epoch, now = self._clock.unix(0.0), self._clock.now()
            last = min(visit.last_unix - epoch, now)
            left = visit.exit_decided_unix
            left = None if left is None else min(left - epoch, now)
        return OpenVisit(
            visit.id,
            visit.visitor,
            visit.zone,
            last - (visit.last_at - visit.entered_at),
            last,
            visit.milestones,
            visit.sources,
            left,
            _FIXTURES.get(visit.fixture or ""),
        )
