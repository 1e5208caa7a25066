"""What a scenario is set up on: a broker, a hub, a gate between, gateways, and the judging.

async with Stand(folder) as stand:
gateway = stand.gateway()
async with gateway.life():
await gateway.visits(40)
...                                  # break something; stand.injected += 1
stand.expect(await gateway.settled(), "not settled")
return stand.verdict("a figure")
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from simulators.fault_matrix.gate import Gate
from simulators.fault_matrix.gateway import Gateway
from simulators.fault_matrix.scenario import Verdict
from simulators.fault_oracle import Books, Row, Stream, judge
from simulators.hub import Hub
from simulators.mosquitto import Mosquitto

__all__ = ["HubLife", "Stand", "ask"]

_GOODBYE_S: Final = 20.0


def ask(database: Path, query: str) -> Sequence[tuple[Any, ...]]:
    """Read from a database that somebody else may be writing."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
        return reader.execute(query).fetchall()


class HubLife:
    """The reference hub, which may be away for a while and may be given another store."""

    def __init__(self, url: str, store: Path) -> None:
        """Prepare; `start` starts it."""
        self.store = store
        self._url = url
        self._hub: Hub | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the store and work."""
        self._hub = Hub(self._url, self.store)
        self._task = asyncio.create_task(self._hub.run(), name="hub")

    async def stop(self) -> None:
        """Go away, in order; what has arrived is applied first."""
        if self._hub is not None and self._task is not None:
            self._hub.stop()
            await asyncio.wait_for(self._task, _GOODBYE_S)
            self._hub.close()
        self._hub = self._task = None

    def restore(self, backup: Path, *, incarnation: int | None) -> None:
        """Put an older store in place while away, as an operator would; None keeps its number."""
        for suffix in ("-wal", "-shm"):
            self.store.with_name(self.store.name + suffix).unlink(missing_ok=True)
        self.store.write_bytes(backup.read_bytes())
        if incarnation is not None:
            with closing(sqlite3.connect(self.store)) as database, database:
                database.execute("UPDATE meta SET value = ? WHERE name = 'hub'", (incarnation,))

    def back_up(self, to: Path) -> None:
        """Copy the store as it is now."""
        with (
            closing(sqlite3.connect(self.store)) as source,
            closing(sqlite3.connect(to)) as target,
        ):
            source.backup(target)


class Stand:
    """Broker, hub and gate for the length of an `async with`."""

    def __init__(self, folder: Path, *, broker: Sequence[str] = (), hub: bool = True) -> None:
        """Prepare in an empty folder.

        Args:
            folder: takes everything that is written.
            broker: further lines of mosquitto's configuration.
            hub: whether the hub is there from the start.
        """
        self.folder = folder
        home = folder / "broker"
        home.mkdir(parents=True)
        self.broker = Mosquitto(home)
        with (home / "mosquitto.conf").open("a", encoding="utf-8") as config:
            config.writelines(f"{line}\n" for line in broker)
        self.hub = HubLife(self.broker.url, folder / "hub.db")
        self.gate = Gate(self.broker.port)
        self.gateways: list[Gateway] = []
        self.injected = 0
        self.broken: list[str] = []
        self._with_hub = hub
        self._began = time.monotonic()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.broker.start)
        self._stack.push_async_callback(asyncio.to_thread, self.broker.stop)
        await self._stack.enter_async_context(self.gate)
        self._stack.push_async_callback(self.hub.stop)
        if self._with_hub:
            await self.hub.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def gateway(self, name: str = "gw-1", **settings: Any) -> Gateway:
        """Set up a gateway whose way to the broker is the gate."""
        settings = {"url": f"mqtt://127.0.0.1:{self.gate.port}"} | settings
        gateway = Gateway(self.folder, settings.pop("url"), name, **settings)
        self.gateways.append(gateway)
        return gateway

    def expect(self, kept: object, otherwise: str) -> None:
        """Note a promise beside the oracle's."""
        if not kept:
            self.broken.append(otherwise)

    async def kill_broker(self, *, empty: bool = False) -> None:
        """Kill the broker and start it again, with or without what it had on disk."""
        self.broker.kill()
        if empty:
            self.broker.lose_database()
        await asyncio.to_thread(self.broker.start)
        self.injected += 1

    def verdict(self, note: str = "", *, declaring: bool = False) -> Verdict:
        """Judge what lies on disk; the gateways are at rest.

        Args:
            note: a figure worth telling.
            declaring: whether the fault entitles the gateway to drop anything at all.
        """
        applied = [
            Row(*row)
            for row in ask(
                self.hub.store,
                "SELECT source, id, type, epoch, seq, visitor, visit, body FROM applied"
                " ORDER BY rowid",
            )
        ]
        books = self._books(applied)
        findings = judge(books)
        declared = books.declared
        if declared and not declaring:
            self.broken.append(f"{declared} events declared dropped, where nothing may be")
        self.broken += self.gate.overruns
        ((refused,),) = ask(self.hub.store, "SELECT count(*) FROM refused")
        if refused:
            self.broken.append(f"{refused} messages refused by the hub")
        return Verdict(
            committed=len(books.told or ()),
            declared=declared,
            applied=sum(row.type != "presence.gap.v1" for row in applied),
            injected=self.injected,
            findings=findings,
            broken=self.broken,
            note=note,
        )

    def _books(self, applied: Sequence[Row]) -> Books:
        highest: dict[Stream, int] = {}
        earlier: dict[Stream, int] = defaultdict(int)
        kept: dict[tuple[Stream, int], str] = {}
        for gateway in self.gateways:
            topics = gateway.topics
            source = f"/{topics.tenant}/{topics.store}/{topics.gateway}"
            meta = dict(ask(gateway.outbox_file, "SELECT name, value FROM meta"))
            stream = (source, str(meta["epoch"]))
            for row in applied:  # of earlier epochs only the hub's copy is left
                if row.source == source and row.stream not in highest:
                    earlier[row.stream] = max(earlier[row.stream], row.last)
            highest[stream] = int(meta.get("highest", 0))
            held = ask(gateway.outbox_file, "SELECT seq, body FROM event")
            kept |= {(stream, seq): bytes(body).decode() for seq, body in held}
        told = [content for gateway in self.gateways for content in gateway.told]
        return Books(highest=earlier | highest, kept=kept, applied=applied, told=told)
