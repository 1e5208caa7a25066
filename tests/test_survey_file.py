"""What the store has taught outlives a restart, and nothing of anybody does with it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.agent import Agent
from edge_agent.config import Config, read_config
from edge_agent.model import Method
from edge_agent.survey_file import (
    SurveyUnusableError,
    read_lessons,
    survey_file,
    write_lessons,
)
from edge_agent.track.belief import Floor
from edge_agent.track.store import Store
from simulators.mosquitto import free_port
from tests.publish.hub import until
from tests.test_replay import Shop, anna

MEMBER = "member-of-today"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A gateway without radio and with a broker that is never there."""
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
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
    (tmp_path / "roster.json").write_text(json.dumps({"members": [{"visitor": MEMBER}]}))
    (tmp_path / "state").mkdir()
    return read_config(tmp_path / "config.toml")


def taught() -> Store:
    """Give a store that has learnt of everything a little."""
    store = Store(Floor({"gw-1": "store"}, frozenset()), 360.0)
    for spread in store.survey.spreads.values():
        spread.add(-60.0, 30.0, 3.0)
    for method in (Method.APP, Method.APP_IOS):
        for seconds in (25.0, 70.0, 400.0):
            store.survey.naps(method).add(seconds)
    store.survey.visits += 40.0
    store.survey.passings += 90.0
    for at in range(1000):
        store.receivers.hear("gw-1", -60 - at % 40)
        store.receivers.place("gw-1", -60.0 - at % 40)
    return store


async def lived(config: Config, during: Callable[[Agent], None] | None = None) -> Agent:
    """Let an agent start, and stop it cleanly."""
    agent = Agent(config)
    task = asyncio.create_task(agent.run(), name="agent")
    try:
        await until(lambda: agent.health()["roster"] != "none yet" or task.done())
        if during is not None:
            during(agent)
    finally:
        agent.stop()
        await asyncio.wait_for(task, 10)
    return agent


def test_what_is_written_is_what_is_read(config: Config) -> None:
    """Every lesson comes back as it was, and a store that takes it up judges as before."""
    store = taught()
    write_lessons(config, store.dump())
    lessons = read_lessons(config)
    assert lessons == store.dump()
    other = Store(store.floor, 360.0)
    other.load(lessons)
    assert other.survey.inside.mean == pytest.approx(store.survey.inside.mean)
    assert other.survey.inside.sd == pytest.approx(store.survey.inside.sd)
    assert other.survey.comes_in == store.survey.comes_in
    assert other.receivers.weakest_dbm == store.receivers.weakest_dbm
    for silence in (30.0, 90.0, 600.0):
        before, after = (s.survey.naps(Method.APP_IOS) for s in (store, other))
        assert after.longer_than(silence) == before.longer_than(silence)
        assert after.learnt == before.learnt == 3.0


def test_a_store_goes_on_learning_from_where_it_was(config: Config) -> None:
    """A visit after the restart moves the mean as it would have without one."""
    store, other = taught(), Store(Floor({"gw-1": "store"}, frozenset()), 360.0)
    write_lessons(config, store.dump())
    lessons = read_lessons(config)
    assert lessons is not None
    other.load(lessons)
    for each in (store, other):
        each.survey.edge.add(-90.0, 5.0, 2.0)
    assert other.survey.edge.mean == pytest.approx(store.survey.edge.mean)
    assert other.survey.edge.sd == pytest.approx(store.survey.edge.sd)


async def test_it_outlives_the_daemon(config: Config) -> None:
    """Taught in one life, known in the next; the file names no visitor."""

    def teach(agent: Agent) -> None:
        agent.pipeline.store.survey.inside.add(-55.0, 60.0)

    before = await lived(config, teach)
    after = Agent(config)
    after._outbox.close()  # it was never run: nothing else of it is open
    assert after.pipeline.store.survey.inside.mean == pytest.approx(
        before.pipeline.store.survey.inside.mean
    )
    assert MEMBER not in survey_file(config).read_text()


async def test_a_store_that_taught_nothing_writes_nothing(config: Config) -> None:
    """The priors are the program's, and a later version may know better ones."""
    await lived(config)
    assert not survey_file(config).exists()


async def test_it_is_written_now_and_then(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut costs what was learnt since the last time, not all of it."""
    monkeypatch.setattr("edge_agent.agent.SURVEY_S", 0.05)
    agent = Agent(config)
    task = asyncio.create_task(agent.run(), name="agent")
    try:
        agent.pipeline.store.survey.inside.add(-55.0, 60.0)
        await until(lambda: survey_file(config).exists())
    finally:
        agent.stop()
        await asyncio.wait_for(task, 10)


def spoil(config: Config, change: Callable[[dict[str, Any]], object]) -> None:
    """Write a good file, and change something in it."""
    write_lessons(config, taught().dump())
    values = json.loads(survey_file(config).read_bytes())
    change(values)
    survey_file(config).write_text(json.dumps(values), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.update(version=2),
        lambda file: file.update(store="acme/0043/gw-1"),
        lambda file: file.update(zones={"gw-2": "store"}),
        lambda file: file.update(outside=["store"]),
        lambda file: file.update(visitor="v-1"),
        lambda file: file.pop("lessons"),
        lambda file: file["lessons"]["survey"]["spreads"]["inside"].update(mean=math.nan),
        lambda file: file["lessons"]["survey"]["spreads"]["inside"].update(mean=-1e9),
        lambda file: file["lessons"]["survey"]["spreads"]["inside"].update(variance=-1.0),
        lambda file: file["lessons"]["survey"]["spreads"]["inside"].update(worth=0.0),
        lambda file: file["lessons"]["survey"].update(visits=0.0),
        lambda file: file["lessons"]["survey"]["naps"].update(app=[[0.0, 0.0]]),
        lambda file: file["lessons"]["survey"]["naps"].update(app=[[1.0, 2.0]]),
        lambda file: file["lessons"]["receivers"].update(weakest_dbm=None),
        lambda file: file["lessons"]["receivers"]["inside"]["gw-1"].update(levels=-1),
    ],
)
def test_what_makes_no_sense_is_not_taken_up(
    config: Config, change: Callable[[dict[str, Any]], object]
) -> None:
    """Another version, another store, other zones, or figures that are none."""
    spoil(config, change)
    with pytest.raises(SurveyUnusableError):
        read_lessons(config)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"null", b"[" * 100_000])
async def test_a_damaged_file_never_keeps_the_agent_from_starting(
    config: Config, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log line says so, and the store is learnt anew."""
    survey_file(config).write_bytes(content)
    agent = await lived(config)
    assert agent.pipeline.store.dump() == Store(Floor({}, frozenset()), 360.0).dump()
    assert "survey_ignored" in capsys.readouterr().out


def test_naps_of_another_grid_are_passed_over(config: Config) -> None:
    """A later version counts in other steps: the rest is taken up all the same."""
    spoil(config, lambda file: file["lessons"]["survey"]["naps"].update(app=[[5.0, 1.0]]))
    lessons = read_lessons(config)
    assert lessons is not None
    store = Store(Floor({"gw-1": "store"}, frozenset()), 360.0)
    store.load(lessons)
    assert store.survey.naps(Method.APP).learnt == 0.0
    assert store.survey.naps(Method.APP_IOS).learnt == 3.0


def test_a_disk_that_is_full_is_no_harm(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """It cannot be written: a log line, and the file of before stays."""
    write_lessons(config, taught().dump())
    before = survey_file(config).read_bytes()
    survey_file(config).with_suffix(".new").mkdir()  # writing there fails, as on a full disk
    write_lessons(config, Store(Floor({}, frozenset()), 360.0).dump())
    assert survey_file(config).read_bytes() == before
    assert "state_not_written" in capsys.readouterr().out


def test_a_replay_neither_reads_nor_writes_it(tmp_path: Path) -> None:
    """The same trace gives the same events, whatever this machine has learnt."""
    shop = Shop(tmp_path)
    trace = shop.trace([anna(at) for at in range(30)])
    plain = shop.replay(trace)
    assert not (tmp_path / "state").exists()
    settings = read_config(shop.config)
    settings.state.directory.mkdir()
    store = Store(Floor({}, frozenset()), 360.0)
    store.survey.passer_peak.add(-55.0, 400.0)
    store.survey.passings += 1e6
    write_lessons(settings, store.dump())
    before = survey_file(settings).read_bytes()
    assert shop.replay(trace).stdout == plain.stdout
    assert survey_file(settings).read_bytes() == before
