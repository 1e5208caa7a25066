"""A store's day told to a tracker: she is heard, time passes, and what comes out is read back.

`floor` is heard by gw-1 and gw-2, `cafe` by gw-3, the outside zone `street` by gw-4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edge_agent.model import (
    Dwell,
    Enter,
    Evidence,
    Exit,
    LeaseExpired,
    Method,
    Move,
    PresenceEvent,
    RadioState,
    Sighting,
    Sign,
)
from edge_agent.track.belief import Floor
from edge_agent.track.evidence import EvidenceRule
from edge_agent.track.presence import OpenVisit
from edge_agent.track.store import Store
from edge_agent.track.tracker import Tracker, TrackerSettings

NEAR = -55  # beside the gateway
FAINT = -88  # at the edge of reception
GONE = -93  # a step before silence
FLOOR = Floor(
    zones={"gw-1": "floor", "gw-2": "floor", "gw-3": "cafe", "gw-4": "street"},
    outside=frozenset({"street"}),
)


def new_store(settings: TrackerSettings, without: Iterable[str] = ()) -> Store:
    """Give a store of which nothing is known yet, judged without some kinds of evidence."""
    return Store(
        FLOOR,
        settings.exit_after_at_most,
        settings.enter_confidence,
        without=frozenset(without),
    )


def new_tracker(settings: TrackerSettings | None = None, store: Store | None = None) -> Tracker:
    """Give a tracker that names a visit by who entered when."""
    settings = settings or TrackerSettings()
    rule = EvidenceRule(store or new_store(settings))
    return Tracker(rule, settings, lambda visitor, at: f"{visitor}@{at:g}")


def ramp(begins: int, ends: int, levels: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Give each second from `begins` until `ends`, and a level on the way, dBm."""
    first, last = levels
    for at in range(begins, ends):
        yield at, round(first + (last - first) * (at - begins) / (ends - begins))


def say(event: PresenceEvent) -> str:
    """Put an event into a few words: what, where, and when it happened."""
    match event:
        case Enter():
            again = " again" if event.resumed else ""
            return f"enter{again} {event.visit.zone} @{event.at:g}"
        case Dwell():
            return f"dwell {event.milestone_s} @{event.at:g}"
        case Move():
            return f"move {event.from_zone}>{event.visit.zone} @{event.at:g}"
        case Exit():
            return f"exit {event.reason.value} @{event.at:g}"


class Story:
    """One telling. `events` are all that came out so far."""

    def __init__(
        self,
        *,
        exit_after: float = 360.0,
        resume_within: float = 120.0,
        milestones: tuple[int, ...] = (),
        sure: float = 0.9,
        without: Iterable[str] = (),
    ) -> None:
        """Begin with an empty store."""
        self.settings = TrackerSettings(sure, exit_after, resume_within, milestones)
        self.store = new_store(self.settings, without)
        self.tracker = new_tracker(self.settings, self.store)
        self.events: list[PresenceEvent] = []

    @property
    def told(self) -> list[str]:
        """What came out, in words."""
        return [say(event) for event in self.events]

    @property
    def outline(self) -> list[str]:
        """What came out, without the times."""
        return [words.split(" @")[0] for words in self.told]

    @property
    def last(self) -> PresenceEvent:
        """The newest event."""
        return self.events[-1]

    def sees(self, evidence: Evidence) -> None:
        """Tell one thing."""
        self.events += self.tracker.see(evidence)

    def heard(
        self,
        times: Iterable[float],
        rssi: int | None = NEAR,
        *,
        gateway: str = "gw-1",
        who: str = "anna",
        method: Method = Method.APP,
        radio: str = "ble",
        silence_counts: bool = True,
    ) -> None:
        """She is heard by Bluetooth at these seconds."""
        for at in times:
            self.sees(
                Sighting(
                    float(at),
                    who,
                    gateway,
                    radio,
                    method,
                    rssi,
                    silence_counts=silence_counts,
                )
            )

    def walks(
        self,
        begins: int,
        ends: int,
        levels: tuple[int, int],
        *,
        gateway: str = "gw-1",
        who: str = "anna",
        method: Method = Method.APP,
    ) -> None:
        """Her level at one gateway goes from the one to the other, heard once a second."""
        for at, rssi in ramp(begins, ends, levels):
            self.heard([at], rssi, gateway=gateway, who=who, method=method)

    def wifi(self, sign: Sign, *times: float, gateway: str = "gw-1", who: str = "anna") -> None:
        """Her station gives a sign at these seconds."""
        for at in times:
            self.sees(Sighting(float(at), who, gateway, "wifi", Method.WIFI, sign=sign))

    def lost(self, at: float, *, gateway: str = "gw-1", radio: str = "ble") -> None:
        """A radio is lost."""
        self.sees(RadioState(float(at), gateway, radio, listening=False))

    def recovered(self, at: float, *, gateway: str = "gw-1", radio: str = "ble") -> None:
        """A radio listens again."""
        self.sees(RadioState(float(at), gateway, radio, listening=True))

    def lease_ends(self, at: float) -> None:
        """Everybody's visit is over, wherever she is."""
        self.sees(LeaseExpired(float(at)))

    def until(self, now: float) -> None:
        """Time passes without any evidence."""
        self.events += self.tracker.advance(float(now))

    def restart(self, at: float) -> list[OpenVisit]:
        """Stop the agent and start it again; gives the visits that were kept."""
        kept = self.tracker.open_visits
        self.store = new_store(self.settings)
        self.tracker = new_tracker(self.settings, self.store)
        for visit in kept:
            self.tracker.recall(visit, float(at))
        return kept
