"""`edge-agent doctor`: what is wrong with a gateway, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edge_agent.cli import app
from edge_agent.config import Config, read_config
from edge_agent.doctor import CHECKS, examine
from edge_agent.findings import Finding, State
from edge_agent.placement import ENOUGH_VISITS, judge_placement
from edge_agent.survey_file import survey_file, write_lessons
from edge_agent.track.belief import Floor
from edge_agent.track.store import Store
from tests.test_status_schema import WELL

CONFIG = """tenant = "acme"
store = "0042"
gateway = "gw-1"
mqtt = { url = "mqtts://broker.example" }
roster = { file = "roster.json", allow_unsigned = true }
"""
THREE = """[[zone]]
name = "floor"
gateways = ["gw-1", "gw-2", "gw-3"]
"""
COVERED = """[[zone]]
name = "floor"
gateways = ["gw-1"]
[[zone]]
name = "pavement"
gateways = ["gw-9"]
outside = true
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway whose agent runs and is well."""
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "roster.json").write_text('{"members": [{"visitor": "v-1"}]}', encoding="utf-8")
    (tmp_path / "state").mkdir()
    told = {"at": datetime.now(UTC).isoformat()} | WELL
    (tmp_path / "state" / "status.json").write_text(json.dumps(told), encoding="utf-8")
    return tmp_path


@pytest.fixture
def configured(folder: Path) -> Callable[[str], Config]:
    """Read the configuration, with some zones."""

    def read(zones: str = "") -> Config:
        (folder / "config.toml").write_text(CONFIG + zones, encoding="utf-8")
        return read_config(folder / "config.toml")

    return read


def taught(*gateways: str) -> Store:
    """Give a store that has taught enough, in which gateways hang well."""
    store = Store(Floor({}, frozenset()), 360.0)
    survey = store.survey
    for spread, mean in (
        (survey.inside, -78.0),
        (survey.edge, -90.0),
        (survey.visitor_peak, -70.0),
        (survey.passer_peak, -82.0),
    ):
        spread.add(mean, 394.0, 5.0)
    for there, out in zip(survey.side_in, survey.side_out, strict=True):
        there.add(12.0, 394.0, 5.0)
        out.add(-12.0, 394.0, 5.0)
    store.receivers.weakest_dbm = -97.0
    for gateway in gateways or ("gw-1",):
        hang(store, gateway, -60.0)
    return store


def hang(store: Store, gateway: str, beside: float) -> None:
    """Let a gateway be heard by; somebody beside it is as loud as that, dBm."""
    store.receivers.hear(gateway, -80)
    for _ in range(1200):
        store.receivers.place(gateway, beside)
    # The quantile is followed slowly; here it has long arrived.
    store.receivers._receivers[gateway].loud = beside


def acts(config: Config, store: Store) -> list[Finding]:
    """Give what is to be done about the placement."""
    return [it for it in judge_placement(config, store.dump()) if it.state is State.ACT]


def test_a_gateway_that_hangs_well(configured: Callable[[str], Config]) -> None:
    """One finding, and nothing to do."""
    (found,) = judge_placement(configured(""), taught().dump())
    assert found.state is State.OK
    assert found.about == "gw-1"


def test_too_little_learnt_says_how_much_is_missing(configured: Callable[[str], Config]) -> None:
    """After seven visits nothing is judged, however it looks."""
    store = Store(Floor({}, frozenset()), 360.0)
    for _ in range(7):
        store.survey.visitor_peak.add(-85.0, 1.0)
    (found,) = judge_placement(configured(""), store.dump())
    assert found.state is State.WAIT
    assert found.says == "7 visit(s) learnt so far"
    assert found.advice == f"ask again after {ENOUGH_VISITS - 7} more"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda survey: survey.passer_peak.add(-71.0, 400.0, 5.0), "visitors, when they come in"),
        (lambda survey: survey.edge.add(-79.0, 400.0, 5.0), "the floor is"),
    ],
    ids=["passers-by as loud as visitors", "pavement as loud as the floor"],
)
def test_a_gateway_in_the_window_hears_the_pavement_as_well(
    configured: Callable[[str], Config], spoil: Callable[[Any], None], says: str
) -> None:
    """In and out differ by less than two phones do: it is to be moved, or helped."""
    store = taught()
    for _ in range(5):
        spoil(store.survey)
    (found,) = acts(configured(""), store)
    assert found.says.startswith(says)
    assert "outside zone" in found.advice
    assert acts(configured(COVERED), store) == acts(configured(COVERED), taught())


def test_passers_by_who_never_came_accuse_nobody(configured: Callable[[str], Config]) -> None:
    """In a mall's dead end nobody walks past: what is not learnt is not judged."""
    store = taught()
    store.survey.passer_peak = Store(Floor({}, frozenset()), 360.0).survey.visitor_peak
    assert acts(configured(""), store) == []


def test_a_gateway_too_far_from_everybody(configured: Callable[[str], Config]) -> None:
    """Visitors are heard 7 dB above the weakest level: who turns round is gone."""
    store = taught()
    store.receivers.weakest_dbm = -85.0
    (found,) = acts(configured(""), store)
    assert "only 7 dB above the weakest" in found.says
    assert "add a gateway" in found.advice


def test_sides_that_do_not_separate(configured: Callable[[str], Config]) -> None:
    """The outside gateway hangs inside the window: who is in sounds like who is out."""
    store = taught("gw-1", "gw-9")
    for _ in range(5):
        store.survey.side_out[1].add(10.0, 400.0, 5.0)
    (found,) = acts(configured(COVERED), store)
    assert found.about == "gw-9"
    assert "middling" in found.says


def test_a_gateway_with_a_bad_antenna(configured: Callable[[str], Config]) -> None:
    """One of three hears those beside it 9 dB weaker than the others do."""
    store = taught("gw-1", "gw-2")
    hang(store, "gw-3", -69.0)
    (found,) = acts(configured(THREE), store)
    assert found.about == "gw-3"
    assert "9 dB weaker" in found.says
    assert "USB 3" in found.advice


def test_of_two_gateways_the_weaker_one_is_told(configured: Callable[[str], Config]) -> None:
    """A louder one is no fault while there is nobody to outvote the other."""
    store = taught("gw-1")
    hang(store, "gw-2", -50.0)
    two = THREE.replace(', "gw-3"', "")
    assert [found.about for found in acts(configured(two), store)] == ["gw-1"]


def test_gateways_that_differ_as_adapters_do(configured: Callable[[str], Config]) -> None:
    """5 dB are learnt and taken off; nobody needs a ladder for them."""
    store = taught("gw-1", "gw-2")
    hang(store, "gw-3", -65.0)
    assert acts(configured(THREE), store) == []


def test_a_gateway_that_never_heard_anybody(configured: Callable[[str], Config]) -> None:
    """The others heard visits: it is dead, or does not report here."""
    (found,) = acts(configured(THREE), taught("gw-1", "gw-3"))
    assert found.about == "gw-2"
    assert "has heard nobody" in found.says


def doctor(folder: Path, *more: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, ["doctor", "--config", str(folder / "config.toml"), *more])


def test_a_gateway_in_order(folder: Path, configured: Callable[[str], Config]) -> None:
    """Prose on stderr, nothing on stdout, and 0."""
    write_lessons(configured(""), taught().dump())
    said = doctor(folder)
    assert (said.exit_code, said.stdout) == (0, "")
    assert [line.split()[0] for line in said.stderr.splitlines()] == ["ok"] * len(CHECKS)


def test_nothing_learnt_yet_is_no_failure(folder: Path) -> None:
    """The first ten minutes: it says what it waits for, and ends with 0."""
    said = doctor(folder)
    assert said.exit_code == 0
    assert "nothing learnt yet" in said.stderr


def test_what_is_to_be_done_ends_with_1(folder: Path, configured: Callable[[str], Config]) -> None:
    """With `--json` each finding is a line on stdout, with the same words."""
    store = taught()
    store.receivers.weakest_dbm = -85.0
    write_lessons(configured(""), store.dump())
    said = doctor(folder, "--json")
    assert said.exit_code == 1
    findings = [json.loads(line) for line in said.stdout.splitlines()]
    assert {"check", "state", "about", "says", "advice"} == findings[0].keys()
    (act,) = [finding for finding in findings if finding["state"] == "act"]
    assert (act["check"], act["about"]) == ("placement", "gw-1")
    assert act["advice"] in doctor(folder).stderr


def test_a_bad_configuration_ends_with_2(folder: Path) -> None:
    """As with every command."""
    (folder / "config.toml").write_text("[nothing", encoding="utf-8")
    assert doctor(folder).exit_code == 2


def test_what_is_broken_is_found(folder: Path) -> None:
    """No roster, no agent, a damaged survey: each is told, and none hides another."""
    config = read_config(folder / "config.toml")
    (folder / "roster.json").unlink()
    (folder / "state" / "status.json").unlink()
    survey_file(config).write_text("{", encoding="utf-8")
    states = {finding.check: finding.state for finding in examine(config)}
    assert states == {
        "roster": State.ACT,
        "state": State.OK,
        "status": State.ACT,
        "placement": State.WAIT,
    }


def test_a_state_directory_that_is_a_file(folder: Path) -> None:
    """It cannot hold the outbox: to be mended."""
    config = read_config(folder / "config.toml")
    for file in (folder / "state").iterdir():
        file.unlink()
    (folder / "state").rmdir()
    before = {finding.check: finding.state for finding in examine(config)}
    assert before["state"] is State.WAIT  # the agent will make it
    (folder / "state").write_text("", encoding="utf-8")
    after = {finding.check: finding.state for finding in examine(config)}
    assert after["state"] is State.ACT
