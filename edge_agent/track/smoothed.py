"""The first decision rule: smoothed RSSI with hysteresis, and a silence that adapts.

Theory of operation.

*Level.* Each gateway's RSSI of a visitor is smoothed over time, not over samples (time constant
`SMOOTH_S`), so that 10 Hz and one advertisement a scan cycle come out alike; it is first referred
to a phone of -59 dBm at 1 m where the advertisement says its own. A gateway that has stopped
hearing her while another still does loses `FADE_DB_PER_S`. A zone is as loud as its loudest
gateway; where both sides of a door are covered, inside less outside is what tells a side, and
either alone is not.

*Zone.* Another zone wins when it is louder by a margin for a while (`MOVE_DB`, `MOVE_HOLD_S`),
and the change is dated to when it took the lead. Whoever walks out passes the outside gateway
within a few metres: one that hears her well needs little margin (`DOOR_DB`), one that hears her
faintly a large one (`DOOR_FAINT_DB`): faint levels differ by 6 dB and more from shadowing alone.

*Entering.* Time heard inside is collected, weighted by how far inside it sounds: a second near
the gateway counts in full, a second at the edge a tenth, so that a minute at the edge makes no
visit and a few seconds on the floor do. With m weighted seconds collected the probability of
being inside is 1 - exp(-m / `SURE_S`) / 2; while she never was as loud as the floor's edge, it
also takes `PASSING_S` to reach 0.9. A check-in is proof by itself, an association nearly so.

*Leaving.* Silence means little from a phone that was loud when it fell silent: walking out takes
her past the edge, and that would have been heard. It then takes all the silence the operator
allows. Where she was fading or faint when last heard, a few times the longest gap that this phone
has shown, or that its kind is known for, is enough; a return soon after teaches the gap. An
association carries any silence that the operator allows; its end leaves `WIFI_GRACE_S` for a
roam. An outside zone in the lead is leaving by the door.

The numbers are physics, not fits: pavement and shop differ by a wall (6 to 10 dB) and some
metres; packet noise has a standard deviation of 3 dB static and 4 dB carried, uncorrelated after
some 5 s; the edge of reception is -95 dBm and reception falters from -80 dBm on.
"""

from __future__ import annotations

import math
from typing import Final

from edge_agent.model import ExitReason, Method, Sighting, Sign
from edge_agent.track.belief import Departure, Floor

__all__ = ["SmoothedBelief", "SmoothedRule"]

SMOOTH_S: Final = 2.0
REFERENCE_S: Final = 60.0  # the slow level that a fading one is compared with
FADE_DB_PER_S: Final = 1.0
FADE_AFTER_S: Final = 3.0
MOVE_DB: Final = 6.0
MOVE_HOLD_S: Final = 5.0
MOVE_SIGHTINGS: Final = 5
DOOR_DB: Final = 3.0
DOOR_FAINT_DB: Final = 15.0
DOOR_NEAR_DBM: Final = -65.0
DOOR_RANGE_DB: Final = 15.0
DOOR_HOLD_S: Final = 1.0
DOOR_SIGHTINGS: Final = 20
SURE_S: Final = 3.7
GAP_COUNTS_S: Final = 12.0  # of a longer gap no more is collected: BlueZ's scan cycle is 10.4 s
FORGET_S: Final = 60.0  # what was collected halves in this much silence beyond such a gap
EDGE_DBM: Final = -76.0  # where a second counts half
PASSING_S: Final = 60.0  # who was never louder than that may be passing by for so long
EDGE_WIDTH_DB: Final = 4.5
FAINT_WEIGHT: Final = 0.09  # so that one who is heard for long enters even where all is faint
FAINT_DBM: Final = -84.0
FADING_DB: Final = 6.0
GAPS_OF_SILENCE: Final = 4.0
UNPLACED_S: Final = 60.0
WIFI_GRACE_S: Final = 30.0
STATION_LIVES_S: Final = 180.0  # a station unheard for longer did not send its own farewell
BY_DOOR: Final = 0.95  # confidence in an exit seen from both sides of a door
BY_WIFI: Final = 0.9  # and in one that a station's silence or farewell tells
_MOST_COLLECTED: Final = 30.0
_TX_REFERENCE: Final = -59
_FLOOR_DBM: Final = -110.0
_GAP_MEMORY_S: Final = 600.0

# The gap that a kind of phone is known for while it is in the store, seconds.
_USUAL_GAP_S: Final = {
    Method.APP: 10.0,
    Method.APP_IOS: 30.0,  # it locks
    Method.TAG: 10.0,
    Method.IRK: 20.0,
    Method.WIFI: 60.0,  # it sleeps
    Method.PORTAL: 60.0,
}


class _Level:
    """One gateway's smoothed RSSI of one visitor, dBm."""

    __slots__ = ("dbm", "heard_at")

    def __init__(self, dbm: float, heard_at: float) -> None:
        self.dbm = dbm
        self.heard_at = heard_at

    def hear(self, dbm: float, at: float) -> None:
        gap = at - self.heard_at
        if gap > 0:
            self.dbm += (dbm - self.dbm) * (1.0 - math.exp(-gap / SMOOTH_S))
            self.heard_at = at
        else:
            self.dbm += (dbm - self.dbm) * 0.1  # from before: it may colour, not lead

    def now(self, at: float) -> float:
        """Give the level at a time when some gateway hears her: an older one has faded."""
        unheard = at - self.heard_at - FADE_AFTER_S
        return self.dbm if unheard <= 0 else max(_FLOOR_DBM, self.dbm - FADE_DB_PER_S * unheard)


class SmoothedBelief:
    """What the first rule believes of one visitor."""

    __slots__ = (
        "_associated",
        "_challenger",
        "_challenger_since",
        "_challenges",
        "_collected",
        "_departure",
        "_fell_silent",
        "_floor",
        "_heard_at",
        "_leader",
        "_level_dbm",
        "_levels",
        "_longest_gap",
        "_loudest_dbm",
        "_method",
        "_most_silence",
        "_reference_dbm",
        "last",
        "moved_at",
        "since",
        "zone",
    )

    def __init__(self, floor: Floor, most_silence: float, at: float) -> None:
        """Begin with nothing heard, at `at`; `most_silence` is the operator's limit, seconds."""
        self._floor = floor
        self._most_silence = most_silence
        self._levels: dict[str, _Level] = {}
        self._leader: str | None = None  # the zone she seems to be in, outside ones included
        self._challenger: str | None = None
        self._challenger_since = at
        self._challenges = 0
        self._collected = 0.0
        self._level_dbm: float | None = None
        self._reference_dbm = _FLOOR_DBM
        self._longest_gap = 0.0
        self._loudest_dbm = _FLOOR_DBM  # of the present stretch inside
        self._fell_silent = False  # the last visit was ended by silence
        self._method = Method.APP
        self._associated = False
        self._departure: Departure | None = None
        self._heard_at = at
        self.since = self.last = self.moved_at = at
        self.zone: str | None = None

    @property
    def confidence(self) -> float:
        """Probability that she is inside, from the weighted seconds collected."""
        if self.zone is None:
            return 0.0
        sure = 1.0 - 0.5 * math.exp(-self._collected / SURE_S)
        if self._loudest_dbm >= EDGE_DBM:
            return sure
        return min(sure, 0.5 + (self.last - self.since) / PASSING_S * 0.4)

    @property
    def departure(self) -> Departure | None:
        """Evidence of leaving that is not silence, or None."""
        return self._departure

    @property
    def patience(self) -> float:
        """Seconds of silence that mean she left."""
        level = self._level_dbm
        if self._associated or self._departure is not None or level is None:
            return self._most_silence
        if level > FAINT_DBM and level > self._reference_dbm - FADING_DB:
            return self._most_silence
        usual = max(self._longest_gap, _USUAL_GAP_S[self._method])
        return min(self._most_silence, GAPS_OF_SILENCE * usual)

    def gone(self, silence: float) -> float:
        """Probability that she has left: what speaks for her falls to a tenth in her patience."""
        if self._departure is not None:
            return BY_DOOR if self._departure.reason is ExitReason.LEFT_BY_DOOR else BY_WIFI
        return 1.0 - self.confidence * math.pow(0.1, silence / self.patience)

    def leave(self) -> None:
        """The visit was ended: nothing collected speaks for her any more."""
        if self.zone is not None:  # else she is known to be outside, and her return will be seen
            self._leader = self.zone = None
            self._fell_silent = self._departure is None
        self._collected = 0.0
        self._departure = self._challenger = None
        self._associated = False

    def recall(self, zone: str) -> None:
        """Take up where the agent stopped: she was inside."""
        self._leader = self.zone = zone
        self._collected, self._loudest_dbm = _MOST_COLLECTED, 0.0

    def hear(self, sighting: Sighting) -> None:
        """Take one sighting in."""
        if not sighting.sign.present:
            self._doubt(sighting)
            return
        at = sighting.at
        zone = self._floor.zones.get(sighting.gateway)
        if zone is None:
            return
        gap = at - self._heard_at
        if gap > 0:
            self._heard_at = at
            if self.zone is not None or (self._fell_silent and gap <= 2 * self._most_silence):
                self._longest_gap = max(gap, self._longest_gap * math.exp(-gap / _GAP_MEMORY_S))
            self._fell_silent = False
            self._departure = None  # an older sighting takes no farewell back
        self._method = sighting.method
        if sighting.method.source != "ble":
            self._associated = True
        if sighting.rssi is not None:
            self._weigh(zone, sighting, sighting.rssi, gap)
        elif self._leader is None or self._unplaced(at):  # here, but where?
            self._lead(zone, at)
        self._collect(sighting, max(gap, 0.0))

    def _unplaced(self, at: float) -> bool:
        """Tell whether no gateway has measured her for long: her access point knows better."""
        return all(at - level.heard_at > UNPLACED_S for level in self._levels.values())

    def _doubt(self, sighting: Sighting) -> None:
        """Take in a sign that says she may have gone."""
        was_associated, self._associated = self._associated, False
        if sighting.sign is Sign.DISASSOCIATED and was_associated:
            if sighting.at - self._heard_at < STATION_LIVES_S:
                self._advance_last(sighting.at)  # a farewell is sent by a phone that is here
            self._departure = Departure(sighting.at + WIFI_GRACE_S, ExitReason.LEFT_WIFI)
        elif sighting.sign is Sign.SILENT and sighting.at - self._heard_at > WIFI_GRACE_S:
            self._departure = Departure(sighting.at, ExitReason.LEFT_WIFI)

    def _advance_last(self, at: float) -> None:
        self._heard_at = max(self._heard_at, at)
        if self.zone is not None:
            self.last = max(self.last, at)

    def _weigh(self, zone: str, sighting: Sighting, rssi: int, gap: float) -> None:
        """Smooth the levels, and settle which zone is in the lead."""
        at = sighting.at
        dbm = float(rssi if sighting.tx is None else rssi - sighting.tx + _TX_REFERENCE)
        level = self._levels.get(sighting.gateway)
        if level is None:
            self._levels[sighting.gateway] = level = _Level(dbm, at)
        else:
            level.hear(dbm, at)
        if len(self._levels) == 1 and self._leader in (None, zone):
            loudest, self._level_dbm = zone, level.dbm
            self._lead(zone, at)
        else:
            loudest, self._level_dbm = self._compare(at)
        if self._reference_dbm == _FLOOR_DBM:
            self._reference_dbm = self._level_dbm
        elif gap > 0:
            share = 1.0 - math.exp(-gap / REFERENCE_S)
            self._reference_dbm += (self._level_dbm - self._reference_dbm) * share
        if loudest == self._leader:
            self._challenger = None

    def _compare(self, at: float) -> tuple[str, float]:
        """Find the loudest zone and its level, and let it challenge the one in the lead."""
        zones: dict[str, float] = {}
        for gateway, level in self._levels.items():
            zone = self._floor.zones[gateway]
            zones[zone] = max(zones.get(zone, _FLOOR_DBM), level.now(at))
        loudest = max(zones, key=lambda z: (zones[z], z))
        leader = self._leader
        if leader is None:
            self._lead(loudest, at)
        elif loudest != leader:
            self._challenge(loudest, leader, zones, at)
        return loudest, zones[loudest]

    def _challenge(self, loudest: str, leader: str, zones: dict[str, float], at: float) -> None:
        """Let the loudest zone take the lead once it was louder enough, for long enough."""
        outside = self._floor.outside
        margin, hold, sightings = MOVE_DB, MOVE_HOLD_S, MOVE_SIGHTINGS
        if loudest in outside:
            faint = (DOOR_NEAR_DBM - zones[loudest]) / DOOR_RANGE_DB
            margin = DOOR_DB + min(1.0, max(0.0, faint)) * (DOOR_FAINT_DB - DOOR_DB)
            hold, sightings = DOOR_HOLD_S, DOOR_SIGHTINGS
        elif leader in outside:
            margin, hold = DOOR_DB, DOOR_HOLD_S
        if zones[loudest] - zones.get(leader, _FLOOR_DBM) < margin:
            self._challenger = None
        elif self._challenger != loudest:
            self._challenger, self._challenger_since, self._challenges = loudest, at, 1
        else:
            self._challenges += 1
            if self._challenges >= sightings and at - self._challenger_since >= hold:
                self._lead(loudest, self._challenger_since)

    def _lead(self, zone: str, since: float) -> None:
        """Put her in a zone as of `since`."""
        if zone == self._leader:
            return
        was_out = self.zone is None
        self._leader, self._challenger = zone, None
        self.moved_at = since
        if zone in self._floor.outside:
            if not was_out:
                self.last = max(self.since, min(self.last, since))
                self._departure = Departure(since, ExitReason.LEFT_BY_DOOR)
            self.zone, self._collected = None, 0.0
        else:
            self.zone = zone
            if was_out:
                self.since = self.last = since
                self._collected, self._loudest_dbm = 0.0, _FLOOR_DBM

    def _collect(self, sighting: Sighting, gap: float) -> None:
        """Add this sighting's weighted seconds, where she is inside."""
        if self.zone is None:
            return
        self.last = max(self.last, sighting.at)
        gap = min(gap, self.last - self.since)  # what came before this stretch speaks not for it
        if gap > GAP_COUNTS_S:
            self._collected *= 0.5 ** ((gap - GAP_COUNTS_S) / FORGET_S)
        if sighting.method is Method.PORTAL:  # she was at the portal, on the store's own Wi-Fi
            self._collected = _MOST_COLLECTED
            self._loudest_dbm = 0.0
        elif sighting.method is Method.WIFI:
            whole = SURE_S * math.log(5.05)  # an association says it all at once: just over 0.9
            self._collected = max(self._collected, whole) + min(gap, GAP_COUNTS_S)
            self._loudest_dbm = 0.0
        else:
            weight = FAINT_WEIGHT if sighting.rssi is None else self._insideness()
            if self._level_dbm is not None:
                self._loudest_dbm = max(self._loudest_dbm, self._level_dbm)
            self._collected += min(gap, GAP_COUNTS_S) * weight
        self._collected = min(self._collected, _MOST_COLLECTED)

    def _insideness(self) -> float:
        """Weigh a second heard at the present level, 0 to 1."""
        level = _FLOOR_DBM if self._level_dbm is None else self._level_dbm
        inside = 1.0 / (1.0 + math.exp((EDGE_DBM - level) / EDGE_WIDTH_DB))
        return max(inside, FAINT_WEIGHT)


class SmoothedRule:
    """Makes beliefs of the first rule."""

    def __init__(self, floor: Floor, most_silence: float) -> None:
        """Take the store's zones, and the operator's longest silence in seconds."""
        self._floor = floor
        self._most_silence = most_silence

    def meet(self, sighting: Sighting) -> SmoothedBelief:
        """Begin a belief with its first sighting, already heard."""
        belief = SmoothedBelief(self._floor, self._most_silence, sighting.at)
        belief.hear(sighting)
        return belief

    def recall(self, zone: str, last: float) -> SmoothedBelief:
        """Begin the belief of a visitor whose visit was open when the agent stopped."""
        belief = SmoothedBelief(self._floor, self._most_silence, last)
        belief.recall(zone)
        return belief
