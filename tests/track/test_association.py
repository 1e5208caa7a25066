"""What the store's Wi-Fi says of one visitor."""

from __future__ import annotations

import pytest

from edge_agent.model import ExitReason, Method, Sighting, Sign
from edge_agent.track.association import Association
from edge_agent.track.leaving import probability


def says(sign: Sign, at: float) -> Sighting:
    """Give a sign of her station."""
    return Sighting(at, "anna", "gw-1", "wifi", Method.WIFI, sign=sign)


def joined(method: Method = Method.WIFI) -> Association:
    """Give an association that holds."""
    association = Association()
    association.join(method)
    return association


def test_nothing_is_said_before_she_joins() -> None:
    """Neither for nor against."""
    association = Association()
    assert (association.holds, association.odds) == (False, 0.0)


def test_an_association_alone_is_as_good_as_certain() -> None:
    """Whatever a passer-by's prior."""
    association = joined()
    assert association.holds
    assert probability(association.odds) > 0.95


def test_a_check_in_says_more_than_an_association() -> None:
    """And goes on doing so while the station is heard."""
    association = joined(Method.PORTAL)
    association.join(Method.WIFI)
    assert association.odds > joined().odds


@pytest.mark.parametrize("sign", [Sign.DISASSOCIATED, Sign.SILENT, Sign.UNBOUND])
def test_any_end_of_it_carries_nothing_any_more(sign: Sign) -> None:
    """The account is empty again."""
    association = joined()
    association.doubt(says(sign, 200.0), 150.0, 360.0)
    assert (association.holds, association.odds) == (False, 0.0)


def test_a_farewell_leaves_time_for_a_roam() -> None:
    """Disassociated at 200: gone some seconds later, by Wi-Fi."""
    departure = joined().doubt(says(Sign.DISASSOCIATED, 200.0), 190.0, 360.0)
    assert departure is not None
    assert departure.reason is ExitReason.LEFT_WIFI
    assert 215 <= departure.at <= 260


def test_a_farewell_of_a_stranger_is_none() -> None:
    """She was never associated."""
    association = Association()
    assert association.doubt(says(Sign.DISASSOCIATED, 200.0), 190.0, 360.0) is None
    assert not association.farewell(says(Sign.DISASSOCIATED, 200.0), 10.0)


@pytest.mark.parametrize(("unheard", "hers"), [(0.0, True), (100.0, True), (300.0, False)])
def test_a_farewell_is_her_phones_if_it_was_heard_lately(unheard: float, *, hers: bool) -> None:
    """After minutes it is the access point that gave her up."""
    assert joined().farewell(says(Sign.DISASSOCIATED, 400.0), unheard) is hers


@pytest.mark.parametrize(("most", "at"), [(60.0, 310.0), (3600.0, None)])
def test_a_silent_station_is_given_minutes(most: float, at: float | None) -> None:
    """Heard at 100, silent at 310: not beyond the operator's limit, never before the news."""
    departure = joined().doubt(says(Sign.SILENT, 310.0), 100.0, most)
    assert departure is not None
    assert 340 <= departure.at <= 460 if at is None else departure.at == at


def test_a_silent_station_of_one_who_is_heard_says_nothing() -> None:
    """Bluetooth hears her: her Wi-Fi sleeps."""
    assert joined().doubt(says(Sign.SILENT, 310.0), 305.0, 360.0) is None


def test_an_unbound_station_has_not_gone() -> None:
    """She stopped at the portal: the network says no more of her."""
    assert joined().doubt(says(Sign.UNBOUND, 200.0), 190.0, 360.0) is None
