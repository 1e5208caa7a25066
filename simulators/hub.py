"""The reference hub: applies each event exactly once, and tells the gateway how far it is.

    python -m simulators hub --broker mqtt://127.0.0.1:1883 --store hub.db

What a hub team needs to copy is one transaction. At-least-once delivery, the sender's numbers
without gaps and a cursor that moves in the same transaction as the data make exactly once:

    BEGIN IMMEDIATE;
    SELECT seq FROM cursor WHERE source = :source AND epoch = :epoch;    -- none: 0
      -- first = seq, last = seq; for presence.gap.v1 last = data.to
      -- last < cursor + 1:   a duplicate:     change nothing
      -- first > cursor + 1:  something is missing: change nothing
      -- else:
    INSERT INTO applied ...;                                             -- whatever the hub does
    INSERT OR REPLACE INTO cursor VALUES (:source, :epoch, :last);
    COMMIT;                                                -- durable: WAL and synchronous=FULL
    -- then, and only then, retained, QoS 1, in all cases:
    publish(".../ack", {"epoch": epoch, "seq": cursor, "hub": incarnation})

Never acknowledge before the commit, never apply outside the transaction, and never number an
incarnation twice: `hub` is the Unix time in milliseconds at which this store was created or
restored, so that a gateway believes a lower cursor only from a newer one. Many events may share a
transaction and an acknowledgement. `hub_store` has the rules in full, and what becomes of a
message that is no event.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

import typer

from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.mqtt import Ended, Message, Opened, Protocol
from edge_agent.publish.topics import Topics
from simulators.hub_link import HubConnection, Link
from simulators.hub_store import Arrival, HubStore, Outcome, Refusal

__all__ = ["Hub", "hub_command"]

EVENTS: Final = "presence/v1/+/+/+/+/events"
COALESCE_S: Final = 0.02  # company that an event waits for, to share a commit and a watermark
MOST_IN_BATCH: Final = 500
MOST_WAITING: Final = 20_000  # messages not yet applied; beyond it the newest is dropped
AHEAD_PATIENCE_S: Final = 0.2  # what is missing may be right behind what came too early
STABLE_S: Final = 10.0
FIRST_BACKOFF_S: Final = 0.25
LONGEST_BACKOFF_S: Final = 5.0
GOODBYE_S: Final = 2.0


class Hub:
    """A hub in this process: `with Hub(url, path) as hub: await hub.run()`.

    The store is open from the construction to `close`; everything else happens in `run`.
    """

    def __init__(
        self,
        broker: str,
        store: Path,
        *,
        client_id: str = "presence-hub",
        on_applied: Callable[[dict[str, Any]], None] | None = None,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        """Open the store.

        Args:
            broker: `mqtt://host[:port]` or `mqtts://host[:port]`.
            store: the database, created where there is none.
            client_id: stable and unique at the broker, which keeps a session under it.
            on_applied: called with each event, in order, in the loop's thread, after its commit.
            on_trouble: called with a sentence when a message is refused or a connection ends.

        Raises:
            ValueError: `broker` is no such URL.
        """
        self._broker = urlsplit(broker)
        if self._broker.scheme not in ("mqtt", "mqtts") or not self._broker.hostname:
            raise ValueError("a broker is mqtt://host:port or mqtts://host:port")
        self._client_id = client_id
        self._on_applied = on_applied
        self._on_trouble = on_trouble
        self._store = HubStore(store)
        self._counts = self._store.counts()
        self._inbox: deque[Arrival] = deque()
        self._arrived = asyncio.Event()
        self._links: asyncio.Queue[Opened | Ended] = asyncio.Queue()
        self._connection: HubConnection | None = None
        self._connected = False
        self._stopping = False
        self._stopped = asyncio.Event()
        self._told: dict[str, Acknowledgement] = {}  # by topic root, as last published
        self._owed: dict[str, Acknowledgement] = {}  # to be repeated, unless told meanwhile
        self.dropped = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def incarnation(self) -> int:
        """Unix milliseconds when the store was created."""
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
            while self._inbox:
                size = min(MOST_IN_BATCH, len(self._inbox))
                batch = [self._inbox.popleft() for _ in range(size)]
                self._report(await loop.run_in_executor(worker, self._store.apply, batch))

    def _report(self, outcome: Outcome) -> None:
        """Say what is on disk now: to the gateways, and to whoever watches."""
        for root, watermark in outcome.tell.items():
            self._owed.pop(root, None)
            self._publish(root, watermark)
        for root, watermark in outcome.repeat.items():
            if root not in self._owed and root not in outcome.tell:
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
        if watermark is not None:
            self._publish(root, watermark)

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
            if ended.wrong_protocol:
                protocol = Protocol.V311 if protocol is Protocol.V5 else Protocol.V5
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
            self._broker, self._client_id, EVENTS, protocol, self._take
        )
        connection.open()
        try:
            while True:
                happened = await self._links.get()
                if isinstance(happened, Ended):
                    return happened
                if self._stopping:
                    connection.close()
                self._connected = True
                # A broker that was killed may have lost what it retained.
                for root, watermark in self._told.items():
                    self._publish(root, watermark)
        finally:
            self._connected, self._connection = False, None
            connection.close()

    def _take(self, happened: Link) -> None:
        if not isinstance(happened, Message):
            self._links.put_nowait(happened)
        elif len(self._inbox) < MOST_WAITING:
            self._inbox.append(Arrival(happened.topic, happened.payload))
            self._arrived.set()
        else:
            self.dropped += 1  # it was not acknowledged, so its gateway sends it again

    def _complain(self, sentence: str) -> None:
        if self._on_trouble is not None:
            self._on_trouble(sentence)


def _sentence(refusal: Refusal) -> str:
    return f"{refusal.topic}: {refusal.reason}"


def hub_command(
    broker: Annotated[str, typer.Option(help="The broker's URL.")] = "mqtt://127.0.0.1:1883",
    store: Annotated[Path, typer.Option(help="What was applied, SQLite.")] = Path("hub.db"),
    *,
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
        hub = Hub(broker, store, on_applied=write if as_json else None, on_trouble=say)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--broker") from None
    with hub:
        say(f"hub {hub.incarnation} applies {EVENTS} of {broker} to {store}")
        asyncio.run(serve())
        say(f"applied since the store was created: {dict(sorted(hub.applied.items()))}")


if __name__ == "__main__":
    typer.run(hub_command)
