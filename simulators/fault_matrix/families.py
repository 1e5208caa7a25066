"""All scenarios: of every module of this package that has a tuple `SCENARIOS`.

A family is named after its modules, up to the first underscore (`storage_pages` is of `storage`).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import simulators.fault_matrix as package
from simulators.fault_matrix.scenario import Scenario

__all__ = ["FAMILIES", "Named"]


@dataclass(frozen=True, slots=True)
class Named:
    """A scenario and its family."""

    family: str
    scenario: Scenario

    @property
    def name(self) -> str:
        """As the table calls it."""
        return self.scenario.name


def _found() -> Iterator[Named]:
    for module in pkgutil.iter_modules(package.__path__):
        if module.name in ("__main__", "command", "families"):
            continue
        scenarios = getattr(
            importlib.import_module(f"{package.__name__}.{module.name}"), "SCENARIOS", ()
        )
        for scenario in scenarios:
            yield Named(module.name.partition("_")[0], scenario)


FAMILIES: Final = tuple(_found())
