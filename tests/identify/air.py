"""Advertisements in the air, the members who send them, and an identifier that listens.

The air's second 0 is `BEGAN`; keys and vectors are those of DESIGN section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from edge_agent.identify.identifier import Directory, Identifier
from edge_agent.identify.roster import Member, Roster
from edge_agent.model import (
    Advertisement,
    Backend,
    PortalAction,
    PortalEvent,
    RadioAddress,
    Sighting,
    Station,
    StationEvent,
)
from simulators.credentials import android_service_data, ephemeral_id

NAMESPACE = UUID("7a3c9e10-5b2d-4f68-9c41-d0e2a7b65f13")
NS = str(NAMESPACE)
IK = bytes.fromhex("0102030405060708090a111213141516")
BEGAN = 1_750_000_000
WINDOW_BEGAN = BEGAN // 1024 * 1024
STRANGER = "D1:66:77:88:99:AA"
PHONE = RadioAddress.parse("C0:11:22:33:44:55")
TAG_UUID = UUID("b9407f30-f5f8-466e-aff9-25556b57fe6d")
IRK = bytes.fromhex("ec0234a357c8ad05341010a60a397d9b")
PRIVATE = "70:81:94:0D:FB:AA"

ANNA = Member("anna", identity_key=IK)


def listening(*members: Member, unix: float | None = BEGAN) -> Identifier:
    """Give an identifier whose second 0 is `unix`; None is a clock not yet synchronised."""
    directory = Directory(Roster.of(members))
    return Identifier(directory, NAMESPACE, lambda at: None if unix is None else unix + at)


def heard(
    *,
    address: str = STRANGER,
    rssi: int | None = -60,
    service_data: Mapping[str, bytes] | None = None,
    manufacturer_data: Mapping[int, bytes] | None = None,
    service_uuids: Sequence[str] = (),
    backend: Backend = Backend.BLUEZ_ACTIVE,
) -> Advertisement:
    """Give an advertisement heard at second 0."""
    return Advertisement(
        0.0,
        "gw-1",
        "ble",
        backend,
        RadioAddress.parse(address),
        rssi,
        service_data or {},
        manufacturer_data or {},
        service_uuids,
    )


def phone(eid: bytes, rssi: int | None = -60) -> Advertisement:
    """Give an Android phone's advertisement of `eid`."""
    return heard(service_data={NS: android_service_data(eid, -59)}, rssi=rssi)


def phone_of(identity_key: bytes, unix: float) -> Advertisement:
    """Give what a phone with this key advertises when its clock says `unix`."""
    return phone(ephemeral_id(identity_key, int(unix)))


def whose(identifier: Identifier, advertisement: Advertisement, unix: float) -> str | None:
    """Say whose an advertisement is at a Unix time, the tables being there."""
    identifier.directory.ensure(unix)
    moment = Identifier(identifier.directory, NAMESPACE, lambda _at: unix)
    evidence = moment.identify(advertisement)
    return evidence.visitor if isinstance(evidence, Sighting) else None


def station(
    event: StationEvent, at: float = 0.0, *, gateway: str = "gw-1", keyid: str | None = None
) -> Station:
    """Give what an access point says of Anna's phone."""
    return Station(at, gateway, event, PHONE, keyid)


def portal(
    event: PortalEvent, visitor: str | None = "anna", at: float = 0.0, gateway: str = "gw-1"
) -> PortalAction:
    """Give what the captive portal says of Anna's phone."""
    return PortalAction(at, gateway, event, PHONE, visitor)
