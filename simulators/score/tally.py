"""The score of all visitors together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from simulators.score.agreement import crossings, zone_time
from simulators.score.claims import Claims, read_claims
from simulators.score.judge import Facts, judge
from simulators.score.result import Agreement, Score, Spread
from simulators.truth import PassBy, PassThrough, TrueVisit, Truth

__all__ = ["TOLERANCE", "score"]

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
    claimed = read_claims(events, started_at)
    known = _facts(truth)
    pairs = [
        (known.get(visitor, Facts((), (), (), truth.duration)), claimed.get(visitor, Claims()))
        for visitor in sorted(known.keys() | claimed.keys())
    ]
    verdicts = [judge(facts, claims, tolerance) for facts, claims in pairs]
    return Score(
        tolerance=tolerance,
        true_visits=len(truth.visits),
        claimed_visits=sum(len(claims.visits) for claims in claimed.values()),
        present_hours=sum(
            facts.within(presence.surely_from, presence.surely_until)
            for facts in known.values()
            for presence in facts.presences
        )
        / HOUR,
        missed_visits=sum(verdict.missed for verdict in verdicts),
        merged_visits=sum(verdict.merged for verdict in verdicts),
        phantom_visits=sum(verdict.phantom for verdict in verdicts),
        false_exits=sum(verdict.false_exits for verdict in verdicts),
        passers_by=len(truth.passers_by),
        passers_by_entered=sum(verdict.passes_entered for verdict in verdicts),
        enter_latency=_spread([verdict.enter_latency for verdict in verdicts]),
        exit_latency=_spread([verdict.exit_latency for verdict in verdicts]),
        dwell_error=_spread([verdict.dwell_error for verdict in verdicts]),
        crossings=_total(crossings(facts, claims, tolerance) for facts, claims in pairs),
        zone_time=_total(zone_time(facts, claims) for facts, claims in pairs),
        moves=sum(len(claims.moves) for claims in claimed.values()),
        spurious_moves=sum(verdict.spurious_moves for verdict in verdicts),
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


def _spread(parts: Iterable[Sequence[float]]) -> Spread | None:
    return Spread.of([seconds for part in parts for seconds in part])


def _total(parts: Iterable[Agreement]) -> Agreement:
    right = claimed = true = 0.0
    for part in parts:
        right, claimed, true = right + part.right, claimed + part.claimed, true + part.true
    return Agreement(right, claimed, true)
