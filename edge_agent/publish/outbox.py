"""Where an event is stored before anything sees it: SQLite, WAL, synchronous=FULL.

One transaction assigns the numbers, stores the events and updates the visits they belong to, so
that a restart finds visits and events in agreement: no second enter, no orphan. Rows stay until
the hub's watermark has passed them (never merely until PUBACK), and a while longer as the tail
that a hub restored from a backup is sent again. WAL with NORMAL lost commits in 80 of 80
simulated power cuts, FULL in none.

Nothing here waits for a network or reads a clock. Methods block for a disk sync: call them from
one worker thread.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

import structlog

from edge_agent.publish.compose import Draft, Gap
from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.outbox_file import (
    OutboxUnusableError,
    lay_ballast,
    lock_folder,
    set_aside,
)

__all__ = ["Outbox", "OutboxFullError", "OutboxUnusableError", "StoredVisit"]

TAIL_ROWS: Final = 20_000  # acknowledged events kept for a hub that lost its store, some 12 MB
_VERSION: Final = 1  # of the tables; a file of another is set aside
_MOST_PAGES: Final = 65_536  # of 4 KiB: 256 MiB, so that a hub away for weeks cannot fill the card
_CHECKPOINT_PAGES: Final = 256

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY, session INTEGER NOT NULL, type TEXT NOT NULL,
    visitor TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS visit (visitor TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
"""

_FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)  # the card may say either

log = structlog.get_logger()
Number = Callable[[Draft, str, int], bytes]


class OutboxFullError(Exception):
    """Nothing can be stored: the disk or the outbox's budget is full. What was stored is safe."""


@dataclass(frozen=True, slots=True)
class StoredVisit:
    """A visit as the disk holds it: in Unix time, and in the boot clock of `boot`."""

    id: str
    visitor: str
    zone: str
    boot: str
    entered_at: float
    last_at: float
    entered_unix: float
    last_unix: float
    milestones: int
    sources: tuple[str, ...]
    exit_decided_at: float | None
    exit_decided_unix: float | None
    fixture: str | None = None  # its visitor turned out to be none: why


class Outbox:
    """One gateway's outbox."""

    def __init__(self, database: sqlite3.Connection, first_epoch: str | None = None) -> None:
        """Take an open database; use `open` or `in_memory`."""
        self._db = database
        self._locked_file: BinaryIO | None = None
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if tables and version != _VERSION:
            raise sqlite3.DatabaseError(f"tables of version {version}, not {_VERSION}")
        self._db.executescript(f"PRAGMA user_version = {_VERSION};{_SCHEMA}")
        if self._meta("epoch") is None:
            with self._db:
                self._set("epoch", first_epoch or uuid.uuid4().hex)
                self._set("untold", 1)
        self.epoch = str(self._meta("epoch"))
        try:
            for name in ("highest", "watermark", "hub", "roster_seq"):
                self._number(name)
            self.session = self._number("session") + 1
        except ValueError:
            raise sqlite3.DatabaseError("a number is none") from None
        with self._db:
            self._set("session", self.session)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create an outbox.

        A file that is no sound database is set aside beside it, named `*.corrupt-N`, and a new
        epoch begins: the agent always starts.

        Raises:
            OutboxUnusableError: the folder cannot be written, or another agent uses it.
        """
        lock = lock_folder(path)
        ballast = path.with_name(f"{path.name}.ballast")
        try:
            try:
                outbox = cls(_connect(path))
            except sqlite3.OperationalError:
                if not ballast.exists():
                    raise
                ballast.unlink()  # the disk is full: this makes room to start, read and delete
                outbox = cls(_connect(path))
            except sqlite3.DatabaseError:
                set_aside(path)
                outbox = cls(_connect(path))
        except sqlite3.OperationalError as error:
            lock.close()
            raise OutboxUnusableError(f"the outbox {path} cannot be used: {error}") from error
        outbox._locked_file = lock
        lay_ballast(ballast)
        return outbox

    @classmethod
    def in_memory(cls, epoch: str) -> Self:
        """Make a throw-away outbox, for a replay."""
        return cls(sqlite3.connect(":memory:"), epoch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; everything committed is on disk already."""
        self._db.close()
        if self._locked_file is not None:
            self._locked_file.close()

    @property
    def highest(self) -> int:
        """The highest seq ever given in this epoch."""
        return self._number("highest")

    @property
    def watermark(self) -> int:
        """The hub's last watermark in this epoch."""
        return self._number("watermark")

    @property
    def hub(self) -> int:
        """The incarnation of the hub that gave it."""
        return self._number("hub")

    @property
    def roster_seq(self) -> int:
        """The highest seq of a roster accepted so far: an older one is a rollback."""
        return self._number("roster_seq")

    @property
    def untold(self) -> bool:
        """Whether the hub has had no snapshot since this epoch began."""
        return bool(self._number("untold"))

    def tell_epoch(self, epoch: str) -> None:
        """Remember that the hub's broker has a snapshot of an epoch, if it is this one."""
        if epoch == self.epoch and self.untold:
            with self._transaction():
                self._set("untold", 0)

    def accept_roster(self, seq: int) -> None:
        """Remember a roster's seq across restarts."""
        with self._transaction():
            self._set("roster_seq", max(seq, self.roster_seq))

    def commit(
        self, drafts: Sequence[Draft], number: Number, visits: Iterable[StoredVisit]
    ) -> list[tuple[int, bytes]]:
        """Number and store events, with the visits they changed, in one transaction.

        Args:
            drafts: in order.
            number: finishes an event's JSON with its epoch and seq.
            visits: the state after these events of the visits that they belong to; a visitor has
                one, the last given.

        Returns:
            Each event's seq and JSON.

        Raises:
            OutboxFullError: nothing was stored.
        """
        first = self.highest + 1
        rows = [
            (first + n, draft, number(draft, self.epoch, first + n))
            for n, draft in enumerate(drafts)
        ]
        with self._transaction():
            self._db.executemany(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
                ((seq, self.session, draft.type, draft.visitor, body) for seq, draft, body in rows),
            )
            self._store_visits(visits)
            self._set("highest", first - 1 + len(rows))
        return [(seq, body) for seq, _, body in rows]

    def keep_visits(self, visits: Iterable[StoredVisit]) -> None:
        """Replace all stored visits: those missing have been closed for good."""
        with self._transaction():
            self._db.execute("DELETE FROM visit")
            self._store_visits(visits)

    def visits(self) -> list[StoredVisit]:
        """Give the visits stored; a row that is none is passed over, with a word in the log."""
        found = []
        for (body,) in self._db.execute("SELECT body FROM visit ORDER BY visitor"):
            try:
                values = json.loads(body)
                found.append(StoredVisit(**{**values, "sources": tuple(values["sources"])}))
            except (ValueError, TypeError, KeyError):
                log.warning("stored_visit_unreadable")
        return found

    def read(self, first: int, last: int) -> list[tuple[int, bytes]]:
        """Give the events from seq `first` to `last`, as far as they are held.

        Where `first` lies inside the range of a tombstone, that stands for it.
        """
        rows = self._db.execute(
            "SELECT max(seq, ?1), body FROM event WHERE seq BETWEEN"
            " coalesce((SELECT max(seq) FROM event WHERE seq <= ?1), ?1) AND ?2 ORDER BY seq",
            (first, last),
        )
        return rows.fetchall()

    def acknowledge(self, ack: Acknowledgement) -> None:
        """Take over the hub's watermark; rows beyond the tail go."""
        with self._transaction():
            self._set("watermark", ack.seq)
            self._set("hub", ack.hub)
            self._db.execute("DELETE FROM event WHERE seq <= ?", (ack.seq - TAIL_ROWS,))

    @property
    def first_held(self) -> int:
        """The lowest seq still held; one above the highest given when none is."""
        (lowest,) = self._db.execute("SELECT min(seq) FROM event").fetchone()
        return self.highest + 1 if lowest is None else int(lowest)

    def erase(self, visitor: str, write: Callable[[Gap, str], bytes]) -> int:
        """Remove what is stored of a visitor whose consent ended, and declare each range removed.

        Args:
            visitor: whose visit and events go, those of the tail included.
            write: writes a tombstone's JSON for this epoch.

        Returns:
            How many events went.
        """
        with self._transaction():
            self._db.execute("DELETE FROM visit WHERE visitor = ?", (visitor,))
            rows = self._db.execute(
                "SELECT seq, type FROM event WHERE visitor = ? ORDER BY seq", (visitor,)
            ).fetchall()
            self._db.execute("DELETE FROM event WHERE visitor = ?", (visitor,))
            for gap in _ranges(rows, "erased"):
                self._declare(gap, write)
        with _room():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log still held her
        return len(rows)

    def skip(self, seq: int, write: Callable[[Gap, str], bytes]) -> int:
        """Give up an event that the broker refuses, and declare it; gives how many events went."""
        with self._transaction():
            row = self._db.execute(
                "SELECT type FROM event WHERE seq = ? AND visitor != ''", (seq,)
            ).fetchone()
            if row is None:
                return 0  # it is a tombstone already
            self._declare(Gap(seq, seq, "refused", {row[0]: 1}), write)
        return 1

    def declare_lost(self, first: int, last: int, write: Callable[[Gap, str], bytes]) -> None:
        """Declare events that a restored hub asks for and that are held no longer."""
        with self._transaction():
            self._declare(Gap(first, last, "expired", {}), write)

    def _declare(self, gap: Gap, write: Callable[[Gap, str], bytes]) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?, ?)",
            (gap.first, self.session, "presence.gap.v1", "", write(gap, self.epoch)),
        )

    def visitors(self) -> set[str]:
        """Give everybody of whom anything is stored."""
        rows = self._db.execute("SELECT visitor FROM event UNION SELECT visitor FROM visit")
        return {visitor for (visitor,) in rows if visitor}

    def begin_epoch(self, renumber: Callable[[bytes, str, int], bytes]) -> tuple[str, int]:
        """Leave an epoch whose numbers somebody else has used: this file is an old copy.

        The events of this session are carried over with new numbers; older ones were sent by the
        life that this copy was taken from.

        Returns:
            The new epoch and its highest seq.
        """
        with self._transaction():
            rows = self._db.execute(
                "SELECT type, visitor, body FROM event WHERE session = ? AND visitor != ''"
                " ORDER BY seq",
                (self.session,),
            ).fetchall()
            self.epoch = uuid.uuid4().hex
            self._set("epoch", self.epoch)
            for name, value in (
                ("highest", len(rows)),
                ("watermark", 0),
                ("hub", 0),
                ("untold", 1),
            ):
                self._set(name, value)
            self._db.execute("DELETE FROM event")
            self._db.executemany(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
                (
                    (seq, self.session, kind, visitor, renumber(body, self.epoch, seq))
                    for seq, (kind, visitor, body) in enumerate(rows, start=1)
                ),
            )
        return self.epoch, len(rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Change all or nothing."""
        with _room(), self._db:
            yield

    def _store_visits(self, visits: Iterable[StoredVisit]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO visit VALUES (?, ?)",
            ((visit.visitor, json.dumps(asdict(visit))) for visit in visits),
        )

    def _meta(self, name: str) -> str | int | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def _number(self, name: str) -> int:
        return int(self._meta(name) or 0)

    def _set(self, name: str, value: str | int) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


@contextmanager
def _room() -> Iterator[None]:
    """Tell a full disk from every other fault."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in _FULL:  # of an extended code, the primary one
            raise OutboxFullError(str(error)) from error
        raise


def _ranges(rows: Iterable[tuple[int, str]], reason: str) -> Iterator[Gap]:
    """Join numbered events into contiguous ranges, with how many of each type."""
    for _, run in itertools.groupby(enumerate(rows), key=lambda pair: pair[1][0] - pair[0]):
        members = [row for _, row in run]
        yield Gap(members[0][0], members[-1][0], reason, dict(Counter(kind for _, kind in members)))


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA secure_delete = ON")
        database.execute("PRAGMA temp_store = MEMORY")  # nor does a look-up need room on the disk
        database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        database.execute(f"PRAGMA max_page_count = {_MOST_PAGES}")
        with closing(database.execute("PRAGMA quick_check")) as check:
            sound = check.fetchone() == ("ok",)
    except sqlite3.DatabaseError:
        database.close()
        raise
    if not sound:
        database.close()
        raise sqlite3.DatabaseError("quick_check found damage")
    return database
