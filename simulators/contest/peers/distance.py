"""The rules that turn RSSI into metres: ESPresense, Bermuda, room-assistant.

The receiver that takes her for nearest has her; one of an outside zone means that she is away.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from simulators.contest.peers.heard import Heard, Signal, Site, Stretch, placed, stretches
from simulators.contest.peers.receivers import rows

__all__ = ["Bermuda", "Espresense", "RoomAssistant"]


@dataclass(frozen=True, slots=True)
class Espresense:
    """`espresense`: in at a filtered distance, out at a larger one; the nearest receiver's."""

    name: str
    published_s: float
    enters_m: float
    leaves_m: float

    WINDOW_S: Final = 15.0

    def listen(self, heard: Heard, site: Site) -> Signal:
        """Filter each receiver's levels and follow the nearest."""
        gateways, metres = zip(*self._nearest(heard), strict=True)
        signal = placed(heard, site, list(gateways))
        d = np.array(metres)
        far = d > self.leaves_m  # NaN, on the Wi-Fi alone, is in range
        return replace(
            signal,
            enters=signal.enters & ~(d > self.enters_m),
            keeps=signal.keeps & ~far,
            leaves=signal.leaves | far,
        )

    def stretches(self, signal: Signal, timeout: float) -> Iterable[Stretch]:
        """Cut at silences, where she is far, and where an outside receiver takes her."""
        return stretches(signal, signal.at + timeout)

    def _nearest(self, heard: Heard) -> Iterator[tuple[int, float]]:
        levels: dict[int, _Fenced] = {}
        nearest: int | None = None
        for at, rssi, gateway in rows(heard):
            if rssi == rssi:  # noqa: PLR0124 - not a NaN
                levels.setdefault(gateway, _Fenced(self.WINDOW_S)).hear(at, rssi)
            fresh = {r: one.dbm for r, one in levels.items() if one.at > at - self.WINDOW_S}
            if fresh:
                nearest = max(fresh, key=fresh.__getitem__)
                yield nearest, 10.0 ** ((-71.0 - fresh[nearest]) / 27.0)
            else:
                nearest = gateway if nearest is None else nearest
                yield nearest, float("nan")


class _Fenced:
    """The mean inside Tukey's fences (k = 1.5) of a window of 10 to 200 samples, dBm."""

    __slots__ = ("_samples", "_sorted", "_window", "at", "dbm")

    LEAST, MOST = 10, 200
    K = 1.5

    def __init__(self, window: float) -> None:
        self._window = window
        self._samples: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []
        self.at = float("-inf")
        self.dbm = float("nan")

    def hear(self, at: float, rssi: float) -> None:
        self._samples.append((at, rssi))
        insort(self._sorted, rssi)
        self.at = max(at, self.at)
        while len(self._samples) > self.MOST or (
            len(self._samples) > self.LEAST and self._samples[0][0] <= at - self._window
        ):
            oldest = self._samples.popleft()[1]
            del self._sorted[bisect_left(self._sorted, oldest)]
        low, high = self._quantile(0.25), self._quantile(0.75)
        reach = self.K * (high - low)
        begins = bisect_left(self._sorted, low - reach)
        kept = self._sorted[begins : bisect_right(self._sorted, high + reach)]
        self.dbm = sum(kept) / len(kept)

    def _quantile(self, share: float) -> float:
        """Interpolate between order statistics, as R-7 and numpy do."""
        place = share * (len(self._sorted) - 1)
        below = int(place)
        above = min(below + 1, len(self._sorted) - 1)
        return self._sorted[below] + (place - below) * (self._sorted[above] - self._sorted[below])


@dataclass(frozen=True, slots=True)
class Bermuda:
    """`bermuda`: a challenger takes the zone when it is clearly nearer; home until silence."""

    name: str = "bermuda"
    published_s: float = 30.0

    CLEARLY: Final = 0.30
    NEARER: Final = 0.15  # with its last five readings all below the incumbent's
    RADIUS_M: Final = 20.0

    def listen(self, heard: Heard, site: Site) -> Signal:
        """Smooth the distances and follow the winner."""
        return placed(heard, site, list(self._winners(heard)))

    def stretches(self, signal: Signal, timeout: float) -> Iterable[Stretch]:
        """Cut at silences, and where an outside receiver takes her."""
        return stretches(signal, signal.at + timeout)

    def _winners(self, heard: Heard) -> Iterator[int]:
        ranges: dict[int, _Range] = {}
        winner: int | None = None
        for at, rssi, gateway in rows(heard):
            if rssi == rssi:  # noqa: PLR0124 - not a NaN
                ranges.setdefault(gateway, _Range()).hear(at, rssi)
                if gateway != winner and self._wins(gateway, winner, ranges, at):
                    winner = gateway
            # Who is heard by nobody within the radius is where the first receiver heard her.
            yield gateway if winner is None else winner

    def _wins(
        self, gateway: int, incumbent: int | None, ranges: Mapping[int, _Range], at: float
    ) -> bool:
        challenger = ranges[gateway]
        if challenger.metres > self.RADIUS_M:
            return False
        holder = None if incumbent is None else ranges[incumbent]
        if holder is None or holder.metres > self.RADIUS_M or holder.at < at - self.published_s:
            return True
        nearer = 1.0 - challenger.metres / holder.metres
        if nearer >= self.CLEARLY:
            return True
        return nearer > self.NEARER and max(challenger.last_five) < min(holder.last_five)


class _Range:
    """One receiver's distance: the mean of 20 readings through a running minimum, in metres."""

    __slots__ = ("_readings", "at", "last_five", "metres")

    READINGS = 20
    FASTEST = 3.0  # m/s, of somebody who goes away

    def __init__(self) -> None:
        self._readings: deque[float] = deque(maxlen=self.READINGS)  # newest first
        self.last_five: deque[float] = deque(maxlen=5)
        self.at = float("-inf")
        self.metres = float("inf")

    def hear(self, at: float, rssi: float) -> None:
        raw = 10.0 ** ((-55.0 - rssi) / 30.0)
        if self._readings and raw - self._readings[0] > self.FASTEST * max(at - self.at, 0.0):
            return
        self.at = max(at, self.at)
        self._readings.appendleft(raw)
        total, least = 0.0, raw
        for reading in self._readings:
            least = min(least, reading)
            total += least
        self.metres = min(total / len(self._readings), raw)
        self.last_five.append(self.metres)


@dataclass(frozen=True, slots=True)
class RoomAssistant:
    """`room-assistant`: the nearest instance has her; a silence is noticed at the next check."""

    name: str = "room-assistant"
    published_s: float = 60.0

    R: Final = 0.008
    Q: Final = 4.0
    MEASURED_AT_1_M: Final = -59.0

    def listen(self, heard: Heard, site: Site) -> Signal:
        """Filter each instance's levels and follow the nearest."""
        return placed(heard, site, list(self._nearest(heard)))

    def stretches(self, signal: Signal, timeout: float) -> Iterable[Stretch]:
        """Cut at silences of the timeout, as the check that comes once a timeout sees them."""
        return stretches(signal, np.ceil((signal.at + timeout) / timeout) * timeout)

    def _nearest(self, heard: Heard) -> Iterator[int]:
        levels: dict[int, tuple[float, float, float]] = {}  # s, dBm, variance
        nearest: int | None = None
        for at, rssi, gateway in rows(heard):
            if rssi == rssi:  # noqa: PLR0124 - not a NaN
                levels[gateway] = self._filtered(levels.get(gateway), at, rssi)
            metres = {
                receiver: self._metres(dbm)
                for receiver, (last, dbm, _) in levels.items()
                if last > at - self.published_s
            }
            if metres:
                nearest = min(metres, key=metres.__getitem__)
            elif nearest is None:
                nearest = gateway
            yield nearest

    def _filtered(
        self, before: tuple[float, float, float] | None, at: float, rssi: float
    ) -> tuple[float, float, float]:
        if before is None:
            return at, rssi, self.Q
        last, dbm, variance = before
        variance += self.R
        gain = variance / (variance + self.Q)
        return max(at, last), dbm + gain * (rssi - dbm), (1.0 - gain) * variance

    def _metres(self, dbm: float) -> float:
        ratio = dbm / self.MEASURED_AT_1_M
        if ratio < 1.0:
            return float(ratio**10)
        return float(0.89976 * ratio**7.7095 + 0.111)
