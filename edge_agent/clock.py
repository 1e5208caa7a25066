"""The two clocks: boot-time seconds, in which everything is decided, and UTC with its quality.

Whether UTC can be trusted is asked of the kernel (adjtimex(2), STA_UNSYNC). A host that keeps the
time for a container does not pass that on, so inside one a plausible clock counts as holdover. A
Raspberry Pi has no clock that survives power-off: until it is synchronised, nothing is resolved.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Final, Protocol

from edge_agent.publish.contract import ClockQuality

__all__ = ["Clock", "SystemClock", "VirtualClock", "boot_id"]

_BUILT: Final = 1_793_000_000  # 2026-10-26: a clock before this has not been set
_STA_UNSYNC: Final = 0x0040
_ASK_EVERY_S: Final = 1.0
_CONTAINER_MARKS: Final = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")


class Clock(Protocol):
    """What time it is."""

    def now(self) -> float:
        """Boot-clock seconds."""

    def unix(self, at: float) -> float:
        """Unix time of a boot-clock instant, seconds."""

    def quality(self) -> ClockQuality:
        """How far `unix` can be trusted."""

    def seconds_until(self, at: float) -> float:
        """How long to sleep until a boot-clock instant, real seconds."""


class SystemClock:
    """The gateway's own clocks."""

    def __init__(self) -> None:
        self._was_synchronised = False
        self._asked_at = float("-inf")
        self._quality = ClockQuality.UNSYNCHRONISED
        self._in_container = any(Path(mark).exists() for mark in _CONTAINER_MARKS)

    def now(self) -> float:
        """CLOCK_BOOTTIME: runs on through suspend, and no step of UTC moves it."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def unix(self, at: float) -> float:
        """Unix time of a boot-clock instant, by the offset of the two clocks now."""
        return at + time.time() - self.now()

    def quality(self) -> ClockQuality:
        """Say what the kernel said lately: every sighting asks."""
        now = self.now()
        if now - self._asked_at >= _ASK_EVERY_S:
            self._asked_at, self._quality = now, self._ask()
        return self._quality

    def _ask(self) -> ClockQuality:
        """Ask the kernel; remember that it was synchronised once."""
        if time.time() < _BUILT:
            return ClockQuality.UNSYNCHRONISED
        if _kernel_synchronised():
            self._was_synchronised = True
            return ClockQuality.SYNCHRONISED
        if self._was_synchronised or self._in_container:
            return ClockQuality.HOLDOVER
        return ClockQuality.UNSYNCHRONISED

    def seconds_until(self, at: float) -> float:
        """How long to sleep until a boot-clock instant."""
        return at - self.now()


class VirtualClock:
    """A trace's clock, or one that runs `speed` times as fast as the wall: for replay and demo."""

    def __init__(self, started_unix: float, speed: float = 0.0) -> None:
        """Begin at boot-clock 0, which is `started_unix`; with speed 0 time is only told."""
        self._started_unix = started_unix
        self._speed = speed
        self._began = time.monotonic()

    def now(self) -> float:
        """Seconds since the beginning."""
        return (time.monotonic() - self._began) * self._speed

    def unix(self, at: float) -> float:
        """Unix time of a boot-clock instant."""
        return self._started_unix + at

    def quality(self) -> ClockQuality:
        """A recording was made by a synchronised clock."""
        return ClockQuality.SYNCHRONISED

    def seconds_until(self, at: float) -> float:
        """How long to sleep until a virtual instant, real seconds."""
        return (at - self.now()) / self._speed


def boot_id() -> str:
    """Identify this boot of the machine (random(4), boot_id)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class _Timex(ctypes.Structure):
    """The head of `struct timex` (adjtimex(2)); the padding covers the rest of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def _kernel_synchronised() -> bool:
    timex = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
        return False
    return not timex.status & _STA_UNSYNC
