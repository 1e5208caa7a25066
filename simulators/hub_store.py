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

No unique constraint guards the table `applied`: were an event applied twice, it would show.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ValidationError

from edge_agent.publish.contract import (
    DATA_TYPES,
    Acknowledgement,
    EnterData,
    Event,
    ExitData,
    GapData,
    MoveData,
)

__all__ = ["Arrival", "HubStore", "Outcome", "Refusal"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursor (
    source TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (source, epoch)
);
CREATE TABLE IF NOT EXISTS applied (
    source TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL,
    type TEXT NOT NULL, visitor TEXT, visit TEXT, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS inside (
    visit TEXT PRIMARY KEY, source TEXT NOT NULL, visitor TEXT NOT NULL, zone TEXT NOT NULL,
    entered_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (
    topic TEXT NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL, UNIQUE (topic, body)
);
"""
_TOPIC_LEVELS: Final = 7  # presence/v1/tenant/shard/store/gateway/events


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is no event of the contract, and why; the reason repeats nothing of it."""

    topic: str
    reason: str


@dataclass(slots=True)
class Outcome:
    """What a batch came to. Watermarks are by the root of the gateway's topics."""

    applied: list[dict[str, Any]] = field(default_factory=list)
    tell: dict[str, Acknowledgement] = field(default_factory=dict)  # at once
    repeat: dict[str, Acknowledgement] = field(default_factory=dict)  # unless it moves first
    refused: list[Refusal] = field(default_factory=list)


class HubStore:
    """The hub's database. Methods block for a disk sync: call them from one worker thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the store; creating it gives the hub a new incarnation."""
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            created_ms = time.time_ns() // 1_000_000
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('hub', ?)", (created_ms,))
        (hub,) = self._db.execute("SELECT value FROM meta WHERE name = 'hub'").fetchone()
        self.hub = int(hub)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; everything applied is on disk already."""
        self._db.close()

    def apply(self, arrivals: Iterable[Arrival]) -> Outcome:
        """Take messages in, all in one transaction; what it gives is on disk."""
        outcome = Outcome()
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for arrival in arrivals:
                self._take(arrival, outcome)
        return outcome

    def cursor(self, source: str, epoch: str) -> int:
        """Give the last seq applied of an epoch; 0 for one never heard of."""
        row = self._db.execute(
            "SELECT seq FROM cursor WHERE source = ? AND epoch = ?", (source, epoch)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def watermarks(self) -> dict[str, Acknowledgement]:
        """Give every gateway's watermark in its latest epoch, by the source's name."""
        # A cursor that is replaced gets a new rowid, and SQLite takes bare columns from the row
        # of the maximum: this is the epoch that moved last.
        rows = self._db.execute("SELECT source, epoch, seq, max(rowid) FROM cursor GROUP BY source")
        return {
            source: Acknowledgement(epoch=epoch, seq=seq, hub=self.hub)
            for source, epoch, seq, _ in rows
        }

    def counts(self) -> Counter[str]:
        """Count what was applied, by type."""
        rows = self._db.execute("SELECT type, count(*) FROM applied GROUP BY type")
        return Counter(dict(rows.fetchall()))

    def inside(self) -> list[str]:
        """Name the visitors who are in, by pseudonym."""
        rows = self._db.execute("SELECT visitor FROM inside ORDER BY entered_at, visit")
        return [visitor for (visitor,) in rows]

    def refused(self) -> list[Refusal]:
        """Give what was set aside."""
        rows = self._db.execute("SELECT topic, reason FROM refused ORDER BY rowid")
        return [Refusal(topic, reason) for topic, reason in rows]

    def _take(self, arrival: Arrival, outcome: Outcome) -> None:
        event = _read(arrival)
        if isinstance(event, Refusal):
            outcome.refused.append(event)
            self._db.execute(
                "INSERT OR IGNORE INTO refused VALUES (?, ?, ?)",
                (arrival.topic, event.reason, arrival.payload),
            )
            return
        root = arrival.topic.removesuffix("/events")
        cursor = self.cursor(event.source, event.epoch)
        last = event.data.to if isinstance(event.data, GapData) else event.seq
        if event.seq <= cursor + 1 <= last:
            self._record(event, arrival.payload)
            self._db.execute(
                "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", (event.source, event.epoch, last)
            )
            cursor = last
            outcome.applied.append(json.loads(arrival.payload))
        told = Acknowledgement(epoch=event.epoch, seq=cursor, hub=self.hub)
        if event.seq <= cursor:
            outcome.tell.pop(root, None)  # the latest last, where a batch spans two epochs
            outcome.tell[root] = told
        else:
            outcome.repeat[root] = told

    def _record(self, event: Event, body: bytes) -> None:
        data = event.data
        visit = None if isinstance(data, GapData) else data.visit
        self._db.execute(
            "INSERT INTO applied VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                event.source,
                event.epoch,
                event.seq,
                event.id,
                event.type,
                event.subject,
                visit,
                body.decode(),
            ),
        )
        match data:
            case EnterData():
                self._db.execute(
                    "INSERT OR REPLACE INTO inside VALUES (?, ?, ?, ?, ?)",
                    (visit, event.source, data.visitor, data.zone, data.entered_at.isoformat()),
                )
            case MoveData():
                self._db.execute("UPDATE inside SET zone = ? WHERE visit = ?", (data.zone, visit))
            case ExitData():
                self._db.execute("DELETE FROM inside WHERE visit = ?", (visit,))


def _read(arrival: Arrival) -> Event | Refusal:
    """Read an event that the gateway of this topic may send."""
    try:
        event = Event.model_validate_json(arrival.payload)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        where = {
            ".".join(map(str, fault["loc"])) or "the message": fault["msg"] for fault in faults
        }
        reason = "; ".join(f"{path}: {fault}" for path, fault in where.items())
        return Refusal(arrival.topic, reason)
    if type(event.data) is not DATA_TYPES[event.type]:
        return Refusal(arrival.topic, f"data: not that of {event.type}")
    levels = arrival.topic.split("/")
    if len(levels) != _TOPIC_LEVELS or event.source != f"/{levels[2]}/{levels[4]}/{levels[5]}":
        return Refusal(arrival.topic, "source: not the gateway that the topic belongs to")
    if isinstance(event.data, GapData) and not event.seq == event.data.from_ <= event.data.to:
        return Refusal(arrival.topic, "data: a tombstone's seq is its from, and to is not below it")
    return event
