"""How a packet's strength and fate depend on place, body and chance.

    RSSI = power at 1 m - 10 n log10(distance) - walls - pocket - body
           + shadow(place) + multipath(place) + crowd(time) + packet noise

The constants were measured on public data sets, named where they stand: `philotuxo` (twelve fixed
sensors, optical positions, CC0-1.0), `mitll` (body rotation, CC BY 4.0), `pcng` (pockets, MIT),
`uci` (1 Hz tags, CC BY 4.0), `dp3t` (people with phones, CC BY-ND 4.0). The residual about the
path loss has sd 4.0 dB over fixed places and 5.5 dB along walks, where a third of its variance is
correlated over 2 m. So it is made of a shadow with a Gaussian correlation of 1.7 m, multipath
that changes within a wavelength, and noise whose own scale changes from place to place. Behind
walls the residual has sd 6.7 dB (`marckolak`, CC BY 4.0), so the shadow is deeper there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SENSITIVITY",
    "Air",
    "Crowd",
    "Emitter",
    "Field",
    "Floats",
    "Heard",
    "Receiver",
    "Wall",
    "chance_losses",
    "outages",
    "packet_noise",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SHADOW_SD = 3.2  # dB; with the multipath, sd 4.0 over places (philotuxo)
SHADOW_LENGTH = 1.74  # m; correlation 0.32 at 0.1 m, 0.2 at 1.2 m, < 0.1 at 2 m (philotuxo)
WALL_SHADOW_SD = 5.6  # dB behind a wall; with multipath and offsets, sd 6.7 (marckolak)
OPAQUE = 4.5  # dB: what costs less, a pane or a shelf, leaves the shadow as it is
MULTIPATH_SD = 2.4  # dB
MULTIPATH_LENGTH = 0.05  # m, under half a wavelength at 2.4 GHz
CROWD_TIME = 20.0  # s, people passing between phone and receiver
# The weakest packets that philotuxo's receivers recorded; datasheets of common radios promise an
# error rate at 1 Mbit/s down to -94 to -97 dBm, and leave a margin.
SENSITIVITY = -97.0  # dBm
MOUNTING_HEIGHT = 1.5  # m, a receiver above a pocket

# Per-place noise scale: median 2.55 dB, p10 1.1, p90 5.9; the shape is that of the standardised
# residuals of 1,512 half-hour traces, flat-topped because three channels differ (philotuxo).
NOISE_MEDIAN = 2.55
NOISE_LOG_SD = 0.655
NOISE_LIMITS = (0.5, 7.5)
_NOISE_P = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
_NOISE_Q = (-5.0, -3.4, -2.5, -2.2, -1.9, -0.7, 0.1, 0.65, 1.4, 1.7, 2.0, 2.5, 2.9)

# Chance losses by the link's level. Weak links lose more to outages and to the receiver's edge, so
# that 0.90 arrive above -70 dBm, 0.87 at -77, 0.83 at -82, about 0.8 below -88 (philotuxo).
_LEVELS = (-88.0, -82.0, -77.5, -70.0)
_RECEPTION = (0.92, 0.88, 0.875, 0.90)
LOSS_MEMORY = 0.1  # a loss repeats: runs of 1/2/3 packets 79/18/3 % (philotuxo)

# Outages beyond chance losses, as (seconds, outages per hour that are longer). The gap between
# two packets received is longer by up to two periods.
_STRONG_OUTAGES = ((2.0, 14.0), (4.0, 0.06), (30.0, 0.016), (36.0, 0.001))  # philotuxo
_WEAK_OUTAGES = ((2.0, 40.0), (9.0, 6.5), (39.0, 0.05))  # uci, -80 to -90 dBm
WEAK_LEVEL = -80.0

_TERMS = 20  # cosines in a random field: enough for a bell-shaped sum


@dataclass(frozen=True, slots=True)
class Wall:
    """A straight wall or pane from (x0, y0) to (x1, y1) in metres, costing `loss` dB."""

    x0: float
    y0: float
    x1: float
    y1: float
    loss: float


@dataclass(frozen=True, slots=True)
class Receiver:
    """A gateway's radio at (x, y) m; `offset` in dB and `sensitivity` in dBm are the device's."""

    gateway: str
    x: float
    y: float
    offset: float = 0.0
    sensitivity: float = SENSITIVITY


@dataclass(frozen=True, slots=True)
class Emitter:
    """A phone or tag: `power` in dBm at 1 m, losses in dB, `facing` in rad from the heading."""

    power: float = -59.0
    carry_loss: float = 0.0
    body_loss: float = 0.0  # from facing the receiver to turning one's back (mitll: 7-14 dB)
    facing: float = 0.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """Bodies between phones and receivers: they shadow with `sd` dB, changing within 20 s.

    In each of `spells`, (begins, ends, sd) in s and dB, there are more of them or fewer.
    """

    sd: float = 0.0
    spells: tuple[tuple[float, float, float], ...] = ()

    def at(self, times: Floats) -> Floats:
        """Give the sd in dB at each of `times`; a later spell prevails."""
        sd = np.full(len(times), self.sd)
        for begins, ends, other in self.spells:
            sd[(times >= begins) & (times < ends)] = other
        return sd


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """One row per receiver, one column per packet: `rssi` in dBm, and what became of it."""

    rssi: Floats
    receivable: Flags  # strong enough, whatever happened to the packet
    received: Flags


class Field:
    """A Gaussian random field of unit variance with correlation exp(-(r / length)**2)."""

    def __init__(self, rng: np.random.Generator, length: float, dimensions: int = 2) -> None:
        """Draw the field: `length` in the unit of its coordinates (random Fourier features)."""
        self._waves = rng.normal(0.0, np.sqrt(2.0) / length, (dimensions, _TERMS))
        self._phases = rng.uniform(0.0, 2.0 * np.pi, _TERMS)

    def __call__(self, places: Floats) -> Floats:
        """Evaluate at `places`, shape (n, dimensions)."""
        waves: Floats = np.cos(places @ self._waves + self._phases)
        total: Floats = waves.sum(axis=1) * np.sqrt(2.0 / _TERMS)
        return total


def packet_noise(rng: np.random.Generator, scale: Floats) -> Floats:
    """Draw each packet's deviation in dB for a local `scale` in dB; the lower tail is heavy."""
    noise: Floats = scale * np.interp(rng.random(scale.shape), _NOISE_P, _NOISE_Q)
    return noise


def chance_losses(rng: np.random.Generator, level: Floats) -> Flags:
    """Decide which packets are lost by the link's level in dBm; a loss makes the next likelier."""
    count = len(level)
    fresh = rng.random(count) >= LOSS_MEMORY
    if count:
        fresh[0] = True
    drawn = np.maximum.accumulate(np.where(fresh, np.arange(count), 0))
    lost: Flags = rng.random(count)[drawn] >= np.interp(level, _LEVELS, _RECEPTION)
    return lost


def outages(rng: np.random.Generator, times: Floats, level: Floats) -> Flags:
    """Mark the packets at `times` (s, sorted) that fall into a receiver's longer silences."""
    silent = np.zeros(len(times), dtype=np.bool_)
    if not len(times):
        return silent
    begins, ends = float(times[0]), float(times[-1])
    for table, weak in ((_STRONG_OUTAGES, False), (_WEAK_OUTAGES, True)):
        lengths, rates = np.log(table).T
        count = rng.poisson(np.exp(rates[0]) * (ends - begins) / 3600.0)
        starts = rng.uniform(begins, ends, count)
        rarity = rates[0] + np.log1p(-rng.random(count))
        stops = starts + np.exp(np.interp(-rarity, -rates, lengths))
        for first, last in zip(
            np.searchsorted(times, starts), np.searchsorted(times, stops), strict=True
        ):
            if first < last and (level[first] < WEAK_LEVEL) == weak:
                silent[first:last] = True
    return silent


class _Link:
    """What is peculiar to one receiver: its place, its device, and the fields around it."""

    def __init__(self, rng: np.random.Generator, receiver: Receiver, walls: Sequence[Wall]) -> None:
        self.receiver = receiver
        self._walls = walls
        self._shadow = Field(rng, SHADOW_LENGTH)
        self._multipath = Field(rng, MULTIPATH_LENGTH)
        self._noise = Field(rng, SHADOW_LENGTH)

    def level(self, emitter: Emitter, places: Floats, heading: Floats, exponent: float) -> Floats:
        """Give the mean strength in dBm at each place, before crowd and packet noise."""
        east, north = self.receiver.x - places[:, 0], self.receiver.y - places[:, 1]
        distance = np.sqrt(east**2 + north**2 + MOUNTING_HEIGHT**2)
        turned = np.arctan2(north, east) - heading - emitter.facing
        loss = 10.0 * exponent * np.log10(distance)
        loss += emitter.carry_loss + emitter.body_loss * (1.0 - np.cos(turned)) / 2.0
        shadow_sd = np.full(len(places), SHADOW_SD)
        for wall in self._walls:
            crossed = _crosses(wall, places, self.receiver)
            loss += wall.loss * crossed
            if wall.loss > OPAQUE:
                shadow_sd[crossed] = WALL_SHADOW_SD
        level: Floats = emitter.power + self.receiver.offset - loss
        return level + shadow_sd * self._shadow(places) + MULTIPATH_SD * self._multipath(places)

    def noise_scale(self, places: Floats) -> Floats:
        """Give the packet noise's scale in dB at each place."""
        scale: Floats = NOISE_MEDIAN * np.exp(NOISE_LOG_SD * self._noise(places))
        return np.clip(scale, *NOISE_LIMITS)


class Air:
    """The radio world of one store, the same for every phone in it."""

    def __init__(
        self,
        rng: np.random.Generator,
        receivers: Sequence[Receiver],
        walls: Sequence[Wall] = (),
        exponent: float = 1.8,
        crowd: Crowd | None = None,
    ) -> None:
        """Draw the fields of each receiver; `exponent` 1.6-2.3 (philotuxo, marckolak)."""
        self._links = [_Link(rng, receiver, walls) for receiver in receivers]
        self._exponent = exponent
        self._crowd = crowd

    def carry(
        self,
        rng: np.random.Generator,
        emitter: Emitter,
        times: Floats,
        places: Floats,
        heading: Floats,
    ) -> Heard:
        """Send one packet at each of `times` (s, sorted) from `places` (n, 2) to all receivers."""
        shape = (len(self._links), len(times))
        rssi = np.empty(shape)
        receivable, received = np.empty(shape, dtype=np.bool_), np.empty(shape, dtype=np.bool_)
        for row, link in enumerate(self._links):
            level = link.level(emitter, places, heading, self._exponent)
            if self._crowd:
                bodies = Field(rng, CROWD_TIME, 1)(times[:, np.newaxis])
                level = level + self._crowd.at(times) * bodies
            strength = np.minimum(level + packet_noise(rng, link.noise_scale(places)), -20.0)
            edge = link.receiver.sensitivity + rng.normal(0.0, 1.0, len(times))
            lost = chance_losses(rng, level)
            rssi[row] = np.rint(strength)
            receivable[row] = strength >= edge
            received[row] = receivable[row] & ~lost & ~outages(rng, times, level)
        return Heard(rssi, receivable, received)


def _crosses(wall: Wall, places: Floats, receiver: Receiver) -> Flags:
    """Say which lines of sight from `places` to the receiver pass through the wall."""

    def side(x: float | Floats, y: float | Floats) -> Floats:
        return np.asarray((wall.x1 - wall.x0) * (y - wall.y0) - (wall.y1 - wall.y0) * (x - wall.x0))

    x, y = places[:, 0], places[:, 1]
    east, north = receiver.x - x, receiver.y - y
    start = east * (wall.y0 - y) - north * (wall.x0 - x)
    end = east * (wall.y1 - y) - north * (wall.x1 - x)
    crossed: Flags = (side(x, y) * side(receiver.x, receiver.y) < 0.0) & (start * end < 0.0)
    return crossed
