"""What a store teaches the gateway that listens in it: nobody is asked for a metre.

Theory of operation.

*Labels come from time, never from the levels themselves*, so that no early mistake confirms itself.
Whoever is heard for minutes is a visitor, and the middle of such a stretch, a minute away from both
its ends, was spent inside. Whoever is heard for less than a minute in all passed by. The last
seconds before a phone that never naps falls silent for good, and the first ones, were spent at the
edge of earshot.

*What is learnt* are normal distributions of levels (dBm, of a phone that shows -59 dBm at 1 m): in
the middle of visits, at the edge, and the loudest of a stretch, for visitors and for passers-by;
where the pavement is covered, how much louder the inside is, for three degrees of loudness; how
long naps last. Each begins as a prior worth `PRIOR` stretches, so that the first visitor of the
first day is judged as well as physics allows, and some hours of custom are enough to correct it.

A survey holds sums, no samples and no visitor: it may outlive everybody it was learnt from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edge_agent.model import Method
from edge_agent.track.lessons import Lesson, SurveyLessons
from edge_agent.track.naps import NapLengths

__all__ = ["Loudness", "Spread", "Stretch", "Survey", "loudness"]

PRIOR: Final = 6.0  # stretches
MEMORY: Final = 400.0  # stretches: a refitted store is learnt anew within days
BLOCK_S: Final = 10.0  # levels are averaged over so long: shadows last as long as a pause
EDGE_BLOCKS: Final = 6  # at each end of a stretch: not counted as inside
VISIT_S: Final = 180.0  # a stretch this long was a visit
PASSING_S: Final = 60.0  # a shorter one was none
PASSED_S: Final = 45.0  # all of a stretch this short was spent outside
EARLY_S: Final = 40.0  # how loud a visitor has been by then is held against passers-by
PEAK_AFTER_S: Final = 3.0  # the first packets are too few to be a peak
LOUD_DBM: Final = -62.0  # within some 2 m: at the door
FAINT_DBM: Final = -80.0  # where reception begins to falter
LEAST_SD: Final = 2.0  # dB
ODD_SD: Final = 2.0  # deviations
MOST_CAPTURE: Final = 1.5  # log odds

Loudness = int  # 0 faint, 1 middling, 2 within some metres


def loudness(dbm: float) -> Loudness:
    """Sort a level by how far away it may be: the nearer, the more a difference tells."""
    return 2 if dbm > LOUD_DBM else 1 if dbm > FAINT_DBM else 0


class Spread:
    """A normal distribution that is learnt: `mean` and `sd` in dB."""

    __slots__ = ("_n", "_sum", "_sum_of_squares", "mean", "sd")

    def __init__(self, mean: float, sd: float, worth: float = PRIOR) -> None:
        """Begin with a prior that is worth so many samples."""
        self._n, self._sum = worth, worth * mean
        self._sum_of_squares = worth * (mean * mean + sd * sd)
        self.mean, self.sd = mean, sd

    @property
    def learnt(self) -> float:
        """How many samples it is worth by now."""
        return self._n

    def dump(self) -> Lesson:
        """Give it as a value."""
        mean = self._sum / self._n
        return Lesson(self._n, mean, max(0.0, self._sum_of_squares / self._n - mean * mean))

    def load(self, lesson: Lesson) -> None:
        """Take up what was dumped."""
        self._n, self._sum = lesson.worth, lesson.worth * lesson.mean
        self._sum_of_squares = lesson.worth * (lesson.mean * lesson.mean + lesson.variance)
        self._settle()

    def add(self, value: float, weight: float, spread: float = 0.0) -> None:
        """Take in a sample; `spread` is the sd within it, where it is itself an average.

        One far off counts as some deviations off: one odd stay must not blind a young store.
        """
        most = ODD_SD * self.sd
        value = self.mean + max(-most, min(most, value - self.mean))
        spread = min(spread, most)
        self._n += weight
        self._sum += weight * value
        self._sum_of_squares += weight * (value * value + spread * spread)
        if self._n > MEMORY:
            kept = MEMORY / self._n
            self._n, self._sum = MEMORY, self._sum * kept
            self._sum_of_squares *= kept
        self._settle()

    def _settle(self) -> None:
        self.mean = self._sum / self._n
        variance = self._sum_of_squares / self._n - self.mean * self.mean
        self.sd = math.sqrt(max(LEAST_SD * LEAST_SD, variance))

    def against(self, other: Spread, value: float, blur: float = 0.0) -> float:
        """Give the log likelihood ratio of this, the louder, to the other.

        Two normal distributions of different widths cross twice; far below both, the wider one
        would win although it is the louder. Beyond that point the ratio stays what it is there.

        Args:
            other: the fainter.
            value: dBm or dB, as both.
            blur: variance in dB squared that the value itself has.
        """
        mine, others = self.sd * self.sd + blur, other.sd * other.sd + blur
        if mine != others and self.mean > other.mean:
            turn = (other.mean * mine - self.mean * others) / (mine - others)
            value = max(value, turn) if mine > others else min(value, turn)
        here, there = value - self.mean, value - other.mean
        return 0.5 * (there * there / others - here * here / mine + math.log(others / mine))


@dataclass(slots=True)
class _Sums:
    """Of the blocks of a stretch."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.n += 1
        self.total += value
        self.squares += value * value

    def teach(self, spread: Spread) -> None:
        """A visit teaches its mean and its own spread; a long one not much more than a short."""
        mean = self.total / self.n
        within = math.sqrt(max(0.0, self.squares / self.n - mean * mean))
        spread.add(mean, min(3.0, self.n / EDGE_BLOCKS), within)


class _Block:
    """Levels of ten seconds: of the inside, and how much louder it was than the outside."""

    __slots__ = ("level", "n", "sides")

    def __init__(self) -> None:
        self.n = 0
        self.level = 0.0
        self.sides = (_Sums(), _Sums(), _Sums())

    @property
    def mean(self) -> float:
        return self.level / self.n


class Stretch:
    """One stay in earshot; bounded: the last minute in blocks, all before it in sums."""

    __slots__ = (
        "_block",
        "_early",
        "_first",
        "_head",
        "_inside",
        "_last",
        "_number",
        "_passed",
        "_pending",
        "_sides",
        "entered",
        "peak",
    )

    def __init__(self, at: float) -> None:
        """Begin at `at`, seconds."""
        self._first = self._last = at
        self._number = self._passed = 0
        self._block: _Block | None = None
        self._head: _Block | None = None
        self._pending: list[_Block] = []
        self._inside = _Sums()
        self._sides = (_Sums(), _Sums(), _Sums())
        self._early: float | None = None
        self.peak: float | None = None
        self.entered = False  # she was taken for a visitor

    def add(
        self, at: float, level: float, slow: float, side: tuple[Loudness, float] | None
    ) -> None:
        """Take in the inside's level, the same over 8 s, and by how much it beats the outside."""
        number = int((at - self._first) / BLOCK_S)
        block = self._block
        if block is None or number > self._number:
            self._close_block()
            self._block = block = _Block()
            self._number = number
        block.n += 1
        block.level += level
        if side is not None:
            block.sides[side[0]].add(side[1])
        self._last = max(self._last, at)
        if at - self._first >= PEAK_AFTER_S:
            self.peak = slow if self.peak is None else max(self.peak, slow)
            if at - self._first <= EARLY_S:
                self._early = self.peak

    def explain(self) -> dict[str, float]:
        """Give her loudest so far, dBm."""
        return {} if self.peak is None else {"peak_dbm": self.peak}

    def _close_block(self) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        if self._head is None:
            self._head = block
        self._pending.append(block)
        if len(self._pending) <= EDGE_BLOCKS:
            return
        settled = self._pending.pop(0)
        self._passed += 1
        if self._passed > EDGE_BLOCKS:
            self._inside.add(settled.mean)
            for mine, its in zip(self._sides, settled.sides, strict=True):
                if its.n:
                    mine.add(its.total / its.n)

    def teach(self, survey: Survey, *, steady: bool) -> None:
        """The stretch is over; a `steady` phone never napped, so its ends were out of earshot."""
        self._close_block()
        span = self._last - self._first
        if span > VISIT_S and self._inside.n:
            self._inside.teach(survey.inside)
            if self._early is not None:
                survey.visitor_peak.add(self._early, 1.0)
            for sums, spread in zip(self._sides, survey.side_in, strict=True):
                if sums.n >= EDGE_BLOCKS // 2:
                    sums.teach(spread)
        if steady and (span > VISIT_S or span < PASSING_S):
            survey.count(came_in=span > VISIT_S)
        if steady and span > BLOCK_S / 2:
            self._teach_edge(survey, span)

    def _teach_edge(self, survey: Survey, span: float) -> None:
        if span < PASSING_S and self.peak is not None:
            survey.passer_peak.add(self.peak, 1.0)
        ends = [self._head, self._pending[-1]] if self._head else []
        for block in self._pending if span < PASSED_S else ends:
            survey.edge.add(block.mean, 0.5)
            if span < PASSED_S and not self.entered:
                for its, spread in zip(block.sides, survey.side_out, strict=True):
                    if its.n > 1:
                        spread.add(its.total / its.n, 0.5)


class Survey:
    """What is known of a store, beginning with what physics says of any store."""

    def __init__(self) -> None:
        """Begin with the priors: a wall of 4 to 10 dB and some metres divide in from out."""
        self.inside = Spread(-80.0, 6.0)
        self.edge = Spread(-87.0, 4.5)
        self.visitor_peak = Spread(-74.0, 6.0)
        self.passer_peak = Spread(-82.0, 6.0)
        self.side_in = (Spread(8.0, 8.0), Spread(11.0, 9.0), Spread(14.0, 6.5))
        self.side_out = (Spread(-6.0, 6.0), Spread(-13.0, 7.0), Spread(-11.0, 7.0))
        self._naps: dict[Method, NapLengths] = {}
        self.visits = self.passings = PRIOR  # stretches of steady phones

    @property
    def spreads(self) -> Mapping[str, Spread]:
        """All that is learnt of levels, by name."""
        return {
            "inside": self.inside,
            "edge": self.edge,
            "visitor_peak": self.visitor_peak,
            "passer_peak": self.passer_peak,
            **{f"side_in_{near}": spread for near, spread in enumerate(self.side_in)},
            **{f"side_out_{near}": spread for near, spread in enumerate(self.side_out)},
        }

    def dump(self) -> SurveyLessons:
        """Give it as a value."""
        return SurveyLessons(
            {name: spread.dump() for name, spread in self.spreads.items()},
            {method.value: naps.dump() for method, naps in self._naps.items()},
            self.visits,
            self.passings,
        )

    def load(self, lessons: SurveyLessons) -> None:
        """Take up what was dumped; a name that is none any more is passed over."""
        self.visits, self.passings = lessons.visits, lessons.passings
        for name, spread in self.spreads.items():
            if name in lessons.spreads:
                spread.load(lessons.spreads[name])
        for method in Method:
            if method.value in lessons.naps:
                self.naps(method).load(lessons.naps[method.value])

    def naps(self, method: Method) -> NapLengths:
        """Give how long the naps of a kind of phone last."""
        lengths = self._naps.get(method)
        if lengths is None:
            lengths = self._naps[method] = NapLengths()
        return lengths

    def count(self, *, came_in: bool) -> None:
        """Count one who came in, or passed by; the latest some hundred tell."""
        self.visits += came_in
        self.passings += not came_in
        kept = min(1.0, MEMORY / (self.visits + self.passings))
        self.visits, self.passings = self.visits * kept, self.passings * kept

    @property
    def comes_in(self) -> float:
        """Log odds that one who is heard for the first time comes in, and does not pass by."""
        odds = math.log(self.visits) - math.log(self.passings)
        return max(-MOST_CAPTURE, min(MOST_CAPTURE, odds))
