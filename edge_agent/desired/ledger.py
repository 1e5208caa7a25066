"""Which configuration of the hub's is in force: the pure machine.

    state        on                                             goes to
    -----------  ---------------------------------------------  -----------
    applied      a newer version                                probation
    probation    proof: all at once for a tenth of the time     applied
    probation    time is up without proof                       reverted
    probation    the fourth start without proof                 reverted
    probation    a start in another boot: the power was cut     reverted
    any          the hub commands it                            reverted
    reverted     a newer version                                probation

Version 0 is the gateway's file alone. `newest` only grows: what is not newer is refused, and so a
version that was reverted is never tried again. Times are boot-clock seconds, which mean nothing in
another boot, and need not: there a probation is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import JsonValue

__all__ = ["Ledger", "Overlay", "Probation", "Reverted", "Trial", "Vitals"]

MOST_STARTS: Final = 3  # below systemd's five in ten seconds, after which it gives up
PROOF_SHARE: Final = 0.1  # of the probation that everything must be well for


@dataclass(frozen=True, slots=True)
class Overlay:
    """One version of what the hub desires."""

    version: int = 0
    values: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """An overlay that has to prove itself."""

    overlay: Overlay
    boot: str
    began_at: float
    lasts: float
    listened: bool  # a source was listening before: then one must again
    starts: int = 0

    @property
    def ends_at(self) -> float:
        """When time is up."""
        return self.began_at + self.lasts


@dataclass(frozen=True, slots=True)
class Reverted:
    """The last version that was given up, and why."""

    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """What must outlive a restart."""

    newest: int = 0
    good: Overlay = field(default_factory=Overlay)
    before: Overlay = field(default_factory=Overlay)  # the good one before it
    trial: Trial | None = None
    reverted: Reverted | None = None
    since: float | None = None  # Unix time of the last transition, where the clock was set

    @property
    def in_force(self) -> Overlay:
        """What lies over the file."""
        return self.good if self.trial is None else self.trial.overlay

    @property
    def state(self) -> str:
        """As the hub is told."""
        if self.trial is not None:
            return "probation"
        return "applied" if self.reverted is None else "reverted"

    def offered(self, overlay: Overlay, trial: Trial | None, unix: float | None) -> Ledger:
        """Take a newer version up, on trial or, where it changes nothing, at once."""
        if trial is None:
            return Ledger(overlay.version, overlay, self.good, since=unix)
        return replace(self, newest=overlay.version, trial=trial, reverted=None, since=unix)

    def started(self, boot: str, now: float, unix: float | None) -> Ledger:
        """The agent starts; on trial this is one of few."""
        trial = self.trial
        if trial is None:
            return self
        if trial.boot != boot:
            return self.revert("the gateway lost its power, or restarted, on probation", unix)
        if now >= trial.ends_at:
            return self.revert("the agent was not back in time", unix)
        if trial.starts >= MOST_STARTS:
            return self.revert(f"the agent started {MOST_STARTS} times without proof", unix)
        return replace(self, trial=replace(trial, starts=trial.starts + 1))

    def proved(self, unix: float | None) -> Ledger:
        """What was on trial has proved itself."""
        if self.trial is None:
            return self
        return Ledger(self.newest, self.trial.overlay, self.good, since=unix)

    def revert(self, reason: str, unix: float | None) -> Ledger:
        """Go back: from a trial to what was good, else to the good one before, or the file."""
        gone = Reverted(self.in_force.version, reason)
        if self.trial is not None:
            return replace(self, trial=None, reverted=gone, since=unix)
        return Ledger(self.newest, self.before, reverted=gone, since=unix)


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the agent is, for judging a trial."""

    connected: bool
    listening: bool
    delivering: bool  # a watermark has come in this life, or nothing waits for one


class Probation:
    """Watches over one trial in this life."""

    def __init__(self, trial: Trial) -> None:
        """Begin to watch."""
        self._trial = trial
        self._well_since: float | None = None
        self._missing = "nothing was looked at"

    def look(self, vitals: Vitals, now: float) -> bool:
        """Take a look; tells whether all has been well for long enough."""
        lacks = {
            "no connection to the broker": vitals.connected,
            "no radio that listens": vitals.listening or not self._trial.listened,
            "no acknowledgement of the hub's": vitals.delivering,
        }
        missing = [what for what, well in lacks.items() if not well]
        if missing:
            self._missing = " and ".join(missing)
            self._well_since = None
            return False
        if self._well_since is None:
            self._well_since = now
        return now - self._well_since >= self._trial.lasts * PROOF_SHARE

    def unstored(self) -> None:
        """All was well, but the outbox took nothing: it does not count."""
        self._missing, self._well_since = "an outbox that stores nothing", None

    def failure(self, now: float) -> str | None:
        """Say why it has failed, once time is up."""
        if now < self._trial.ends_at:
            return None
        if self._well_since is not None:
            return "it was not well for long enough"
        return f"not proved in time: {self._missing}"
