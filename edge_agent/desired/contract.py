"""The configuration as it crosses between hub and gateway (DESIGN section 7); both retained.

config/desired     {"config": {...}, "signature": "..."}         hub -> gateway
config/reported    {"v": 1, "version": 7, "state": ..., ...}     gateway -> hub
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainSerializer

from edge_agent.publish.contract import utc_text

__all__ = ["Desired", "Reported", "ReportedFault"]

Moment = Annotated[datetime, PlainSerializer(utc_text, return_type=str, when_used="json")]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Desired(_Part):
    """What the hub signs."""

    v: Literal[1]
    kind: Literal["config"] = "config"
    tenant: str
    store: str
    gateway: str
    version: Annotated[int, Field(ge=1, lt=1 << 53, strict=True)]
    """Increases; what is not newer than all before is refused."""
    values: dict[str, JsonValue]
    """Over the gateway's file: what the hub may set of it."""


class ReportedFault(_Part):
    """What is wrong: where, and what to write instead or why it was reverted."""

    path: str
    advice: str


class Reported(_Part):
    """What became of the newest configuration desired, and what is in force."""

    v: Literal[1] = 1
    version: int | None
    """Which `state` speaks of; 0 is the gateway's file alone, None a word that is not the hub's."""
    state: Literal["applied", "probation", "reverted", "refused"]
    faults: tuple[ReportedFault, ...] = ()
    in_force: int
    """The version whose values are in force; 0: none."""
    effective: dict[str, Any]
    """The values in force, of those that the hub may set."""
    since: Moment | None
    """When this state began; None when the clock was not set."""
