"""What an advertisement claims: our layouts, and whatever else is in the air."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.identify.advertisement import (
    APPLE,
    EDDYSTONE,
    UnsupportedVersionError,
    app_claim,
    eddystone_uid_claim,
    ibeacon_claim,
    ios_eids,
    read_advertising_data,
)
from tests.identify.air import ANNA, BEGAN, NAMESPACE, NS, heard, listening, whose

ADVERT = bytes.fromhex("0201061b21135fb6a7e2d0419c684f2d5b109e3c7a10c5438b0be8656b8d6c")
EID = bytes.fromhex("438b0be8656b8d6c")
PREFIX = NS[:19]


def test_the_vector_of_31_octets_is_annas() -> None:
    """From the octets in the air through the parser to the visitor."""
    data = read_advertising_data(ADVERT)
    assert len(ADVERT) == 31
    assert data is not None
    assert whose(listening(ANNA), heard(service_data=data.service_data), BEGAN) == "anna"


def test_the_layout_of_android_gives_identifier_and_power() -> None:
    """`10 | C5 | EID`: version 1, -59 dBm at 1 m."""
    claim = app_claim(b"\x10\xc5" + EID)
    assert claim is not None
    assert (claim.eid, claim.tx) == (EID, -59)


@pytest.mark.parametrize("flags", range(16))
def test_flags_are_ignored(flags: int) -> None:
    """The lower half of the first octet is for later versions of the app."""
    claim = app_claim(bytes([0x10 | flags, 0xC5]) + EID)
    assert claim is not None
    assert claim.eid == EID


@pytest.mark.parametrize("version", [0, 2, 3, 15])
def test_another_version_is_told_from_a_stranger(version: int) -> None:
    """It is under our namespace: a phone ahead of this gateway, or a broken one."""
    with pytest.raises(UnsupportedVersionError):
        app_claim(bytes([version << 4, 0xC5]) + EID)


@pytest.mark.parametrize("length", [0, 1, 9, 11, 27])
def test_another_length_claims_nothing(length: int) -> None:
    """Ten octets or nothing: no part of a longer one is read."""
    assert app_claim((b"\x10\xc5" + EID + bytes(20))[:length]) is None


def test_the_layout_of_ios_is_a_service_uuid() -> None:
    """`NS[0:8] | EID`, among services that are none of ours."""
    shown = str(UUID(bytes=NAMESPACE.bytes[:8] + EID))
    assert ios_eids(["0000180f-0000-1000-8000-00805f9b34fb", shown], PREFIX) == [EID]


def test_an_iphone_may_show_the_identifiers_of_two_windows() -> None:
    """BlueZ keeps the service UUIDs that a device advertised before: the new one counts."""
    old = str(UUID(bytes=NAMESPACE.bytes[:8] + bytes(8)))
    new = str(UUID(bytes=NAMESPACE.bytes[:8] + EID))
    assert ios_eids([old, new], PREFIX) == [bytes(8), EID]
    assert whose(listening(ANNA), heard(service_uuids=[old, new]), BEGAN) == "anna"


@pytest.mark.parametrize("uuid", ["", PREFIX, PREFIX + "438b-0be8656b8d6", PREFIX + "z" * 17])
def test_what_only_begins_like_ours_is_no_identifier(uuid: str) -> None:
    """A service UUID that is cut off, or none."""
    assert ios_eids([uuid], PREFIX) == []


def test_an_ibeacon_is_its_uuid_major_and_minor() -> None:
    """`02 15`, twenty octets, power at 1 m."""
    claim = ibeacon_claim(b"\x02\x15" + bytes(range(20)) + b"\xc5")
    assert claim is not None
    assert (claim.key, claim.tx) == (bytes(range(20)), -59)


@pytest.mark.parametrize(
    "frame", [b"", b"\x02\x15", bytes(23), b"\x02\x15" + bytes(20), b"\x02\x15" + bytes(22)]
)
def test_other_frames_of_apple_are_no_ibeacons(frame: bytes) -> None:
    """23 octets beginning with 02 15; AirTags and headphones are something else."""
    assert ibeacon_claim(frame) is None


@pytest.mark.parametrize("reserved", [0, 2])
def test_an_eddystone_uid_may_leave_its_reserved_octets_out(reserved: int) -> None:
    """18 or 20 octets; its power is at 0 m, 41 dB above that at 1 m."""
    claim = eddystone_uid_claim(b"\x00\xee" + bytes(range(16)) + bytes(reserved))
    assert claim is not None
    assert (claim.key, claim.tx) == (bytes(range(16)), -18 - 41)


@pytest.mark.parametrize(("frame", "length"), [(0x00, 17), (0x00, 19), (0x00, 21), (0x10, 18)])
def test_other_frames_of_eddystone_are_no_tags(frame: int, length: int) -> None:
    """URL and telemetry frames, and UIDs of other lengths."""
    assert eddystone_uid_claim(bytes([frame]) + bytes(length - 1)) is None


def test_structures_are_read_one_by_one() -> None:
    """Service data of 16 and 128 bits, manufacturer data and a list of services in one packet."""
    services = bytes([17, 0x07]) + NAMESPACE.bytes[::-1]
    data = read_advertising_data(
        b"\x02\x01\x06" + b"\x04\x16\xaa\xfe\x20" + b"\x05\xff\x4c\x00\x02\x15" + services
    )
    assert data is not None
    assert data.service_data == {EDDYSTONE: b"\x20"}
    assert data.manufacturer_data == {APPLE: b"\x02\x15"}
    assert data.service_uuids == (NS,)


@pytest.mark.parametrize("cut", range(4, 31))
def test_a_packet_that_is_cut_off_claims_nothing(cut: int) -> None:
    """A structure that runs past the end makes the whole packet void."""
    assert read_advertising_data(ADVERT[:cut]) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"\x10\x21" + bytes(15),  # service data shorter than its UUID
        b"\x02\x16\xaa",
        b"\x02\xff\x4c",
        b"\x09\x07" + bytes(8),  # half a service
        b"\x01\x21",
    ],
)
def test_a_structure_too_short_for_its_kind_says_nothing(payload: bytes) -> None:
    """Its neighbours still count: the packet is whole."""
    data = read_advertising_data(payload + b"\x04\x16\xaa\xfe\x20")
    assert data is not None
    assert data.service_data == {EDDYSTONE: b"\x20"}
    assert (data.manufacturer_data, data.service_uuids) == ({}, ())


def test_a_structure_of_no_length_ends_the_packet() -> None:
    """What follows the significant part is padding."""
    data = read_advertising_data(bytes(3) + ADVERT[3:])
    assert data is not None
    assert data.service_data == {}


@given(st.binary(max_size=255))
@example(b"\x01")
@example(b"\xff")
def test_whatever_is_in_the_air_is_no_error(payload: bytes) -> None:
    """Any octets give fields or nothing, and identifying those gives nobody."""
    data = read_advertising_data(payload)
    if data is not None:
        advert = heard(
            service_data=data.service_data,
            manufacturer_data=data.manufacturer_data,
            service_uuids=data.service_uuids,
        )
        assert whose(listening(ANNA), advert, BEGAN) is None


@given(
    st.sampled_from([NS, EDDYSTONE]),
    st.binary(max_size=40),
    st.lists(st.text(max_size=40) | st.text("0-f", max_size=17).map(PREFIX.__add__), max_size=3),
)
def test_whatever_a_backend_reports_is_no_error(
    uuid: str, data: bytes, service_uuids: list[str]
) -> None:
    """Under our own namespace too: garbage is a stranger's."""
    advert = heard(
        service_data={uuid: data}, manufacturer_data={APPLE: data}, service_uuids=service_uuids
    )
    assert whose(listening(ANNA), advert, BEGAN) is None
