"""Identifiers heard under the namespace that nobody on the roster has: asked of the hub, rarely.

The one exception to "strangers leave no trace": who opted in a minute ago is not on the roster yet.
A token bucket lets 20 a second through and a window's answer is asked for once; what is beyond
either leaves nothing, so that a flood of random identifiers costs a look-up each.
"""

from __future__ import annotations

from typing import Final

from edge_agent.identify.eid import window_of

__all__ = ["Misses"]

_RATE: Final = 20.0  # a second
_BURST: Final = 20.0
_MOST_ASKED: Final = 4096  # of one window


class Misses:
    """Which EIDs to ask for."""

    def __init__(self) -> None:
        self._tokens = _BURST
        self._at: float | None = None
        self._window = -1
        self._asked: set[bytes] = set()
        self._due: list[bytes] = []

    def heard(self, eid: bytes, unix: float) -> None:
        """Take note of an EID that resolves to nobody, if it may be asked for."""
        if (window := window_of(unix)) != self._window:
            self._window = window
            self._asked.clear()
        if eid in self._asked or len(self._asked) >= _MOST_ASKED:
            return
        passed = 0.0 if self._at is None else max(0.0, unix - self._at)
        self._at = unix
        self._tokens = min(_BURST, self._tokens + passed * _RATE)
        if self._tokens < 1.0:
            return
        self._tokens -= 1.0
        self._asked.add(eid)
        if len(self._due) < _BURST * 3:
            self._due.append(eid)

    def take(self) -> list[bytes]:
        """Give what is to be asked now, and forget it."""
        due, self._due = self._due, []
        return due
