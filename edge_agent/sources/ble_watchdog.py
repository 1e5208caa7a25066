"""When a silent BLE receiver is to be shaken. Pure: the caller passes the time in.

    state      on                    to         meaning
    HEARING    patience s silent     RESTARTED  RESTART_SCAN; deaf, if the place had been busy
    RESTARTED  patience s silent     RESET      RESET_ADAPTER
    RESET      2, 4, 8 … x patience  RESET      RESET_ADAPTER again, at most once an hour
    any        an advertisement      HEARING    no longer deaf

Firmware that stops reporting without an error is the fault this is for. A quiet room looks the
same, so silence makes a receiver *deaf* (not to be believed) only where several transmitters had
been heard in the minutes before; an empty store at night is merely quiet, and its adapter is
reset ever more seldom.
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["Step", "Watchdog"]

_BUSY = 4  # distinct addresses; fewer may be one fixture and two shoppers who just left
_WINDOW = 120.0  # seconds an address is remembered, at most
_SELDOM = 3600.0  # seconds


class Step(Enum):
    """What is to be done about the silence."""

    RESTART_SCAN = auto()
    RESET_ADAPTER = auto()


class Watchdog:
    """Counts the silence of one receiver; times are seconds of one monotonic clock.

    With `silence_counts` False (a passive scan, which hides still phones) silence never makes the
    receiver deaf. At most four addresses are held, in RAM, for at most two minutes of hearing.
    """

    def __init__(self, now: float, *, patience: float = 90.0, silence_counts: bool = True) -> None:
        """Begin to count at `now`; `patience` is in seconds."""
        self._patience = patience
        self._silence_counts = silence_counts
        self._steps = 0
        self._deadline = now + patience
        self._crowd: set[str] = set()
        self._window_ends = now + _WINDOW
        self._was_busy = False
        self.last_heard_at: float | None = None
        self.hearing_since = now  # the end of the last silence that was acted upon
        self.deaf = False

    @property
    def deadline(self) -> float:
        """When `due` is next to be asked."""
        if self._steps == 0 and self.last_heard_at is not None:
            return self.last_heard_at + self._patience
        return self._deadline

    def heard(self, now: float, address: str) -> None:
        """Note an advertisement from anybody. Called for every one, so it does next to nothing."""
        self.last_heard_at = now
        if self._steps:
            self._steps = 0
            self.deaf = False
            self.hearing_since = now
        if now >= self._window_ends:
            self._turn_window(now)
        if len(self._crowd) < _BUSY:
            self._crowd.add(address)

    def due(self, now: float) -> Step | None:
        """Say what to do at `now`, and re-arm; None before the deadline."""
        if now < self.deadline:
            return None
        if self._steps == 0:
            self.deaf = self._silence_counts and (self._was_busy or len(self._crowd) >= _BUSY)
            self._crowd.clear()
            self._was_busy = False
        self._steps = min(self._steps + 1, 16)
        self._deadline = now + min(
            self._patience * 2 ** (self._steps - 1), max(_SELDOM, self._patience)
        )
        return Step.RESTART_SCAN if self._steps == 1 else Step.RESET_ADAPTER

    def _turn_window(self, now: float) -> None:
        """Forget the addresses and keep one bit of them: a window too old says nothing."""
        fresh = now < self._window_ends + _WINDOW
        self._was_busy = fresh and len(self._crowd) >= _BUSY
        self._crowd.clear()
        self._window_ends = now + _WINDOW
