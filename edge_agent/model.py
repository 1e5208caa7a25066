"""The values that cross between the parts. This module imports nothing of ours.

    sources --Observation--> identify --Sighting--> track --PresenceEvent--> publish

Only an `Observation` may hold a `RadioAddress`; from `Sighting` on, a shopper is a per-store
pseudonym and a stranger does not exist. Times called `at` are seconds of the gateway's boot-time
clock (CLOCK_BOOTTIME; in a replay, seconds since the trace began); UTC appears once, where a
message is built. RSSI is in dBm and negative; absent is `None`, never 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

__all__ = [
    "Advertisement",
    "Backend",
    "Dwell",
    "Enter",
    "Evidence",
    "Exit",
    "ExitReason",
    "LeaseExpired",
    "Method",
    "Move",
    "Observation",
    "PortalAction",
    "PortalEvent",
    "PresenceEvent",
    "RadioAddress",
    "RadioState",
    "Sighting",
    "Sign",
    "Station",
    "StationEvent",
    "StoreClosed",
    "StoreOpened",
    "Visit",
    "Withdrawal",
]


_ADDRESS: Final = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


class RadioAddress:
    """A 48-bit device address, which nothing prints: not repr, not str, not format, not pickle."""

    __slots__ = ("_bits",)

    def __init__(self, bits: int) -> None:
        """Hold `bits`, the address as an unsigned integer, most significant octet first."""
        if not 0 <= bits < 1 << 48:
            raise ValueError("a radio address has 48 bits")
        self._bits = bits

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `AA:BB:CC:DD:EE:FF`; the error never repeats the text."""
        if _ADDRESS.fullmatch(text) is None:
            raise ValueError("six octets in hexadecimal, with colons between, are expected")
        return cls(int(text.replace(":", ""), 16))

    def to_bytes(self) -> bytes:
        """Give the six octets, most significant first: for resolving and probing only."""
        return self._bits.to_bytes(6)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RadioAddress) and self._bits == other._bits

    def __hash__(self) -> int:
        return hash(self._bits)

    def __repr__(self) -> str:
        return "RadioAddress(redacted)"

    def __reduce__(self) -> str:
        raise TypeError("a radio address does not leave the process")


class Backend(StrEnum):
    """Which receiver path heard an advertisement; DESIGN section 4 says why it matters."""

    BLUEZ_ACTIVE = "bluez-active"
    BLUEZ_PASSIVE = "bluez-passive"
    MGMT = "mgmt"
    TRACE = "trace"

    @property
    def silence_counts(self) -> bool:
        """Whether hearing nothing means anything: BlueZ hides a still phone from passive scans."""
        return self is not Backend.BLUEZ_PASSIVE


@dataclass(frozen=True, slots=True, repr=False)
class Advertisement:
    """One BLE packet as a receiver reported it; `rssi` in dBm or None."""

    at: float
    gateway: str
    radio: str  # which receiver of the gateway: "ble", or "ble:hci1" beyond the first
    backend: Backend
    address: RadioAddress
    rssi: int | None
    service_data: Mapping[str, bytes]  # by lower-case 128-bit UUID
    manufacturer_data: Mapping[int, bytes]  # by company identifier
    service_uuids: Sequence[str]  # lower-case 128-bit UUIDs

    def __repr__(self) -> str:
        return f"Advertisement(at={self.at:.3f}, radio={self.radio!r}, redacted)"


class StationEvent(StrEnum):
    """What the access point or the capture process says of a station."""

    ASSOCIATED = "associated"
    DISASSOCIATED = "disassociated"
    HEARD = "heard"
    SILENT = "silent"  # unheard for >= 180 s, with >= 3 probes unanswered


@dataclass(frozen=True, slots=True, repr=False)
class Station:
    """A Wi-Fi station was heard of."""

    at: float
    gateway: str
    event: StationEvent
    address: RadioAddress
    keyid: str | None = None

    def __repr__(self) -> str:
        return f"Station(at={self.at:.3f}, event={self.event.value!r}, redacted)"


class PortalEvent(StrEnum):
    """What a shopper did at the captive portal or through its check-in API."""

    BOUND = "bound"
    UNBOUND = "unbound"
    CHECKED_IN = "checked_in"


@dataclass(frozen=True, slots=True, repr=False)
class PortalAction:
    """The portal tied a station to a visitor, or untied it."""

    at: float
    gateway: str
    event: PortalEvent
    address: RadioAddress
    visitor: str | None

    def __repr__(self) -> str:
        return f"PortalAction(at={self.at:.3f}, event={self.event.value!r}, redacted)"


@dataclass(frozen=True, slots=True)
class RadioState:
    """A receiver was lost or recovered. A lost radio is evidence of nothing."""

    at: float
    gateway: str
    radio: str
    listening: bool


Observation = Advertisement | Station | PortalAction | RadioState


class Method(StrEnum):
    """How a visitor was recognised; a phone's silence means something else for each."""

    source: str
    """The word the event contract uses: `ble`, `wifi` or `portal`."""

    def __new__(cls, value: str, source: str) -> Self:
        """Keep the source as an attribute: every sighting asks for it."""
        method = str.__new__(cls, value)
        method._value_ = value
        method.source = source
        return method

    APP = "app", "ble"  # EID in service data: Android, several advertisements a second
    APP_IOS = "app-ios", "ble"  # EID as a service UUID: iOS in the foreground, silent once locked
    TAG = "tag", "ble"  # static iBeacon or Eddystone-UID
    IRK = "irk", "ble"
    WIFI = "wifi", "wifi"
    PORTAL = "portal", "portal"


class Sign(StrEnum):
    """What a sighting says; only the first three are evidence that she is here."""

    present: bool
    """Whether the sign was given by her phone itself, here and now."""

    def __new__(cls, value: str, present: bool) -> Self:
        """Keep the answer as an attribute: every sighting asks for it."""
        sign = str.__new__(cls, value)
        sign._value_ = value
        sign.present = present
        return sign

    HEARD = "heard", True
    ASSOCIATED = "associated", True
    CHECKED_IN = "checked_in", True
    DISASSOCIATED = "disassociated", False
    SILENT = "silent", False
    UNBOUND = "unbound", False


@dataclass(frozen=True, slots=True)
class Sighting:
    """An opted-in visitor heard once. `tx` is the calibrated RSSI at 1 m in dBm, where known."""

    at: float
    visitor: str
    gateway: str
    radio: str
    method: Method
    rssi: int | None = None
    tx: int | None = None
    sign: Sign = Sign.HEARD
    silence_counts: bool = True


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Consent was withdrawn, or the visitor left the roster: forget her, and publish nothing."""

    at: float
    visitor: str


@dataclass(frozen=True, slots=True)
class LeaseExpired:
    """The roster's lease ran out: every open visit ends."""

    at: float


@dataclass(frozen=True, slots=True)
class StoreClosed:
    """The store shut its doors and let everybody out: whoever is heard from now on is no visitor.

    `at` is when it did; one who learns of it later tells it with that time.
    """

    at: float


@dataclass(frozen=True, slots=True)
class StoreOpened:
    """Visits may begin from `at` on."""

    at: float


Evidence = Sighting | RadioState | Withdrawal | LeaseExpired | StoreClosed | StoreOpened


class ExitReason(StrEnum):
    """Why a visit ended (the event contract, DESIGN section 7)."""

    SILENCE = "silence"
    LEFT_WIFI = "left_wifi"
    LEFT_BY_DOOR = "left_by_door"
    STORE_CLOSED = "store_closed"
    LEASE_EXPIRED = "lease_expired"
    GATEWAY_STOPPED = "gateway_stopped"


@dataclass(frozen=True, slots=True)
class Visit:
    """What every event of a visit says of it."""

    id: str
    visitor: str
    zone: str
    entered_at: float
    decided_at: float
    sources: tuple[str, ...]  # sorted, of "ble", "wifi", "portal"
    confidence: float  # of the decision this event reports, 0 to 1


@dataclass(frozen=True, slots=True)
class Enter:
    """She came in at `at`; with `resumed`, an earlier exit was wrong and the visit goes on."""

    at: float
    visit: Visit
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Dwell:
    """She has stayed `milestone_s`; `dwell_s` is the length proven so far."""

    at: float
    visit: Visit
    dwell_s: float
    milestone_s: int


@dataclass(frozen=True, slots=True)
class Move:
    """She went from `from_zone` to the visit's zone."""

    at: float
    visit: Visit
    from_zone: str


@dataclass(frozen=True, slots=True)
class Exit:
    """She left at `at`, the time of the last evidence; `visit.decided_at` is when it was known."""

    at: float
    visit: Visit
    dwell_s: float
    reason: ExitReason


PresenceEvent = Enter | Dwell | Move | Exit
