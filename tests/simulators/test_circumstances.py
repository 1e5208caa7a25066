"""Closing time, rush, tags left behind, gateways that die: what a day may hold besides."""

from __future__ import annotations

import gzip
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from edge_agent.config import read_config
from simulators.day import Day
from simulators.phones import Kind
from simulators.plan import PLANS, Outage
from simulators.shoppers import OpenHours, Rush, Shoppers
from simulators.store import read_outage, simulate, store_command
from simulators.truth import Truth
from tests.simulators.hearing import ble_sightings, levels

HOUR = 3600.0


def _zones_day(*outages: Outage) -> Day:
    plan = replace(PLANS["zones"], outages=outages)
    return simulate(plan, 5, hours=1.0, visits=20, passers_by=0, strangers=0)


def _told(day: Day) -> list[tuple[float, Any]]:
    return [(at, line["radio"]) for at, line in day.stations if "radio" in line]


def _heard_by(day: Day, gateway: str) -> list[float]:
    heard = day.receptions
    times: list[float] = heard.at[heard.gateway == heard.gateways.index(gateway)].tolist()
    return times


def test_all_are_out_by_closing() -> None:
    """Families, returners, staff and a rush in the last hour: the last leaves before closing."""
    crowd = Shoppers(families=0.5, returning=0.5, staff=2, rush=Rush(0.5))
    day = simulate(
        PLANS["departments"], 4, hours=1.0, visits=20, passers_by=0, strangers=0, shoppers=crowd
    )
    assert len(day.truth.visits) > 80
    left = [visit.exited.hi for visit in day.truth.visits if visit.exited]
    assert max(left) <= day.closes == HOUR


def test_closed_hours_are_quiet() -> None:
    """An hour before opening and an hour after closing, no member is about."""
    day = simulate(PLANS["door"], 5, hours=1.0, visits=10, passers_by=10, closed=1.0)
    assert (day.opens, day.closes, day.truth.duration) == (HOUR, 2 * HOUR, 3 * HOUR)
    times = [at for heard in ble_sightings(day).values() for at in heard]
    assert min(times) > HOUR - 60.0
    assert max(times) < 2 * HOUR + 60.0
    same = simulate(PLANS["door"], 5, hours=1.0, visits=10, passers_by=10)
    assert len(same.truth.visits) == len(day.truth.visits)


def test_a_fixture_is_heard_through_the_night() -> None:
    """Two tags lie in the store: heard at every hour of the trace, and no visit is of them."""
    options = {"hours": 1.0, "visits": 5, "passers_by": 0, "strangers": 0, "closed": 2.0}
    day = simulate(PLANS["mid-floor"], 6, shoppers=Shoppers(fixtures=2), **options)  # type: ignore[arg-type]
    heard = ble_sightings(day)
    assert len(day.truth.fixtures) == 2
    for fixture in day.truth.fixtures:
        hours = np.histogram(heard[fixture.visitor], bins=5, range=(0.0, 5 * HOUR))[0]
        assert min(hours) > 600
        assert fixture.visitor not in {visit.visitor for visit in day.truth.visits}
    without = simulate(PLANS["mid-floor"], 6, **options)  # type: ignore[arg-type]
    assert without.truth.visits == day.truth.visits


def test_a_fixture_does_not_move() -> None:
    """At night its level varies by packet noise alone, by day by what passes, too."""
    day = simulate(
        PLANS["mid-floor"],
        7,
        hours=2.0,
        visits=0,
        strangers=0,
        passers_by=0,
        closed=2.0,
        shoppers=Shoppers(fixtures=6),
    )
    heard = levels(day)
    minutes: dict[bool, list[float]] = {True: [], False: []}
    for fixture in day.truth.fixtures:
        at, rssi = np.array(heard[fixture.visitor]).T
        for night in (True, False):
            shown = (at < day.opens) if night else (at >= day.opens) & (at < day.closes)
            means = [
                rssi[shown & (at // 60.0 == minute)].mean() for minute in np.unique(at[shown] // 60)
            ]
            minutes[night].append(float(np.std(means)))
    assert np.mean(minutes[True]) < 1.0
    assert 1.0 < np.mean(minutes[False]) < 3.0


def test_a_rush_is_ten_times_as_many() -> None:
    """Fifteen visits an hour otherwise, 150 in the rush, and the others are as they were."""
    usual = simulate(PLANS["mid-floor"], 8, hours=4.0, visits=60, passers_by=0, strangers=0)
    rush = Shoppers(rush=Rush(2.0))
    day = simulate(
        PLANS["mid-floor"], 8, hours=4.0, visits=60, passers_by=0, strangers=0, shoppers=rush
    )
    entered = [visit.entered.lo for visit in day.truth.visits if visit.entered]
    hours = np.histogram(entered, bins=4, range=(0.0, 4 * HOUR))[0]
    assert len(day.truth.visits) == 60 + 135
    assert hours[2] > 130
    assert max(hours[[0, 1, 3]]) < 30
    spans = {(visit.entered, visit.exited) for visit in day.truth.visits}
    assert {(visit.entered, visit.exited) for visit in usual.truth.visits} <= spans


def test_a_rush_before_closing_is_cut_short() -> None:
    """Nobody comes in the last minutes, and a rush after closing is a mistake."""
    assert Rush(7.5).visits(OpenHours(0.0, 8 * HOUR), 80) == pytest.approx(
        9 * 80 * 0.5 / 8.0, abs=5
    )
    with pytest.raises(ValueError, match="before closing"):
        simulate(PLANS["door"], hours=1.0, visits=2, shoppers=Shoppers(rush=Rush(1.0)))


def test_a_gateway_dies_and_says_so() -> None:
    """From then on it gives no line but `lost`; the other gateways hear what they heard."""
    day, whole = _zones_day(Outage("gw-food", 1800.0)), _zones_day()
    assert _told(day) == [(1800.0, {"source": "ble", "state": "lost"})]
    assert max(_heard_by(day, "gw-food")) < 1800.0 < max(_heard_by(whole, "gw-food"))
    assert _heard_by(day, "gw-clothes") == _heard_by(whole, "gw-clothes")
    assert [visit.entered for visit in day.truth.visits] == [
        visit.entered for visit in whole.truth.visits
    ]


def test_a_gateway_dies_unnoticed() -> None:
    """Not `told`, its silence is all there is."""
    day = _zones_day(Outage("gw-food", 1800.0, told=False))
    assert not _told(day)
    assert max(_heard_by(day, "gw-food")) < 1800.0


def test_an_access_point_that_comes_back_says_so_for_both_radios() -> None:
    """With its Wi-Fi, too, it is deaf from `lost` to `recovered`, and the lines stay in order."""
    day = _zones_day(Outage("gw-door", 900.0, 1800.0))
    assert _told(day) == [
        (at, {"source": source, "state": state})
        for at, state in ((900.0, "lost"), (1800.0, "recovered"))
        for source in ("ble", "wifi")
    ]
    others = [at for at, line in day.stations if "radio" not in line]
    assert not any(900.0 <= at < 1800.0 for at in [*others, *_heard_by(day, "gw-door")])
    assert any(at > 1800.0 for at in _heard_by(day, "gw-door"))
    times = [float(line.get("at", 0.0)) for line in day.lines()]  # type: ignore[arg-type]
    assert times == sorted(times)


def test_what_nobody_could_hear_was_not_receivable() -> None:
    """While every gateway is deaf, no advertisement counts as the first that could be heard."""
    plan = replace(PLANS["mid-floor"], outages=(Outage("gw-1", 0.0, 1800.0),))
    only = Shoppers({Kind.ANDROID: 1.0})
    day = simulate(plan, 9, hours=1.0, visits=30, strangers=0, passers_by=0, shoppers=only)
    receivable = [visit.first_receivable for visit in day.truth.visits]
    assert all(at is None or at >= 1800.0 for at in receivable)
    assert sum(at is None for at in receivable) > 3


def test_opening_hours_are_configured_when_asked_for(tmp_path: Path) -> None:
    """A store open from ten to half past eleven says so to the agent, in UTC."""
    day = simulate(PLANS["door"], hours=1.5, visits=2, passers_by=0, strangers=0, closed=1.0)
    assert "hours" not in tomllib.loads(day.config())
    hours = tomllib.loads(day.config(hours=True))["hours"]
    assert hours == {"timezone": "UTC", "open": ["daily 10:00-11:30"]}
    day.write(tmp_path, hours=True)
    assert read_config(tmp_path / "config.toml").hours is not None


def _run(*options: str) -> Result:
    app = typer.Typer()
    app.command()(store_command)
    return CliRunner().invoke(app, list(options))


def test_the_command_knows_the_circumstances(tmp_path: Path) -> None:
    """Staff, a fixture, a rush, closed hours and a dead gateway end in the four files."""
    numbers = ["--hours", "1", "--visits", "4", "--passers-by", "2", "--strangers", "2"]
    around = ["--staff", "1", "--fixtures", "1", "--crowd", "0.3", "--closed", "0.5"]
    result = _run(*numbers, *around, "--dies", "gw-1@0.5", "--write-hours", "--out", str(tmp_path))
    assert result.exit_code == 0
    truth = Truth.read(tmp_path / "truth.json")
    assert len(truth.visits) > 4
    assert len(truth.fixtures) == 1
    assert "[hours]" in (tmp_path / "config.toml").read_text()
    with gzip.open(tmp_path / "trace.jsonl.gz", "rt") as trace:
        lines = [json.loads(line) for line in trace]
    assert [line["at"] for line in lines if "radio" in line] == [HOUR, HOUR]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--dies", "gw-1"], "GW@HOUR"),
        (["--dies", "gw-7@1"], "no gateway gw-7"),
        (["--crowd", "9"], "before closing"),
    ],
)
def test_what_cannot_be_is_bad_input(tmp_path: Path, options: list[str], says: str) -> None:
    """The command exits with 2, and says what is wrong."""
    result = _run(*options, "--out", str(tmp_path))
    assert result.exit_code == 2
    assert says in result.stderr


def test_an_outage_is_told_in_hours_after_opening() -> None:
    """`gw-1@2.5-3` of a store that opens an hour into the trace."""
    assert read_outage("gw-1@2.5-3", 1.0, told=True) == Outage("gw-1", 3.5 * HOUR, 4 * HOUR)
    assert read_outage("gw-a@0", 0.0, told=False) == Outage("gw-a", 0.0, told=False)
