"""An ear that collects what a source says, and the packets it is to hear."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from edge_agent.model import Advertisement, Observation, RadioState
from edge_agent.sources.ble import BleSource
from edge_agent.sources.source import Backoff, SourceLostError, supervise

NAMESPACE = uuid.UUID("7a3c9e10-5b2d-4f68-9c41-d0e2a7b65f13")
NS = str(NAMESPACE)
EID = bytes.fromhex("438b0be8656b8d6c")
SERVICE_DATA = {NS: bytes.fromhex("10c5") + EID}
IOS_UUID = str(uuid.UUID(bytes=NAMESPACE.bytes[:8] + EID))
IBEACON = {0x004C: bytes.fromhex("0215") + bytes(range(20)) + b"\xc5"}
FCB2 = "0000fcb2-0000-1000-8000-00805f9b34fb"
MEMBER = "C0:11:22:33:44:55"
STRANGER = "D1:66:77:88:99:AA"


def wanted(
    _address: str,
    service_data: Mapping[str, bytes],
    manufacturer_data: Mapping[int, bytes],
    service_uuids: Sequence[str],
) -> bool:
    """Refuse whatever has nothing of the namespace and is no iBeacon."""
    return (
        NS in service_data
        or 0x004C in manufacturer_data
        or any(name.startswith(NS[:18]) for name in service_uuids)
    )


@dataclass
class Clock:
    """A monotonic clock that a test can push forward."""

    ahead: float = 0.0

    def __call__(self) -> float:
        """Tell the time, in seconds."""
        return time.monotonic() + self.ahead


@dataclass
class Ear:
    """Everything a source said, and ways to wait for it."""

    said: list[Observation] = field(default_factory=list)

    @property
    def heard(self) -> list[Advertisement]:
        """The advertisements, in order."""
        return [o for o in self.said if isinstance(o, Advertisement)]

    @property
    def states(self) -> list[bool]:
        """What was said of listening, in order."""
        return [o.listening for o in self.said if isinstance(o, RadioState)]

    async def until(self, condition: Callable[[], bool], patience: float = 10.0) -> None:
        """Wait for something to be said; raises TimeoutError."""
        async with asyncio.timeout(patience):
            while not condition():  # noqa: ASYNC110 - observations come through a real bus
                await asyncio.sleep(0.01)

    async def until_listening(self, lives: int = 1) -> None:
        """Wait until listening was announced `lives` times."""
        await self.until(lambda: self.states.count(True) >= lives)


def make_source(clock: Callable[[], float] = time.monotonic, **options: Any) -> BleSource:
    """Build a source of gateway gw-1 that wants the test namespace."""
    defaults: dict[str, Any] = {"gateway": "gw-1", "wanted": wanted, "now": clock}
    return BleSource(**defaults | options)


@asynccontextmanager
async def supervised(
    source: BleSource, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Ear]:
    """Run the source's lives with next to no backoff; a bug of the source fails the test."""
    ear = Ear()
    backoff = Backoff(sleep=lambda _seconds: asyncio.sleep(0.05))
    task = asyncio.create_task(supervise(source, ear.said.append, clock, backoff), name=source.name)
    try:
        yield ear
    finally:
        if task.done():
            await task
        task.cancel()
        await asyncio.wait({task})


async def one_life(source: BleSource) -> SourceLostError:
    """Listen until the receiver is lost, and give the loss."""
    try:
        async with asyncio.timeout(20), aclosing(source.listen()) as observations:
            async for _ in observations:
                pass
    except SourceLostError as lost:
        return lost
    raise AssertionError("the life ended without a loss")
