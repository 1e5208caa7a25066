"""A store for the faults of its disk: the real agent, a real broker and hub, and who comes by."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from simulators.bluez import BlueZPeer
from simulators.crowd import Crowd
from simulators.fault_matrix.scenario import Verdict
from simulators.fault_matrix.storage_shim import Shim
from simulators.fault_oracle import Books, Row, Stream, judge
from simulators.fault_peers import (
    Process,
    agent_command,
    hub_command_line,
    write_agent_files,
)
from simulators.mosquitto import Mosquitto
from simulators.private_bus import PrivateBus

__all__ = ["LiveStore", "ask", "live_store"]

PATIENCE_S: Final = 90.0
_SOURCE: Final = "/acme/0042/gw-1"
_CROWD: Final = 10


@dataclass
class LiveStore:
    """What a scenario breaks, watches and judges."""

    folder: Path
    shim: Shim
    peer: BlueZPeer
    agent: Process
    seed: int
    verdict: Verdict = field(default_factory=Verdict)
    highest: dict[Stream, int] = field(default_factory=dict)  # of epochs whose outbox is gone
    _crowd: Crowd | None = None
    _coming: asyncio.Task[None] | None = None

    @property
    def state(self) -> Path:
        """The agent's state folder: the card."""
        return self.folder / "state"

    @property
    def applied(self) -> int:
        """How many events the hub has applied."""
        with suppress(FileNotFoundError):
            return (self.folder / "hub.out").read_bytes().count(b"\n")
        return 0

    def logged(self, event: str) -> int:
        """Count the agent's log lines of an event."""
        return self.agent.log.read_text(encoding="utf-8").count(f'"event": "{event}"')

    async def come(self) -> None:
        """Let a crowd come and go."""
        await self.peer.until_scanning(patience=PATIENCE_S)
        self._crowd = Crowd(self.seed, _CROWD)
        self._coming = asyncio.create_task(self._crowd.run(self.peer), name="crowd")

    async def leave(self, *, from_memory: bool = False) -> None:
        """Let the crowd leave, and wait until the hub has all that the agent has.

        Args:
            from_memory: the agent's outbox is not the file: it says itself what is left.
        """
        if self._crowd is None or self._coming is None:
            raise AssertionError("nobody has come")
        self._crowd.leave()
        left = time.time()
        await self.until(
            (lambda: self._says_settled(left)) if from_memory else self._settled,
            "nobody is in, and the hub has everything",
        )
        self._coming.cancel()
        await asyncio.wait({self._coming})

    async def settle(self) -> None:
        """Wait until the hub has what is on the card."""
        await self.until(self._settled, "the hub has what is on the card")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something; what does not come is a promise broken."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            code = self.agent.ended
            if code is not None:
                self.verdict.broken.append(f"the agent ended by itself with code {code}")
                self.agent.stop()
                await asyncio.to_thread(self.agent.start)
            if time.monotonic() > deadline:
                self.verdict.broken.append(f"in vain: {what}")
                return
            await asyncio.sleep(0.2)

    async def more_applied(self, count: int) -> None:
        """Wait until the hub has applied so many events more."""
        wanted = self.applied + count
        await self.until(lambda: self.applied >= wanted, f"{count} events more at the hub")

    def _settled(self) -> bool:
        try:
            meta = dict(ask(self.state / "outbox.db", "SELECT name, value FROM meta"))
            cursors = dict(ask(self.folder / "hub.db", "SELECT epoch, seq FROM cursor"))
            ((inside,),) = ask(self.folder / "hub.db", "SELECT count(*) FROM inside")
        except sqlite3.OperationalError:  # it is being made
            return False
        highest = int(meta.get("highest", 0))
        delivered = highest == int(meta.get("watermark", 0)) == cursors.get(meta["epoch"], 0)
        return delivered and highest > 0 and int(inside) == 0

    def _says_settled(self, since: float) -> bool:
        """Ask the agent, by a report later than `since`."""
        status = self.state / "status.json"
        try:
            fresh = status.stat().st_mtime > since
            delivery = json.loads(status.read_text(encoding="utf-8"))["delivery"]
        except (FileNotFoundError, ValueError):
            return False
        ((inside,),) = ask(self.folder / "hub.db", "SELECT count(*) FROM inside")
        return fresh and delivery["queue"] == 0 and int(inside) == 0

    def remember_memory(self) -> None:
        """Note what was given by outboxes in memory, of which nothing is left to deliver."""
        rows = ask(self.folder / "hub.db", "SELECT epoch, seq FROM cursor")
        on_disk = self.remember_epoch()
        for epoch, seq in rows:
            if epoch != on_disk:
                self.highest[_SOURCE, epoch] = seq

    def remember_epoch(self) -> str:
        """Note what this epoch gave, before its outbox goes; gives the epoch."""
        meta = dict(ask(self.state / "outbox.db", "SELECT name, value FROM meta"))
        epoch = str(meta["epoch"])
        self.highest[_SOURCE, epoch] = int(meta.get("highest", 0))
        return epoch

    def judge(self) -> Verdict:
        """Ask the oracle."""
        epoch = self.remember_epoch()
        held = ask(self.state / "outbox.db", "SELECT seq, body FROM event")
        kept = {((_SOURCE, epoch), seq): bytes(body).decode() for seq, body in held}
        rows = ask(
            self.folder / "hub.db",
            "SELECT source, id, type, epoch, seq, visitor, visit, body FROM applied ORDER BY rowid",
        )
        applied = [Row(*row) for row in rows]
        verdict = self.verdict
        verdict.committed = sum(self.highest.values())
        verdict.applied = len(applied)
        verdict.declared = sum(
            row.last - row.seq + 1 for row in applied if row.type == "presence.gap.v1"
        )
        verdict.findings = judge(Books(self.highest, kept, applied))
        ends = Counter(json.loads(row.body)["type"] for row in applied)
        verdict.note = verdict.note or f"{ends['presence.exit.v1']} visits"
        return verdict


@asynccontextmanager
async def live_store(folder: Path, seed: int) -> AsyncIterator[LiveStore]:
    """Start everything in `folder`; the agent's state folder exists and may be mounted upon."""
    shim = Shim(folder / "shim")
    (folder / "broker").mkdir()
    (folder / "state").mkdir(exist_ok=True)
    broker = Mosquitto(folder / "broker")
    write_agent_files(folder, broker.url, Crowd(seed, _CROWD).roster)
    with PrivateBus() as bus:
        async with BlueZPeer(bus.address) as peer, AsyncExitStack() as stack:
            environment = {
                **bus.environment,
                **shim.environment(folder / "state"),
                "DBUS_SYSTEM_BUS_ADDRESS": bus.address,
                "PYTHONASYNCIODEBUG": "1",  # it tells of whatever holds up the event loop
            }
            hub = Process("hub", hub_command_line(folder, broker.url), folder, bus.environment)
            agent = Process("agent", agent_command(folder), folder, environment)
            for process in (broker, hub, agent):
                await asyncio.to_thread(process.start)
                stack.push_async_callback(asyncio.to_thread, process.stop)
            yield LiveStore(folder, shim, peer, agent, seed)


def ask(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Read from a database that somebody else may be writing."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
        return reader.execute(query).fetchall()
