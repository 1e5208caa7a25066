"""What holds for every trace: drawn at random.

With visitors, zones, fixtures, closing times, losses and disorder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.model import (
    Dwell,
    Enter,
    Evidence,
    Exit,
    Method,
    Move,
    PresenceEvent,
    RadioState,
    Sighting,
    Sign,
    StoreClosed,
    StoreOpened,
)
from edge_agent.track.tracker import TrackerSettings
from tests.track.story import FLOOR, new_tracker

VISITORS = st.sampled_from(["anna", "bea", "cleo"])
GATEWAYS = st.sampled_from(["gw-1", "gw-2", "gw-3", "gw-4"])
BEGINS = st.integers(0, 9000).map(lambda tenth: tenth / 10)
SETTINGS = TrackerSettings(
    exit_after_at_most=90.0, resume_within=60.0, dwell_milestones=tuple(range(2, 302, 3))
)
FOREVER = 1e6
ROUNDED = 1e-6  # of entry and milestone added up, against the sighting that proved it


@st.composite
def spells(draw: st.DrawFn) -> list[Evidence]:
    """A visitor is heard by one gateway, steadily, for up to some minutes."""
    visitor, gateway, begins = draw(VISITORS), draw(GATEWAYS), draw(BEGINS)
    method = draw(st.sampled_from([Method.APP, Method.APP_IOS, Method.TAG]))
    period = draw(st.sampled_from([0.2, 1.0, 5.0, 11.0]))
    levels = draw(st.lists(st.integers(-95, -45) | st.none(), min_size=1, max_size=4))
    counts = draw(st.booleans() | st.just(value=True))
    return [
        Sighting(
            begins + number * period,
            visitor,
            gateway,
            "ble",
            method,
            levels[number * len(levels) // 40],
            silence_counts=counts,
        )
        for number in range(draw(st.integers(1, 40)))
    ]


@st.composite
def signs(draw: st.DrawFn) -> list[Evidence]:
    """A visitor's station says something."""
    at, visitor, gateway = draw(BEGINS), draw(VISITORS), draw(GATEWAYS)
    sign = draw(st.sampled_from(list(Sign)))
    return [Sighting(at, visitor, gateway, "wifi", Method.WIFI, sign=sign)]


@st.composite
def outages(draw: st.DrawFn) -> list[Evidence]:
    """A radio is lost, and perhaps recovers."""
    at, gateway = draw(BEGINS), draw(GATEWAYS)
    radio = draw(st.sampled_from(["ble", "wifi"]))
    lost = RadioState(at, gateway, radio, listening=False)
    back = RadioState(at + draw(BEGINS), gateway, radio, listening=True)
    return [lost, back] if draw(st.booleans()) else [lost]


@st.composite
def shelves(draw: st.DrawFn) -> list[Evidence]:
    """A tag lies still for ten hours, and may be moved once, or silent for a while."""
    visitor, gateway, begins = draw(VISITORS), draw(GATEWAYS), draw(BEGINS)
    level, changed = draw(st.integers(-95, -45)), draw(st.integers(-95, -45))
    changes, silent = draw(st.integers(0, 20)), draw(st.integers(0, 20))
    return [
        Sighting(
            begins + half_hour * 1800 + second,
            visitor,
            gateway,
            "ble",
            Method.TAG,
            level if half_hour < changes else changed,
        )
        for half_hour in range(20)
        for second in range(0, 1800, 75)
        if half_hour not in (silent, silent + 1, silent + 2)
    ]


@st.composite
def closings(draw: st.DrawFn) -> list[Evidence]:
    """The store closes, and perhaps opens again."""
    at, hours = draw(BEGINS), draw(st.integers(0, 12))
    closed, opened = StoreClosed(at + hours * 3600), StoreOpened(at + hours * 3600 + draw(BEGINS))
    return [closed, opened] if draw(st.booleans()) else [closed]


@st.composite
def traces(draw: st.DrawFn, late: float = 5.0) -> list[Evidence]:
    """Evidence in the order it arrives, each up to `late` seconds after it happened."""
    kinds = spells() | spells() | spells() | signs() | outages() | closings() | shelves()
    parts = draw(st.lists(kinds, min_size=1, max_size=10))
    evidence = [one for part in parts for one in part]
    lags = draw(st.lists(st.floats(0, late), min_size=1, max_size=7))
    arrival = {number: one.at + lags[number % len(lags)] for number, one in enumerate(evidence)}
    return [evidence[number] for number in sorted(arrival, key=lambda number: arrival[number])]


def run(trace: Sequence[Evidence], end: float = FOREVER) -> list[PresenceEvent]:
    """Track a trace, and let time pass until everybody has gone."""
    tracker = new_tracker(SETTINGS)
    events = [event for evidence in trace for event in tracker.see(evidence)]
    return events + tracker.advance(end)


@dataclass
class _Spell:
    """One visit as its events tell it."""

    enter: Enter
    dwells: list[Dwell]
    exit: Exit | None = None


def spells_of(events: Sequence[PresenceEvent]) -> dict[str, list[_Spell]]:
    """Read events as a hub does; an event out of place is an error."""
    told: dict[str, list[_Spell]] = defaultdict(list)
    for event in events:
        spells = told[event.visit.visitor]
        is_open = bool(spells) and spells[-1].exit is None
        if isinstance(event, Enter):
            assert not is_open, "a second enter"
            spells.append(_Spell(event, []))
            continue
        assert is_open, "an event of nobody's visit"
        assert event.visit.id == spells[-1].enter.visit.id, "an event of another visit"
        if isinstance(event, Exit):
            spells[-1].exit = event
        elif isinstance(event, Dwell):
            spells[-1].dwells.append(event)
    return told


@given(traces())
def test_every_enter_has_its_exit(trace: list[Evidence]) -> None:
    """They alternate for each visitor, one visit at a time, and everybody leaves in the end."""
    for spells in spells_of(run(trace)).values():
        assert all(spell.exit is not None for spell in spells)


@given(traces())
def test_a_visit_never_ends_before_it_began(trace: list[Evidence]) -> None:
    """Exit is not before entry, dwell is the time between them, and the next visit comes after."""
    for spells in spells_of(run(trace)).values():
        for spell in spells:
            assert spell.exit is not None
            assert spell.exit.at >= spell.exit.visit.entered_at
            length = spell.exit.at - spell.exit.visit.entered_at
            assert spell.exit.dwell_s == pytest.approx(length)
            assert length >= 0
        for before, after in pairwise(spells):
            assert before.exit is not None
            assert after.enter.at >= before.exit.at


@given(traces())
def test_only_an_exit_just_decided_is_resumed(trace: list[Evidence]) -> None:
    """A resumed enter has the id and entry of the visit before it; any other has new ones."""
    for spells in spells_of(run(trace)).values():
        seen: set[str] = set()
        for before, after in zip([None, *spells], spells, strict=False):
            visit = after.enter.visit
            assert after.enter.resumed == (visit.id in seen)
            if after.enter.resumed:
                assert before is not None
                assert before.exit is not None
                assert visit.entered_at == before.enter.visit.entered_at
                assert after.enter.at <= before.exit.visit.decided_at + SETTINGS.resume_within
            else:
                assert visit.entered_at == after.enter.at
            seen.add(visit.id)


@given(traces())
def test_no_exit_denies_a_milestone(trace: list[Evidence]) -> None:
    """Each once a visit, ascending, proven when told, and within the exit's dwell."""
    for spells in spells_of(run(trace)).values():
        told: dict[str, int] = defaultdict(int)
        for spell in spells:
            for dwell in spell.dwells:
                assert dwell.milestone_s > told[dwell.visit.id]
                assert dwell.dwell_s >= dwell.milestone_s
                told[dwell.visit.id] = dwell.milestone_s
            assert spell.exit is not None
            assert spell.exit.dwell_s >= told[spell.exit.visit.id]


@given(traces())
def test_nothing_is_decided_before_it_happened(trace: list[Evidence]) -> None:
    """And decisions come out in the order they were made."""
    events = run(trace)
    decided = [event.visit.decided_at for event in events]
    assert decided == sorted(decided)
    assert all(event.at <= event.visit.decided_at + ROUNDED for event in events)
    assert all(0 <= event.visit.confidence <= 1 for event in events)


@given(traces())
def test_she_moves_from_where_she_was_to_another_zone_inside(trace: list[Evidence]) -> None:
    """Never outside, never to where she is; dated after the enter and the move before."""
    at: dict[str, tuple[str, float]] = {}  # of each visitor, where since when
    for event in run(trace):
        visit = event.visit
        assert visit.zone not in FLOOR.outside
        zone, since = at.get(visit.visitor, ("", event.at))
        if isinstance(event, Move):
            assert event.from_zone == zone != visit.zone
            assert event.at >= since
        if isinstance(event, Enter | Move):
            at[visit.visitor] = visit.zone, event.at
        else:
            assert visit.zone == zone


@given(traces())
def test_the_same_trace_gives_the_same_events(trace: list[Evidence]) -> None:
    """To the last digit."""
    assert run(trace) == run(trace)


@given(traces(), st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_ticks_between_evidence_change_nothing(trace: list[Evidence], parts: list[float]) -> None:
    """Advancing as often as one likes, never beyond the next evidence."""
    tracker = new_tracker(SETTINGS)
    events: list[PresenceEvent] = []
    now = 0.0
    for number, evidence in enumerate(trace):
        for part in sorted(parts[: number % 4]):
            events += tracker.advance(now + part * max(0.0, evidence.at - now))
        events += tracker.see(evidence)
        now = max(now, evidence.at)
    assert events + tracker.advance(FOREVER) == run(trace)


@given(traces(), st.lists(st.floats(0, 4000), max_size=30))
def test_many_small_advances_are_one_big_one(trace: list[Evidence], steps: list[float]) -> None:
    """What falls due is decided at its own instant, not at the caller's."""
    tracker = new_tracker(SETTINGS)
    events = [event for evidence in trace for event in tracker.see(evidence)]
    newest = max(evidence.at for evidence in trace)
    for step in sorted(steps):
        events += tracker.advance(newest + step)
    assert events + tracker.advance(FOREVER) == run(trace)


@given(traces())
def test_following_the_deadline_misses_nothing(trace: list[Evidence]) -> None:
    """Advanced to each deadline alone, as the daemon does, everybody leaves at the same instant."""
    tracker = new_tracker(SETTINGS)
    events = [event for evidence in trace for event in tracker.see(evidence)]
    while (deadline := tracker.deadline) is not None:
        events += tracker.advance(deadline)
    assert events == run(trace)
    assert tracker.visitors == []


@given(traces(), st.integers(0, 200), st.floats(0, 300))
def test_a_restart_doubles_nothing_and_orphans_nothing(
    trace: list[Evidence], stops_after: int, outage: float
) -> None:
    """Stopped anywhere, deaf for a while, started: enters and exits still alternate."""
    before = new_tracker(SETTINGS)
    events = [event for evidence in trace[:stops_after] for event in before.see(evidence)]
    stopped = max((evidence.at for evidence in trace[:stops_after]), default=0.0)
    events += before.advance(stopped)
    after = new_tracker(SETTINGS)
    for visit in before.open_visits:
        after.recall(visit, stopped + outage)
    for evidence in trace[stops_after:]:
        events += after.see(replace(evidence, at=evidence.at + outage))
    events += after.advance(FOREVER)
    for spells in spells_of(events).values():
        seen: set[str] = set()
        for spell in spells:
            assert spell.exit is not None
            assert spell.enter.resumed == (spell.enter.visit.id in seen)
            seen.add(spell.enter.visit.id)
    assert after.open_visits == []


@given(traces())
def test_nobody_enters_a_closed_store(trace: list[Evidence]) -> None:
    """And every visit is over once it has closed."""
    tracker = new_tracker(SETTINGS)
    inside: set[str] = set()
    closed = False
    for evidence in trace:
        for event in tracker.see(evidence):
            if isinstance(event, Enter):
                assert not closed
                inside.add(event.visit.visitor)
            elif isinstance(event, Exit):
                inside.remove(event.visit.visitor)
        if isinstance(evidence, StoreClosed | StoreOpened):
            closed = isinstance(evidence, StoreClosed)
        assert not (closed and inside)


@given(shelves())
def test_no_fixture_visits_for_long(trace: list[Evidence]) -> None:
    """Four hours of stillness, twice if it is moved: no visit lasts for nine."""
    for spells in spells_of(run(trace)).values():
        for spell in spells:
            assert spell.exit is not None
            assert spell.exit.visit.decided_at - spell.enter.at < 9 * 3600
