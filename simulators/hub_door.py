"""The hub's door: an event that the gateway of its topic may send comes in, all else is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from edge_agent.publish.contract import DATA_TYPES, Event, GapData

__all__ = ["Arrival", "Refusal", "Root", "read", "source_of"]

_TOPIC_LEVELS: Final = 7  # presence/v1/tenant/shard/store/gateway/leaf

Root = str  # of a gateway's topics


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came, and when: Unix seconds."""

    topic: str
    payload: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is no event of the contract, and why; the reason repeats nothing of it."""

    topic: str
    reason: str


def source_of(root: Root) -> str:
    """Name the source whose topics lie under a root; "" for none."""
    levels = root.split("/")
    return f"/{levels[2]}/{levels[4]}/{levels[5]}" if len(levels) == _TOPIC_LEVELS - 1 else ""


def read(arrival: Arrival) -> Event | Refusal:
    """Read an event that the gateway of this topic may send."""
    try:
        event = Event.model_validate_json(arrival.payload)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        where = {
            ".".join(map(str, fault["loc"])) or "the message": fault["msg"] for fault in faults
        }
        reason = "; ".join(f"{path}: {fault}" for path, fault in where.items())
        return Refusal(arrival.topic, reason)
    if type(event.data) is not DATA_TYPES[event.type]:
        return Refusal(arrival.topic, f"data: not that of {event.type}")
    if event.source != source_of(arrival.topic.rpartition("/")[0]):
        return Refusal(arrival.topic, "source: not the gateway that the topic belongs to")
    if isinstance(event.data, GapData) and not event.seq == event.data.from_ <= event.data.to:
        return Refusal(arrival.topic, "data: a tombstone's seq is its from, and to is not below it")
    if b"\\u0000" in arrival.payload:
        return Refusal(
            arrival.topic, "the message: a character that PostgreSQL does not hold (NUL)"
        )
    return event
