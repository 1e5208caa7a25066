"""A score's numbers, as values, as JSON and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from rich.table import Table

__all__ = ["Agreement", "Score", "Spread"]


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took: `count` cases, in seconds."""

    count: int
    median: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self | None:
        """Sum up the cases; None if there is none. p95 is the nearest rank, never invented."""
        if not seconds:
            return None
        ordered = sorted(seconds)
        rank = -(-95 * len(ordered) // 100)
        return cls(len(ordered), statistics.median(ordered), ordered[rank - 1])

    def __str__(self) -> str:
        return f"median {self.median:.1f} s, p95 {self.p95:.1f} s (n = {self.count})"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How much of what was claimed is right, and how much of the truth was claimed."""

    right: float
    claimed: float
    true: float

    @property
    def precision(self) -> float | None:
        """The part of the claims that is right; None without claims."""
        return self.right / self.claimed if self.claimed else None

    @property
    def recall(self) -> float | None:
        """The part of the truth that was claimed; None where there is none."""
        return self.right / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall; None where there is nothing to score."""
        total = self.claimed + self.true
        return 2 * self.right / total if total else None

    def __str__(self) -> str:
        if self.f1 is None:
            return "-"
        precision, recall = (
            "-" if part is None else f"{part:.3f}" for part in (self.precision, self.recall)
        )
        return f"{self.f1:.3f} (precision {precision}, recall {recall})"


@dataclass(frozen=True, slots=True)
class Score:
    """What an agent's events are worth against the truth; `simulators.score` says how."""

    tolerance: float
    true_visits: int
    claimed_visits: int
    present_hours: float
    missed_visits: int
    merged_visits: int
    phantom_visits: int
    false_exits: int
    passers_by: int
    passers_by_entered: int
    enter_latency: Spread | None
    exit_latency: Spread | None
    dwell_error: Spread | None
    crossings: Agreement
    zone_time: Agreement
    moves: int
    spurious_moves: int

    @property
    def false_exits_per_visit(self) -> float | None:
        """False exits for each true visit."""
        return self.false_exits / self.true_visits if self.true_visits else None

    @property
    def false_exits_per_hour(self) -> float | None:
        """False exits for each hour that a visitor was surely inside."""
        return self.false_exits / self.present_hours if self.present_hours else None

    @property
    def passer_by_fraction(self) -> float | None:
        """The part of the passers-by that were taken for visitors."""
        return self.passers_by_entered / self.passers_by if self.passers_by else None

    @property
    def spurious_moves_per_hour(self) -> float | None:
        """Moves into zones she was not in, for each hour that a visitor was surely inside."""
        return self.spurious_moves / self.present_hours if self.present_hours else None

    def to_json(self) -> dict[str, Any]:
        """Give every number, the derived ones too; what cannot be said is null."""

        def spread(value: Spread | None) -> dict[str, float] | None:
            if value is None:
                return None
            return {"count": value.count, "median_s": value.median, "p95_s": value.p95}

        def agreement(value: Agreement) -> dict[str, float | None]:
            return {"f1": value.f1, "precision": value.precision, "recall": value.recall}

        return {
            "tolerance_s": self.tolerance,
            "true_visits": self.true_visits,
            "claimed_visits": self.claimed_visits,
            "present_hours": self.present_hours,
            "missed_visits": self.missed_visits,
            "merged_visits": self.merged_visits,
            "phantom_visits": self.phantom_visits,
            "false_exits": self.false_exits,
            "false_exits_per_visit": self.false_exits_per_visit,
            "false_exits_per_hour": self.false_exits_per_hour,
            "passers_by": self.passers_by,
            "passers_by_entered": self.passers_by_entered,
            "passer_by_fraction": self.passer_by_fraction,
            "enter_latency": spread(self.enter_latency),
            "exit_latency": spread(self.exit_latency),
            "dwell_error": spread(self.dwell_error),
            "crossings": agreement(self.crossings),
            "zone_time": agreement(self.zone_time),
            "moves": self.moves,
            "spurious_moves": self.spurious_moves,
            "spurious_moves_per_hour": self.spurious_moves_per_hour,
        }

    def table(self) -> Table:
        """Lay the score out for a reader at a terminal."""
        table = Table("", "score", title=f"tolerance {self.tolerance:g} s", title_justify="left")
        for name, value in (
            ("visits, true / claimed", f"{self.true_visits} / {self.claimed_visits}"),
            ("visitor-hours inside", f"{self.present_hours:.2f}"),
            ("missed, merged, phantom visits", self._strays()),
            ("false exits", str(self.false_exits)),
            ("  per visit, per hour", self._false_exit_rates()),
            ("passers-by entered", f"{self.passers_by_entered} of {self.passers_by}"),
            ("enter latency", str(self.enter_latency or "-")),
            ("exit latency", str(self.exit_latency or "-")),
            ("dwell error", str(self.dwell_error or "-")),
            ("crossing F1", str(self.crossings)),
            ("zone time F1", str(self.zone_time)),
            ("spurious moves, per hour", f"{self.spurious_moves} of {self.moves}, {self._flaps()}"),
        ):
            table.add_row(name, value)
        return table

    def _strays(self) -> str:
        return f"{self.missed_visits}, {self.merged_visits}, {self.phantom_visits}"

    def _false_exit_rates(self) -> str:
        return f"{_rate(self.false_exits_per_visit)}, {_rate(self.false_exits_per_hour)}"

    def _flaps(self) -> str:
        return _rate(self.spurious_moves_per_hour)


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
