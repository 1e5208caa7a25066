"""How loud one visitor is at each gateway, and in which zone she therefore seems to be.

Each gateway's RSSI is smoothed over time, not over samples (`SMOOTH_S`), so that 10 Hz and one
advertisement a scan cycle come out alike, and referred to a phone of -59 dBm at 1 m where the
advertisement says its own. A gateway that has missed more of her advertisements than chance
explains while another heard them loses `FADE_DB` for each; one that has not heard her for
`STALE_S` says nothing any more, for she may have walked since. Receivers differ in gain; what the
store has taught about that (`Survey.gains`) is taken off.

A zone is as loud as its loudest gateway. Another zone takes the lead when it is louder by
`MOVE_DB` in every reading for `MOVE_HOLD_S`: standing still, shadows differ by 4 dB and last for
seconds. The change is dated to when it took the lead.

Where the zone she is in has fallen silent, a gateway may have died as well as she may have walked.
So another zone must then hear her better than it did while she was in hers (`RISE_DB`): a leak
through a wall was there before. A gateway that is known to be lost keeps what it last said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from edge_agent.model import Sighting
from edge_agent.track.belief import Floor
from edge_agent.track.receivers import Receivers

__all__ = ["Lead", "Levels", "Reading"]

SMOOTH_S: Final = 2.0
MISSED: Final = 2  # readings in a row that chance explains: a fifth is lost
FADE_DB: Final = 1.5
STALE_S: Final = 30.0
FLOOR_DBM: Final = -110.0
MOVE_DB: Final = 6.0
MOVE_HOLD_S: Final = 8.0
MOVE_READINGS: Final = 4
RISE_DB: Final = 4.0
USUAL_S: Final = 60.0
KNOWN_S: Final = 5.0
_TX_REFERENCE: Final = -59
_TX: Final = range(-100, -19)  # dBm at 1 m that a transmitter may claim
_LATE_SHARE: Final = 0.1  # what a sighting from before counts: it may colour, not lead


class Reading(NamedTuple):
    """The levels of one instant, dBm; None where no gateway of that side hears her."""

    zones: Mapping[str, float]  # of the inside zones
    fresh: AbstractSet[str]  # those whose gateways heard her lately
    loudest: str | None  # of them
    inside: float | None
    outside: float | None


class _Level:
    """One gateway's smoothed level of one visitor."""

    __slots__ = ("dbm", "heard_at", "reading")

    def __init__(self, dbm: float, at: float, reading: int) -> None:
        self.dbm, self.heard_at, self.reading = dbm, at, reading


def _loudest(zones: Mapping[str, float]) -> str | None:
    """Name the loudest zone; of two as loud, always the same."""
    if len(zones) < 2:  # noqa: PLR2004 - nothing to compare
        return next(iter(zones), None)
    return max(zones, key=lambda zone: (zones[zone], zone))


class Levels:
    """One visitor's levels, dBm."""

    __slots__ = ("_floor", "_latest", "_levels", "_receivers", "readings")

    def __init__(self, floor: Floor, receivers: Receivers) -> None:
        """Begin unheard."""
        self._floor, self._receivers = floor, receivers
        self._levels: dict[str, _Level] = {}
        self.readings = 0
        self._latest: Reading | None = None

    def hear(self, sighting: Sighting, rssi: int) -> None:
        """Take one sighting in; one that is older than the newest may not lead."""
        said = sighting.tx if sighting.tx in _TX else None  # absurd bytes say nothing
        dbm = float(rssi if said is None else rssi - said + _TX_REFERENCE)
        level = self._levels.get(sighting.gateway)
        if level is None:
            self._levels[sighting.gateway] = _Level(dbm, sighting.at, self.readings)
            return
        gap = sighting.at - level.heard_at
        if gap > 0.0:
            level.dbm += (dbm - level.dbm) * (1.0 - math.exp(-gap / SMOOTH_S))
            level.heard_at, level.reading = sighting.at, self.readings
        else:
            level.dbm += (dbm - level.dbm) * _LATE_SHARE

    def read(self, at: float) -> Reading:
        """Compare the gateways as of `at`, when some gateway heard her."""
        self.readings += 1
        zones: dict[str, float] = {}
        fresh: set[str] = set()
        outside: float | None = None
        for gateway, level in list(self._levels.items()):
            dbm = self._now(gateway, level, at)
            if dbm is None:
                continue
            zone = self._floor.zones[gateway]
            if zone in self._floor.outside:
                outside = dbm if outside is None else max(outside, dbm)
            else:
                zones[zone] = max(zones.get(zone, FLOOR_DBM), dbm)
                if self.readings - level.reading - 1 <= MISSED:
                    fresh.add(zone)
        loudest = _loudest(zones)
        inside = None if loudest is None else zones[loudest]
        self._latest = Reading(zones, fresh, loudest, inside, outside)
        return self._latest

    def explain(self) -> dict[str, float]:
        """Give the last reading by name, dBm."""
        if self._latest is None:
            return {}
        told = {f"dbm in {zone}": dbm for zone, dbm in self._latest.zones.items()}
        if self._latest.outside is not None:
            told["dbm outside"] = self._latest.outside
        return told

    def heard_at(self, at: float) -> Iterator[tuple[str, float]]:
        """Yield the inside gateways that heard her at `at`, and how loud, dBm."""
        for gateway, level in self._levels.items():
            if level.heard_at == at and self._floor.zones[gateway] not in self._floor.outside:
                yield gateway, level.dbm

    def _now(self, gateway: str, level: _Level, at: float) -> float | None:
        dbm = level.dbm - self._receivers.gains.get(gateway, 0.0)
        if self._receivers.deaf(gateway):
            return dbm
        if at - level.heard_at > STALE_S:
            del self._levels[gateway]
            return None
        missed = self.readings - level.reading - 1 - MISSED
        return dbm if missed <= 0 else max(FLOOR_DBM, dbm - FADE_DB * missed)


class Lead:
    """Which inside zone she is in."""

    __slots__ = ("_challenger", "_readings", "_since", "_usual", "_usual_s", "moved_at", "zone")

    def __init__(self, at: float) -> None:
        """Begin nowhere."""
        self.zone: str | None = None
        self.moved_at = self._since = at
        self._challenger: str | None = None
        self._readings = 0
        self._usual: dict[str, float] = {}  # how loud the other zones are while she is in hers,
        self._usual_s: dict[str, float] = {}  # and for how long they have been heard beside it

    def put(self, zone: str, at: float) -> None:
        """Place her."""
        self.zone, self.moved_at, self._challenger = zone, at, None
        self._usual.clear()
        self._usual_s.clear()

    def weigh(self, reading: Reading, at: float, gap: float) -> None:
        """Let the loudest zone take the lead, `gap` seconds after the last reading."""
        loudest, zones = reading.loudest, reading.zones
        if loudest is None:
            return
        if self.zone is None:
            self.put(loudest, at)
        elif loudest == self.zone or not self._beats(loudest, self.zone, reading):
            self._challenger = None
            if self.zone in reading.fresh:
                share = 1.0 - math.exp(-gap / USUAL_S)
                for zone in reading.fresh:
                    usual = self._usual.setdefault(zone, zones[zone])
                    self._usual[zone] = usual + (zones[zone] - usual) * share
                    self._usual_s[zone] = self._usual_s.get(zone, 0.0) + gap
        elif self._challenger != loudest:
            self._challenger, self._since, self._readings = loudest, at, 1
        else:
            self._readings += 1
            if self._readings >= MOVE_READINGS and at - self._since >= MOVE_HOLD_S:
                self.put(loudest, self._since)

    def _beats(self, challenger: str, leader: str, reading: Reading) -> bool:
        dbm = reading.zones[challenger]
        if dbm - reading.zones.get(leader, FLOOR_DBM) < MOVE_DB:
            return False
        if leader in reading.fresh or self._usual_s.get(challenger, 0.0) < KNOWN_S:
            return True
        return dbm >= self._usual.get(challenger, -math.inf) + RISE_DB
