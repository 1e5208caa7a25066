"""What a rule is, and where it is played."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from edge_agent.config import Mqtt
from edge_agent.publish.topics import Topics
from simulators.hub_check.gateway import BrokenError, Gateway, Wire

__all__ = ["NotJudgedError", "Restart", "Result", "Rule", "Stage", "judge"]

Restart = Callable[[], Awaitable[None]]


class NotJudgedError(Exception):
    """The rule could not be played; the text says what is needed."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the rules are played."""

    wire: Wire
    settings: Mqtt
    topics: Topics
    patience_s: float  # for an answer that must come
    settle_s: float  # in which an answer that must not come would have come
    restart: Restart | None  # kills the hub and starts it again

    def gateway(self, name: str, epoch: str | None = None) -> Gateway:
        """Bring on a gateway that nobody has heard of."""
        gateway = self.wire.gateway(name, epoch)
        gateway.patience_s = self.patience_s
        return gateway

    async def settle(self) -> None:
        """Give the hub the time to say what it should not say.

        Behind what was sent goes an event of somebody else's, which any hub answers; and as a hub
        may serve gateways side by side, a while is waited beyond that answer.
        """
        fence = self.gateway(f"fence-{len(self.wire.gateways)}")
        await fence.send_range(1, 1)
        await fence.answered(0)
        await asyncio.sleep(self.settle_s)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that the contract asks of a hub."""

    name: str
    clause: str  # of the contract
    fix: str
    play: Callable[[Stage], Awaitable[None]]  # its docstring says what is sent
    hostile: bool = False  # a hub may fall over it: played alone, after the others

    @property
    def sent(self) -> str:
        """What is sent."""
        return (self.play.__doc__ or "").strip().partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a rule."""

    rule: Rule
    verdict: Literal["pass", "fail", "not judged"]
    found: str


async def judge(rule: Rule, stage: Stage) -> Result:
    """Play a rule."""
    try:
        await rule.play(stage)
    except BrokenError as broken:
        return Result(rule, "fail", str(broken))
    except NotJudgedError as missing:
        return Result(rule, "not judged", str(missing))
    return Result(rule, "pass", "")
