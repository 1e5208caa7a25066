"""Recordings of real radios, through the real replay, against what really happened."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from edge_agent.config import read_config
from edge_agent.replay import Replay
from edge_agent.trace import Trace
from simulators.score import Score, score
from simulators.truth import Truth

DATA = Path(__file__).parent / "data"
ADVERTISEMENT_S = 0.02  # between two gateways' reports of the same advertisement


def thinned(name: str, folder: Path, period: float) -> Path:
    """Keep one advertisement of each beacon in `period` seconds, by whichever gateways heard it."""
    kept: dict[str, float] = {}
    path = folder / "thinned.jsonl"
    with (
        gzip.open(DATA / name / "trace.jsonl.gz", "rt") as whole,
        path.open("w") as part,
    ):
        part.write(next(whole))
        for line in whole:
            packet = json.loads(line)
            if "ble" in packet:
                who, at = packet["ble"]["address"], packet["at"]
                since = at - kept.get(who, -period)
                if ADVERTISEMENT_S < since < period:
                    continue
                kept[who] = at if since >= period else kept[who]
            part.write(line)
    return path


def scored(name: str, recording: Path | None = None) -> Score:
    """Replay a recording and hold its events against its truth, within 8 s."""
    folder = DATA / name
    complaints: list[int] = []
    path = str(recording or folder / "trace.jsonl.gz")
    with Trace.open(path, lambda line, _what: complaints.append(line)) as trace:
        run = Replay(read_config(folder / "config.toml"), trace)
        events = [json.loads(body) for body in run.events()]
    assert complaints == []
    assert run.foreign == 0
    return score(events, Truth.read(folder / "truth.json"), trace.started_at, tolerance=8.0)


@pytest.mark.parametrize("run", ["walk", "car"])
def test_crossings_of_a_real_door_are_found(run: str) -> None:
    """On foot and by car, sniffers on both sides: every crossing within 8 s, and no other."""
    result = scored(f"door/{run}")
    assert result.crossings.f1 is not None
    assert result.crossings.f1 >= 0.95


def test_six_beacons_in_four_rooms_are_where_they_were() -> None:
    """The right room, second by second, and hardly ever a move that was none."""
    result = scored("rooms")
    assert result.zone_time.f1 is not None
    assert result.zone_time.f1 >= 0.95
    assert result.spurious_moves_per_hour is not None
    assert result.spurious_moves_per_hour <= 0.5


def test_a_beacon_at_rest_never_leaves() -> None:
    """Static for its whole recording: not one false exit."""
    result = scored("static")
    assert result.false_exits == 0
    assert result.missed_visits == 0


def test_a_beacon_at_rest_that_is_seldom_heard_never_leaves(tmp_path: Path) -> None:
    """Thinned to one advertisement in 5 s: at most one false exit in twenty hours."""
    result = scored("static", thinned("static", tmp_path, 5.0))
    assert result.false_exits <= 0.05 * result.present_hours
    assert result.missed_visits == 0
