"""What the real sender puts on the wire is what the contract's files allow."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from edge_agent.schema import LEAVES, json_schema
from simulators.mosquitto import Mosquitto
from tests.publish.conftest import Publishing
from tests.publish.hub import ROOT, PlainHub, until
from tests.publish.stories import ANNA, BERTA, composer, drafted, dwell, enter, leave

pytestmark = pytest.mark.broker


async def test_every_message_is_valid(mosquitto: Mosquitto, publishing: Publishing) -> None:
    """Birth, will, visit, tombstone and a new epoch's snapshot, by the schema of their topics."""
    schemas = {leaf.name: Draft202012Validator(json_schema(leaf)) for leaf in LEAVES}
    writer = composer()
    async with PlainHub(mosquitto.port) as hub:
        async with publishing(mosquitto.port) as publisher:
            publisher.submit(drafted(writer, enter(), dwell(), leave()))
            await until(lambda: publisher.state.watermark == 3)
            mosquitto.kill()
            await until(lambda: not publisher.state.connected)
            publisher.submit(drafted(writer, enter(ANNA, number=2)))
            await until(lambda: publisher.state.outstanding == 1)
            await publisher.erase([ANNA])
            publisher.submit(drafted(writer, enter(BERTA)))
            mosquitto.start()
            await until(lambda: hub.kinds[-2:] == ["gap", "enter"])
        await until(lambda: hub.states[-1]["connected"] is False)
    seen = set()
    for topic, payload in hub.messages:
        leaf = topic.removeprefix(f"{ROOT}/")
        schemas[leaf].validate(json.loads(payload))
        seen.add(leaf)
    assert seen == {"events", "ack", "state", "snapshot"}
