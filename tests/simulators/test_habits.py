"""What people and their phones do in a store day, as one would measure it at the gateway."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest

from simulators.day import Day
from simulators.phones import Kind
from simulators.plan import PLANS
from simulators.shoppers import Shoppers
from simulators.store import simulate
from simulators.truth import TrueVisit
from tests.simulators.hearing import ble_sightings, levels, sightings

SILENCES = (30.0, 60.0, 90.0, 120.0, 180.0, 300.0)  # s
# An independent simulation: 120 visits, one gateway mid-floor, half of the iPhones on the Wi-Fi.
FALSE_EXITS = (3.8, 1.75, 0.88, 0.51, 0.22, 0.03)  # per visit
EXIT_LATENCY = (44.0, 74.0, 102.0, 132.0, 191.0, 311.0)  # s, median
AUDIBLE = 60.0  # s after the door by which everybody is out of earshot


@pytest.fixture(scope="module")
def days() -> list[Day]:
    """Ten days of the default store without strangers, whom no rule would notice."""
    return [simulate(PLANS["mid-floor"], seed, strangers=0) for seed in range(100, 110)]


def _exits(heard: Sequence[float], silence: float) -> list[float]:
    """Decide that a visitor has left whenever she was unheard for so many seconds."""
    return [a + silence for a, b in pairwise([*heard, np.inf]) if b - a > silence]


def _judged(
    visits: Sequence[TrueVisit], heard: Mapping[str, Sequence[float]], silence: float
) -> tuple[int, list[float]]:
    """Count the exits decided during a visit, and time those that ended one."""
    false, latencies = 0, []
    for visit in visits:
        assert visit.entered
        assert visit.exited
        begins, ends = visit.entered.lo, visit.exited.hi
        exits = _exits(heard.get(visit.visitor, []), silence)
        false += sum(begins <= at < ends for at in exits)
        after = [at for at in exits if at >= ends]
        latencies += [after[0] - ends] if after and after[0] <= ends + silence + 60.0 else []
    return false, latencies


@pytest.fixture(scope="module")
def heard(days: list[Day]) -> list[dict[str, list[float]]]:
    """When each visitor was heard, on each of the days."""
    return [sightings(day) for day in days]


@pytest.fixture(scope="module")
def curve(days: list[Day], heard: list[dict[str, list[float]]]) -> dict[float, tuple[float, float]]:
    """False exits per visit, and the median exit latency in s, by the silence asked for."""
    found = {}
    for silence in SILENCES:
        judged = [
            _judged(day.truth.visits, who, silence) for day, who in zip(days, heard, strict=True)
        ]
        visits = sum(len(day.truth.visits) for day in days)
        latencies = [at for _, latency in judged for at in latency]
        found[silence] = sum(false for false, _ in judged) / visits, float(np.median(latencies))
    return found


@pytest.mark.parametrize(
    ("silence", "false_exits", "latency"),
    list(zip(SILENCES, FALSE_EXITS, EXIT_LATENCY, strict=True)),
)
def test_a_fixed_silence_does_as_it_does_elsewhere(
    curve: dict[float, tuple[float, float]], silence: float, false_exits: float, latency: float
) -> None:
    """A timeout has the false exits and the latency that it has in the independent simulation.

    Of 300 s there are but some forty in ten days, so chance may have more of a say.
    """
    tolerance = 0.2 if silence < 300.0 else 0.6
    found = curve[silence]
    assert found[0] == pytest.approx(false_exits, rel=tolerance)
    assert found[1] == pytest.approx(latency, rel=0.08)


def test_half_of_those_who_leave_are_heard_for_ten_seconds_more(
    days: list[Day], heard: list[dict[str, list[float]]]
) -> None:
    """The median leaver is audible for 8 to 15 s after the door.

    By so much a silence's exit latency is longer than the silence.
    """
    last = []
    for day, who in zip(days, heard, strict=True):
        for visit in day.truth.visits:
            assert visit.exited
            left = visit.exited.lo
            near = [at for at in who.get(visit.visitor, []) if at <= left + AUDIBLE]
            last += [near[-1] - left] if near else []
    assert 8.0 < np.median(last) < 15.0


def test_most_who_walk_past_are_heard(days: list[Day]) -> None:
    """Of passers-by 95 % are heard at all, and 26 % above -80 dBm (the same simulation)."""
    passed = heard_at_all = heard_well = 0
    for day in days:
        heard = levels(day)
        passed += len(day.truth.passers_by)
        for walk in day.truth.passers_by:
            strengths = [rssi for _, rssi in heard.get(walk.visitor, [])]
            heard_at_all += bool(strengths)
            heard_well += any(rssi > -80 for rssi in strengths)
    assert heard_at_all / passed == pytest.approx(0.95, abs=0.04)
    assert heard_well / passed == pytest.approx(0.26, abs=0.06)


def test_hardly_anybody_is_never_receivable(
    days: list[Day], heard: list[dict[str, list[float]]]
) -> None:
    """BLE could not hear one visit in two hundred, half of them heard on the Wi-Fi.

    No tracker can do anything about them.
    """
    visits = [visit for day in days for visit in day.truth.visits]
    silent = sum(visit.first_receivable is None for visit in visits)
    assert 0.0 < silent / len(visits) < 0.008
    unheard = sum(
        visit.visitor not in who
        for day, who in zip(days, heard, strict=True)
        for visit in day.truth.visits
    )
    assert unheard / len(visits) < 0.004


def test_a_visit_is_heard_as_soon_as_it_is_receivable(days: list[Day]) -> None:
    """No sighting inside precedes the first receivable advertisement, and most follow within 2 s.

    A packet may be lost, and so may the next.
    """
    waits = []
    for day in days:
        heard = ble_sightings(day)
        for visit in day.truth.visits:
            if visit.entered is None or visit.exited is None or visit.first_receivable is None:
                continue
            inside = [
                at
                for at in heard.get(visit.visitor, [])
                if visit.entered.lo + 0.001 <= at <= visit.exited.hi
            ]
            waits += [inside[0] - visit.first_receivable] if inside else []
    assert min(waits) >= -0.001
    assert np.quantile(waits, (0.5, 0.9)) == pytest.approx((0.0, 1.0), abs=1.1)


def test_a_slow_android_is_silent_for_as_long_as_recorded() -> None:
    """Its gaps last 30 to 286 s (starksm64), half of them more than 75 s."""
    only = Shoppers({Kind.SLOW_ANDROID: 1.0}, returning=0.0)
    day = simulate(PLANS["mid-floor"], 1, strangers=0, passers_by=0, shoppers=only)
    heard = ble_sightings(day)
    gaps = [b - a for times in heard.values() for a, b in pairwise(times) if b - a > 30.0]
    assert len(gaps) > 200
    assert np.quantile(gaps, 0.98) < 290.0  # a weak phone may go unheard for two in a row
    assert np.median(gaps) == pytest.approx(75.0, rel=0.1)


def test_an_association_carries_a_visit() -> None:
    """An iPhone on the Wi-Fi is unheard for over two minutes a tenth as often as one that is not.

    Its frames fill the silence of its locked app.
    """
    gaps: dict[float, int] = defaultdict(int)
    for share in (0.0, 1.0):
        only = Shoppers({Kind.IPHONE: 1.0}, wifi=share)
        day = simulate(PLANS["mid-floor"], 1, strangers=0, passers_by=0, shoppers=only)
        who = sightings(day)
        for visit in day.truth.visits:
            assert visit.exited
            times = [at for at in who.get(visit.visitor, []) if at < visit.exited.lo]
            gaps[share] += sum(b - a > 120.0 for a, b in pairwise(times))
    assert gaps[0.0] > 60
    assert gaps[1.0] < gaps[0.0] / 5
