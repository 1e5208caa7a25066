"""Who is in, told on request and with every new epoch; and an event that is given up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.publish.contract import Snapshot
from edge_agent.publish.publisher import Publisher
from simulators.mosquitto import Mosquitto
from tests.publish.conftest import Brokers, Publishing
from tests.publish.hub import ROOT, PlainHub, reread, until
from tests.publish.stories import ANNA, BERTA, composer, drafted, enter, leave

pytestmark = pytest.mark.broker

WRITER = composer()


def snapshots(hub: PlainHub) -> list[dict[str, Any]]:
    """Give the snapshots that the hub heard."""
    return [json.loads(body) for topic, body in hub.messages if topic == f"{ROOT}/snapshot"]


def goes(publisher: Publisher, visitor: str) -> None:
    """She leaves, and her visit is stored as one that may yet resume."""
    ((draft, visit),) = drafted(WRITER, leave(visitor))
    publisher.submit([(draft, replace(visit, exit_decided_at=120.0, exit_decided_unix=1.0))])


async def test_a_new_epoch_is_told_by_itself_and_once(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """A fresh outbox tells who is in without being asked; its next life has nothing to tell."""
    async with PlainHub(mosquitto.port) as hub:
        for number in (1, 2):
            async with publishing(mosquitto.port) as publisher:
                publisher.submit(drafted(WRITER, enter(number=number)))
                await until(lambda: len(hub.applied) == number and snapshots(hub))  # noqa: B023
        (told,) = snapshots(hub)
    assert len(told["visits"]) == told["seq"] <= 1  # taken before Anna's enter, or after it


async def test_a_requested_snapshot_holds_who_is_in_and_since_which_event(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """Anna and Berta came and Berta left: after event 3 Anna alone is in, field by field."""
    async with PlainHub(mosquitto.port) as hub, publishing(mosquitto.port) as publisher:
        publisher.submit(drafted(WRITER, enter(ANNA), enter(BERTA)))
        goes(publisher, BERTA)
        await until(lambda: publisher.state.watermark == 3 and snapshots(hub))
        publisher.request_snapshot()
        await until(lambda: len(snapshots(hub)) == 2)
        told = snapshots(hub)[1]
        (epoch,) = hub.cursor
    assert told.pop("at").startswith("2026-11-01T09:16:40")
    assert told == {
        "epoch": epoch,
        "seq": 3,
        "visits": [
            {
                "visit": "visit-visitor-anna-1",
                "visitor": ANNA,
                "zone": "floor",
                "entered_at": "2026-11-01T09:00:03.120Z",
                "sources": ["ble"],
            }
        ],
    }


async def test_an_old_copy_tells_its_new_epoch_who_is_in(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """The hub knows more than this outbox gave: Anna is in, as of event 1 of the new epoch."""
    async with (
        PlainHub(mosquitto.port, answering=False) as hub,
        publishing(mosquitto.port) as publisher,
    ):
        publisher.submit(drafted(WRITER, enter()))
        await until(lambda: hub.heard and snapshots(hub))
        old = hub.heard[0]["epoch"]
        hub.tell(old, 500)
        await until(lambda: snapshots(hub)[-1]["epoch"] != old)
        told = Snapshot.model_validate(snapshots(hub)[-1])
    assert told.seq == 1
    assert [visit.visitor for visit in told.visits] == [ANNA]


async def test_a_snapshot_asked_for_without_a_broker_is_sent_when_there_is_one(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """Asked while the broker is away, it is taken when the connection opens: Anna is in it."""
    mosquitto.kill()
    async with publishing(mosquitto.port) as publisher:
        publisher.request_snapshot()
        publisher.submit(drafted(WRITER, enter()))
        await until(lambda: publisher.state.outstanding == 1)
        async with PlainHub(await_broker(mosquitto)) as hub:
            publisher.request_snapshot()
            await until(lambda: any(told["visits"] for told in snapshots(hub)))
            assert snapshots(hub)[-1]["visits"][0]["visitor"] == ANNA


def await_broker(mosquitto: Mosquitto) -> int:
    """Start the broker again; gives its port."""
    mosquitto.start()
    return mosquitto.port


async def test_a_refused_snapshot_is_not_forgotten(
    start_broker: Brokers, publishing: Publishing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker's rules forbid snapshots; once they do not, it arrives without being asked for."""
    monkeypatch.setattr("edge_agent.publish.snapshot.RETRY_S", 0.2)
    rules = tmp_path / "rules"
    rules.write_text(f"topic read #\ntopic write {ROOT}/state\ntopic write {ROOT}/events\n")
    broker = start_broker(f"acl_file {rules}")
    async with PlainHub(broker.port) as hub, publishing(broker.port, protocol="5") as publisher:
        publisher.submit(drafted(WRITER, enter()))
        await until(lambda: hub.applied)
        assert snapshots(hub) == []
        rules.write_text("topic readwrite #\n")
        reread(broker)
        await until(lambda: snapshots(hub))
        assert snapshots(hub)[0]["seq"] == 1


async def test_a_refused_event_is_skipped_on_command_and_declared(
    start_broker: Brokers, publishing: Publishing, tmp_path: Path
) -> None:
    """The rules forbid events: Anna's is skipped and becomes a tombstone, Berta's follows it."""
    rules = tmp_path / "rules"
    rules.write_text(f"topic read #\ntopic write {ROOT}/state\ntopic write {ROOT}/ack\n")
    broker = start_broker(f"acl_file {rules}")
    async with PlainHub(broker.port) as hub, publishing(broker.port, protocol="5") as publisher:
        assert await publisher.skip_refused() == 0
        publisher.submit(drafted(WRITER, enter(), enter(BERTA)))
        await until(lambda: "the broker refuses events" in publisher.state.detail)
        assert await publisher.skip_refused() == 1
        await until(lambda: "the broker refuses events" in publisher.state.detail)
        rules.write_text("topic readwrite #\n")
        reread(broker)
        await until(lambda: publisher.state.watermark == 2)
        assert await publisher.skip_refused() == 0
    assert hub.kinds == ["gap", "enter"]
    assert hub.applied[0]["data"] == {
        "from": 1,
        "to": 1,
        "reason": "refused",
        "counts": {"presence.enter.v1": 1},
    }
