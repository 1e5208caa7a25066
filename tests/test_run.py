"""Whole stories: the daemon as a process, an org.bluez on a bus, a broker, and a hub beyond it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from simulators.bluez import BlueZPeer, PrivateBus
from simulators.mosquitto import Mosquitto
from tests.publish.hub import PlainHub, until
from tests.publish.shop import PHONE_MEMBER, TAG_MEMBER, Air, Shop, environment_of, leaks

pytestmark = [pytest.mark.bluez, pytest.mark.broker]


class Story:
    """Everything that takes part."""

    def __init__(
        self, shop: Shop, air: Air, hub: PlainHub, broker: Mosquitto, bus: PrivateBus
    ) -> None:
        self.shop, self.air, self.hub, self.broker, self.bus = shop, air, hub, broker, bus

    def of(self, visitor: str) -> list[dict[str, Any]]:
        """Give a visitor's events, in order."""
        return [event for event in self.hub.applied if event.get("subject") == visitor]

    def kinds(self, visitor: str = PHONE_MEMBER) -> list[str]:
        """Give the types of a visitor's events: `enter`, `dwell`, `exit`."""
        return [event["type"].split(".")[1] for event in self.of(visitor)]

    async def walk_in(self, *visitors: str) -> float:
        """Open the shop and let members come in; gives when they came, Unix seconds."""
        await self.shop.open()
        await self.air.peer.until_scanning()
        came = time.time()
        self.air.inside.update(visitors)
        return came

    async def entered(self, *visitors: str) -> None:
        """Wait until the hub knows that they are in."""
        await until(lambda: all("enter" in self.kinds(visitor) for visitor in visitors))


def unix(text: str) -> float:
    """Read a time of the contract."""
    return datetime.fromisoformat(text).timestamp()


@asynccontextmanager
async def story_in(folder: Path) -> AsyncIterator[Story]:
    """Set the stage, and clear it."""
    (folder / "broker").mkdir()
    with PrivateBus() as bus, Mosquitto(folder / "broker") as broker:
        async with BlueZPeer(bus.address) as peer, PlainHub(broker.port) as hub:
            shop = Shop(folder, broker.port, environment_of(bus.environment))
            air = Air(peer)
            blowing = asyncio.create_task(air.blow(), name="air")
            try:
                yield Story(shop, air, hub, broker, bus)
            finally:
                await shop.stop(signal.SIGKILL)
                blowing.cancel()
                await asyncio.gather(blowing, return_exceptions=True)


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    """A shop that is still closed."""
    async with story_in(tmp_path) as told:
        yield told


async def test_two_members_come_stay_and_leave_among_strangers(story: Story) -> None:
    """A phone and a tag come in, stay past 2 s and leave: enter, dwell, exit, each dated right."""
    story.air.strangers = True
    came = await story.walk_in(PHONE_MEMBER, TAG_MEMBER)
    await until(lambda: story.kinds()[1:] == story.kinds(TAG_MEMBER)[1:] == ["dwell"])
    story.air.inside.clear()
    left = story.air.last_sent
    story.air.peer.speak_last_words()  # bluetoothd repeats old packets, and some with -127
    await until(lambda: "exit" in story.kinds() and "exit" in story.kinds(TAG_MEMBER))
    for visitor in (PHONE_MEMBER, TAG_MEMBER):
        enter, dwell, leave = story.of(visitor)
        assert [e["type"].split(".")[1] for e in (enter, dwell, leave)] == [
            "enter",
            "dwell",
            "exit",
        ]
        assert enter["data"]["visit"] == dwell["data"]["visit"] == leave["data"]["visit"]
        assert came - 0.1 <= unix(enter["time"]) <= came + 1.0
        assert unix(dwell["time"]) == pytest.approx(unix(enter["time"]) + 2, abs=0.002)
        assert unix(leave["time"]) == pytest.approx(left, abs=0.5)
        assert leave["data"]["reason"] == "silence"
        stay = unix(leave["time"]) - unix(enter["time"])
        assert leave["data"]["dwell_s"] == pytest.approx(stay, abs=0.02)
    assert {event["subject"] for event in story.hub.applied} == {PHONE_MEMBER, TAG_MEMBER}


@pytest.mark.parametrize(
    "end", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.faults)]
)
async def test_a_visit_goes_on_across_a_restart(story: Story, end: signal.Signals) -> None:
    """Stopped or killed in the middle of a visit: no exit, no second enter, and the exit later."""
    await story.walk_in(PHONE_MEMBER)
    await until(lambda: "dwell" in story.kinds())
    code = await story.shop.stop(end)
    assert code == (0 if end is signal.SIGTERM else -signal.SIGKILL)
    await story.shop.open()
    await until(lambda: len(story.kinds()) > 2 or story.shop.logged("radio listening") == 2)
    await asyncio.sleep(0.7)  # heard again
    assert story.kinds() == ["enter", "dwell"]
    story.air.inside.clear()
    left = story.air.last_sent
    await until(lambda: "exit" in story.kinds())
    enter, _, leave = story.of(PHONE_MEMBER)
    assert enter["data"]["visit"] == leave["data"]["visit"]
    assert enter["data"]["entered_at"] == leave["data"]["entered_at"]
    assert unix(leave["time"]) == pytest.approx(left, abs=0.5)
    assert {state["session"] for state in story.hub.states if state["connected"]} == {1, 2}


async def test_an_adapter_that_vanishes_ends_no_visit(story: Story) -> None:
    """Unplugged for longer than the longest silence, and plugged in again: she never left."""
    await story.walk_in(PHONE_MEMBER)
    await story.entered(PHONE_MEMBER)
    story.air.peer.vanish()
    await until(lambda: story.shop.logged("radio lost") == 1)
    await asyncio.sleep(5.5)  # real silence, longer than exit_after_at_most
    story.air.peer.plug_in()
    await until(lambda: story.kinds().count("dwell") == 2 or "exit" in story.kinds(), 40)
    assert story.kinds() == ["enter", "dwell", "dwell"]
    assert story.of(PHONE_MEMBER)[-1]["data"]["milestone_s"] == 10


@pytest.mark.faults
async def test_a_broker_that_is_down_delays_and_loses_nothing(story: Story) -> None:
    """She comes while the broker is dead: it returns, and her enter is dated to her coming."""
    await story.shop.open()
    await until(lambda: story.hub.states)
    story.broker.kill()
    await story.air.peer.until_scanning()
    came = time.time()
    story.air.inside.add(PHONE_MEMBER)
    await until(lambda: story.shop.logged("mqtt_disconnected") >= 1 and time.time() > came + 3)
    story.broker.start()
    await until(lambda: "dwell" in story.kinds())
    enter, dwell, *later = story.of(PHONE_MEMBER)  # the longer the broker takes, the more
    assert came - 0.1 <= unix(enter["time"]) <= came + 1.0
    assert unix(enter["data"]["decided_at"]) < came + 3
    assert unix(dwell["time"]) == pytest.approx(unix(enter["time"]) + 2, abs=0.002)
    assert story.hub.seqs == list(range(1, 3 + len(later)))


async def test_a_member_who_opts_out_is_forgotten_at_once(story: Story) -> None:
    """Taken off the roster during her visit: no exit is told, and no file holds her pseudonym."""
    await story.walk_in(PHONE_MEMBER, TAG_MEMBER)
    await story.entered(PHONE_MEMBER, TAG_MEMBER)
    story.shop.opt_in(TAG_MEMBER)
    await until(lambda: story.shop.logged("roster_replaced"))
    told = len(story.of(PHONE_MEMBER))
    assert PHONE_MEMBER.encode() not in story.shop.stored()
    story.air.inside.clear()
    await until(lambda: "exit" in story.kinds(TAG_MEMBER))
    assert len(story.of(PHONE_MEMBER)) == told
    assert "exit" not in story.kinds()
    assert PHONE_MEMBER.encode() not in story.shop.stored()
    assert TAG_MEMBER.encode() in story.shop.stored()


async def test_a_member_who_opted_out_while_the_agent_was_down_is_forgotten(story: Story) -> None:
    """Off the roster when the agent starts again: nothing more is told of her, nothing is kept."""
    await story.walk_in(PHONE_MEMBER)
    await story.entered(PHONE_MEMBER)
    assert await story.shop.stop() == 0
    told = len(story.of(PHONE_MEMBER))
    assert PHONE_MEMBER.encode() in story.shop.stored()
    story.shop.opt_in(TAG_MEMBER)
    await story.shop.open()
    await until(lambda: story.shop.logged("radio listening") == 2)
    await until(lambda: PHONE_MEMBER.encode() not in story.shop.stored(), 5)
    assert await story.shop.stop() == 0
    assert PHONE_MEMBER.encode() not in story.shop.stored()
    assert len(story.of(PHONE_MEMBER)) == told


@pytest.mark.faults
async def test_no_address_and_no_key_is_written_anywhere(story: Story) -> None:
    """Members and strangers, an adapter that goes, a bus that dies, a kill: no trace of any."""
    story.air.strangers = True
    await story.walk_in(PHONE_MEMBER, TAG_MEMBER)
    await story.entered(PHONE_MEMBER, TAG_MEMBER)
    await until(lambda: len(story.air.addresses) > 20)
    story.air.peer.vanish(first="adapter")
    await until(lambda: story.shop.logged("radio lost") == 1)
    story.air.peer.plug_in()
    await until(lambda: story.shop.logged("radio listening") == 2)
    story.bus.kill()
    await until(lambda: story.shop.logged("radio lost") == 2)
    await story.shop.stop(signal.SIGKILL)
    spoken = b"\n".join(payload for _, payload in story.hub.messages)
    assert (story.shop.state / "status.json").exists()
    assert PHONE_MEMBER.encode() in story.shop.stored()  # what may be there is found there
    assert b'"level": "warning"' in story.shop.log.read_bytes()
    assert leaks(story.air, story.shop.stored(), story.shop.log.read_bytes(), spoken) == []
