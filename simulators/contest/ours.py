"""The tracker as a contestant: `make_rule` is the one place that names the decision rule."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from edge_agent.model import Dwell, Enter, Exit, Move, PresenceEvent
from edge_agent.track.belief import Floor, Rule
from edge_agent.track.evidence import EvidenceRule
from edge_agent.track.store import KINDS, Store
from edge_agent.track.tracker import Tracker, TrackerSettings
from simulators.contest.cases import Case
from simulators.score import Claims, Score, score_claims
from simulators.score.claims import Draft

__all__ = ["ABLATIONS", "RuleFactory", "claims_of", "contest_settings", "make_rule", "run", "track"]

RuleFactory = Callable[[Floor, float], Rule]  # the zones; the longest silence allowed, seconds


def make_rule(floor: Floor, exit_after_at_most: float) -> Rule:
    """Make the decision rule that the agent runs; `exit_after_at_most` in seconds."""
    return EvidenceRule(Store(floor, exit_after_at_most))


def make_rule_without(kind: str, floor: Floor, exit_after_at_most: float) -> Rule:
    """Make it without one kind of evidence."""
    return EvidenceRule(Store(floor, exit_after_at_most, without=frozenset({kind})))


# The rule with one kind of evidence left out each, by what is left out: an ablation is one more
# factory. A factory crosses to a worker process, so it is a function of a module or a `partial`.
ABLATIONS: Mapping[str, RuleFactory] = {
    kind: partial(make_rule_without, kind) for kind in sorted(KINDS)
}


def contest_settings(case: Case, exit_after_at_most: float | None = None) -> TrackerSettings:
    """Set the tracker up for a case: the defaults, but nothing resumes, so every exit counts."""
    longest = case.exit_after_at_most if exit_after_at_most is None else exit_after_at_most
    return TrackerSettings(exit_after_at_most=longest, resume_within=0.0, dwell_milestones=())


def run(
    case: Case, factory: RuleFactory = make_rule, settings: TrackerSettings | None = None
) -> Score:
    """Score a rule on a case, in the tracker, with `contest_settings` unless told otherwise."""
    return score_claims(track(case, factory, settings), case.truth, case.tolerance)


def track(
    case: Case, factory: RuleFactory = make_rule, settings: TrackerSettings | None = None
) -> Mapping[str, Claims]:
    """Run the tracker over a case and give what it claimed, by visitor."""
    chosen = settings or contest_settings(case)
    numbers = itertools.count(1)
    tracker = Tracker(
        factory(case.floor, chosen.exit_after_at_most),
        chosen,
        lambda visitor, _entered_at: f"{visitor}/{next(numbers)}",
    )
    events: list[PresenceEvent] = []
    for evidence in case.evidence:
        events += tracker.see(evidence)
    events += tracker.advance(case.truth.duration)
    return claims_of(events)


def claims_of(events: Iterable[PresenceEvent]) -> Mapping[str, Claims]:
    """Read the tracker's events, in their order, as claims by visitor."""
    drafts: dict[str, Draft] = defaultdict(Draft)
    for event in events:
        visit = event.visit
        draft = drafts[visit.visitor]
        match event:
            case Enter():
                draft.enter(visit.id, visit.zone, event.at, visit.decided_at, resumed=event.resumed)
            case Move():
                draft.move(visit.id, visit.zone, event.at)
            case Exit():
                draft.leave(visit.id, event.at, visit.decided_at)
            case Dwell():
                pass
    return {visitor: draft.finish() for visitor, draft in drafts.items()}
