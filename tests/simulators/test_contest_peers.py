"""Each peer's rule on a story of a few sightings, with the times that its description gives."""

from __future__ import annotations

import numpy as np
import pytest

from simulators.contest.peers import PEERS, PeerRule
from simulators.contest.peers.heard import Heard, Site, claims_of

NAN = float("nan")
RULES = {rule.name: rule for rule in PEERS}
# Receiver 0 hears the floor, 1 another room, 2 the pavement.
SITE = Site(("floor", "back", "pavement"), np.array([0, 1, 2]), np.array([False, False, True]))

Told = list[tuple[float, float, float]]


def heard(*sightings: tuple[float, ...], ble: bool = True) -> Heard:
    """Sightings as (at,), (at, rssi) or (at, rssi, receiver); -60 dBm on the floor by default."""
    full = [(*one, *(-60.0, 0)[len(one) - 1 :]) for one in sightings]
    at, rssi, gateway = (np.array(column) for column in zip(*full, strict=True))
    return Heard(at.astype(float), rssi.astype(float), gateway.astype(int), np.full(len(at), ble))


def told(name: str, story: Heard, timeout: float | None = None) -> Told:
    """What the rule told: entered, exited, and when the exit was decided."""
    rule = RULES[name]
    signal = rule.listen(story, SITE)
    spells = rule.stretches(signal, rule.published_s if timeout is None else timeout)
    return [(one.entered_at, one.exited_at, one.decided_at) for one in spells]


@pytest.mark.parametrize(
    ("name", "decided"),
    [
        ("altbeacon", 20.0),
        ("barnacles", 25.0),
        ("espresense-count", 20.0),
        ("espresense-far", 25.0),
        ("companion", 40.0),
        ("bermuda", 40.0),
        ("room-assistant", 120.0),  # silent for 60 s at 70, seen at the check of 120
        ("theengs", 130.0),
        ("ha-ibeacon", 190.0),
        ("monitor", 250.0),  # twice 5 s is under 45 s
        ("esphome", 310.0),
        ("habluetooth", 1200.0),  # nothing learned from three: 900 s, seen at the sweep of 1200
        ("timeout", 70.0),
        ("timeout-80", 70.0),
        ("strongest-2s", 70.0),
        ("strongest-5s-3db", 70.0),
        ("strongest-20s-6db", 70.0),
        ("ewma-6db", 70.0),
        ("ewma-level", 70.0),
    ],
)
def test_heard_at_0_5_and_10_then_silence(name: str, decided: float) -> None:
    """Loud and near: she entered at 0, and left at 10 as each rule finds out."""
    assert told(name, heard((0,), (5,), (10,))) == [(0.0, 10.0, decided)]


def test_every_rule_has_a_story() -> None:
    """Those above, and Meraki's, which waits for five minutes."""
    assert len(PEERS) == len(RULES) == 20


def test_a_silence_of_just_the_timeout_is_none() -> None:
    """Heard at 0, 10 and 20.5: altbeacon's 10 s were over once."""
    assert told("altbeacon", heard((0,), (10,), (20.5,))) == [(0, 10, 20), (20.5, 20.5, 30.5)]


def test_the_sweep_scales_a_timeout() -> None:
    """Room-assistant with 30 s checks each 30 s; monitor with 60 s learns from 11.25 s on."""
    assert told("room-assistant", heard((0,), (10,)), 30.0) == [(0, 10, 60)]
    assert told("monitor", heard((0,), (10,)), 60.0) == [(0, 10, 30)]


def test_theengs_hears_nothing_while_it_sleeps() -> None:
    """It scans from 0 to 5 and from 10 to 15; what the Wi-Fi heard it heard all the same."""
    assert told("theengs", heard((6,), (9,))) == []
    assert told("theengs", heard((6,), (12,))) == [(12, 12, 132)]
    assert told("theengs", heard((6, NAN), ble=False)) == [(6, 6, 126)]


def test_monitor_doubles_the_longest_interval() -> None:
    """30 s make 60, 150 s would make 300 and so make 240; what ended a presence is not learned."""
    assert told("monitor", heard((0,), (30,), (40,))) == [(0, 40, 100)]
    assert told("monitor", heard((0,), (150,))) == [(0, 150, 390)]
    assert told("monitor", heard((0,), (500,)))[1] == (500, 500, 740)


def test_habluetooth_learns_from_sixteen_and_forgets_with_the_device() -> None:
    """Each 10 s: 15 s would do, but the stack takes 195, and the sweep comes at 600."""
    steady = [(10.0 * n,) for n in range(16)]
    assert told("habluetooth", heard(*steady)) == [(0, 150, 600)]
    once_silent = [(0.0,), *((250.0 + n,) for n in range(15))]
    assert told("habluetooth", heard(*once_silent)) == [(0, 264, 600)]  # 264 + 250 + 5
    back = [*steady, (700.0,)]
    assert told("habluetooth", heard(*back)) == [(0, 150, 600), (700, 700, 1800)]


def test_meraki_tells_of_a_visit_after_five_minutes() -> None:
    """15 dB above -95 dBm enter, 10 dB keep, and four minutes are nobody's visit."""
    rule = RULES["meraki-visit"]
    story = heard(*((60.0 * n, -80 if n == 0 else -85) for n in range(7)))
    (visit,) = rule.stretches(rule.listen(story, SITE), 120.0)
    assert (visit.entered_at, visit.known_at, visit.decided_at) == (0, 300, 480)
    assert told("meraki-visit", heard(*((60.0 * n,) for n in range(5)))) == []
    assert told("meraki-visit", heard(*((60.0 * n, -81) for n in range(7)))) == []
    assert told("meraki-visit", heard((0,), *((60.0 * n, -86) for n in range(1, 7)))) == []


def test_a_gate_lets_in_and_not_out() -> None:
    """-81 dBm does not enter, -80 does, and then -95 keeps; without an RSSI there is no gate."""
    assert told("timeout-80", heard((0, -81), (5, -80), (10, -95))) == [(5, 10, 70)]
    assert told("timeout-80", heard((0, NAN))) == [(0, 0, 60)]


def test_espresense_counts_within_two_metres_and_keeps_to_four() -> None:
    """-86 dBm are 3.6 m: not in, but not out; seven of the last ten at -95 dBm are 4.1 m."""
    assert told("espresense-count", heard((0, -86))) == []
    near = [(float(n), -70) for n in range(10)]
    far = [(12.0 + n, -95) for n in range(10)]
    assert told("espresense-count", heard(*near, (15, -86))) == [(0, 15, 25)]
    crossing = [(float(n), -70) for n in range(85, 95)] + [(100.0 + n, -95) for n in range(10)]
    assert told("espresense-count", heard(*crossing))[0] == (85, 106, 106)
    assert told("espresense-far", heard(*near, *far)) == [(0, 21, 36)]


def test_ewma_level_needs_its_six_decibels() -> None:
    """In at -75, still in at -81, out where three tenths of -101 have pulled it down."""
    assert told("ewma-level", heard((0, -76), (1, -76))) == []
    assert told("ewma-level", heard((0, -75), (1, -95), (2, -101))) == [(0, 2, 2)]


def zones(name: str, *sightings: tuple[float, ...]) -> list[tuple[str, float]]:
    """Where the rule said she was, and since when, in her first spell."""
    rule: PeerRule = RULES[name]
    signals = {"v": rule.listen(heard(*sightings), SITE)}
    claims = claims_of(rule, signals, SITE, rule.published_s, 10_000.0)["v"]
    return list(claims.spells[0].zones)


def test_barnacles_follows_the_loudest_of_two_seconds() -> None:
    """The floor's -60 dBm of second 0 are forgotten at second 2."""
    found = zones("barnacles", (0, -60, 0), (1, -70, 1), (2, -70, 1))
    assert found == [("floor", 0), ("back", 2)]


def test_bermuda_wants_a_challenger_clearly_nearer() -> None:
    """4.6 m is no challenge to 3.2 m, 2.0 m is; a retreat of 12 m in a second is not believed."""
    found = zones("bermuda", (0, -70, 0), (1, -75, 1), (2, -64, 1), (3, -90, 1), (4, -70, 0))
    assert found == [("floor", 0), ("back", 2)]


def test_bermuda_takes_a_small_lead_that_lasts() -> None:
    """2.7 m against 3.2 m is 21 % with readings apart: enough. 2.9 m is 7 %: not."""
    apart = [(float(n), -70, 0) for n in range(5)]
    assert zones("bermuda", *apart, (6, -67, 1)) == [("floor", 0), ("back", 6)]
    assert zones("bermuda", *apart, (6, -69, 1)) == [("floor", 0)]


def test_room_assistant_follows_the_nearest_instance() -> None:
    """One reading of an instance is taken as it is."""
    assert zones("room-assistant", (0, -70, 0), (1, -65, 1)) == [("floor", 0), ("back", 1)]


def test_habluetooth_switches_at_16_db_and_gives_back_at_22() -> None:
    """-60 ousts -80; then -40 is 20 dB more, not enough to reclaim, and -30 is."""
    switch = [(0, -80, 0), (1, -60, 1)]
    assert zones("habluetooth", *switch) == [("floor", 0), ("back", 1)]
    slow = [(0, -80, 0), (1, -70, 1)]
    assert zones("habluetooth", *slow) == [("floor", 0)]
    # -80 smoothed with 0.3 of +20 dB steps: -39.8 after some twenty readings of -39.8.
    again = [*switch, *((2.0 + n, -39.8, 0) for n in range(40))]
    assert zones("habluetooth", *again) == [("floor", 0), ("back", 1)]
    louder = [*switch, *((2.0 + n, -30.0, 0) for n in range(40))]
    assert [zone for zone, _ in zones("habluetooth", *louder)] == ["floor", "back", "floor"]


@pytest.mark.parametrize("name", ["strongest-5s-3db", "ewma-6db"])
def test_a_margin_is_needed(name: str) -> None:
    """2 dB more move nobody, 9 dB more do."""
    assert zones(name, (0, -70, 0), (1, -68, 1)) == [("floor", 0)]
    assert zones(name, (0, -70, 0), (1, -61, 1)) == [("floor", 0), ("back", 1)]


@pytest.mark.parametrize(
    "name", ["barnacles", "bermuda", "room-assistant", "strongest-2s", "ewma-6db", "habluetooth"]
)
def test_an_outside_receiver_that_has_her_means_away(name: str) -> None:
    """Heard far louder on the pavement at 5: she left there and then."""
    assert told(name, heard((0, -80, 0), (5, -50, 2))) == [(0, 5, 5)]


@pytest.mark.parametrize("name", ["altbeacon", "companion", "ha-ibeacon", "esphome", "timeout"])
def test_a_plain_silence_knows_no_pavement(name: str) -> None:
    """Heard outside at 5: still in."""
    (spell,) = told(name, heard((0, -80, 0), (5, -50, 2)))
    assert spell[1] == 5
