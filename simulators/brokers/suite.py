"""The same end-to-end run on every broker: events flow while its nodes are killed in turn.

    feed --> outbox --> publisher --> balancer --> nodes --> balancer --> hub --> its store
                ^                                                          |
                +---------------------- watermark -------------------------+

Publisher and hub are the real ones, each with a balancer of its own, so that the agent's node and
the hub's can be told apart and killed in turn. A node killed stays away for `OUTAGE_S`; the next
kill waits until events flow again and the broker is whole. At the end everything fed must be
applied: `fault_oracle` compares the two databases.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from edge_agent.config import Mqtt
from edge_agent.publish.contract import State
from edge_agent.publish.outbox import Outbox
from edge_agent.publish.publisher import Publisher
from edge_agent.publish.topics import Topics
from simulators.brokers.balancer import Balancer
from simulators.brokers.feed import BOOT, EVENTS_OF_A_VISIT, Feed
from simulators.brokers.nodes import Nodes
from simulators.fault_oracle import Findings, judge
from simulators.faults import read_books
from simulators.hub import Hub

__all__ = ["Course", "Result", "run_suite"]

OUTAGE_S: Final = 1.5
SETTLE_S: Final = 180.0
_STEP_S: Final = 0.1
_TOPICS: Final = Topics("acme", "0042", "gw-1")


@dataclass(frozen=True, slots=True)
class Course:
    """How much is run."""

    events: int
    rounds: int  # in each, the agent's node is killed, and then the hub's
    per_s: int  # events fed


@dataclass(slots=True)
class Result:
    """What came of a run."""

    events: int = 0
    kills: int = 0
    agent_moves: int = 0  # connections of the agent after its first
    duplicates: int = 0  # arrived at the hub again, or too early, and dropped by it
    longest_gap_s: float = 0.0  # in which events were fed and none was applied
    findings: Findings = field(default_factory=Findings)
    broken: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether every promise was kept; where nothing was killed, none was tried."""
        return self.findings.clean and not self.broken and self.kills > 0


class _Run:
    """One run in a folder, which holds the outbox and the hub's store when it is over."""

    def __init__(self, folder: Path, nodes: Nodes, course: Course, dice: Random) -> None:
        self._folder = folder
        self._nodes = nodes
        self._course = course
        self._dice = dice
        self._feed = Feed(_TOPICS)
        self._fed = 0
        self._weathered = False
        self._applied = 0
        self._applied_at: float | None = None
        self.result = Result()

    async def run(self, *, only_311: bool) -> Result:
        """Do it all."""
        last = len(self._nodes.ports) - 1
        async with (
            Balancer(self._nodes.ports, first=0, only_311=only_311) as agents,
            Balancer(self._nodes.ports, first=min(1, last), only_311=only_311) as hubs,
            self._hub(hubs) as hub,
        ):
            await self._until(lambda: hub.connected, "the hub is connected")
            async with self._publisher(agents) as publisher:
                await self._until(lambda: publisher.state.connected, "the agent is connected")
                feeding = asyncio.create_task(self._feed_on(publisher), name="feed")
                try:
                    await self._storm(agents, hubs)
                finally:
                    self._weathered = True
                    await feeding
                await self._until(
                    lambda: publisher.state.outstanding + publisher.state.pending == 0,
                    "all that was stored is confirmed",
                )
            self.result.agent_moves = agents.connections - 1
            self.result.duplicates = hubs.events - self._applied
            if only_311 and not agents.refused:
                self.result.broken.append(
                    "MQTT 5 was never offered, so falling back proved nothing"
                )
        await asyncio.to_thread(self._judge)
        return self.result

    @asynccontextmanager
    async def _hub(self, balancer: Balancer) -> AsyncIterator[Hub]:
        path = self._folder / "hub.db"
        with Hub(balancer.url, path, on_applied=self._note_applied) as hub:
            task = asyncio.create_task(hub.run(), name="hub")
            try:
                yield hub
            finally:
                hub.stop()
                await task

    @asynccontextmanager
    async def _publisher(self, balancer: Balancer) -> AsyncIterator[Publisher]:
        with Outbox.open(self._folder / "state" / "outbox.db") as outbox:
            publisher = Publisher(
                outbox,
                self._feed.composer,
                _TOPICS,
                Mqtt(url=balancer.url, allow_plaintext=True),
                State(connected=True, boot=BOOT, session=outbox.session, version="suite"),
                lambda: None,
                time.monotonic,
            )
            task = asyncio.create_task(publisher.run(), name="publisher")
            try:
                yield publisher
            finally:
                publisher.stop()
                await task

    async def _feed_on(self, publisher: Publisher) -> None:
        """Submit events at the course's pace, whatever befalls the broker, past the last kill."""
        began = time.monotonic()
        done = 0
        while self._fed < self._course.events or not self._weathered:
            due = int((time.monotonic() - began) * self._course.per_s / EVENTS_OF_A_VISIT) + 1
            publisher.submit(self._feed.visits(done, due - done))
            done = due
            self._fed = done * EVENTS_OF_A_VISIT
            await asyncio.sleep(_STEP_S)

    async def _storm(self, agents: Balancer, hubs: Balancer) -> None:
        """Kill the agent's node and the hub's in turn, while events are fed."""
        kills = 2 * self._course.rounds
        share = self._course.events / (kills + 1)
        for number in range(kills):
            at = self._fed + share * self._dice.uniform(0.2, 0.6)
            await self._until_fed(at)
            await self._kill(agents if number % 2 == 0 else hubs)

    async def _kill(self, victim: Balancer) -> None:
        node = victim.node
        await asyncio.to_thread(self._nodes.kill, node)
        self.result.kills += 1
        await asyncio.sleep(OUTAGE_S)
        alone = len(self._nodes.ports) == 1
        if not alone:  # the others carry on before it is back
            await self._until_flowing()
        await asyncio.to_thread(self._nodes.restart, node)
        await self._until_flowing()

    async def _until_fed(self, count: float) -> None:
        await self._until(lambda: self._fed >= count, "events are fed")

    async def _until_flowing(self) -> None:
        """Wait until an event fed from now on is applied."""
        fed = self._fed
        await self._until(lambda: self._applied > fed, "events flow again")

    def _note_applied(self, _event: dict[str, Any]) -> None:
        now = time.monotonic()
        if self._applied_at is not None:
            gap = now - self._applied_at
            self.result.longest_gap_s = max(self.result.longest_gap_s, gap)
        self._applied_at = now
        self._applied += 1

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SETTLE_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} within {SETTLE_S:.0f} s: it is not so")
            await asyncio.sleep(0.02)

    def _judge(self) -> None:
        books = read_books(self._folder)
        self.result.events = sum(books.highest.values())
        self.result.findings = judge(books)
        if self.result.events < self._course.events:
            self.result.broken.append(f"only {self.result.events} events were stored")


async def run_suite(
    folder: Path, nodes: Nodes, course: Course, *, seed: int, only_311: bool
) -> Result:
    """Run once in `folder`, which must be empty, with a broker that is ended afterwards.

    Args:
        folder: for the outbox and the hub's store.
        nodes: the broker, not yet started.
        course: how much.
        seed: of the moments at which nodes are killed.
        only_311: the broker shall not have heard of MQTT 5.

    Raises:
        NotInstalledError: the broker is missing.
    """
    async with AsyncExitStack() as stack:
        stack.callback(nodes.stop)
        run = _Run(folder, nodes, course, Random(seed))
        try:
            await asyncio.to_thread(nodes.start)
            return await run.run(only_311=only_311)
        except TimeoutError as late:
            run.result.broken.append(str(late))
            return run.result
