"""The event contract (DESIGN section 7): CloudEvents 1.0, structured JSON, an allow-list.

These models are the contract: the schema is generated from them, events are written with them, and
nothing that they do not name goes on the wire.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from edge_agent.model import ExitReason

__all__ = [
    "DATA_TYPES",
    "Acknowledgement",
    "ClockQuality",
    "DwellData",
    "EnterData",
    "Event",
    "EventType",
    "ExitData",
    "GapData",
    "MoveData",
    "Snapshot",
    "SnapshotVisit",
    "State",
    "utc_text",
]

_INTEGERS: Final = 1 << 63  # what SQLite holds
SCHEMA_ROOT: Final = "urn:edge-agent:presence:v1"


class ClockQuality(StrEnum):
    """How far UTC in an event can be trusted; durations always can."""

    SYNCHRONISED = "synchronised"
    HOLDOVER = (
        "holdover"  # was synchronised, or kept by the host; drifting by seconds a day at worst
    )
    UNSYNCHRONISED = "unsynchronised"


def utc_text(moment: datetime) -> str:
    """Write a moment as the contract does: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


Moment = Annotated[
    datetime,
    PlainSerializer(utc_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": r"\.\d{3}Z$"}),
]
Seconds = Annotated[float, Field(ge=0), PlainSerializer(lambda s: round(s, 3), return_type=float)]
Probability = Annotated[
    float, Field(ge=0, le=1), PlainSerializer(lambda p: round(p, 3), return_type=float)
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class _VisitData(_Part):
    visit: str
    """The visit's id: the same in all its events, also after a restart."""
    visitor: str
    """The per-store pseudonym, linkable by the hub alone."""
    store: str
    zone: str
    entered_at: Moment
    decided_at: Moment
    """When it was known; `time` is when it happened."""
    sources: tuple[Literal["ble", "portal", "wifi"], ...]
    confidence: Probability
    """Of this decision."""


class EnterData(_VisitData):
    """She came in."""

    resumed: Literal[True] | None = Field(default=None, exclude_if=lambda v: v is None)
    """Present when an earlier exit of this visit was wrong: the last exit counts."""


class DwellData(_VisitData):
    """She has stayed for a milestone."""

    dwell_s: Seconds
    milestone_s: Annotated[int, Field(ge=1)]


class MoveData(_VisitData):
    """She changed zones."""

    from_zone: str


class ExitData(_VisitData):
    """She left."""

    exited_at: Moment
    dwell_s: Seconds
    reason: ExitReason


class GapData(_Part):
    """A tombstone: the events `from` to `to` were dropped by policy."""

    from_: Annotated[int, Field(alias="from", ge=1)]
    to: Annotated[int, Field(ge=1, lt=_INTEGERS)]
    reason: str
    counts: dict[str, int]


EventType = Literal[
    "presence.enter.v1",
    "presence.dwell.v1",
    "presence.move.v1",
    "presence.exit.v1",
    "presence.gap.v1",
]
EventData = EnterData | DwellData | MoveData | ExitData | GapData
DATA_TYPES: Final[dict[EventType, type[_Part]]] = {
    "presence.enter.v1": EnterData,
    "presence.dwell.v1": DwellData,
    "presence.move.v1": MoveData,
    "presence.exit.v1": ExitData,
    "presence.gap.v1": GapData,
}


class Event(_Part):
    """The CloudEvents envelope. `subject` is the visitor; a tombstone has none."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    """`gateway:epoch:seq`."""
    source: str
    """`/tenant/store/gateway`."""
    type: EventType
    subject: str | None = Field(default=None, exclude_if=lambda v: v is None)
    time: Moment
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    epoch: str
    """The outbox's random id."""
    seq: Annotated[int, Field(ge=1, lt=_INTEGERS)]
    """Counts the events of an epoch from 1, without gaps."""
    boot: str
    clock: ClockQuality
    data: EventData

    @staticmethod
    def schema_of(kind: str) -> str:
        """Name the schema of an event type."""
        return f"{SCHEMA_ROOT}:{kind.split('.')[1]}"


class Acknowledgement(_Part):
    """The watermark: the hub has applied every event of `epoch` up to `seq`."""

    model_config = ConfigDict(extra="ignore")  # a newer hub may say more

    epoch: str
    seq: Annotated[int, Field(ge=0, lt=_INTEGERS)]
    hub: Annotated[int, Field(ge=0, lt=_INTEGERS)]
    """The hub's incarnation: Unix milliseconds when its store was created or restored."""


class State(_Part):
    """Birth (`connected: true`) and will (`connected: false`) of a gateway."""

    model_config = ConfigDict(extra="ignore")  # another version of the agent may say more

    connected: bool
    boot: str
    session: Annotated[int, Field(ge=1, lt=_INTEGERS)]
    """Increases with every start of the agent."""
    version: str


class SnapshotVisit(_Part):
    """One visit that is open."""

    visit: str
    visitor: str
    zone: str
    """Where she is, as of the snapshot's `seq`."""
    entered_at: Moment
    sources: tuple[Literal["ble", "portal", "wifi"], ...]


class Snapshot(_Part):
    """Exactly the visits that are open at this gateway after event `seq` of `epoch`.

    Sent on request, and by itself when an epoch has begun. What a hub holds open of this gateway's
    earlier epochs, and is not in here, has ended without its exit: what said so is lost.
    """

    epoch: str
    seq: Annotated[int, Field(ge=0, lt=_INTEGERS)]
    """0: nothing has been stored in this epoch yet."""
    at: Moment
    """When it was taken."""
    visits: tuple[SnapshotVisit, ...]
