"""How one visitor's claims compare with the truth about her.

The truth often knows a crossing only as a window. She was *surely* inside from the end of her
entering window to the beginning of her leaving window, and *possibly* from the beginning of the
first to the end of the second; a claim is wrong only if the whole window contradicts it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulators.score.claims import ClaimedMove, ClaimedVisit, Claims, Spell
from simulators.truth import PassBy, PassThrough, TrueVisit, Window

__all__ = ["Facts", "Presence", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Presence:
    """One true visit as the four times that matter; unbounded where the truth is."""

    possibly_from: float
    surely_from: float
    surely_until: float
    possibly_until: float

    @classmethod
    def between(cls, entered: Window | None, exited: Window | None) -> Presence:
        """Read the two crossings; None is before or after the trace."""
        return cls(
            possibly_from=entered.lo if entered else -math.inf,
            surely_from=entered.hi if entered else -math.inf,
            surely_until=exited.lo if exited else math.inf,
            possibly_until=exited.hi if exited else math.inf,
        )

    def shared(self, begins: float, ends: float) -> float:
        """How long she possibly was inside during [begins, ends]; negative is how far apart."""
        return min(self.possibly_until, ends) - max(self.possibly_from, begins)


@dataclass(frozen=True, slots=True)
class Facts:
    """The truth about one visitor, visits in order of time."""

    visits: Sequence[TrueVisit]
    passes: Sequence[PassBy]
    ignore: Sequence[PassThrough]
    duration: float

    def within(self, begins: float, ends: float) -> float:
        """How many seconds of [begins, ends] lie in the trace."""
        return max(min(ends, self.duration) - max(begins, 0.0), 0.0)

    @property
    def presences(self) -> list[Presence]:
        """Each visit's times."""
        return [Presence.between(visit.entered, visit.exited) for visit in self.visits]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One visitor's share of the score; times in seconds."""

    missed: int
    merged: int
    phantom: int
    false_exits: int
    passes_entered: int
    spurious_moves: int
    enter_latency: Sequence[float]
    exit_latency: Sequence[float]
    dwell_error: Sequence[float]


def judge(facts: Facts, claims: Claims, tolerance: float) -> Verdict:
    """Compare; see `simulators.score` for what each number means."""
    passed = [_passes_of(facts, visit, tolerance) for visit in claims.visits]
    owners = [_owner(facts, visit) for visit in claims.visits]
    noticed = [
        any(presence.shared(*_extent(visit, facts)) >= 0 for visit in claims.visits)
        for presence in facts.presences
    ]
    return Verdict(
        missed=noticed.count(False),
        merged=sum(seen and number not in owners for number, seen in enumerate(noticed)),
        phantom=sum(
            not passes and _is_phantom(facts, visit, tolerance)
            for passes, visit in zip(passed, claims.visits, strict=True)
        ),
        false_exits=sum(_is_false_exit(facts, spell, tolerance) for spell in claims.spells),
        passes_entered=len(set[int]().union(*passed)),
        spurious_moves=sum(_is_spurious(facts, move, tolerance) for move in claims.moves),
        enter_latency=list(_enter_latencies(facts, claims, tolerance)),
        exit_latency=list(_exit_latencies(facts, claims, tolerance)),
        dwell_error=list(_dwell_errors(facts, claims, owners)),
    )


def _extent(visit: ClaimedVisit, facts: Facts) -> tuple[float, float]:
    return visit.begins, facts.duration if visit.ends is None else visit.ends


def _owner(facts: Facts, visit: ClaimedVisit) -> int | None:
    """Which true visit a claimed one tells of: that which it shares most time with."""
    shares = [presence.shared(*_extent(visit, facts)) for presence in facts.presences]
    best = max(range(len(shares)), key=shares.__getitem__, default=None)
    return best if best is not None and shares[best] >= 0 else None


def _is_phantom(facts: Facts, visit: ClaimedVisit, tolerance: float) -> bool:
    extent = _extent(visit, facts)
    return all(presence.shared(*extent) < -tolerance for presence in facts.presences)


def _passes_of(facts: Facts, visit: ClaimedVisit, tolerance: float) -> set[int]:
    """Which of her walks past the store this visit was opened for."""
    first = visit.spells[0]
    if any(p.shared(first.entered_at, first.enter_decided_at) >= 0 for p in facts.presences):
        return set()
    return {
        number
        for number, walk in enumerate(facts.passes)
        if first.enter_decided_at >= walk.begins - tolerance
        and first.entered_at <= walk.ends + tolerance
    }


def _is_false_exit(facts: Facts, spell: Spell, tolerance: float) -> bool:
    """Whether she was inside all the time from the exit's date until it was decided, and after.

    The tolerance lies behind the decision only: an exit decided just before she left is early,
    not false, but one dated just after she came in is no less wrong for being quick.
    """
    if spell.exited_at is None or spell.exit_decided_at is None:
        return False
    return any(
        presence.surely_from <= spell.exited_at
        and spell.exit_decided_at + tolerance < presence.surely_until
        for presence in facts.presences
    )


def _is_spurious(facts: Facts, move: ClaimedMove, tolerance: float) -> bool:
    stays = [stay for visit in facts.visits for stay in visit.stays]
    if not stays:
        return False
    crossed = [(p.zone, p.begins, p.ends) for p in facts.ignore]
    for stay in stays:
        presence = Presence.between(stay.entered, stay.exited)
        crossed.append((stay.zone, presence.possibly_from, presence.possibly_until))
    return not any(
        zone == move.zone and begins - tolerance <= move.at <= ends + tolerance
        for zone, begins, ends in crossed
    )


def _enter_latencies(facts: Facts, claims: Claims, tolerance: float) -> Iterator[float]:
    """Time the first enter of each true visit, unless a spell ran on from before it."""
    for visit, presence in zip(facts.visits, facts.presences, strict=True):
        if visit.entered is None:
            continue
        earliest = presence.possibly_from - tolerance
        if any(
            spell.enter_decided_at < earliest
            and (spell.exited_at is None or spell.exited_at >= presence.surely_from)
            for spell in claims.spells
        ):
            continue
        for spell in claims.spells:
            if earliest <= spell.enter_decided_at <= presence.possibly_until + tolerance:
                sent = visit.first_receivable
                yield (
                    _signed(visit.entered, spell.enter_decided_at)
                    if sent is None
                    else spell.enter_decided_at - sent
                )
                break


def _exit_latencies(facts: Facts, claims: Claims, tolerance: float) -> Iterator[float]:
    """Time the exit that ended each true visit, unless it was false or never came."""
    followers = [presence.surely_from for presence in facts.presences[1:]] + [math.inf]
    for visit, presence, back in zip(facts.visits, facts.presences, followers, strict=False):
        if visit.exited is None:
            continue
        for spell in claims.spells:
            if spell.exited_at is None or spell.exit_decided_at is None:
                continue
            if (
                spell.exit_decided_at >= presence.surely_until - tolerance
                and spell.exited_at <= back
                and spell.enter_decided_at <= presence.possibly_until + tolerance
            ):
                yield _signed(visit.exited, spell.exit_decided_at)
                break


def _dwell_errors(facts: Facts, claims: Claims, owners: Sequence[int | None]) -> Iterator[float]:
    """Hold all that was claimed for a true visit against how long it may have lasted.

    Both are cut at the trace's ends. A true visit claimed in three pieces is one case: their sum.
    """
    claimed: dict[int, float] = {}
    for visit, owner in zip(claims.visits, owners, strict=True):
        if owner is not None:
            begins, ends = _extent(visit, facts)
            claimed[owner] = claimed.get(owner, 0.0) + max(ends - begins, 0.0)
    for owner, seconds in claimed.items():
        presence = facts.presences[owner]
        shortest = facts.within(presence.surely_from, presence.surely_until)
        longest = facts.within(presence.possibly_from, presence.possibly_until)
        yield Window(lo=shortest, hi=longest).distance(seconds)


def _signed(window: Window, at: float) -> float:
    """How late after the window; negative before it, 0 inside."""
    return max(at - window.hi, 0.0) - max(window.lo - at, 0.0)
