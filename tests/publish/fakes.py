"""Two cores joined by a fake link: `Delivery`, and a hub that keeps the contract's rules."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.delivery import AHEAD, WINDOW, Delivery, Watermark

EPOCH = "6f0c"


@dataclass
class FakeHub:
    """Applies `cursor + 1`, drops what it has, ignores what is beyond a gap, tells its cursor."""

    incarnation: int = 1_000
    cursor: int = 0
    applied: list[int] = field(default_factory=list)

    def receive(self, seq: int) -> Acknowledgement:
        """Take one event."""
        if seq == self.cursor + 1:
            self.cursor = seq
            self.applied.append(seq)
        return self.tell()

    def tell(self) -> Acknowledgement:
        """Give the watermark."""
        return Acknowledgement(epoch=EPOCH, seq=self.cursor, hub=self.incarnation)


@dataclass
class FakeLink:
    """Carries publishes, PUBACKs and watermarks between the two, as badly as it is told to.

    Every `send` checks what holds at any time: the window, the 1,000 rows beyond the watermark,
    no row that does not exist, and no going back but by a stall, a connection or a restored hub.
    """

    delivery: Delivery
    hub: FakeHub
    now: float = 0.0
    receive_maximum: int = 0
    to_hub: deque[int] = field(default_factory=deque)
    pubacks: deque[int] = field(default_factory=deque)
    acks: deque[Acknowledgement] = field(default_factory=deque)
    sent: list[int] = field(default_factory=list)
    _last: int = 0

    def connect(self, receive_maximum: int) -> None:
        """Open a connection; the retained watermark is told at once."""
        self.disconnect()
        self.receive_maximum = receive_maximum
        self.delivery.connected(receive_maximum)
        self._last = 0
        self.acks.append(self.hub.tell())

    def disconnect(self) -> None:
        """Break it: what the broker has accepted may still arrive, PUBACKs will not."""
        self.delivery.disconnected()
        self.receive_maximum = 0
        self.pubacks.clear()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        due = self.delivery.deadline
        if due is not None and due <= self.now:
            self._last = 0
        self.delivery.advance(self.now)

    def send(self) -> list[int]:
        """Publish what may be published now."""
        core = self.delivery
        seqs = []
        for seq in core.sendable(self.now):
            assert self._last < seq <= min(core.highest, core.watermark + AHEAD)
            assert core.in_flight <= min(WINDOW, self.receive_maximum)
            self._last = seq
            seqs.append(seq)
        self.to_hub.extend(seqs)
        self.pubacks.extend(seqs)
        self.sent += seqs
        return seqs

    def accept(self) -> None:
        """Let the oldest PUBACK arrive."""
        if self.pubacks:
            self.delivery.puback(self.pubacks.popleft())

    def refuse(self) -> None:
        """Let the oldest publish be refused; the broker keeps it from the hub."""
        if self.pubacks:
            seq = self.pubacks.popleft()
            if seq in self.to_hub:
                self.to_hub.remove(seq)
            self.delivery.refused(seq, self.now)

    def arrive(self) -> None:
        """Let the oldest publish arrive at the hub."""
        if self.to_hub:
            self.acks.append(self.hub.receive(self.to_hub.popleft()))

    def hear(self) -> Watermark | None:
        """Let the oldest watermark arrive."""
        if not self.acks:
            return None
        meant = self.delivery.acknowledged(self.acks.popleft(), self.now)
        if meant is Watermark.LOWERED:
            self._last = 0
        return meant

    def flow(self) -> None:
        """Carry everything until nothing moves."""
        while self.send() or self.to_hub or self.pubacks or self.acks:
            self.arrive()
            self.accept()
            self.hear()
