"""What was commanded, and what became of it: so that nothing is executed twice.

    taken --> started --> done, with its result
      |          |
      +----------+------> after a restart: dropped, interrupted

`started` is on disk before the execution, so a power cut in between leaves a command that was
executed once or not at all, and is never tried again. SQLite, WAL, synchronous=FULL. An id is
remembered until past its expiry; `forgotten` says up to which expiry none is remembered, for a
clock that is set back. `since` is when the memory began: whatever is older may have been executed
by a life whose journal was lost. Neither arguments nor actions are stored: a pseudonym may be in
them.

Methods block for a disk sync: call them from one worker thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from edge_agent.publish.database import (
    Database,
    DatabaseError,
    OperationalError,
    OutboxFullError,
    connect,
    gone,
    room,
)
from edge_agent.publish.outbox_file import set_aside

__all__ = ["Interrupted", "Journal", "JournalFullError", "Remembered"]

MOST_ROWS: Final = 5_000
KEEP_S: Final = 3600.0  # an id past its expiry, so that a hub that asks again is answered
_VERSION: Final = 1
_MOST_PAGES: Final = 8_192  # of 4 KiB: 32 MiB

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS command (
    id TEXT PRIMARY KEY, expires REAL NOT NULL, started INTEGER NOT NULL DEFAULT 0,
    result BLOB, heard INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""


class JournalFullError(Exception):
    """Nothing can be remembered now, so nothing may be executed."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A command that came before; without a result it is being seen to."""

    result: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A command of an earlier life that has no result yet."""

    id: str
    started: bool


class Journal:
    """One gateway's journal of commands."""

    def __init__(self, database: Database) -> None:
        """Take an open database; use `open`."""
        self._db = database
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if tables and version != _VERSION:
            raise DatabaseError(f"tables of version {version}, not {_VERSION}")
        database.executescript(f"PRAGMA user_version = {_VERSION};{_SCHEMA}")

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create a journal; one that is no sound database is set aside, `*.corrupt-N`.

        Raises:
            JournalFullError: there is no room for it, or it cannot be written.
        """
        try:
            try:
                return cls(connect(path, _MOST_PAGES))
            except OperationalError:
                raise
            except DatabaseError:
                set_aside(path)
                return cls(connect(path, _MOST_PAGES))
        except OperationalError as error:
            raise JournalFullError(str(error)) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def remembers_since(self, epoch: str, now: float) -> float:
        """Give when the memory began, Unix seconds.

        Args:
            epoch: of the outbox. Another than before tells of a disk that was restored or lost,
                and a journal beside it that may be an old copy: the memory begins anew.
            now: Unix seconds, from a clock that is set.
        """
        since = self._meta("since")
        if since is None or self._meta("epoch") != epoch:
            since = now
            with self._transaction():
                self._set("epoch", epoch)
                self._set("since", since)
        return float(since)

    @property
    def forgotten(self) -> float:
        """The latest expiry of an id that is remembered no longer; Unix seconds."""
        return float(self._meta("forgotten") or 0.0)

    def take(self, ident: str, expires: float) -> Remembered | None:
        """Remember a command from now on; gives what is known of it when it came before.

        Raises:
            JournalFullError: it is not remembered.
        """
        row = self._db.execute("SELECT result FROM command WHERE id = ?", (ident,)).fetchone()
        if row is not None:
            return Remembered(row[0])
        (count,) = self._db.execute("SELECT count(*) FROM command").fetchone()
        if count >= MOST_ROWS:
            raise JournalFullError(f"{count} commands are remembered that have not expired")
        with self._transaction():
            self._db.execute("INSERT INTO command (id, expires) VALUES (?, ?)", (ident, expires))
        return None

    def start(self, ident: str) -> None:
        """It is about to be executed.

        Raises:
            JournalFullError: then it must not be.
        """
        with self._transaction():
            self._db.execute("UPDATE command SET started = 1 WHERE id = ?", (ident,))

    def finish(self, ident: str, result: bytes) -> None:
        """Its end is known: once for ever.

        Raises:
            JournalFullError: it is not stored; try again.
        """
        with self._transaction():
            self._db.execute(
                "UPDATE command SET result = ? WHERE id = ? AND result IS NULL", (result, ident)
            )

    def settle(self, result: Callable[[Interrupted], bytes]) -> int:
        """End what an earlier life has left without a result; gives how many those were."""
        rows = self._db.execute("SELECT id, started FROM command WHERE result IS NULL").fetchall()
        ends = [(result(Interrupted(ident, bool(started))), ident) for ident, started in rows]
        with self._transaction():
            self._db.executemany("UPDATE command SET result = ? WHERE id = ?", ends)
        return len(ends)

    def unheard(self, most: int) -> list[tuple[str, bytes]]:
        """Give the results that no broker has taken yet."""
        return self._db.execute(
            "SELECT id, result FROM command WHERE result IS NOT NULL AND NOT heard LIMIT ?", (most,)
        ).fetchall()

    def heard(self, ident: str) -> None:
        """A broker has taken its result."""
        with self._transaction():
            self._db.execute("UPDATE command SET heard = 1 WHERE id = ?", (ident,))

    def forget(self, now: float) -> None:
        """Let go of what expired long ago, whoever has heard of it; `now` in Unix seconds."""
        past = now - KEEP_S
        (latest,) = self._db.execute(
            "SELECT max(expires) FROM command WHERE expires < ? AND result IS NOT NULL", (past,)
        ).fetchone()
        if latest is None:
            return
        with self._transaction():
            self._set("forgotten", max(float(latest), self.forgotten))
            self._db.execute(
                "DELETE FROM command WHERE expires < ? AND result IS NOT NULL", (past,)
            )

    def _meta(self, name: str) -> str | float | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def _set(self, name: str, value: str | float) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Change all or nothing, and tell a disk that takes nothing from every other fault."""
        try:
            with room(), self._db:
                yield
        except OutboxFullError as error:
            raise JournalFullError(str(error)) from error
        except DatabaseError as error:
            if gone(error):
                raise JournalFullError(str(error)) from error
            raise
