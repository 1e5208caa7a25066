"""What a scenario of the fault matrix is, and what it gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from simulators.fault_oracle import Findings

__all__ = ["Length", "Scenario", "Verdict"]


class Length(StrEnum):
    """How much of a scenario is run."""

    SHORT = "short"  # for CI: the same fault, fewer times
    LONG = "long"


@dataclass(slots=True)
class Verdict:
    """What came of a scenario."""

    committed: int = 0  # events that the outbox numbered
    declared: int = 0  # of those, covered by tombstones
    applied: int = 0  # events that the hub applied
    injected: int = 0  # how often the fault was made
    findings: Findings = field(default_factory=Findings)
    broken: list[str] = field(default_factory=list)  # promises beside the oracle's, in words
    note: str = ""  # a figure that is worth telling

    @property
    def kept(self) -> bool:
        """Whether every promise was kept; a fault that never happened proves none."""
        return self.findings.clean and not self.broken and self.injected > 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault, made in a folder of its own that is empty at the start."""

    name: str  # as the table calls it
    run: Callable[[Path, Length, int], Awaitable[Verdict]]  # folder, length, seed
