"""The rules that ask which receiver hears her best: the strongest one, with more or less inertia.

A receiver of an outside zone that has her means that she is away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from simulators.contest.peers.heard import Floats, Heard, Signal, Site, Stretch, placed, stretches

__all__ = ["Barnacles", "Ewma", "Habluetooth", "Strongest", "rows"]

Row = tuple[float, float, int]  # s, dBm (NaN where there is none), receiver


def rows(heard: Heard) -> Iterator[Row]:
    """Give the sightings one by one, as plain numbers: arrays are slow to walk along."""
    columns = (heard.at.tolist(), heard.rssi.tolist(), heard.gateway.tolist())
    yield from zip(*columns, strict=True)


@dataclass(frozen=True, slots=True)
class Strongest:
    """The receiver with the highest mean of the last seconds, if it leads by a margin."""

    name: str
    published_s: float
    window_s: float
    margin_db: float

    def listen(self, heard: Heard, site: Site) -> Signal:
        """Average over the window and follow the leader."""
        return placed(heard, site, list(self._leaders(heard)))

    def stretches(self, signal: Signal, timeout: float) -> Iterable[Stretch]:
        """Cut at silences, and where an outside receiver takes her."""
        return stretches(signal, signal.at + timeout)

    def _leaders(self, heard: Heard) -> Iterator[int]:
        recent: dict[int, deque[tuple[float, float]]] = {}
        sums: dict[int, float] = {}
        leader: int | None = None
        for at, rssi, gateway in rows(heard):
            if rssi == rssi:  # noqa: PLR0124 - not a NaN
                recent.setdefault(gateway, deque()).append((at, rssi))
                sums[gateway] = sums.get(gateway, 0.0) + rssi
            means: dict[int, float] = {}
            for receiver, samples in recent.items():
                while samples and samples[0][0] <= at - self.window_s:
                    sums[receiver] -= samples.popleft()[1]
                if samples:
                    means[receiver] = sums[receiver] / len(samples)
            leader = _follow(leader, means, self.margin_db, gateway)
            yield leader


@dataclass(frozen=True, slots=True)
class Barnacles:
    """`barnacles`: the strongest decoding within the 2 s that are merged."""

    name: str = "barnacles"
    published_s: float = 15.0

    MERGE_S: Final = 2.0

    def listen(self, heard: Heard, site: Site) -> Signal:
        """Follow the loudest packet of the last 2 s."""
        return placed(heard, site, list(self._leaders(heard)))

    def stretches(self, signal: Signal, timeout: float) -> Iterable[Stretch]:
        """Cut at silences, and where an outside receiver takes her."""
        return stretches(signal, signal.at + timeout)

    def _leaders(self, heard: Heard) -> Iterator[int]:
        falling: deque[tuple[float, float, int]] = deque()  # each louder than those after it
        leader: int | None = None
        for at, rssi, gateway in rows(heard):
            if rssi == rssi:  # noqa: PLR0124 - not a NaN
                while falling and falling[-1][1] <= rssi:
                    falling.pop()
                falling.append((at, rssi, gateway))
            while falling and falling[0][0] <= at - self.MERGE_S:
                falling.popleft()
            if falling:
                leader = falling[0][2]
            elif leader is None:
                leader = gateway
            yield leader


@dataclass(frozen=True, slots=True)
class Ewma:
    """Exponential smoothing a receiver, and hysteresis: of the zone, and of presence if asked."""

    name: str
    published_s: float = 60.0
    margin_db: float = 6.0
    enters_dbm: float | None = None  # at the leading receiver; exit at `margin_db` less

    SHARE: Final = 0.3  # of the newest packet
    STALE_S: Final = 10.0  # a receiver that has not heard her for so long is out of the race

    def listen(self, heard: Heard, site: Site) -> Signal:
        """Smooth, follow the leader, and hold its level against the gate."""
        leaders, levels = [], []
        for leader, level in self._led(heard):
            leaders.append(leader)
            levels.append(level)
        signal = placed(heard, site, leaders)
        if self.enters_dbm is None:
            return signal
        dbm = np.array(levels)
        faint = dbm < self.enters_dbm - self.margin_db
        return replace(
            signal,
            enters=signal.enters & ~(dbm < self.enters_dbm),  # NaN, on the Wi-Fi alone, is in range
            keeps=signal.keeps & ~faint,
            leaves=signal.leaves | faint,
        )

    def stretches(self, signal: Signal, timeout: float) -> Iterable[Stretch]:
        """Cut at silences, where the level falls, and where an outside receiver takes her."""
        return stretches(signal, signal.at + timeout)

    def _led(self, heard: Heard) -> Iterator[tuple[int, float]]:
        levels: dict[int, tuple[float, float]] = {}  # s, dBm
        leader: int | None = None
        for at, rssi, gateway in rows(heard):
            if rssi == rssi:  # noqa: PLR0124 - not a NaN
                before = levels.get(gateway, (at, rssi))[1]
                levels[gateway] = at, before + self.SHARE * (rssi - before)
            fresh = {r: dbm for r, (when, dbm) in levels.items() if when > at - self.STALE_S}
            leader = _follow(leader, fresh, self.margin_db, gateway)
            yield leader, fresh.get(leader, float("nan"))


@dataclass(frozen=True, slots=True)
class Habluetooth:
    """`habluetooth`: a learned silence, swept each 300 s, after the stack has dropped the device.

    The longest of the first 16 advertisements' intervals and 5 s more, 900 s until there are so
    many; forgotten with the device. All but what is learned is in proportion to the 195 s that
    the stack takes. The source changes when another is 16 dB stronger, or the old one is silent;
    to get her back, the old one needs 6 dB more than that.
    """

    name: str = "habluetooth"
    published_s: float = 195.0

    SHARE: Final = 0.3
    SWITCH_DB: Final = 16.0
    RECLAIM_DB: Final = 6.0
    LEARNS_FROM: Final = 16
    MARGIN_S: Final = 5.0
    UNLEARNED: Final = 900.0 / 195.0  # of the timeout
    SWEEP: Final = 300.0 / 195.0  # of the timeout

    def listen(self, heard: Heard, site: Site) -> Signal:
        """Follow the source."""
        return placed(heard, site, list(self._sources(heard)))

    def stretches(self, signal: Signal, timeout: float) -> Iterable[Stretch]:
        """Learn anew for every spell of presence."""
        begins = 0
        while True:
            given_up_at = self._given_up_at(signal, timeout, begins)
            stretch = next(stretches(signal, given_up_at, begins), None)
            if stretch is None:
                return
            yield stretch
            begins = stretch.ends + 1

    def _given_up_at(self, signal: Signal, timeout: float, begins: int) -> Floats:
        silence = np.full(len(signal.at), self.UNLEARNED * timeout)
        learned = begins + self.LEARNS_FROM - 1
        if learned < len(silence):
            longest = float(np.diff(signal.at[begins : learned + 1]).max())
            silence[learned:] = max(longest + self.MARGIN_S, timeout)
        sweep = self.SWEEP * timeout
        given_up: Floats = np.ceil((signal.at + silence) / sweep) * sweep
        return given_up

    def _sources(self, heard: Heard) -> Iterator[int]:
        levels: dict[int, tuple[float, float]] = {}  # s, dBm
        source: int | None = None
        ousted: int | None = None
        for at, rssi, gateway in rows(heard):
            if rssi == rssi:  # noqa: PLR0124 - not a NaN
                before = levels.get(gateway, (at, rssi))[1]
                levels[gateway] = at, before + self.SHARE * (rssi - before)
            if source is None:
                source = gateway
            elif gateway in levels and gateway != source:
                last, dbm = levels.get(source, (float("-inf"), -200.0))
                needs = self.SWITCH_DB + (self.RECLAIM_DB if gateway == ousted else 0.0)
                if at - last > self.published_s or levels[gateway][1] - dbm > needs:
                    source, ousted = gateway, source
            yield source


def _follow(leader: int | None, levels: dict[int, float], margin_db: float, heard_by: int) -> int:
    """Give who leads: the loudest, if it beats the present leader by the margin."""
    if not levels:
        return heard_by if leader is None else leader
    loudest = max(levels, key=levels.__getitem__)
    if leader in levels and levels[loudest] <= levels[leader] + margin_db:
        return leader
    return loudest
