"""A store day with ground truth: who came, what their phones sent, what the gateways heard.

    simulate(plan, seed) -> Day -> trace lines, truth, roster, configuration

The same seed gives the same day. Visits, passers-by, strangers, a rush and fixtures draw from
streams of their own, so that more strangers leave every visit as it was.

What it is like for a rule that ends a visit after a fixed silence of BLE and Wi-Fi: false exits per
visit / median exit latency in s, `mid-floor` as it is by default, means of seeds 7000 to 7029, on
which nothing was tuned; below them those of an independent simulation of a day of the same size.

    silence     30 s     60 s     90 s      120 s     180 s     300 s
    here      3.29/42  1.45/71  0.79/101  0.47/131  0.19/190  0.03/310
    there     3.80/44  1.75/74  0.88/102  0.51/132  0.22/191  0.03/311

It enters 93 % of the passers-by (there: 95 %), and 26 % (26 %) if it asks for -80 dBm. The median
leaver is audible for 10 s after the door (there: 11 to 14 s).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from simulators.day import Day
from simulators.people import Walk, dwell_time, stand, walk_past, walk_visit
from simulators.phones import Kind, WallClock, carried
from simulators.plan import PLANS, Outage, StorePlan
from simulators.radio import Crowd
from simulators.shoppers import SHORTEST_HOURS, Enrolment, OpenHours, Rush, Shoppers, walks
from simulators.stage import Stage
from simulators.strangers import neighbour_beacon
from simulators.truth import Fixture, PassBy, TrueVisit, Truth

__all__ = [
    "PLANS",
    "SHORTEST_HOURS",
    "Day",
    "Outage",
    "Rush",
    "Shoppers",
    "StorePlan",
    "WallClock",
    "simulate",
    "store_command",
]

_HOUR = r"(\d+(?:\.\d+)?)"
_OUTAGE = re.compile(rf"([a-z0-9-]+)@{_HOUR}(?:-{_HOUR})?")

HOUR = 3600.0  # s
AFTER_CLOSING = 600.0  # s of trace in which exits can still be decided
STRANGERS_INSIDE = 0.5
STRANGERS_PER_NEIGHBOUR = 100  # a fixed foreign iBeacon for so many strangers


def simulate(  # noqa: PLR0913 - a day has as many circumstances
    plan: StorePlan,
    seed: int = 0,
    *,
    hours: float = 8.0,
    visits: int = 120,
    passers_by: int = 150,
    strangers: int = 200,
    shoppers: Shoppers | None = None,
    clock: WallClock | None = None,
    closed: float = 0.0,
) -> Day:
    """Simulate a store that is open for `hours`, and 10 min more; numbers are of walks.

    With `closed` hours, the trace begins that long before opening and ends that long after closing.

    Raises:
        ValueError: `hours` is under 0.1, too short for a visit, or a rush begins after closing.
    """
    shoppers, clock = shoppers or Shoppers(), clock or WallClock()
    opened = OpenHours.after(closed, hours)
    duration = opened.closes + max(AFTER_CLOSING, opened.opens)
    fixed, inside, outside, others, rushing, lying = _streams(seed, 6)
    stage = Stage(fixed, plan, clock, _crowd(plan, shoppers.rush, opened, duration))
    members = Enrolment(shoppers)
    came = _visits(inside, stage, members, walks(inside, plan, shoppers, visits, opened))
    came += _shifts(fixed, stage, members, plan, opened)
    passed = _passes(outside, stage, members, plan, opened, passers_by)
    _strangers(others, stage, plan, strangers, opened, duration)
    members.opt_in_absent(fixed)
    if rush := shoppers.rush:
        more = rush.visits(opened, visits), opened, rush.spell(opened)
        came += _visits(rushing, stage, members, walks(rushing, plan, shoppers, *more))
    truth = Truth(
        started_at=clock.started_at,
        duration=duration,
        visits=tuple(sorted(came, key=_entry)),
        passers_by=tuple(sorted(passed, key=lambda pass_by: pass_by.begins)),
        fixtures=_fixtures(lying, stage, members, shoppers.fixtures, duration),
    )
    return Day(
        plan=plan,
        started_at=clock.started_at,
        truth=truth,
        roster=members.roster(),
        receptions=stage.receptions(duration),
        stations=stage.others(duration),
        opens=opened.opens,
        closes=opened.closes,
    )


def _streams(seed: int, count: int) -> Iterator[np.random.Generator]:
    """Give a stream each, so that nobody's number changes what befalls the others."""
    return (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(count))


def _entry(visit: TrueVisit) -> float:
    return visit.entered.lo if visit.entered else 0.0


def _crowd(plan: StorePlan, rush: Rush | None, opened: OpenHours, duration: float) -> Crowd:
    """Say how much the others in the store shadow: nobody is there when it is closed."""
    spells = [(0.0, opened.opens, 0.0), (opened.closes, duration, 0.0)]
    if rush:
        spells.append((*rush.spell(opened), rush.crowd_sd))
    return Crowd(plan.crowd_sd, tuple(spells))


def _visits(
    rng: np.random.Generator, stage: Stage, members: Enrolment, parties: Iterable[list[Walk]]
) -> list[TrueVisit]:
    """Enrol a member for each list of walks, and let her take them."""
    came: list[TrueVisit] = []
    for taken in parties:
        phone = members.opt_in(rng)
        came += [stage.visit(rng, phone, walk, members.habits) for walk in taken]
    return came


def _passes(
    rng: np.random.Generator,
    stage: Stage,
    members: Enrolment,
    plan: StorePlan,
    opened: OpenHours,
    count: int,
) -> list[PassBy]:
    """Let as many members walk past while the store is open."""
    passed: list[PassBy] = []
    for _ in range(count):
        walk = walk_past(rng, plan, float(rng.uniform(opened.opens, opened.closes)))
        passed.append(stage.pass_by(rng, members.opt_in(rng), walk))
    return passed


def _shifts(
    rng: np.random.Generator,
    stage: Stage,
    members: Enrolment,
    plan: StorePlan,
    opened: OpenHours,
) -> list[TrueVisit]:
    """Let the staff work from opening to closing, fob in pocket."""
    came: list[TrueVisit] = []
    for _ in range(members.staff):
        enters = opened.opens + float(rng.uniform(30.0, 90.0))
        walk = walk_visit(rng, plan, enters, opened.all_out - enters)
        phone = members.opt_in(rng, Kind.IBEACON, staff=True)
        came.append(stage.visit(rng, phone, walk, members.habits))
    return came


def _fixtures(
    rng: np.random.Generator, stage: Stage, members: Enrolment, count: int, duration: float
) -> tuple[Fixture, ...]:
    """Leave tags lying about: half beacons and fobs each."""
    kinds = (Kind.IBEACON, Kind.EDDYSTONE)
    tags = [members.opt_in(rng, kinds[number % len(kinds)]) for number in range(count)]
    return tuple(stage.fixture(rng, tag, 0.0, duration) for tag in tags)


def _strangers(
    rng: np.random.Generator,
    stage: Stage,
    plan: StorePlan,
    count: int,
    opened: OpenHours,
    duration: float,
) -> None:
    """Let as many strangers walk in or past, and the neighbours' beacons stand."""
    for _ in range(count):
        at = float(rng.uniform(*opened.entries))
        if rng.random() < STRANGERS_INSIDE:
            stage.stranger(rng, walk_visit(rng, plan, at, dwell_time(rng, opened.all_out - at)))
        else:
            stage.stranger(rng, walk_past(rng, plan, at))
    for _ in range(-(-count // STRANGERS_PER_NEIGHBOUR)):
        aside = float(rng.uniform(4.0, 12.0))
        beacon = stand(plan.width + aside, 3.0, 0.0, duration)
        sent = neighbour_beacon(rng, beacon.begins, beacon.ends)
        stage.send(rng, beacon, sent, carried(rng, -59))


_Crowd = Annotated[
    float | None,
    typer.Option(help="Ten times the visits, for an hour from this one on.", metavar="HOUR"),
]
_Dies = Annotated[
    list[str] | None,
    typer.Option(
        help="A gateway hears nothing from this hour on, or until another: GW@HOUR-HOUR. Repeat"
        " for others.",
        metavar="GW@HOUR",
    ),
]
_Unnoticed = Annotated[
    bool, typer.Option("--unnoticed", help="No line tells of a gateway that dies.")
]
_WriteHours = Annotated[
    bool, typer.Option("--write-hours", help="Write the opening hours into the configuration.")
]


def store_command(  # noqa: PLR0913 - an option each
    *,
    out: Annotated[Path, typer.Option(help="Folder for the four files; made when missing.")],
    plan: Annotated[str, typer.Option(help=f"Layout: {', '.join(PLANS)}.")] = "mid-floor",
    seed: Annotated[int, typer.Option(help="The same seed gives the same day.")] = 0,
    hours: Annotated[float, typer.Option(help="Opening hours.", min=SHORTEST_HOURS)] = 8.0,
    visits: Annotated[int, typer.Option(help="Members' visits.", min=0)] = 120,
    passers_by: Annotated[int, typer.Option(help="Members walking past.", min=0)] = 150,
    strangers: Annotated[int, typer.Option(help="Phones on no roster.", min=0)] = 200,
    staff: Annotated[int, typer.Option(help="Members who work here all day.", min=0)] = 0,
    fixtures: Annotated[int, typer.Option(help="Members' tags left in the store.", min=0)] = 0,
    crowd: _Crowd = None,
    dies: _Dies = None,
    unnoticed: _Unnoticed = False,
    closed: Annotated[float, typer.Option(help="Closed hours before and after.", min=0.0)] = 0.0,
    write_hours: _WriteHours = False,
) -> None:
    """Simulate a store day: write trace.jsonl.gz, truth.json, roster.json and config.toml.

    HOUR counts from opening.
    """
    if plan not in PLANS:
        raise typer.BadParameter(f"choose one of: {', '.join(PLANS)}", param_hint="--plan")
    try:
        outages = tuple(read_outage(text, closed, told=not unnoticed) for text in dies or ())
        day = simulate(
            replace(PLANS[plan], outages=outages),
            seed,
            hours=hours,
            visits=visits,
            passers_by=passers_by,
            strangers=strangers,
            shoppers=Shoppers(
                staff=staff, fixtures=fixtures, rush=None if crowd is None else Rush(crowd)
            ),
            closed=closed,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    day.write(out, hours=write_hours)
    typer.echo(
        f"{out}: plan {plan}, seed {seed}, {day.truth.duration / HOUR:.2f} h;"
        f" {len(day.truth.visits)} visits, {len(day.truth.passers_by)} passers-by;"
        f" {len(day.receptions.at)} advertisements heard, {len(day.stations)} other lines",
        err=True,
    )


def read_outage(text: str, closed: float, *, told: bool) -> Outage:
    """Read `GW@HOUR` or `GW@HOUR-HOUR`, hours after opening, which is `closed` hours after 0.

    Raises:
        ValueError: it reads otherwise.
    """
    match = _OUTAGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text}: GW@HOUR or GW@HOUR-HOUR is expected, such as gw-1@2.5")
    begins = (closed + float(match[2])) * HOUR
    ends = (closed + float(match[3])) * HOUR if match[3] else inf
    return Outage(match[1], begins, ends, told=told)
