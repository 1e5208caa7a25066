"""What a connection has subscribed to, and what of it was refused: asked for again, without I/O.

    asked --SUBACK--> granted
      ^        +----> refused --ASK_AGAIN_S--> due
      +-----------------------------------------+

A gateway that was refused its watermark would send a thousand events and stand still for ever. A
broker's rules may forbid a topic; a NATS cluster also refuses when it could not make a consumer
within five seconds, which happens while a node is away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

__all__ = ["ASK_AGAIN_S", "Subscriptions"]

ASK_AGAIN_S: Final = 5.0


class Subscriptions:
    """The subscriptions of one connection."""

    def __init__(self) -> None:
        self._asked: dict[int | None, tuple[str, ...]] = {}  # by mid, and not answered
        self._due: tuple[str, ...] = ()
        self.refused: tuple[str, ...] = ()
        self.deadline: float | None = None  # when what was refused is due again

    def begin(self, *topics: str) -> None:
        """A fresh connection: these are due."""
        self._asked.clear()
        self._due, self.refused, self.deadline = topics, (), None

    def ask(self, now: float, subscribe: Callable[..., int | None]) -> None:
        """Subscribe to what is due; `subscribe` gives its mid."""
        if self.deadline is not None and now >= self.deadline:
            self._due, self.deadline = self.refused, None
        if self._due:
            topics, self._due = self._due, ()
            self._asked[subscribe(*topics)] = topics

    def answered(self, mid: int, refusals: Sequence[str | None], now: float) -> None:
        """The broker has answered, topic by topic."""
        answers = zip(self._asked.pop(mid, ()), refusals, strict=False)
        self.refused = tuple(topic for topic, refusal in answers if refusal is not None)
        self.deadline = now + ASK_AGAIN_S if self.refused else None
