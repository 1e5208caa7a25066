"""What the outbox may hold, and what goes when it is too much: the budget of bytes and age.

    over 90 %:  dwell, then move           the last tenth is for enter and exit alone
    over 100 %: enter and exit             the oldest first, always
    older than `max_age`: whatever it is

Only rows that were never handed to a broker go: what was sent may have been applied. Each
contiguous range that goes becomes one tombstone, and adjacent ones of the same reason are one. What
the hub has confirmed, the tail, has an allowance of its own.

Bytes are those of the events' JSON and a little for each row. The file may be twice as large, since
rows that go leave holes.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from edge_agent.publish.compose import Gap
from edge_agent.publish.contract import utc_text
from edge_agent.publish.database import Database

__all__ = ["GAP", "Ledger", "Limits", "Write"]

GAP: Final = "presence.gap.v1"
TAIL_AGE_S: Final = 24 * 3600.0
_ROW: Final = 64  # octets that a row takes beside its JSON, roughly
_PAGE: Final = 4096
_FIRST_TO_GO: Final = (("presence.dwell.v1", 9), ("presence.move.v1", 9))
_LAST_TO_GO: Final = (("presence.enter.v1", "presence.exit.v1"), 10)
_TENTHS: Final = 10
_SLACK: Final = 50  # a fiftieth of the budget more goes than must, so that not every commit drops
_BATCH: Final = 200
_DECIDED_AT: Final = (
    "CASE WHEN json_valid(CAST(body AS TEXT)) THEN"
    " coalesce(json_extract(CAST(body AS TEXT), '$.data.decided_at'),"
    " json_extract(CAST(body AS TEXT), '$.time'), '9') ELSE '9' END"
)

Write = Callable[[Gap, str], bytes]
_Row = tuple[int, str, int]  # seq, type, size


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait for the hub, and how long."""

    max_bytes: int = 256 << 20
    max_age_s: float = 7 * 24 * 3600.0

    @property
    def tail_bytes(self) -> int:
        """What the acknowledged tail may take."""
        return self.max_bytes // 16

    @property
    def pages(self) -> int:
        """What the file may take at most: holes are room for as much again."""
        return (2 * self.max_bytes + self.tail_bytes) // _PAGE + 1024


class Ledger:
    """Counts what the outbox holds, and replaces rows by tombstones; within its transactions."""

    def __init__(self, database: Database, limits: Limits) -> None:
        """Prepare; `load` counts."""
        self._db = database
        self.limits = limits
        self.sent = 0  # the highest seq that any broker may have been handed
        self.watermark = 0
        self.backlog = 0  # octets beyond the watermark
        self.tail = 0  # octets up to it
        self.dropped: Counter[str] = Counter()  # by the budget, in this process
        self._look_from: dict[tuple[str, ...], int] = {}

    def load(self, watermark: int, sent: int) -> None:
        """Count what is held."""
        self.watermark, self.sent = watermark, sent
        self.tail = self._size(0, watermark)
        self.backlog = self._size(watermark + 1, 1 << 62)
        self._look_from = {}

    def mark(self) -> Callable[[], None]:
        """Give what restores the counts, should the transaction fail."""
        kept = (self.sent, self.watermark, self.backlog, self.tail)
        look_from, dropped = dict(self._look_from), self.dropped.copy()

        def restore() -> None:
            self.sent, self.watermark, self.backlog, self.tail = kept
            self._look_from, self.dropped = look_from, dropped

        return restore

    def added(self, bodies: Iterable[bytes]) -> None:
        """Events were stored."""
        self.backlog += sum(len(body) + _ROW for body in bodies)

    def confirmed(self, watermark: int) -> None:
        """The hub's watermark has moved, either way."""
        low, high = sorted((watermark, self.watermark))
        moved = self._size(low + 1, high)
        self.tail += moved if watermark > self.watermark else -moved
        self.backlog -= moved if watermark > self.watermark else -moved
        self.watermark = watermark

    @property
    def over(self) -> bool:
        """Whether something should go for its size."""
        return self.backlog * _TENTHS > self.limits.max_bytes * _FIRST_TO_GO[0][1]

    def keep_to_bytes(self, epoch: str, write: Write) -> None:
        """Let what is too much go, in the order of the module's table."""
        for kind, tenths in _FIRST_TO_GO:
            self._drop((kind,), tenths, epoch, write)
        self._drop(*_LAST_TO_GO, epoch, write)

    def keep_to_age(self, epoch: str, unix: float, write: Write) -> bool:
        """Let what has waited too long go; tells whether there may be more."""
        oldest = utc_text(datetime.fromtimestamp(unix - self.limits.max_age_s, UTC))
        rows = self._db.execute(
            f"SELECT seq, type, length(body) + {_ROW}, {_DECIDED_AT} FROM event"  # noqa: S608
            " WHERE seq > ? AND type != ? ORDER BY seq LIMIT ?",
            (max(self.sent, self.watermark), GAP, _BATCH),
        ).fetchall()
        old = [row[:3] for row in itertools.takewhile(lambda row: row[3] < oldest, rows)]
        self._count(old)
        self.replace(old, "age", epoch, write)
        return len(old) == _BATCH

    def trim_tail(self, unix: float | None) -> None:
        """Let the tail's oldest go: beyond its octets, or older than a day where UTC is known."""
        oldest = "" if unix is None else utc_text(datetime.fromtimestamp(unix - TAIL_AGE_S, UTC))
        while True:
            rows = self._db.execute(
                f"SELECT seq, length(body) + {_ROW}, {_DECIDED_AT} FROM event"  # noqa: S608
                " WHERE seq <= ? ORDER BY seq LIMIT ?",
                (self.watermark, _BATCH),
            )
            last, left = 0, self.tail
            for seq, size, decided_at in rows:
                if left <= self.limits.tail_bytes and decided_at >= oldest:
                    break
                last, left = seq, left - size
            rows.close()
            if not last:
                return
            self.tail = left
            self._db.execute("DELETE FROM event WHERE seq <= ?", (last,))

    def rows_of(self, visitor: str) -> list[_Row]:
        """Give a visitor's rows, in order."""
        return self._rows("visitor = ?", visitor)

    def row(self, seq: int) -> list[_Row]:
        """Give an event's row; none when it is held no longer, or a tombstone."""
        return self._rows("seq = ? AND visitor != ''", seq)

    def _rows(self, where: str, value: str | int) -> list[_Row]:
        return self._db.execute(
            f"SELECT seq, type, length(body) + {_ROW} FROM event"  # noqa: S608 - our own words
            f" WHERE {where} ORDER BY seq",
            (value,),
        ).fetchall()

    def replace(self, rows: Sequence[_Row], reason: str, epoch: str, write: Write) -> None:
        """Remove rows, given in order, and declare each contiguous range of them."""
        for run in _runs(rows):
            first, last = run[0][0], run[-1][0]
            self._db.execute("DELETE FROM event WHERE seq BETWEEN ? AND ?", (first, last))
            self._weigh(-sum(row[2] for row in run if row[0] > self.watermark), backlog=True)
            self._weigh(-sum(row[2] for row in run if row[0] <= self.watermark), backlog=False)
            self.declare(
                Gap(first, last, reason, dict(Counter(row[1] for row in run))), epoch, write
            )

    def declare(self, gap: Gap, epoch: str, write: Write) -> None:
        """Store a tombstone; an unsent neighbour of the same reason becomes part of it."""
        if gap.first > self.sent:
            gap = self._joined(gap)
        body = write(gap, epoch)
        self._db.execute(
            "INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?, ?)", (gap.first, 0, GAP, "", body)
        )
        self._weigh(len(body) + _ROW, backlog=gap.first > self.watermark)

    def _joined(self, gap: Gap) -> Gap:
        before = self._db.execute(
            "SELECT seq, type, body FROM event WHERE seq < ? AND seq > ? ORDER BY seq DESC LIMIT 1",
            (gap.first, self.sent),
        ).fetchone()
        after = self._db.execute(
            "SELECT seq, type, body FROM event WHERE seq = ?", (gap.last + 1,)
        ).fetchone()
        for row in (before, after):
            if row is None or row[1] != GAP:
                continue
            data = json.loads(row[2])["data"]
            if data["reason"] != gap.reason:
                continue
            if data["to"] + 1 != gap.first and data["from"] != gap.last + 1:
                continue
            self._db.execute("DELETE FROM event WHERE seq = ?", (row[0],))
            self._weigh(-len(row[2]) - _ROW, backlog=row[0] > self.watermark)
            counts = Counter(gap.counts) + Counter(data["counts"])
            gap = Gap(
                min(gap.first, data["from"]), max(gap.last, data["to"]), gap.reason, dict(counts)
            )
        return gap

    def _drop(self, kinds: tuple[str, ...], tenths: int, epoch: str, write: Write) -> None:
        limit = self.limits.max_bytes * tenths // _TENTHS
        while self.backlog > limit:
            rows = self._oldest(kinds, self.backlog - limit + self.limits.max_bytes // _SLACK)
            if not rows:
                return
            self._count(rows)
            self.replace(rows, "budget", epoch, write)

    def _oldest(self, kinds: tuple[str, ...], size: int) -> list[_Row]:
        """Give the oldest unsent rows of some types, about so many octets of them."""
        start = max(self._look_from.get(kinds, 0), self.sent + 1, self.watermark + 1)
        marks = ", ".join("?" * len(kinds))
        rows = self._db.execute(
            f"SELECT seq, type, length(body) + {_ROW} FROM event"  # noqa: S608 - our own words
            f" WHERE seq >= ? AND type IN ({marks}) ORDER BY seq LIMIT ?",
            (start, *kinds, _BATCH),
        ).fetchall()
        chosen: list[_Row] = []
        while rows and size > 0:
            chosen.append(rows.pop(0))
            size -= chosen[-1][2]
        if chosen:
            self._look_from[kinds] = chosen[-1][0] + 1
        return chosen

    def _count(self, rows: Iterable[_Row]) -> None:
        self.dropped.update(row[1] for row in rows)

    def _weigh(self, octets: int, *, backlog: bool) -> None:
        if backlog:
            self.backlog += octets
        else:
            self.tail += octets

    def _size(self, first: int, last: int) -> int:
        (size,) = self._db.execute(
            f"SELECT coalesce(sum(length(body) + {_ROW}), 0) FROM event"  # noqa: S608
            " WHERE seq BETWEEN ? AND ?",
            (first, last),
        ).fetchone()
        return int(size)


def _runs(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Split rows into contiguous ranges."""
    for _, run in itertools.groupby(enumerate(rows), key=lambda pair: pair[1][0] - pair[0]):
        yield [row for _, row in run]
