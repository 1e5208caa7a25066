"""What brokers demand, refuse and do: TLS, passwords, small windows, and worse."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path

import pytest

from edge_agent.publish.publisher import Publisher
from simulators.mosquitto import Mosquitto, free_port
from tests.publish.authority import Authority
from tests.publish.conftest import Brokers, Publishing
from tests.publish.hub import ROOT, PlainHub, reread, until
from tests.publish.stories import composer, drafted, dwell, enter, leave
from tests.publish.wire import CONNACK_5, ScriptedBroker, Wire, read_packet

pytestmark = pytest.mark.broker

WRITER = composer()


def submit(publisher: Publisher, visits: int) -> None:
    """Submit whole visits of three events."""
    for n in range(visits):
        publisher.submit(drafted(WRITER, enter(number=n), dwell(number=n), leave(number=n)))


def with_tls(start_broker: Brokers, authority: Authority) -> tuple[Mosquitto, int]:
    """Start a broker that speaks TLS, and plainly on another port for the hub."""
    certificate, key = authority.issue("broker")
    plain = free_port()
    lines = (f"certfile {certificate}", f"keyfile {key}", f"listener {plain} 127.0.0.1")
    return start_broker(*lines), plain


async def test_events_arrive_over_tls(
    start_broker: Brokers, publishing: Publishing, tmp_path: Path
) -> None:
    """A broker whose certificate the configured authority has signed is trusted."""
    authority = Authority(tmp_path, "authority")
    broker, plain = with_tls(start_broker, authority)
    secure = {"url": f"mqtts://127.0.0.1:{broker.port}", "ca_file": authority.certificate}
    async with PlainHub(plain) as hub, publishing(broker.port, **secure) as publisher:
        submit(publisher, 2)
        await until(lambda: publisher.state.watermark == 6)
    assert hub.seqs == [1, 2, 3, 4, 5, 6]


async def test_a_crowd_over_tls_needs_no_second_sending(
    start_broker: Brokers, publishing: Publishing, tmp_path: Path
) -> None:
    """Nine hundred events over one encrypted connection: each arrives once, in order."""
    authority = Authority(tmp_path, "authority")
    broker, plain = with_tls(start_broker, authority)
    secure = {"url": f"mqtts://127.0.0.1:{broker.port}", "ca_file": authority.certificate}
    async with PlainHub(plain) as hub, publishing(broker.port, **secure) as publisher:
        submit(publisher, 300)
        await until(lambda: publisher.state.watermark == 900, 60)
    assert [event["seq"] for event in hub.heard] == list(range(1, 901))
    assert sum(state["connected"] for state in hub.states) == 1


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("trusting", ["another authority", "the system"])
async def test_a_broker_that_cannot_prove_itself_gets_nothing(
    start_broker: Brokers, publishing: Publishing, tmp_path: Path, trusting: str
) -> None:
    """A certificate of somebody else's: no connection, and the detail says what is wrong."""
    broker, plain = with_tls(start_broker, Authority(tmp_path, "authority"))
    ca_file = Authority(tmp_path, "other").certificate if trusting != "the system" else None
    secure = {"url": f"mqtts://127.0.0.1:{broker.port}", "ca_file": ca_file}
    async with PlainHub(plain) as hub, publishing(broker.port, **secure) as publisher:
        submit(publisher, 1)
        await until(lambda: "certificate verify failed" in publisher.state.detail)
        assert not publisher.state.connected
        assert publisher.state.outstanding == 3
    assert hub.messages == []


def password_line(user: str, password: str) -> str:
    """Write a line of mosquitto's password file (PBKDF2, its format 7)."""
    salt = os.urandom(12)
    derived = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}\n"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_password_is_given_and_a_wrong_one_is_explained(
    start_broker: Brokers, publishing: Publishing, tmp_path: Path, protocol: str
) -> None:
    """With the right password it connects; with another the detail says that it is refused."""
    passwords = tmp_path / "passwords"
    passwords.write_text(password_line("gw-1", "correct horse"), encoding="ascii")
    broker = start_broker("allow_anonymous false", f"password_file {passwords}")
    login = {"username": "gw-1", "protocol": protocol}
    right, wrong = login | {"password": "correct horse"}, login | {"password": "wrong"}
    async with publishing(broker.port, **wrong) as publisher:
        await until(lambda: "the broker refused the connection" in publisher.state.detail)
        assert "wrong" not in publisher.state.detail
    async with publishing(broker.port, **right) as publisher:
        await until(lambda: publisher.state.connected)


@pytest.mark.parametrize("most", [1, 5, 50])
async def test_a_brokers_receive_maximum_is_honoured_on_the_wire(
    start_broker: Brokers, publishing: Publishing, most: int
) -> None:
    """No more than `most` publishes are unanswered at any time, the birth among them."""
    broker = start_broker(f"max_inflight_messages {most}")
    async with PlainHub(broker.port) as hub, Wire(broker.port) as wire:
        wire.hold()
        async with publishing(wire.port, protocol="5") as publisher:
            for _ in range(2):
                submit(publisher, 30)
                await until(lambda: publisher.state.outstanding == 90)
                await until(lambda: wire.held)
                await asyncio.sleep(0.3)  # time enough to send too many
                assert wire.most_unanswered <= most
                wire.release()
                await until(lambda: publisher.state.outstanding == 0)
                wire.hold()
            assert wire.most_unanswered in (most, max(1, most - 1))
            wire.release()
    assert hub.seqs == list(range(1, 181))


async def test_a_burst_after_an_outage_keeps_the_window(
    start_broker: Brokers, publishing: Publishing
) -> None:
    """Three hundred events are stored when the broker comes back: at most 100 are under way."""
    broker = start_broker("max_inflight_messages 0", "max_queued_messages 0")
    broker.kill()
    async with Wire(broker.port) as wire, publishing(wire.port) as publisher:
        submit(publisher, 100)
        await until(lambda: publisher.state.outstanding == 300)
        wire.hold(after=1)  # the birth's
        broker.start()
        async with PlainHub(broker.port) as hub:
            await until(lambda: wire.most_unanswered >= 100)
            await asyncio.sleep(0.3)
            wire.release()
            await until(lambda: publisher.state.watermark == 300)
        assert wire.most_unanswered <= 101  # 100 events, and the birth
    assert hub.seqs == list(range(1, 301))


async def test_a_broker_that_accepts_and_drops_is_not_stormed(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropped again and again, it waits between 0 and 2, 4, 8, 16, 32 and then 60 s each time."""
    ceilings: list[float] = []

    def shortest(low: float, high: float) -> float:
        ceilings.append(high)
        return low

    monkeypatch.setattr("random.uniform", shortest)

    async def accept_and_drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_packet(reader)
        writer.write(CONNACK_5)
        await writer.drain()

    async with ScriptedBroker(accept_and_drop) as broker, publishing(broker.port, protocol="5"):
        await until(lambda: len(ceilings) >= 7)
    assert ceilings[:7] == [2, 4, 8, 16, 32, 60, 60]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_client_thread_that_dies_is_noticed(publishing: Publishing) -> None:
    """A packet that paho cannot bear ends its thread: the connection is over, another begins."""

    async def send_rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_packet(reader)
        # A PUBLISH on topic "a" whose property has an identifier that MQTT 5 does not know.
        writer.write(CONNACK_5 + bytes([0x30, 6, 0, 1]) + b"a" + bytes([2, 0x7F, 0]))
        await writer.drain()
        while True:
            await read_packet(reader)

    async with ScriptedBroker(send_rubbish) as broker, publishing(broker.port, protocol="5"):
        await until(lambda: broker.connections >= 2)
        assert broker.connections >= 2


async def test_an_old_broker_is_spoken_to_in_3_1_1(publishing: Publishing) -> None:
    """A broker that refuses MQTT 5 as a 3.1.1 broker does is offered 3.1.1 next."""
    versions: list[int] = []

    async def only_3_1_1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body, _ = await read_packet(reader)
        versions.append(body[6])  # after the name "MQTT" (MQTT 3.1.1, 3.1.2.2)
        writer.write(bytes([0x20, 2, 0, 0 if body[6] == 4 else 1]))
        await writer.drain()
        while body[6] == 4:
            await read_packet(reader)

    async with (
        ScriptedBroker(only_3_1_1) as broker,
        publishing(broker.port, protocol="auto") as publisher,
    ):
        await until(lambda: publisher.state.connected)
    assert versions[:2] == [5, 4]


async def test_a_broker_that_chokes_on_mqtt_5_is_spoken_to_in_3_1_1(
    publishing: Publishing,
) -> None:
    """A broker that hangs up on MQTT 5 without a word, as RabbitMQ 3.10 does, is offered 3.1.1."""
    versions: list[int] = []

    async def chokes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body, _ = await read_packet(reader)
        versions.append(body[6])  # after the name "MQTT" (MQTT 3.1.1, 3.1.2.2)
        if body[6] == 5:
            return
        writer.write(bytes([0x20, 2, 0, 0]))
        await writer.drain()
        while True:
            await read_packet(reader)

    async with (
        ScriptedBroker(chokes) as broker,
        publishing(broker.port, protocol="auto") as publisher,
    ):
        await until(lambda: publisher.state.connected)
    assert versions[:2] == [5, 4]


async def test_a_refused_subscription_is_asked_for_again(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that refuses the watermark, as a busy cluster does, is asked until it grants it."""
    monkeypatch.setattr("edge_agent.publish.subscriptions.ASK_AGAIN_S", 0.2)
    asked: list[int] = []

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_packet(reader)
        writer.write(bytes([0x20, 2, 0, 0]))
        while True:
            first, body, _ = await read_packet(reader)
            if first >> 4 == 8:  # SUBSCRIBE (MQTT 3.1.1, 3.8)
                topics = body[2:].count(ROOT.encode())
                asked.append(topics)
                codes = [0x80, 1] if len(asked) == 1 else [1] * topics
                writer.write(bytes([0x90, 2 + len(codes)]) + body[:2] + bytes(codes))

    async with (
        ScriptedBroker(busy) as broker,
        publishing(broker.port, protocol="3.1.1") as publisher,
    ):
        await until(lambda: "refuses to tell of" in publisher.state.detail)
        await until(lambda: publisher.state.detail == "connected")
    assert asked == [2, 1]  # both, and then the one that was refused


async def test_a_refused_event_blocks_alarms_and_is_overtaken_by_nothing(
    start_broker: Brokers, publishing: Publishing, tmp_path: Path
) -> None:
    """The broker forbids events: all wait, the detail says why; mended, 1 arrives first."""
    rules = tmp_path / "rules"
    rules.write_text(f"topic read #\ntopic write {ROOT}/ack\ntopic write {ROOT}/state\n")
    broker = start_broker(f"acl_file {rules}")
    async with PlainHub(broker.port) as hub, publishing(broker.port, protocol="5") as publisher:
        submit(publisher, 1)
        await until(lambda: "the broker refuses events" in publisher.state.detail)
        submit(publisher, 1)
        rules.write_text("topic readwrite #\n")
        reread(broker)
        await until(lambda: publisher.state.watermark == 6)
        assert "refuses" not in publisher.state.detail
    assert hub.seqs == [1, 2, 3, 4, 5, 6]
    assert [event["seq"] for event in hub.heard] == [1, 2, 3, 4, 5, 6]
