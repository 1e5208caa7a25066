"""What no rule could have done better: what the radios never told anybody.

*Unreceivable*: a visit of which no indoor gateway could receive one packet and the Wi-Fi heard
nothing. *Silent*: a stretch inside, longer than the operator allows a silence to be, through which
nothing at all was heard of her: whoever keeps that promise exits, and the exit is false.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from edge_agent.model import Sighting
from simulators.contest.cases import Case, Kind
from simulators.score import Claims
from simulators.score.judge import Presence
from simulators.truth import TrueVisit

__all__ = ["Physics", "missed"]


@dataclass(frozen=True, slots=True)
class Physics:
    """How many visits and silences of some cases are beyond any rule."""

    visits: int
    unreceivable: int
    silent: int
    hours: float

    @classmethod
    def of(cls, case: Case) -> Physics:
        """Look through a case's evidence."""
        heard = _heard(case)
        presences = [Presence.between(v.entered, v.exited) for v in case.truth.visits]
        return cls(
            visits=len(presences),
            unreceivable=len(unreceivable(case)),
            silent=sum(
                _silences(heard.get(visit.visitor, []), presence, case)
                for visit, presence in zip(case.truth.visits, presences, strict=True)
            ),
            hours=case.truth.duration / 3600.0,
        )

    def __add__(self, other: Physics) -> Physics:
        return Physics(
            self.visits + other.visits,
            self.unreceivable + other.unreceivable,
            self.silent + other.silent,
            self.hours + other.hours,
        )


def unreceivable(case: Case) -> frozenset[int]:
    """Give the numbers of the visits that left no trace inside; only a simulation knows."""
    if case.kind is not Kind.STORE:
        return frozenset()
    on_wifi = _heard(case, "wifi", "portal")

    def silent(visit: TrueVisit) -> bool:
        presence = Presence.between(visit.entered, visit.exited)
        times = on_wifi.get(visit.visitor, [])
        return not _within(times, presence.possibly_from, presence.possibly_until)

    visits = enumerate(case.truth.visits)
    return frozenset(n for n, visit in visits if visit.first_receivable is None and silent(visit))


def missed(case: Case, claims: Mapping[str, Claims]) -> frozenset[int]:
    """Give the numbers of the visits that no claimed visit overlaps, as the score counts them."""
    duration = case.truth.duration

    def noticed(visit: TrueVisit) -> bool:
        presence = Presence.between(visit.entered, visit.exited)
        return any(
            presence.shared(told.begins, duration if told.ends is None else told.ends) >= 0
            for told in claims.get(visit.visitor, Claims()).visits
        )

    return frozenset(n for n, visit in enumerate(case.truth.visits) if not noticed(visit))


def _heard(case: Case, *sources: str) -> Mapping[str, list[float]]:
    """Give when each visitor was heard, by any source or by these."""
    heard: dict[str, list[float]] = defaultdict(list)
    for one in case.evidence:
        if not isinstance(one, Sighting) or not one.sign.present:
            continue
        if not sources or one.method.source in sources:
            heard[one.visitor].append(one.at)
    return heard


def _within(times: list[float], begins: float, ends: float) -> list[float]:
    return times[bisect_left(times, begins) : bisect_right(times, ends)]


def _silences(times: list[float], presence: Presence, case: Case) -> int:
    """Count the silences through which she surely was inside, from one sighting to the next.

    The last one ends with her leaving; as in the score, it is false only if it was decided more
    than the tolerance before.
    """
    longest = case.exit_after_at_most
    ends = min(presence.surely_until, case.truth.duration)
    inside = _within(times, presence.surely_from, ends)
    if not inside:
        return 0
    between = sum(after - before > longest for before, after in pairwise(inside))
    left_unheard = presence.surely_until <= case.truth.duration
    return between + (left_unheard and ends - inside[-1] > longest + case.tolerance)
