"""Phones on the store's Wi-Fi, as the access point and the capture process report them.

An associated phone is often silent for minutes. Longest silence in 15 min, over the air, in public
captures: median 82 s; 71 % > 60 s, 33 % > 120 s, 20 % > 180 s, 2 % > 300 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from simulators.radio import Floats

__all__ = ["Line", "StationHabits", "connect", "heard_times"]

Line = dict[str, object]
Span = tuple[float, float]

BLOCK = 900.0  # s
# The chance that the longest silence of a block is shorter than so many seconds.
_LONGEST_P = (0.0, 0.29, 0.5, 0.67, 0.80, 0.98, 1.0)
_LONGEST_Q = (20.0, 60.0, 82.0, 120.0, 180.0, 300.0, 400.0)
_USUAL_GAP = 12.0  # s between frames of a phone that is awake
SILENT_AFTER = 180.0  # s, DESIGN section 4
PROBE_ROUNDS = 15.0  # s until the last of three probes has gone unanswered
DEEP_SLEEP = 0.3  # of silences beyond 180 s: probes unanswered too
# For so long a leaver is still heard outside, in s: a phone sends on the Wi-Fi 10 dB louder than by
# BLE, and holds on to a weak network for as long as it can.
LINGERING = (10.0, 40.0)
FALSE_LEAVES = 0.5  # per hour: a disassociation that was sleep or roaming


@dataclass(frozen=True, slots=True)
class StationHabits:
    """The chances that joining is a check-in too, and that leaving is said aloud."""

    checks_in: float = 0.3
    says_goodbye: float = 0.5


def heard_times(rng: np.random.Generator, begins: float, ends: float) -> Floats:
    """Draw when a station's frames are heard, in seconds: one long silence per 15 min."""
    gaps: list[float] = []
    while sum(gaps) < ends - begins:
        longest = float(np.interp(rng.random(), _LONGEST_P, _LONGEST_Q))
        block: list[float] = []
        while sum(block) < BLOCK - longest:
            block.append(min(0.5 + float(rng.exponential(_USUAL_GAP)), longest))
        block.insert(int(rng.integers(len(block) + 1)), longest)
        gaps += block
    times = begins + np.cumsum(gaps)
    return times[times < ends]


def connect(
    rng: np.random.Generator,
    visitor: str,
    gateway: str,
    presence: Span,
    habits: StationHabits,
) -> list[tuple[float, Line]]:
    """Join after entering, be bound by the portal, be heard, and leave; (time, line), unordered."""
    enters, exits = presence
    address = (bytes([int(rng.integers(0x40)) << 2 | 0x02]) + rng.bytes(5)).hex(":").upper()

    def wifi(at: float, event: str) -> tuple[float, Line]:
        station = {"event": event, "address": address, "keyid": None}
        return _timed(at, {"gateway": gateway, "wifi": station})

    def portal(at: float, event: str) -> tuple[float, Line]:
        action = {"event": event, "address": address, "visitor": visitor}
        return _timed(at, {"gateway": gateway, "portal": action})

    joins = enters + float(rng.uniform(3.0, 40.0))
    leaves = exits + float(rng.uniform(*LINGERING))
    if joins >= exits:
        return []
    lines = [wifi(joins, "associated"), portal(joins + float(rng.uniform(0.5, 4.0)), "bound")]
    if rng.random() < habits.checks_in:
        lines.append(portal(joins + float(rng.uniform(4.0, 15.0)), "checked_in"))
    away = _false_leaves(rng, joins, leaves)
    for at, back in away:
        lines += [wifi(at, "disassociated"), wifi(back, "associated")]
    heard = heard_times(rng, joins, leaves).tolist()
    heard = [at for at in heard if not any(lo <= at <= hi for lo, hi in away)]
    lines += [wifi(at, "heard") for at in heard]
    heard = sorted([joins, *heard, *(back for _, back in away)])
    for before, after in pairwise(heard):
        probed = before + SILENT_AFTER + float(rng.uniform(0.0, PROBE_ROUNDS))
        if probed < after and rng.random() < DEEP_SLEEP:
            lines.append(wifi(probed, "silent"))
    if rng.random() < habits.says_goodbye:
        lines.append(wifi(leaves, "disassociated"))
    else:
        unanswered = SILENT_AFTER + float(rng.uniform(0.0, PROBE_ROUNDS))
        lines.append(wifi(heard[-1] + unanswered, "silent"))
    return lines


def _false_leaves(rng: np.random.Generator, joins: float, leaves: float) -> list[Span]:
    found: list[Span] = []
    at = joins + 5.0 + float(rng.exponential(3600.0 / FALSE_LEAVES))
    while (back := at + float(rng.uniform(2.0, 20.0))) < leaves:
        found.append((at, back))
        at = back + 5.0 + float(rng.exponential(3600.0 / FALSE_LEAVES))
    return found


def _timed(at: float, line: Line) -> tuple[float, Line]:
    return round(at, 3), {"at": round(at, 3), **line}
