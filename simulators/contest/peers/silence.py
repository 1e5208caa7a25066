"""The rules that only wait: fixed silences, and silences learned from the phone.

They have no notion of zones, so an outside receiver hears her like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from simulators.contest.peers.heard import Flags, Heard, Signal, Site, Stretch, stretches

__all__ = ["Monitor", "Silence"]

NO_GATE: Final = -200.0  # dBm


@dataclass(frozen=True, slots=True)
class Silence:
    """Enter at a sighting of `enters_dbm` or more; exit after a silence."""

    name: str
    published_s: float
    enters_dbm: float = NO_GATE
    keeps_dbm: float = NO_GATE
    scans_s: float = 0.0  # listens so long, then sleeps as long; 0: always
    visit_at_least_s: float = 0.0  # until then nothing is told

    def listen(self, heard: Heard, site: Site) -> Signal:  # noqa: ARG002 - the seam
        """Hold the levels against the gates; where there is no level, there is no gate."""
        passes = np.isnan(heard.rssi)
        enters, keeps = (
            passes | (heard.rssi >= self.enters_dbm),
            passes | (heard.rssi >= self.keeps_dbm),
        )
        if self.scans_s:
            # The scan is Bluetooth's; what the Wi-Fi heard it heard all the same.
            awake = ~heard.ble | (heard.at % (2 * self.scans_s) < self.scans_s)
            enters, keeps = enters & awake, keeps & awake
        return Signal(heard.at, enters, keeps, _none(heard), heard.gateway)

    def stretches(self, signal: Signal, timeout: float) -> Iterable[Stretch]:
        """Cut where she was silent for longer than the timeout."""
        found = stretches(signal, signal.at + timeout)
        if not self.visit_at_least_s:
            return found
        return [known for one in found if (known := self._known(signal, one))]

    def _known(self, signal: Signal, one: Stretch) -> Stretch | None:
        """Tell of a visit from when it has lasted long enough; None if it never has."""
        kept = signal.at[one.begins : one.ends + 1][signal.keeps[one.begins : one.ends + 1]]
        long_enough = kept[kept >= one.entered_at + self.visit_at_least_s]
        return replace(one, known_at=float(long_enough[0])) if len(long_enough) else None


@dataclass(frozen=True, slots=True)
class Monitor:
    """`monitor`: twice the longest interval learned where that is 45 to 240 s, else 240 s."""

    name: str = "monitor"
    published_s: float = 240.0

    LEAST: Final = 45.0 / 240.0  # of the timeout

    def listen(self, heard: Heard, site: Site) -> Signal:  # noqa: ARG002 - the seam
        """Take every sighting."""
        every = np.ones(len(heard.at), dtype=np.bool_)
        return Signal(heard.at, every, every, _none(heard), heard.gateway)

    def stretches(self, signal: Signal, timeout: float) -> Iterable[Stretch]:
        """Learn from intervals, not from absences: no longer one than the timeout is kept."""
        gaps = np.diff(signal.at, prepend=signal.at[0])
        doubled = 2.0 * np.maximum.accumulate(np.where(gaps <= timeout, gaps, 0.0))
        usable = (doubled >= self.LEAST * timeout) & (doubled <= timeout)
        return stretches(signal, signal.at + np.where(usable, doubled, timeout))


def _none(heard: Heard) -> Flags:
    return np.zeros(len(heard.at), dtype=np.bool_)
