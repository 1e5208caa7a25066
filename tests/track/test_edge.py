"""Who is at the edge: passers-by, faint phones, and phones whose silence must be learned."""

from __future__ import annotations

import random

import pytest

from edge_agent.model import Method, Sign
from tests.track.story import FAINT, GONE, NEAR, Story


@pytest.mark.parametrize(("rssi", "seconds"), [(-92, 55), (-87, 50), (-83, 45), (-78, 40)])
def test_a_steady_passer_by_at_the_edge_makes_no_visit(rssi: int, seconds: int) -> None:
    """Heard once a second for less than a minute, and never as loud as the floor."""
    story = Story()
    story.heard(range(seconds), rssi)
    story.until(1000)
    assert story.told == []


@pytest.mark.parametrize("seed", range(20))
def test_a_passer_by_with_the_noise_of_the_air_makes_no_visit(seed: int) -> None:
    """45 s around -85 dBm with the 4 dB of a carried phone."""
    rng = random.Random(seed)
    story = Story()
    for at in range(45):
        story.heard([at], min(-60, round(rng.gauss(-85, 4))))
    story.until(1000)
    assert story.told == []


def test_who_walks_past_the_window_makes_no_visit() -> None:
    """From the edge of earshot to -75 dBm and away again, in 40 s."""
    story = Story()
    story.walks(0, 20, (GONE, -75))
    story.walks(20, 40, (-75, GONE))
    story.until(1000)
    assert story.told == []


@pytest.mark.parametrize("method", [Method.APP, Method.APP_IOS])
def test_who_comes_past_twice_is_still_a_passer_by(method: Method) -> None:
    """Half a minute on her way there, and half a minute on her way back after twelve."""
    story = Story()
    for begins in (0, 720):
        story.walks(begins, begins + 15, (GONE, -80), method=method)
        story.walks(begins + 15, begins + 30, (-80, GONE), method=method)
    story.until(2000)
    assert story.told == []


def test_a_faint_phone_enters_after_a_minute_and_not_before() -> None:
    """She entered when she was first heard or soon after; it was only known later."""
    story = Story()
    story.heard(range(200), -82)
    (enter,) = story.events
    assert 0 <= enter.at <= 20
    assert 50 <= enter.visit.decided_at <= 90


def test_a_station_that_roams_moves_where_no_gateway_measures_her() -> None:
    """Associated on the floor, then in the cafe, and never heard by Bluetooth."""
    story = Story()
    story.wifi(Sign.ASSOCIATED, 0)
    story.wifi(Sign.HEARD, 50)
    story.wifi(Sign.ASSOCIATED, 100, gateway="gw-3")
    story.wifi(Sign.HEARD, 150, gateway="gw-3")
    assert story.told == ["enter floor @0", "move floor>cafe @100"]


def test_a_return_teaches_how_long_this_phone_is_silent() -> None:
    """It fades and falls silent, which looks like leaving; the second time less so."""
    story = Story()
    decided = []
    for begins in (0, 270):
        story.heard(range(begins, begins + 180), -65)
        story.walks(begins + 180, begins + 200, (-65, GONE))
        story.until(begins + 269 if begins == 0 else 2000)
        decided.append(story.last.visit.decided_at - begins - 199)
    assert story.outline == ["enter floor", "exit silence", "enter again floor", "exit silence"]
    assert decided[1] > 1.5 * decided[0]


def test_a_return_at_the_last_instant_of_the_respite_resumes() -> None:
    """Gone at 0 and known at 60; back at exactly 60 + 120."""
    story = Story(exit_after=60.0, resume_within=120.0)
    story.heard(range(-100, 1), NEAR)
    story.until(61)
    story.heard(range(180, 200), NEAR)
    assert story.outline == [
        "enter floor",
        "exit silence",
        "enter again floor",
    ]


def test_who_lingers_outside_does_not_come_in_when_the_pavement_falls_deaf() -> None:
    """Ten minutes on the pavement are no evidence for the inside, whatever is lost then."""
    story = Story()
    for at in range(600):
        story.heard([at], -65, gateway="gw-4")
        story.heard([at + 0.1], FAINT)
    story.lost(600.0, gateway="gw-4")
    story.heard(range(601, 620), FAINT)
    assert story.events == []


def test_a_day_and_a_half_in_earshot_is_no_error() -> None:
    """Whoever is heard outside for days may come in one day."""
    story = Story()
    for at in range(0, 40 * 3600, 120):  # to and fro, so that nobody takes her for a fixture
        story.heard([at], -60 if at // 3600 % 2 else -85, gateway="gw-4")
    begins = 40 * 3600
    story.heard(range(begins, begins + 60), NEAR)
    assert [event.split()[0] for event in story.told] == ["enter"]
