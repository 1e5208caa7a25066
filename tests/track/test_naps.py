"""How long a phone may be silent: what it has shown, over what its kind does."""

from __future__ import annotations

import math

import pytest

from edge_agent.model import Method
from edge_agent.track import naps as rule
from edge_agent.track.naps import NAP_S, NapLengths, Naps


def phone(method: Method = Method.APP, *, naps: int = 0, awake_s: int = 0) -> Naps:
    """Give a phone that napped so often, and was heard in the store for so long."""
    one = Naps(method)
    for _ in range(naps):
        one.wake()
    for _ in range(awake_s):
        one.hear(1.0, inside=True)
    return one


@pytest.mark.parametrize("method", list(Method))
def test_every_nap_raises_the_rate(method: Method) -> None:
    """Ten minutes awake, and none to five naps."""
    rates = [phone(method, naps=naps, awake_s=600).rate for naps in range(6)]
    assert rates == sorted(set(rates))


@pytest.mark.parametrize("method", list(Method))
def test_every_minute_awake_lowers_the_rate(method: Method) -> None:
    """Two naps, and a minute to an hour awake."""
    rates = [phone(method, naps=2, awake_s=60 * minutes).rate for minutes in (1, 5, 15, 60)]
    assert rates == sorted(set(rates), reverse=True)


def test_a_kind_that_locks_is_expected_to_nap() -> None:
    """Of nothing heard yet: an iPhone more than an Android, that more than a tag."""
    rates = [phone(kind).rate for kind in (Method.APP_IOS, Method.APP, Method.TAG)]
    assert rates == sorted(set(rates), reverse=True)


def test_an_hour_awake_makes_a_steady_phone_of_any() -> None:
    """Even an iPhone, when it was held all the time: less than a nap in two hours."""
    assert phone(Method.APP_IOS, awake_s=3600).rate < 1 / 7200


def test_a_phone_that_naps_does_so_as_often_as_it_did() -> None:
    """Thirty naps in an hour awake: one in two minutes."""
    assert phone(naps=30, awake_s=3600).rate == pytest.approx(1 / 120, rel=0.1)


@pytest.mark.parametrize(("naps", "awake_s"), [(0, 0), (0, 400), (1, 400), (3, 400), (1, 5000)])
def test_the_rate_is_the_mixture_of_the_steady_and_the_nappers(naps: int, awake_s: int) -> None:
    """Integrated over all rates a napper may have: only nappers' naps count.

    It reaches inside for the prior, so that the prior may be tuned.
    """
    shape, share = rule._NAPPER_SHAPE, rule._NAPPERS[Method.APP]
    scale = shape * rule._NAPPER_AWAKE_S
    step = 1e-5
    likely = total = 0.0
    for number in range(1, 20000):
        rate = number * step
        prior = scale**shape * rate ** (shape - 1) * math.exp(-scale * rate) / math.gamma(shape)
        weight = step * prior * rate**naps * math.exp(-rate * awake_s)
        likely, total = likely + weight, total + weight * rate
    outage = rule._OUTAGE_RATE
    steady = (1 - share) * outage**naps * math.exp(-outage * awake_s)
    expected = share * total / (share * likely + steady)
    assert phone(naps=naps, awake_s=awake_s).rate == pytest.approx(expected, rel=0.01)


def test_only_time_awake_in_the_store_counts() -> None:
    """Neither what was heard outside nor the naps themselves."""
    one = phone(awake_s=100)
    before = one.rate
    one.hear(5.0, inside=False)
    one.hear(NAP_S + 40.0, inside=True)
    assert one.rate == before


def test_the_cadence_is_how_often_it_is_heard() -> None:
    """A phone heard every five seconds, and a nap in between does not make it ten."""
    one = Naps(Method.APP)
    for _ in range(50):
        one.hear(5.0, inside=True)
    assert one.cadence == pytest.approx(5.0, abs=0.1)
    one.hear(300.0, inside=True)
    assert one.cadence < 10


def test_only_steady_kinds_that_never_napped_are_steady() -> None:
    """An Android, a tag; no iPhone; nobody after a nap."""
    kinds = [kind for kind in Method if phone(kind).steady]
    assert kinds == [Method.APP, Method.TAG]
    assert not phone(naps=1).steady


def test_naps_last_for_a_minute_as_a_rule_and_for_minutes_at_times() -> None:
    """The prior: log-normal with a median of 55 s, to within 4 %."""
    lengths = NapLengths()
    for seconds in (8.0, 15.0, 30.0, 55.0, 100.0, 200.0, 400.0):
        longer = 0.5 * math.erfc(math.log(seconds / 55.0) / math.sqrt(2.0))
        assert lengths.longer_than(seconds) == pytest.approx(longer, abs=0.04)


def test_the_longer_the_fewer() -> None:
    """From one to nearly none, never rising, before and after it has learnt."""
    lengths = NapLengths()
    for taught in ([], [25.0, 30.0, 70.0, 120.0] * 30):
        for nap in taught:
            lengths.add(nap)
        shares = [lengths.longer_than(float(seconds)) for seconds in range(1, 1200, 7)]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] == 1
        assert 0 < shares[-1] < 0.05


def test_a_store_of_long_naps_is_learnt() -> None:
    """A hundred naps of 250 s: most last for four minutes, hardly one for eight."""
    lengths = NapLengths()
    before = lengths.longer_than(240.0)
    for _ in range(100):
        lengths.add(250.0)
    assert before < 0.15
    assert lengths.longer_than(195.0) > 0.75
    assert lengths.longer_than(480.0) < 0.05
    assert lengths.learnt == pytest.approx(100)


def test_one_nap_teaches_little() -> None:
    """The prior is worth several."""
    lengths = NapLengths()
    before = lengths.longer_than(100.0)
    lengths.add(300.0)
    assert before < lengths.longer_than(100.0) < before + 0.15


def test_short_silences_are_not_forgotten_by_being_uncounted() -> None:
    """Silences below `NAP_S` are not told to it: what it knows of them stays."""
    lengths = NapLengths()
    before = lengths.longer_than(12.0)
    for _ in range(100):
        lengths.add(40.0)
    assert lengths.longer_than(12.0) == pytest.approx(before)
