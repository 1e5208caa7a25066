"""The hub's ledger in PostgreSQL, through psycopg 3; any number of workers on one database.

Its `place` is the cluster, its timeline and the database: a dump loaded elsewhere, a recovery to a
point in time and a standby that was promoted (which may lack the last commits) each are a place of
their own. A data directory that was copied back is not; the retained acknowledgements tell then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from simulators.hub_store import Execute, StoreLostError

__all__ = ["PostgresLedger"]

_NUMBER: Final = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
_TABLES_LOCK: Final = 0x70726573  # of the advisory kind: one worker creates, the others wait
_PLACE: Final = """
SELECT system_identifier || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
    || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
FROM pg_control_system()
"""


class PostgresLedger:
    """A database. A cursor's row is locked; transactions see what was committed before each read.

    `synchronous_commit` is on whatever the server's default: an acknowledgement is a promise.
    """

    lock = " FOR UPDATE"

    def __init__(self, url: str) -> None:
        """Connect."""
        try:
            self._db = psycopg.connect(
                url, options="-c synchronous_commit=on", application_name="presence-hub"
            )
            ((self.place,),) = self._run(_PLACE, None)
            self._db.commit()
        except psycopg.OperationalError as error:
            raise StoreLostError(str(error).strip()) from None

    def create(self, tables: str) -> None:
        """Create the tables where there are none."""
        with self.transaction():
            self._run(f"SELECT pg_advisory_xact_lock({_TABLES_LOCK})", None)
            self._db.execute(tables.format(number=_NUMBER, octets="BYTEA"))

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """Begin and commit."""
        try:
            with self._db.transaction():
                yield self._run
        except psycopg.OperationalError as error:  # gone, shutting down, a deadlock, a full disk
            raise StoreLostError(str(error).strip()) from None

    def close(self) -> None:
        """Disconnect."""
        self._db.close()

    def _run(self, statement: str, values: Mapping[str, object] | None) -> list[tuple[Any, ...]]:
        named = re.sub(r":(\w+)", r"%(\1)s", statement)
        done = self._db.execute(named, values)
        return done.fetchall() if done.description else []
