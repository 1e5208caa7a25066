from __future__ import annotations

import asyncio
import json
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from simulators.hub import Hub
from simulators.mosquitto import Mosquitto
from simulators.postgres import PostgreSQL

pytestmark = pytest.mark.broker

ROOT = "presence/v1/acme/26/0042/gw-1"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC).isoformat()


def enter(seq: int, *, epoch: str = "e1", gateway: str = "gw-1", **changed: Any) -> dict[str, Any]:
    """Write the event number `seq`: somebody of her own enters."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{gateway}:{epoch}:{seq}",
        "source": f"/acme/0042/{gateway}",
        "type": "presence.enter.v1",
        "subject": f"v-{seq}",
        "time": NOON,
        "datacontenttype": "application/json",
        "dataschema": "urn:edge-agent:presence:v1:enter",
        "epoch": epoch,
        "seq": seq,
        "boot": "b",
        "clock": "synchronised",
        "data": {
            "visit": f"visit-{seq}",
            "visitor": f"v-{seq}",
            "store": "0042",
            "zone": "floor",
            "entered_at": NOON,
            "decided_at": NOON,
            "sources": ["ble"],
            "confidence": 0.9,
        },
    }
    return event | changed


def tombstone(first: int, last: int) -> dict[str, Any]:
    """Write a tombstone for `first` to `last`."""
    event = enter(first, type="presence.gap.v1")
    del event["subject"]
    return event | {"data": {"from": first, "to": last, "reason": "erased", "counts": {}}}


class Gateway:
    """A plain paho publisher that collects the watermarks told to it."""

    def __init__(self, broker: Mosquitto, name: str = "gw-1") -> None:
        self._root = ROOT.replace("gw-1", name)
        self.acks: queue.Queue[dict[str, Any]] = queue.Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.acks.put(
            json.loads(message.payload)
        )
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self._client.subscribe(f"{self._root}/ack", qos=1)
        assert subscribed.wait(5)

    def send(self, *events: dict[str, Any] | bytes) -> None:
        """Publish events, in order, and wait for the broker to have them."""
        for event in events:
            body = event if isinstance(event, bytes) else json.dumps(event).encode()
            sent = self._client.publish(f"{self._root}/events", body, qos=1)
        sent.wait_for_publish(5)

    async def told(self, epoch: str, seq: int, *, patience: float = 10.0) -> dict[str, Any]:
        """Wait for a watermark, past others."""
        async with asyncio.timeout(patience):
            while True:
                try:
                    ack = self.acks.get_nowait()
                except queue.Empty:
                    await asyncio.sleep(0.01)
                    continue
                if (ack["epoch"], ack["seq"]) == (epoch, seq):
                    return ack

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()


class Books:
    """The hub's database as somebody else reads it."""

    def __init__(self, store: Path | str) -> None:
        self.store = store

    def __call__(self, query: str) -> list[tuple[Any, ...]]:
        """Read the hub's database."""
        if isinstance(self.store, str):
            with psycopg.connect(self.store) as reader:
                return reader.execute(query).fetchall()
        with closing(sqlite3.connect(self.store)) as database:
            return database.execute(query).fetchall()

    @property
    def seqs(self) -> list[int]:
        """The seqs applied, in order."""
        return [seq for (seq,) in self("SELECT seq FROM applied ORDER BY n")]


@pytest.fixture
def gateway(broker: Mosquitto) -> Iterator[Gateway]:
    """The gateway gw-1."""
    sender = Gateway(broker)
    yield sender
    sender.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Books:
    """Where the hub writes: each story is told of both databases."""
    if request.param == "sqlite":
        return Books(tmp_path / "hub.db")
    cluster: PostgreSQL = request.getfixturevalue("postgres")
    return Books(cluster.database())


async def until(condition: Callable[[], bool], patience: float = 10.0) -> None:
    """Wait for something; raises TimeoutError."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.01)


@asynccontextmanager
async def hub(broker: Mosquitto, books: Books, **options: Any) -> AsyncIterator[Hub]:
    """Run a hub until the end of the block."""
    with Hub(broker.url, books.store, **options) as running:
        task = asyncio.create_task(running.run(), name="hub")
        try:
            await until(lambda: running.connected or task.done())
            yield running
        finally:
            running.stop()
            await task


async def test_events_in_order_are_applied_and_acknowledged(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """Events 1 to 3 are applied, observed, counted, and acknowledged up to 3."""
    seen: list[int] = []
    async with hub(broker, books, on_applied=lambda event: seen.append(event["seq"])) as running:
        gateway.send(enter(1), enter(2), enter(3))
        ack = await gateway.told("e1", 3)
        assert ack == {"epoch": "e1", "seq": 3, "hub": running.incarnation}
        assert running.applied == {"presence.enter.v1": 3}
    assert books.seqs == seen == [1, 2, 3]


async def test_a_duplicate_changes_nothing_and_is_acknowledged_again(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """An event sent twice is applied once, and the cursor is told a second time."""
    async with hub(broker, books):
        gateway.send(enter(1), enter(2))
        await gateway.told("e1", 2)
        gateway.send(enter(1))
        await gateway.told("e1", 2)
    assert books.seqs == [1, 2]


async def test_an_event_beyond_a_gap_waits_for_its_sender(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """Event 3 before 2 is not applied, the cursor is told again, and resending heals it."""
    async with hub(broker, books):
        gateway.send(enter(1))
        await gateway.told("e1", 1)
        gateway.send(enter(3))
        await gateway.told("e1", 1)
        gateway.send(enter(2), enter(3))
        await gateway.told("e1", 3)
    assert books.seqs == [1, 2, 3]


async def test_a_tombstone_moves_the_cursor_to_its_end(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """A tombstone of 2 to 5 after 1 moves the cursor to 5, and 6 follows."""
    async with hub(broker, books):
        gateway.send(enter(1), tombstone(2, 5), enter(6))
        await gateway.told("e1", 6)
    assert books.seqs == [1, 2, 6]


async def test_a_tombstone_that_begins_before_the_cursor_applies(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """A hub at 2 takes the tombstone of 1 to 4 as the news that 3 and 4 are gone."""
    async with hub(broker, books):
        gateway.send(enter(1), enter(2), tombstone(1, 4), enter(5))
        await gateway.told("e1", 5)
    assert books.seqs == [1, 2, 1, 5]


async def test_an_old_tombstone_is_a_duplicate(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """A tombstone whose whole range was passed changes nothing."""
    async with hub(broker, books):
        gateway.send(enter(1), enter(2))
        await gateway.told("e1", 2)
        gateway.send(tombstone(1, 2))
        await gateway.told("e1", 2)
    assert books.seqs == [1, 2]


async def test_a_tombstone_beyond_a_gap_is_not_applied(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """A tombstone of 3 to 5 does not excuse the missing 2."""
    async with hub(broker, books):
        gateway.send(enter(1))
        await gateway.told("e1", 1)
        gateway.send(tombstone(3, 5))
        await gateway.told("e1", 1)
    assert books.seqs == [1]


async def test_an_unknown_epoch_begins_at_zero(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """The second epoch counts from 1; its event 4 alone is answered with a cursor of 0."""
    async with hub(broker, books):
        gateway.send(enter(1), enter(2))
        await gateway.told("e1", 2)
        gateway.send(enter(4, epoch="e2"))
        await gateway.told("e2", 0)
        gateway.send(enter(1, epoch="e2"))
        await gateway.told("e2", 1)
    assert books("SELECT epoch, seq FROM cursor ORDER BY epoch") == [("e1", 2), ("e2", 1)]


async def test_two_gateways_have_cursors_of_their_own(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """A gap of one gateway holds up nobody else."""
    other = Gateway(broker, "gw-2")
    async with hub(broker, books):
        gateway.send(enter(2))
        other.send(enter(1, gateway="gw-2"))
        await other.told("e1", 1)
    other.close()
    assert books("SELECT source FROM applied") == [("/acme/0042/gw-2",)]


async def test_a_restarted_hub_keeps_cursor_and_incarnation(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """A hub that comes back tells where it was, unasked, and goes on from there."""
    async with hub(broker, books) as first:
        gateway.send(enter(1), enter(2))
        told = await gateway.told("e1", 2)
    async with hub(broker, books) as second:
        assert await gateway.told("e1", 2) == told
        gateway.send(enter(2), enter(3))
        await gateway.told("e1", 3)
    assert second.incarnation == first.incarnation
    assert books.seqs == [1, 2, 3]


async def test_a_new_store_is_a_newer_incarnation(
    broker: Mosquitto, gateway: Gateway, books: Books, tmp_path: Path
) -> None:
    """A hub that lost its store asks from 0, under a later incarnation."""
    async with hub(broker, books) as first:
        gateway.send(enter(1))
        await gateway.told("e1", 1)
    async with hub(broker, Books(tmp_path / "new.db")) as second:
        gateway.send(enter(2))
        told = await gateway.told("e1", 0)
    assert told["hub"] == second.incarnation > first.incarnation


async def test_the_watermark_is_retained(broker: Mosquitto, gateway: Gateway, books: Books) -> None:
    """A gateway that subscribes later hears the watermark all the same."""
    async with hub(broker, books):
        gateway.send(enter(1))
        await gateway.told("e1", 1)
    later = Gateway(broker)
    told = await later.told("e1", 1)
    later.close()
    assert told["seq"] == 1


async def test_what_was_sent_while_the_hub_was_away_is_applied(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """The broker keeps the hub's session while it is down."""
    async with hub(broker, books):
        gateway.send(enter(1))
        await gateway.told("e1", 1)
    gateway.send(enter(2))
    async with hub(broker, books):
        await gateway.told("e1", 2)
    assert books.seqs == [1, 2]


async def test_a_killed_broker_is_found_again(broker: Mosquitto, books: Books) -> None:
    """The hub reconnects to a broker that was killed, and tells its watermark anew."""
    async with hub(broker, books):
        gateway = Gateway(broker)
        gateway.send(enter(1))
        await gateway.told("e1", 1)
        gateway.close()
        broker.kill()
        broker.start()
        later = Gateway(broker)
        await later.told("e1", 1)
        later.send(enter(2))
        await later.told("e1", 2)
        later.close()
    assert books.seqs == [1, 2]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"not JSON", "the message: "),
        (enter(2, type="presence.party.v1"), "type: "),
        (enter(2, colour="red"), "colour: "),
        (enter(2, source="/acme/0042/gw-9"), "source: not the gateway"),
        (enter(2, type="presence.exit.v1"), "data: not that of presence.exit.v1"),
        (tombstone(3, 2), "data: a tombstone"),
        (tombstone(2, 10**20), "data."),
        (enter(2, epoch="e\0"), "the message: a character"),
    ],
)
async def test_a_malformed_event_is_set_aside_and_not_acknowledged(
    broker: Mosquitto,
    gateway: Gateway,
    books: Books,
    broken: bytes | dict[str, Any],
    reason: str,
) -> None:
    """It is kept once and reported, moves no cursor, and the hub goes on."""
    complaints: list[str] = []
    async with hub(broker, books, on_trouble=complaints.append):
        gateway.send(enter(1), broken, broken)
        await gateway.told("e1", 1)
        gateway.send(enter(2))
        await gateway.told("e1", 2)
        await until(lambda: len(complaints) >= 2)
    assert books.seqs == [1, 2]
    ((kept,),) = books("SELECT reason FROM refused")
    assert kept.startswith(reason)


async def test_who_is_in_follows_the_events(
    broker: Mosquitto, gateway: Gateway, books: Books
) -> None:
    """Two enter and one leaves: one is in."""
    left = enter(3, type="presence.exit.v1", subject="v-1")
    left["data"] = enter(1)["data"] | {"exited_at": NOON, "dwell_s": 1.5, "reason": "silence"}
    async with hub(broker, books):
        gateway.send(enter(1), enter(2), left)
        await gateway.told("e1", 3)
    assert books("SELECT visitor, zone FROM inside") == [("v-2", "floor")]
