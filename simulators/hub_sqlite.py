"""The hub's ledger in a file: SQLite, WAL, `synchronous=FULL`; one writer at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from simulators.hub_store import Execute, StoreLostError

__all__ = ["SqliteLedger"]

_NUMBER: Final = "INTEGER PRIMARY KEY AUTOINCREMENT"


class SqliteLedger:
    """A file. `BEGIN IMMEDIATE` holds all of it, so that no row needs a lock of its own."""

    lock = ""
    place = "a file"  # that was put back looks like one that was always there

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise StoreLostError(f"{path}: {error}") from None

    def create(self, tables: str) -> None:
        """Create the tables where there are none."""
        self._db.executescript(tables.format(number=_NUMBER, octets="BLOB"))

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """Begin and commit."""
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._execute
        except sqlite3.OperationalError as error:  # locked for too long, a full disk
            raise StoreLostError(str(error)) from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _execute(self, statement: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        return self._db.execute(statement, dict(values)).fetchall()
