"""What a silence means: she left, her phone naps, or she stands in a dark spot."""

from __future__ import annotations

import math

import pytest

from edge_agent.track import leaving
from edge_agent.track.leaving import Onset, Trend, dark_rate, log_odds, probability
from edge_agent.track.naps import NapLengths


def onset(
    inside: float = 0.98,
    *,
    at_edge_db: float = 20.0,
    fading: float = 0.0,
    nap: float = 1e-4,
    dark: float = 1e-4,
) -> Onset:
    """Weigh the last reading of somebody in the middle of the store."""
    return Onset.of(
        inside, at_edge_db=at_edge_db, fading=fading, nap=nap, dark=dark, lengths=NapLengths()
    )


def trend(*levels: float) -> Trend:
    """Give the trend of one reading a second."""
    one = Trend()
    for at, dbm in enumerate(levels):
        one.add(float(at), dbm)
    return one


def test_the_formula_of_one_silence() -> None:
    """By hand: away 1/500 s; naps of 1/100 s, of which a share lasts 60 s; dark 1/1000 s."""
    lengths = NapLengths()
    stays = math.exp(-60.0 * leaving.LEAVE_RATE)
    napping = 0.01 * lengths.longer_than(60.0) * stays
    standing = 0.001 * math.exp(-60.0 / leaving.DARK_S)
    gone = 0.002 + 0.01 * (1.0 - stays)
    found = Onset(0.002, 0.01, 0.001, lengths).left(60.0)
    assert found == pytest.approx(gone / (gone + napping + standing))


def test_one_at_the_edge_leaves_as_often_as_anybody() -> None:
    """Far below the edge, surely inside: the rates are those that were told and `LEAVE_RATE`."""
    one = onset(1.0, at_edge_db=-30.0, nap=0.003, dark=0.004)
    assert one.away == pytest.approx(leaving.LEAVE_RATE, rel=0.01)
    assert one.nap == pytest.approx(0.003)
    assert one.dark == pytest.approx(0.004 + leaving.OUTAGE_RATE)


def test_who_is_outside_has_no_nap_in_the_store() -> None:
    """Surely outside: all that is left is that she vanishes, within seconds."""
    one = onset(0.0, nap=0.01, dark=0.01)
    assert (one.nap, one.dark) == (0.0, 0.0)
    assert one.away == pytest.approx(leaving.VANISH_RATE)
    assert one.left(1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("nap", [1e-5, 1e-3, 1e-2])
@pytest.mark.parametrize("at_edge_db", [-5.0, 5.0, 25.0])
def test_the_longer_the_silence_the_surer(nap: float, at_edge_db: float) -> None:
    """From a second to twenty minutes."""
    one = onset(at_edge_db=at_edge_db, nap=nap)
    certainties = [one.left(float(seconds)) for seconds in range(1, 1200, 13)]
    assert certainties == sorted(certainties)
    assert 0 < certainties[0] < certainties[-1] < 1


@pytest.mark.parametrize(
    ("more", "less"),
    [
        (onset(fading=2.0), onset()),
        (onset(at_edge_db=0.0), onset(at_edge_db=25.0)),
        (onset(0.5), onset(0.99)),
        (onset(nap=1e-5), onset(nap=1e-2)),
        (onset(dark=1e-5), onset(dark=1e-2)),
    ],
    ids=["faded", "at the edge", "doubtful", "of a steady phone", "never in the dark"],
)
def test_who_is_likelier_to_have_left(more: Onset, less: Onset) -> None:
    """Of two silences of 40 s, the one of her who."""
    assert more.left(40.0) > less.left(40.0)
    assert more.patience(1.0, 900.0) < less.patience(1.0, 900.0)


@pytest.mark.parametrize("nap", [1e-4, 1e-3])
def test_patience_is_the_silence_that_makes_sure(nap: float) -> None:
    """At it she has left with `SURE`, a little before not yet: to 2 % of its length."""
    one = onset(at_edge_db=8.0, nap=nap)
    patience = one.patience(1.0, 3600.0)
    assert 1.0 < patience < 3600.0
    assert one.left(patience) >= leaving.SURE > one.left(patience * 0.98)


def test_patience_keeps_within_its_limits() -> None:
    """Who is surely outside is given the least, who naps all the time the most."""
    assert onset(0.0).patience(15.0, 360.0) == 15.0
    assert onset(nap=0.05).patience(15.0, 60.0) == 60.0
    assert onset().patience(20.0, 20.0) == 20.0


def test_a_level_that_falls_fades() -> None:
    """Ten dB in ten seconds speaks for walking away; standing still, against; coming, more so."""
    falls = trend(*(-60.0 - at for at in range(17))).fading
    stands = trend(*[-60.0] * 17).fading
    comes = trend(*(-76.0 + at for at in range(17))).fading
    assert falls > 0.5
    assert -1.5 < stands < 0
    assert comes < stands


def test_a_trend_needs_some_seconds() -> None:
    """Nothing heard, or nothing from before: no opinion."""
    assert trend().fading == trend(-60.0, -90.0).fading == 0.0
    assert trend().change is None


def test_the_change_is_between_two_means() -> None:
    """Sixteen seconds: the last four at -80, those before at -70."""
    found = trend(*[-70.0] * 12, *[-80.0] * 4).change
    assert found is not None
    assert found[0] == pytest.approx(-10.0)
    assert found[1] > 0


def test_a_fall_tells_no_more_than_so_much() -> None:
    """However deep: it may have been a pillar."""
    deep = trend(*[-40.0] * 12, *[-95.0] * 4).fading
    assert deep == trend(*[-30.0] * 12, *[-99.0] * 4).fading
    assert deep < 5


def test_a_dark_spot_is_as_near_as_her_level_to_the_weakest() -> None:
    """At the weakest half her places are dark; two deviations above it, one in forty."""
    at_weakest = dark_rate(-95.0, 6.0, -95.0)
    above = dark_rate(-83.0, 6.0, -95.0)
    assert at_weakest == pytest.approx(0.5 / leaving.DARK_S)
    assert above / at_weakest == pytest.approx(0.0455, rel=0.01)


@pytest.mark.parametrize("odds", [-20.0, -1.0, 0.0, 0.7, 5.0])
def test_log_odds_and_probabilities_are_each_others_inverse(odds: float) -> None:
    """Whatever is meant by them."""
    assert log_odds(probability(odds)) == pytest.approx(odds)


def test_no_log_odds_are_too_many() -> None:
    """A thousand either way is a probability still."""
    assert 0 < probability(-1000.0) < probability(1000.0) <= 1
