"""Ten thousand strangers, of every kind that walks past a shop, and the secrets they carry."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from simulators.bluez import BlueZPeer
from simulators.canary import Secret
from simulators.credentials import NAMESPACE, android_service_data, ios_service_uuid

APPLE, MICROSOFT = 0x004C, 0x0006
EDDYSTONE = "0000feaa-0000-1000-8000-00805f9b34fb"
TRACKER = "0000fcb2-0000-1000-8000-00805f9b34fb"
_TOP_BITS = {"random": 0xC0, "public": 0x00, "private": 0x40, "unresolvable": 0x00}


@dataclass(frozen=True, slots=True)
class Stranger:
    """One packet of somebody who is on no roster."""

    kind: str
    address: str
    secret: bytes  # what of the packet's content would tell her from others
    service_data: dict[str, bytes] = field(default_factory=dict)
    manufacturer_data: dict[int, bytes] = field(default_factory=dict)
    service_uuids: tuple[str, ...] = ()

    def secrets(self) -> Iterator[Secret]:
        """Give what must be nowhere."""
        yield Secret("a stranger's address", bytes.fromhex(self.address.replace(":", "")))
        yield Secret("a stranger's identifier", self.secret)

    def advertise(self, peer: BlueZPeer) -> None:
        """Be heard by bluetoothd."""
        peer.advertise(
            self.address,
            -60,
            service_data=self.service_data,
            manufacturer_data=self.manufacturer_data,
            service_uuids=self.service_uuids,
        )


def strangers(count: int, seed: int) -> list[Stranger]:
    """Give so many, of all kinds in turn, with addresses of all kinds."""
    chance = random.Random(seed)
    return [_stranger(chance, n) for n in range(count)]


def nobodies(count: int, seed: int) -> list[Stranger]:
    """Give so many who look like members: an EID under our namespace, a resolvable address."""
    chance = random.Random(seed)
    crowd = []
    for _ in range(count):
        address = bytes([0x40 | chance.getrandbits(6)]) + chance.randbytes(5)
        eid = chance.randbytes(8)
        data = {str(NAMESPACE): android_service_data(eid, -59)}
        crowd.append(Stranger("nobody", address.hex(":").upper(), eid, data))
    return crowd


def _stranger(chance: random.Random, number: int) -> Stranger:
    noise = chance.randbytes(20)
    top = list(_TOP_BITS.values())[number % len(_TOP_BITS)]
    address = (bytes([top | chance.getrandbits(6)]) + chance.randbytes(5)).hex(":").upper()
    ours = str(NAMESPACE)
    foreign = str(UUID(bytes=noise[:16]))
    eid = noise[:8]
    kinds: dict[str, dict[str, object]] = {
        "iBeacon": {"manufacturer_data": {APPLE: b"\x02\x15" + noise + b"\xc5"}},
        "Apple nearby": {"manufacturer_data": {APPLE: b"\x10\x09" + noise}},
        "Microsoft": {"manufacturer_data": {MICROSOFT: b"\x01\x09" + noise}},
        "Eddystone-UID": {"service_data": {EDDYSTONE: b"\x00\xc5" + noise[:16]}},
        "Eddystone-EID": {"service_data": {EDDYSTONE: b"\x30\xc5" + eid}},
        "tracker": {"service_data": {TRACKER: noise}, "service_uuids": (TRACKER,)},
        "foreign namespace": {"service_data": {foreign: android_service_data(eid, -59)}},
        "unknown EID": {"service_data": {ours: android_service_data(eid, -59)}},
        "unknown EID, iOS": {"service_uuids": (ios_service_uuid(NAMESPACE, eid),)},
        "another version": {"service_data": {ours: b"\x20\xc5" + eid}},
        "malformed": {"service_data": {ours: noise[: 8 + number % 12]}},
        "malformed iBeacon": {"manufacturer_data": {APPLE: b"\x02\x15" + noise[:-1]}},
        "bare": {},
    }
    kind = list(kinds)[number % len(kinds)]
    return Stranger(kind, address, eid, **kinds[kind])  # type: ignore[arg-type] # a table of parts
