"""The seam where a decision rule goes: what is believed of one visitor, and for how long.

A rule is a class whose instances, one a visitor, are told every sighting of her and answer the
questions of `Belief`. It has no clock and does no I/O: time is in the sightings. Everything about
visits (events, milestones, resumption, lost radios) is the tracker's and the same for every rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edge_agent.model import ExitReason, RadioState, Sighting

__all__ = ["Belief", "Departure", "Floor", "Rule"]


@dataclass(frozen=True, slots=True)
class Floor:
    """Which zone each gateway hears, and which zones are outside."""

    zones: dict[str, str]  # gateway -> zone
    outside: frozenset[str]  # zones that are no presence


@dataclass(frozen=True, slots=True)
class Departure:
    """She is gone unless heard again before `at`; the visit then ended with `reason`."""

    at: float
    reason: ExitReason


class Belief(Protocol):
    """What is believed of one visitor."""

    since: float  # first evidence of the present stretch inside
    last: float  # last evidence that she was inside; never moves back within a stretch
    moved_at: float  # when the present zone took the lead
    zone: str | None  # the inside zone she is in; None while she is outside or nowhere

    @property
    def confidence(self) -> float:
        """Probability that she is inside, as of the last evidence."""

    def hear(self, sighting: Sighting) -> None:
        """Take one sighting in; an older one than the newest must not move time back."""

    @property
    def least_patience(self) -> float:
        """Seconds of silence below which `patience` need not be asked: asked often, so cheap."""

    @property
    def patience(self) -> float:
        """Seconds of silence after `last`, counted while somebody listened, that mean she left."""

    @property
    def departure(self) -> Departure | None:
        """Evidence of leaving that is not silence, or None."""

    def gone(self, silence: float) -> float:
        """Probability that she has left, after `silence` counted seconds or by the departure."""

    def leave(self, *, cut_short: bool = False) -> None:
        """The visit was ended, or she is forgotten: nothing collected speaks for her any more.

        `cut_short`: not because she was believed to have left.
        """

    def explain(self) -> Mapping[str, float]:
        """Give what the belief rests on, by name, for people."""


class Rule(Protocol):
    """Makes beliefs."""

    def meet(self, sighting: Sighting) -> Belief:
        """Begin a belief with its first sighting, already heard."""

    def recall(self, zone: str, last: float) -> Belief:
        """Begin the belief of a visitor whose visit was open when the agent stopped."""

    def listen(self, state: RadioState) -> None:
        """Take in that a receiver was lost or recovered."""
