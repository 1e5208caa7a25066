"""What is known of the store's receivers: their gains, and which are deaf."""

from __future__ import annotations

import random

import pytest

from edge_agent.model import RadioState
from edge_agent.track.receivers import Receivers


def day(offsets: dict[str, float], levels: int = 4000, seed: int = 1) -> Receivers:
    """Tell of people who walk about, heard by receivers of these offsets, dB."""
    rng = random.Random(seed)
    receivers = Receivers()
    for _ in range(levels):
        for gateway, offset in offsets.items():
            receivers.place(gateway, rng.gauss(-75.0, 7.0) + offset)
    return receivers


@pytest.mark.parametrize("seed", range(5))
def test_a_receiver_louder_than_the_others_is_found_out(seed: int) -> None:
    """By 5 dB, one of three: its gain is that much above the others' within 2 dB."""
    gains = day({"gw-1": 5.0, "gw-2": 0.0, "gw-3": 0.0}, seed=seed).gains
    assert gains["gw-1"] - gains["gw-2"] == pytest.approx(5, abs=2)
    assert gains["gw-1"] - gains["gw-3"] == pytest.approx(5, abs=2)
    assert sum(gains.values()) == pytest.approx(0, abs=0.5)


def test_one_receiver_alone_has_no_gain() -> None:
    """There is nothing to be louder than."""
    assert day({"gw-1": 5.0}).gains["gw-1"] == pytest.approx(0)


def test_little_heard_says_little() -> None:
    """A hundred levels of 5 dB more move it by less than 3 dB."""
    gains = day({"gw-1": 5.0, "gw-2": 0.0}, levels=100).gains
    assert abs(gains["gw-1"] - gains["gw-2"]) < 3


def test_where_people_stand_hardly_matters() -> None:
    """Most are far from gw-2, yet somebody comes to stand beside it: the same radio."""
    rng = random.Random(1)
    receivers = Receivers()
    for _ in range(6000):
        receivers.place("gw-1", rng.uniform(-80.0, -45.0))
        near = rng.random() < 0.1
        receivers.place("gw-2", rng.uniform(-55.0, -45.0) if near else rng.gauss(-85.0, 3.0))
    assert abs(receivers.gains["gw-1"] - receivers.gains["gw-2"]) < 4


def test_a_receiver_is_deaf_from_its_loss_until_it_recovers() -> None:
    """And hears nobody meanwhile."""
    receivers = Receivers()
    receivers.hear("gw-1", -60)
    assert (receivers.deaf("gw-1"), receivers.hearing) == (False, {"gw-1"})
    receivers.set(RadioState(1.0, "gw-1", "ble", listening=False))
    assert (receivers.deaf("gw-1"), receivers.hearing) == (True, set())
    receivers.set(RadioState(2.0, "gw-1", "ble", listening=True))
    assert not receivers.deaf("gw-1")


def test_a_receiver_that_hears_is_not_deaf() -> None:
    """Whatever was said of it."""
    receivers = Receivers()
    receivers.set(RadioState(1.0, "gw-1", "ble", listening=False))
    receivers.hear("gw-1", -60)
    assert (receivers.deaf("gw-1"), receivers.hearing) == (False, {"gw-1"})


def test_one_that_never_heard_anybody_does_not_hear() -> None:
    """To listen is not to hear: its antenna may lie in a drawer."""
    receivers = Receivers()
    receivers.set(RadioState(1.0, "gw-4", "ble", listening=True))
    assert receivers.hearing == set()


def test_the_weakest_that_is_received_is_learnt() -> None:
    """A deaf radio that loses all below -85 dBm; one that hears down to -102."""
    for edge in (-85, -102):
        rng = random.Random(1)
        receivers = Receivers()
        for _ in range(60000):
            receivers.hear("gw-1", rng.randint(edge, edge + 35))
        assert receivers.weakest_dbm == pytest.approx(edge, abs=3)
