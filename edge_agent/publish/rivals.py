"""Whether another agent calls itself by this gateway's name: a cloned card, most of the time.

A broker lets one client have a name, and drops the other. MQTT 5 says why (0x8E); on 3.1.1 the sign
is a birth or a will on our own topic that is not ours. One or two are what earlier lives have left,
or a broker that came back with an old store; three within ten minutes are somebody who lives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from edge_agent.publish.contract import State

__all__ = ["Rivals"]

REMEMBERED_S: Final = 600.0
_ENOUGH: Final = 3


class Rivals:
    """Counts the signs of another agent of our name."""

    def __init__(self, birth: State, now: Callable[[], float]) -> None:
        """Prepare to tell our own birth from another's."""
        self._birth = birth
        self._now = now
        self._signs: deque[float] = deque(maxlen=_ENOUGH)

    @property
    def suspected(self) -> bool:
        """Whether there were enough signs of late."""
        return len(self._signs) == _ENOUGH and self._now() - self._signs[0] < REMEMBERED_S

    def heard(self, state: State) -> None:
        """A birth or a will came on our topic."""
        ours = (self._birth.boot, self._birth.session)
        if (state.boot, state.session) != ours:
            self._signs.append(self._now())

    def ended(self, *, taken_over: bool) -> None:
        """A connection ended."""
        if taken_over:
            self._signs.append(self._now())
