"""What crosses between gateway and hub beside the events: one channel a concern.

    hub --subscribed leaf--> link --take--> channel
    channel --send--> letters --shared window--> hub

Roster, commands, configuration and snapshots each are a `Channel`. The link subscribes for it on
every connection, hands it what arrives, and sends its letters (QoS 1) in a share of the window that
no backlog of events can take. A letter is not stored: what was not accepted when a connection ended
is gone, and a channel that must be heard says it again when the next one opens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

__all__ = ["MOST_LETTERS", "Channel", "Channels", "Letter", "Letters", "Outlet"]

MOST_LETTERS: Final = 256  # waiting for the window; beyond it `send` says no
_SHARE: Final = 10  # one of so many publishes in flight may be a letter, and always one

Accepted = Callable[[str | None], None]


class Outlet(Protocol):
    """Where a channel's letters go."""

    def send(
        self, leaf: str, payload: bytes, *, retain: bool = False, accepted: Accepted | None = None
    ) -> bool:
        """Publish with QoS 1 under the gateway's topic root.

        Args:
            leaf: of the topic, such as `roster/request`.
            payload: as it goes on the wire.
            retain: whether the broker keeps it.
            accepted: told None when the broker has taken it, or why it refused; not called when
                the connection ends before.

        Returns:
            False when there is no connection, or too much is waiting.
        """


class Channel(Protocol):
    """One concern of the hub's, beside the events; everything is called on the event loop."""

    name: str
    """The first level of its leaves, by which arrivals are told apart."""

    filters: Sequence[str]
    """What to subscribe to, under the gateway's topic root."""

    def opened(self, outlet: Outlet) -> None:
        """A connection is there, and subscribed; say what must be heard."""

    def closed(self) -> None:
        """The connection is gone, with all letters that were not accepted."""

    def take(self, leaf: str, payload: bytes) -> None:
        """Something arrived. It came from outside: check it, and never raise for it."""


class Channels:
    """All channels of one gateway, as the link sees them."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = channels
        self.filters = [leaf for channel in channels for leaf in channel.filters]

    def opened(self, outlet: Outlet) -> None:
        """A connection is there."""
        for channel in self._channels:
            channel.opened(outlet)

    def closed(self) -> None:
        """It is gone."""
        for channel in self._channels:
            channel.closed()

    def take(self, leaf: str, payload: bytes) -> None:
        """Hand what arrived to the channel whose leaf it is."""
        name = leaf.split("/", 1)[0]
        for channel in self._channels:
            if channel.name == name:
                channel.take(leaf, payload)


@dataclass(frozen=True, slots=True)
class Letter:
    """One publish beside the events."""

    leaf: str
    payload: bytes = field(repr=False)  # may hold pseudonyms
    retain: bool
    accepted: Accepted | None


class Letters:
    """The letters of one connection: waiting, and in flight within their share of the window."""

    def __init__(self) -> None:
        self._waiting: deque[Letter] = deque()
        self._in_flight: dict[int, Letter] = {}  # by mid
        self._events_turn = False  # in a window of one, where they take turns

    def __len__(self) -> int:
        return len(self._in_flight)

    @property
    def waiting(self) -> bool:
        """Whether any waits for room."""
        return bool(self._waiting)

    def put(self, letter: Letter, *, first: bool = False) -> bool:
        """Let a letter wait; False when too many do. `first` overtakes, and always fits."""
        if first:
            self._waiting.appendleft(letter)
            return True
        if len(self._waiting) >= MOST_LETTERS:
            return False
        self._waiting.append(letter)
        return True

    def due(self, window: int, events: int) -> bool:
        """Tell whether one may be sent, with so many events in flight beside it."""
        if window == 1 and self._events_turn:
            return False
        share = max(1, window // _SHARE)
        return self.waiting and len(self) < share and len(self) + events < window

    def room(self, window: int) -> int:
        """Tell how much of the window events leave free: for letters in flight, or one to come."""
        if window == 1 and self._events_turn:
            return len(self)
        return len(self) or int(self.waiting)

    def take_turn(self, *, events_sent: bool) -> bool:
        """Take the turn back once events have had theirs; tell whether a letter may go now."""
        if events_sent or not len(self):
            self._events_turn = False
        return not events_sent and self.waiting

    def post(self, publish: Callable[[Letter], int]) -> None:
        """Send the next one; `publish` gives its mid."""
        letter = self._waiting.popleft()
        self._in_flight[publish(letter)] = letter
        self._events_turn = True

    def settled(self, mid: int, refusal: str | None) -> bool:
        """The broker answered; tell whether that was for a letter."""
        letter = self._in_flight.pop(mid, None)
        if letter is not None and letter.accepted is not None:
            letter.accepted(refusal)
        return letter is not None

    def clear(self) -> None:
        """The connection is gone."""
        self._waiting.clear()
        self._in_flight.clear()
