"""What a check of the gateway found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "State"]


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WAIT = "wait"  # nothing can be said yet, and nothing need be done
    ACT = "act"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a technician reads: a line, and where it helps a line of what to do."""

    check: str  # which one found it
    state: State
    about: str  # a gateway, a file
    says: str
    advice: str = ""  # what to do

    def __str__(self) -> str:
        advice = f"\n     -> {self.advice}" if self.advice else ""
        return f"{self.state.value:<4} {self.check}, {self.about}: {self.says}{advice}"
