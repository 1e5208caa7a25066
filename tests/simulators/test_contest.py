"""The contest's cases, its scores beside those of a replay, and a short one from end to end."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_agent.config import read_config
from edge_agent.model import Method, RadioState, Sighting, Sign
from edge_agent.replay import Replay
from edge_agent.trace import Trace
from edge_agent.track.belief import Floor
from simulators.__main__ import app
from simulators.contest import command
from simulators.contest.cases import BadCaseError, Case, Kind, from_day, from_folder, thinned
from simulators.contest.contest import EVERY_STORE, OURS, TIMEOUT, Standing, Sweep, play
from simulators.contest.goals import beaten_by, lines
from simulators.contest.ours import run
from simulators.contest.physics import Physics, missed, unreceivable
from simulators.score import Score, score
from simulators.score.claims import Draft
from simulators.store import PLANS, simulate
from simulators.truth import TrueVisit, Truth, Window

DATA = Path(__file__).parents[1] / "data"
NO_SWEEP = Sweep(timeouts=(), longest=(), confidences=())


def case(*heard: float, visits: tuple[TrueVisit, ...], method: Method = Method.APP) -> Case:
    """A store day of an hour in which v-1 was heard at these times."""
    sightings = [Sighting(at, "v-1", "gw-1", "ble", method, -60) for at in heard]
    floor = Floor({"gw-1": "floor"}, frozenset())
    truth = Truth(duration=3600.0, visits=visits)
    return Case("one", Kind.STORE, tuple(sightings), floor, truth, 360.0, "store one")


def visit(enters: float, leaves: float, receivable: float | None = None) -> TrueVisit:
    """A visit of v-1."""
    return TrueVisit(
        visitor="v-1",
        entered=Window.at(enters),
        exited=Window.at(leaves),
        first_receivable=receivable,
    )


def replayed(name: str) -> Score:
    """Score the JSON that a replay publishes."""
    folder = DATA / name
    with Trace.open(str(folder / "trace.jsonl.gz"), lambda _line, _what: None) as trace:
        run = Replay(read_config(folder / "config.toml"), trace)
        events = [json.loads(body) for body in run.events()]
    return score(events, Truth.read(folder / "truth.json"), trace.started_at)


@pytest.mark.parametrize("name", ["door/walk", "static"])
def test_a_case_scores_as_its_replay_does(name: str) -> None:
    """Claims taken from the tracker and claims read back from its JSON are worth the same."""
    direct, published = run(from_folder(DATA / name)).to_json(), replayed(name).to_json()
    assert direct.keys() == published.keys()
    for key, value in direct.items():
        assert value == pytest.approx(published[key], abs=0.002), key  # the wire has milliseconds


def test_a_folder_tells_what_it_can_show() -> None:
    """The door's zones and its 10 s are of its configuration."""
    door = from_folder(DATA / "door" / "walk")
    assert (door.kind, door.group, door.exit_after_at_most) == (Kind.DOOR, "door", 10)
    assert door.floor.outside == {"outside"}
    assert door.evidence


def test_a_line_that_is_none_is_refused(tmp_path: Path) -> None:
    """A contest over half a trace would be none."""
    for name in ("config.toml", "roster.json", "truth.json"):
        (tmp_path / name).write_bytes((DATA / "static" / name).read_bytes())
    header = '{"trace": 1, "started_at": "2026-11-01T09:00:00Z"}\n'
    with gzip.open(tmp_path / "trace.jsonl.gz", "wt") as trace:
        trace.write(header + "{}\n")
    with pytest.raises(BadCaseError, match="lines"):
        from_folder(tmp_path)


def test_a_day_in_memory_is_the_day_on_disk(tmp_path: Path) -> None:
    """The same sightings, in the same order, from arrays and from JSON."""
    day = simulate(PLANS["zones"], 3, hours=0.4, visits=8, passers_by=4, strangers=4)
    day.write(tmp_path)
    direct, read = from_day(day, "zones"), from_folder(tmp_path)
    assert direct.evidence == read.evidence
    assert direct.floor == read.floor
    assert (read.kind, read.exit_after_at_most) == (Kind.STORE, direct.exit_after_at_most)


def test_thinned_keeps_one_packet_in_so_many_seconds() -> None:
    """Of 0, 1, 4.9, 5, 9 and 12 the first in each 5 s; Wi-Fi and radio news are no packets."""
    full = case(0, 1, 4.9, 5, 9, 12, visits=())
    lost = RadioState(6.0, "gw-1", "ble", listening=False)
    station = Sighting(7.0, "v-1", "gw-1", "wifi", Method.WIFI, sign=Sign.HEARD)
    thin = thinned(replace(full, evidence=(*full.evidence, lost, station)), 5.0)
    assert [one.at for one in thin.evidence] == [0, 5, 12, 6, 7]
    assert thin.group == "store one, 1 per 5 s"


def test_what_nothing_told_is_counted_apart() -> None:
    """The second visit left no trace; the first was silent for 400 s, an exit may wait 360."""
    visits = (visit(0, 900, receivable=10), visit(2000, 2300))
    quiet = case(10, 20, 420, 890, visits=visits)
    assert unreceivable(quiet) == {1}
    physics = Physics.of(quiet)
    assert (physics.visits, physics.unreceivable, physics.silent) == (2, 1, 2)
    assert Physics.of(case(10, 300, visits=(visit(0, 665, 10),))).silent == 0  # 5 s early
    assert Physics.of(case(10, 300, visits=(visit(0, 669, 10),))).silent == 1


def test_missed_is_what_the_score_calls_missed() -> None:
    """Claimed from 100 to 800: the first visit is noticed, the second is not."""
    draft = Draft()
    draft.enter("a", "floor", 100, 100)
    draft.leave("a", 800, 860)
    both = case(visits=(visit(0, 900), visit(2000, 2300)))
    assert missed(both, {"v-1": draft.finish()}) == {1}
    assert missed(both, {}) == {0, 1}


def test_a_standing_adds_up_and_holds_goals() -> None:
    """Two cases of a store: their visits, and each setting, are summed; what is not shown is so."""
    standing = Standing()
    steady = [float(at) for at in range(100, 700, 2)]
    for _ in range(2):
        standing.add(play(case(*steady, visits=(visit(100, 700, 100),)), NO_SWEEP))
    assert set(standing.entries) == {"store one", EVERY_STORE}
    assert standing.physics[EVERY_STORE].visits == 2
    setting, entry = standing.default(EVERY_STORE, "companion")
    assert (setting.knob, setting.value, entry.score.true_visits) == (TIMEOUT, 30.0, 2)
    assert entry.score.exit_latency is not None
    assert entry.score.exit_latency.median == 28
    assert standing.default(EVERY_STORE, OURS)[1].score.missed_visits == 0
    verdicts = {(line.goal.group, line.goal.what): line.verdict for line in lines(standing)}
    assert verdicts[EVERY_STORE, "visits missed"] == "met"
    assert verdicts["door", "crossing F1 within 8 s"] == "not measured"
    ours = standing.default(EVERY_STORE, OURS)[1].score.exit_latency
    assert ours is not None
    assert all(e.score.false_exits == 0 for _, e in beaten_by(standing))


def test_a_short_contest_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command plays two stores and the door, tells the verdicts, and writes page and plots."""
    monkeypatch.setattr(command, "PLANS", {name: PLANS[name] for name in ("mid-floor", "door")})
    monkeypatch.setattr(command, "SHORT_HOURS", 0.5)
    monkeypatch.setattr(command, "SAMPLES", DATA / "door")
    done = CliRunner().invoke(app, ["contest", "--short", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "met: door, crossing F1 within 8 s" in done.stdout
    assert "not measured: rooms" in done.stdout
    assert "4 of 4" in done.stderr
    page = (tmp_path / "presence.md").read_text(encoding="utf-8")
    assert "| **edge-agent** |" in page
    told = json.loads((tmp_path / "presence.json").read_text(encoding="utf-8"))
    assert {entry["rule"] for entry in told["entries"]} >= {OURS, "altbeacon", "habluetooth"}
    for name in ("false-exits", "passers-by"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_a_folder_that_is_none_is_bad_input(tmp_path: Path) -> None:
    """Exit code 2, and why."""
    arguments = ["contest", "--short", "--out", str(tmp_path), "--data", str(tmp_path / "none")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "is no folder" in done.stderr
