"""Coming back: an exit that was wrong, or short."""

from __future__ import annotations

import pytest

from edge_agent.model import Enter, Exit
from tests.track.story import Story

LAST = 99
DECIDED = LAST + 360  # when the silence since `LAST` is an exit


def back_at(at: float, resume_within: float = 120.0) -> Story:
    """Heard from 0 to 99, left by silence, and back at `at` for a minute."""
    story = Story(resume_within=resume_within)
    story.heard(range(LAST + 1))
    story.until(DECIDED)
    assert story.told == ["enter floor @0", f"exit silence @{LAST}"]
    story.heard(at + second for second in range(61))
    return story


@pytest.mark.parametrize("after", [0.5, 60, 119.5])
def test_soon_back_is_the_same_visit(after: float) -> None:
    """Within two minutes of the decision: the same id and entry, and said to be resumed."""
    story = back_at(DECIDED + after)
    enter = story.last
    assert story.told[-1] == f"enter again floor @{DECIDED + after:g}"
    assert isinstance(enter, Enter)
    assert (enter.visit.id, enter.visit.entered_at) == ("anna@0", 0)


@pytest.mark.parametrize("after", [120.5, 121, 3600])
def test_late_back_is_another_visit(after: float) -> None:
    """After them: a new visit with an entry of its own."""
    story = back_at(DECIDED + after)
    assert story.told[-1] == f"enter floor @{DECIDED + after:g}"
    assert story.last.visit.id == f"anna@{DECIDED + after:g}"


def test_nothing_is_resumed_where_the_operator_says_never() -> None:
    """`resume_within` 0: back in the very second of the decision is a new visit."""
    assert back_at(DECIDED, resume_within=0).told[-1] == f"enter floor @{DECIDED}"


def test_the_last_exit_counts() -> None:
    """Back at 500 and gone at 560: the second exit's dwell is from 0 and includes the gap."""
    story = back_at(500)
    story.until(2000)
    leave = story.last
    assert isinstance(leave, Exit)
    assert (leave.at, leave.dwell_s, leave.visit.id) == (560, 560, "anna@0")


def test_a_milestone_is_told_once_however_often_she_resumes() -> None:
    """The minute was told before the exit; after it only the fifth is new."""
    story = Story(milestones=(60, 300))
    story.heard(range(80))
    story.until(79 + 360)
    story.heard(range(450, 470))
    assert story.told == [
        "enter floor @0",
        "dwell 60 @60",
        "exit silence @79",
        "enter again floor @450",
        "dwell 300 @300",
    ]


def test_she_may_resume_in_another_zone() -> None:
    """Heard again in the café: the same visit goes on there."""
    story = Story()
    story.heard(range(LAST + 1))
    story.until(DECIDED)
    story.heard(range(500, 530), gateway="gw-3")
    assert story.told[-1] == "enter again cafe @500"


def test_one_packet_after_the_exit_resumes_nothing() -> None:
    """She must be as surely there as for any enter."""
    story = Story()
    story.heard(range(LAST + 1))
    story.until(DECIDED)
    story.heard([DECIDED + 10])
    story.until(DECIDED + 1000)
    assert story.told == ["enter floor @0", f"exit silence @{LAST}"]
