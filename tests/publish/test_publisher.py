"""The publisher against a real broker and a hub that knows only the contract."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.publish.outbox import Outbox
from edge_agent.publish.publisher import Publisher
from simulators.mosquitto import Mosquitto
from tests.publish.conftest import Publishing
from tests.publish.hub import PlainHub, until
from tests.publish.stories import ANNA, BERTA, composer, drafted, dwell, enter, leave
from tests.publish.wire import Wire

pytestmark = pytest.mark.broker

WRITER = composer()


def visits(publisher: Publisher, *numbers: int, visitor: str = ANNA) -> None:
    """Submit whole visits: enter, dwell, exit."""
    for n in numbers:
        story = (enter(visitor, number=n), dwell(visitor, number=n), leave(visitor, number=n))
        publisher.submit(drafted(WRITER, *story))


def hold_the_loop_until(condition: Callable[[], bool]) -> None:
    """Block the event loop, and a moment longer, so that everything until then is taken at once."""
    while not condition():
        time.sleep(0.01)
    time.sleep(0.1)


async def watermark(publisher: Publisher, seq: int) -> None:
    """Wait until the hub's watermark has come to `seq`."""
    await until(lambda: publisher.state.watermark == seq)


async def retained_state(port: int) -> dict[str, Any]:
    """Ask the broker, as a newcomer, for the state that it has retained."""
    async with PlainHub(port, answering=False) as newcomer:
        await until(lambda: newcomer.states)
        return newcomer.states[0]


@pytest.mark.parametrize("protocol", ["auto", "5", "3.1.1"])
async def test_visits_arrive_in_order_and_once(
    mosquitto: Mosquitto, publishing: Publishing, protocol: str
) -> None:
    """Forty visits over either version of MQTT: 120 events, each once, 1 to 120."""
    async with (
        PlainHub(mosquitto.port) as hub,
        publishing(mosquitto.port, protocol=protocol) as publisher,
    ):
        visits(publisher, *range(40))
        await watermark(publisher, 120)
        assert publisher.state.outstanding == 0
    assert hub.seqs == list(range(1, 121))
    assert hub.kinds == ["enter", "dwell", "exit"] * 40


async def test_an_enter_does_not_wait_for_company(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """An enter is with the hub in less than the 250 ms that a dwell alone may wait."""
    async with PlainHub(mosquitto.port) as hub, publishing(mosquitto.port) as publisher:
        await until(lambda: publisher.state.connected)
        began = time.monotonic()
        publisher.submit(drafted(WRITER, enter()))
        await until(lambda: hub.applied)
        assert time.monotonic() - began < 0.25
        publisher.submit(drafted(WRITER, dwell()))
        await until(lambda: hub.kinds == ["enter", "dwell"])


async def test_rows_stay_until_the_hub_confirms_them(
    mosquitto: Mosquitto, publishing: Publishing, outbox_file: Path
) -> None:
    """The broker has accepted everything and the hub says nothing: a later life sends it again."""
    async with PlainHub(mosquitto.port, answering=False) as hub:
        async with publishing(mosquitto.port) as publisher:
            visits(publisher, 1)
            await until(lambda: hub.seqs == [1, 2, 3] and publisher.state.in_flight == 0)
            assert publisher.state.outstanding == 3
        hub.answering = True
        async with publishing(mosquitto.port) as publisher:
            await watermark(publisher, 3)
    assert [event["seq"] for event in hub.heard][:3] == [1, 2, 3]
    assert hub.seqs == [1, 2, 3]
    with Outbox.open(outbox_file) as outbox:
        assert outbox.watermark == 3


async def test_a_silent_hub_is_sent_everything_again(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """Without progress for 2 s all that is unconfirmed is sent again, beginning with the first."""
    async with (
        PlainHub(mosquitto.port, answering=False) as hub,
        publishing(mosquitto.port) as publisher,
    ):
        visits(publisher, 1)
        await until(lambda: len(hub.heard) == 6)
        assert [event["seq"] for event in hub.heard] == [1, 2, 3, 1, 2, 3]
        hub.tell(hub.heard[0]["epoch"], 3)
        await watermark(publisher, 3)
    assert hub.seqs == [1, 2, 3]


async def test_a_retained_watermark_is_heard_at_connect(
    mosquitto: Mosquitto, publishing: Publishing, outbox_file: Path
) -> None:
    """The hub confirmed 1 and 2 while nobody listened: a new life begins with 3."""
    with Outbox.open(outbox_file) as outbox:
        drafts = drafted(WRITER, enter(), dwell(), leave())
        outbox.commit([d for d, _ in drafts], WRITER.number, [])
        epoch = outbox.epoch
    async with PlainHub(mosquitto.port, answering=False) as hub:
        hub.cursor[epoch] = 2
        hub.tell(epoch, 2)
        async with publishing(mosquitto.port) as publisher:
            await watermark(publisher, 2)
            hub.answering = True
            await watermark(publisher, 3)
    assert hub.seqs == [3]


async def test_a_killed_broker_loses_nothing(mosquitto: Mosquitto, publishing: Publishing) -> None:
    """The broker is killed among forty visits and comes back: every event once, in order."""
    async with PlainHub(mosquitto.port) as hub, publishing(mosquitto.port) as publisher:
        visits(publisher, *range(20))
        await until(lambda: len(hub.applied) > 10)
        mosquitto.kill()
        visits(publisher, *range(20, 40))
        await until(lambda: not publisher.state.connected)
        mosquitto.start()
        await watermark(publisher, 120)
    assert hub.seqs == list(range(1, 121))


async def test_what_is_decided_without_a_broker_arrives_later(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """The broker is away when she comes and goes: her times are those of then."""
    mosquitto.kill()
    async with publishing(mosquitto.port) as publisher:
        visits(publisher, 1)
        await until(lambda: publisher.state.outstanding == 3)
        assert not publisher.state.connected
        assert "ConnectionRefusedError" in publisher.state.detail
        mosquitto.start()
        async with PlainHub(mosquitto.port) as hub:
            await watermark(publisher, 3)
    assert [event["time"][-13:] for event in hub.applied] == [
        "09:00:03.120Z",
        "09:01:03.120Z",
        "09:01:30.500Z",
    ]


async def test_birth_and_goodbye_are_retained(mosquitto: Mosquitto, publishing: Publishing) -> None:
    """While it runs the retained state says connected, after a clean stop it says not."""
    birth = {"connected": True, "boot": "b007", "session": 1, "version": "1.2.3"}
    async with PlainHub(mosquitto.port) as hub, publishing(mosquitto.port):
        await until(lambda: hub.states)
        assert await retained_state(mosquitto.port) == birth
    assert await retained_state(mosquitto.port) == birth | {"connected": False}


async def test_a_broken_connection_leaves_the_will_and_then_a_birth(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """Cut without a word, the broker says that she is not connected; the next life that she is."""
    async with (
        PlainHub(mosquitto.port) as hub,
        Wire(mosquitto.port) as wire,
        publishing(wire.port) as publisher,
    ):
        await until(lambda: publisher.state.connected and hub.states)
        wire.cut()
        await until(lambda: len(hub.states) >= 3)
        assert [state["connected"] for state in hub.states[:3]] == [True, False, True]
        visits(publisher, 1)
        await watermark(publisher, 3)


async def test_an_older_sessions_will_is_answered_by_a_birth(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """A will of session 0 or of a garbled life overwrites the state: the birth is said again."""
    async with PlainHub(mosquitto.port) as hub, publishing(mosquitto.port) as publisher:
        await until(lambda: publisher.state.connected and hub.states)
        old = {"connected": False, "boot": "older", "session": 1, "version": "1.2.2"}
        hub.say("state", b"garbled")
        hub.say("state", json.dumps(old).encode())
        await until(lambda: len(hub.states) >= 3)
        assert hub.states[-1]["connected"] is True
        assert (await retained_state(mosquitto.port))["boot"] == "b007"


async def test_a_restored_hub_gets_again_what_it_forgot(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """The hub comes back from a backup at 2 of 6: it gets 3 to 6 once more."""
    async with PlainHub(mosquitto.port) as hub, publishing(mosquitto.port) as publisher:
        visits(publisher, 1, 2)
        await watermark(publisher, 6)
        (epoch,) = hub.cursor
        del hub.applied[2:]
        hub.cursor[epoch], hub.incarnation = 2, 2_000
        hub.tell(epoch, 2)
        await until(lambda: len(hub.applied) == 6)
        await watermark(publisher, 6)
    assert hub.seqs == [1, 2, 3, 4, 5, 6]


async def test_an_old_copy_of_the_outbox_begins_a_new_epoch(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """The hub has applied 500 of an outbox that has given 3: its 3 arrive under a new epoch."""
    async with (
        PlainHub(mosquitto.port, answering=False) as hub,
        publishing(mosquitto.port) as publisher,
    ):
        visits(publisher, 1)
        await until(lambda: len(hub.heard) == 3)
        old = hub.heard[0]["epoch"]
        hub.applied.clear()
        hub.cursor[old], hub.answering = 500, True
        hub.tell(old, 500)
        await until(lambda: len(hub.applied) == 3)
        visits(publisher, 2)
        await until(lambda: len(hub.applied) == 6)
    assert old not in {event["epoch"] for event in hub.applied}
    assert hub.seqs == [1, 2, 3, 4, 5, 6]


async def test_a_watermark_of_the_old_epoch_is_not_kept_for_the_new(
    mosquitto: Mosquitto, publishing: Publishing, outbox_file: Path
) -> None:
    """Confirmed 2 and then 500 in one breath: the new epoch's file knows of no watermark."""
    async with (
        PlainHub(mosquitto.port, answering=False) as hub,
        publishing(mosquitto.port) as publisher,
    ):
        visits(publisher, 1)
        await until(lambda: publisher.state.in_flight == 0 and len(hub.heard) == 3)
        old = hub.heard[0]["epoch"]
        before = len(hub.messages)
        hub.tell(old, 2)
        hub.tell(old, 500)
        hold_the_loop_until(lambda: len(hub.messages) >= before + 2)
        await until(lambda: hub.heard[-1]["epoch"] != old)
    with Outbox.open(outbox_file) as outbox:
        assert outbox.epoch != old
        assert outbox.watermark == 0


@pytest.mark.parametrize("payload", [b"", b"nonsense", b'{"epoch": "x", "seq": -1, "hub": 1}'])
async def test_a_malformed_watermark_changes_nothing(
    mosquitto: Mosquitto, publishing: Publishing, payload: bytes
) -> None:
    """What is no watermark is not taken for one, and delivery goes on."""
    async with PlainHub(mosquitto.port) as hub, publishing(mosquitto.port) as publisher:
        hub.say("ack", payload)
        visits(publisher, 1)
        await watermark(publisher, 3)
        assert publisher.state.watermark == 3


async def test_an_erased_visitor_is_skipped_and_nobody_waits_for_her(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """Anna is erased with 1 confirmed and 2, 3 unsent: Berta's 4 arrives all the same."""
    async with PlainHub(mosquitto.port) as hub, publishing(mosquitto.port) as publisher:
        publisher.submit(drafted(WRITER, enter()))
        await watermark(publisher, 1)
        mosquitto.kill()
        await until(lambda: not publisher.state.connected)
        publisher.submit(drafted(WRITER, dwell(), leave()))
        await until(lambda: publisher.state.outstanding == 2)
        await publisher.erase([ANNA])
        publisher.submit(drafted(WRITER, enter(BERTA)))
        mosquitto.start()
        await until(lambda: "enter" in hub.kinds[1:])
    assert hub.kinds == ["enter", "gap", "enter"]
    assert hub.applied[-1]["subject"] == BERTA


async def test_an_erased_visitor_who_is_still_pending_is_never_stored(
    mosquitto: Mosquitto, publishing: Publishing, outbox_file: Path
) -> None:
    """A dwell waits for company when its visitor is erased: no file and no hub hears of it."""
    async with PlainHub(mosquitto.port) as hub, publishing(mosquitto.port) as publisher:
        publisher.submit(drafted(WRITER, dwell()))
        await publisher.erase([ANNA])
        publisher.submit(drafted(WRITER, enter(BERTA)))
        await watermark(publisher, 1)
    assert [event["subject"] for event in hub.applied] == [BERTA]
    with Outbox.open(outbox_file) as outbox:
        assert all(ANNA.encode() not in body for _, body in outbox.read(1, 9))


async def test_stop_stores_what_is_pending(
    mosquitto: Mosquitto, publishing: Publishing, outbox_file: Path
) -> None:
    """A dwell that waits for company when the agent stops is in the outbox afterwards."""
    async with publishing(mosquitto.port) as publisher:
        await until(lambda: publisher.state.connected)
        publisher.submit(drafted(WRITER, dwell()))
    with Outbox.open(outbox_file) as outbox:
        assert outbox.highest == 1


async def test_stop_is_quick_without_a_broker(mosquitto: Mosquitto, publishing: Publishing) -> None:
    """With no broker to say goodbye to, stopping takes no longer than a goodbye would."""
    mosquitto.kill()
    async with publishing(mosquitto.port) as publisher:
        visits(publisher, 1)
        await until(lambda: publisher.state.outstanding == 3)
        began = time.monotonic()
    assert time.monotonic() - began < 5
