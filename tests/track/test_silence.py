"""Whose silence counts: a lost radio is evidence of nothing."""

from __future__ import annotations

import pytest

from edge_agent.model import Exit, Sign
from tests.track.story import Story


def inside() -> Story:
    """Heard from 0 to 10."""
    story = Story()
    story.heard([0, 5, 10])
    return story


def test_silence_does_not_count_while_the_radio_is_lost() -> None:
    """Lost at 20, recovered at 1000: ten seconds of silence counted, 350 to go."""
    story = inside()
    story.lost(20)
    story.recovered(1000)
    story.until(1000 + 349.9)
    assert story.told == ["enter floor @0"]
    story.until(1000 + 350)
    assert story.told[1:] == ["exit silence @10"]


def test_a_visit_goes_on_when_the_radio_comes_back() -> None:
    """Lost from 20 to 1000 and heard at 1001: she never left."""
    story = inside()
    story.lost(20)
    story.recovered(1000)
    story.heard(range(1001, 1010))
    assert story.told == ["enter floor @0"]


def test_a_radio_that_stays_lost_ends_the_visit_as_its_own_fault() -> None:
    """Half an hour after the loss: the gateway stopped, she was last heard at 10."""
    story = inside()
    story.lost(20)
    story.until(20 + 1799.9)
    assert story.told == ["enter floor @0"]
    story.until(20 + 1800)
    leave = story.last
    assert story.told[1:] == ["exit gateway_stopped @10"]
    assert isinstance(leave, Exit)
    assert leave.dwell_s == 10


def test_the_radio_beside_her_listens_for_a_lost_one() -> None:
    """Two gateways heard her to the last; one is lost, and the other's silence counts."""
    story = Story()
    for at in range(11):
        story.heard([at], gateway="gw-1")
        story.heard([at], gateway="gw-2")
    story.lost(20, gateway="gw-1")
    story.until(1000)
    assert story.told == ["enter floor @0", "exit silence @10"]
    assert story.last.visit.decided_at == pytest.approx(370)


def test_a_radio_that_did_not_hear_her_does_not_listen_for_a_lost_one() -> None:
    """The café's gateway works and never heard her: its silence means nothing."""
    story = inside()
    story.heard(range(11), gateway="gw-3", who="bea")
    story.lost(20)
    story.until(1000)
    assert not any(e.visit.visitor == "anna" for e in story.events if isinstance(e, Exit))


def test_a_radio_that_hears_was_not_lost_for_long() -> None:
    """Nobody said that it recovered, but it hears Bea: Anna's silence counts again from then."""
    story = inside()
    story.lost(20)
    story.heard([500], who="bea")
    story.until(500 + 350)
    assert story.told == ["enter floor @0", "exit silence @10"]


def test_the_second_adapter_of_a_gateway_listens_too() -> None:
    """Both adapters heard her, one is unplugged: the other's silence counts."""
    story = Story()
    for at in range(11):
        story.heard([at], radio="ble")
        story.heard([at], radio="ble:hci1")
    story.lost(20, radio="ble:hci1")
    story.until(1000)
    assert story.told[1:] == ["exit silence @10"]


def test_the_silence_of_a_passive_scan_never_ends_a_visit() -> None:
    """BlueZ hides a still phone from it: after half an hour the gateway gives up, not she."""
    story = Story()
    story.heard(range(11), silence_counts=False)
    story.until(1000)
    assert story.told == ["enter floor @0"]
    story.until(3000)
    assert story.told[1:] == ["exit gateway_stopped @10"]


def test_a_passive_scan_elsewhere_does_not_borrow_an_active_ones_silence() -> None:
    """gw-1 heard her at the entrance, then only the passive gw-2: nobody there can hear silence."""
    story = Story()
    story.heard([0, 5, 10])
    story.heard(range(20, 400, 10), gateway="gw-2", silence_counts=False)
    story.until(390 + 1000)
    assert story.told == ["enter floor @0"]


def test_losses_of_other_radios_change_nothing() -> None:
    """The street's radio comes and goes; Anna's silence is what it was."""
    story = inside()
    for at in range(20, 300, 20):
        story.lost(at, gateway="gw-4")
        story.recovered(at + 10, gateway="gw-4")
    story.until(1000)
    assert story.told == ["enter floor @0", "exit silence @10"]
    assert story.last.visit.decided_at == pytest.approx(370)


def test_silence_over_several_losses_adds_up() -> None:
    """A hundred seconds counted, a hundred not, and so on: out after 360 counted."""
    story = inside()
    for at in (110, 310, 510):
        story.lost(at)
        story.recovered(at + 100)
    story.until(2000)
    assert story.told[1:] == ["exit silence @10"]
    assert story.last.visit.decided_at == pytest.approx(10 + 360 + 300)


def test_wifi_goes_on_hearing_when_bluetooth_is_lost() -> None:
    """Her station was heard beside her phone: its silence counts."""
    story = inside()
    story.wifi(Sign.HEARD, 10)
    story.lost(20)
    story.until(1000)
    assert story.told[1:] == ["exit silence @10"]
