"""What to send when, and when it is done: the delivery policy without I/O (DESIGN section 7).

    committed --sendable--> in flight --PUBACK--> with the broker --watermark--> delivered

PUBACK only paces the sending: a broker may lose what it has accepted. A row is done when the hub's
watermark has passed it. Without progress of the watermark everything beyond it is sent again
(go-back-N), ever more patiently. `now` is any monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from edge_agent.publish.contract import Acknowledgement

__all__ = ["AHEAD", "STALL_S", "WINDOW", "Delivery", "Watermark"]

WINDOW: Final = 100  # publishes in flight, unless the broker wants fewer
AHEAD: Final = 1000  # rows beyond the watermark
STALL_S: Final = 2.0
_MOST_PATIENT_S: Final = 60.0


class Watermark(Enum):
    """What an acknowledgement meant."""

    IGNORED = auto()  # of another epoch, of an older incarnation of the hub, or nothing new
    ADVANCED = auto()
    LOWERED = auto()  # a hub restored from a backup: what it forgot is sent again
    IMPOSSIBLE = (
        auto()
    )  # above what was ever sent: this outbox is an old copy, and a new epoch is due


class Delivery:
    """The sender's half of the protocol, for one epoch."""

    def __init__(self, epoch: str, *, highest: int, watermark: int = 0, hub: int = 0) -> None:
        """Begin with what the outbox holds: its highest seq and the last watermark."""
        self.epoch = epoch
        self.watermark = watermark
        self.highest = highest
        self.hub = hub
        self._next = watermark + 1
        self._window = 0  # not connected
        self._in_flight: set[int] = set()
        self._stalls_at: float | None = None
        self._patience = STALL_S
        self._blocked = False  # by a refused publish
        self._refused: int | None = None

    @property
    def outstanding(self) -> int:
        """How many rows the hub has not confirmed."""
        return self.highest - self.watermark

    @property
    def window(self) -> int:
        """How many publishes may be in flight on this connection; 0 without one."""
        return self._window

    @property
    def in_flight(self) -> int:
        """How many publishes the broker has not acknowledged."""
        return len(self._in_flight)

    @property
    def refused_seq(self) -> int | None:
        """The lowest seq that the broker has refused and not taken since."""
        return self._refused

    @property
    def deadline(self) -> float | None:
        """When `advance` has something to do, or None."""
        return self._stalls_at if self._window else None

    def connected(self, receive_maximum: int) -> None:
        """A fresh connection: nothing is in flight on it, and everything unconfirmed is due."""
        self._window = max(1, min(WINDOW, receive_maximum))
        self._in_flight.clear()
        self._next = self.watermark + 1
        self._patience = STALL_S
        self._stalls_at = None
        self._blocked = False

    def disconnected(self) -> None:
        """Nothing can be sent any more."""
        self._window = 0
        self._in_flight.clear()

    def committed(self, highest: int) -> None:
        """The outbox holds events up to `highest` now."""
        self.highest = max(self.highest, highest)

    def sendable(self, now: float, taken: int = 0) -> Iterator[int]:
        """Give the seqs to publish now, in order; each counts as in flight once given.

        Args:
            now: seconds.
            taken: how much of the window is taken by other publishes.
        """
        while len(self._in_flight) + taken < self._window and not self._blocked:
            while self._next in self._in_flight:
                self._next += 1
            if self._next > min(self.highest, self.watermark + AHEAD):
                return
            seq = self._next
            self._next += 1
            self._in_flight.add(seq)
            if self._stalls_at is None:
                self._stalls_at = now + self._patience
            yield seq

    def puback(self, seq: int) -> None:
        """The broker has taken a publish."""
        self._in_flight.discard(seq)
        if seq == self._refused:
            self._refused = None

    def refused(self, seq: int, now: float) -> None:
        """The broker refused a publish: nothing may overtake it, so go back to it, later."""
        self._in_flight.discard(seq)
        if seq > self.watermark:
            self._refused = seq if self._refused is None else min(seq, self._refused)
        if not self._blocked:  # a window of refusals has one reason, and costs patience once
            self._blocked = True
            self._lose_patience(now)

    def skipped(self) -> None:
        """What was refused has been replaced: go back to it at once."""
        self._refused = None
        self._blocked = False
        self._next = self.watermark + 1

    def acknowledged(self, ack: Acknowledgement, now: float) -> Watermark:
        """Take in the hub's watermark."""
        if ack.epoch != self.epoch or ack.hub < self.hub:
            return Watermark.IGNORED
        # What the broker has not acknowledged stays in flight: its Receive Maximum counts it.
        if ack.seq > self.highest:
            return Watermark.IMPOSSIBLE
        newer, self.hub = ack.hub > self.hub > 0, ack.hub
        if ack.seq <= self.watermark and not newer:
            return Watermark.IGNORED
        lowered = ack.seq < self.watermark
        self.watermark = ack.seq
        if self._refused is not None and self._refused <= ack.seq:
            self._refused = None
        self._next = ack.seq + 1 if lowered else max(self._next, ack.seq + 1)
        self._patience = STALL_S
        self._blocked = self._blocked and self._next > self.watermark + 1
        self._stalls_at = now + STALL_S if self._next > self.watermark + 1 else None
        return Watermark.LOWERED if lowered else Watermark.ADVANCED

    def advance(self, now: float) -> None:
        """Go back when the watermark has not moved for too long."""
        if self._stalls_at is None or now < self._stalls_at:
            return
        self._next = self.watermark + 1
        self._blocked = False
        self._lose_patience(now)
        if self.highest == self.watermark:
            self._stalls_at = None

    def _lose_patience(self, now: float) -> None:
        self._patience = min(_MOST_PATIENT_S, 2 * self._patience)
        self._stalls_at = now + self._patience
