"""Everybody else's radios: what the agent must drop without a trace."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from simulators.phones import (
    Advert,
    Emissions,
    Kind,
    Phone,
    WallClock,
    advertise,
    broadcast,
    full_uuid,
    ibeacon_payload,
)

__all__ = ["KINDS", "neighbour_beacon", "stranger_phone"]

APPLE, MICROSOFT = "76", "6"
NEARBY, FIND_MY = "10", "12"  # Apple's continuity message types
KINDS = ("nearby", "find-my", "microsoft", "tracker", "find-hub", "elsewhere", "foreign-ibeacon")
_SHARES = (0.38, 0.16, 0.14, 0.08, 0.08, 0.08, 0.08)
_PERIOD = (0.5, 2.5)  # s
_NEIGHBOUR_PERIOD = 3.0  # s


def stranger_phone(
    rng: np.random.Generator, begins: float, ends: float, clock: WallClock
) -> Emissions:
    """Let somebody who is on no roster advertise from `begins` to `ends` seconds.

    `elsewhere` is a member of the same retailer whom this store's roster does not know.
    """
    kind = str(rng.choice(KINDS, p=_SHARES))
    if kind == "elsewhere":
        phone = Phone.draw(rng, "nobody", Kind.ANDROID, float(rng.normal(0.0, 1.0)))
        return advertise(rng, phone, [(begins, ends)], clock)
    period = float(rng.uniform(*_PERIOD))
    return broadcast(rng, [(begins, ends)], period, lambda _: _advert(rng, kind))


def neighbour_beacon(rng: np.random.Generator, begins: float, ends: float) -> Emissions:
    """Let the shop next door run an iBeacon all day."""
    advert = _advert(rng, "foreign-ibeacon")
    return broadcast(rng, [(begins, ends)], _NEIGHBOUR_PERIOD, lambda _: advert, rotates=False)


def _advert(rng: np.random.Generator, kind: str) -> Advert:
    """Make one rotation's advertisement; contents behind the type octets are noise."""
    advert = Advert(
        address=(bytes([0x40 | int(rng.integers(0x40))]) + rng.bytes(5)).hex(":").upper(),
        service_data={},
        manufacturer_data={},
        service_uuids=[],
    )
    if kind == "nearby":
        advert["manufacturer_data"][APPLE] = NEARBY + "05" + rng.bytes(5).hex()
    elif kind == "find-my":
        advert["manufacturer_data"][APPLE] = FIND_MY + "19" + rng.bytes(25).hex()
    elif kind == "microsoft":
        advert["manufacturer_data"][MICROSOFT] = "0109" + rng.bytes(25).hex()
    elif kind == "tracker":
        advert["service_data"][full_uuid(0xFCB2)] = rng.bytes(22).hex()
        advert["service_uuids"].append(full_uuid(0xFCB2))
    elif kind == "find-hub":
        advert["service_data"][full_uuid(0xFEAA)] = "40" + rng.bytes(20).hex()
    else:
        major, minor = (int(number) for number in rng.integers(1 << 16, size=2))
        uuid = UUID(bytes=rng.bytes(16))
        advert["manufacturer_data"][APPLE] = ibeacon_payload(uuid, major, minor, -59)
    return advert
