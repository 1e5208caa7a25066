"""What the hub has applied: one transaction per batch decides, stores and moves the cursor.

    seq == cursor + 1                       applied     the cursor moves
    tombstone, from <= cursor + 1 <= to     applied     the cursor moves to `to`
    seq (or a tombstone's `to`) <= cursor   duplicate   dropped, the cursor is told again
    beyond that                             ahead       dropped, the cursor is told after a while
    no event of the contract                refused     set aside; the cursor stays

The cursor of a (source, epoch) never heard of is 0. A refused event is kept in the table `refused`,
once, for somebody to look at, and is not acknowledged: the gateway holds the only other copy, and a
hub that has learnt the new schema may yet take it. That gateway's later events wait behind it
(theirs is an order, and a skip at the gateway becomes a tombstone); all others go on.

**Incarnation.** A store that was restored from a backup has forgotten what it acknowledged, and its
gateways believe a lower cursor only from a newer incarnation. It is renewed when somebody says so
(`--restored`), when the store finds itself in another place (`Ledger.place`), and when a retained
acknowledgement at the broker tells of more than the store knows: one of our incarnation beyond our
cursor, or one of a later incarnation. A renewal too many costs nothing: no cursor is lower for it.

The rules and their SQL are here, once; a `Ledger` is where they are carried out. No unique
constraint guards the table `applied`: were an event applied twice, it would show.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, Self

from edge_agent.publish.contract import (
    Acknowledgement,
    EnterData,
    Event,
    ExitData,
    GapData,
    MoveData,
)
from simulators.hub_door import Arrival, Refusal, Root, read, source_of

__all__ = ["Execute", "HubStore", "Ledger", "Outcome", "StoreLostError"]

# {number} counts up by itself, {octets} holds any; both databases understand the rest.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cursor (
    source TEXT NOT NULL, epoch TEXT NOT NULL, seq BIGINT NOT NULL,
    moved BIGINT NOT NULL,  -- the last n applied
    PRIMARY KEY (source, epoch)
);
CREATE TABLE IF NOT EXISTS applied (
    n {number}, source TEXT NOT NULL, epoch TEXT NOT NULL, seq BIGINT NOT NULL, id TEXT NOT NULL,
    type TEXT NOT NULL, visitor TEXT, visit TEXT, body TEXT NOT NULL,
    late BOOLEAN  -- it came more than a minute after it was decided; a tombstone is neither
);
CREATE TABLE IF NOT EXISTS inside (
    visit TEXT PRIMARY KEY, source TEXT NOT NULL, visitor TEXT NOT NULL, zone TEXT NOT NULL,
    entered_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS refused (
    n {number}, topic TEXT NOT NULL, reason TEXT NOT NULL, body {octets} NOT NULL,
    digest TEXT NOT NULL, UNIQUE (topic, digest)
);
"""
_LATE: Final = timedelta(seconds=60)
_MOST_KEPT: Final = 65_536  # octets of a refused message
_LATEST_INCARNATION: Final = 1 << 62  # beyond it a number is no Unix time, but malice

Execute = Callable[[str, Mapping[str, object]], list[tuple[Any, ...]]]


class StoreLostError(Exception):
    """The database is gone or refuses; what was not acknowledged comes again, so open it again."""


class Ledger(Protocol):
    """A database that carries out the rules: SQL with named parameters (`:name`), transactions.

    Everything raises `StoreLostError` when the database is out of reach.
    """

    lock: str
    """Ends a SELECT whose row nobody else may read for change until the transaction ends."""

    place: str
    """Names where the database lies, as far as it knows; a restored copy may lie elsewhere."""

    def create(self, tables: str) -> None:
        """Create the tables where there are none."""

    def transaction(self) -> AbstractContextManager[Execute]:
        """Begin; the end of the block commits to the disk, an exception undoes it."""

    def close(self) -> None:
        """Close it."""


@dataclass(slots=True)
class Outcome:
    """What a batch came to. Watermarks are by the root of the gateway's topics."""

    applied: list[dict[str, Any]] = field(default_factory=list)
    tell: dict[str, Acknowledgement] = field(default_factory=dict)  # at once
    repeat: dict[str, Acknowledgement] = field(default_factory=dict)  # unless it moves first
    refused: list[Refusal] = field(default_factory=list)


class HubStore:
    """The hub's books. Methods block for a disk sync: call them from one worker thread."""

    def __init__(self, ledger: Ledger, *, restored: bool = False) -> None:
        """Open or create the store; creating it gives the hub its incarnation.

        Args:
            ledger: open; from here on the store's.
            restored: it comes from a backup, and needs a new incarnation.
        """
        self._ledger = ledger
        ledger.create(_TABLES)
        with ledger.transaction() as execute:
            for name, value in (("hub", str(_now_ms())), ("place", ledger.place)):
                execute(
                    "INSERT INTO meta VALUES (:name, :value) ON CONFLICT (name) DO NOTHING",
                    {"name": name, "value": value},
                )
            if restored or _meta(execute, "place") != ledger.place:
                self._renew(execute)
            self.hub = int(_meta(execute, "hub"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger; everything applied is on disk already."""
        self._ledger.close()

    def apply(self, arrivals: Iterable[Arrival]) -> Outcome:
        """Take messages in, all in one transaction; what it gives is on disk."""
        outcome = Outcome()
        taken = [(arrival, read(arrival)) for arrival in arrivals]
        # In one order, so that two workers never wait for each other.
        streams = sorted({(e.source, e.epoch) for _, e in taken if isinstance(e, Event)})
        with self._ledger.transaction() as execute:
            self.hub = int(_meta(execute, "hub"))  # another worker may have renewed it
            batch = _Batch(execute, self.hub, outcome)
            for source, epoch in streams:
                batch.hold(source, epoch, self._ledger.lock)
            for arrival, event in taken:
                if isinstance(event, Refusal):
                    batch.refuse(arrival, event)
                else:
                    batch.take(arrival, event)
            batch.move_cursors()
        return outcome

    def cursor(self, source: str, epoch: str) -> int:
        """Give the last seq applied of an epoch; 0 for one never heard of."""
        with self._ledger.transaction() as execute:
            return _cursor(execute, source, epoch)

    def forgot(self, told: Mapping[Root, Acknowledgement]) -> bool:
        """Compare with what the broker retains; a store that knows less gets a new incarnation."""
        with self._ledger.transaction() as execute:
            hub = int(_meta(execute, "hub", self._ledger.lock))
            ahead = [
                ack.hub
                for root, ack in told.items()
                if hub < ack.hub < _LATEST_INCARNATION
                or (ack.hub == hub and ack.seq > _cursor(execute, source_of(root), ack.epoch))
            ]
            if ahead:
                self._renew(execute, after=max(ahead))
            self.hub = int(_meta(execute, "hub"))
        return bool(ahead)

    def watermarks(self) -> dict[str, Acknowledgement]:
        """Give every gateway's watermark in the epoch that moved last, by the source's name."""
        with self._ledger.transaction() as execute:
            self.hub = int(_meta(execute, "hub"))
            rows = execute(
                "SELECT source, epoch, seq FROM cursor WHERE moved > 0 ORDER BY moved", {}
            )
        return {
            source: Acknowledgement(epoch=epoch, seq=seq, hub=self.hub)
            for source, epoch, seq in rows
        }

    def counts(self) -> Counter[str]:
        """Count what was applied, by type."""
        return Counter(dict(self._ask("SELECT type, count(*) FROM applied GROUP BY type")))

    def inside(self) -> list[str]:
        """Name the visitors who are in, by pseudonym."""
        rows = self._ask("SELECT visitor FROM inside ORDER BY entered_at, visit")
        return [visitor for (visitor,) in rows]

    def refused(self) -> list[Refusal]:
        """Give what was set aside."""
        rows = self._ask("SELECT topic, reason FROM refused ORDER BY n")
        return [Refusal(topic, reason) for topic, reason in rows]

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        with self._ledger.transaction() as execute:
            return execute(query, {})

    def _renew(self, execute: Execute, after: int = 0) -> None:
        hub = max(_now_ms(), int(_meta(execute, "hub")) + 1, after + 1)
        for name, value in (("hub", str(hub)), ("place", self._ledger.place)):
            execute(
                "UPDATE meta SET value = :value WHERE name = :name", {"name": name, "value": value}
            )


class _Batch:
    """The messages of one transaction."""

    def __init__(self, execute: Execute, hub: int, outcome: Outcome) -> None:
        self._execute = execute
        self._hub = hub
        self._outcome = outcome
        self._cursors: dict[tuple[str, str], int] = {}
        self._moved: dict[tuple[str, str], int] = {}  # stream -> the last n applied

    def hold(self, source: str, epoch: str, lock: str) -> None:
        """Read a cursor, and let nobody else move it until this transaction ends."""
        self._execute(
            "INSERT INTO cursor VALUES (:source, :epoch, 0, 0)"
            " ON CONFLICT (source, epoch) DO NOTHING",
            {"source": source, "epoch": epoch},
        )
        self._cursors[source, epoch] = _cursor(self._execute, source, epoch, lock)

    def refuse(self, arrival: Arrival, refusal: Refusal) -> None:
        """Set a message aside."""
        self._outcome.refused.append(refusal)
        self._execute(
            "INSERT INTO refused (topic, reason, body, digest)"
            " VALUES (:topic, :reason, :body, :digest) ON CONFLICT (topic, digest) DO NOTHING",
            {
                "topic": arrival.topic,
                "reason": refusal.reason,
                "body": arrival.payload[:_MOST_KEPT],
                "digest": hashlib.sha256(arrival.payload).hexdigest(),
            },
        )

    def take(self, arrival: Arrival, event: Event) -> None:
        """Apply an event, or drop it: the heart of the matter."""
        outcome, stream = self._outcome, (event.source, event.epoch)
        cursor = self._cursors[stream]
        last = event.data.to if isinstance(event.data, GapData) else event.seq
        if event.seq <= cursor + 1 <= last:
            self._moved[stream] = self._record(arrival, event)
            self._cursors[stream] = cursor = last
            outcome.applied.append(json.loads(arrival.payload))
        root = arrival.topic.removesuffix("/events")
        told = Acknowledgement(epoch=event.epoch, seq=cursor, hub=self._hub)
        if event.seq <= cursor:
            outcome.tell.pop(root, None)  # the latest last, where a batch spans two epochs
            outcome.tell[root] = told
            if root in outcome.repeat and outcome.repeat[root].epoch == event.epoch:
                del outcome.repeat[root]  # it has moved since, and is told at once
        elif root not in outcome.tell or outcome.tell[root].epoch != event.epoch:
            outcome.repeat[root] = told

    def move_cursors(self) -> None:
        """Write down how far each stream has got."""
        for (source, epoch), moved in self._moved.items():
            self._execute(
                "UPDATE cursor SET seq = :seq, moved = :moved"
                " WHERE source = :source AND epoch = :epoch",
                {
                    "seq": self._cursors[source, epoch],
                    "moved": moved,
                    "source": source,
                    "epoch": epoch,
                },
            )

    def _record(self, arrival: Arrival, event: Event) -> int:
        data = event.data
        visit = None if isinstance(data, GapData) else data.visit
        ((n,),) = self._execute(
            "INSERT INTO applied (source, epoch, seq, id, type, visitor, visit, body, late)"
            " VALUES (:source, :epoch, :seq, :id, :type, :visitor, :visit, :body, :late)"
            " RETURNING n",
            {
                "source": event.source,
                "epoch": event.epoch,
                "seq": event.seq,
                "id": event.id,
                "type": event.type,
                "visitor": event.subject,
                "visit": visit,
                "body": arrival.payload.decode(),
                "late": None if isinstance(data, GapData) else _late(arrival, data.decided_at),
            },
        )
        match data:
            case EnterData():
                self._execute(
                    "INSERT INTO inside VALUES (:visit, :source, :visitor, :zone, :entered_at)"
                    " ON CONFLICT (visit) DO UPDATE SET source = :source, visitor = :visitor,"
                    " zone = :zone, entered_at = :entered_at",
                    {
                        "visit": visit,
                        "source": event.source,
                        "visitor": data.visitor,
                        "zone": data.zone,
                        "entered_at": data.entered_at.isoformat(),
                    },
                )
            case MoveData():
                self._execute(
                    "UPDATE inside SET zone = :zone WHERE visit = :visit",
                    {"zone": data.zone, "visit": visit},
                )
            case ExitData():
                self._execute("DELETE FROM inside WHERE visit = :visit", {"visit": visit})
        return int(n)


def _cursor(execute: Execute, source: str, epoch: str, lock: str = "") -> int:
    rows = execute(
        f"SELECT seq FROM cursor WHERE source = :source AND epoch = :epoch{lock}",  # noqa: S608 - our own words
        {"source": source, "epoch": epoch},
    )
    return int(rows[0][0]) if rows else 0


def _meta(execute: Execute, name: str, lock: str = "") -> str:
    ((value,),) = execute(f"SELECT value FROM meta WHERE name = :name{lock}", {"name": name})  # noqa: S608 - our own words
    return str(value)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _late(arrival: Arrival, decided_at: datetime) -> bool:
    if decided_at.tzinfo is None:
        decided_at = decided_at.replace(tzinfo=UTC)
    return datetime.fromtimestamp(arrival.at, UTC) - decided_at > _LATE
