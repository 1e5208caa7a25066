"""The demo: a simulated store, a broker, the real agent and the reference hub, over real MQTT.

Only the shoppers are simulated, and the clock runs fast: their advertisements go through the same
identification, tracking, outbox and delivery as a gateway's. The summary compares what the hub was
told with who really was there.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_agent.agent import Agent
from edge_agent.clock import Clock, VirtualClock
from edge_agent.config import Config, read_config
from edge_agent.identify.identifier import Identifier
from edge_agent.model import Observation, RadioState
from edge_agent.sources.source import Health, Source
from edge_agent.trace import End, read_line
from simulators.broker import EmbeddedBroker
from simulators.day import Day
from simulators.demo_view import LiveView, PlainView, View, print_summary
from simulators.hub import Hub
from simulators.plan import PLANS
from simulators.score import Score, score
from simulators.store import simulate

__all__ = ["Outcome", "run_demo"]

SPEED: Final = 100.0  # store seconds to a second
SETTLE_S: Final = 4.0  # of the demo's seconds, for starting and for the last events to arrive
AFTER_CLOSING_S: Final = 600.0  # which every simulated span ends with
ENDLESS_HOURS: Final = 8.0
VISITS_PER_HOUR: Final = 24
REFRESH_S: Final = 0.25


@dataclass(slots=True)
class Outcome:
    """What was delivered, and what it is worth."""

    played_s: float  # store seconds
    decided: int  # numbered by the agent's outbox
    applied: Counter[str] = field(default_factory=Counter)  # at the hub, by type
    doubled: int = 0
    unheard: int = 0  # true visits of phones that never advertised within earshot
    score: Score | None = None

    @property
    def lost(self) -> int:
        """Events that the agent stored and the hub has not applied."""
        return self.decided - self.applied.total()


class SimulatedStore:
    """A source that hears a simulated day when it is due by the agent's clock."""

    def __init__(self, day: Day, gateway: str, clock: Clock) -> None:
        """Take the day whose second 0 is the clock's."""
        self._day = day
        self._gateway = gateway
        self._clock = clock
        self._heard = 0
        self.finished = asyncio.Event()

    @property
    def name(self) -> str:
        """The radio's name."""
        return "ble"

    @property
    def gateway(self) -> str:
        """The gateway that it stands for."""
        return self._gateway

    @property
    def health(self) -> Health:
        """A simulated radio is always well."""
        return Health(listening=True, heard=self._heard, last_heard_at=None, detail="simulated")

    async def listen(self) -> AsyncGenerator[Observation, None]:
        """Give the day's observations, each when it is due."""
        yield RadioState(self._clock.now(), self._gateway, self.name, listening=True)
        for line in self._day.lines():
            if "trace" in line:
                continue
            observation = read_line(line)
            ahead = self._clock.seconds_until(observation.at)
            if ahead > 0:
                await asyncio.sleep(ahead)
            if isinstance(observation, End):
                break
            self._heard += 1
            yield observation
        self.finished.set()
        await asyncio.Event().wait()


class Demo:
    """One run of the demo, in a folder of its own."""

    def __init__(self, folder: Path, day: Day, broker: str, view: View) -> None:
        """Write the agent's configuration and roster, as an operator would."""
        (folder / "roster.json").write_text(json.dumps(day.roster), encoding="utf-8")
        (folder / "config.toml").write_text(day.config(broker), encoding="utf-8")
        self._config = read_config(folder / "config.toml")
        self._day = day
        self._view = view
        self._events: list[dict[str, Any]] = []
        self._clock = VirtualClock(day.started_at.timestamp(), SPEED)
        self._store = SimulatedStore(day, self._config.gateway, self._clock)
        self._agent = Agent(self._config, clock=self._clock, sources=self._sources)
        self._hub = Hub(broker, folder / "hub.db", on_applied=self._applied)
        self._interrupted = asyncio.Event()

    def interrupt(self) -> None:
        """Stop early; the summary follows."""
        self._interrupted.set()

    async def run(self) -> Outcome:
        """Play the day to its end, or until interrupted; then let the last events arrive."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hub.run(), name="hub")
            tasks.create_task(self._agent.run(), name="agent")
            showing = tasks.create_task(self._show(), name="view")
            await _first_of(self._store.finished, self._interrupted)
            played = min(self._clock.now(), self._day.truth.duration)
            await self._settled()
            showing.cancel()
            decided = self._agent.publisher.state.highest
            self._agent.stop()
            self._hub.stop()
        self._hub.close()
        return self._outcome(played, decided)

    async def _settled(self) -> None:
        """Wait until the hub has confirmed what was decided so far."""
        until = asyncio.get_running_loop().time() + SETTLE_S
        while asyncio.get_running_loop().time() < until:
            delivery = self._agent.publisher.state
            if not delivery.pending and not delivery.outstanding:
                return
            await asyncio.sleep(REFRESH_S / 5)

    async def _show(self) -> None:
        while True:
            state = self._agent.publisher.state
            self._view.show(self._clock.unix(self._clock.now()), state, self._store.health.heard)
            await asyncio.sleep(REFRESH_S)

    def _sources(self, config: Config, identifier: Identifier, clock: Clock) -> Sequence[Source]:
        del config, identifier, clock  # as the demo made them
        return [self._store]

    def _applied(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        self._view.applied(event)

    def _outcome(self, played: float, decided: int) -> Outcome:
        ids = Counter(event["id"] for event in self._events)
        whole = self._day.truth
        truth = whole if played >= whole.duration else whole.until(played)
        return Outcome(
            played_s=played,
            decided=decided,
            applied=Counter(event["type"].split(".")[1] for event in self._events),
            doubled=sum(times - 1 for times in ids.values()),
            unheard=sum(visit.first_receivable is None for visit in truth.visits),
            score=score(self._events, truth, self._day.started_at),
        )


async def run_demo(seconds: int | None, *, seed: int, live: bool) -> bool:
    """Run the demo and print its summary; tells whether every event arrived exactly once.

    Args:
        seconds: how long it may take; None plays a day of eight hours, or until interrupted.
        seed: of the simulated day.
        live: show a live view, not lines.
    """
    hours = ENDLESS_HOURS
    if seconds is not None:
        hours = max(0.1, ((seconds - SETTLE_S) * SPEED - AFTER_CLOSING_S) / 3600.0)
    walks = max(4, round(hours * VISITS_PER_HOUR))
    day = simulate(
        PLANS["mid-floor"], seed, hours=hours, visits=walks, passers_by=walks, strangers=2 * walks
    )
    view: View = LiveView(SPEED) if live else PlainView(SPEED)
    with (
        tempfile.TemporaryDirectory(prefix="edge-agent-demo-") as folder,
        EmbeddedBroker(Path(folder)) as broker,
        view,
    ):
        demo = Demo(Path(folder), day, broker.url, view)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, demo.interrupt)
        outcome = await demo.run()
    print_summary(outcome)
    return outcome.lost == 0 and outcome.doubled == 0


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
