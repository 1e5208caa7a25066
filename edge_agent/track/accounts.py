"""The accounts of the ledger (`evidence`), each in log odds that she is inside.

An account says what its evidence tells now. It does not add up what it told before: who stands
still sounds the same for half a minute, and saying it again is no news.
"""

from __future__ import annotations

import math
from typing import Final

from edge_agent.track.leaving import PACKET_VARIANCE, capped
from edge_agent.track.levels import SMOOTH_S
from edge_agent.track.survey import Loudness, Survey, loudness

__all__ = ["LevelAccount", "SideAccount", "linger_account", "time_account"]

SLOW_S: Final = 8.0
PHONES_VARIANCE: Final = 16.0  # dB squared: of one phone to another, where it is carried and all
OWN_S: Final = 30.0  # the store's usual level counts as so many seconds of her own
OWN_STEP_S: Final = 3.0
OWN_MEMORY_S: Final = 180.0
MOST_LEVEL: Final = 4.0
MOST_SIDE: Final = 9.0
FARTHEST_DB: Final = 25.0
READINGS: Final = 4.0  # after a silence, until levels can be compared
COMPARED_S: Final = 5.0

ON_THE_WAY: Final = -2.0
ON_THE_WAY_S: Final = 12.0
PASSING_S: Final = 45.0
PASSING_SHAPE: Final = 4.0
LINGER: Final = 0.03
LINGER_S: Final = 150.0
LONGEST_S: Final = 3600.0  # beyond, the share vanishes, and has no logarithm


def still_passing(age: float) -> float:
    """Give the share of passers-by who are still heard `age` seconds after the first time."""
    age = max(0.0, min(age, LONGEST_S))
    walking = math.exp(-math.pow(age / PASSING_S, PASSING_SHAPE))
    return (1.0 - LINGER) * walking + LINGER * math.exp(-age / LINGER_S)


def time_account(age: float, comes_in: float) -> float:
    """Say what having been heard for `age` seconds tells of a newcomer.

    `comes_in` is in log odds, of those who come past this store (`Survey.comes_in`).
    """
    walking = ON_THE_WAY * max(0.0, 1.0 - age / ON_THE_WAY_S)
    return comes_in + walking - math.log(still_passing(age))


def linger_account(age: float) -> float:
    """Say the same where the pavement is covered: there, who passes by is heard to be outside."""
    return min(MOST_LEVEL, -math.log(still_passing(age)))


class LevelAccount:
    """How loud she is: as a newcomer against the store's, once inside against her own."""

    __slots__ = ("_own", "_own_s", "_survey", "first_dbm", "slow")

    def __init__(self, survey: Survey) -> None:
        """Begin unheard."""
        self._survey = survey
        self._own = self._own_s = 0.0
        self.slow: float | None = None  # dBm, smoothed over `SLOW_S`
        self.first_dbm: float | None = None

    def hear(self, level: float, gap: float) -> float:
        """Take in the inside's level, dBm; gives it smoothed."""
        if self.slow is None:
            self.slow = level
            self.first_dbm = level
        else:
            self.slow += (level - self.slow) * (1.0 - math.exp(-gap / SLOW_S))
        return self.slow

    def restart(self) -> None:
        """She comes past anew."""
        self.slow = self.first_dbm = None

    def settle(self) -> None:
        """She is inside: what her phone sounds like there begins now."""
        self._own = self._own_s = 0.0

    def stay(self, level: float, gap: float) -> None:
        """Take in what she sounds like inside."""
        seconds = min(gap, OWN_STEP_S)
        self._own += level * seconds
        self._own_s += seconds
        if self._own_s > OWN_MEMORY_S:  # she may have gone to the back of the store
            self._own *= OWN_MEMORY_S / self._own_s
            self._own_s = OWN_MEMORY_S

    @property
    def own(self) -> tuple[float, float]:
        """Her mean level inside, dBm, and how far it may be off, dB squared."""
        weight = self._own_s + OWN_S
        own = (self._own + OWN_S * self._survey.inside.mean) / weight
        return own, PHONES_VARIANCE * OWN_S / weight

    def newcomer(self, peak: float | None, readings: float, cadence: float) -> float:
        """Say what the loudest she has been so far tells."""
        survey, blur = self._survey, PACKET_VARIANCE * min(1.0, cadence / SLOW_S)
        if peak is not None:
            ratio = survey.visitor_peak.against(survey.passer_peak, peak, blur)
        elif self.slow is not None:
            ratio = survey.inside.against(survey.edge, self.slow, PHONES_VARIANCE + blur)
        else:
            return 0.0
        return capped(ratio, MOST_LEVEL) * min(1.0, readings / READINGS)

    def insider(self, level: float, cadence: float) -> float:
        """Say what her level tells of one who was inside."""
        survey, (own, variance) = self._survey, self.own
        variance += PACKET_VARIANCE * min(1.0, cadence / SMOOTH_S / 2.0)
        as_if_usual = level - (own - survey.inside.mean)
        return capped(survey.inside.against(survey.edge, as_if_usual, variance), MOST_LEVEL)

    def from_outside(self) -> float:
        """Say how much likelier outside than inside she was when first heard, log odds."""
        survey, first = self._survey, self.first_dbm
        if first is None:
            return 0.0
        return ((survey.inside.mean + survey.edge.mean) / 2.0 - first) / READINGS


class SideAccount:
    """By how much the inside hears her louder than the pavement does."""

    __slots__ = ("_slow", "_survey", "_woke", "loudness")

    def __init__(self, survey: Survey) -> None:
        """Begin with nothing to compare."""
        self._survey = survey
        self._slow: float | None = None
        self._woke = 0
        self.loudness: Loudness = 0

    def wake(self, readings: int) -> None:
        """She was silent: the gateways will not all hear her first advertisement."""
        self._woke, self._slow = readings, None

    def compare(self, inside: float, outside: float) -> tuple[Loudness, float]:
        """Give how near she is to either, and the difference in dB."""
        self.loudness = loudness(max(inside, outside))
        return self.loudness, capped(inside - outside, FARTHEST_DB)

    def weigh(
        self, difference: float, gap: float, readings: int, cadence: float, *, slow: bool
    ) -> float:
        """Say what the difference tells; a `slow` judge takes the mean of some seconds."""
        share = 1.0 - math.exp(-gap / COMPARED_S)
        before = difference if self._slow is None else self._slow
        self._slow = before + (difference - before) * share
        near = self.loudness == 2  # noqa: PLR2004 - the loudest
        heard = self._slow if slow and not near else difference
        blur = 2.0 * PACKET_VARIANCE * min(1.0, cadence / SMOOTH_S / 2.0)
        inside, outside = self._survey.side_in[self.loudness], self._survey.side_out[self.loudness]
        compared = min(1.0, (readings - self._woke) / READINGS)
        return capped(inside.against(outside, heard, blur), MOST_SIDE) * compared
