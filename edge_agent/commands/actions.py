"""The table of actions: what may be commanded, with which arguments. It is an allow-list.

A new action is a model of its arguments, a line in `ACTIONS`, and a method of `Deeds`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import BaseModel, Field, JsonValue

from edge_agent.config_values import Duration, Section

__all__ = ["ACTIONS", "Action", "ActionFailedError", "Deeds"]


class ActionFailedError(Exception):
    """It could not do what was asked; the text says why, and names nobody."""


class Deeds(Protocol):
    """What a gateway can do for its hub; each raises `ActionFailedError`."""

    async def snapshot(self) -> JsonValue:
        """Publish the open visits."""

    async def skip_refused(self) -> JsonValue:
        """Give up the events that the broker refuses; a tombstone stands for them."""

    async def erase(self, visitor: str) -> JsonValue:
        """Forget everything of a visitor."""

    async def log_level(self, level: str, seconds: float) -> JsonValue:
        """Log more or less for a while."""

    async def status(self) -> JsonValue:
        """Say how the gateway is."""

    async def revert_config(self) -> JsonValue:
        """Give up the configuration of the hub's that is in force."""

    def begin_anew(self) -> None:
        """Begin the next life with another configuration."""

    def restart(self) -> None:
        """End the process, cleanly, so that it is started again."""


class Nothing(Section):
    """No arguments."""


class Erase(Section):
    """Whom to forget."""

    visitor: Annotated[str, Field(min_length=1, max_length=128, repr=False)]
    """Her pseudonym, as events call her."""


class LogLevel(Section):
    """How much to log, and for how long."""

    level: Literal["debug", "info", "warning", "error"]
    for_: Annotated[Duration, Field(alias="for", ge=1, le=24 * 3600)]
    """After this, the level is what it was: `10min`."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action: what it takes, what it does, and what it does once its result is heard."""

    arguments: type[BaseModel]
    act: Callable[[Deeds, Any], Awaitable[JsonValue]]
    afterwards: Callable[[Deeds], None] | None = None


async def _nothing_yet(_deeds: Deeds, _arguments: Any) -> JsonValue:
    return None


ACTIONS: Final[dict[str, Action]] = {
    "snapshot": Action(Nothing, lambda deeds, _: deeds.snapshot()),
    "skip_refused": Action(Nothing, lambda deeds, _: deeds.skip_refused()),
    "erase": Action(Erase, lambda deeds, asked: deeds.erase(asked.visitor)),
    "log_level": Action(LogLevel, lambda deeds, asked: deeds.log_level(asked.level, asked.for_)),
    "status": Action(Nothing, lambda deeds, _: deeds.status()),
    "revert_config": Action(
        Nothing, lambda deeds, _: deeds.revert_config(), lambda deeds: deeds.begin_anew()
    ),
    "restart": Action(Nothing, _nothing_yet, lambda deeds: deeds.restart()),
}
