"""What a store has taught, as plain values: sums and counts, and nobody in particular.

They outlive the daemon (`survey_file`), and say how well its gateways are placed (`doctor`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Lesson", "Lessons", "Radio", "ReceiverLessons", "SurveyLessons"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A normal distribution that was learnt, of levels in dBm or of differences in dB."""

    worth: float  # in samples, the prior's among them
    mean: float
    variance: float  # dB squared


@dataclass(frozen=True, slots=True)
class SurveyLessons:
    """What a `Survey` knows."""

    spreads: Mapping[str, Lesson]  # by name
    naps: Mapping[str, tuple[tuple[float, float], ...]]  # by kind of phone: reached, ended
    visits: float  # of steady phones, the prior's among them
    passings: float


@dataclass(frozen=True, slots=True)
class Radio:
    """One receiver inside: of how many levels, and how loud whoever is beside it is."""

    levels: int
    loud_dbm: float


@dataclass(frozen=True, slots=True)
class ReceiverLessons:
    """What `Receivers` know; not which of them hears at present."""

    inside: Mapping[str, Radio]  # by gateway
    heard: tuple[str, ...]  # gateways that ever heard somebody
    weakest_dbm: float


@dataclass(frozen=True, slots=True)
class Lessons:
    """All that outlives those from whom it was learnt."""

    survey: SurveyLessons
    receivers: ReceiverLessons
