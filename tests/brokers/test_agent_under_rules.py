"""The agent's own publisher under the example rules: it works, and denials lose nothing."""

from __future__ import annotations

import asyncio
import json

import pytest

from edge_agent.publish.topics import Topics
from simulators.brokers import rules
from tests.brokers.intruder import Client
from tests.brokers.test_rules import OURS, Guarded, guarded
from tests.publish.conftest import Publishing, outbox_file, publishing
from tests.publish.hub import until
from tests.publish.stories import composer, drafted, dwell, enter, leave

__all__ = ["guarded", "outbox_file", "publishing"]  # fixtures

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]
STRANGER = Topics("acme", "0043", "gw-1")


def heard(hub: Client) -> list[int]:
    """Give the seqs that the hub has heard on our topic."""
    return [json.loads(body)["seq"] for topic, body in hub.heard if topic == OURS.events]


async def test_the_agent_works_under_the_rules(guarded: Guarded, publishing: Publishing) -> None:
    """Its events reach the hub, the hub's watermark reaches it, and nothing is refused."""
    login = {"username": rules.user_of(OURS, guarded.between), "password": "change-me"}
    with await asyncio.to_thread(guarded.hub) as hub:
        await asyncio.to_thread(hub.subscribe, "presence/v1/+/+/+/+/events")
        assert hub.refused == []
        async with publishing(guarded.port, **login) as publisher:
            writer = composer()
            publisher.submit(drafted(writer, enter(), dwell(), leave()))
            await until(lambda: {1, 2, 3} <= set(heard(hub)))
            (epoch,) = {json.loads(b)["epoch"] for t, b in hub.heard if t == OURS.events}
            ack = json.dumps({"epoch": epoch, "seq": 3, "hub": 1}).encode()
            await asyncio.to_thread(hub.publish, OURS.ack, ack, retain=True)
            await until(lambda: publisher.state.watermark == 3)
            assert "refuse" not in publisher.state.detail
        assert hub.refused == []
        assert not hub.over.is_set()


async def test_a_denied_publish_that_is_called_a_success_is_not_believed(
    guarded: Guarded, publishing: Publishing
) -> None:
    """Logged in as another store, its events go nowhere, whatever the broker says: all are kept.

    It looks inside to see that they were sent and, as the broker has it, taken.
    """
    login = {"username": rules.user_of(STRANGER, guarded.between), "password": "change-me"}
    with await asyncio.to_thread(guarded.hub) as hub:
        await asyncio.to_thread(hub.subscribe, "presence/v1/+/+/+/+/events")
        options = login | {"protocol": "5" if guarded.v5 else "3.1.1"}
        async with publishing(guarded.port, **options) as publisher:
            publisher.submit(drafted(composer(), enter(), dwell(), leave()))
            await until(lambda: publisher.state.outstanding == 3)
            delivery = publisher._link.delivery
            await until(
                lambda: (
                    publisher.state.detail not in ("connected", "not connected yet")
                    or (delivery.deadline is not None and not delivery.in_flight)
                )
            )
            assert publisher.state.watermark == 0
        assert heard(hub) == []
