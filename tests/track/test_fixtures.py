"""What never leaves is no visitor: found by its levels, and let go when it moves or has gone."""

from __future__ import annotations

import gzip
import json
import math
import random
from pathlib import Path

import pytest

from edge_agent.model import Exit, Sign, Withdrawal
from edge_agent.track.fixtures import UNMOVED_S, Fixture, Stillness
from tests.track.story import FAINT, NEAR, Story

HOUR = 3600
DATA = Path(__file__).parents[1] / "data"


def shelf(story: Story, begins: float, ends: float, rssi: int = -60) -> None:
    """Put a tag on a shelf, heard every ten seconds."""
    story.heard(range(round(begins), round(ends), 10), rssi)


def found() -> Story:
    """Tell of a tag that lies still until it is found out, five hours after it came."""
    story = Story()
    shelf(story, 0, 5 * HOUR)
    assert story.told == ["enter floor @0", "exit silence @0"]
    return story


def test_what_lies_still_is_a_visit_for_four_hours_and_then_none() -> None:
    """Heard every ten seconds for ten hours: one visit, over soon after the fourth."""
    story = Story()
    shelf(story, 0, 10 * HOUR)
    assert story.told == ["enter floor @0", "exit silence @0"]
    assert UNMOVED_S < story.last.visit.decided_at < UNMOVED_S + 120
    assert story.last.visit.confidence == 0.95


def test_its_exit_is_dated_to_the_last_movement() -> None:
    """Carried in by somebody who walked about for ten minutes, then put down."""
    story = Story()
    for at in range(0, 600, 10):
        story.heard([at], -50 - at // 60 * 13 % 40)
    shelf(story, 600, 6 * HOUR)
    leave = story.last
    assert isinstance(leave, Exit)
    assert 400 <= leave.at <= 900
    assert leave.dwell_s == leave.at


def test_its_exit_denies_no_milestone() -> None:
    """It was told to have stayed an hour: it ends with that hour."""
    story = Story(milestones=(60, 3600))
    shelf(story, 0, 5 * HOUR)
    assert story.told[1:] == ["dwell 60 @60", "dwell 3600 @3600", "exit silence @3600"]


def test_its_exit_denies_no_move() -> None:
    """Carried into the cafe after an hour on the floor, it was there."""
    story = Story()
    for at in range(0, 6 * HOUR, 10):
        nearer, farther = ("gw-1", "gw-3") if at < HOUR else ("gw-3", "gw-1")
        story.heard([at], -60, gateway=nearer)
        story.heard([at + 1], -80, gateway=farther)
    kind, move, leave = story.events
    assert story.told[1].startswith("move floor>cafe")
    assert kind.at < move.at <= leave.at < 2 * HOUR


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_people_in_between_move_nothing(seed: int) -> None:
    """4 dB a packet, and 4 dB of people standing about for a minute each."""
    rng = random.Random(seed)
    story, people = Story(), 0.0
    keep = math.exp(-5 / 60)
    for at in range(0, 5 * HOUR, 5):
        people = people * keep + rng.gauss(0, 4) * math.sqrt(1 - keep**2)
        story.heard([at], round(-65 + people + rng.gauss(0, 4)))
    assert story.outline == ["enter floor", "exit silence"]


@pytest.mark.parametrize("seed", range(5))
def test_who_walks_about_stays_a_visitor(seed: int) -> None:
    """Ten hours around one gateway, 7 dB up and down every ten seconds or so."""
    rng = random.Random(seed)
    story, way = Story(), 0.0
    keep = math.exp(-5 / 10)
    for at in range(0, 10 * HOUR, 5):
        way = way * keep + rng.gauss(0, 7) * math.sqrt(1 - keep**2)
        story.heard([at], round(-65 + way + rng.gauss(0, 4)))
    assert story.told == ["enter floor @0"]


def test_who_sits_and_turns_is_a_visitor() -> None:
    """A body between phone and gateway is worth 10 dB: one who turns each quarter of an hour."""
    story = Story()
    for at in range(0, 8 * HOUR, 10):
        story.heard([at], -60 if at // 900 % 2 else -72)
    assert story.told == ["enter floor @0"]


def test_who_goes_to_and_fro_between_two_rooms_is_a_visitor() -> None:
    """Half an hour in each, a wall between them: each gateway hears one level, or nothing."""
    story = Story()
    for half_hour in range(20):
        gateway = "gw-2" if half_hour % 2 else "gw-1"
        story.heard(range(half_hour * 1800, half_hour * 1800 + 1800, 10), -70, gateway=gateway)
    assert story.told == ["enter floor @0"]


def test_a_gateway_that_is_back_moves_nothing() -> None:
    """Of the two that hear the tag one was lost for an hour; another one is faint, and seldom."""
    story = Story()
    for at in range(0, 5 * HOUR, 10):
        story.heard([at], -60)
        if at == HOUR:
            story.lost(at, gateway="gw-2")
        if at == 2 * HOUR:
            story.recovered(at, gateway="gw-2")
        if not HOUR <= at < 2 * HOUR:
            story.heard([at], -75, gateway="gw-2")
        if at // 600 % 2:
            story.heard([at], -90, gateway="gw-3")
    assert story.told == ["enter floor @0", "exit silence @0"]
    assert story.last.visit.decided_at < UNMOVED_S + 120


def test_a_fixture_that_was_silent_for_a_while_has_not_moved() -> None:
    """Three gateways, and half an hour of nothing."""
    story = Story()
    for at in (*range(0, 5 * HOUR, 10), *range(5 * HOUR + 1800, 8 * HOUR, 10)):
        for number, gateway in enumerate(("gw-1", "gw-2", "gw-3")):
            story.heard([at + number], -60 - 8 * number, gateway=gateway)
    assert story.told == ["enter floor @0", "exit silence @0"]


def test_a_fixture_that_is_carried_away_is_somebodys_visit() -> None:
    """Picked up at 5 h: a new visit, no resumption, begun when that was seen."""
    story = found()
    shelf(story, 5 * HOUR, 5 * HOUR + 900, -85)
    assert story.outline[2:] == ["enter floor"]
    enter = story.last
    assert 5 * HOUR < enter.at < 5 * HOUR + 480
    assert enter.visit.id != story.events[0].visit.id


@pytest.mark.parametrize(("away", "visits"), [(59, False), (61, True)])
def test_a_fixture_unheard_for_an_hour_is_forgotten(away: int, *, visits: bool) -> None:
    """Taken home and brought back: a new visit."""
    story = found()
    back = 5 * HOUR + away * 60
    shelf(story, back, back + 300)
    assert story.told[2:] == ([f"enter floor @{back}"] if visits else [])


def test_a_fixture_is_not_unheard_by_the_deaf() -> None:
    """The radio was lost for three hours: it stood there all the time."""
    story = found()
    story.lost(5 * HOUR)
    story.recovered(8 * HOUR)
    shelf(story, 8 * HOUR + 60, 9 * HOUR)
    assert story.told[2:] == []


def test_nothing_is_remembered_of_a_fixture_that_has_gone() -> None:
    """Nor does a gateway that stays deaf remember it for ever."""
    story = found()
    story.until(6 * HOUR + 60)
    assert story.tracker.visitors == []
    story = found()
    story.lost(5 * HOUR)
    story.until(30 * HOUR)
    assert story.tracker.visitors == []


def test_a_fixture_that_falls_silent_at_times_is_found_all_the_same() -> None:
    """Faint, heard for 20 minutes and then not for 10: its visits come to an end."""
    story = Story(exit_after=60.0, resume_within=0.0)
    for begins in range(0, 12 * HOUR, 1800):
        shelf(story, begins, begins + 1200, FAINT)
    exits = [event for event in story.events if isinstance(event, Exit)]
    assert max(event.visit.decided_at for event in exits) < 7 * HOUR
    assert len(story.events) == 2 * len(exits)


def test_a_station_that_gives_no_level_is_never_judged() -> None:
    """Ten hours on the Wi-Fi: whether it moves nobody knows."""
    story = Story()
    story.wifi(Sign.ASSOCIATED, 0)
    story.wifi(Sign.HEARD, *range(60, 10 * HOUR, 60))
    assert story.told == ["enter floor @0"]


def test_a_fixture_survives_a_restart() -> None:
    """Known before, known after, for as long as it is heard."""
    story = found()
    (kept,) = story.restart(5 * HOUR + 30)
    assert kept.fixture is Fixture.UNMOVED
    shelf(story, 5 * HOUR + 60, 12 * HOUR)
    assert story.told[2:] == []
    assert len(story.tracker.open_visits) == 1


def test_a_restart_begins_the_four_hours_anew() -> None:
    """Levels live in memory alone: stopped at 3 h, found out 4 h later."""
    story = Story()
    shelf(story, 0, 3 * HOUR)
    story.restart(3 * HOUR)
    shelf(story, 3 * HOUR, 8 * HOUR)
    assert story.outline == ["enter floor", "exit silence"]
    assert 7 * HOUR <= story.last.visit.decided_at < 7 * HOUR + 120


def test_consent_withdrawn_forgets_a_fixture() -> None:
    """Nothing is left of it."""
    story = found()
    story.sees(Withdrawal(5 * HOUR, "anna"))
    assert story.tracker.visitors == []
    assert story.tracker.open_visits == []


def test_a_silence_of_hours_is_not_observed_stillness() -> None:
    """Heard for two minutes each hour: twelve minutes of each count, so the day is too short."""
    stillness = Stillness(0.0)
    for hour in range(12):
        for second in range(0, 120, 3):
            stillness.hear("gw-1", NEAR, hour * HOUR + second)
    assert not stillness.unmoved
    assert stillness.still_s <= 12 * 720


@pytest.mark.parametrize(("recording", "carried"), [("static", False), ("rooms", True)])
def test_recorded_beacons_move_when_they_were_carried(recording: str, *, carried: bool) -> None:
    """Seven at rest for half an hour each; six carried from room to room and back."""
    seen: dict[str, Stillness] = {}
    moved: set[str] = set()
    with gzip.open(DATA / recording / "trace.jsonl.gz", "rt") as trace:
        for line in map(json.loads, trace):
            if "ble" in line:
                who, at = line["ble"]["address"], line["at"]
                stillness = seen.setdefault(who, Stillness(at))
                if stillness.hear(line["gateway"], line["ble"]["rssi"], at) and stillness.moving:
                    moved.add(who)
    assert len(seen) == (6 if carried else 7)
    assert moved == (set(seen) if carried else set())


def test_disorder_moves_nothing() -> None:
    """Two gateways whose packets come up to five seconds late."""
    rng = random.Random(1)
    story = Story()
    for at in range(10, 5 * HOUR, 5):
        story.heard([at - 5 * rng.random()], -60)
        story.heard([at - 5 * rng.random()], -75, gateway="gw-2")
    assert story.outline == ["enter floor", "exit silence"]
