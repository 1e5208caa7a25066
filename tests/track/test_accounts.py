"""The accounts of the ledger: what each kind of evidence says now, in log odds."""

from __future__ import annotations

import pytest

from edge_agent.track.accounts import LevelAccount, SideAccount, still_passing, time_account
from edge_agent.track.survey import Survey

LEVELS = range(-95, -39, 5)


def insider(at: float, seconds: int = 120, survey: Survey | None = None) -> LevelAccount:
    """Give the account of one who has been inside at `at` dBm for so long."""
    account = LevelAccount(survey or Survey())
    account.settle()
    for _ in range(seconds):
        account.stay(at, 1.0)
    return account


def side(difference: float, dbm: float = -75.0, seconds: int = 20) -> float:
    """Say what a newcomer's difference tells, after so many seconds of it."""
    account, told = SideAccount(Survey()), 0.0
    for reading in range(seconds):
        _, found = account.compare(dbm, dbm - difference)
        told = account.weigh(found, 1.0, reading, 1.0, slow=True)
    return told


def test_hardly_any_passer_by_is_heard_for_minutes() -> None:
    """All at first, most after half a minute, one in twenty after a minute and a half."""
    shares = [still_passing(float(age)) for age in range(0, 600, 5)]
    assert shares[0] == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert still_passing(30.0) > 0.6
    assert still_passing(90.0) < 0.05


def test_the_longer_she_is_heard_the_likelier_she_is_a_visitor() -> None:
    """Against at first, for after two minutes, never falling."""
    told = [time_account(float(age), 0.0) for age in range(0, 600, 5)]
    assert told == sorted(told)
    assert told[0] < -1
    assert told[24] > 2


def test_how_many_come_in_counts_as_it_is() -> None:
    """Log odds add up."""
    assert time_account(40.0, 1.0) - time_account(40.0, -0.5) == pytest.approx(1.5)


def test_a_loud_newcomer_is_a_visitor_and_a_faint_one_is_none() -> None:
    """The louder, the more, of a store that has taught nothing yet."""
    account = LevelAccount(Survey())
    told = [account.newcomer(float(peak), 60.0, 1.0) for peak in LEVELS]
    assert told == sorted(told)
    assert told[0] < -1 < 1 < told[-1]


def test_the_louder_is_never_the_likelier_to_pass_by() -> None:
    """Of a store where passers-by are as loud as may be, and differ more than visitors do."""
    survey = Survey()
    for peak in (-60.0, -90.0) * 20:
        survey.passer_peak.add(peak, 1.0)
    account = LevelAccount(survey)
    told = [account.newcomer(float(peak), 60.0, 1.0) for peak in LEVELS]
    assert told == sorted(told)


def test_few_readings_say_less() -> None:
    """The first second of a loud newcomer."""
    account = LevelAccount(Survey())
    assert 0 < account.newcomer(-55.0, 1.0, 1.0) < account.newcomer(-55.0, 10.0, 1.0)


def test_rare_packets_say_less() -> None:
    """One in ten seconds is all of the level there is, noise and all."""
    account = LevelAccount(Survey())
    assert 0 < account.newcomer(-72.0, 10.0, 10.0) < account.newcomer(-72.0, 10.0, 0.2)


def test_nothing_is_said_of_one_who_was_not_heard() -> None:
    """No level, no evidence."""
    account = LevelAccount(Survey())
    assert (account.newcomer(None, 10.0, 1.0), account.from_outside()) == (0.0, 0.0)


def test_she_is_held_against_her_own_level() -> None:
    """-80 dBm is as ever for a phone in a bag, and far away for one that was beside the gateway."""
    assert insider(-80.0).insider(-80.0, 1.0) > 0
    assert insider(-60.0).insider(-80.0, 1.0) < 0


@pytest.mark.parametrize("own", [-55.0, -65.0, -80.0])
def test_the_fainter_is_never_the_likelier_to_be_inside(own: float) -> None:
    """At any distance from her own level, to the edge of reception."""
    account = insider(own)
    told = [account.insider(float(level), 1.0) for level in LEVELS]
    assert told == sorted(told)


def test_her_own_level_begins_with_the_stores_and_becomes_hers() -> None:
    """Unknown to within some dB at first; after five minutes to within two."""
    (begins, doubt), (becomes, less) = insider(-60.0, 0).own, insider(-60.0, 300).own
    assert begins == Survey().inside.mean
    assert becomes == pytest.approx(-60, abs=3)
    assert less < doubt / 4


def test_levels_never_decide_alone() -> None:
    """Whatever the level, it is worth a few log odds at most."""
    told = [insider(-70.0).insider(float(level), 1.0) for level in range(-120, 0, 10)]
    assert -6 < min(told) < max(told) < 6


def test_who_was_faint_at_first_came_from_outside() -> None:
    """-92 dBm, and not one who was -60 when first heard."""
    told = []
    for first in (-92.0, -60.0):
        account = LevelAccount(Survey())
        account.hear(first, 0.0)
        account.hear(-75.0, 5.0)
        told.append(account.from_outside())
    assert told[1] < 0 < told[0]


def test_a_level_is_smoothed_over_seconds() -> None:
    """A packet 20 dB louder counts for a few of them."""
    account = LevelAccount(Survey())
    account.hear(-80.0, 0.0)
    assert -80 < account.hear(-60.0, 1.0) < -75


@pytest.mark.parametrize("dbm", [-88.0, -75.0, -55.0])
def test_the_louder_side_is_where_she_is(dbm: float) -> None:
    """Fifteen dB louder inside, or outside, at any distance: the nearer, the surer."""
    assert side(-15.0, dbm) < -0.5
    assert side(15.0, dbm) > 0.5


def test_beside_the_door_the_side_is_surer_than_far_away() -> None:
    """Fifteen dB tell more within some metres than at the edge of reception."""
    assert side(15.0, -55.0) > side(15.0, -88.0)
    assert side(-15.0, -55.0 - 15.0) < side(-15.0, -88.0 - 15.0)


def test_after_a_silence_sides_are_compared_slowly() -> None:
    """One gateway hears the first advertisement, and not yet the other."""
    account = SideAccount(Survey())
    account.wake(100)
    told = []
    for reading in range(101, 111):
        _, difference = account.compare(-70.0, -95.0)
        told.append(account.weigh(difference, 1.0, reading, 1.0, slow=False))
    assert 0 < told[0] < told[-1]
