"""How loud she is at each gateway, and which zone takes the lead."""

from __future__ import annotations

import math

import pytest

from edge_agent.model import Method, RadioState, Sighting
from edge_agent.track import levels as rule
from edge_agent.track.levels import Lead, Levels, Reading
from edge_agent.track.receivers import Receivers
from tests.track.story import FLOOR, Story


def new_levels(receivers: Receivers | None = None) -> Levels:
    """Give the levels of one who is unheard."""
    return Levels(FLOOR, receivers or Receivers())


def hear(
    levels: Levels, at: float, rssi: int, gateway: str = "gw-1", tx: int | None = None
) -> None:
    """She is heard once."""
    levels.hear(Sighting(at, "anna", gateway, "ble", Method.APP, rssi, tx), rssi)


def reading(fresh: str = "floor cafe", **zones: float) -> Reading:
    """Give one reading of inside zones."""
    loudest = max(zones, key=lambda zone: zones[zone])
    return Reading(zones, frozenset(fresh.split()) & set(zones), loudest, zones[loudest], None)


def lead(*readings: Reading) -> list[str | None]:
    """Give the zones that led, one reading a second."""
    one, zones = Lead(0.0), []
    for at, what in enumerate(readings):
        one.weigh(what, float(at), 1.0)
        zones.append(one.zone)
    return zones


@pytest.mark.parametrize("period", [0.1, 0.5, 1.0, 2.0])
def test_ten_packets_a_second_are_smoothed_as_one_in_two(period: float) -> None:
    """From -60 to -80: after four seconds the level has come the same way, whatever the rate."""
    levels = new_levels()
    hear(levels, 0.0, -60)
    for number in range(1, round(4 / period) + 1):
        hear(levels, number * period, -80)
    way = 1.0 - math.exp(-4.0 / rule.SMOOTH_S)
    assert levels.read(4.0).inside == pytest.approx(-60 - 20 * way)


def test_a_phone_that_says_its_power_is_referred_to_the_usual_one() -> None:
    """-75 dBm of one that shows -79 at 1 m are -55 of one that shows -59."""
    levels = new_levels()
    hear(levels, 0.0, -75, tx=-79)
    assert levels.read(0.0).inside == pytest.approx(-55)


def test_a_zone_is_as_loud_as_its_loudest_gateway() -> None:
    """Two on the floor, one in the cafe, one on the street."""
    levels = new_levels()
    for gateway, rssi in (("gw-1", -80), ("gw-2", -60), ("gw-3", -70), ("gw-4", -90)):
        hear(levels, 0.0, rssi, gateway)
    found = levels.read(0.0)
    assert found.zones == {"floor": -60, "cafe": -70}
    assert (found.loudest, found.inside, found.outside) == ("floor", -60, -90)


def test_an_advertisement_missed_is_chance_and_many_are_not() -> None:
    """The cafe hears her each second, the floor no more: it keeps its level, then fades."""
    levels = new_levels()
    hear(levels, 0.0, -60)
    floor = []
    for at in range(20):
        hear(levels, float(at), -75, "gw-3")
        floor.append(levels.read(float(at)).zones["floor"])
    assert floor[1] == -60
    assert floor[5:] == sorted(floor[5:], reverse=True)
    assert floor[19] < -70


def test_what_missed_too_often_is_not_fresh() -> None:
    """And is again, once it hears her."""
    levels = new_levels()
    hear(levels, 0.0, -60)
    fresh = []
    for at in range(10):
        hear(levels, float(at), -75, "gw-3")
        if at == 9:
            hear(levels, 9.0, -60)
        fresh.append("floor" in levels.read(float(at)).fresh)
    assert fresh[0]
    assert not any(fresh[5:9])
    assert fresh[9]


def test_a_level_of_long_ago_says_nothing() -> None:
    """A minute later she may be anywhere."""
    levels = new_levels()
    hear(levels, 0.0, -60)
    hear(levels, 60.0, -75, "gw-3")
    assert levels.read(60.0).zones == {"cafe": -75}


def test_a_lost_gateway_keeps_what_it_said_last() -> None:
    """A lost radio is evidence of nothing: neither of fading nor of being gone."""
    receivers = Receivers()
    levels = new_levels(receivers)
    hear(levels, 0.0, -60)
    receivers.set(RadioState(1.0, "gw-1", "ble", listening=False))
    for at in range(1, 100):
        hear(levels, float(at), -75, "gw-3")
        assert levels.read(float(at)).loudest == "floor"


def test_a_late_packet_does_not_lead() -> None:
    """One of before the newest colours the level, and no more."""
    levels = new_levels()
    for at in range(10):
        hear(levels, float(at), -60)
    hear(levels, 4.0, -90)
    found = levels.read(9.0).inside
    assert found is not None
    assert -65 < found <= -60


def test_a_louder_receiver_is_held_against_what_it_is() -> None:
    """The floor's hears everybody 20 dB louder: she is in the cafe."""
    receivers = Receivers()
    for _ in range(3000):
        receivers.place("gw-1", -40.0)
        receivers.place("gw-3", -60.0)
    levels = new_levels(receivers)
    hear(levels, 0.0, -62)
    hear(levels, 0.0, -70, "gw-3")
    assert levels.read(0.0).loudest == "cafe"


def test_the_first_zone_leads_at_once() -> None:
    """Nobody is nowhere."""
    assert lead(reading(floor=-60.0, cafe=-61.0)) == ["floor"]


def test_a_zone_must_be_louder_by_far() -> None:
    """A minute of 3 dB more is a shadow."""
    assert set(lead(reading(floor=-60.0), *[reading(floor=-70.0, cafe=-67.0)] * 60)) == {"floor"}


def test_a_zone_must_be_louder_for_long() -> None:
    """Twelve dB more: not for three seconds, but for fifteen."""
    here, there = reading(floor=-60.0, cafe=-72.0), reading(floor=-72.0, cafe=-60.0)
    assert lead(here, *[there] * 3)[-1] == "floor"
    assert lead(here, *[there] * 15)[-1] == "cafe"


def test_one_reading_to_the_contrary_begins_the_wait_anew() -> None:
    """Louder for five seconds in six, for a minute: she stands between the two."""
    here, there = reading(floor=-60.0, cafe=-72.0), reading(floor=-72.0, cafe=-60.0)
    assert set(lead(*[here, *[there] * 5] * 10)) == {"floor"}


def test_a_move_is_dated_to_when_the_zone_took_the_lead() -> None:
    """It is known some seconds later."""
    one = Lead(0.0)
    for at in range(10):
        one.weigh(reading(floor=-60.0, cafe=-72.0), float(at), 1.0)
    for at in range(10, 30):
        one.weigh(reading(floor=-72.0, cafe=-60.0), float(at), 1.0)
    assert (one.zone, one.moved_at) == ("cafe", 10.0)


def test_a_gateway_that_dies_does_not_send_her_through_the_wall() -> None:
    """The cafe always heard her through the wall, at -80; now it alone does: no move."""
    story = Story()
    for at in range(120):
        story.heard([at], -60)
        story.heard([at + 0.5], -80, gateway="gw-3")
    story.heard(range(120, 600), -80, gateway="gw-3")
    assert "move floor>cafe" not in story.outline


def test_she_is_found_when_she_really_walks() -> None:
    """The floor's gateway is dead, and the cafe hears her ever louder: she went there."""
    story = Story()
    for at in range(120):
        story.heard([at], -60)
        story.heard([at + 0.5], -80, gateway="gw-3")
    story.heard(range(120, 180), -80, gateway="gw-3")
    story.walks(180, 200, (-80, -55), gateway="gw-3")
    story.heard(range(200, 240), -55, gateway="gw-3")
    assert story.outline == ["enter floor", "move floor>cafe"]
    assert 175 <= story.last.at <= 200
