"""From an advertisement to a sighting or to nothing: who is known, and what a stranger leaves."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from edge_agent.identify.advertisement import APPLE, EDDYSTONE
from edge_agent.identify.identifier import Directory, Identifier
from edge_agent.identify.roster import Member, Roster, RosterError
from edge_agent.model import Advertisement, Backend, Method, Observation, RadioState, Sighting
from simulators.credentials import ephemeral_id, ios_service_uuid, resolvable_address
from tests.identify.air import (
    ANNA,
    BEGAN,
    IK,
    IRK,
    NAMESPACE,
    NS,
    PRIVATE,
    STRANGER,
    TAG_UUID,
    heard,
    listening,
    phone,
    phone_of,
)

EID = ephemeral_id(IK, BEGAN)
TAG = TAG_UUID.bytes + b"\x00\x01\x00\x02"
IBEACON = b"\x02\x15" + TAG + b"\xc5"
UID = bytes(range(16))


def sighted(identifier: Identifier, observation: Observation) -> Sighting | None:
    """Identify an observation at second 0, the tables being there."""
    identifier.directory.ensure(BEGAN)
    evidence = identifier.identify(observation)
    assert evidence is None or isinstance(evidence, Sighting)
    return evidence


def test_an_android_phone_is_sighted() -> None:
    """Everything the tracker may know: who, where, how, how loud, and no address."""
    assert sighted(listening(ANNA), phone(EID, -71)) == Sighting(
        0.0, "anna", "gw-1", "ble", Method.APP, rssi=-71, tx=-59
    )


def test_an_iphone_in_the_foreground_is_sighted() -> None:
    """By its service UUID; it sends no calibrated power."""
    advert = heard(service_uuids=[ios_service_uuid(NAMESPACE, EID)])
    sighting = sighted(listening(ANNA), advert)
    assert sighting is not None
    assert (sighting.visitor, sighting.method, sighting.tx) == ("anna", Method.APP_IOS, None)


def test_a_loyalty_fob_is_sighted_by_its_ibeacon() -> None:
    """UUID, major and minor must all be hers."""
    identifier = listening(Member("bea", ibeacon=TAG))
    sighting = sighted(identifier, heard(manufacturer_data={APPLE: IBEACON}))
    assert sighting is not None
    assert (sighting.visitor, sighting.method, sighting.tx) == ("bea", Method.TAG, -59)
    other = IBEACON[:21] + b"\x03" + IBEACON[22:]
    assert sighted(identifier, heard(manufacturer_data={APPLE: other})) is None
    assert sighted(identifier, heard(manufacturer_data={0x0059: IBEACON})) is None


def test_an_eddystone_tag_is_sighted_by_its_uid() -> None:
    """With or without the reserved octets."""
    identifier = listening(Member("cleo", eddystone_uid=UID))
    for reserved in (b"", bytes(2)):
        frame = b"\x00\xee" + UID + reserved
        sighting = sighted(identifier, heard(service_data={EDDYSTONE: frame}))
        assert sighting is not None
        assert (sighting.visitor, sighting.method) == ("cleo", Method.TAG)


def test_a_private_address_is_resolved_by_its_irk() -> None:
    """The vector of the design: prand 708194, hash 0dfbaa."""
    sighting = sighted(listening(Member("dora", irk=IRK)), heard(address=PRIVATE))
    assert sighting is not None
    assert (sighting.visitor, sighting.method) == ("dora", Method.IRK)


@pytest.mark.parametrize("address", [STRANGER, "30:81:94:0D:FB:AA", "70:81:94:0D:FB:AB"])
def test_another_address_resolves_to_nobody(address: str) -> None:
    """Static, non-resolvable, or resolvable by somebody else's key."""
    assert sighted(listening(Member("dora", irk=IRK)), heard(address=address)) is None


def test_each_of_a_hundred_irks_resolves_its_own() -> None:
    """The first, the last and one between."""
    irks = [bytes([number]) * 16 for number in range(100)]
    identifier = listening(*(Member(f"s-{n}", irk=irk) for n, irk in enumerate(irks)))
    for number in (0, 42, 99):
        sighting = sighted(identifier, heard(address=resolvable_address(irks[number], 0x1234)))
        assert sighting is not None
        assert sighting.visitor == f"s-{number}"


def test_more_than_a_hundred_irks_are_refused() -> None:
    """Hashes of 24 bits collide at scale; the error says what to use instead."""
    with pytest.raises(RosterError, match="at most 100"):
        Roster.of([Member(f"s-{n}", irk=bytes([n]) * 16) for n in range(101)])


def test_another_version_is_dropped_and_counted() -> None:
    """Phones ahead of this gateway show in a number."""
    identifier = listening(ANNA)
    assert sighted(identifier, heard(service_data={NS: b"\x20\xc5" + EID})) is None
    assert identifier.counts["unsupported_version"] == 1


@pytest.mark.parametrize("rssi", [62, 0, 1, 20, -127, -128])
def test_an_impossible_rssi_is_no_sighting(rssi: int) -> None:
    """Corrupted packets, and what BlueZ says of a device out of range."""
    identifier = listening(ANNA)
    assert sighted(identifier, phone(EID, rssi)) is None
    assert identifier.counts == {"implausible_rssi": 1}


@pytest.mark.parametrize(("rssi", "kept"), [(127, None), (None, None), (-1, -1), (-126, -126)])
def test_an_absent_rssi_is_none(rssi: int | None, kept: int | None) -> None:
    """127 means that the controller did not measure it."""
    sighting = sighted(listening(ANNA), phone(EID, rssi))
    assert sighting is not None
    assert sighting.rssi == kept


def test_the_silence_of_a_passive_scan_does_not_count() -> None:
    """BlueZ hides a still phone from passive scans: the sighting says so."""
    advert = phone(EID)
    identifier = listening(ANNA)
    passive = sighted(identifier, replace(advert, backend=Backend.BLUEZ_PASSIVE))
    active = sighted(identifier, replace(advert, backend=Backend.BLUEZ_ACTIVE))
    assert passive is not None
    assert active is not None
    assert (passive.silence_counts, active.silence_counts) == (False, True)


def test_strangers_leave_a_count_and_nothing_else() -> None:
    """Headphones, beacons and phones without the app: not one sighting."""
    identifier = listening(ANNA)
    strangers = [
        heard(),
        heard(manufacturer_data={APPLE: IBEACON}),
        heard(service_data={EDDYSTONE: b"\x00\xee" + UID}),
        heard(service_uuids=["0000180f-0000-1000-8000-00805f9b34fb"]),
        heard(address=PRIVATE),
    ]
    assert [sighted(identifier, advert) for advert in strangers] == [None] * 5
    assert identifier.counts == {"stranger": 5}


def test_an_unknown_identifier_under_our_namespace_is_counted() -> None:
    """An app user who never opted in here, or whose roster has not come."""
    identifier = listening(ANNA)
    assert sighted(identifier, phone(bytes(8))) is None
    assert identifier.counts == {"unknown": 1}


def test_staff_make_no_sightings() -> None:
    """A badge on the roster is known, counted and dropped."""
    identifier = listening(Member("guard", ibeacon=TAG, staff=True))
    assert sighted(identifier, heard(manufacturer_data={APPLE: IBEACON})) is None
    assert identifier.counts["staff"] == 1


def test_nobody_is_known_until_the_clock_is() -> None:
    """An unsynchronised clock cannot tell a window."""
    identifier = listening(ANNA, Member("bea", ibeacon=TAG), unix=None)
    assert sighted(identifier, phone(EID)) is None
    assert sighted(identifier, heard(manufacturer_data={APPLE: IBEACON})) is None
    assert identifier.counts == {"unsynchronised": 2}


@pytest.mark.parametrize(("left", "known"), [(0.001, True), (0.0, False), (-1.0, False)])
def test_nobody_is_known_when_the_lease_is_over(left: float, *, known: bool) -> None:
    """Fail closed: to the instant, past `not_after` nothing resolves."""
    roster = replace(Roster.of([ANNA]), not_after=BEGAN + left)
    identifier = Identifier(Directory(roster), NAMESPACE, lambda at: BEGAN + at)
    assert (sighted(identifier, phone(EID)) is not None) == known
    assert identifier.counts["lease_expired"] == (not known)


def test_nobody_is_known_by_a_table_that_is_not_there_yet() -> None:
    """Tables are made beside the event loop; when hers has come she is known at once."""
    identifier = listening(ANNA)
    assert identifier.identify(phone(EID)) is None
    assert sighted(identifier, phone(EID)) is not None


def test_a_flood_of_identifiers_is_forgotten_and_anna_is_not() -> None:
    """Reaches inside: the memory of answers holds 4096, whoever invents identifiers."""
    identifier = listening(ANNA)
    identifier.directory.ensure(BEGAN)
    for number in range(10_000):
        assert identifier.identify(phone(number.to_bytes(8))) is None
        if number % 1000 == 0:
            assert sighted(identifier, phone(EID)) is not None
    assert len(identifier.directory._eids) == 4096
    assert sighted(identifier, phone(EID)) is not None


def test_a_flood_of_private_addresses_is_forgotten_and_dora_is_not() -> None:
    """Reaches inside: the same bound holds for resolved addresses."""
    identifier = listening(Member("dora", irk=IRK))
    for number in range(5000):
        sighted(identifier, heard(address=f"40:00:00:00:{number >> 8:02X}:{number & 255:02X}"))
    assert len(identifier.directory._addresses) == 4096
    assert sighted(identifier, heard(address=PRIVATE)) is not None


def test_tables_of_windows_long_gone_are_dropped() -> None:
    """Reaches inside: over a day no more than four tables are kept."""
    directory = listening(ANNA).directory
    for unix in range(BEGAN, BEGAN + 86_400, 300):
        directory.ensure(unix)
    assert len(directory._tables) <= 4


def test_the_next_window_is_asked_for_before_it_begins() -> None:
    """It can be built beside the event loop in time: the present one comes first."""
    directory = listening(ANNA).directory
    now = BEGAN // 1024
    assert directory.missing(now * 1024 + 500) == [now, now + 1]
    directory.ensure(now * 1024 + 500)
    assert directory.missing(now * 1024 + 1023) == []


def test_the_state_of_a_radio_goes_through_as_it_is() -> None:
    """It concerns no visitor, and the tracker needs it."""
    lost = RadioState(3.0, "gw-1", "ble", listening=False)
    assert listening(ANNA).identify(lost) == lost


@pytest.mark.parametrize(
    ("members", "advert", "wanted"),
    [
        ([ANNA], phone(EID), True),
        ([ANNA], heard(service_uuids=[ios_service_uuid(NAMESPACE, EID)]), True),
        ([ANNA], heard(manufacturer_data={APPLE: IBEACON}), False),
        ([Member("bea", ibeacon=TAG)], heard(manufacturer_data={APPLE: IBEACON}), True),
        ([Member("bea", ibeacon=TAG)], heard(manufacturer_data={APPLE: bytes(23)}), False),
        ([ANNA], heard(service_data={EDDYSTONE: b"\x00\xee" + UID}), False),
        ([Member("cleo", eddystone_uid=UID)], heard(service_data={EDDYSTONE: b"\x20"}), True),
        ([ANNA], heard(), False),
        ([ANNA], heard(service_uuids=[str(UUID(int=0))]), False),
    ],
)
def test_the_filter_before_everything_else_lets_members_through(
    members: list[Member], advert: Advertisement, *, wanted: bool
) -> None:
    """What it refuses is a stranger's; what it lets through is looked at closely."""
    fields = advert.service_data, advert.manufacturer_data, advert.service_uuids
    assert listening(*members).wants(STRANGER, *fields) == wanted


def test_the_filter_lets_private_addresses_through_only_for_irks() -> None:
    """Without an IRK on the roster an address is never looked at."""
    assert listening(Member("dora", irk=IRK)).wants(PRIVATE, {}, {}, ())
    assert not listening(Member("dora", irk=IRK)).wants(STRANGER, {}, {}, ())
    assert not listening(ANNA).wants(PRIVATE, {}, {}, ())


def test_two_phones_of_one_moment_are_two_visitors() -> None:
    """Anna and Bea advertise in the same window."""
    other = bytes(15) + b"\x07"
    identifier = listening(ANNA, Member("bea", identity_key=other))
    who = [sighted(identifier, phone_of(key, BEGAN)) for key in (IK, other)]
    assert [sighting and sighting.visitor for sighting in who] == ["anna", "bea"]
