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

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, Final, Self

import structlog

from edge_agent.publish.compose import Draft, Gap
from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.database import (
    Database,
    DatabaseError,
    OperationalError,
    OutboxFullError,
    clear_log,
    connect,
    in_memory,
    lay_tables,
    room,
)
from edge_agent.publish.delivery import AHEAD
from edge_agent.publish.outbox_budget import Ledger, Limits, Write
from edge_agent.publish.outbox_file import (
    OutboxUnusableError,
    drop_set_aside,
    lay_ballast,
    lock_folder,
    set_aside,
)
from edge_agent.publish.stored_visit import StoredVisit

__all__ = ["Outbox", "OutboxFullError", "OutboxUnusableError", "StoredVisit"]

SENT_BLOCK: Final = 200  # numbers noted as sent ahead of their sending: one write for so many
_MOST_PAGES: Final = 1 << 20  # of 4 KiB, whatever the budget

log = structlog.get_logger()
Number = Callable[[Draft, str, int], bytes]


class Outbox:
    """One gateway's outbox."""

    def __init__(
        self,
        database: Database,
        first_epoch: str | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        """Take an open database; use `open` or `in_memory`."""
        self._db = database
        self.lock: BinaryIO | None = None
        self.path: Path | None = None  # None: in memory
        self.stands_in_for: tuple[Path, int] | None = None  # a lost file, and what it had given
        self.was_damaged = False
        lay_tables(database)
        if self._meta("epoch") is None:
            with self._db:
                self._set("epoch", first_epoch or uuid.uuid4().hex)
                self._set("untold", 1)
                self._set("sent", 0)
        self.epoch = str(self._meta("epoch"))
        try:
            for name in ("highest", "watermark", "hub", "roster_seq", "sent", "untold"):
                self._number(name)
            self.session = self._number("session") + 1
        except ValueError:
            raise DatabaseError("a number is none") from None
        with self._db:
            self._set("session", self.session)
        self.ledger = Ledger(database, limits)
        sent = self._meta("sent")  # a file of before it was noted: as far as the window went
        self._sent_noted = self.watermark + AHEAD if sent is None else int(sent)
        self.known_roster_seq = self.roster_seq
        self.ledger.load(self.watermark, self._sent_noted)

    @classmethod
    def open(
        cls,
        path: Path,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        lock: BinaryIO | None = None,
    ) -> Self:
        """Open or create an outbox.

        A file that is no sound database is set aside beside it, named `*.corrupt-N`, and a new
        epoch begins: the agent always starts.

        Raises:
            OutboxUnusableError: the folder cannot be written, or another agent uses it.
        """
        lock = lock_folder(path) if lock is None else lock
        ballast = path.with_name(f"{path.name}.ballast")
        try:
            try:
                outbox = cls(connect(path, min(_MOST_PAGES, limits.pages)), limits=limits)
            except OperationalError:
                if not ballast.exists():
                    raise
                ballast.unlink()  # the disk is full: this makes room to start, read and delete
                outbox = cls(connect(path, min(_MOST_PAGES, limits.pages)), limits=limits)
            except DatabaseError:
                set_aside(path)
                outbox = cls(connect(path, min(_MOST_PAGES, limits.pages)), limits=limits)
                outbox.was_damaged = True
        except OperationalError as error:
            lock.close()
            raise OutboxUnusableError(f"the outbox {path} cannot be used: {error}") from error
        outbox.lock, outbox.path = lock, path
        lay_ballast(ballast)
        return outbox

    @classmethod
    def in_memory(cls, epoch: str, limits: Limits = Limits()) -> Self:  # noqa: B008 - frozen
        """Make a throw-away outbox, for a replay."""
        return cls(in_memory(), epoch, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; everything committed is on disk already."""
        self._db.close()
        if self.lock is not None:
            self.lock.close()

    def take_over(self, roster_seq: int, session: int) -> None:
        """Go on where a lost outbox was, as far as that is known."""
        self.session = session
        with self._transaction():
            self._set("session", session)
        self.accept_roster(roster_seq)

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
        self.known_roster_seq = max(seq, self.known_roster_seq)
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
            self.ledger.added(body for _, _, body in rows)
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

    def hand_out(self, first: int, last: int) -> list[tuple[int, bytes]]:
        """Give what is held of `first` to `last` to be sent: from now on no budget drops it.

        That survives a restart: ahead of the numbers a block of them is noted as sent. On a full
        disk only this life knows.
        """
        self.ledger.sent = max(self.ledger.sent, last)
        if last > self._sent_noted:
            with suppress(OutboxFullError), self._transaction():
                self._set("sent", last + SENT_BLOCK)
                self._sent_noted = last + SENT_BLOCK
        return self.read(first, last)

    def keep_to_budget(self, write: Write) -> None:
        """Let what is too much go, and declare it; a full disk makes it wait."""
        if self.ledger.over:
            with suppress(OutboxFullError), self._transaction():
                self.ledger.keep_to_bytes(self.epoch, write)

    def sweep(self, unix: float | None, write: Write) -> None:
        """Let go what has waited too long, and what the tail has too much.

        Args:
            unix: seconds; None where UTC is not known, and then nothing is old.
            write: writes a tombstone's JSON for this epoch.
        """
        with suppress(OutboxFullError):
            more = unix is not None
            while more and unix is not None:
                with self._transaction():
                    more = self.ledger.keep_to_age(self.epoch, unix, write)
            with self._transaction():
                self.ledger.trim_tail(unix)

    def acknowledge(self, ack: Acknowledgement) -> None:
        """Take over the hub's watermark of this epoch; rows beyond the tail go."""
        if ack.epoch != self.epoch:
            return
        with self._transaction():
            self._set("watermark", ack.seq)
            self._set("hub", ack.hub)
            self.ledger.confirmed(ack.seq)
            if self.ledger.tail > self.ledger.limits.tail_bytes:
                self.ledger.trim_tail(None)

    @property
    def first_held(self) -> int:
        """The lowest seq still held; one above the highest given when none is."""
        (lowest,) = self._db.execute("SELECT min(seq) FROM event").fetchone()
        return self.highest + 1 if lowest is None else int(lowest)

    def erase(self, visitor: str, write: Write) -> int:
        """Remove what is stored of a visitor whose consent ended, and declare each range removed.

        Args:
            visitor: whose visit and events go, those of the tail included.
            write: writes a tombstone's JSON for this epoch.

        Returns:
            How many events went.
        """
        with room():  # first: once no row tells of her, nobody asks again
            drop_set_aside(self.path)
        with self._transaction():
            self._db.execute("DELETE FROM visit WHERE visitor = ?", (visitor,))
            rows = self.ledger.rows_of(visitor)
            self.ledger.replace(rows, "erased", self.epoch, write)
        clear_log(self._db, self.path)
        return len(rows)

    def skip(self, seq: int, write: Write) -> int:
        """Give up an event that the broker refuses, and declare it; gives how many events went."""
        with self._transaction():
            rows = self.ledger.row(seq)
            self.ledger.replace(rows, "refused", self.epoch, write)
        return len(rows)  # 0: it is a tombstone already

    def declare_lost(self, first: int, last: int, write: Write) -> None:
        """Declare events that a restored hub asks for and that are held no longer."""
        with self._transaction():
            self.ledger.declare(Gap(first, last, "expired", {}), self.epoch, write)

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
            self._sent_noted = 0
            self.ledger.load(0, 0)
        return self.epoch, len(rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Change all or nothing, and count likewise."""
        restore = self.ledger.mark()
        try:
            with room(), self._db:
                yield
        except BaseException:
            restore()
            raise

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
