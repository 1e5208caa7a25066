"""The score of all visitors together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from simulators.score.agreement import crossings, zone_time
from simulators.score.claims import Claims, read_claims
from simulators.score.judge import Facts, Verdict, judge
from simulators.score.result import Agreement, Score, Spread
from simulators.truth import PassBy, PassThrough, TrueVisit, Truth

__all__ = ["TOLERANCE", "Tally", "score", "score_claims"]

TOLERANCE = 8.0  # seconds; about the walk through an entrance
HOUR = 3600.0


def score(
    events: Iterable[Mapping[str, Any]],
    truth: Truth,
    started_at: datetime,
    tolerance: float = TOLERANCE,
) -> Score:
    """Compare the contract's events, in the order of their publication, with the truth.

    `started_at` is the UTC time of the truth's second 0, `tolerance` is in seconds.

    Raises:
        BadEventError: an event breaks the contract.
    """
    return score_claims(read_claims(events, started_at), truth, tolerance)


def score_claims(
    claimed: Mapping[str, Claims], truth: Truth, tolerance: float = TOLERANCE
) -> Score:
    """Compare claims by visitor, whoever made them, with the truth; `tolerance` in seconds."""
    return Tally.of(claimed, truth, tolerance).score(tolerance)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a score is made of, so that several traces' add up to one score."""

    true_visits: int
    claimed_visits: int
    present_s: float
    passers_by: int
    moves: int
    verdict: Verdict  # all visitors' together
    crossings: Agreement
    zone_time: Agreement

    @classmethod
    def of(cls, claimed: Mapping[str, Claims], truth: Truth, tolerance: float) -> Self:
        """Judge every visitor of one trace; `tolerance` in seconds."""
        lying = {fixture.visitor for fixture in truth.fixtures}
        claimed = {who: claims for who, claims in claimed.items() if who not in lying}
        known = _facts(truth)
        pairs = [
            (known.get(visitor, Facts((), (), (), truth.duration)), claimed.get(visitor, Claims()))
            for visitor in sorted(known.keys() | claimed.keys())
        ]
        return cls(
            true_visits=len(truth.visits),
            claimed_visits=sum(len(claims.visits) for claims in claimed.values()),
            present_s=sum(
                facts.within(presence.surely_from, presence.surely_until)
                for facts in known.values()
                for presence in facts.presences
            ),
            passers_by=len(truth.passers_by),
            moves=sum(len(claims.moves) for claims in claimed.values()),
            verdict=_together([judge(facts, claims, tolerance) for facts, claims in pairs]),
            crossings=_total(crossings(facts, claims, tolerance) for facts, claims in pairs),
            zone_time=_total(zone_time(facts, claims) for facts, claims in pairs),
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.true_visits + other.true_visits,
            self.claimed_visits + other.claimed_visits,
            self.present_s + other.present_s,
            self.passers_by + other.passers_by,
            self.moves + other.moves,
            _together((self.verdict, other.verdict)),
            _total((self.crossings, other.crossings)),
            _total((self.zone_time, other.zone_time)),
        )

    def score(self, tolerance: float) -> Score:
        """Sum up; `tolerance` in seconds is what the cases were judged by."""
        found = self.verdict
        return Score(
            tolerance=tolerance,
            true_visits=self.true_visits,
            claimed_visits=self.claimed_visits,
            present_hours=self.present_s / HOUR,
            missed_visits=found.missed,
            merged_visits=found.merged,
            phantom_visits=found.phantom,
            false_exits=found.false_exits,
            passers_by=self.passers_by,
            passers_by_entered=found.passes_entered,
            enter_latency=Spread.of(found.enter_latency),
            exit_latency=Spread.of(found.exit_latency),
            dwell_error=Spread.of(found.dwell_error),
            crossings=self.crossings,
            zone_time=self.zone_time,
            moves=self.moves,
            spurious_moves=found.spurious_moves,
        )


def _facts(truth: Truth) -> Mapping[str, Facts]:
    visits: dict[str, list[TrueVisit]] = defaultdict(list)
    passes: dict[str, list[PassBy]] = defaultdict(list)
    ignore: dict[str, list[PassThrough]] = defaultdict(list)
    for visit in truth.visits:
        visits[visit.visitor].append(visit)
    for walk in truth.passers_by:
        passes[walk.visitor].append(walk)
    for passing in truth.ignore:
        ignore[passing.visitor].append(passing)
    return {
        visitor: Facts(
            visits=sorted(
                visits[visitor], key=lambda visit: visit.entered.lo if visit.entered else 0
            ),
            passes=passes[visitor],
            ignore=ignore[visitor],
            duration=truth.duration,
        )
        for visitor in set(visits) | set(passes)
    }


def _together(verdicts: Sequence[Verdict]) -> Verdict:
    return Verdict(
        missed=sum(verdict.missed for verdict in verdicts),
        merged=sum(verdict.merged for verdict in verdicts),
        phantom=sum(verdict.phantom for verdict in verdicts),
        false_exits=sum(verdict.false_exits for verdict in verdicts),
        passes_entered=sum(verdict.passes_entered for verdict in verdicts),
        spurious_moves=sum(verdict.spurious_moves for verdict in verdicts),
        enter_latency=[seconds for verdict in verdicts for seconds in verdict.enter_latency],
        exit_latency=[seconds for verdict in verdicts for seconds in verdict.exit_latency],
        dwell_error=[seconds for verdict in verdicts for seconds in verdict.dwell_error],
    )


def _total(parts: Iterable[Agreement]) -> Agreement:
    right = claimed = true = 0.0
    for part in parts:
        right, claimed, true = right + part.right, claimed + part.claimed, true + part.true
    return Agreement(right, claimed, true)
