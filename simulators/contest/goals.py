"""The goals, each a line that says met or missed, with the figure.

All are measured with nothing resumed, and with silences of at most 10 s at the door, 6 min in rooms
and on store days, 3 min on static traces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from simulators.contest.contest import EVERY_STORE, OURS, TIMEOUT, Entry, Setting, Standing
from simulators.score import Score

__all__ = ["GOALS", "MISSES_MANY", "Goal", "Line", "Measure", "beaten_by", "lines"]

Measure = Callable[[Score], float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """A number to reach on a group of cases."""

    group: str
    what: str
    limit: float
    unit: str
    measure: Measure
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Whether a figure reaches the goal."""
        return value >= self.limit if self.at_least else value <= self.limit

    def write(self, value: float) -> str:
        """Write a figure in the goal's unit."""
        if self.unit == "%":
            return f"{100 * value:.1f} %"
        digits = 1 if self.unit == "s" else 3
        return f"{value:.{digits}f} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Line:
    """A goal, what came of it, and a remark."""

    goal: Goal
    value: float | None
    remark: str = ""

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `not measured` where no case shows it."""
        if self.value is None:
            return "not measured"
        return "met" if self.goal.met(self.value) else "missed"

    def __str__(self) -> str:
        sign = "at least" if self.goal.at_least else "at most"
        figure = "-" if self.value is None else self.goal.write(self.value)
        wanted = f"{sign} {self.goal.write(self.goal.limit)}"
        remark = f"; {self.remark}" if self.remark else ""
        return f"{self.verdict}: {self.goal.group}, {self.goal.what}: {figure} ({wanted}{remark})"


def _exit(score: Score) -> float | None:
    return score.exit_latency.median if score.exit_latency else None


def _dwell(score: Score) -> float | None:
    return score.dwell_error.median if score.dwell_error else None


def _enter(score: Score) -> float | None:
    return score.enter_latency.p95 if score.enter_latency else None


def _missed(score: Score) -> float | None:
    return score.missed_visits / score.true_visits if score.true_visits else None


def _flaps(score: Score) -> float | None:
    return score.spurious_moves_per_hour


MISSES_MANY: Final = 0.1  # of the visits; who tells of few visits has few false exits
MISSED: Final = "visits missed"
FALSE_EXITS: Final = "false exits per visit"

GOALS: Final = (
    Goal(EVERY_STORE, "median exit latency", 60.0, "s", _exit),
    Goal(EVERY_STORE, FALSE_EXITS, 0.10, "", lambda score: score.false_exits_per_visit),
    Goal(EVERY_STORE, "passers-by entered", 0.03, "%", lambda score: score.passer_by_fraction),
    Goal(EVERY_STORE, MISSED, 0.01, "%", _missed),
    Goal(EVERY_STORE, "median dwell error", 15.0, "s", _dwell),
    Goal(EVERY_STORE, "p95 enter latency", 20.0, "s", _enter),
    Goal("door", "crossing F1 within 8 s", 0.95, "", lambda s: s.crossings.f1, at_least=True),
    Goal("rooms", "zone time F1", 0.95, "", lambda s: s.zone_time.f1, at_least=True),
    Goal("rooms", "spurious moves per tag and hour", 0.5, "", _flaps),
    Goal("static", "false exits per hour", 0.05, "", lambda s: s.false_exits_per_hour),
    Goal("static, 1 per 5 s", "false exits per hour", 0.05, "", lambda s: s.false_exits_per_hour),
)


def lines(standing: Standing) -> Iterator[Line]:
    """Hold our default setting against each goal."""
    for goal in GOALS:
        if goal.group not in standing.entries:
            yield Line(goal, None)
            continue
        _setting, entry = standing.default(goal.group, OURS)
        yield Line(goal, goal.measure(entry.score), _remark(goal, entry, standing))


def _remark(goal: Goal, entry: Entry, standing: Standing) -> str:
    physics = standing.physics[goal.group]
    if goal.group == EVERY_STORE and goal.what == MISSED:
        return (
            f"{entry.score.missed_visits} of {physics.visits},"
            f" {entry.unreceivable} of them heard by nothing inside"
        )
    if goal.group == EVERY_STORE and goal.what == FALSE_EXITS:
        return f"{physics.silent / physics.visits:.3f} are silences longer than is allowed"
    return ""


def beaten_by(standing: Standing, group: str = EVERY_STORE) -> list[tuple[Setting, Entry]]:
    """List the peers' settings with fewer false exits a visit at a faster median exit than ours."""
    _setting, ours = standing.default(group, OURS)
    mine, limit = ours.score.false_exits_per_visit, _exit(ours.score)
    found = []
    for setting, entry in sorted(standing.entries[group].items()):
        if setting.knob != TIMEOUT or mine is None or limit is None:
            continue
        score = entry.score
        rate, latency = score.false_exits_per_visit, _exit(score)
        if rate is not None and latency is not None and rate <= mine and latency <= limit:
            found.append((setting, entry))
    return found
