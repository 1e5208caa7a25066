"""What brokers and hubs do at their worst, and how late an event says it is."""

from __future__ import annotations

import asyncio
import json

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent.publish.ack_reader import MOST_OCTETS, AckReader
from edge_agent.publish.compose import lateness
from simulators.mosquitto import Mosquitto
from tests.publish.conftest import Publishing
from tests.publish.hub import ROOT, PlainHub, until
from tests.publish.stories import NOW, OPENED, composer, drafted, enter
from tests.publish.wire import CONNACK_5, ScriptedBroker, Wire, read_packet

WRITER = composer()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"\xff\xfe",
        b'{"epoch": "e", "seq": -1, "hub": 1}',
        b'{"epoch": "e", "seq": NaN, "hub": 1}',
        b'{"epoch": "e", "seq": 1e400, "hub": 1}',
        b'{"epoch": "e", "seq": 99999999999999999999999, "hub": 1}',
        b'{"epoch": "e", "seq": "5", "hub": 1}',
        b'{"epoch": 5, "seq": 5, "hub": 1}',
        b'{"epoch": "e", "seq": 1.5, "hub": 1}',
        b'{"epoch": "e", "seq": true, "hub": 1}',
        b'{"epoch": "e", "seq": 5}',
        b'{"epoch": "e", "seq": 5, "hub": 1, "more": "' + b"x" * 1_000_000 + b'"}',
        b"[" * MOST_OCTETS,
    ],
    ids=lambda payload: repr(payload[:40]),
)
def test_what_is_no_acknowledgement_is_ignored(payload: bytes) -> None:
    """Negative, not a number, huge, of another type, incomplete, a megabyte, deep: nothing."""
    assert AckReader().read(payload) is None


def test_a_newer_hubs_acknowledgement_may_say_more() -> None:
    """A field that this agent does not know does no harm."""
    ack = AckReader().read(b'{"epoch": "e", "seq": 5, "hub": 1, "shard": 26}')
    assert ack is not None
    assert ack.seq == 5


def test_a_flood_of_nonsense_is_one_line_of_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand malformed acknowledgements on a connection are complained of once."""
    reader = AckReader()
    assert [reader.read(b"nonsense") for _ in range(1_000)] == [None] * 1_000
    assert capsys.readouterr().out.count("ack_malformed") == 1


def test_lateness_counts_from_the_decision() -> None:
    """Decided at five past nine seconds, sent an hour later: an hour; a tombstone has none."""
    (draft, _) = drafted(WRITER, enter())[0]
    body = WRITER.number(draft, "e", 1)
    assert lateness(body, OPENED + 5.0 + 3_600.0) == pytest.approx(3_600.0)
    assert lateness(body, OPENED + 5.0 + 59.0) is None
    assert lateness(body, None) is None
    assert lateness(b'{"data":{"from":1}}', OPENED) is None


@pytest.mark.broker
async def test_a_late_event_says_so_in_mqtt_5_and_its_payload_is_unchanged(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """An enter decided 995 s before it is sent has the user property late = 995."""
    heard: list[paho.MQTTMessage] = []
    subscribed: list[int] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda _client, _data, message: heard.append(message)
    client.on_subscribe = lambda *_: subscribed.append(1)
    client.connect("127.0.0.1", mosquitto.port)
    client.subscribe(f"{ROOT}/events", qos=1)
    client.loop_start()
    try:
        await until(lambda: subscribed)
        async with publishing(mosquitto.port, protocol="5") as publisher:
            publisher.submit(drafted(WRITER, enter()))
            await until(lambda: heard)
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
    assert getattr(heard[0].properties, "UserProperty", None) == [("late", str(int(NOW - 5.0)))]
    assert "late" not in json.loads(heard[0].payload)


async def test_a_broker_of_one_byte_a_second_does_not_hold_us(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers the CONNECT so slowly that the answer never ends: another connection is tried."""
    monkeypatch.setattr("edge_agent.publish.link.OPEN_S", 0.5)

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_packet(reader)
        writer.write(bytes([0x20, 0xFF, 0xFF, 0x7F]))  # a CONNACK of two megabytes
        while True:
            writer.write(b"\0")
            await writer.drain()
            await asyncio.sleep(0.1)

    async with ScriptedBroker(dribble) as broker, publishing(broker.port) as publisher:
        await until(lambda: broker.connections >= 2)
        assert "does not answer" in publisher.state.detail


async def test_a_flood_of_octets_ends_the_connection(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More octets than are taken in while the loop is busy: the connection is dropped, and why."""
    monkeypatch.setattr("edge_agent.publish.mqtt._MOST_UNREAD", 1_000)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_packet(reader)
        publish = bytes([0x30, 0xD5, 0x0F, 0, 1]) + b"a" + b"\0" + bytes(2_001)
        writer.write(CONNACK_5 + publish)
        await writer.drain()
        while True:
            await read_packet(reader)

    async with ScriptedBroker(flood) as broker, publishing(broker.port, protocol="5") as publisher:
        await until(lambda: broker.connections >= 2)
        await until(lambda: "more arrived than could be taken in" in publisher.state.detail)


@pytest.mark.broker
async def test_withheld_pubacks_are_noticed_though_the_hub_keeps_talking(
    mosquitto: Mosquitto, publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No PUBACK comes, acknowledgements do: the connection is given up and another is tried."""
    monkeypatch.setattr("edge_agent.publish.link.PUBACK_S", 1.0)
    async with (
        PlainHub(mosquitto.port) as hub,
        Wire(mosquitto.port) as wire,
        publishing(wire.port) as publisher,
    ):
        await until(lambda: publisher.state.connected)
        wire.hold(drop=True)
        publisher.submit(drafted(WRITER, enter()))
        async with asyncio.timeout(30):
            while wire.connections < 2:
                hub.tell("another epoch", 1)
                await asyncio.sleep(0.05)
        wire.release()
        await until(lambda: publisher.state.watermark == 1, 60)
    assert hub.seqs == [1]
