"""Faults of the disk: every scenario of the outbox and the card it lies on."""

from __future__ import annotations

from typing import Final

from simulators.fault_matrix import storage_power
from simulators.fault_matrix.scenario import Scenario

__all__ = ["SCENARIOS"]

SCENARIOS: Final[tuple[Scenario, ...]] = (*storage_power.SCENARIOS,)
