"""What an advertisement claims: strict, length-checked, bytes in and value out.

Whatever is not exactly of a known layout claims nothing: a stranger's packet is never an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

__all__ = [
    "APPLE",
    "EDDYSTONE",
    "IBEACON_LENGTH",
    "AdvertisingData",
    "AppClaim",
    "TagClaim",
    "UnsupportedVersionError",
    "app_claim",
    "eddystone_uid_claim",
    "ibeacon_claim",
    "ios_eids",
    "read_advertising_data",
]

APPLE: Final = 0x004C  # company identifier, manufacturer data
EDDYSTONE: Final = "0000feaa-0000-1000-8000-00805f9b34fb"
IBEACON_LENGTH: Final = 23
_IBEACON_TYPE = b"\x02\x15"
_APP_LENGTH = 10  # version and flags, tx, EID
_APP_VERSION = 1
_UID_LENGTHS = (18, 20)  # the two RFU octets at the end were once optional
_UID_FRAME = 0x00
_EDDYSTONE_LOSS_TO_1_M = 41  # dB: Eddystone calibrates at 0 m, iBeacon at 1 m


class UnsupportedVersionError(ValueError):
    """An advertisement under our namespace has a version that this agent does not know."""


@dataclass(frozen=True, slots=True, repr=False)
class AppClaim:
    """The retailer's app says `eid`; `tx` is the calibrated RSSI at 1 m in dBm."""

    eid: bytes
    tx: int


@dataclass(frozen=True, slots=True, repr=False)
class TagClaim:
    """A static tag says `key`: UUID, major, minor (20 octets), or namespace, instance (16)."""

    key: bytes
    tx: int


def _signed(octet: int) -> int:
    return octet - 256 if octet > 127 else octet  # noqa: PLR2004 - two's complement


def app_claim(service_data: bytes) -> AppClaim | None:
    """Read our Android layout: `version<<4 + flags | int8 tx | EID (8)` (DESIGN section 3).

    Raises:
        UnsupportedVersionError: when the version is not 1. Flags are ignored.
    """
    if len(service_data) != _APP_LENGTH:
        return None
    if service_data[0] >> 4 != _APP_VERSION:
        raise UnsupportedVersionError
    return AppClaim(service_data[2:], _signed(service_data[1]))


def ios_eids(service_uuids: Sequence[str], prefix: str) -> list[bytes]:
    """Read our iOS layout: a 128-bit service UUID `NS[0:8] | EID`.

    There may be several: BlueZ keeps the UUIDs that a device advertised before.

    Args:
        service_uuids: lower-case UUIDs.
        prefix: the namespace's first half as such a UUID begins: `7a3c9e10-5b2d-4f68-`.
    """
    eids = []
    for uuid in service_uuids:
        if uuid.startswith(prefix):
            try:
                eids.append(bytes.fromhex(uuid[len(prefix) :].replace("-", "")))
            except ValueError:
                continue
    return [eid for eid in eids if len(eid) == 8]  # noqa: PLR2004 - an EID


def ibeacon_claim(manufacturer_data: bytes) -> TagClaim | None:
    """Read `02 15 | UUID (16) | major (2) | minor (2) | int8 tx at 1 m` (Apple, iBeacon 2015)."""
    if len(manufacturer_data) != IBEACON_LENGTH or manufacturer_data[:2] != _IBEACON_TYPE:
        return None
    return TagClaim(manufacturer_data[2:22], _signed(manufacturer_data[22]))


def eddystone_uid_claim(service_data: bytes) -> TagClaim | None:
    """Read `00 | int8 tx at 0 m | namespace (10) | instance (6) [| 00 00]` (Eddystone-UID)."""
    if len(service_data) not in _UID_LENGTHS or service_data[0] != _UID_FRAME:
        return None
    return TagClaim(service_data[2:18], _signed(service_data[1]) - _EDDYSTONE_LOSS_TO_1_M)


@dataclass(frozen=True, slots=True, repr=False)
class AdvertisingData:
    """The fields of one advertising PDU that identification reads, keyed as BlueZ keys them."""

    service_data: Mapping[str, bytes] = field(default_factory=dict)
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    service_uuids: Sequence[str] = ()


_AD_UUID128_LISTS = (0x06, 0x07)
_AD_SERVICE_DATA_16 = 0x16
_AD_SERVICE_DATA_128 = 0x21
_AD_MANUFACTURER = 0xFF


def read_advertising_data(payload: bytes) -> AdvertisingData | None:
    """Split raw advertising data into its structures (Core Specification Vol 3 Part C section 11).

    Args:
        payload: AdvData as received, up to 31 octets (255 in extended advertising).

    Returns:
        The fields, or None when a structure runs past the end: such a packet claims nothing.
    """
    service_data: dict[str, bytes] = {}
    manufacturer_data: dict[int, bytes] = {}
    uuids: list[str] = []
    at = 0
    while at < len(payload):
        length = payload[at]
        if length == 0:
            break  # the significant part ends early
        body = payload[at + 1 : at + 1 + length]
        if len(body) != length:
            return None
        kind, data = body[0], body[1:]
        if kind == _AD_SERVICE_DATA_128 and len(data) >= 16:  # noqa: PLR2004 - a 128-bit UUID
            service_data[str(UUID(bytes=data[15::-1]))] = data[16:]
        elif kind == _AD_SERVICE_DATA_16 and len(data) >= 2:  # noqa: PLR2004 - a 16-bit UUID
            short = f"0000{data[1]:02x}{data[0]:02x}"
            service_data[f"{short}-0000-1000-8000-00805f9b34fb"] = data[2:]
        elif kind == _AD_MANUFACTURER and len(data) >= 2:  # noqa: PLR2004 - a company identifier
            manufacturer_data[int.from_bytes(data[:2], "little")] = data[2:]
        elif kind in _AD_UUID128_LISTS and len(data) % 16 == 0:
            uuids += [str(UUID(bytes=data[i : i + 16][::-1])) for i in range(0, len(data), 16)]
        at += 1 + length
    return AdvertisingData(service_data, manufacturer_data, tuple(uuids))
