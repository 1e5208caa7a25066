"""The store closes and opens: visits end with the day, and who is there at night is no visitor."""

from __future__ import annotations

import pytest

from edge_agent.model import StoreClosed, StoreOpened
from edge_agent.track.fixtures import Fixture
from tests.track.story import NEAR, Story

HOUR = 3600
CLOSES = 1 * HOUR  # everybody has been let out
OPENS = 13 * HOUR  # visits begin again


def evening(**settings: float) -> Story:
    """Tell of one heard from 0 until the store closes, and no longer."""
    story = Story(**settings)  # type: ignore[arg-type]
    story.heard(range(0, CLOSES, 5))
    story.sees(StoreClosed(CLOSES))
    return story


def morning(story: Story) -> None:
    """Open the doors."""
    story.sees(StoreOpened(OPENS))


def test_a_visit_ends_when_the_store_has_closed() -> None:
    """Dated to the last evidence, told at once and without doubt."""
    story = evening()
    assert story.told == ["enter floor @0", "exit store_closed @3595"]
    assert (story.last.visit.decided_at, story.last.visit.confidence) == (CLOSES, 1.0)


def test_who_left_before_closing_left_by_silence() -> None:
    """The clock takes nothing from the evidence."""
    story = Story()
    story.heard(range(100))
    story.sees(StoreClosed(CLOSES))
    assert story.told == ["enter floor @0", "exit silence @99"]


def test_who_was_heard_lately_leaves_with_the_store() -> None:
    """Half a minute of silence, not yet enough by itself."""
    story = Story()
    story.heard(range(0, CLOSES - 30, 5))
    story.sees(StoreClosed(CLOSES))
    assert story.told[1:] == [f"exit store_closed @{CLOSES - 35}"]


def test_nobody_enters_while_the_store_is_closed() -> None:
    """Cleaners are heard for three hours of the night."""
    story = evening()
    story.heard(range(CLOSES, 4 * HOUR, 5))
    story.heard(range(5 * HOUR, 8 * HOUR, 5), who="bea")
    story.until(OPENS)
    assert story.told[2:] == []


def test_who_is_heard_through_closed_hours_makes_no_visit_in_the_morning() -> None:
    """The night shift goes on until noon, walking about; it is never a visit."""
    story = evening()
    for at in range(CLOSES, OPENS, 5):
        story.heard([at], -50 - at // 60 % 5 * 8)
    morning(story)
    for at in range(OPENS, OPENS + 3 * HOUR, 5):
        story.heard([at], -50 - at // 60 % 5 * 8)
    assert story.told[2:] == []


@pytest.mark.parametrize(("before", "visits"), [(40, False), (31, False), (25, True), (1, True)])
def test_who_waits_for_the_doors_enters_when_they_open(before: int, *, visits: bool) -> None:
    """Inside for half an hour before it: she works here. Later: she waits, and then comes in."""
    story = Story()
    story.sees(StoreClosed(0))
    story.heard(range(OPENS - before * 60, OPENS, 5))
    morning(story)
    story.heard(range(OPENS, OPENS + 600, 5))
    assert story.told == ([f"enter floor @{OPENS}"] if visits else [])


def test_who_works_at_night_may_come_back_as_a_shopper() -> None:
    """Gone home for two hours in the morning."""
    story = evening()
    story.heard(range(9 * HOUR, OPENS + 60, 5))
    morning(story)
    story.heard(range(OPENS + 60, OPENS + 600, 5))
    back = OPENS + 2 * HOUR + 600
    story.heard(range(back, back + 60))
    assert story.told[2:] == [f"enter floor @{back}"]


def test_no_visit_goes_on_over_night() -> None:
    """However long a return may resume."""
    story = evening(resume_within=24.0 * HOUR)
    morning(story)
    story.heard(range(OPENS + 60, OPENS + 100))
    assert story.told[2:] == [f"enter floor @{OPENS + 60}"]


def test_a_sighting_of_before_opening_that_comes_late_enters_nobody() -> None:
    """Sure by what was heard of her in closed hours alone."""
    story = Story()
    story.sees(StoreClosed(0))
    story.heard(range(OPENS - 60, OPENS - 4))
    morning(story)
    story.heard([OPENS - 3, OPENS - 2])
    assert story.told == []
    story.heard([OPENS + 1])
    assert story.told == [f"enter floor @{OPENS}"]


def test_who_worked_through_the_night_is_known_after_a_restart() -> None:
    """A visit the evening before, none the day after."""
    story = evening()
    for at in range(CLOSES, OPENS, 20):
        story.heard([at], -50 - at // 900 % 2 * 20)
    morning(story)
    story.heard(range(OPENS, OPENS + HOUR, 20))
    (kept,) = story.restart(OPENS + HOUR)
    assert kept.fixture is Fixture.AFTER_HOURS
    story.sees(StoreOpened(OPENS))
    story.heard(range(OPENS + HOUR, OPENS + 3 * HOUR, 20))
    assert story.told[2:] == []


def test_a_tag_that_stands_there_all_night_is_no_visitor_until_it_is_moved() -> None:
    """Found out at night by its levels, carried about by day: then it is a visit."""
    story = evening()
    story.heard(range(CLOSES, OPENS, 20))
    morning(story)
    story.heard(range(OPENS, OPENS + HOUR, 20))
    assert story.told[2:] == []
    for at in range(OPENS + HOUR, OPENS + 2 * HOUR, 20):
        story.heard([at], -50 - at // 100 % 3 * 15)
    assert story.outline[2:] == ["enter floor"]


def test_a_visit_recalled_in_the_night_ends_with_the_day_before() -> None:
    """The agent was restarted as the store closed, and learns of it later."""
    story = Story()
    story.heard(range(0, CLOSES - 60, 5))
    story.restart(CLOSES + 60)
    story.sees(StoreClosed(CLOSES))
    assert story.told[1:] == [f"exit store_closed @{CLOSES - 65}"]


def test_a_visit_recalled_into_a_closed_store_ends() -> None:
    """Told first of the closing, then of the visit."""
    story = Story()
    story.heard(range(100))
    (kept,) = story.tracker.open_visits
    night = Story()
    night.sees(StoreClosed(150))
    night.tracker.recall(kept, 200.0)
    night.until(200)
    assert night.told == ["exit store_closed @99"]


def test_passers_by_of_the_night_are_forgotten_within_the_hour() -> None:
    """Somebody stood inside for a minute; nothing is known of her by morning."""
    story = Story()
    story.sees(StoreClosed(0))
    story.heard(range(HOUR, HOUR + 60), NEAR)
    story.until(HOUR + 200)
    assert story.tracker.visitors == ["anna"]
    story.until(2 * HOUR + 120)
    assert story.tracker.visitors == []


def test_a_store_that_opens_twice_a_day_closes_twice() -> None:
    """A long lunch: whoever stays for it is no visitor in the afternoon."""
    story = Story()
    story.sees(StoreOpened(0))
    story.heard(range(0, HOUR, 5), who="bea")
    story.sees(StoreClosed(HOUR))
    story.heard(range(HOUR, 3 * HOUR, 5), who="bea")
    story.sees(StoreOpened(3 * HOUR))
    story.heard(range(3 * HOUR, 4 * HOUR, 5), who="bea")
    story.heard(range(3 * HOUR + 60, 4 * HOUR, 5))
    assert story.told == [
        "enter floor @0",
        "exit store_closed @3595",
        f"enter floor @{3 * HOUR + 60}",
    ]
