"""How long a phone may be silent in the store: what this phone has shown, over what its kind does.

Theory of operation.

A phone is *steady* or it *naps*: an iPhone that locks, an Android whose vendor stops background
work. Which of the two is a Bayesian choice between two rates at which it falls silent: a steady
phone's, some outages a day, and a napper's, itself unknown with a gamma prior. A kind of phone
begins with the share of nappers that it is known for; every second heard and every nap moves it.
The posterior mean rate is then what the naps of this phone are expected at.

How long naps last is learnt for the store, as a survival curve on a grid of times (Kaplan and
Meier's estimator over a prior that is worth `PRIOR` naps): a median of 50 s with a heavy tail, as
iPhones that lock and vendors' gaps of 30 to 286 s were recorded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from edge_agent.model import Method

__all__ = ["NAP_S", "NapLengths", "Naps"]

FORGET_S: Final = 180.0  # a newcomer silent for longer comes past anew,
FORGET_NAPPER_S: Final = 600.0  # unless hers is a phone that naps
NAP_S: Final = 20.0  # a shorter gap is packets lost
CADENCE_MEMORY: Final = 10.0  # gaps
PRIOR: Final = 10.0  # naps

# The share of a kind of phone that naps.
_NAPPERS: Final = {
    Method.APP: 0.35,  # vendors that stop background work
    Method.APP_IOS: 0.97,  # it locks
    Method.TAG: 0.1,
    Method.IRK: 0.6,
    Method.WIFI: 0.9,  # it sleeps
    Method.PORTAL: 0.9,
}
_NAPPER_AWAKE_S: Final = 120.0  # between two naps of a napper, before it is known better
_NAPPER_SHAPE: Final = 2.0  # of the gamma prior: worth two naps
_NOTICED: Final = 0.45  # of silences of 25 s in the mean are longer than `NAP_S`
_OUTAGE_RATE: Final = 1 / 10800.0  # per second: a steady phone's silences beyond 20 s

# Times in seconds, and the share of naps that last longer (log-normal, median 55 s, sd 1).
_GRID: Final = (8.0, 12.0, 18.0, 27.0, 40.0, 60.0, 90.0, 135.0, 200.0, 300.0, 450.0, 700.0)
_LONGER: Final = (1.0, 0.95, 0.87, 0.76, 0.625, 0.465, 0.31, 0.184, 0.098, 0.045, 0.018, 0.005)
_STEPS: Final = tuple(math.log(b / a) for a, b in pairwise(_GRID))
_FIRST_STEP: Final = next(step for step, ends in enumerate(_GRID[1:]) if ends > NAP_S)
_LEAST_LEFT: Final = 0.02  # of the naps that reached a step: none has ended all of them


class NapLengths:
    """The survival curve of the store's naps."""

    __slots__ = ("_at_risk", "_curve", "_ended")

    def __init__(self) -> None:
        """Begin with the prior."""
        self._at_risk = [PRIOR * share for share in _LONGER[:-1]]
        self._ended = [PRIOR * (a - b) for a, b in pairwise(_LONGER)]
        self._curve = list(_LONGER)

    @property
    def learnt(self) -> float:
        """How many naps the curve is worth beyond the prior."""
        return self._at_risk[_FIRST_STEP] - PRIOR * _LONGER[_FIRST_STEP]

    def dump(self) -> tuple[tuple[float, float], ...]:
        """Give, for each step of the grid, how many naps reached it and how many ended in it."""
        return tuple(zip(self._at_risk, self._ended, strict=True))

    def load(self, steps: Sequence[tuple[float, float]]) -> None:
        """Take up what was dumped, unless on another grid."""
        if len(steps) == len(self._at_risk):
            self._at_risk = [reached for reached, _ in steps]
            self._ended = [ended for _, ended in steps]
            self._draw()

    def add(self, lasted: float) -> None:
        """Take in a nap of at least `NAP_S` seconds that ended."""
        for step, (begins, ends) in enumerate(pairwise(_GRID)):
            if lasted < begins:
                break
            if ends <= NAP_S:
                continue  # shorter silences are no naps, and were not counted
            self._at_risk[step] += 1.0
            self._ended[step] += lasted < ends
        self._draw()

    def _draw(self) -> None:
        left = 1.0
        for step, (risk, ended) in enumerate(zip(self._at_risk, self._ended, strict=True)):
            left *= max(_LEAST_LEFT, 1.0 - ended / risk)
            self._curve[step + 1] = left

    def longer_than(self, seconds: float) -> float:
        """Give the share of naps that last longer."""
        if seconds <= _GRID[0]:
            return 1.0
        for step, ends in enumerate(_GRID[1:]):
            if seconds <= ends:
                along = math.log(seconds / _GRID[step]) / _STEPS[step]
                before, after = self._curve[step], self._curve[step + 1]
                return before * math.pow(after / before, along)
        return self._curve[-1]


class Naps:
    """What one phone has shown of its silences in the store."""

    __slots__ = ("_awake", "cadence", "count", "method")

    def __init__(self, method: Method) -> None:
        """Begin with nothing heard but the kind of phone."""
        self.method = method
        self.count = 0
        self.cadence = 1.0  # seconds between sightings while it is awake
        self._awake = 0.0

    def explain(self) -> dict[str, float]:
        """Give how often it napped, in how many seconds awake in the store."""
        return {"naps": self.count, "awake_s": self._awake}

    @property
    def forgotten_after(self) -> float:
        """Seconds of silence after which a newcomer comes past anew."""
        return FORGET_NAPPER_S if self.method is Method.APP_IOS else FORGET_S

    @property
    def steady(self) -> bool:
        """Whether it is of a steady kind and never napped."""
        return self.count == 0 and self.method in (Method.APP, Method.TAG)

    def wake(self) -> None:
        """It was silent for `NAP_S` or longer, in the store."""
        self.count += 1

    def hear(self, gap: float, *, inside: bool) -> None:
        """It was heard again after `gap` seconds."""
        self.cadence += (min(gap, NAP_S) - self.cadence) / CADENCE_MEMORY
        if inside and gap < NAP_S:
            self._awake += gap

    @property
    def rate(self) -> float:
        """Naps expected per second awake; a steady phone's outages are not among them."""
        count, awake, share = self.count, self._awake, _NAPPERS[self.method]
        shape, scale = _NAPPER_SHAPE + count, _NAPPER_SHAPE * _NAPPER_AWAKE_S + awake
        napper = (
            math.log(share / (1.0 - share))
            + math.lgamma(shape)
            - math.lgamma(_NAPPER_SHAPE)
            + _NAPPER_SHAPE * math.log(_NAPPER_SHAPE * _NAPPER_AWAKE_S)
            - shape * math.log(scale)
        )
        steady = count * math.log(_OUTAGE_RATE) - awake * _OUTAGE_RATE
        odds = math.exp(max(-50.0, min(50.0, steady - napper)))
        return shape / scale / (1.0 + odds)

    def after_all(self, rate: float) -> float:
        """Lower a rate of silences that is expected of her by her having shown none so far."""
        return rate if self.count else 1.0 / (1.0 / rate + self._awake * _NOTICED)
