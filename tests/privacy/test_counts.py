"""What is published about the gateway counts nobody, and has no member beyond its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.agent import Agent
from edge_agent.config import Config
from edge_agent.health import GROUP, Health, coarse, published
from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Member, Roster
from edge_agent.model import PortalAction, PortalEvent, RadioAddress

NAMES = [f"visitor-{n}" for n in range(7)]


@pytest.mark.parametrize(("count", "told"), [(0, 0), (1, 0), (4, 0), (5, 5), (9, 5), (1234, 1230)])
def test_counts_are_told_in_whole_groups(count: int, told: int) -> None:
    """Fewer than five are as good as none."""
    assert coarse(count) == told


async def report(folder: Path, visitors: int) -> dict[str, Any]:
    """Give the report of a store in which so many are, and one stranger tried the portal.

    Closes the outbox of an agent that never runs, which has no public way to do so.
    """
    config = Config(
        tenant="acme",
        store="0042",
        gateway="gw-1",
        mqtt={"url": "mqtts://broker.example"},  # type: ignore[arg-type] # as a file gives it
        roster={"public_key": "ab" * 32},  # type: ignore[arg-type]
        state={"directory": str(folder)},  # type: ignore[arg-type]
    )
    agent = Agent(config)
    agent.pipeline.identifier.directory = Directory(Roster.of([Member(name) for name in NAMES]))
    for n, name in enumerate([*NAMES[:visitors], "a stranger"]):
        address = RadioAddress(n + 1)
        agent.pipeline.feed(PortalAction(1.0, "gw-1", PortalEvent.BOUND, address, name))
    health = agent.health()
    agent._outbox.close()
    return health


async def test_a_few_visitors_do_not_show_in_what_is_published(tmp_path: Path) -> None:
    """Three are in: the technician reads 3, the broker 0, and one packet dropped is none."""
    exact = await report(tmp_path, 3)
    told = json.loads(published(exact))
    assert (exact["visits"], told["visits"]) == (3, 0)
    assert exact["dropped"] == {"not_on_roster": 1}
    assert told["dropped"] == {"not_on_roster": 0}
    assert not [name for name in NAMES if name in json.dumps([exact, told])]


async def test_one_more_or_less_does_not_show(tmp_path: Path) -> None:
    """With six and with seven in the store the same is published."""
    told = [json.loads(published(await report(tmp_path / str(n), n)))["visits"] for n in (6, 7)]
    assert told == [GROUP, GROUP]


async def test_what_the_model_does_not_name_is_not_published(tmp_path: Path) -> None:
    """A member somebody adds to the report for the technician stays on the machine."""
    health = await report(tmp_path, 1)
    told = json.loads(published({**health, "visitors": NAMES}))
    assert "visitors" not in told
    assert told.keys() == Health.model_fields.keys()
    assert health.keys() == Health.model_fields.keys()
