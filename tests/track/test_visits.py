"""Coming, staying and leaving."""

from __future__ import annotations

import pytest

from edge_agent.model import Dwell, Enter, Exit, LeaseExpired, Method, Sighting, Withdrawal
from tests.track.story import FAINT, GONE, NEAR, Story


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
    assert 0 < enter.visit.decided_at <= 10
    assert leave.visit.decided_at == 10 + 360
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


def test_who_asks_for_less_certainty_is_told_sooner() -> None:
    """Three operators, one visitor: all are told that she entered at 0, one after the other."""
    decided = []
    for sure in (0.5, 0.9, 0.99):
        story = Story(sure=sure)
        story.heard(range(200))
        assert story.told == ["enter floor @0"]
        decided.append(story.last.visit.decided_at)
    assert decided[0] < decided[1] < decided[2]


@pytest.mark.parametrize("heard_for", [10, 30, 59])
def test_a_passer_by_makes_no_visit(heard_for: int) -> None:
    """Heard for less than a minute at the edge, ten times a second."""
    story = Story()
    story.heard((tick / 10 for tick in range(heard_for * 10)), FAINT)
    story.until(1000)
    assert story.told == []


def test_a_weak_phone_enters_when_it_is_heard_for_long() -> None:
    """A phone in a bag at the far end is faint for ever: after minutes she is in, since about 0."""
    story = Story()
    story.heard(range(400), FAINT)
    assert story.outline == ["enter floor"]
    assert 0 <= story.last.at <= 20
    assert 60 <= story.last.visit.decided_at <= 300


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
    """She went away for 20 s and fell silent at the edge of earshot: half a minute tells."""
    story = Story()
    story.heard(range(300), -65)
    story.walks(300, 320, (-65, GONE))
    story.until(1000)
    assert story.outline == ["enter floor", "exit silence"]
    assert 300 <= story.last.at <= 319
    assert story.last.visit.decided_at <= 319 + 40


def test_one_who_is_faint_at_last_is_gone_sooner_than_one_who_was_near() -> None:
    """Not seen on her way out: near for five minutes, then 20 s at the edge, and silent."""
    decided = []
    for at_last in (-90, -65):
        story = Story()
        story.heard(range(300), -65)
        story.heard(range(300, 320), at_last)
        story.until(1000)
        decided.append(story.last.visit.decided_at - 319)
    assert decided[0] < 0.5 * decided[1]


def test_one_who_falls_silent_mid_store_is_given_all_the_time() -> None:
    """Phones fall silent; walking out would have been heard. 359 s are no exit, 360 are."""
    story = Story()
    story.heard(range(60))
    story.until(59 + 359.9)
    assert story.told == ["enter floor @0"]
    story.until(59 + 360)
    assert story.told == ["enter floor @0", "exit silence @59"]


def test_who_goes_to_the_back_of_the_store_is_still_inside() -> None:
    """Ten minutes beside the gateway, ten at the other end, 20 dB down: she left after twenty."""
    story = Story()
    story.heard(range(600))
    story.heard(range(600, 1200), -75)
    story.walks(1200, 1215, (-75, GONE))
    story.until(3000)
    assert story.outline == ["enter floor", "exit silence"]
    assert story.last.at >= 1150


def test_dwell_goes_on_at_the_back_of_the_store() -> None:
    """Heard all the time: ten minutes beside the gateway and ten 20 dB down are a quarter hour."""
    story = Story(milestones=(900,))
    story.heard(range(600))
    story.heard(range(600, 1200), -75)
    assert story.outline == ["enter floor", "dwell 900"]


def test_an_iphone_that_fades_is_given_longer_than_an_android() -> None:
    """It locks in the foreground app's place: its usual gap is longer."""
    decided = []
    for method in (Method.APP, Method.APP_IOS):
        story = Story()
        story.heard(range(60), -65, method=method)
        story.walks(60, 80, (-65, GONE), method=method)
        story.until(1000)
        decided.append(story.last.visit.decided_at - 79)
    assert decided[1] >= 2 * decided[0]


def test_a_phone_with_long_gaps_is_known_for_them() -> None:
    """Silent for a minute several times mid-store: when it fades at last, it is given longer."""
    decided = []
    for period in (1, 121):  # heard all the time, or a minute in two
        story = Story()
        story.heard((at for at in range(600) if at % 121 < 61 or period == 1), -65)
        story.walks(600, 620, (-65, GONE))
        story.until(2000)
        assert story.outline == ["enter floor", "exit silence"]
        decided.append(story.last.visit.decided_at - 619)
    assert decided[1] > 2 * decided[0]


def test_the_operators_limit_holds_for_everybody() -> None:
    """Nobody is given more silence than `exit_after_at_most`, however she was last heard."""
    story = Story(exit_after=20)
    story.heard(range(60))
    story.until(1000)
    assert story.last.visit.decided_at == 59 + 20


def test_the_lease_ends_every_visit() -> None:
    """Anna and Bea are in; when the roster's lease ends both are out, and nothing is resumed."""
    story = Story()
    for at in range(101):
        story.heard([at])
        story.heard([at], who="bea")
    story.sees(LeaseExpired(110.0))
    assert story.told[2:] == ["exit lease_expired @100"] * 2
    assert {event.visit.visitor for event in story.events[2:]} == {"anna", "bea"}
    assert story.last.visit.confidence == 1
    assert story.tracker.visitors == []
    assert story.tracker.open_visits == []
    story.heard(range(121, 141))
    assert story.told[-1] == "enter floor @121"


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
    """Ten minutes after she was last heard she is forgotten, and so is a passer-by."""
    story = Story()
    story.heard([0, 5, 10])
    story.heard([0], who="bea")
    story.until(10 + 360 + 300)
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
