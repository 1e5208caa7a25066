"""What is known of the store's receivers: how their gains differ, and which of them are deaf.

Somebody stands right beside each gateway at some time of a day, so the level that only one in a
hundred exceeds belongs to about the same distance everywhere; what differs is the receiver.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from edge_agent.model import RadioState
from edge_agent.track.lessons import Radio, ReceiverLessons

__all__ = ["Receivers"]

LOUD_SHARE: Final = 0.99  # of levels lie below the loudest
GAIN_EVERY: Final = 50  # levels
GAIN_PRIOR: Final = 300.0  # levels
WEAK_SHARE: Final = 0.01  # of levels lie below the weakest


class _Receiver:
    """One gateway's radio, over all visitors."""

    __slots__ = ("levels", "loud")

    def __init__(self) -> None:
        self.levels = 0
        self.loud = -70.0  # dBm

    def place(self, level: float) -> None:
        """Follow the quantile; the steps shrink, so that it settles."""
        self.levels += 1
        step = max(0.02, 3.0 / math.sqrt(self.levels))
        self.loud += step * (LOUD_SHARE if level > self.loud else LOUD_SHARE - 1.0)


class Receivers:
    """The radios of a store; bounded by its gateways."""

    def __init__(self) -> None:
        """Begin with none known."""
        self._receivers: dict[str, _Receiver] = {}
        self._gains: dict[str, float] = {}
        self.hearing: set[str] = set()  # gateways that have heard somebody, and are not lost
        self.ever_heard: set[str] = set()
        self._deaf: set[str] = set()
        self.weakest_dbm = -95.0  # what hardly any packet falls below, as the radio says it

    @property
    def gains(self) -> Mapping[str, float]:
        """By how many dB each receiver hears everybody louder than the others do."""
        return self._gains

    def set(self, state: RadioState) -> None:
        """Take in that a receiver of levels was lost or recovered."""
        if not state.radio.startswith("ble"):
            return
        if state.listening:
            self._deaf.discard(state.gateway)
        else:
            self._deaf.add(state.gateway)
            self.hearing.discard(state.gateway)

    def deaf(self, gateway: str) -> bool:
        """Tell whether a receiver is known to be lost."""
        return gateway in self._deaf

    def hear(self, gateway: str, rssi: int) -> None:
        """Take in that somebody was heard."""
        if gateway not in self.hearing:
            self.hearing.add(gateway)
            self.ever_heard.add(gateway)
            self._deaf.discard(gateway)
        below = rssi < self.weakest_dbm
        self.weakest_dbm += 0.2 * (WEAK_SHARE - 1.0) if below else 0.02 * WEAK_SHARE

    def place(self, gateway: str, level: float) -> None:
        """Learn an inside receiver's gain from the level of somebody who is inside, dBm."""
        receiver = self._receivers.get(gateway)
        if receiver is None:
            receiver = self._receivers[gateway] = _Receiver()
        receiver.place(level)
        if receiver.levels % GAIN_EVERY == 0:
            self._compare()

    def _compare(self) -> None:
        """Give each receiver its gain, against all."""
        known = {n: r for n, r in self._receivers.items() if r.levels >= GAIN_EVERY}
        usual = sum(r.loud for r in known.values()) / max(1, len(known))
        for name, r in known.items():
            self._gains[name] = (r.loud - usual) * r.levels / (r.levels + GAIN_PRIOR)

    def dump(self) -> ReceiverLessons:
        """Give what was learnt as a value."""
        inside = {name: Radio(r.levels, r.loud) for name, r in self._receivers.items()}
        return ReceiverLessons(inside, tuple(sorted(self.ever_heard)), self.weakest_dbm)

    def load(self, lessons: ReceiverLessons) -> None:
        """Take up what was dumped. Whether a receiver hears now is not among it."""
        self.ever_heard.update(lessons.heard)
        self.weakest_dbm = lessons.weakest_dbm
        for name, radio in lessons.inside.items():
            receiver = self._receivers[name] = _Receiver()
            receiver.levels, receiver.loud = radio.levels, radio.loud_dbm
        self._compare()
