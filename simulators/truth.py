"""Ground truth: who really was where, in the seconds of the trace it belongs to.

A truth file is one JSON object beside a trace. Recordings give a crossing as a window (somebody
wrote a clock time down), simulators and light barriers as an instant: a window of no width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Window(_Record):
    """Something happened in [`lo`, `hi`], seconds since the trace began."""

    lo: float
    hi: float

    @classmethod
    def at(cls, instant: float) -> Self:
        """Name an instant that is known exactly."""
        return cls(lo=instant, hi=instant)

    def distance(self, at: float) -> float:
        """How far `at` lies outside the window, in seconds; 0 inside."""
        return max(self.lo - at, at - self.hi, 0.0)


class Stay(_Record):
    """A visitor was in `zone`; None means since before the trace, or until after it."""

    zone: str
    entered: Window | None
    exited: Window | None


class TrueVisit(_Record):
    """One visit.

    `first_receivable` is when the first advertisement was sent that is BLE evidence of it: while
    she was inside, and strong enough for an indoor gateway that was not deaf. None where that is
    not known, or where there was no such advertisement: a phone on the store's Wi-Fi may still be
    known by its association, which may also come before her first advertisement.
    """

    visitor: str
    entered: Window | None
    exited: Window | None
    first_receivable: float | None = None
    stays: tuple[Stay, ...] = ()


class PassBy(_Record):
    """A member walked past outside and never came in."""

    visitor: str
    begins: float
    ends: float


class Fixture(_Record):
    """A member's tag lies in `zone` for the whole trace, and nobody is with it.

    What is claimed about it is neither right nor wrong.
    """

    visitor: str
    zone: str


class PassThrough(_Record):
    """A visitor crossed `zone` on her way, somewhere in this time: neither right nor wrong."""

    visitor: str
    zone: str
    begins: float
    ends: float


class Truth(_Record):
    """All that is known about one trace of `duration` seconds, which began at `started_at`."""

    truth: int = Field(default=1, ge=1, le=1)
    started_at: AwareDatetime | None = None
    duration: float
    visits: tuple[TrueVisit, ...]
    passers_by: tuple[PassBy, ...] = ()
    ignore: tuple[PassThrough, ...] = ()
    fixtures: tuple[Fixture, ...] = ()

    def until(self, at: float) -> Self:
        """Give what was true of the part of the trace before `at`, seconds."""

        def cut(window: Window | None) -> Window | None:
            return None if window is None or window.lo > at else window

        return self.model_copy(
            update={
                "duration": min(self.duration, at),
                "visits": tuple(
                    visit.model_copy(update={"exited": cut(visit.exited), "stays": ()})
                    for visit in self.visits
                    if visit.entered is None or visit.entered.hi <= at
                ),
                "passers_by": tuple(walk for walk in self.passers_by if walk.begins <= at),
            }
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Load a truth file; raises `pydantic.ValidationError` with the place of the fault."""
        return cls.model_validate_json(path.read_bytes())

    def write(self, path: Path) -> None:
        """Store as JSON, one object."""
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
