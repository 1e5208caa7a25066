"""Kill agent, broker and hub at random, and see whether anything was lost, doubled or leaked.

    python -m simulators.faults --seconds 60 --events 5000 --seed 1        (or: make faults)

A crowd comes and goes on a simulated Bluetooth stack; the real agent hears it through the
unmodified bleak and tells the real hub through a real mosquitto. Every few seconds one of the three
is killed with SIGKILL: the agent is started again at once, as systemd would, broker and hub within
some seconds, so that outages overlap, and half of the brokers come back empty. Then the crowd
leaves, everything settles, and `fault_oracle` compares the two databases while `canary` looks for
radio addresses and keys in every file that was written and every octet that was sent.

Exit code 0: every promise was kept. 1: one was not, or too little happened to tell; the files are
then left for inspection. 2: mosquitto or dbus-daemon is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from simulators.bluez import BlueZPeer
from simulators.canary import Canary
from simulators.crowd import EVENTS_PER_S, EXIT_S, Crowd
from simulators.fault_oracle import Books, Findings, Row, judge
from simulators.fault_peers import (
    Process,
    Tap,
    agent_command,
    hub_command_line,
    write_agent_files,
)
from simulators.mosquitto import Mosquitto
from simulators.private_bus import PrivateBus

__all__ = ["FaultRun", "Report", "run_faults"]

KILL_EVERY_S: Final = 60 / 22
OUTAGE_S: Final = 3.0  # at most, of broker and hub
COMES_BACK_EMPTY: Final = 0.5  # of the brokers killed
HEADROOM: Final = 1.5  # while the agent is down nobody is heard
MOST_LONGER: Final = 3.0  # times the seconds asked for, until there are events enough
SETTLE_S: Final = 180.0  # a link that has failed often may pause for a minute, and so may a resend
ORPHAN_S: Final = 30.0
QUIET_S: Final = EXIT_S + 4.0  # after which everybody has left, where the agent hears

Peer = Process | Mosquitto


@dataclass(slots=True)
class Report:
    """What happened, and what was found."""

    asked: int  # events that were to be judged
    committed: int = 0
    applied: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)  # ends that nobody ordered
    epochs: int = 0
    refused: int = 0
    settled_s: float | None = None
    findings: Findings = field(default_factory=Findings)
    secrets: int = 0
    searched: int = 0  # octets
    leaks: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What was wrong, in words; nothing when every promise was kept."""
        wrong = [f"{count} {name}" for name, count in self.findings.counts.items() if count]
        if self.committed < self.asked:
            wrong.append(f"only {self.committed} events of the {self.asked} asked for")
        if self.settled_s is None:
            wrong.append(f"not settled within {SETTLE_S:.0f} s")
        if self.epochs > 1:
            wrong.append(f"{self.epochs} epochs, where nothing may have damaged the outbox")
        if self.refused:
            wrong.append(f"{self.refused} messages refused by the hub")
        wrong += self.crashes
        wrong += self.leaks
        return wrong

    def table(self) -> Table:
        """Lay the report out."""
        table = Table("", "count", title="faults: agent, broker and hub killed at random")
        for name, count in sorted(self.kills.items()):
            table.add_row(f"kill -9 of the {name}", f"{count}")
        table.add_row("events committed by the agent", f"{self.committed}")
        for kind, count in sorted(self.applied.items()):
            table.add_row(f"  applied: {kind}", f"{count}")
        for name, count in self.findings.counts.items():
            table.add_row(name, f"[{'red' if count else 'green'}]{count}[/]")
        settled = "never" if self.settled_s is None else f"{self.settled_s:.1f} s"
        table.add_row("settled after", settled)
        table.add_row("crashes nobody ordered", f"{len(self.crashes)}")
        table.add_row(
            f"leaks of {self.secrets} secrets in {self.searched >> 20} MiB",
            f"[{'red' if self.leaks else 'green'}]{len(self.leaks)}[/]",
        )
        return table


class FaultRun:
    """One run in a folder, which holds all that was written when it is over."""

    def __init__(self, folder: Path, *, seconds: float, events: int, seed: int) -> None:
        """Plan a storm of `seconds` that goes on for longer where `events` take longer."""
        self._folder = folder
        self._seconds = seconds
        self._dice = random.Random(seed)
        self._crowd = Crowd(seed, math.ceil(HEADROOM * events / seconds / EVENTS_PER_S))
        self._given: list[Path] = []  # by the operator: these may hold keys
        self._peers: dict[str, Peer] = {}
        self._down: set[str] = set()
        self.report = Report(asked=events)

    async def run(self) -> Report:
        """Do it all.

        Raises:
            FileNotFoundError: mosquitto or dbus-daemon is missing.
        """
        with PrivateBus() as bus:
            async with BlueZPeer(bus.address) as peer, self._started(bus):
                crowd = asyncio.create_task(self._crowd.run(peer), name="crowd")
                try:
                    await peer.until_scanning(patience=30)
                    await self._storm()
                    self._crowd.leave()
                    await self._settle()
                finally:
                    crowd.cancel()
                    await asyncio.wait({crowd})
                if not crowd.cancelled():
                    crowd.result()
        await asyncio.to_thread(self._judge)
        return self.report

    @asynccontextmanager
    async def _started(self, bus: PrivateBus) -> AsyncIterator[None]:
        """Start broker, hub and agent; end them in order."""
        folder = self._folder
        home = folder / "broker"
        home.mkdir(parents=True)
        broker = Mosquitto(home)
        async with Tap(broker.port, folder / "wire") as tap, AsyncExitStack() as stack:
            wire = f"mqtt://127.0.0.1:{tap.port}"
            self._given = write_agent_files(folder, wire, self._crowd.roster)
            hub = Process("hub", hub_command_line(folder, broker.url), folder, bus.environment)
            agent = Process("agent", agent_command(folder), folder, bus.environment)
            self._peers = {"broker": broker, "hub": hub, "agent": agent}
            for process in self._peers.values():
                await asyncio.to_thread(process.start)
                stack.push_async_callback(asyncio.to_thread, process.stop)
            yield

    async def _storm(self) -> None:
        """Kill one after another until time is up and enough has happened."""
        began = time.monotonic()
        victims: list[str] = []
        async with asyncio.TaskGroup() as revivals:
            while True:
                await asyncio.sleep(KILL_EVERY_S * self._dice.uniform(0.3, 1.7))
                passed = time.monotonic() - began
                enough = self._seen() >= self.report.asked
                if passed > self._seconds * (1 if enough else MOST_LONGER):
                    return
                await self._mind()
                if not victims:  # each has its turn, in an order of its own every time
                    victims = self._dice.sample(sorted(self._peers), len(self._peers))
                victim = victims.pop()
                if victim not in self._down:
                    self.report.kills[victim] += 1
                    self._down.add(victim)
                    self._peers[victim].kill()
                    revivals.create_task(self._revive(victim), name=f"revive {victim}")

    async def _revive(self, name: str) -> None:
        """Start what was killed: the agent at once, as systemd would, the others when they can.

        A broker that is killed while the hub is away takes with it what it has acknowledged; so
        does one that the agent finds before the hub does, and one that comes back empty.
        """
        if name != "agent":
            await asyncio.sleep(self._dice.uniform(0, OUTAGE_S))
        peer = self._peers[name]
        if isinstance(peer, Mosquitto) and self._dice.random() < COMES_BACK_EMPTY:
            peer.lose_database()
        await asyncio.to_thread(peer.start)
        self._down.discard(name)

    async def _mind(self) -> None:
        """Start again what ended by itself, and say so: nobody told it to."""
        for name, process in self._peers.items():
            code = process.ended
            if code is not None:
                self.report.crashes.append(f"the {name} ended by itself with code {code}")
                process.stop()
                await asyncio.to_thread(process.start)

    def _seen(self) -> int:
        """Count what the hub has said so far; the databases are left alone until the end."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / "hub.out").read_bytes().count(b"\n")
        return 0

    async def _settle(self) -> None:
        """Wait until everybody has left and the hub has all that the agent has."""
        began = moved = time.monotonic()
        highest = -1
        while (now := time.monotonic()) - began < SETTLE_S:
            await asyncio.sleep(0.25)
            await self._mind()
            rest = await asyncio.to_thread(_rest, self._folder)
            if rest.highest != highest:
                highest, moved = rest.highest, now
            # Whoever is in long after the last event will stay: an orphan, for the oracle to find.
            patience = ORPHAN_S if rest.inside else 0.0
            if rest.delivered and now - began > QUIET_S and now - moved > patience:
                self.report.settled_s = now - began
                return

    def _judge(self) -> None:
        report, folder = self.report, self._folder
        books = read_books(folder)
        report.committed = sum(books.highest.values())
        report.epochs = len({row.stream for row in books.applied} | set(books.highest))
        report.applied = Counter(row.type for row in books.applied)
        ((report.refused,),) = _ask(folder / "hub.db", "SELECT count(*) FROM refused")
        report.findings = judge(books)
        secrets = self._crowd.secrets
        report.secrets = len(secrets)
        report.searched = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        report.leaks = [
            f"{leak.kind} ({leak.encoding}) in {leak.file.relative_to(folder)} at {leak.offset}"
            for leak in Canary(secrets).search(folder, but=self._given)
        ]


def read_books(folder: Path) -> Books:
    """Read what the agent and the hub have on disk."""
    outbox = folder / "state" / "outbox.db"
    meta = dict(_ask(outbox, "SELECT name, value FROM meta"))
    held = _ask(outbox, "SELECT seq, body FROM event ORDER BY seq")
    sources = [json.loads(body)["source"] for _, body in held[:1]] or [""]
    stream = (sources[0], str(meta["epoch"]))
    rows = _ask(
        folder / "hub.db",
        "SELECT source, id, type, epoch, seq, visitor, visit, body FROM applied ORDER BY rowid",
    )
    return Books(
        highest={stream: int(meta.get("highest", 0))},
        kept={(stream, seq): bytes(body).decode() for seq, body in held},
        applied=[Row(*row) for row in rows],
    )


@dataclass(frozen=True, slots=True)
class _Rest:
    """How far agent and hub are."""

    highest: int
    delivered: bool  # and known to be
    inside: int


def _rest(folder: Path) -> _Rest:
    meta = dict(_ask(folder / "state" / "outbox.db", "SELECT name, value FROM meta"))
    cursors = dict(_ask(folder / "hub.db", "SELECT epoch, seq FROM cursor"))
    ((inside,),) = _ask(folder / "hub.db", "SELECT count(DISTINCT visitor) FROM inside")
    highest = int(meta.get("highest", 0))
    delivered = highest == meta.get("watermark", 0) == cursors.get(meta["epoch"], 0)
    return _Rest(highest, delivered, int(inside))


def _ask(database: Path, query: str) -> Sequence[tuple[Any, ...]]:
    """Read from a database that somebody else may be writing."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
        return reader.execute(query).fetchall()


async def run_faults(folder: Path, *, seconds: float, events: int, seed: int) -> Report:
    """Run once in `folder`, which must be empty.

    Raises:
        FileNotFoundError: mosquitto or dbus-daemon is missing.
    """
    return await FaultRun(folder, seconds=seconds, events=events, seed=seed).run()


def faults_command(
    *,
    seconds: Annotated[float, typer.Option(min=5, help="How long to kill.")] = 60,
    events: Annotated[int, typer.Option(min=1, help="How many events at least to judge.")] = 5000,
    seed: Annotated[int, typer.Option(help="Another crowd, other kills.")] = 1,
) -> None:
    """Kill agent, broker and hub at random, then judge what arrived and what leaked."""
    prose = Console(stderr=True, highlight=False, soft_wrap=True)
    folder = Path(tempfile.mkdtemp(prefix="edge-agent-faults-"))
    try:
        report = asyncio.run(run_faults(folder, seconds=seconds, events=events, seed=seed))
    except FileNotFoundError as missing:
        prose.print(str(missing), style="red", markup=False)
        raise typer.Exit(2) from None
    Console().print(report.table())
    if not report.faults:
        shutil.rmtree(folder)
        prose.print("every promise was kept", style="green")
        return
    for fault in (*report.faults, *report.findings.stories):
        prose.print(fault, style="red", markup=False)
    prose.print(f"the files are left in {folder}", markup=False)
    raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(faults_command)
