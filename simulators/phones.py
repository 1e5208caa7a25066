"""What members' phones and tags advertise, and when: before anything is said about radio.

Rates and habits are those of FIELD_NOTES ("Phones") and of the public recordings: resolvable
addresses live 12.6 min (dp3t: p5 9.0, p95 22.7), a vendor's power saving makes gaps of 30 to
286 s (starksm64, low-power tags), an iPhone is silent once locked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import TypedDict
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from simulators.credentials import (
    NAMESPACE,
    WINDOW_S,
    android_service_data,
    ephemeral_id,
    ios_service_uuid,
    resolvable_address,
)
from simulators.radio import Emitter, Floats

__all__ = [
    "Advert",
    "Emissions",
    "Kind",
    "Phone",
    "Span",
    "WallClock",
    "address_lifetime",
    "advertise",
    "app_opened",
    "awake",
    "broadcast",
    "carried",
    "full_uuid",
    "ibeacon_payload",
]

Span = tuple[float, float]

TX = {"android": -59, "slow-android": -62, "iphone": -59, "ibeacon": -59, "eddystone": -63}
PERIODS = {
    "android": (1.0, 1.0, 1 / 3),  # "low power" 1 Hz twice as often as "balanced" 3 Hz
    "slow-android": (1.0, 3.0, 5.0, 8.0),
    "iphone": (1.0,),
    "ibeacon": (1.0, 1.0, 2.0),
    "eddystone": (1.0, 2.0, 3.0),
}
ADVERTISING_DELAY = 0.01  # s, the random delay the Core specification adds to each period
RESTART_GAP = (0.05, 0.4)  # s without advertisements when an app changes its payload
PAIR_OFFSET_SD = 3.0  # dB (dp3t 2-4.2)
BODY_LOSS = (7.0, 14.0)  # dB (mitll, conference room)
BETWEEN_BODIES = 16.0  # dB (pcng, both phones in pockets)
# Hand, pocket, bag, between bodies: (loss in dB, share); pcng: -3 dB for one pocket. Few stand
# between bodies for a gateway on a wall: pcng's -16 dB are of a receiver that is in a pocket too.
CARRY = ((0.0, 0.3), (3.0, 0.4), (5.0, 0.27), (BETWEEN_BODIES, 0.03))
# An iPhone speaks while its owner looks at the app: a list, a coupon, a price. Then it locks, for
# the length of an aisle or of a queue. (median, log sd, shortest, longest) in s.
APP_OPEN = (22.0, 0.88, 5.0, 180.0)
APP_LOCKED = (42.0, 0.9, 5.0, 480.0)
APP_NEVER_OPENED = 0.005  # of visits: BLE cannot receive her at all, and the truth says so
# A slow Android advertises seldom, for this long in the mean; then its vendor stops the app.
SLOW_AWAKE = 160.0  # s
SLOW_ASLEEP = (82.0, 0.65, 30.0, 286.0)  # s, as the iPhone's habits


class Advert(TypedDict):
    """The part of a trace line that a phone decides; UUIDs 128-bit, payloads in hex."""

    address: str
    service_data: dict[str, str]
    manufacturer_data: dict[str, str]
    service_uuids: list[str]


class Kind(StrEnum):
    """What a member carries."""

    ANDROID = "android"
    SLOW_ANDROID = "slow-android"  # its vendor slows background work, and stops it for minutes
    IPHONE = "iphone"
    IBEACON = "ibeacon"
    EDDYSTONE = "eddystone"

    @property
    def is_tag(self) -> bool:
        """Whether the identifier never changes."""
        return self in (Kind.IBEACON, Kind.EDDYSTONE)


@dataclass(frozen=True, slots=True)
class WallClock:
    """Unix time at a second of the trace; `speed` > 1 for a day that is played that much faster."""

    started_at: datetime = datetime(2026, 11, 1, 9, tzinfo=UTC)
    speed: float = 1.0

    def unix(self, at: float) -> float:
        """Give the Unix time at `at` seconds of the trace."""
        return self.started_at.timestamp() + at / self.speed

    def window_starts(self, begins: float, ends: float, offset: float = 0.0) -> list[float]:
        """List when EID windows begin in the span, by a clock that is `offset` s ahead."""
        first = int((self.unix(begins) + offset) // WINDOW_S) + 1
        last = int((self.unix(ends) + offset) // WINDOW_S)
        origin = self.started_at.timestamp() + offset
        return [(n * WINDOW_S - origin) * self.speed for n in range(first, last + 1)]


@dataclass(frozen=True, slots=True, repr=False)
class Phone:
    """A member's phone or tag; `clock_offset` in seconds, `period` between advertisements."""

    visitor: str
    kind: Kind
    identity_key: bytes
    irk: bytes
    period: float
    clock_offset: float = 0.0
    wifi: bool = False
    staff: bool = False
    tag: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def tx(self) -> int:
        """The calibrated RSSI at 1 m in dBm that this type of device announces."""
        return TX[self.kind]

    @classmethod
    def draw(cls, rng: np.random.Generator, visitor: str, kind: Kind, clock_offset: float) -> Phone:
        """Make a phone with keys of its own."""
        periods = PERIODS[kind]
        return cls(
            visitor=visitor,
            kind=kind,
            identity_key=rng.bytes(16),
            irk=rng.bytes(16),
            period=periods[int(rng.integers(len(periods)))],
            clock_offset=clock_offset,
            tag=_tag(rng, kind),
        )

    def enrolled(self) -> dict[str, object]:
        """Give the member's record of an unsigned roster file (DESIGN section 6)."""
        record: dict[str, object] = {"visitor": self.visitor}
        if self.kind is Kind.IBEACON:
            record["ibeacon"] = dict(self.tag)
        elif self.kind is Kind.EDDYSTONE:
            record["eddystone_uid"] = self.tag["uid"]
        else:
            record["ik"] = self.identity_key.hex()
        if self.staff:
            record["staff"] = True
        return record


@dataclass(frozen=True, slots=True, eq=False)
class Emissions:
    """Packets in the air: at `times` (s, sorted) the advertisement `adverts[which]`."""

    times: Floats
    which: NDArray[np.int64]
    adverts: list[Advert]


def advertise(
    rng: np.random.Generator, phone: Phone, spans: Sequence[Span], clock: WallClock
) -> Emissions:
    """Let a phone advertise during `spans` of seconds, with the EID of its own clock's window."""
    if phone.kind.is_tag:
        advert = _tag_advert(rng, phone)
        return broadcast(rng, spans, phone.period, lambda _: advert, rotates=False)
    restarts = clock.window_starts(spans[0][0], spans[-1][1], phone.clock_offset) if spans else []

    def advert_at(at: float) -> Advert:
        eid = ephemeral_id(phone.identity_key, int(clock.unix(at) + phone.clock_offset))
        address = resolvable_address(phone.irk, int(rng.integers(1 << 22)))
        if phone.kind is Kind.IPHONE:
            return Advert(
                address=address,
                service_data={},
                manufacturer_data={},
                service_uuids=[ios_service_uuid(NAMESPACE, eid)],
            )
        return Advert(
            address=address,
            service_data={str(NAMESPACE): android_service_data(eid, phone.tx).hex()},
            manufacturer_data={},
            service_uuids=[],
        )

    return broadcast(rng, spans, phone.period, advert_at, restarts)


def broadcast(
    rng: np.random.Generator,
    spans: Sequence[Span],
    period: float,
    advert_at: Callable[[float], Advert],
    restarts: Sequence[float] = (),
    *,
    rotates: bool = True,
) -> Emissions:
    """Send a packet every `period` s in `spans`; `advert_at` is asked anew for every restart.

    Every span begins with a start of advertising, and an address that `rotates` ends with its
    lifetime; both give a new address, as `restarts` do.
    """
    trains: list[Floats] = []
    which: list[NDArray[np.int64]] = []
    adverts: list[Advert] = []
    for begins, ends in spans:
        edges = [begins, *(_restarts(rng, begins, ends, restarts) if rotates else ()), ends]
        for start, stop in pairwise(edges):
            wait = float(rng.uniform(0.0, period) if start == begins else rng.uniform(*RESTART_GAP))
            steps = period + rng.uniform(0.0, ADVERTISING_DELAY, int((stop - start) / period) + 1)
            train = start + wait + np.cumsum(steps) - steps[0]
            train = train[train < stop]
            trains.append(train)
            which.append(np.full(len(train), len(adverts)))
            adverts.append(advert_at((start + stop) / 2))
    if not trains:
        return Emissions(np.empty(0), np.empty(0, dtype=np.int64), [])
    return Emissions(np.concatenate(trains), np.concatenate(which), adverts)


def _restarts(
    rng: np.random.Generator, begins: float, ends: float, forced: Sequence[float]
) -> list[float]:
    """Merge `forced` restarts with the ends of address lifetimes, which each restart renews."""
    pending = [at for at in forced if begins < at < ends]
    # The address in use when the span begins has a part of its life behind it.
    expires = begins + address_lifetime(rng) * float(rng.random())
    found: list[float] = []
    while expires < ends or pending:
        at = pending.pop(0) if pending and pending[0] <= expires else expires
        found.append(at)
        expires = at + address_lifetime(rng)
    return found


def address_lifetime(rng: np.random.Generator) -> float:
    """Draw a resolvable address's lifetime in seconds (dp3t: median 12.6 min, p5 9.0, p95 22.7)."""
    deviate = float(rng.standard_normal())
    return 60.0 * 12.6 * float(np.exp(deviate * (0.358 if deviate > 0.0 else 0.204)))


def app_opened(rng: np.random.Generator, begins: float, ends: float) -> list[Span]:
    """Say when an iPhone's owner has the app open, in seconds: in bouts, and locked in between."""
    opened: list[Span] = []
    if rng.random() < APP_NEVER_OPENED:
        return opened
    # Some bouts before the span, so that it begins anywhere in one.
    at = begins - float(rng.uniform(0.0, APP_LOCKED[-1]))
    while at < ends:
        until = at + _lasts(rng, APP_OPEN)
        if until > begins:
            opened.append((max(at, begins), min(until, ends)))
        at = until + _lasts(rng, APP_LOCKED)
    return opened


def _lasts(rng: np.random.Generator, habit: tuple[float, float, float, float]) -> float:
    median, log_sd, shortest, longest = habit
    return float(np.clip(median * np.exp(log_sd * rng.standard_normal()), shortest, longest))


def awake(rng: np.random.Generator, begins: float, ends: float) -> list[Span]:
    """Say when a phone with aggressive power saving advertises: with gaps of minutes."""
    spans: list[Span] = []
    at = begins - float(rng.uniform(0.0, SLOW_AWAKE + SLOW_ASLEEP[-1]))
    while at < ends:
        until = at + float(rng.exponential(SLOW_AWAKE))
        if until > begins:
            spans.append((max(at, begins), min(until, ends)))
        at = until + _lasts(rng, SLOW_ASLEEP)
    return spans


def carried(rng: np.random.Generator, tx: int) -> Emitter:
    """Put a device that claims `tx` dBm at 1 m into a hand, a pocket, a bag or between bodies."""
    losses, shares = zip(*CARRY, strict=True)
    carry_loss = float(rng.choice(losses, p=shares))
    body_loss = float(rng.uniform(*BODY_LOSS))
    return Emitter(
        power=float(tx + rng.normal(0.0, PAIR_OFFSET_SD)),
        carry_loss=carry_loss,
        # Between two bodies, whichever way one turns, a body is already in the way.
        body_loss=body_loss if carry_loss < BETWEEN_BODIES else 0.0,
        facing=float(rng.uniform(-np.pi, np.pi)),
    )


def full_uuid(short: int) -> str:
    """Expand a 16-bit UUID as receivers report it (Bluetooth base UUID)."""
    return f"0000{short:04x}-0000-1000-8000-00805f9b34fb"


def ibeacon_payload(uuid: UUID, major: int, minor: int, tx: int) -> str:
    """Lay out an iBeacon's manufacturer data after the company identifier, in hex."""
    body = uuid.bytes + major.to_bytes(2) + minor.to_bytes(2) + tx.to_bytes(1, signed=True)
    return (b"\x02\x15" + body).hex()


def _tag(rng: np.random.Generator, kind: Kind) -> dict[str, str | int]:
    if kind is Kind.IBEACON:
        major, minor = (int(number) for number in rng.integers(1 << 16, size=2))
        return {"uuid": str(UUID(bytes=rng.bytes(16))), "major": major, "minor": minor}
    return {"uid": rng.bytes(16).hex()} if kind is Kind.EDDYSTONE else {}


def _tag_advert(rng: np.random.Generator, phone: Phone) -> Advert:
    address = (bytes([0xC0 | int(rng.integers(0x40))]) + rng.bytes(5)).hex(":").upper()
    if phone.kind is Kind.IBEACON:
        uuid, major, minor = (phone.tag[key] for key in ("uuid", "major", "minor"))
        payload = ibeacon_payload(UUID(str(uuid)), int(major), int(minor), phone.tx)
        return Advert(
            address=address,
            service_data={},
            manufacturer_data={"76": payload},
            service_uuids=[],
        )
    # Eddystone gives its power at 0 m, 41 dB above that at 1 m; two reserved octets follow.
    power = (phone.tx + 41).to_bytes(1, signed=True).hex()
    return Advert(
        address=address,
        service_data={full_uuid(0xFEAA): f"00{power}{phone.tag['uid']}0000"},
        manufacturer_data={},
        service_uuids=[full_uuid(0xFEAA)],
    )
