"""SQLite, as the outbox needs it: durable, erasing, bounded, and its failures told apart.

| SQLite says | it means | what becomes of it |
|---|---|---|
| FULL, IOERR on a disk that can be written | no room | `OutboxFullError`: wait, and try again |
| CORRUPT, NOTADB | damage | `lost`: set aside, a new epoch |
| READONLY, CANTOPEN, PERM, other IOERR | no disk any more | `lost`: go on in memory |
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from sqlite3 import Connection as Database
from sqlite3 import DatabaseError, OperationalError
from typing import Final

from edge_agent.publish.outbox_file import sync_log

__all__ = [
    "Database",
    "DatabaseError",
    "OperationalError",
    "OutboxFullError",
    "clear_log",
    "connect",
    "damaged",
    "forget_beyond",
    "gone",
    "in_memory",
    "lay_tables",
    "read_only",
    "room",
    "writable",
]

_VERSION: Final = 1  # of the tables; a file of another is set aside
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY, session INTEGER NOT NULL, type TEXT NOT NULL,
    visitor TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS visit (visitor TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
"""
_CHECKPOINT_PAGES: Final = 256
_FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)  # the card may say either


class OutboxFullError(Exception):
    """Nothing can be stored: the disk or the outbox's budget is full. What was stored is safe."""


_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNWRITABLE: Final = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_IOERR,
)
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def room() -> Iterator[None]:
    """Tell a full disk from every other fault."""
    try:
        yield
    except OperationalError as error:
        if error.sqlite_errorcode & 0xFF in _FULL:  # of an extended code, the primary one
            raise OutboxFullError(str(error)) from error
        raise
    except OSError as error:  # of a file that is synced beside it
        raise OutboxFullError(f"{error.strerror}") from error


def connect(path: Path, most_pages: int) -> Database:
    """Open a database that keeps what it has committed; raises where it is damaged."""
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA secure_delete = ON")
        database.execute("PRAGMA temp_store = MEMORY")  # nor does a look-up need room on the disk
        database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        database.execute(f"PRAGMA max_page_count = {most_pages}")
        with closing(database.execute("PRAGMA quick_check")) as check:
            sound = check.fetchone() == ("ok",)
    except DatabaseError:
        database.close()
        raise
    if not sound:
        database.close()
        raise DatabaseError("quick_check found damage")
    with suppress(OutboxFullError):  # the last life may have ended in the middle of an erasure
        clear_log(database, path)
    return database


def clear_log(database: Database, path: Path | None) -> None:
    """Let no octet outlive its deletion in the log, nor come back with a power cut."""
    with room():
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if path is not None:
            sync_log(path)


def forget_beyond(database: Database, seq: int) -> None:
    """Undo a commit that failed in its sync: the log has it, and it was made elsewhere since."""
    with room(), database:
        database.execute("DELETE FROM event WHERE seq > ?", (seq,))
        database.execute("UPDATE meta SET value = min(value, ?) WHERE name = 'highest'", (seq,))


def lay_tables(database: Database) -> None:
    """Create the tables where there are none; another program's are none of ours."""
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if tables and version != _VERSION:
        raise DatabaseError(f"tables of version {version}, not {_VERSION}")
    database.executescript(f"PRAGMA user_version = {_VERSION};{_SCHEMA}")


def in_memory() -> Database:
    """Make a database that nothing outlives."""
    return sqlite3.connect(":memory:", check_same_thread=False)


def read_only(path: Path) -> Database:
    """Open a database that somebody else may be writing, to look at it."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def damaged(error: DatabaseError) -> bool:
    """Tell damage from a disk that does not let itself be written."""
    return _code(error) in _DAMAGED


def gone(error: DatabaseError) -> bool:
    """Tell a database that cannot be used any more from a mistake of ours."""
    return _code(error) in (*_DAMAGED, *_UNWRITABLE)


def _code(error: DatabaseError) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # ours have none


def writable(folder: Path) -> bool:
    """Tell a disk that can be written, if only there were room, from one that cannot."""
    try:
        handle, name = tempfile.mkstemp(prefix=".probe-", dir=folder)
        try:
            os.write(handle, b"x")
            os.fsync(handle)
        finally:
            os.close(handle)
            Path(name).unlink()
    except OSError as error:
        return error.errno in _NO_ROOM
    return True
