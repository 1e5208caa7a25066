"""Who is at the edge: passers-by, faint phones, and phones whose silence must be learned."""

from __future__ import annotations

import random

import pytest

from edge_agent.model import Method, Sign
from tests.track.story import FAINT, NEAR, Story


@pytest.mark.parametrize("rssi", [-90, -85, -80, -77])
def test_a_steady_passer_by_at_the_edge_makes_no_visit(rssi: int) -> None:
    """Heard once a second for 59 s, and never as loud as the floor."""
    story = Story()
    story.heard(range(60), rssi)
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


def test_a_faint_phone_enters_after_a_minute_and_not_before() -> None:
    """She entered when she was first heard; it was only known later."""
    story = Story()
    story.heard(range(200), -82)
    (enter,) = story.events
    assert enter.at == 0
    assert enter.visit.decided_at == 60


def test_a_station_that_roams_moves_where_no_gateway_measures_her() -> None:
    """Associated on the floor, then in the cafe, and never heard by Bluetooth."""
    story = Story()
    story.wifi(Sign.ASSOCIATED, 0)
    story.wifi(Sign.HEARD, 50)
    story.wifi(Sign.ASSOCIATED, 100, gateway="gw-3")
    story.wifi(Sign.HEARD, 150, gateway="gw-3")
    assert story.told == ["enter floor @0", "move floor>cafe @100"]


def test_a_return_teaches_how_long_this_phone_is_silent() -> None:
    """A faint iPhone falls silent for 150 s: the first time that looks like leaving."""
    story = Story()
    for begins in (0, 270, 540):
        story.heard(range(begins, begins + 120), FAINT, method=Method.APP_IOS)
    story.until(700)
    assert story.told == [
        "enter floor @0",
        "exit silence @119",
        "enter again floor @270",
    ]


def test_a_return_at_the_last_instant_of_the_respite_resumes() -> None:
    """Gone at 0 and known at 60; back at exactly 60 + 120."""
    story = Story(exit_after=60.0, resume_within=120.0)
    story.heard(range(-20, 1), NEAR)
    story.until(61)
    story.heard(range(180, 200), NEAR)
    assert [word.split(" @")[0] for word in story.told] == [
        "enter floor",
        "exit silence",
        "enter again floor",
    ]
