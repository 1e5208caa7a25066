"""What lies in the outbox, for `edge-agent outbox`: read beside a running agent, changing nothing.

The first line is the whole; each further line is a tombstone that is still held. Nobody's pseudonym
is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from edge_agent.config import Config
from edge_agent.publish.database import Database, DatabaseError, read_only
from edge_agent.publish.outbox_budget import GAP
from edge_agent.status import read_status

__all__ = ["OutboxReport", "OutboxUnreadableError", "inspect"]


class OutboxUnreadableError(Exception):
    """There is no outbox to be read; the text says why."""


@dataclass(frozen=True, slots=True)
class OutboxReport:
    """What is stored, as lines of JSON, and in a sentence."""

    lines: tuple[dict[str, Any], ...]
    sentence: str


def inspect(config: Config) -> OutboxReport:
    """Look into the outbox of a configuration.

    Raises:
        OutboxUnreadableError: there is none, or it is damaged.
    """
    path = config.state.directory / "outbox.db"
    if not path.exists():
        raise OutboxUnreadableError(f"{path} is missing: has the agent ever run here?")
    try:
        with closing(read_only(path)) as database:
            database.execute("BEGIN")  # one moment, whatever the agent does meanwhile
            whole = _whole(database, config)
            gaps = tuple(_gaps(database))
    except DatabaseError as error:
        raise OutboxUnreadableError(
            f"{path} cannot be read ({error}); the agent sets a damaged one aside when it starts"
        ) from error
    whole["bytes"]["file"] = path.stat().st_size
    return OutboxReport((whole, *gaps), _sentence(whole, len(gaps)))


def _whole(database: Database, config: Config) -> dict[str, Any]:
    meta = dict(database.execute("SELECT name, value FROM meta").fetchall())
    watermark = int(meta.get("watermark") or 0)
    rows = database.execute(
        "SELECT seq > ?, type, count(*), sum(length(body)) FROM event GROUP BY 1, 2", (watermark,)
    ).fetchall()
    oldest = database.execute(
        "SELECT body FROM event WHERE seq > ? AND type != ? ORDER BY seq LIMIT 1", (watermark, GAP)
    ).fetchone()
    (visits,) = database.execute("SELECT count(*) FROM visit").fetchone()
    delivery = read_status(config).values.get("delivery", {})
    return {
        "epoch": meta["epoch"],
        "highest": int(meta.get("highest") or 0),
        "watermark": watermark,
        "hub": int(meta.get("hub") or 0),
        "session": int(meta.get("session") or 0),
        "visits": visits,
        "waiting": {kind: count for waits, kind, count, _ in rows if waits},
        "tail": {kind: count for waits, kind, count, _ in rows if not waits},
        "bytes": {
            "waiting": sum(size for waits, _, _, size in rows if waits),
            "tail": sum(size for waits, _, _, size in rows if not waits),
        },
        "oldest": None if oldest is None else _decided_at(oldest[0]),
        "budget": {
            "max_bytes": config.delivery.max_bytes,
            "max_age_s": config.delivery.max_age,
        },
        "alarms": sorted(delivery.get("alarms", {})),
    }


def _decided_at(body: bytes) -> str | None:
    try:
        return str(json.loads(body)["data"]["decided_at"])
    except (ValueError, KeyError, TypeError):
        return None


def _gaps(database: Database) -> Iterator[dict[str, Any]]:
    rows = database.execute("SELECT body FROM event WHERE type = ? ORDER BY seq", (GAP,))
    for (body,) in rows:
        data = json.loads(body)["data"]
        yield {"tombstone": {name: data[name] for name in ("from", "to", "reason", "counts")}}


def _sentence(whole: dict[str, Any], gaps: int) -> str:
    waiting = whole["highest"] - whole["watermark"]
    used = 100 * whole["bytes"]["waiting"] / whole["budget"]["max_bytes"]
    since = f", the oldest decided at {whole['oldest']}" if whole["oldest"] else ""
    alarms = f"; alarms: {', '.join(whole['alarms'])}" if whole["alarms"] else ""
    return (
        f"{waiting} of {whole['highest']} numbers wait for the hub ({used:.1f} % of the budget"
        f"{since}); {sum(whole['tail'].values())} confirmed are kept, {gaps} tombstone(s){alarms}"
    )
