"""Events as a gateway writes them, of a visitor who is nobody."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any, Final

from edge_agent.publish.contract import Event, utc_text

__all__ = ["enter", "tombstone", "written"]

_BOOT: Final = "hub-check"


def enter(source: str, epoch: str, seq: int, *, unix: float | None = None) -> dict[str, Any]:
    """Write event `seq`: somebody of its own enters, now or at another Unix time."""
    _, _, store, gateway = source.split("/")
    moment = utc_text(datetime.fromtimestamp(time.time() if unix is None else unix, UTC))
    kind = "presence.enter.v1"
    return {
        "specversion": "1.0",
        "id": f"{gateway}:{epoch}:{seq}",
        "source": source,
        "type": kind,
        "subject": f"nobody-{seq}",
        "time": moment,
        "datacontenttype": "application/json",
        "dataschema": Event.schema_of(kind),
        "epoch": epoch,
        "seq": seq,
        "boot": _BOOT,
        "clock": "synchronised",
        "data": {
            "visit": f"{gateway}-{epoch}-{seq}",
            "visitor": f"nobody-{seq}",
            "store": store,
            "zone": "floor",
            "entered_at": moment,
            "decided_at": moment,
            "sources": ["ble"],
            "confidence": 0.9,
        },
    }


def tombstone(source: str, epoch: str, first: int, last: int) -> dict[str, Any]:
    """Write the tombstone of `first` to `last`."""
    event = enter(source, epoch, first)
    del event["subject"]
    kind = "presence.gap.v1"
    return event | {
        "type": kind,
        "dataschema": Event.schema_of(kind),
        "data": {"from": first, "to": last, "reason": "budget", "counts": {}},
    }


def written(event: dict[str, Any]) -> bytes:
    """Give the octets that go on the wire."""
    return json.dumps(event, separators=(",", ":")).encode()
