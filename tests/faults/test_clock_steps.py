"""The wall clock is stepped under the real pipeline: what it says of a stay stays true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.identify.eid import WINDOW_S
from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Member, Roster
from edge_agent.model import Advertisement, Backend, RadioAddress
from edge_agent.pipeline import Decided, Pipeline
from edge_agent.publish.contract import ClockQuality, DwellData, EnterData, ExitData, GapData
from edge_agent.publish.outbox import Outbox
from simulators.credentials import NAMESPACE, android_service_data, ephemeral_id

HOUR = 3600.0
RIGHT = 1_795_000_000.0  # Unix time of boot-clock 0, as it truly is
FIRST_BUILT = 1_793_000_000.0  # a clock before this has not been set
TAG = bytes(range(20))
KEY = bytes(range(16))
PHONE = RadioAddress.parse("C0:11:22:33:44:55")


class KernelClock:
    """The machine's two clocks: boot time, and a wall clock that somebody may step."""

    def __init__(self, *, off: float = 0.0, booted: float = 0.0) -> None:
        """Boot `booted` seconds after the first boot, with the wall clock `off` seconds wrong."""
        self.at = 0.0
        self.off = off
        self._booted = booted

    def now(self) -> float:
        """Boot-clock seconds."""
        return self.at

    def unix(self, at: float) -> float:
        """By the wall clock as it is set now."""
        return RIGHT + self._booted + at + self.off

    def quality(self) -> ClockQuality:
        """As a gateway in a container: plausible, or not set."""
        plausible = self.unix(self.at) >= FIRST_BUILT
        return ClockQuality.HOLDOVER if plausible else ClockQuality.UNSYNCHRONISED

    def seconds_until(self, at: float) -> float:
        """How long to sleep."""
        return at - self.at


class Store:
    """A store with a tag and a phone on its roster, and who is heard in it."""

    def __init__(
        self, clock: KernelClock, boot: str = "boot-1", lease: float | None = None
    ) -> None:
        """Begin a life of the agent."""
        values: dict[str, Any] = {
            "tenant": "acme",
            "store": "0042",
            "gateway": "gw-1",
            "mqtt": {"url": "mqtts://broker.example"},
            "roster": {"public_key": "ab" * 32},
            "ble": {"namespace": str(NAMESPACE)},
            "presence": {"dwell_milestones": ["1min", "5min", "15min"]},
        }
        self.clock = clock
        roster = Roster.of([Member("tag", ibeacon=TAG), Member("phone", identity_key=KEY)])
        self.directory = Directory(replace(roster, not_after=lease))
        held: Clock = clock
        self.pipeline = Pipeline(Config(**values), self.directory, held, boot)
        self.told: Decided = []

    def hear_tag(self) -> None:
        """The tag is near the gateway."""
        self._hear({76: b"\x02\x15" + TAG + b"\xc5"}, {})

    def hear_phone(self) -> None:
        """The phone is: it shows the EID of true time, for its own clock is right."""
        eid = ephemeral_id(KEY, int(RIGHT + self.clock.at))
        self.directory.ensure(self.clock.unix(self.clock.at))
        self._hear({}, {str(NAMESPACE): android_service_data(eid, -59)})

    def _hear(self, manufacturer: dict[int, bytes], service: dict[str, bytes]) -> None:
        heard = Advertisement(
            self.clock.at, "gw-1", "ble", Backend.TRACE, PHONE, -55, service, manufacturer, ()
        )
        self.told += self.pipeline.feed(heard)

    def stay(self, until: float, steps: dict[float, float] | None = None) -> None:
        """Let the tag be heard every 5 s, and the wall clock be set wrong by so much at times."""
        pending = sorted((steps or {}).items())
        while self.clock.at < until:
            while pending and pending[0][0] <= self.clock.at:
                self.clock.off = pending.pop(0)[1]
            self.hear_tag()
            self.told += self.pipeline.advance(self.clock.at)
            self.clock.at += 5.0

    def leave(self) -> None:
        """Let nobody be heard until everybody has left."""
        for _ in range(400):  # longer than a deaf gateway waits
            self.clock.at += 5.0
            self.told += self.pipeline.advance(self.clock.at)

    @property
    def kinds(self) -> list[str]:
        """Name what was told."""
        return [draft.type.split(".")[1] for draft, _ in self.told]


def judge(told: Decided, stay: float) -> None:
    """One visit of `stay` seconds: right to the second, in one UTC, in order."""
    data = [draft.data for draft, _ in told if not isinstance(draft.data, GapData)]
    assert isinstance(data[0], EnterData)
    assert isinstance(data[-1], ExitData)
    assert len({one.visit for one in data}) == 1
    assert len({one.entered_at for one in data}) == 1
    leave = data[-1]
    assert leave.dwell_s == pytest.approx(stay, abs=1.0)
    assert (leave.exited_at - leave.entered_at).total_seconds() == pytest.approx(
        leave.dwell_s, abs=0.01
    )
    milestones = [one for one in data if isinstance(one, DwellData)]
    assert [one.milestone_s for one in milestones] == [m for m in (60, 300, 900) if m <= stay]
    assert all(one.milestone_s <= one.dwell_s for one in milestones)
    known = [one.decided_at for one in data]
    assert known == sorted(known)
    happened = [draft.time for draft, _ in told]
    assert happened == sorted(happened)


stays = st.integers(20, 240).map(lambda n: n * 5.0)
offsets = st.one_of(
    st.sampled_from([0.0, HOUR, -HOUR, -RIGHT]),  # the last is a clock set to 1970
    st.floats(-10 * 365 * 86400.0, 10 * 365 * 86400.0),
)
# Not to 1970 while she comes: then nothing resolves, and she has not come yet.
steps_of = st.dictionaries(st.floats(20.0, 1200.0), offsets, max_size=5)


@given(stay=stays, steps=steps_of)
@settings(max_examples=60, deadline=None)
def test_no_step_of_the_clock_changes_how_long_she_stayed(
    stay: float, steps: dict[float, float]
) -> None:
    """Whenever and however far: dwell within a second, one entry, everything in order.

    A clock before the release of the software is none: what it forbids to resolve is not heard, so
    such steps are put right within the visit.
    """
    store = Store(KernelClock())
    plausible = {at: off for at, off in steps.items() if RIGHT + off > FIRST_BUILT + 1e5}
    store.stay(stay + 5.0, plausible)
    store.leave()
    judge(store.told, stay)


def test_a_clock_that_falls_back_to_1970_ends_no_visit_and_tells_no_nonsense() -> None:
    """For a minute of a visit nothing resolves; she is still the same visitor when it is over."""
    store = Store(KernelClock())
    store.stay(305.0, {120.0: -RIGHT, 180.0: 0.0})
    store.leave()
    judge(store.told, 300.0)


def test_nothing_resolves_before_the_clock_is_set() -> None:
    """It says 1970 until 100 s: who was heard before is not told, and came at 100 s."""
    store = Store(KernelClock(off=-RIGHT))
    store.stay(100.0)
    assert store.told == []
    store.stay(405.0, {100.0: 0.0})
    store.leave()
    judge(store.told, 300.0)
    assert store.told[0][0].time.timestamp() == RIGHT + 100.0


@given(
    stay=stays,
    part=st.floats(0.2, 0.9),
    outage=st.floats(0.0, 60.0),
    steps=st.lists(st.sampled_from([0.0, HOUR, -HOUR, 7 * 86400.0]), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_a_restart_in_the_middle_of_a_stepped_visit_changes_nothing(
    stay: float, part: float, outage: float, steps: list[float]
) -> None:
    """The agent ends, the clock is stepped before, during and after it, and it starts again."""
    clock = KernelClock()
    first = Store(clock)
    first.stay(stay * part + 30.0, {20.0: steps[0]})
    kept = first.pipeline.stored_visits()
    clock.at += outage
    clock.off = steps[1]
    second = Store(clock)
    second.pipeline.recall(kept)
    resumes = clock.at
    second.stay(resumes + stay, {resumes + 10.0: steps[2]})
    last = clock.at - 5.0
    second.leave()
    judge(first.told + second.told, last)


@given(
    before=st.sampled_from([0.0, HOUR, -HOUR]),
    checkpoint=st.sampled_from([0.0, HOUR, -HOUR]),
    outage=st.floats(5.0, 120.0),
)
@settings(max_examples=30, deadline=None)
def test_a_reboot_in_the_middle_of_a_stepped_visit_costs_no_second(
    before: float, checkpoint: float, outage: float
) -> None:
    """Her stay so far was measured by the boot clock of then, and only the outage by UTC.

    The clock was wrong when she came, and stepped before the last checkpoint; the new boot agrees
    with UTC as it was at that checkpoint.
    """
    clock = KernelClock(off=before)
    first = Store(clock)
    first.stay(400.0, {100.0: checkpoint})
    kept = first.pipeline.stored_visits()
    ended = clock.at
    rebooted = KernelClock(off=checkpoint, booted=ended + outage)
    second = Store(rebooted, boot="boot-2")
    second.pipeline.recall(kept)
    second.stay(205.0)
    second.leave()
    judge(first.told + second.told, ended + outage + 200.0)


def test_a_reboot_into_the_past_holds_no_visit_open() -> None:
    """The clock of the new boot is an hour behind: her last evidence is not in the future."""
    clock = KernelClock()
    first = Store(clock)
    first.stay(400.0)
    kept = first.pipeline.stored_visits()
    second = Store(KernelClock(off=-HOUR, booted=clock.at + 10.0), boot="boot-2")
    second.pipeline.recall(kept)
    second.leave()
    judge(first.told + second.told, 395.0)


def test_a_visit_stored_in_1970_is_taken_up_where_it_was() -> None:
    """The clock fell back during the visit, and the agent was killed then."""
    clock = KernelClock()
    first = Store(clock)
    first.stay(300.0)
    clock.off = -RIGHT
    kept = first.pipeline.stored_visits()
    second = Store(KernelClock(booted=clock.at + 10.0), boot="boot-2")
    second.pipeline.recall(kept)
    second.stay(100.0)
    second.leave()
    assert second.kinds[-1] == "exit"
    judge(first.told + second.told, 300.0 + 10.0 + 95.0)


def test_suspend_counts_as_time() -> None:
    """The gateway sleeps for two minutes of the visit; the boot clock runs on, and so does UTC."""
    store = Store(KernelClock())
    store.stay(300.0)
    store.clock.at += 120.0
    store.stay(500.0)
    store.leave()
    judge(store.told, 495.0)


def test_a_window_of_identifiers_that_rolls_during_a_step_ends_no_visit() -> None:
    """The clock is an hour off across the roll of a window: she is unknown meanwhile, not gone."""
    store = Store(KernelClock())
    roll = WINDOW_S - RIGHT % WINDOW_S
    store.clock.at = roll - 100.0
    came = store.clock.at
    while store.clock.at < roll + 200.0:
        store.clock.off = HOUR if -20 <= store.clock.at - roll < 60 else 0.0
        store.hear_phone()
        store.told += store.pipeline.advance(store.clock.at)
        store.clock.at += 5.0
    last = store.clock.at - 5.0
    store.leave()
    judge(store.told, last - came)


def test_a_lease_ended_by_a_clock_that_ran_ahead_goes_on_when_it_is_set_back() -> None:
    """An hour ahead for a minute: nothing resolves while it says so, and then it does again."""
    store = Store(KernelClock(), lease=RIGHT + HOUR)
    store.stay(300.0, {200.0: HOUR, 260.0: 0.0})
    assert store.kinds[:4] == ["enter", "dwell", "exit", "enter"]
    store.stay(HOUR + 100.0)
    ends = [draft for draft, _ in store.told if isinstance(draft.data, ExitData)]
    assert [draft.data.reason for draft in ends if isinstance(draft.data, ExitData)] == [
        "lease_expired"
    ] * 2
    assert not store.pipeline.stored_visits()


def test_the_outbox_takes_events_of_any_clock() -> None:
    """Told in 1970, in order, and numbered."""
    store = Store(KernelClock())
    store.stay(305.0, {100.0: -10 * 86400.0})
    store.leave()
    outbox = Outbox.in_memory("e")
    drafts = [draft for draft, _ in store.told]
    rows = outbox.commit(drafts, store.pipeline.composer.number, [v for _, v in store.told])
    assert [seq for seq, _ in rows] == list(range(1, len(drafts) + 1))
