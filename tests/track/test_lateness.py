"""Radios do not merge in time order: what arrives late never moves time back."""

from __future__ import annotations

import pytest

from edge_agent.model import Sign
from tests.track.story import Story


def inside() -> Story:
    """Heard every second until 100, silent since."""
    story = Story()
    story.heard(range(101))
    return story


def test_a_late_sighting_moves_no_exit() -> None:
    """One of 97 arrives after that of 100: dated to 100, and decided 360 s after 100."""
    story = inside()
    story.heard([97], gateway="gw-2")
    story.until(1000)
    assert story.told == ["enter floor @0", "exit silence @100"]
    assert story.last.visit.decided_at == 460


def test_a_late_sighting_takes_no_dwell_back() -> None:
    """The minute is told at 60; the sighting of 56 arrives after it."""
    story = Story(milestones=(60,))
    story.heard(range(61))
    story.heard([56], gateway="gw-2")
    story.until(1000)
    assert story.told == ["enter floor @0", "dwell 60 @60", "exit silence @60"]


def test_a_late_sighting_is_no_return() -> None:
    """Heard at 198, told after her station's farewell at 200: she still left."""
    story = inside()
    story.wifi(Sign.ASSOCIATED, 101)
    story.heard(range(102, 190))
    story.wifi(Sign.DISASSOCIATED, 200)
    story.heard([198])
    story.until(231)
    assert story.told == ["enter floor @0", "exit left_wifi @200"]


def test_a_late_sighting_does_not_bring_a_lost_radio_back() -> None:
    """Heard at 99, told after the loss at 102: the radio is lost all the same."""
    story = inside()
    story.lost(102)
    story.heard([99])
    story.until(1000)
    assert story.told == ["enter floor @0"]


def test_late_news_of_another_radio_moves_no_exit() -> None:
    """The street's radio was lost at 96, told at 100: Anna's silence still began at 100."""
    story = inside()
    story.lost(96, gateway="gw-4")
    story.until(1000)
    assert story.last.visit.decided_at == pytest.approx(460)


def test_an_advance_into_the_past_changes_nothing() -> None:
    """A clock that is read late."""
    story = inside()
    story.until(50)
    story.until(459)
    story.until(0)
    assert story.told == ["enter floor @0"]
    story.until(460)
    assert story.told == ["enter floor @0", "exit silence @100"]


def test_a_whole_second_radio_that_lags_changes_nothing() -> None:
    """The same packets by gw-2, each 3 s late: one visit of the same length."""
    story = Story()
    for at in range(101):
        story.heard([at])
        if at >= 3:
            story.heard([at - 3], gateway="gw-2")
    story.until(1000)
    assert story.told == ["enter floor @0", "exit silence @100"]


def test_a_late_sign_of_her_station_moves_her_nowhere() -> None:
    """Roamed to the cafe at 100; that the floor heard her at 98 is told after it."""
    story = Story()
    story.wifi(Sign.ASSOCIATED, 0)
    story.wifi(Sign.ASSOCIATED, 100, gateway="gw-3")
    story.wifi(Sign.HEARD, 98)
    assert story.outline == ["enter floor", "move floor>cafe"]
