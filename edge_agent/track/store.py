"""What all beliefs of one store share: its zones, the operator's limits, and what it has taught."""

from __future__ import annotations

from typing import Final

from edge_agent.track.belief import Floor
from edge_agent.track.lessons import Lessons
from edge_agent.track.receivers import Receivers
from edge_agent.track.survey import Survey

__all__ = ["KINDS", "Store"]

# Kinds of evidence that may be left out, to measure what each is worth.
KINDS: Final = frozenset({"time", "level", "side", "trend", "naps", "wifi", "learning"})


class Store:
    """A store as the rule knows it; `survey` and `receivers` change with every visit."""

    def __init__(
        self,
        floor: Floor,
        most_silence: float,
        enter_confidence: float = 0.9,
        *,
        without: frozenset[str] = frozenset(),
    ) -> None:
        """Begin to know a store.

        Args:
            floor: its zones.
            most_silence: the operator's longest silence, seconds.
            enter_confidence: the operator's; from there on a visitor is remembered as inside.
            without: kinds of evidence to leave out.

        Raises:
            ValueError: `without` names a kind that is none of `KINDS`.
        """
        if not without <= KINDS:
            raise ValueError(f"kinds of evidence are {', '.join(sorted(KINDS))}")
        self.floor = floor
        self.most_silence = most_silence
        self.enter_confidence = enter_confidence
        self.survey = Survey()
        self.receivers = Receivers()
        self._without = without
        self._outside = frozenset(
            gateway
            for gateway, zone in floor.zones.items()
            if zone in floor.outside and "side" not in without
        )

    @property
    def sided(self) -> bool:
        """Whether a receiver outside hears who is outside: one that never did says nothing."""
        return not self._outside.isdisjoint(self.receivers.hearing)

    def dump(self) -> Lessons:
        """Give what it has taught, as a value."""
        return Lessons(self.survey.dump(), self.receivers.dump())

    def load(self, lessons: Lessons) -> None:
        """Take up what it had taught before a restart."""
        self.survey.load(lessons.survey)
        self.receivers.load(lessons.receivers)

    def uses(self, kind: str) -> bool:
        """Tell whether a kind of evidence counts."""
        return kind not in self._without
