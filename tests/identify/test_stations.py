"""Wi-Fi stations: whose a phone is while a binding lasts, and what an access point's news mean."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Member, Roster
from edge_agent.model import (
    Evidence,
    Method,
    PortalEvent,
    RadioAddress,
    Sighting,
    Sign,
    StationEvent,
)
from tests.identify.air import ANNA, PHONE, listening, portal, station

ASSOCIATED = StationEvent.ASSOCIATED
DISASSOCIATED = StationEvent.DISASSOCIATED
HEARD = StationEvent.HEARD
BOUND = PortalEvent.BOUND
HOUR = 3600.0


def sign(evidence: Evidence | None) -> tuple[str, Sign] | None:
    """Say who gave which sign."""
    return (evidence.visitor, evidence.sign) if isinstance(evidence, Sighting) else None


def test_a_station_bound_at_the_portal_is_hers() -> None:
    """She signs in at 0 and is heard at 60: both are sightings of hers over Wi-Fi."""
    identifier = listening(ANNA)
    assert identifier.identify(portal(BOUND)) == Sighting(
        0.0, "anna", "gw-1", "wifi", Method.PORTAL, sign=Sign.ASSOCIATED
    )
    assert identifier.identify(station(HEARD, 60.0)) == Sighting(
        60.0, "anna", "gw-1", "wifi", Method.WIFI, sign=Sign.HEARD
    )


def test_a_station_with_her_credential_is_hers() -> None:
    """The access point tells whose passphrase it was; later events need no keyid."""
    identifier = listening(Member("bea", wifi_keyid="k-7"))
    assert sign(identifier.identify(station(ASSOCIATED, keyid="k-7"))) == ("bea", Sign.ASSOCIATED)
    assert sign(identifier.identify(station(HEARD, 9.0))) == ("bea", Sign.HEARD)


@pytest.mark.parametrize("event", list(StationEvent))
def test_an_unbound_station_is_a_stranger(event: StationEvent) -> None:
    """Nothing of it is kept but a count."""
    identifier = listening(ANNA)
    assert identifier.identify(station(event, keyid="k-9")) is None
    assert identifier.counts == {"unbound_station": 1}
    assert len(identifier.bindings) == 0


def test_a_check_in_binds_nothing() -> None:
    """The app proved that she is here, not whose the station is."""
    identifier = listening(ANNA)
    here = identifier.identify(portal(PortalEvent.CHECKED_IN))
    assert sign(here) == ("anna", Sign.CHECKED_IN)
    assert identifier.identify(station(HEARD, 1.0)) is None


def test_the_portal_cannot_bring_in_somebody_who_never_opted_in() -> None:
    """A name that is not on the roster binds nothing."""
    identifier = listening(ANNA)
    for event in (BOUND, PortalEvent.CHECKED_IN):
        assert identifier.identify(portal(event, "zoe")) is None
        assert identifier.identify(portal(event, None)) is None
    assert identifier.identify(station(HEARD)) is None
    assert identifier.counts == {"not_on_roster": 4, "unbound_station": 1}


def test_stop_now_unbinds_at_once() -> None:
    """She presses stop at 10; at 11 her phone is a stranger's."""
    identifier = listening(ANNA)
    identifier.identify(portal(BOUND))
    stopped = identifier.identify(portal(PortalEvent.UNBOUND, at=10.0))
    assert sign(stopped) == ("anna", Sign.UNBOUND)
    assert identifier.identify(station(HEARD, 11.0)) is None
    assert identifier.identify(portal(PortalEvent.UNBOUND, at=12.0)) is None


def test_staff_make_no_visits_over_wifi_either() -> None:
    """Neither by credential nor at the portal."""
    identifier = listening(Member("guard", wifi_keyid="k-1", staff=True))
    assert identifier.identify(station(ASSOCIATED, keyid="k-1")) is None
    assert identifier.identify(portal(BOUND, "guard")) is None
    assert identifier.identify(portal(PortalEvent.CHECKED_IN, "guard")) is None


def test_a_binding_does_not_outlive_consent() -> None:
    """Bound, then removed from the roster: her station is a stranger's."""
    identifier = listening(ANNA)
    identifier.identify(portal(BOUND))
    identifier.directory = Directory(Roster.empty())
    assert identifier.identify(station(HEARD, 60.0)) is None


def test_a_binding_ends_with_half_a_day_of_silence() -> None:
    """Heard after 11 hours it goes on; after another 13 it is forgotten."""
    identifier = listening(ANNA)
    identifier.identify(portal(BOUND))
    assert identifier.identify(station(HEARD, 11 * HOUR)) is not None
    assert identifier.identify(station(HEARD, 24 * HOUR)) is None
    assert len(identifier.bindings) == 0


def test_the_old_access_point_reports_her_going_late() -> None:
    """She roamed to gw-2; that gw-1 has lost her is no news."""
    identifier = listening(ANNA)
    identifier.identify(portal(BOUND))
    identifier.identify(station(ASSOCIATED, 100.0, gateway="gw-2"))
    assert identifier.identify(station(DISASSOCIATED, 130.0)) is None
    gone = identifier.identify(station(DISASSOCIATED, 140.0, gateway="gw-2"))
    assert sign(gone) == ("anna", Sign.DISASSOCIATED)


def test_she_leaves_with_the_second_of_two_devices() -> None:
    """Her tablet's going says nothing while her phone is associated."""
    identifier = listening(ANNA)
    tablet = RadioAddress.parse("C0:11:22:33:44:66")
    identifier.identify(portal(BOUND))
    identifier.identify(replace(portal(BOUND), address=tablet))
    first = identifier.identify(replace(station(DISASSOCIATED, 10.0), address=tablet))
    second = identifier.identify(station(DISASSOCIATED, 20.0))
    assert first is None
    assert sign(second) == ("anna", Sign.DISASSOCIATED)


def test_a_station_that_falls_silent_says_so() -> None:
    """Unheard with probes unanswered, after the access point has let it go or not."""
    identifier = listening(ANNA)
    identifier.identify(portal(BOUND))
    identifier.identify(station(DISASSOCIATED, 10.0))
    silent = identifier.identify(station(StationEvent.SILENT, 200.0))
    assert sign(silent) == ("anna", Sign.SILENT)


def test_a_station_has_one_owner() -> None:
    """Anna's tablet is lent to Bea, who signs in with it."""
    identifier = listening(ANNA, Member("bea"))
    identifier.identify(portal(BOUND, "anna"))
    identifier.identify(portal(BOUND, "bea", at=5.0))
    assert sign(identifier.identify(station(HEARD, 9.0))) == ("bea", Sign.HEARD)


def test_forgetting_a_visitor_forgets_all_her_stations() -> None:
    """And nobody else's."""
    identifier = listening(ANNA, Member("bea"))
    others = [RadioAddress(number) for number in (1, 2)]
    identifier.identify(portal(BOUND))
    identifier.identify(replace(portal(BOUND), address=others[0]))
    identifier.identify(replace(portal(BOUND, "bea"), address=others[1]))
    identifier.bindings.forget("anna")
    heard = [replace(station(HEARD, 1.0), address=a) for a in (PHONE, *others)]
    signs = [sign(identifier.identify(event)) for event in heard]
    assert signs == [None, None, ("bea", Sign.HEARD)]


def test_bindings_are_bounded() -> None:
    """Of 5000 stations the longest unheard are dropped; a portal cannot fill the memory."""
    identifier = listening(ANNA)
    for number in range(5000):
        identifier.identify(replace(portal(BOUND), address=RadioAddress(number)))
    assert len(identifier.bindings) == 4096


def test_no_station_is_hers_while_the_clock_is_unknown() -> None:
    """Nothing resolves until the time is known, bindings included."""
    identifier = listening(ANNA, unix=None)
    assert identifier.identify(portal(BOUND)) is None
    assert identifier.identify(station(HEARD)) is None
    assert identifier.counts == {"unsynchronised": 2}
