"""What only a second worker, a second copy or a second look shows of the hub's store."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from edge_agent.publish.contract import Acknowledgement
from simulators.hub import Hub, open_ledger
from simulators.hub_door import Arrival
from simulators.hub_store import HubStore
from simulators.mosquitto import Mosquitto
from simulators.postgres import PostgreSQL
from tests.test_hub import ROOT, Books, Gateway, enter, tombstone, until

SOURCE = "/acme/0042/gw-1"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A database of either kind."""
    if request.param == "sqlite":
        return tmp_path / "hub.db"
    cluster: PostgreSQL = request.getfixturevalue("postgres")
    return cluster.database()


def arrivals(*events: dict[str, Any], at: float | None = None) -> list[Arrival]:
    """Let events arrive, now or at some Unix time."""
    when = time.time() if at is None else at
    return [Arrival(f"{ROOT}/events", json.dumps(event).encode(), when) for event in events]


@contextmanager
def opened(place: Path | str, *, restored: bool = False) -> Iterator[HubStore]:
    """Open the store for a while."""
    with closing(HubStore(open_ledger(place), restored=restored)) as store:
        yield store


def test_who_comes_late_is_marked(place: Path | str) -> None:
    """Decided 61 s before it came: late; 59 s, or in the future: not; a tombstone is neither."""
    came = 1_800_000_000.0

    def decided(seq: int, ago: float) -> dict[str, Any]:
        event = enter(seq)
        event["data"]["decided_at"] = datetime.fromtimestamp(came - ago, UTC).isoformat()
        return event

    stream = [decided(1, 61), decided(2, 59), decided(3, -3600), tombstone(4, 5)]
    with opened(place) as store:
        store.apply(arrivals(*stream, at=came))
    late = [late for (late,) in Books(place)("SELECT late FROM applied ORDER BY n")]
    assert late == [True, False, False, None]


def test_a_gap_that_its_own_batch_mends_is_not_told_of(place: Path | str) -> None:
    """Events 3, 2, 3 behind 1: 3 is told at once, and no older cursor after it."""
    with opened(place) as store:
        store.apply(arrivals(enter(1)))
        outcome = store.apply(arrivals(enter(3), enter(2), enter(3), enter(5)))
    assert outcome.tell[ROOT].seq == 3
    assert outcome.repeat == {}


def test_two_workers_apply_each_event_once(postgres: PostgreSQL) -> None:
    """Both are given all of four streams, in batches; the rows' locks let each be applied once."""
    place = postgres.database()
    events = [
        Arrival(
            f"{ROOT.replace('gw-1', gateway)}/events",
            json.dumps(enter(seq, gateway=gateway)).encode(),
            time.time(),
        )
        for seq in range(1, 101)
        for gateway in ("gw-1", "gw-2", "gw-3", "gw-4")
    ]

    def work(backwards: bool) -> int:
        with opened(place) as store:
            applied = 0
            for start in range(0, len(events), 20):
                batch = events[start : start + 20]
                if backwards:  # another order of streams in a batch, the same within each
                    batch = sorted(batch, key=lambda arrival: arrival.topic, reverse=True)
                applied += len(store.apply(batch).applied)
            return applied

    with ThreadPoolExecutor(2) as workers:
        counts = list(workers.map(work, (False, True)))
    rows = Books(place)("SELECT source, seq FROM applied ORDER BY n")
    assert sum(counts) == len(rows) == len(set(rows)) == 400
    for gateway in ("gw-1", "gw-2", "gw-3", "gw-4"):
        seqs = [seq for source, seq in rows if source.endswith(gateway)]
        assert seqs == list(range(1, 101))


def test_a_worker_waits_for_the_others_commit(postgres: PostgreSQL) -> None:
    """While one transaction holds a cursor, an apply of the next event waits, then goes on."""
    place = postgres.database()
    with opened(place) as store, psycopg.connect(place) as other, ThreadPoolExecutor(1) as worker:
        store.apply(arrivals(enter(1)))
        other.execute("SELECT seq FROM cursor FOR UPDATE")
        other.execute("UPDATE cursor SET seq = 2")
        applying = worker.submit(store.apply, arrivals(enter(2)))
        with psycopg.connect(place, autocommit=True) as watcher:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while watcher.execute(waiting).fetchall() == [(0,)]:
                assert not applying.done()
        other.commit()
        outcome = applying.result(10)
    assert outcome.applied == []
    assert outcome.tell[ROOT].seq == 2


def test_a_store_said_to_be_restored_is_a_later_incarnation(place: Path | str) -> None:
    """`--restored` renews it once; opened again as usual it stays what it was."""
    with opened(place) as store:
        first = store.hub
    with opened(place, restored=True) as store:
        second = store.hub
    with opened(place) as store:
        assert first < second == store.hub


@pytest.mark.parametrize(
    ("told", "forgotten"),
    [
        ((SOURCE, 0, 2), False),
        ((SOURCE, 0, 1), False),
        ((SOURCE, -1, 900), False),
        ((SOURCE, 0, 3), True),
        (("/acme/0042/gw-9", 0, 1), True),
        ((SOURCE, 1_000, 0), True),
        ((SOURCE, 1 << 62, 9), False),
    ],
    ids=["as told", "older", "of before", "beyond", "unheard of", "of a later one", "absurd"],
)
def test_the_broker_remembers_what_a_restored_store_forgot(
    place: Path | str, told: tuple[str, int, int], forgotten: bool
) -> None:
    """A retained cursor beyond ours, or a later incarnation, makes a still later one."""
    source, later, seq = told
    with opened(place) as store:
        store.apply(arrivals(enter(1), enter(2)))
        before = store.hub
        ack = Acknowledgement(epoch="e1", seq=seq, hub=before + later)
        root = ROOT.replace("gw-1", source.rpartition("/")[2])
        assert store.forgot({root: ack}) is forgotten
        assert store.hub > max(before, ack.hub) if forgotten else store.hub == before
        assert store.cursor(SOURCE, "e1") == 2


def test_another_place_is_a_later_incarnation(postgres: PostgreSQL) -> None:
    """A database copied within the cluster, as a dump would be loaded, notices by itself."""
    place = postgres.database()
    with opened(place) as store:
        first = store.hub
        store.apply(arrivals(enter(1)))
    copy = postgres.database()
    name, original = copy.split("/")[3].split("?")[0], place.split("/")[3].split("?")[0]
    with psycopg.connect(place.replace(f"/{original}?", "/postgres?"), autocommit=True) as server:
        server.execute(f'DROP DATABASE "{name}"'.encode())
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{original}"'.encode())
    with opened(copy) as store:
        assert store.hub > first
        assert store.cursor(SOURCE, "e1") == 1


@pytest.mark.broker
async def test_a_file_put_back_is_noticed_by_what_the_broker_retains(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """The hub comes back with the file as of event 2 of 4: a later incarnation asks for 3."""
    file, backup = tmp_path / "hub.db", tmp_path / "backup.db"
    gateway = Gateway(broker)

    async def live(upto: int, *events: dict[str, Any], after: int = 0) -> int:
        with Hub(broker.url, file) as hub:
            task = asyncio.create_task(hub.run())
            await until(lambda: hub.connected)
            if events:
                gateway.send(*events)
            while (told := await gateway.told("e1", upto))["hub"] <= after:
                pass
            hub.stop()
            await task
        return int(told["hub"])

    first = await live(2, enter(1), enter(2))
    shutil.copy(file, backup)
    assert await live(4, enter(3), enter(4)) == first
    backup.replace(file)
    for stale in ("hub.db-wal", "hub.db-shm"):
        (tmp_path / stale).unlink(missing_ok=True)
    second = await live(2, after=first)
    assert await live(4, enter(3), enter(4)) == second
    gateway.close()
    assert Books(file).seqs == [1, 2, 3, 4]


@pytest.mark.broker
@pytest.mark.faults
async def test_killed_workers_lose_and_double_nothing_on_postgresql(
    broker: Mosquitto, postgres: PostgreSQL
) -> None:
    """Two hubs share a database; one after the other is killed while 600 events arrive."""
    place = postgres.database()
    gateway = Gateway(broker)

    def worker(number: int) -> subprocess.Popen[bytes]:
        words = ("--broker", broker.url, "--store", place, "--client-id", f"hub-{number}")
        return subprocess.Popen(
            [sys.executable, "-m", "simulators.hub", *words, "--quiet"], stderr=subprocess.DEVNULL
        )

    hubs = [worker(0), worker(1)]
    try:
        for start in range(1, 600, 100):
            sent = [enter(seq) for seq in range(start, start + 100)]
            gateway.send(*sent)
            victim = start // 100 % 2
            hubs[victim].send_signal(signal.SIGKILL)
            hubs[victim].wait()
            hubs[victim] = worker(victim)
            await resent(gateway, sent)
    finally:
        for hub in hubs:
            hub.terminate()
            hub.wait()
        gateway.close()
    assert Books(place).seqs == list(range(1, 601))


async def resent(gateway: Gateway, events: list[dict[str, Any]]) -> None:
    """Go back as a gateway does, until the last is acknowledged."""
    until_then = datetime.now(UTC) + timedelta(seconds=60)
    while datetime.now(UTC) < until_then:
        gateway.send(*events)
        try:
            await gateway.told("e1", events[-1]["seq"], patience=1.0)
        except TimeoutError:
            continue
        return
    raise TimeoutError


@pytest.mark.broker
async def test_a_hub_outlives_its_database(broker: Mosquitto) -> None:
    """PostgreSQL is killed and comes back: the hub says so, opens it again and goes on."""
    complaints: list[str] = []
    with PostgreSQL() as cluster:
        place = cluster.database()
        gateway = Gateway(broker)
        with Hub(broker.url, place, on_trouble=complaints.append) as hub:
            task = asyncio.create_task(hub.run())
            await until(lambda: hub.connected)
            gateway.send(enter(1))
            await gateway.told("e1", 1)
            cluster.kill()
            gateway.send(enter(2))
            await until(lambda: any("no store" in said for said in complaints))
            cluster.start()
            await resent(gateway, [enter(2), enter(3)])
            hub.stop()
            await task
        gateway.close()
        assert Books(place).seqs == [1, 2, 3]
