"""The agent always starts, and always goes on: what takes the place of an outbox that is lost.

| what happened | what takes its place |
|---|---|
| the file turns out damaged | it is set aside; a fresh file, of a new epoch |
| the disk cannot be written (any more) | one in memory, of a new epoch; the file stays as it is |

Nothing is sent twice for it: what a damaged file held is lost, and a snapshot says who is in; what
a file holds that cannot be written is delivered under its own epoch when it can be again. As soon
as it can, it is told of the visits meanwhile, else the next start would end them once more; and a
commit whose sync failed, which SQLite would find in the log, is taken out of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from edge_agent.config import Delivery
from edge_agent.publish.database import (
    DatabaseError,
    OutboxFullError,
    connect,
    damaged,
    forget_beyond,
)
from edge_agent.publish.outbox import Outbox
from edge_agent.publish.outbox_budget import Limits
from edge_agent.publish.outbox_file import OutboxBusyError, OutboxUnusableError, set_aside
from edge_agent.publish.stored_visit import StoredVisit

__all__ = ["keep_visits", "open_outbox", "successor"]

MOST_IN_MEMORY: Final = 16 << 20  # octets: the gateway's RAM is not the hub's queue

log = structlog.get_logger()


def open_outbox(path: Path, settings: Delivery) -> Outbox:
    """Open the outbox, or one in memory where the disk does not let itself be written.

    Raises:
        OutboxBusyError: another agent uses the folder.
    """
    limits = Limits(settings.max_bytes, settings.max_age)
    try:
        return Outbox.open(path, limits)
    except OutboxBusyError:
        raise
    except OutboxUnusableError as error:
        log.error("disk_unwritable", reason=str(error), advice="events live in memory until then")  # noqa: TRY400
        return _in_memory(limits)


def successor(lost: Outbox, error: DatabaseError | OutboxFullError) -> Outbox:
    """Give what takes the place of an outbox that failed with `error`."""
    known = (lost.known_roster_seq, lost.session)
    lock, lost.lock = lost.lock, None  # the folder stays ours
    fresh: Outbox | None = None
    path, stands_in_for = lost.path, None
    with suppress(DatabaseError):
        stands_in_for = None if path is None else (path, lost.highest)
    with suppress(DatabaseError):
        lost.close()
    if path is not None and isinstance(error, DatabaseError) and damaged(error):
        log.error("database_damaged", reason=str(error), advice="set aside; a new epoch begins")
        with suppress(OSError, DatabaseError, OutboxUnusableError):
            set_aside(path)
            fresh = Outbox.open(path, lost.ledger.limits, lock=lock)
    if fresh is None:
        log.error("disk_unwritable", reason=str(error), advice="events live in memory until then")
        fresh = _in_memory(lost.ledger.limits)
        fresh.lock = lock
        if not (isinstance(error, DatabaseError) and damaged(error)):
            fresh.stands_in_for = stands_in_for
    fresh.take_over(*known)
    return fresh


def keep_visits(outbox: Outbox, visits: Iterable[StoredVisit]) -> None:
    """Replace all stored visits, also in the file that an outbox in memory stands in for."""
    kept = list(visits)
    outbox.keep_visits(kept)
    if outbox.stands_in_for is not None:
        path, had_given = outbox.stands_in_for
        with suppress(DatabaseError, OutboxFullError):  # it cannot be written yet
            database = connect(path, outbox.ledger.limits.pages)
            with closing(database):
                forget_beyond(database, had_given)
                Outbox(database, limits=outbox.ledger.limits).keep_visits(kept)


def _in_memory(limits: Limits) -> Outbox:
    return Outbox.in_memory(
        uuid.uuid4().hex, replace(limits, max_bytes=min(limits.max_bytes, MOST_IN_MEMORY))
    )
