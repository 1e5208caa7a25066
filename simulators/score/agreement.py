"""Crossings matched one to one, and the time in each zone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from simulators.score.claims import Claims
from simulators.score.judge import Facts, Presence
from simulators.score.result import Agreement
from simulators.truth import Window

__all__ = ["crossings", "zone_time"]


def crossings(facts: Facts, claims: Claims, tolerance: float) -> Agreement:
    """Match the published enters and exits with the true ones, by the time of the event.

    Every enter and exit counts as it was published, also one that was taken back later. The
    enter of a visitor who was inside when the trace began is not a crossing.
    """
    enters = [spell.entered_at for spell in claims.spells]
    first = facts.presences[0] if facts.presences else None
    if enters and first and facts.visits[0].entered is None and enters[0] <= first.surely_until:
        del enters[0]
    exits = [spell.exited_at for spell in claims.spells if spell.exited_at is not None]
    entered = [visit.entered for visit in facts.visits if visit.entered]
    exited = [visit.exited for visit in facts.visits if visit.exited]
    return Agreement(
        right=_matches(entered, enters, tolerance) + _matches(exited, exits, tolerance),
        claimed=len(enters) + len(exits),
        true=len(entered) + len(exited),
    )


def _matches(true: Sequence[Window], claimed: Sequence[float], tolerance: float) -> int:
    """Count pairs, each true crossing taking the earliest claim that is left and near enough."""
    left = sorted(claimed)
    matched = 0
    for window in sorted(true, key=lambda window: window.hi):
        near = next((at for at in left if window.distance(at) <= tolerance), None)
        if near is not None:
            left.remove(near)
            matched += 1
    return matched


def zone_time(facts: Facts, claims: Claims) -> Agreement:
    """Compare zone with zone, second by second.

    Weighing by time needs no threshold for how well a stay must be hit to count, and what it is
    blind to (a flap of a few seconds) is counted by itself as a spurious move. Seconds in which
    the truth is not sure, while she was crossing or passing through, are left out.
    """
    stays = [
        (stay.zone, Presence.between(stay.entered, stay.exited))
        for visit in facts.visits
        for stay in visit.stays
    ]
    if not stays:
        return Agreement(0, 0, 0)
    said = [claim for spell in claims.spells for claim in spell.zone_claims(facts.duration)]
    edges = {0.0, facts.duration}
    for _zone, presence in stays:
        edges |= {presence.possibly_from, presence.surely_from}
        edges |= {presence.surely_until, presence.possibly_until}
    for passing in facts.ignore:
        edges |= {passing.begins, passing.ends}
    for claim in said:
        edges |= {claim.begins, claim.ends}
    right = claimed = true = 0.0
    for begins, ends in pairwise(sorted(edge for edge in edges if 0 <= edge <= facts.duration)):
        moment = (begins + ends) / 2
        if _is_unsure(facts, stays, moment):
            continue
        there = next((zone for zone, p in stays if p.surely_from <= moment < p.surely_until), None)
        told = next((claim.zone for claim in said if claim.begins <= moment < claim.ends), None)
        claimed += (ends - begins) * (told is not None)
        true += (ends - begins) * (there is not None)
        right += (ends - begins) * (told is not None and told == there)
    return Agreement(right, claimed, true)


def _is_unsure(facts: Facts, stays: Sequence[tuple[str, Presence]], at: float) -> bool:
    crossing = any(
        p.possibly_from <= at < p.surely_from or p.surely_until <= at < p.possibly_until
        for _zone, p in stays
    )
    return crossing or any(passing.begins <= at < passing.ends for passing in facts.ignore)
