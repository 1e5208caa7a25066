"""Coming, staying and leaving."""

from __future__ import annotations

import pytest

from edge_agent.model import Dwell, Enter, Exit, LeaseExpired, Method, Sighting, Withdrawal
from tests.track.story import FAINT, NEAR, Story


def test_heard_three_times_and_never_again() -> None:
    """Heard at 0, 5 and 10, then silence: she entered at 0 and left at 10."""
    story = Story()
    story.heard([0, 5, 10])
    story.until(1000)
    assert story.told == ["enter floor @0", "exit silence @10"]


def test_an_event_says_all_of_its_visit() -> None:
    """Who, which visit, where, since when, known when, by which source, how surely."""
    story = Story()
    story.heard([0, 5, 10])
    story.until(1000)
    enter, leave = story.events
    assert isinstance(enter, Enter)
    assert isinstance(leave, Exit)
    assert enter.visit.id == leave.visit.id == "anna@0"
    assert enter.visit.visitor == leave.visit.visitor == "anna"
    assert (enter.visit.decided_at, leave.visit.decided_at) == (10, 10 + 360)
    assert enter.visit.entered_at == leave.visit.entered_at == 0
    assert enter.visit.sources == leave.visit.sources == ("ble",)
    assert 0.9 <= enter.visit.confidence <= 1
    assert 0.9 <= leave.visit.confidence <= 1
    assert leave.dwell_s == 10


def test_one_packet_is_no_visit() -> None:
    """However near the gateway it was sent."""
    story = Story()
    story.heard([0], rssi=-40)
    story.until(1000)
    assert story.told == []


def test_half_sure_is_sure_at_the_first_packet() -> None:
    """An operator who asks for 0.5 gets an enter at once."""
    story = Story(sure=0.5)
    story.heard([0])
    assert story.told == ["enter floor @0"]


@pytest.mark.parametrize("heard_for", [10, 30, 59])
def test_a_passer_by_makes_no_visit(heard_for: int) -> None:
    """Heard for less than a minute at the edge, ten times a second."""
    story = Story()
    story.heard((tick / 10 for tick in range(heard_for * 10)), FAINT)
    story.until(1000)
    assert story.told == []


def test_a_weak_phone_enters_when_it_is_heard_for_long() -> None:
    """A phone in a bag at the far end is faint for ever: after some 70 s she is in, since 0."""
    story = Story()
    story.heard(range(90), FAINT)
    assert story.told == ["enter floor @0"]
    assert 60 <= story.events[0].visit.decided_at <= 80


def test_a_phone_that_says_its_power_is_heard_as_any_other() -> None:
    """-75 dBm of a phone that is 20 dB weaker than most is -55 dBm."""
    loud, weak = Story(), Story()
    loud.heard(range(12), -55)
    for event_at in range(12):
        weak.sees(_with_tx(event_at, rssi=-75, tx=-79))
    assert weak.told == loud.told == ["enter floor @0"]
    assert weak.events[0].visit.decided_at == loud.events[0].visit.decided_at


def _with_tx(at: int, rssi: int, tx: int) -> Sighting:
    return Sighting(float(at), "anna", "gw-1", "ble", Method.APP, rssi, tx)


def test_packets_without_rssi_do_not_bring_a_passer_by_in() -> None:
    """A packet whose level is unknown may come from the edge, and says no more than a faint one."""
    story = Story()
    story.heard(range(0, 30, 5), rssi=None)
    story.until(1000)
    assert story.told == []


def test_milestones_are_told_by_evidence() -> None:
    """Heard until 70: the minute is told when it is proven, and five minutes never are."""
    story = Story(milestones=(60, 300))
    story.heard(range(71))
    story.until(2000)
    dwell = story.events[1]
    assert story.told == ["enter floor @0", "dwell 60 @60", "exit silence @70"]
    assert isinstance(dwell, Dwell)
    assert (dwell.milestone_s, dwell.dwell_s, dwell.visit.decided_at) == (60, 60, 60)


def test_silence_proves_no_milestone() -> None:
    """Heard until 59 and silent: the clock passes the minute, she need not have."""
    story = Story(milestones=(60,))
    story.heard(range(60))
    story.until(300)
    assert story.told == ["enter floor @0"]
    story.heard([301])
    assert story.told[1:] == ["dwell 60 @60"]


def test_milestones_passed_at_once_are_told_in_order() -> None:
    """Silent from 10 to 200 and heard again: one minute and three are told together."""
    story = Story(milestones=(60, 180))
    story.heard([0, 5, 10, 200])
    assert story.told == ["enter floor @0", "dwell 60 @60", "dwell 180 @180"]


def test_one_who_fades_away_is_gone_sooner() -> None:
    """She was near, then faint, then silent: that is walking out, and 40 s of silence tell."""
    story = Story()
    story.heard(range(60))
    story.heard(range(60, 80), -90)
    story.until(1000)
    assert story.told == ["enter floor @0", "exit silence @79"]
    assert story.last.visit.decided_at == pytest.approx(79 + 40)


def test_one_who_falls_silent_mid_store_is_given_all_the_time() -> None:
    """Phones fall silent; walking out would have been heard. 359 s are no exit, 360 are."""
    story = Story()
    story.heard(range(60))
    story.until(59 + 359.9)
    assert story.told == ["enter floor @0"]
    story.until(59 + 360)
    assert story.told == ["enter floor @0", "exit silence @59"]


def test_an_iphone_that_fades_is_given_longer_than_an_android() -> None:
    """It locks in the foreground app's place: its usual gap is longer."""
    decided = []
    for method in (Method.APP, Method.APP_IOS):
        story = Story()
        story.heard(range(60), method=method)
        story.heard(range(60, 80), -90, method=method)
        story.until(1000)
        decided.append(story.last.visit.decided_at)
    assert decided == pytest.approx([79 + 40, 79 + 120])


def test_a_phone_with_long_gaps_is_known_for_them() -> None:
    """It was silent for 50 s several times; faint at last, it is given four such gaps."""
    story = Story()
    story.heard(range(20))
    story.heard([70, 120, 170])
    story.heard(range(171, 191), -90)
    story.until(1000)
    assert 190 + 150 < story.last.visit.decided_at < 190 + 200


def test_the_operators_limit_holds_for_everybody() -> None:
    """Nobody is given more silence than `exit_after_at_most`, however she was last heard."""
    story = Story(exit_after=20)
    story.heard(range(60))
    story.until(1000)
    assert story.last.visit.decided_at == 59 + 20


def test_the_lease_ends_every_visit() -> None:
    """Anna and Bea are in; when the roster's lease ends both are out, and nothing is resumed."""
    story = Story()
    for who in ("anna", "bea"):
        story.heard([0, 5, 10], who=who)
    story.sees(LeaseExpired(20.0))
    assert story.told[2:] == ["exit lease_expired @10"] * 2
    assert {event.visit.visitor for event in story.events[2:]} == {"anna", "bea"}
    assert story.last.visit.confidence == 1
    assert story.tracker.visitors == []
    assert story.tracker.open_visits == []
    story.heard([21, 26, 31])
    assert story.told[-1] == "enter floor @21"


def test_withdrawn_consent_ends_in_silence() -> None:
    """No exit, nothing kept; had she opted in again she would be a new visitor."""
    story = Story()
    story.heard([0, 5, 10])
    story.sees(Withdrawal(11.0, "anna"))
    story.until(2000)
    assert story.told == ["enter floor @0"]
    assert story.tracker.visitors == []
    assert story.tracker.open_visits == []


def test_visitors_do_not_disturb_each_other() -> None:
    """Bea stays while Anna leaves."""
    story = Story()
    story.heard([0, 5, 10])
    story.heard(range(11, 600, 5), who="bea")
    assert [(e.visit.visitor, say) for e, say in zip(story.events, story.told, strict=True)] == [
        ("anna", "enter floor @0"),
        ("bea", "enter floor @11"),
        ("anna", "exit silence @10"),
    ]


def test_nothing_is_kept_of_one_who_left() -> None:
    """When her visit can no longer be resumed she is forgotten, and so is a passer-by."""
    story = Story()
    story.heard([0, 5, 10])
    story.heard([0], who="bea")
    story.until(10 + 360 + 121)
    assert story.tracker.visitors == []
    assert story.tracker.deadline is None


def test_the_deadline_is_when_something_falls_due() -> None:
    """Nothing before it, the exit at it."""
    story = Story()
    story.heard([0, 5, 10], rssi=NEAR)
    while (deadline := story.tracker.deadline) is not None and len(story.events) < 2:
        story.until(deadline - 0.001)
        assert len(story.events) == 1
        story.until(deadline)
    assert story.told[-1] == "exit silence @10"
