"""The reference hub: applies each event exactly once, and tells the gateway how far it is.

    python -m simulators hub --broker mqtt://127.0.0.1:1883 --store hub.db
    python -m simulators hub --broker mqtt://127.0.0.1:1883 --store postgresql://hub@db/presence

What a hub team needs to copy is one transaction. At-least-once delivery, the sender's numbers
without gaps and a cursor that moves in the same transaction as the data make exactly once:

    BEGIN;                                         -- SQLite: BEGIN IMMEDIATE, and no FOR UPDATE
    INSERT INTO cursor VALUES (:source, :epoch, 0) -- an epoch never heard of begins at 0
      ON CONFLICT (source, epoch) DO NOTHING;
    SELECT seq FROM cursor WHERE source = :source AND epoch = :epoch
      FOR UPDATE;                                  -- another worker waits here for our COMMIT
      -- first = seq, last = seq; for presence.gap.v1 last = data.to
      -- last < cursor + 1:   a duplicate:           change nothing
      -- first > cursor + 1:  something is missing:  change nothing
      -- else:
    INSERT INTO applied ...;                       -- whatever the hub does with an event
    UPDATE cursor SET seq = :last WHERE source = :source AND epoch = :epoch;
    COMMIT;   -- durable: synchronous_commit = on; SQLite: WAL and synchronous = FULL
    -- then, and only then, retained, QoS 1, in all cases:
    publish(".../ack", {"epoch": epoch, "seq": cursor, "hub": incarnation})

Never acknowledge before the commit, never apply outside the transaction, and never number an
incarnation twice: `hub` is the Unix time in milliseconds at which this store was created or
restored, so that a gateway believes a lower cursor only from a newer one. After a restore start
with `--restored`; `hub_store` says what the hub notices by itself, has the rules in full, and what
becomes of a message that is no event. Many events may share a transaction and an acknowledgement;
a transaction of many streams locks their cursors in one order. `python -m simulators hub-check`
tells whether a hub keeps to all this.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError

from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.mqtt import Ended, Opened, Protocol
from edge_agent.publish.topics import Topics
from simulators.hub_door import Arrival, Refusal
from simulators.hub_link import HubConnection, Link, Retained
from simulators.hub_sqlite import SqliteLedger
from simulators.hub_store import HubStore, Ledger, Outcome, StoreLostError

__all__ = ["Hub", "hub_command", "open_ledger"]

EVENTS: Final = "presence/v1/+/+/+/+/events"
ACKS: Final = "presence/v1/+/+/+/+/ack"
COALESCE_S: Final = 0.02  # company that an event waits for, to share a commit and a watermark
MOST_IN_BATCH: Final = 500
MOST_WAITING: Final = 20_000  # messages not yet applied; beyond it the newest is dropped
AHEAD_PATIENCE_S: Final = 0.2  # what is missing may be right behind what came too early
STABLE_S: Final = 10.0
FIRST_BACKOFF_S: Final = 0.25
LONGEST_BACKOFF_S: Final = 5.0
GOODBYE_S: Final = 2.0
LISTEN_S: Final = 5.0  # to what the broker retains, on each connection
STUCK_AFTER: Final = 10  # cursors told in vain to a gateway that is ahead


def open_ledger(store: Path | str) -> Ledger:
    """Open a database: `postgresql://…`, or the path of a SQLite file.

    Raises:
        StoreLostError: it cannot be opened.
    """
    if str(store).startswith(("postgresql://", "postgres://")):
        from simulators.hub_postgres import PostgresLedger  # noqa: PLC0415 - psycopg: only who asks

        return PostgresLedger(str(store))
    return SqliteLedger(Path(store))


class Hub:
    """A hub in this process: `with Hub(url, path) as hub: await hub.run()`.

    The store is open from the construction to `close`; everything else happens in `run`.
    """

    def __init__(
        self,
        broker: str,
        store: Path | str,
        *,
        restored: bool = False,
        client_id: str = "presence-hub",
        on_applied: Callable[[dict[str, Any]], None] | None = None,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        """Open the store.

        Args:
            broker: `mqtt://host[:port]` or `mqtts://host[:port]`.
            store: the database, as `open_ledger` takes it.
            restored: the store comes from a backup: take a new incarnation.
            client_id: stable and unique at the broker, which keeps a session under it.
            on_applied: called with each event, in order, in the loop's thread, after its commit.
            on_trouble: called with a sentence when a message is refused or a connection ends.

        Raises:
            ValueError: `broker` is no such URL.
            StoreLostError: the database cannot be opened.
        """
        self._broker = urlsplit(broker)
        if self._broker.scheme not in ("mqtt", "mqtts") or not self._broker.hostname:
            raise ValueError("a broker is mqtt://host:port or mqtts://host:port")
        self._client_id = client_id
        self._on_applied = on_applied
        self._on_trouble = on_trouble
        self._where = store
        self._store = HubStore(open_ledger(store), restored=restored)
        self._counts = self._store.counts()
        self._inbox: deque[Arrival] = deque()
        self._arrived = asyncio.Event()
        self._links: asyncio.Queue[Opened | Ended] = asyncio.Queue()
        self._connection: HubConnection | None = None
        self._connected = self._understood = False  # in one version of MQTT or the other
        self._stopping = False
        self._stopped = asyncio.Event()
        self._retained: dict[str, Acknowledgement] = {}  # by topic root, as the broker kept them
        self._told: dict[str, Acknowledgement] = {}  # by topic root, as last published
        self._owed: dict[str, Acknowledgement] = {}  # to be repeated, unless told meanwhile
        self._in_vain: Counter[str] = Counter()  # cursors repeated, by topic root
        self.dropped = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def incarnation(self) -> int:
        """Unix milliseconds when the store was created or restored."""
        return self._store.hub

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._connected

    @property
    def applied(self) -> Counter[str]:
        """How many events were applied, by type, since the store was created."""
        return self._counts.copy()

    def close(self) -> None:
        """Close the store; after `run` has returned."""
        self._store.close()

    def stop(self) -> None:
        """Let `run` return; what has arrived is applied first."""
        self._stopping = True
        self._stopped.set()
        self._arrived.set()
        if self._connection is not None:
            self._connection.close()
            # The broker may be a black hole.
            asyncio.get_running_loop().call_later(
                GOODBYE_S, self._links.put_nowait, Ended("stopped")
            )

    async def run(self) -> None:
        """Apply and acknowledge until `stop`, through any loss of the broker."""
        with ThreadPoolExecutor(1, thread_name_prefix="hub store") as worker:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._apply(worker), name="hub store")
                tasks.create_task(self._link(worker), name="hub link")

    async def _apply(self, worker: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping or self._inbox:
            await self._arrived.wait()
            await asyncio.sleep(COALESCE_S)
            self._arrived.clear()
            try:
                await self._compare(worker)
                while self._inbox:
                    size = min(MOST_IN_BATCH, len(self._inbox))
                    batch = [self._inbox.popleft() for _ in range(size)]
                    self._report(await loop.run_in_executor(worker, self._store.apply, batch))
            except StoreLostError as error:  # what it was given is unacknowledged, and comes again
                await self._reopen(worker, error)

    async def _compare(self, worker: ThreadPoolExecutor) -> None:
        """See whether the broker remembers more than the store, which then was restored."""
        told, self._retained = self._retained, {}
        if not told:
            return
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(worker, self._store.forgot, told):
            self._complain("the store knows less than was acknowledged: a new incarnation begins")
            for source, mark in (
                await loop.run_in_executor(worker, self._store.watermarks)
            ).items():
                self._publish(Topics(*source.strip("/").split("/")).root, mark)

    async def _reopen(self, worker: ThreadPoolExecutor, error: StoreLostError) -> None:
        """Open the store again, however often it takes."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            self._complain(f"no store, next try in {LONGEST_BACKOFF_S:.0f} s at most: {error}")
            await self._pause(random.uniform(0, LONGEST_BACKOFF_S))
            try:
                self._store.close()
                self._store = await loop.run_in_executor(
                    worker, lambda: HubStore(open_ledger(self._where))
                )
            except StoreLostError as again:
                error = again
            else:
                return
        self._inbox.clear()

    def _report(self, outcome: Outcome) -> None:
        """Say what is on disk now: to the gateways, and to whoever watches."""
        for root, watermark in outcome.tell.items():
            self._owed.pop(root, None)
            self._in_vain.pop(root, None)
            self._publish(root, watermark)
        for root, watermark in outcome.repeat.items():
            if root not in self._owed:
                asyncio.get_running_loop().call_later(AHEAD_PATIENCE_S, self._repeat, root)
            self._owed[root] = watermark
        for event in outcome.applied:
            self._counts[event["type"]] += 1
            if self._on_applied is not None:
                self._on_applied(event)
        for refusal in outcome.refused:
            self._complain(f"refused, set aside and not acknowledged: {_sentence(refusal)}")

    def _repeat(self, root: str) -> None:
        watermark = self._owed.pop(root, None)
        if watermark is None:
            return
        self._publish(root, watermark)
        self._in_vain[root] += 1
        if self._in_vain[root] == STUCK_AFTER:
            self._complain(
                f"{root} goes on beyond {watermark.seq} however often it is told: if this store"
                " comes from a backup, start the hub with --restored"
            )

    def _publish(self, root: str, watermark: Acknowledgement) -> None:
        """Publish a watermark; without a connection the next one begins with it."""
        self._told[root] = watermark
        if self._connected and self._connection is not None:
            self._connection.publish(f"{root}/ack", watermark.model_dump_json().encode())

    async def _link(self, worker: ThreadPoolExecutor) -> None:
        """Keep one connection after another, with full jitter between failures."""
        loop = asyncio.get_running_loop()
        protocol, failures = Protocol.V5, 0
        for source, watermark in (
            await loop.run_in_executor(worker, self._store.watermarks)
        ).items():
            self._told.setdefault(Topics(*source.strip("/").split("/")).root, watermark)
        while not self._stopping:
            began = loop.time()
            ended = await self._connected_life(protocol)
            if ended.wrong_protocol or (ended.unanswered and not self._understood):
                protocol = protocol.other
            failures = 0 if loop.time() - began > STABLE_S else failures + 1
            longest = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**failures)
            pause = random.uniform(0, longest)
            if not self._stopping:
                self._complain(f"no broker, next try in {pause:.1f} s: {ended.reason}")
                await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless stopped."""
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return

    async def _connected_life(self, protocol: Protocol) -> Ended:
        connection = self._connection = HubConnection(
            self._broker, self._client_id, (EVENTS, ACKS), protocol, self._take
        )
        connection.open()
        listened: asyncio.TimerHandle | None = None
        try:
            while True:
                happened = await self._links.get()
                if isinstance(happened, Ended):
                    return happened
                if self._stopping:
                    connection.close()
                self._connected = self._understood = True
                listened = asyncio.get_running_loop().call_later(
                    LISTEN_S, connection.unsubscribe, ACKS
                )
                # A broker that was killed may have lost what it retained.
                for root, watermark in self._told.items():
                    self._publish(root, watermark)
        finally:
            self._connected, self._connection = False, None
            if listened is not None:
                listened.cancel()
            connection.close()

    def _take(self, happened: Link) -> None:
        if isinstance(happened, Opened | Ended):
            self._links.put_nowait(happened)
        elif happened.topic.endswith("/ack"):
            if isinstance(happened, Retained):  # else it is our own, or another worker's
                self._take_retained(happened)
        elif len(self._inbox) < MOST_WAITING:
            self._inbox.append(Arrival(happened.topic, happened.payload, time.time()))
            self._arrived.set()
        else:
            self.dropped += 1  # it was not acknowledged, so its gateway sends it again

    def _take_retained(self, kept: Retained) -> None:
        with contextlib.suppress(ValidationError):  # nothing that a hub of ours has said
            ack = Acknowledgement.model_validate_json(kept.payload)
            self._retained[kept.topic.removesuffix("/ack")] = ack
            self._arrived.set()

    def _complain(self, sentence: str) -> None:
        if self._on_trouble is not None:
            self._on_trouble(sentence)


def _sentence(refusal: Refusal) -> str:
    return f"{refusal.topic}: {refusal.reason}"


def hub_command(
    broker: Annotated[str, typer.Option(help="The broker's URL.")] = "mqtt://127.0.0.1:1883",
    store: Annotated[
        str, typer.Option(help="What was applied: a SQLite file, or postgresql://…")
    ] = "hub.db",
    client_id: Annotated[
        str, typer.Option(help="Unique at the broker; each worker of a database has its own.")
    ] = "presence-hub",
    *,
    restored: Annotated[
        bool, typer.Option("--restored", help="The store comes from a backup; say it once.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json/--quiet", help="Print each applied event, or only counts.")
    ] = True,
) -> None:
    """Apply events exactly once and acknowledge them, until SIGTERM or ctrl-C."""

    def say(sentence: str) -> None:
        typer.echo(sentence, err=True)

    def write(event: dict[str, Any]) -> None:
        try:
            sys.stdout.write(json.dumps(event, separators=(",", ":")) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            hub.stop()

    async def serve() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, hub.stop)
        await hub.run()

    try:
        hub = Hub(
            broker,
            store,
            restored=restored,
            client_id=client_id,
            on_applied=write if as_json else None,
            on_trouble=say,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--broker") from None
    except StoreLostError as error:
        raise typer.BadParameter(str(error), param_hint="--store") from None
    with hub:
        say(f"hub {hub.incarnation} applies {EVENTS} of {broker} to {store.rpartition('@')[2]}")
        asyncio.run(serve())
        say(f"applied since the store was created: {dict(sorted(hub.applied.items()))}")


if __name__ == "__main__":
    typer.run(hub_command)
