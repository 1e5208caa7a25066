"""What a gateway does when its hub commands it: `commands.actions.Deeds`, on the agent's parts."""

from __future__ import annotations

import asyncio
import json
from enum import Enum, auto
from typing import Final, Protocol, cast

import structlog
from pydantic import JsonValue

from edge_agent.clock import Clock
from edge_agent.commands.actions import ActionFailedError
from edge_agent.desired.channel import DesiredConfig
from edge_agent.health import published
from edge_agent.log_level import logger_of, set_log_level
from edge_agent.pipeline import Decided, Pipeline
from edge_agent.publish.publisher import Publisher

__all__ = ["Ending", "Gateway", "GatewayDeeds"]

log: Final = structlog.get_logger()


class Ending(Enum):
    """Why the agent ended, cleanly."""

    STOPPED = auto()
    RESTART = auto()  # as commanded: whoever supervises it starts it again
    RENEW = auto()  # to begin anew at once, with another configuration


class Gateway(Protocol):
    """The agent, as far as commands reach into it."""

    pipeline: Pipeline
    publisher: Publisher

    def health(self) -> dict[str, object]:
        """Say how the gateway is."""

    def submit(self, decided: Decided) -> None:
        """Store and deliver what was decided."""

    def stop(self, ending: Ending) -> None:
        """Stop cleanly."""


class GatewayDeeds:
    """Does what is commanded."""

    def __init__(self, gateway: Gateway, desired: DesiredConfig | None, clock: Clock) -> None:
        """Take the agent, whose parts may not be there before the first command."""
        self._gateway = gateway
        self._desired = desired
        self._clock = clock
        self._usual: type[structlog.typing.BindableLogger] | None = None
        self._back: asyncio.TimerHandle | None = None

    async def snapshot(self) -> JsonValue:
        """Publish the open visits."""
        self._gateway.publisher.request_snapshot()
        return None

    async def skip_refused(self) -> JsonValue:
        """Give up the events that the broker refuses; a tombstone stands for them."""
        return {"skipped": await self._gateway.publisher.skip_refused()}

    async def erase(self, visitor: str) -> JsonValue:
        """Forget a visitor: her open visit, her events pending, queued and in the tail.

        On the roster she stays: that is the hub's to change, and until it does, she may make a new
        visit, which the answer says.
        """
        pipeline, publisher = self._gateway.pipeline, self._gateway.publisher
        self._gateway.submit(pipeline.forget(visitor, self._clock.now()))
        if not await publisher.erase([visitor]):
            raise ActionFailedError("the disk is full: she is erased as soon as there is room")
        return {"on_roster": visitor in pipeline.identifier.directory.roster.visitors}

    async def log_level(self, level: str, seconds: float) -> JsonValue:
        """Log more or less for a while; a second command sets the time anew."""
        if self._usual is None:
            self._usual = structlog.get_config()["wrapper_class"]
        if self._back is not None:
            self._back.cancel()
        set_log_level(logger_of(level))
        self._back = asyncio.get_running_loop().call_later(seconds, self._log_as_usual)
        return None

    async def status(self) -> JsonValue:
        """Say how the gateway is, as it is published: nobody can be counted in it."""
        health = self._gateway.health()
        told: dict[str, JsonValue] = json.loads(published(health))
        return told | {"config": cast("JsonValue", health["config"])}

    async def revert_config(self) -> JsonValue:
        """Give up the configuration of the hub's that is in force; what it told stays told."""
        if self._desired is None or not await self._desired.revert():
            raise ActionFailedError("nothing is in force over the gateway's file")
        return None

    def begin_anew(self) -> None:
        """Begin the next life with another configuration."""
        self._gateway.stop(Ending.RENEW)

    def restart(self) -> None:
        """End the process, cleanly, so that it is started again."""
        log.warning("restart_commanded")
        self._gateway.stop(Ending.RESTART)

    def _log_as_usual(self) -> None:
        if self._usual is not None:
            set_log_level(self._usual)
        self._usual = self._back = None
