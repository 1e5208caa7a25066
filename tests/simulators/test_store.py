"""A simulated store day: its trace, its truth, and that the two agree."""

import asyncio
import gzip
import json
import re
import tomllib
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from simulators.credentials import NAMESPACE
from simulators.day import Day
from simulators.people import dwell_time, walk_past, walk_visit
from simulators.phones import Kind, WallClock
from simulators.plan import PLANS
from simulators.shoppers import Shoppers
from simulators.store import simulate, store_command
from simulators.truth import Truth
from tests.simulators.hearing import ble_sightings, identifiers, shown

APPROACH = 45.0  # s on the pavement before and after a visit
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ADDRESS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
HEX = re.compile(r"([0-9a-f]{2})+")
STARTED = datetime(2026, 11, 1, 9, tzinfo=UTC).timestamp()

Json = dict[str, Any]


@pytest.fixture(scope="module", params=sorted(PLANS))
def day(request: pytest.FixtureRequest) -> Day:
    """Two hours of each layout, with staff."""
    return simulate(
        PLANS[request.param],
        seed=11,
        hours=2.0,
        visits=50,
        passers_by=60,
        strangers=100,
        shoppers=Shoppers(staff=1),
    )


def _lines(day: Day) -> list[Json]:
    return [dict(line) for line in day.lines()]


def test_a_trace_begins_and_ends_as_specified(day: Day) -> None:
    """The header names the start, `end` comes last, and time never runs back in between."""
    lines = _lines(day)
    assert lines[0] == {"trace": 1, "started_at": "2026-11-01T09:00:00.000Z"}
    assert lines[-1] == {"at": day.truth.duration, "end": True}
    times = [line["at"] for line in lines[1:]]
    assert times == sorted(times)
    assert times[0] >= 0.0


def test_every_line_has_the_format(day: Day) -> None:
    """Each line is one BLE, Wi-Fi or portal record with exactly the specified keys."""
    gateways = {gateway.name for gateway in day.plan.gateways}
    for line in _lines(day)[1:-1]:
        kind = (set(line) - {"at", "gateway"}).pop()
        assert set(line) == {"at", "gateway", kind}
        assert line["gateway"] in gateways
        record = line[kind]
        assert ADDRESS.fullmatch(record["address"])
        if kind == "ble":
            _check_advertisement(record)
        elif kind == "wifi":
            assert set(record) == {"event", "address", "keyid"}
            assert record["event"] in {"associated", "disassociated", "heard", "silent"}
        else:
            assert set(record) == {"event", "address", "visitor"}
            assert record["event"] in {"bound", "unbound", "checked_in"}


def _check_advertisement(record: Json) -> None:
    assert set(record) == {
        "address",
        "rssi",
        "service_data",
        "manufacturer_data",
        "service_uuids",
    }
    assert isinstance(record["rssi"], int)
    assert -110 <= record["rssi"] <= -20
    assert all(UUID.fullmatch(uuid) for uuid in record["service_uuids"])
    assert all(UUID.fullmatch(uuid) for uuid in record["service_data"])
    assert all(0 <= int(company) < 1 << 16 for company in record["manufacturer_data"])
    payloads = [*record["service_data"].values(), *record["manufacturer_data"].values()]
    assert all(HEX.fullmatch(payload) and len(payload) <= 2 * 27 for payload in payloads)


def test_nobody_is_heard_where_she_was_not(day: Day) -> None:
    """Every sighting of a member lies in a true visit, on the way to it, or in a passing-by."""
    spans = defaultdict(list)
    for visit in day.truth.visits:
        assert visit.entered
        assert visit.exited
        spans[visit.visitor].append((visit.entered.lo - APPROACH, visit.exited.hi + APPROACH))
    for passing in day.truth.passers_by:
        spans[passing.visitor].append((passing.begins - 0.001, passing.ends + 0.001))
    for visitor, times in ble_sightings(day).items():
        assert all(any(lo <= at <= hi for lo, hi in spans[visitor]) for at in times)


def test_a_visit_is_what_the_truth_says(day: Day) -> None:
    """Enter comes before exit, the stays fill the visit, and all are out by closing."""
    closing = day.truth.duration - 600.0
    for visit in day.truth.visits:
        assert visit.entered
        assert visit.exited
        assert visit.entered.lo + 60.0 < visit.exited.lo <= closing
        assert visit.stays[0].entered == visit.entered
        assert visit.stays[-1].exited == visit.exited
        for before, after in pairwise(visit.stays):
            assert before.exited == after.entered
            assert before.zone != after.zone


def test_the_first_receivable_advertisement_is_sent_inside(day: Day) -> None:
    """It lies within the visit, and no indoor gateway heard her in the visit before it."""
    sightings = ble_sightings(day)
    for visit in day.truth.visits:
        if visit.first_receivable is None or not visit.entered or not visit.exited:
            continue
        assert visit.entered.lo <= visit.first_receivable <= visit.exited.hi
        if len(day.plan.indoor) == len(day.plan.gateways):  # a pavement's may well hear her first
            inside = [at for at in sightings[visit.visitor] if at >= visit.entered.lo + 0.001]
            assert not inside or min(inside) >= visit.first_receivable - 0.001


def test_almost_every_radio_is_receivable_inside(day: Day) -> None:
    """Only iPhones whose app stays closed are never receivable by BLE."""
    with_key = {member["visitor"] for member in day.roster["members"] if "ik" in member}
    missed = [visit for visit in day.truth.visits if visit.first_receivable is None]
    assert {visit.visitor for visit in missed} <= with_key
    assert len(missed) < 0.15 * len(day.truth.visits)


def test_a_member_of_another_store_stays_unknown(day: Day) -> None:
    """Some advertisements under our namespace belong to nobody on this roster."""
    known = identifiers(day)
    ours = [
        line["ble"]["service_data"][str(NAMESPACE)][4:]
        for line in _lines(day)
        if str(NAMESPACE) in line.get("ble", {}).get("service_data", {})
    ]
    unknown = sum(eid not in known for eid in ours)
    assert 0 < unknown < len(ours)


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    """Two days of one seed are equal byte by byte; another seed's day is another."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(PLANS["door"], seed, hours=0.5, visits=6, passers_by=5, strangers=5).write(
            tmp_path / name
        )
    files = ("trace.jsonl.gz", "truth.json", "roster.json", "config.toml")
    contents = {
        name: [(tmp_path / name / file).read_bytes() for file in files] for name in ("a", "b", "c")
    }
    assert contents["a"] == contents["b"]
    assert contents["a"][0] != contents["c"][0]


def test_strangers_change_no_visit() -> None:
    """With more strangers and passers-by, the same visits happen, and are heard the same."""
    quiet = simulate(PLANS["door"], 3, hours=1.0, visits=8, passers_by=0, strangers=0)
    busy = simulate(PLANS["door"], 3, hours=1.0, visits=8, passers_by=9, strangers=30)
    assert quiet.truth.visits == busy.truth.visits
    assert quiet.stations == busy.stations
    visitors = {visit.visitor for visit in quiet.truth.visits}
    heard_busy = {who: at for who, at in ble_sightings(busy).items() if who in visitors}
    assert ble_sightings(quiet) == heard_busy


def test_wifi_lines_come_from_bound_iphones_only() -> None:
    """Without Wi-Fi users no station is heard; with them, each is bound after associating."""
    only_iphones = {Kind.IPHONE: 1.0}
    without = simulate(
        PLANS["door"], hours=1.0, visits=10, shoppers=Shoppers(only_iphones, wifi=0.0)
    )
    assert not without.stations
    day = simulate(PLANS["door"], hours=1.0, visits=10, shoppers=Shoppers(only_iphones, wifi=1.0))
    events: dict[str, list[str]] = defaultdict(list)
    for _, line in day.stations:
        record: Json = line.get("wifi") or line["portal"]  # type: ignore[assignment]
        events[record["address"]].append(record["event"])
    assert events
    for told in events.values():
        assert told[0] == "associated"
        assert "bound" in told


def test_people_walk_like_people() -> None:
    """Nobody is faster than 1.3 m/s inside, and a visit crosses the door when it says."""
    rng = np.random.default_rng(12)
    for plan in PLANS.values():
        walk = walk_visit(rng, plan, 500.0, 600.0)
        assert walk.entered == 500.0
        assert walk.exited
        assert walk.exited == pytest.approx(1100.0, abs=5.0)
        at = np.array([walk.entered, walk.exited])
        assert walk.trail.places(at)[:, 1] == pytest.approx(0.0, abs=1e-6)
        moments = np.arange(walk.trail.begins, walk.trail.ends, 1.0)
        steps = np.linalg.norm(np.diff(walk.trail.places(moments), axis=0), axis=1)
        assert steps.max() < 1.35


def test_visits_last_from_two_to_45_minutes() -> None:
    """Dwell times lie between 2 and 45 min, with a median of about 14."""
    rng = np.random.default_rng(13)
    minutes = np.array([dwell_time(rng, 1e6) for _ in range(2000)]) / 60.0
    assert minutes.min() >= 2.0
    assert minutes.max() <= 45.0
    assert np.median(minutes) == pytest.approx(14.0, rel=0.05)


def test_passers_by_stay_outside() -> None:
    """A passer-by never crosses the front, and most take 20 to 60 s along the shop."""
    rng = np.random.default_rng(14)
    walks = [walk_past(rng, plan, 0.0) for plan in PLANS.values() for _ in range(100)]
    assert all(walk.entered is None and walk.trail.ys.max() < 0.0 for walk in walks)
    assert 20.0 < np.median([walk.trail.ends for walk in walks]) < 60.0


async def test_playing_keeps_time() -> None:
    """A day of 960 s at speed 4800 takes 0.2 s and gives the lines of the trace."""
    day = simulate(PLANS["door"], hours=0.1, visits=2, passers_by=2, strangers=2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    played = [line async for line in day.play(speed=4800.0)]
    assert 0.199 <= loop.time() - began < 2.0
    assert played == list(day.lines())


def test_identifiers_of_a_played_day_follow_the_wall_clock() -> None:
    """At 100-fold speed, two hours cross at most one EID window."""
    clock = WallClock(datetime(2026, 11, 1, 9, tzinfo=UTC), speed=100.0)
    androids = Shoppers({Kind.ANDROID: 1.0})
    day = simulate(PLANS["door"], hours=2.0, visits=10, strangers=0, shoppers=androids, clock=clock)
    seen = {shown(line["ble"]) for line in _lines(day) if "ble" in line}
    visitors = {visit.visitor for visit in day.truth.visits}
    visitors |= {passing.visitor for passing in day.truth.passers_by}
    assert len(seen) <= len(visitors) + 10


def test_the_configuration_names_zones_and_roster(day: Day) -> None:
    """The TOML parses, and says what an agent for this store needs."""
    config = tomllib.loads(day.config("mqtt://127.0.0.1:1999", tenant="t", store="7"))
    assert (config["tenant"], config["store"]) == ("t", "7")
    assert config["mqtt"] == {"url": "mqtt://127.0.0.1:1999", "allow_plaintext": True}
    assert config["roster"] == {"file": "roster.json", "allow_unsigned": True}
    assert config["ble"]["namespace"] == str(NAMESPACE)
    zones = {zone["name"]: zone.get("outside", False) for zone in config["zone"]}
    assert zones == {zone.name: zone.outside for zone in day.plan.zones}
    assert config["gateway"] in day.plan.indoor


def test_the_command_writes_four_files(tmp_path: Path) -> None:
    """`store --out DIR` leaves a readable trace, truth, roster and configuration."""
    app = typer.Typer()
    app.command()(store_command)
    options = ["--plan", "zones", "--hours", "0.2", "--visits", "3", "--strangers", "1"]
    result = CliRunner().invoke(app, [*options, "--out", str(tmp_path / "day")])
    assert result.exit_code == 0
    assert not result.stdout
    assert "3 visits" in result.stderr
    assert len(Truth.read(tmp_path / "day" / "truth.json").visits) == 3
    with gzip.open(tmp_path / "day" / "trace.jsonl.gz", "rt") as trace:
        assert json.loads(trace.readline())["trace"] == 1
    assert json.loads((tmp_path / "day" / "roster.json").read_text())["members"]


def test_an_unknown_plan_is_bad_input(tmp_path: Path) -> None:
    """The command exits with 2 and names the plans there are."""
    app = typer.Typer()
    app.command()(store_command)
    result = CliRunner().invoke(app, ["--plan", "castle", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "mid-floor" in result.stderr


def test_a_store_must_open_for_a_while() -> None:
    """Six minutes is the shortest span into which a visit fits."""
    with pytest.raises(ValueError, match="hours"):
        simulate(PLANS["door"], hours=0.05)
