"""The agent stops and starts: no second enter, no orphan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_agent.model import Exit
from tests.track.story import Story, new_tracker


def inside() -> Story:
    """Heard from 0 to 100 and told a minute."""
    story = Story(milestones=(60, 300))
    story.heard(range(101))
    assert story.told == ["enter floor @0", "dwell 60 @60"]
    return story


def test_a_visit_goes_on_after_a_restart() -> None:
    """Stopped at 100, started at 150, heard from 155: not a word, then the fifth minute."""
    story = inside()
    story.restart(150)
    story.heard(range(155, 310, 5))
    assert story.told[2:] == ["dwell 300 @300"]
    assert story.last.visit.id == "anna@0"


def test_what_outlives_a_restart_is_the_visit() -> None:
    """Id, visitor, zone, entry, last evidence, milestones told and sources."""
    (kept,) = inside().restart(150)
    assert (kept.id, kept.visitor, kept.zone) == ("anna@0", "anna", "floor")
    assert (kept.entered_at, kept.last_at, kept.milestones) == (0, 100, 1)
    assert (kept.sources, kept.exit_decided_at) == (("ble",), None)


def test_one_who_left_during_a_short_outage_exits_by_silence() -> None:
    """Nobody hears her again once the radio listens: dated to before the restart."""
    story = inside()
    story.restart(150)
    story.recovered(155)
    story.until(155 + 359)
    assert story.told[2:] == []
    story.until(155 + 360)
    assert story.told[2:] == ["exit silence @100"]


@pytest.mark.parametrize(("outage", "exits"), [(359, False), (360, False), (361, True)])
def test_an_outage_longer_than_any_silence_ends_the_visit(outage: int, *, exits: bool) -> None:
    """Longer than `exit_after_at_most`: she exits at the first advance, dated to before."""
    story = inside()
    story.restart(100 + outage)
    story.until(100 + outage)
    assert story.told[2:] == (["exit gateway_stopped @100"] if exits else [])


def test_one_who_stayed_through_a_long_outage_resumes() -> None:
    """Exited at the start and heard at once: the same visit, milestones told once."""
    story = inside()
    story.restart(900)
    story.until(900)
    story.heard(range(905, 915))
    assert story.outline[2:] == [
        "exit gateway_stopped",
        "enter again floor",
        "dwell 300",
    ]


def test_a_visit_that_nobody_can_hear_after_a_restart_is_no_orphan() -> None:
    """No radio ever comes up: half an hour after the last evidence the visit ends."""
    story = inside()
    story.restart(150)
    story.until(100 + 1800)
    assert story.told[2:] == ["exit gateway_stopped @100"]


def test_an_exit_may_be_resumed_after_a_restart() -> None:
    """Left by silence at 460, restarted at 470, back at 500."""
    story = inside()
    story.until(460)
    story.restart(470)
    story.heard(range(500, 512))
    assert story.told[2:] == ["exit silence @100", "enter again floor @500", "dwell 300 @300"]


def test_an_exit_is_not_told_twice_by_a_restart() -> None:
    """Left before the restart and never back."""
    story = inside()
    story.until(460)
    story.restart(470)
    story.recovered(470)
    story.until(5000)
    assert story.told[2:] == ["exit silence @100"]
    assert story.tracker.visitors == []


def test_an_exit_long_ago_is_not_kept() -> None:
    """When it can no longer be resumed there is nothing to recall."""
    story = inside()
    story.until(460 + 121)
    assert story.tracker.open_visits == []


def test_she_may_have_gone_to_another_zone_meanwhile() -> None:
    """On the floor before the restart, after it only the café hears her: one move."""
    story = inside()
    story.restart(150)
    story.heard(range(155, 200), gateway="gw-3")
    assert story.outline[2:] == ["move floor>cafe"]


def test_she_may_have_gone_out_meanwhile() -> None:
    """After the restart only the street's gateway hears her, near: she left by the door."""
    story = inside()
    story.restart(150)
    story.heard((155 + tick / 10 for tick in range(100)), gateway="gw-4")
    assert story.outline[2:] == ["exit left_by_door"]


def test_a_visit_of_another_boot_may_have_begun_before_this_clock() -> None:
    """After a reboot its entry is negative; dwell is what it was."""
    kept = replace(inside().restart(150)[0], entered_at=-200.0, last_at=-100.0)
    story = Story(milestones=(60, 300))
    story.tracker = new_tracker(story.settings)
    story.tracker.recall(kept, 10.0)
    story.heard([20, 25, 101])
    story.until(101 + 360)
    leave = story.last
    assert story.told == ["dwell 300 @100", "exit silence @101"]
    assert isinstance(leave, Exit)
    assert leave.dwell_s == 301
