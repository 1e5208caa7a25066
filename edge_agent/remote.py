"""What the hub can do to this gateway from afar: its commands and its configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from edge_agent.clock import Clock
from edge_agent.commands.channel import Commands
from edge_agent.commands.judge import Addressee
from edge_agent.config import Config
from edge_agent.deeds import Ending, Gateway, GatewayDeeds
from edge_agent.desired.channel import DesiredConfig
from edge_agent.desired.ledger import Vitals
from edge_agent.desired.tenure import Tenure
from edge_agent.identify.roster_manifest import read_public_key
from edge_agent.publish.channel import Channel
from edge_agent.publish.outbox import OutboxFullError

__all__ = ["Remote"]


class RemoteGateway(Gateway, Protocol):
    """The agent, as far as the hub reaches into it."""

    @property
    def listening(self) -> bool:
        """Whether any radio is heard."""


class Remote:
    """The channels `command` and `config` of one agent."""

    def __init__(
        self,
        gateway: RemoteGateway,
        config: Config,
        clock: Clock,
        boot: str,
        tenure: Tenure | None,
    ) -> None:
        """Prepare; without a tenure the hub cannot change the configuration."""
        self._gateway = gateway
        self._first_watermark: int | None = None
        key = config.roster.public_key
        obeyed = None if key is None else read_public_key(key)
        us = Addressee(config.tenant, config.store, config.gateway, obeyed)
        self._desired: DesiredConfig | None = None
        if tenure is not None:
            self._desired = DesiredConfig(
                us,
                tenure,
                boot,
                clock,
                self._vitals,
                self._stores,
                lambda: gateway.stop(Ending.RENEW),
            )
        self._commands = Commands(
            us,
            config.state.directory / "commands.db",
            GatewayDeeds(gateway, self._desired, clock),
            clock,
            lambda: gateway.publisher.in_outbox(lambda outbox: outbox.epoch),
        )

    @property
    def channels(self) -> Sequence[Channel]:
        """For the publisher."""
        return (self._commands,) if self._desired is None else (self._commands, self._desired)

    @property
    def health(self) -> dict[str, object]:
        """What the gateway's health says of it."""
        return {
            "commands": dict(self._commands.counts),
            "config": None if self._desired is None else self._desired.summary,
        }

    async def run(self) -> None:
        """Obey, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commands.run(), name="commands")
            if self._desired is not None:
                tasks.create_task(self._desired.run(), name="desired configuration")

    def _vitals(self) -> Vitals:
        delivery = self._gateway.publisher.state
        if self._first_watermark is None:
            self._first_watermark = delivery.watermark
        return Vitals(
            connected=delivery.connected,
            listening=self._gateway.listening,
            delivering=not delivery.outstanding or delivery.watermark > self._first_watermark,
        )

    async def _stores(self) -> bool:
        """Tell whether the outbox commits: by having it write the visits that it holds."""
        try:
            await self._gateway.publisher.in_outbox(
                lambda outbox: outbox.keep_visits(outbox.visits())
            )
        except OutboxFullError:
            return False
        return True
