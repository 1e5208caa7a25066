"""Zones, and the door between inside and outside."""

from __future__ import annotations

import pytest

from edge_agent.model import Exit, Sign
from tests.track.story import FAINT, NEAR, Story, say

FAR = -75


def walk(story: Story, since: int, until: int, near: str, far: str) -> None:
    """She is near one gateway, and another hears her from afar."""
    for at in range(since, until):
        story.heard([at], NEAR, gateway=near)
        story.heard([at + 0.5], FAR, gateway=far)


def test_she_goes_from_one_zone_to_another() -> None:
    """From the floor to the café at 60: one move, dated to when the café took the lead."""
    story = Story()
    walk(story, 0, 60, "gw-1", "gw-3")
    walk(story, 60, 120, "gw-3", "gw-1")
    assert story.outline == ["enter floor", "move floor>cafe"]
    assert 60 <= story.last.at <= 65
    assert story.last.visit.decided_at >= story.last.at + 5
    assert story.last.visit.zone == "cafe"


def test_two_gateways_of_one_zone_are_one_place() -> None:
    """From gw-1 to gw-2, both on the floor: no move."""
    story = Story()
    walk(story, 0, 60, "gw-1", "gw-2")
    walk(story, 60, 120, "gw-2", "gw-1")
    assert story.told == ["enter floor @0"]


def test_standing_between_two_zones_is_no_walk() -> None:
    """Both hear her alike, now the one 4 dB louder and now the other: no move."""
    story = Story()
    for at in range(300):
        swing = 2 if at // 20 % 2 else -2
        story.heard([at], -65 + swing, gateway="gw-1")
        story.heard([at + 0.5], -65 - swing, gateway="gw-3")
    assert story.told == ["enter floor @0"]


def test_a_gateway_that_loses_her_gives_her_up() -> None:
    """The floor hears her no more and the café does, faintly: she went there."""
    story = Story()
    story.heard(range(60), NEAR)
    story.heard(range(60, 140), -80, gateway="gw-3")
    assert story.outline == ["enter floor", "move floor>cafe"]


def test_she_leaves_by_the_door() -> None:
    """Near inside, then near the street's gateway: gone at once, dated to the crossing."""
    story = Story()
    walk(story, 0, 60, "gw-1", "gw-4")
    walk(story, 60, 90, "gw-4", "gw-1")
    leave = story.last
    assert story.outline == [
        "enter floor",
        "exit left_by_door",
    ]
    assert isinstance(leave, Exit)
    assert 60 <= leave.at <= 64
    assert leave.visit.decided_at < 90
    assert leave.visit.confidence == 0.95


def test_a_lost_street_radio_neither_ends_nor_begins_a_visit() -> None:
    """The pavement is no longer covered: who was inside stays there, her levels as before."""
    story = Story()
    walk(story, 0, 120, "gw-1", "gw-4")
    story.lost(120, gateway="gw-4")
    story.heard(range(121, 300), NEAR)
    story.recovered(300, gateway="gw-4")
    walk(story, 301, 400, "gw-1", "gw-4")
    assert story.outline == ["enter floor"]


def test_the_first_on_the_pavement_ends_no_visit() -> None:
    """Anna is inside and never heard outside; then the street's gateway hears its first, Bea."""
    story = Story()
    for at in range(300):
        story.heard([at], -70)
        if at >= 100:
            story.heard([at + 0.5], NEAR, gateway="gw-4", who="bea")
    assert [(event.visit.visitor, say(event)) for event in story.events] == [
        ("anna", "enter floor @0")
    ]


def test_walking_past_the_door_is_no_visit() -> None:
    """Where the pavement is covered: nearer to the door than to anything, and on."""
    story = Story()
    for at in range(40):
        away = abs(at - 20)
        story.heard([at], -62 - away, gateway="gw-4")
        story.heard([at + 0.5], -78 - away // 2, gateway="gw-1")
    story.until(1000)
    assert story.told == []


def test_being_on_the_pavement_is_no_visit() -> None:
    """An hour under the awning, faintly heard inside."""
    story = Story()
    walk(story, 0, 3600, "gw-4", "gw-1")
    assert story.told == []


def test_she_comes_in_from_the_street() -> None:
    """The visit begins at the door and not on the pavement."""
    story = Story()
    walk(story, 0, 60, "gw-4", "gw-1")
    walk(story, 60, 90, "gw-1", "gw-4")
    assert story.told[0].startswith("enter floor")
    assert 60 <= story.events[0].at <= 64


def test_inside_the_street_is_heard_too() -> None:
    """The street's gateway hears her faintly through the wall, now and then louder: no exit."""
    story = Story()
    for at in range(300):
        story.heard([at], -82, gateway="gw-1")
        story.heard([at + 0.5], FAINT if at % 30 else -80, gateway="gw-4")
    assert story.outline == ["enter floor"]


def test_an_association_does_not_say_where_she_stands() -> None:
    """The access point is on the floor, she drinks coffee: its keep-alives move her nowhere."""
    story = Story()
    for at in range(0, 600, 2):
        story.heard([at], NEAR, gateway="gw-3")
        story.heard([at + 0.5], FAR, gateway="gw-1")
        if at % 60 == 0:
            story.wifi(Sign.HEARD, at + 1, gateway="gw-1")
    assert story.told == ["enter cafe @0"]


def test_bluetooth_tells_the_zone_where_wifi_let_her_in() -> None:
    """Associated on the floor at 0; then only the café hears her phone: she went there."""
    story = Story()
    story.wifi(Sign.ASSOCIATED, 0)
    story.heard(range(10, 60), NEAR, gateway="gw-3")
    assert story.outline == ["enter floor", "move floor>cafe"]


def test_no_exit_takes_back_a_milestone() -> None:
    """Her minute is told while she stands in the door; she left just before it, it turns out."""
    story = Story(milestones=(60,))
    walk(story, 0, 57, "gw-1", "gw-4")
    for tenth in range(570, 700):
        story.heard([tenth / 10], -60, gateway="gw-4")
        story.heard([tenth / 10 + 0.05], -68, gateway="gw-1")
    leave = story.last
    assert story.outline[-1] == "exit left_by_door"
    assert isinstance(leave, Exit)
    assert leave.dwell_s >= (60 if "dwell 60 @60" in story.told else 0)


@pytest.mark.parametrize("wait", [60, 600])
def test_back_through_the_door(wait: int) -> None:
    """Out at 60 for a telephone call: back within two minutes she resumes, later she enters."""
    story = Story()
    walk(story, 0, 60, "gw-1", "gw-4")
    walk(story, 60, 60 + wait, "gw-4", "gw-1")
    walk(story, 60 + wait, 90 + wait, "gw-1", "gw-4")
    again = "again " if wait < 120 else ""
    words = story.outline
    assert words == ["enter floor", "exit left_by_door", f"enter {again}floor"]
