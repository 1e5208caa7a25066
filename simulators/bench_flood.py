"""`python -m simulators.bench_flood`: random EIDs under the namespace, and visitors among them.

An attacker who knows the namespace (it is in every advertisement) sends 10,000 random identifiers a
second from as many addresses. The real pipeline takes them in virtual time, as fast as this core
goes, and a hundred visitors who come in one after the other. Said is what memory the flood leaves
behind, how many visitors were detected, and how much later than without it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import psutil

from edge_agent.clock import VirtualClock
from edge_agent.config import Ble, Config, Mqtt, RosterSource
from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Member, Roster
from edge_agent.memory import give_back
from edge_agent.model import Advertisement, Backend, RadioAddress
from edge_agent.pipeline import Pipeline
from simulators.credentials import NAMESPACE, android_service_data, ephemeral_id

__all__ = ["Flood", "flood"]

STARTED: Final = 1_793_600_000  # Unix seconds
VISITORS: Final = 100
HEARD_EVERY_S: Final = 0.5
COMES_EVERY_S: Final = 0.1
MOST_GROWTH_MB: Final = 4.0


@dataclass(frozen=True, slots=True)
class Flood:
    """What a flood did."""

    rate: int  # random EIDs a second
    seconds: int
    detected: int  # of VISITORS
    delay_s: float  # median, from coming to the decision
    before_mb: float
    after_mb: float
    wall_s: float


def flood(rate: int, seconds: int, seed: int = 1) -> Flood:
    """Let so many strangers a second be heard for so long, with visitors among them."""
    keys = [n.to_bytes(16) for n in range(1, VISITORS + 1)]
    members = [Member(f"v-{n}", identity_key=key) for n, key in enumerate(keys)]
    directory = Directory(Roster.of(members))
    directory.ensure(STARTED)
    config = Config(
        tenant="bench",
        store="0001",
        gateway="gw-1",
        mqtt=Mqtt(url="mqtts://broker.example"),
        roster=RosterSource(public_key="00" * 32),
        ble=Ble(namespace=NAMESPACE),
    )
    pipeline = Pipeline(config, directory, VirtualClock(STARTED), "bench")
    chance = random.Random(seed)
    for octets in (chance.randbytes(14) for _ in range(10_000)):
        pipeline.feed(_heard(0.0, octets[:6], octets[6:]))  # fills what is bounded
    give_back()
    before, began = _resident_mb(), time.process_time()
    entered: dict[str, float] = {}
    for beat in range(int(seconds / COMES_EVERY_S)):
        now = beat * COMES_EVERY_S
        for _ in range(int(rate * COMES_EVERY_S)):
            octets = chance.randbytes(14)
            pipeline.feed(_heard(now, octets[:6], octets[6:]))
        for number in _heard_at(beat):
            eid = ephemeral_id(keys[number], STARTED)
            decided = pipeline.feed(_heard(now, number.to_bytes(6), eid))
            for draft, _ in decided:
                entered.setdefault(draft.visitor, now - number * COMES_EVERY_S)
    wall = time.process_time() - began
    give_back()
    delay = statistics.median(entered.values()) if entered else float("nan")
    return Flood(rate, seconds, len(entered), delay, before, _resident_mb(), wall)


def _heard_at(beat: int) -> Iterator[int]:
    """Name the visitors who are heard at a beat: the n-th comes at the n-th."""
    every = round(HEARD_EVERY_S / COMES_EVERY_S)
    return (n for n in range(min(beat + 1, VISITORS)) if (beat - n) % every == 0)


def _heard(at: float, address: bytes, eid: bytes) -> Advertisement:
    return Advertisement(
        at,
        "gw-1",
        "ble",
        Backend.BLUEZ_ACTIVE,
        RadioAddress(int.from_bytes(address)),
        -60,
        {str(NAMESPACE): android_service_data(eid, -59)},
        {},
        (),
    )


def _resident_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)


def main() -> int:
    """Print the flood beside the calm; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m simulators.bench_flood", description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000, help="random EIDs a second")
    parser.add_argument("--seconds", type=int, default=60, help="of virtual time")
    asked = parser.parse_args()
    calm, flooded = flood(0, asked.seconds), flood(asked.rate, asked.seconds)
    for told in (calm, flooded):
        sys.stdout.write(
            f"{told.rate:>6,} random EIDs/s for {told.seconds} s: {told.detected} of {VISITORS}"
            f" visitors detected, {told.delay_s:.1f} s after coming (median);"
            f" RSS {told.before_mb:.1f} -> {told.after_mb:.1f} MB; {told.wall_s:.1f} s of CPU\n"
        )
    flat = flooded.after_mb - flooded.before_mb <= MOST_GROWTH_MB
    alike = (flooded.detected, flooded.delay_s) == (calm.detected, calm.delay_s)
    return 0 if flat and alike else 1


if __name__ == "__main__":
    sys.exit(main())
