"""What a silence means: she left, her phone naps, or she stands in a dark spot.

Theory of operation.

The three begin at different rates and last for different times, so a silence of t seconds is

    gone(t)  = away + nap (1 - S_leave(t))
    still(t) = nap S_nap(t) S_leave(t) + dark S_dark(t)
    P(left)  = gone / (gone + still)

*Away*, per second: who is outside soon vanishes; who is inside leaves once in ten minutes, and does
so unheard only where she was at the edge of earshot already. Both are weighed by whether the last
levels fell as they do when one walks away. *Nap*: this phone's rate, for as long as this store's
naps last (`naps`); she may leave meanwhile. *Dark*: as often as her own level comes near the
weakest that this receiver hears, for as long as one stands in one place.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from edge_agent.track.naps import NapLengths

__all__ = [
    "PACKET_VARIANCE",
    "SURE",
    "Onset",
    "Trend",
    "capped",
    "dark_rate",
    "log_odds",
    "probability",
]

PACKET_VARIANCE: Final = 18.0  # dB squared, of a packet's noise (3 dB at rest, 4.2 carried)
SURE: Final = 0.985
LEAVE_RATE: Final = 1 / 900.0
VANISH_RATE: Final = 1 / 15.0  # of who is outside
EDGE_DB: Final = 9.0  # above the weakest: from there one step can silence her
EDGE_WIDTH_DB: Final = 3.0
DARK_S: Final = 25.0  # how long somebody stands in one place
OUTAGE_RATE: Final = 1 / 3600.0
FADING_DB: Final = 5.0  # in ten seconds, of who walks away
FADING_SD: Final = 4.0
MOST_FADING: Final = 2.0  # log odds
LATE_S: Final = 4.0
EARLY_S: Final = (6.0, 16.0)
READINGS: Final = 17
STEPS: Final = 9  # of bisection: to 1 %
FARTHEST: Final = 30.0  # log odds: beyond, nobody tells the difference
_NEXT_TO_ONE: Final = 1.0 / (1.0 + math.exp(-FARTHEST))


def probability(log_odds: float) -> float:
    """Turn log odds into a probability."""
    if log_odds >= FARTHEST:
        return _NEXT_TO_ONE
    return 1.0 / (1.0 + math.exp(-log_odds)) if log_odds > -FARTHEST else 1.0 - _NEXT_TO_ONE


def log_odds(probability: float) -> float:
    """Turn a probability that is neither 0 nor 1 into log odds."""
    return math.log(probability / (1.0 - probability))


def capped(value: float, most: float) -> float:
    """Keep a value within `most` of 0."""
    return most if value > most else max(value, -most)


def dark_rate(own: float, deviation: float, weakest: float) -> float:
    """Give how often she comes to stand where her own level falls below the weakest, per second."""
    return 0.5 * math.erfc((own - weakest) / deviation / math.sqrt(2.0)) / DARK_S + 1e-9


class Trend:
    """Whether her level falls; the last readings, bounded."""

    __slots__ = ("_recent",)

    def __init__(self) -> None:
        """Begin with no readings."""
        self._recent: deque[tuple[float, float]] = deque(maxlen=READINGS)

    def add(self, at: float, dbm: float) -> None:
        """Take in a reading."""
        self._recent.append((at, dbm))

    @property
    def change(self) -> tuple[float, float] | None:
        """The last 4 s less the ten before them, dB, and the packets' variance in it."""
        if not self._recent:
            return None
        newest = self._recent[-1][0]
        late = [dbm for at, dbm in self._recent if at > newest - LATE_S]
        early = [d for at, d in self._recent if EARLY_S[0] <= newest - at < EARLY_S[1]]
        if not early:
            return None
        variance = PACKET_VARIANCE * (1.0 / len(late) + 1.0 / len(early))
        return sum(late) / len(late) - sum(early) / len(early), variance

    def explain(self) -> dict[str, float]:
        """Give the change in dB, where one can be told."""
        found = self.change
        return {} if found is None else {"trend_db": found[0]}

    @property
    def fading(self) -> float:
        """The log likelihood ratio of walking away to standing."""
        found = self.change
        if found is None:
            return 0.0
        change, variance = found
        walking = -FADING_DB * (2.0 * change + FADING_DB)
        return capped(walking / (2.0 * (FADING_SD**2 + variance)), MOST_FADING)


@dataclass(frozen=True, slots=True)
class Onset:
    """At what rates, per second, the three began the silence."""

    away: float
    nap: float
    dark: float
    lengths: NapLengths

    @classmethod
    def of(
        cls,
        inside: float,
        *,
        at_edge_db: float,
        fading: float,
        nap: float,
        dark: float,
        lengths: NapLengths,
    ) -> Onset:
        """Weigh the last reading.

        Args:
            inside: probability that she was.
            at_edge_db: her level, less the weakest that is received.
            fading: log odds from the trend.
            nap: this phone's rate.
            dark: her rate of dark spots.
            lengths: of the store's naps.
        """
        at_edge = probability((EDGE_DB - at_edge_db) / EDGE_WIDTH_DB)
        away = (1.0 - inside) * VANISH_RATE + inside * LEAVE_RATE * at_edge
        return cls(away * math.exp(fading), inside * nap, inside * (dark + OUTAGE_RATE), lengths)

    def explain(self) -> dict[str, float]:
        """Give the rates by name, per hour."""
        rates = {"away_per_h": self.away, "nap_per_h": self.nap, "dark_per_h": self.dark}
        return {name: rate * 3600.0 for name, rate in rates.items()}

    def left(self, silence: float) -> float:
        """Probability that she has left, after a silence of so many seconds."""
        stayed = math.exp(-LEAVE_RATE * silence)
        still = self.nap * self.lengths.longer_than(silence) * stayed
        still += self.dark * math.exp(-silence / DARK_S)
        gone = self.away + self.nap * (1.0 - stayed)
        return gone / (gone + still)

    def patience(self, least: float, most: float) -> float:
        """Give the silence, between two limits in seconds, at which it is `SURE`."""
        if self.left(least) >= SURE:
            return least
        if least == most or self.left(most) < SURE:
            return most
        for _ in range(STEPS):
            between = math.sqrt(least * most)
            if self.left(between) >= SURE:
                most = between
            else:
                least = between
        return most
