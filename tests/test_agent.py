"""The agent in this process, with no radio: what it takes up, forgets, writes down and reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from edge_agent.agent import Agent
from edge_agent.config import read_config
from edge_agent.identify.roster import RosterError
from edge_agent.publish.outbox import Outbox
from simulators.mosquitto import free_port
from tests.publish.hub import until
from tests.publish.stories import composer, drafted, enter, leave

MEMBER, FORMER = "member-of-today", "member-of-yesterday"

Running = Callable[[], AbstractAsyncContextManager[Agent]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway without radio and with a broker that is never there."""
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("edge_agent.membership.ROSTER_POLL_S", 0.05)
    (tmp_path / "config.toml").write_text(
        f"""tenant = "acme"
store = "0042"
gateway = "gw-1"
mqtt = {{ url = "mqtt://127.0.0.1:{free_port()}", allow_plaintext = true }}
roster = {{ file = "roster.json", allow_unsigned = true }}
ble = {{ adapters = [] }}
""",
        encoding="utf-8",
    )
    opt_in(tmp_path, MEMBER, FORMER)
    return tmp_path


def opt_in(folder: Path, *members: str) -> None:
    """Let the roster be these members, and nobody else."""
    fresh = folder / "fresh.json"
    fresh.write_text(json.dumps({"members": [{"visitor": member} for member in members]}))
    fresh.replace(folder / "roster.json")


@pytest.fixture
def running(folder: Path) -> Running:
    """Run an agent until the end of the block, and stop it cleanly."""

    @asynccontextmanager
    async def run() -> AsyncIterator[Agent]:
        agent = Agent(read_config(folder / "config.toml"))
        task = asyncio.create_task(agent.run(), name="agent")
        try:
            await until(lambda: agent.health()["roster"] != "none yet" or task.done())
            yield agent
        finally:
            agent.stop()
            await asyncio.wait_for(task, 10)

    return run


def remember(folder: Path, *visitors: str) -> None:
    """Leave finished visits of some visitors in the outbox."""
    writer = composer()
    with Outbox.open(folder / "state" / "outbox.db") as outbox:
        for visitor in visitors:
            pairs = drafted(writer, enter(visitor), leave(visitor))
            outbox.commit([draft for draft, _ in pairs], writer.number, [])


def stored(folder: Path) -> bytes:
    """Give every byte of the state directory, as of a moment in which no file is being replaced."""
    while True:
        try:
            return b"".join(file.read_bytes() for file in sorted((folder / "state").iterdir()))
        except FileNotFoundError:
            continue


async def test_who_left_the_roster_while_it_was_down_is_erased(
    folder: Path, running: Running
) -> None:
    """Her visits of yesterday are in the outbox and she is on no roster: the agent erases them."""
    remember(folder, MEMBER, FORMER)
    opt_in(folder, MEMBER)
    async with running():
        await until(lambda: FORMER.encode() not in stored(folder), 5)
    assert MEMBER.encode() in stored(folder)


async def test_who_leaves_the_roster_between_visits_is_erased(
    folder: Path, running: Running
) -> None:
    """She is not in the store when she opts out: her events of earlier visits go all the same."""
    remember(folder, MEMBER, FORMER)
    async with running():
        assert FORMER.encode() in stored(folder)
        opt_in(folder, MEMBER)
        await until(lambda: FORMER.encode() not in stored(folder), 5)
    assert MEMBER.encode() in stored(folder)


async def test_a_roster_that_is_refused_leaves_the_old_one_in_force(
    folder: Path, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is overwritten with nonsense: an alarm, and nobody is forgotten for it."""
    remember(folder, MEMBER)
    async with running() as agent:
        (folder / "roster.json").write_text("nonsense")
        said = ""
        while "roster_refused" not in said:
            said += capsys.readouterr().out
            await asyncio.sleep(0.01)
        assert agent.health()["roster"] == "2 members, seq 0"
    assert MEMBER.encode() in stored(folder)


async def test_without_a_usable_roster_it_does_not_start(folder: Path) -> None:
    """No roster file: it ends with the reason, and in time."""
    (folder / "roster.json").unlink()
    with pytest.raises(RosterError, match="cannot read the roster"):
        await asyncio.wait_for(Agent(read_config(folder / "config.toml")).run(), 10)


async def test_what_it_reports_names_nobody(folder: Path, running: Running) -> None:
    """Health says how it is in numbers and prose, and no pseudonym is in it."""
    remember(folder, MEMBER)
    async with running() as agent:
        health = json.dumps(agent.health())
        written = (folder / "state" / "status.json").read_text()
    assert MEMBER not in health + written
    assert agent.health()["roster"] == "2 members, seq 0"
    assert json.loads(health).keys() == json.loads(written).keys()


async def test_a_clean_stop_without_a_broker_is_quick(folder: Path, running: Running) -> None:
    """Nobody is there to say goodbye to: it ends within seconds, and what it held it holds."""
    remember(folder, MEMBER)
    async with running() as agent:
        began = asyncio.get_running_loop().time()
        agent.stop()
    assert asyncio.get_running_loop().time() - began < 5
    with Outbox.open(folder / "state" / "outbox.db") as outbox:
        assert outbox.highest == 2
