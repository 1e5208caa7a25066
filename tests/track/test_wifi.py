"""What a Wi-Fi station says: an association carries a silence, and its end is evidence."""

from __future__ import annotations

import pytest

from edge_agent.model import Sign
from tests.track.story import Story


def associated(until: int = 100) -> Story:
    """Heard by Bluetooth from 0 to `until`, fading at the end, and associated at 5."""
    story = Story()
    story.heard(range(5))
    story.wifi(Sign.ASSOCIATED, 5)
    story.heard(range(6, until))
    story.heard(range(until, until + 10), -90)
    return story


def test_an_association_is_a_visit_at_once() -> None:
    """The portal or a credential says who she is; the access point, that she is here."""
    story = Story()
    story.wifi(Sign.ASSOCIATED, 0)
    assert story.told == ["enter floor @0"]
    assert story.events[0].visit.sources == ("wifi",)


def test_a_check_in_is_a_visit_at_once() -> None:
    """The app proved freshness to the portal."""
    story = Story()
    story.wifi(Sign.CHECKED_IN, 0)
    assert story.told == ["enter floor @0"]


@pytest.mark.parametrize("sign", [Sign.DISASSOCIATED, Sign.SILENT, Sign.UNBOUND])
def test_going_is_no_coming(sign: Sign) -> None:
    """Of somebody unknown to the tracker."""
    story = Story()
    story.wifi(sign, 0)
    story.until(1000)
    assert story.told == []
    assert story.tracker.visitors == []


def test_an_association_carries_a_silence() -> None:
    """She faded and fell silent, which alone means gone; associated, she is given 360 s."""
    story = associated()
    story.until(109 + 359)
    assert story.told == ["enter floor @0"]
    story.until(109 + 360)
    assert story.told[1:] == ["exit silence @109"]


def test_a_station_that_is_heard_keeps_a_visit_open() -> None:
    """Bluetooth silent for an hour, the station heard every minute."""
    story = associated()
    story.wifi(Sign.HEARD, *range(120, 3600, 60))
    assert story.told == ["enter floor @0"]
    assert story.tracker.open_visits[0].sources == ("ble", "wifi")


def test_a_station_that_leaves_is_waited_for() -> None:
    """Disassociated at 200: suspect for 30 s, then gone, dated to its farewell."""
    story = associated()
    story.wifi(Sign.DISASSOCIATED, 200)
    story.until(229.9)
    assert story.told == ["enter floor @0"]
    story.until(230)
    assert story.told[1:] == ["exit left_wifi @200"]


@pytest.mark.parametrize("sign", [Sign.HEARD, Sign.ASSOCIATED])
def test_a_station_that_roams_has_not_left(sign: Sign) -> None:
    """Disassociated at 200 and back on the other gateway at 220."""
    story = associated()
    story.wifi(Sign.DISASSOCIATED, 200)
    story.wifi(sign, 220, gateway="gw-2")
    story.until(500)
    assert story.told == ["enter floor @0"]


def test_a_phone_that_leaves_wifi_may_still_be_here() -> None:
    """Disassociated at 200, but Bluetooth goes on: no exit."""
    story = associated()
    story.wifi(Sign.DISASSOCIATED, 200)
    story.heard(range(205, 400, 5))
    assert story.told == ["enter floor @0"]


def test_a_silent_station_has_left() -> None:
    """Unheard for 180 s with probes unanswered: given some minutes, for phones sleep deeply."""
    story = associated()
    story.wifi(Sign.SILENT, 300)
    assert story.told == ["enter floor @0"]
    story.until(109 + 360)
    assert story.told[1:] == ["exit left_wifi @109"]


def test_a_silent_station_that_answers_later_has_not_left() -> None:
    """Given up at 300, heard at 350."""
    story = associated()
    story.wifi(Sign.SILENT, 300)
    story.wifi(Sign.HEARD, 350)
    story.until(600)
    assert story.told == ["enter floor @0"]


def test_a_silent_station_in_her_bag_says_nothing() -> None:
    """Its Wi-Fi sleeps while Bluetooth hears her."""
    story = associated(400)
    story.wifi(Sign.SILENT, 411)
    story.heard(range(412, 500))
    assert story.told == ["enter floor @0"]


def test_an_access_point_that_reports_late_dates_nothing_forward() -> None:
    """It gave the station up after five minutes: she is dated to when she was last heard."""
    story = associated()
    story.wifi(Sign.DISASSOCIATED, 109 + 300)
    story.until(1000)
    assert story.told[1:] == ["exit left_wifi @109"]


def test_stopping_at_the_portal_ends_what_the_association_carried() -> None:
    """Unbound: from now on her silence is that of any fading phone."""
    story = associated()
    story.wifi(Sign.UNBOUND, 120)
    story.until(109 + 300)
    assert story.told[1:] == ["exit silence @109"]


@pytest.mark.parametrize("sign", [Sign.SILENT, Sign.DISASSOCIATED])
def test_an_exit_by_wifi_is_not_beyond_doubt(sign: Sign) -> None:
    """Phones leave networks for reasons of their own."""
    story = associated()
    story.wifi(sign, 200)
    story.until(1000)
    assert story.outline[1:] == ["exit left_wifi"]
    assert 0.9 <= story.last.visit.confidence < 1
