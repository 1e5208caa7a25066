"""The seam every receiver fits, and the supervisor that keeps one alive.

    supervise:  life --RadioState(listening=True)--> heard --SourceLostError--> lost
                  ^                                                              |
                  +---------------------- wait: 1 s to 60 s ---------------------+

A life that was listening for 60 s or more ends the backoff; one that dies sooner doubles it.
Only a lost receiver is retried. Anything else a source raises is a bug, and ends the process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from edge_agent.model import Observation, RadioState

__all__ = ["Backoff", "Health", "Source", "SourceLostError", "supervise"]

log = structlog.get_logger()


class SourceLostError(Exception):
    """The receiver is lost: what it said, and what a technician can do. Never an address."""


@dataclass(frozen=True, slots=True)
class Health:
    """How a receiver is doing.

    `heard` counts every packet since the start, strangers' too; `last_heard_at` is in seconds of
    the source's clock; `detail` is prose for a technician and never holds an address.
    """

    listening: bool
    heard: int
    last_heard_at: float | None
    detail: str


class Source(Protocol):
    """One receiver of the gateway."""

    @property
    def name(self) -> str:
        """The radio's and the task's name: `ble`, or `ble:hci1` beyond the first."""

    @property
    def gateway(self) -> str:
        """The gateway the receiver belongs to."""

    @property
    def health(self) -> Health:
        """How it is doing now; cheap, and safe to ask at any time."""

    def listen(self) -> AsyncGenerator[Observation, None]:
        """Live one life of the receiver.

        The first item is `RadioState(listening=True)`, when it really hears. A generator, not a
        mere iterator, so that whoever stops listening can close it and free the receiver.

        Raises:
            SourceLostError: the receiver is lost; listen again later.
        """


@dataclass(slots=True)
class Backoff:
    """Waits between lives, in seconds: jittered between `first` and a ceiling that doubles.

    The jitter is over the whole range, so that a store's gateways, which lost their power
    together, do not come back together.
    """

    first: float = 1.0
    most: float = 60.0
    stable: float = 60.0  # a life that listened this long was not part of a series of failures
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[float, float], float] = random.uniform
    _failures: int = field(default=0, init=False)

    async def wait(self, listened: float) -> None:
        """Sleep before the next life; `listened` is how long the last one heard, in seconds."""
        if listened >= self.stable:
            self._failures = 0
        # The exponent is capped because a receiver that stays unplugged for a year would
        # otherwise overflow a float.
        self._failures = min(self._failures + 1, 16)
        ceiling = min(self.most, self.first * 2**self._failures)
        await self.sleep(self.uniform(self.first, ceiling))


async def supervise(
    source: Source,
    deliver: Callable[[Observation], None],
    now: Callable[[], float],
    backoff: Backoff | None = None,
) -> None:
    """Run the source's lives for ever in the caller's task, delivering what they hear.

    A loss is delivered once as `RadioState(listening=False)`, also when the first life never came
    to listen; recovery is announced by the next life itself. `now` is in seconds.

    Raises:
        Exception: whatever a source or `deliver` raises other than `SourceLostError`.
    """
    waits = backoff if backoff is not None else Backoff()
    told: bool | None = None
    while True:
        listening_since: float | None = None
        reason = "the receiver ended without saying why"
        try:
            async with aclosing(source.listen()) as observations:
                async for observation in observations:
                    if isinstance(observation, RadioState):
                        told = observation.listening
                        if listening_since is None and told:
                            listening_since = now()
                            log.info("radio listening", radio=source.name)
                    deliver(observation)
        except SourceLostError as lost:
            reason = str(lost)
        log.warning("radio lost", radio=source.name, reason=reason)
        ended = now()
        if told is not False:
            told = False
            deliver(RadioState(ended, source.gateway, source.name, listening=False))
        await waits.wait(0.0 if listening_since is None else ended - listening_since)
