"""Commands and their results, as they cross between hub and gateway (DESIGN section 7).

    command/{id}          {"command": {...}, "signature": "..."}      hub -> gateway
    command/{id}/result   {"v": 1, "id": ..., "status": ..., ...}     gateway -> hub

A hub that has heard no result says the same command again, under the same id: it is executed once
all the same, and answered again.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, PlainSerializer

from edge_agent.publish.contract import utc_text

__all__ = ["MOST_AHEAD_S", "Command", "CommandFault", "Executed", "Result", "Status"]

MOST_AHEAD_S: Final = 24 * 3600  # that a command may be kept for before it expires

Moment = Annotated[datetime, PlainSerializer(utc_text, return_type=str, when_used="json")]
Label = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
CommandId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Command(_Part):
    """What the hub signs; `arguments` are those of its action."""

    v: Literal[1]
    kind: Literal["command"] = "command"
    id: CommandId
    """Chosen by the hub, once for ever; the last level of the topic."""
    tenant: Label
    store: Label
    gateway: Label
    action: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]
    arguments: dict[str, JsonValue] = Field(default_factory=dict, repr=False)
    issued_at: AwareDatetime
    expires_at: AwareDatetime
    """At most 24 h ahead; past it, it is never executed."""


class Status(StrEnum):
    """What became of a command."""

    DONE = "done"
    FAILED = "failed"  # executed, and it could not do what was asked
    INTERRUPTED = "interrupted"  # the agent stopped while executing
    DROPPED = "dropped"  # the agent stopped before it began
    EXPIRED = "expired"
    REFUSED = "refused"  # not the hub's word, or not for this gateway, or perhaps executed before
    INVALID = "invalid"  # its form or its arguments: see `faults`
    UNKNOWN_ACTION = "unknown_action"
    UNSYNCHRONISED = "unsynchronised"  # no clock to tell whether it has expired
    BUSY = "busy"  # too many at once, or no room to remember it: say it again


class Executed(StrEnum):
    """How often it was executed, honestly."""

    ONCE = "once"
    NEVER = "never"
    PERHAPS = "perhaps"  # once or not at all: nobody can know after a power cut


class CommandFault(_Part):
    """One wrong value: where it is, and what to write instead."""

    path: str
    advice: str


class Result(_Part):
    """What became of a command; the last word on it, but after `busy` and `unsynchronised`."""

    v: Literal[1] = 1
    id: CommandId
    status: Status
    executed: Executed
    detail: str
    """A sentence for people."""
    at: Moment
    """When this was decided, by the gateway's clock."""
    value: JsonValue = None
    """What the action gives back."""
    faults: tuple[CommandFault, ...] = ()
