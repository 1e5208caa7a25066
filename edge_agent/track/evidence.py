"""The decision rule: a ledger of evidence, in log odds that she is in the store.

Theory of operation.

*Why a ledger.* A forward filter over {outside, inside} multiplies the likelihood of every level as
if each were news. Levels are not: whoever stands still in a shadow sounds the same for half a
minute, and a filter then grows certain of what it has been told once. Measured: on a simulated day
with a gateway outside it ended 1.9 visits falsely for each true one, and tempered until it did not,
it missed every crossing of the recorded door. So each kind of evidence has one account here that
holds what it says *now*, and the accounts add up:

    log odds(inside) = time + level or side + memory + association

*Time.* Who walks past is out of earshot within a minute, so the mere length of being heard speaks
for a visitor; the first seconds, on the way to the door, against.

*Level.* How loud she has been so far, against how loud visitors and passers-by of this store have
been; once inside, how loud she is against her own level so far. *Side*, in its place where the
pavement is covered: how much louder the inside hears her than the outside, which tells the more,
the nearer she is. What a difference means is learnt (`survey`), beginning with the physics of a
wall and some metres.

*Memory.* Being inside lasts minutes, so it is likely still true; `MEMORY` follows the evidence as
slowly as shadows pass. Both together are the hysteresis. *Association*: with the store's Wi-Fi.

*Silence.* It is weighed when it falls due (`leaving`): she left, her phone naps, or she stands in a
dark spot. Her visit ends once the first is sure, or after the operator's longest silence. An
association carries any silence up to that; its end leaves 30 s for a roam, its silence 300 s for a
sleeper. An outside that is certain enough is leaving by the door, without silence.

*Dates.* She entered up to `BACKDATED_S` after she was first heard, the fainter the later; she left
when she was last heard while likelier inside than not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edge_agent.model import ExitReason, Method, RadioState, Sighting
from edge_agent.track.accounts import LevelAccount, SideAccount, linger_account, time_account
from edge_agent.track.association import Association
from edge_agent.track.belief import Departure
from edge_agent.track.leaving import Onset, Trend, dark_rate, log_odds, probability
from edge_agent.track.levels import Lead, Levels
from edge_agent.track.naps import NAP_S, Naps
from edge_agent.track.store import Store
from edge_agent.track.survey import Stretch

__all__ = ["EvidenceBelief", "EvidenceRule"]

STEP_S: Final = 1.0  # the ledger is kept at most this often
MEMORY: Final = 4.0  # log odds: one in fifty has left since the last minute
STRANGER: Final = -3.0  # where a door is covered: most who come past do not come in
FOLLOWS_S: Final = 30.0
SIDE_STEP_S: Final = 3.0  # of a gap at most: gateways wake to her one after the other
SIDE_FOLLOWS_S: Final = (40.0, 20.0, 2.5)  # by loudness: who is that near walks
REMEMBERED: Final = 0.5  # of what evidence says now: one shadow does not undo a visit
LEAST_MEMORY: Final = 1.0  # levels alone do not outweigh having come in
AT_EDGE_DB: Final = 2.0  # below the weakest that is received: what is not heard at all
LEAST_PATIENCE_S: Final = 15.0
SURELY_OUT: Final = (0.003, 0.003, 0.02)  # by loudness,
OUT_FOR_S: Final = (120.0, 120.0, 3.0)  # for so long: who is at the door has soon passed it
UNDECIDED: Final = 1.0  # side evidence, log odds, that tells neither
DOUBTFUL: Final = 0.2  # a newcomer less likely than that is in no zone
BACKDATED_S: Final = 20.0
TOLD: Final = 0.95  # confidence in an exit that was seen, not inferred
EVEN: Final = 0.5


class EvidenceBelief:
    """What the ledger says of one visitor."""

    __slots__ = (
        "_association",
        "_departure",
        "_evidence",
        "_fell_silent",
        "_first",
        "_heard_at",
        "_inside",
        "_known_inside",
        "_lead",
        "_level",
        "_levels",
        "_loud",
        "_memory",
        "_naps",
        "_side",
        "_step_at",
        "_store",
        "_stretch",
        "_time",
        "_trend",
        "last",
        "moved_at",
        "since",
        "zone",
    )

    def __init__(self, store: Store, at: float, method: Method) -> None:
        """Begin with nothing heard, at `at` seconds."""
        self._store = store
        self._levels = Levels(store.floor, store.receivers)
        self._naps = Naps(method)
        self._heard_at = self._step_at = at
        self.since = self.last = self.moved_at = at
        self.zone: str | None = None
        self._fell_silent = False
        self._begin()

    def _begin(self) -> None:
        """Know nothing of where she is."""
        survey = self._store.survey
        self._known_inside = False
        self._lead = Lead(self._heard_at)
        self._association = Association()
        self._departure: Departure | None = None
        self._first: float | None = None  # when this stretch of being heard began
        self._level: float | None = None  # dBm, the inside's
        self._loud, self._side = LevelAccount(survey), SideAccount(survey)
        self._trend = Trend()
        self._stretch: Stretch | None = None
        self._time = self._evidence = 0.0
        self._memory = STRANGER if self._store.sided else 0.0
        self._inside = probability(self._memory)

    @property
    def confidence(self) -> float:
        """Probability that she is inside, as of the last evidence."""
        return self._inside if self.zone is not None else 0.0

    @property
    def departure(self) -> Departure | None:
        """Evidence of leaving that is not silence, or None."""
        return self._departure

    @property
    def least_patience(self) -> float:
        """Seconds of silence before which `patience` need not be asked."""
        if self._association.holds or self._departure is not None or self._level is None:
            return self._store.most_silence
        return min(LEAST_PATIENCE_S, self._store.most_silence)

    @property
    def patience(self) -> float:
        """Seconds of silence after which it is sure that she left."""
        least, most = self.least_patience, self._store.most_silence
        if least == most or self._level is None:
            return most
        return self._onset(self._level).patience(least, most)

    def gone(self, silence: float) -> float:
        """Probability that she has left, after `silence` counted seconds or by the departure."""
        if self._departure is not None:
            return TOLD
        if self._level is None:
            return silence / (silence + self._store.most_silence)
        return self._onset(self._level).left(silence)

    def _onset(self, level: float) -> Onset:
        """Weigh what the last reading says of the silence since."""
        store, (own, variance) = self._store, self._loud.own
        weakest = store.receivers.weakest_dbm
        deviation = (store.survey.inside.sd**2 + variance) ** 0.5
        naps = self._naps if store.uses("naps") else Naps(self._naps.method)
        return Onset.of(
            self._inside,
            at_edge_db=level - weakest,
            fading=self._trend.fading if store.uses("trend") else 0.0,
            nap=naps.rate,
            dark=naps.after_all(dark_rate(own, deviation, weakest)),
            lengths=store.survey.naps(self._naps.method),
        )

    def explain(self) -> Mapping[str, float]:
        """Give the accounts, in log odds, and what was heard last."""
        wifi, stretch = self._association.odds, self._stretch
        told = {
            "inside": self._inside,
            "time": self._time,
            "side" if self._store.sided else "level": self._evidence,
            "memory": log_odds(self._inside) - self._time - self._evidence - wifi,  # as weighed
            "wifi": wifi,
            "heard_s": 0.0 if self._first is None else self._heard_at - self._first,
        }
        told |= self._naps.explain() | self._trend.explain() | self._levels.explain()
        if self._level is not None:
            told |= {"dbm": self._level, "own_dbm": self._loud.own[0]}
            told |= self._onset(self._level).explain()
        return told if stretch is None else told | stretch.explain()

    def hear(self, sighting: Sighting) -> None:
        """Take one sighting in."""
        by_radio = sighting.method.source == "ble"
        if not by_radio and not self._store.uses("wifi"):
            return
        if not sighting.sign.present:
            self._doubt(sighting)
            return
        zone = self._store.floor.zones.get(sighting.gateway)
        if zone is None:
            return
        at = sighting.at
        self._pause(at, at - self._heard_at)
        if by_radio:
            self._naps.method = sighting.method
        else:
            self._association.join(sighting.method)
        if sighting.rssi is not None:
            self._store.receivers.hear(sighting.gateway, sighting.rssi)
            self._levels.hear(sighting, sighting.rssi)
            if self._level is None or at - self._step_at >= STEP_S:
                self._step(at)
            elif self.zone is not None and self._inside >= EVEN:
                self.last = max(self.last, at)
            return
        placed = self._level is not None or zone in self._store.floor.outside
        if not placed and at >= self._heard_at and self._lead.zone != zone:
            self._lead.put(zone, at)  # here, but where? near what heard her
        self._balance(at)

    def _pause(self, at: float, gap: float) -> None:
        """She was heard again after `gap` seconds: what that says of her phone."""
        if self._first is None:
            self._first = at
        elif not self._known_inside and gap > self._naps.forgotten_after:
            self._end_stretch()
            self._loud.restart()
            self._first = at
        if gap <= 0.0:
            return
        in_store = self._known_inside or self._fell_silent
        if gap >= NAP_S and in_store and gap <= 2 * self._store.most_silence:
            self._naps.wake()
            if self._store.uses("learning"):
                self._store.survey.naps(self._naps.method).add(gap)
        if gap >= NAP_S / 2:
            self._side.wake(self._levels.readings)
        self._naps.hear(gap, inside=self._known_inside)
        self._heard_at, self._fell_silent = at, False
        self._departure = None  # an older sighting takes no farewell back

    def _doubt(self, sighting: Sighting) -> None:
        """Take in a sign that says she may have gone."""
        at, heard_at = sighting.at, self._heard_at
        if self._association.farewell(sighting, at - heard_at):
            self._heard_at = max(heard_at, at)
            if self.zone is not None:
                self.last = max(self.last, at)
        found = self._association.doubt(sighting, heard_at, self._store.most_silence)
        self._departure = found or self._departure

    def _step(self, at: float) -> None:
        """Compare the gateways, and write the accounts anew."""
        gap, self._step_at = max(0.0, at - self._step_at), at
        reading = self._levels.read(at)
        nothing = self._store.receivers.weakest_dbm - AT_EDGE_DB
        level = self._level = nothing if reading.inside is None else reading.inside
        slow = self._loud.hear(level, gap)
        side: tuple[int, float] | None = None
        if self._store.sided:
            outside = nothing if reading.outside is None else reading.outside
            side = self._side.compare(level, outside)
            self._weigh_side(side[1], gap)
        elif self._store.uses("level"):
            self._weigh_level(level, gap, at)
        self._trend.add(at, level)
        if self._stretch is None:
            self._stretch = Stretch(at)
        self._stretch.add(at, level, slow, side)
        if self._known_inside and reading.inside is not None:
            self._loud.stay(level, gap)
            if self._store.uses("learning"):
                for gateway, dbm in self._levels.heard_at(at):
                    self._store.receivers.place(gateway, dbm)
        self._lead.weigh(reading, at, gap)
        self._balance(at)

    def _weigh_side(self, difference: float, gap: float) -> None:
        self._evidence = self._side.weigh(
            difference,
            gap,
            self._levels.readings,
            self._naps.cadence,
            slow=not self._known_inside,
        )
        self._follow(min(gap, SIDE_STEP_S) / SIDE_FOLLOWS_S[self._side.loudness], -MEMORY)

    def _weigh_level(self, level: float, gap: float, at: float) -> None:
        if self._known_inside:
            self._evidence = self._loud.insider(level, self._naps.cadence)
            self._follow(min(1.0, gap / FOLLOWS_S), LEAST_MEMORY)
            return
        peak = None if self._stretch is None else self._stretch.peak
        age = at - (at if self._first is None else self._first)
        self._evidence = self._loud.newcomer(peak, age + 1.0, self._naps.cadence)

    def _follow(self, share: float, least: float) -> None:
        """Let memory go where the evidence points, but not farther than its own weight allows."""
        least = min(self._memory, max(least, REMEMBERED * self._evidence))
        self._memory = max(least, min(MEMORY, self._memory + self._evidence * share))

    def _balance(self, at: float) -> None:
        """Add the accounts up, and settle whether she is inside."""
        self.moved_at = self._lead.moved_at
        timed = not self._known_inside and self._store.uses("time")
        self._time = self._time_account(at) if timed else 0.0
        odds = self._time + self._evidence + self._memory + self._association.odds
        self._inside = probability(odds)
        if not self._known_inside and self._inside >= self._store.enter_confidence:
            self._come_in(at)
        if self._inside >= EVEN:
            if self.zone is None:
                self.since = self.last = at
            self.last = max(self.last, at)
            if self._departure is not None and self._departure.reason is ExitReason.LEFT_BY_DOOR:
                self._departure = None
            self.zone = self._lead.zone
        elif self.zone is not None:
            self._go_out(at)

    def _time_account(self, at: float) -> float:
        """Say what the length of being heard tells; on a covered pavement one may linger."""
        sided = self._store.sided
        if self._first is None or (sided and self._evidence <= -UNDECIDED):
            self._first = at  # heard to be outside: her coming in has not begun
        age = at - self._first
        return linger_account(age) if sided else time_account(age, self._store.survey.comes_in)

    def _come_in(self, at: float) -> None:
        """She is inside, and that is remembered."""
        self._known_inside, self._memory = True, MEMORY
        self._loud.settle()
        if self._stretch is not None:
            self._stretch.entered = True
        if self._store.sided or self._first is None:
            return
        approached = BACKDATED_S * max(0.0, 2.0 * probability(self._loud.from_outside()) - 1.0)
        self.zone = self._lead.zone
        self.since, self.last = max(self._first, min(at, self._first + approached)), at

    def _go_out(self, at: float) -> None:
        """She is likelier outside: by the door, once that is certain."""
        if self._store.sided:
            loudness = self._side.loudness
            if self._inside < SURELY_OUT[loudness] and at - self.last >= OUT_FOR_S[loudness]:
                if self._known_inside:
                    self._departure = Departure(self.last, ExitReason.LEFT_BY_DOOR)
                self.zone, self._known_inside = None, False
                self._memory, self._first = -MEMORY, None
        elif not self._known_inside and self._inside < DOUBTFUL:
            self.zone = None

    def leave(self, *, cut_short: bool = False) -> None:
        """The visit was ended, or she is forgotten: nothing collected speaks for her any more."""
        if cut_short:
            self._stretch = None  # it was not at the edge that it ended
        self._end_stretch()
        self._fell_silent = self._departure is None
        was_out = self._store.sided and self.zone is None
        self.zone = None
        self._begin()
        if was_out:
            self._memory = -MEMORY  # known to be outside: her return will be seen

    def _end_stretch(self) -> None:
        stretch, self._stretch = self._stretch, None
        if stretch and self._store.uses("learning"):
            stretch.teach(self._store.survey, steady=self._naps.steady)

    def recall(self, zone: str) -> None:
        """Take up where the agent stopped: she was inside."""
        self.zone, self._known_inside, self._memory = zone, True, MEMORY
        self._lead.put(zone, self.last)
        self._first, self._inside = self.last, probability(MEMORY)


class EvidenceRule:
    """Makes beliefs, and keeps what the store teaches them all."""

    def __init__(self, store: Store) -> None:
        """Begin to know a store."""
        self._store = store

    def meet(self, sighting: Sighting) -> EvidenceBelief:
        """Begin a belief with its first sighting, already heard."""
        belief = EvidenceBelief(self._store, sighting.at, sighting.method)
        belief.hear(sighting)
        return belief

    def recall(self, zone: str, last: float) -> EvidenceBelief:
        """Begin the belief of a visitor whose visit was open when the agent stopped."""
        belief = EvidenceBelief(self._store, last, Method.APP)
        belief.recall(zone)
        return belief

    def listen(self, state: RadioState) -> None:
        """Take in that a receiver was lost or recovered."""
        self._store.receivers.set(state)
