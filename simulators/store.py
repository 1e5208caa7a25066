"""A store day with ground truth: who came, what their phones sent, what the gateways heard.

    simulate(plan, seed) -> Day -> trace lines, truth, roster, configuration

The same seed gives the same day. Visits, passers-by and strangers draw from streams of their own,
so that more strangers leave every visit as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from simulators.day import Day
from simulators.people import Walk, dwell_time, stand, walk_past, walk_visit
from simulators.phones import WallClock, carried
from simulators.plan import PLANS, StorePlan
from simulators.shoppers import FIRST_ENTER, LAST_ENTER, Enrolment, Shoppers, walks
from simulators.stage import Stage
from simulators.strangers import neighbour_beacon
from simulators.truth import PassBy, TrueVisit, Truth

__all__ = ["PLANS", "Day", "Shoppers", "StorePlan", "WallClock", "simulate", "store_command"]

AFTER_CLOSING = 600.0  # s of trace in which exits can still be decided
SHORTEST_HOURS = 0.1
STRANGERS_INSIDE = 0.5
STRANGERS_PER_NEIGHBOUR = 100  # a fixed foreign iBeacon for so many strangers


def simulate(
    plan: StorePlan,
    seed: int = 0,
    *,
    hours: float = 8.0,
    visits: int = 120,
    passers_by: int = 150,
    strangers: int = 200,
    shoppers: Shoppers | None = None,
    clock: WallClock | None = None,
) -> Day:
    """Simulate a store that is open for `hours`, and the 10 min after; numbers are of walks.

    Raises:
        ValueError: `hours` is under 0.1, too short for anybody to come and go.
    """
    if hours < SHORTEST_HOURS:
        raise ValueError(f"hours must be at least {SHORTEST_HOURS}, for a visit to fit in")
    shoppers, clock = shoppers or Shoppers(), clock or WallClock()
    closing = hours * 3600.0
    duration = closing + AFTER_CLOSING
    # One stream each, so that nobody's number changes what befalls the others.
    fixed, inside, outside, others = (
        np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(4)
    )
    stage = Stage(fixed, plan, clock)
    members = Enrolment(shoppers)
    came = _visits(inside, stage, members, walks(inside, plan, shoppers, visits, closing))
    came += _shifts(fixed, stage, members, plan, closing)
    passed: list[PassBy] = []
    for _ in range(passers_by):
        walk = walk_past(outside, plan, float(outside.uniform(0.0, closing)))
        passed.append(stage.pass_by(outside, members.opt_in(outside), walk))
    _strangers(others, stage, plan, strangers, closing)
    for _ in range(shoppers.absent):
        members.opt_in(fixed)
    truth = Truth(
        started_at=clock.started_at,
        duration=duration,
        visits=tuple(sorted(came, key=lambda visit: visit.entered.lo if visit.entered else 0.0)),
        passers_by=tuple(sorted(passed, key=lambda pass_by: pass_by.begins)),
    )
    return Day(
        plan=plan,
        started_at=clock.started_at,
        truth=truth,
        roster=members.roster(),
        receptions=stage.receptions(duration),
        stations=stage.stations(duration),
    )


def _visits(
    rng: np.random.Generator, stage: Stage, members: Enrolment, parties: Iterable[list[Walk]]
) -> list[TrueVisit]:
    """Enrol a member for each list of walks, and let her take them."""
    came: list[TrueVisit] = []
    for taken in parties:
        phone = members.opt_in(rng)
        came += [stage.visit(rng, phone, walk, members.habits) for walk in taken]
    return came


def _shifts(
    rng: np.random.Generator, stage: Stage, members: Enrolment, plan: StorePlan, closing: float
) -> list[TrueVisit]:
    """Let the staff work from opening to closing, fob in pocket."""
    came: list[TrueVisit] = []
    for _ in range(members.staff):
        enters = float(rng.uniform(30.0, 90.0))
        walk = walk_visit(rng, plan, enters, closing - enters)
        came.append(stage.visit(rng, members.opt_in(rng, staff=True), walk, members.habits))
    return came


def _strangers(
    rng: np.random.Generator, stage: Stage, plan: StorePlan, count: int, closing: float
) -> None:
    """Let as many strangers walk in or past, and the neighbours' beacons stand."""
    for _ in range(count):
        at = float(rng.uniform(FIRST_ENTER, closing - LAST_ENTER))
        if rng.random() < STRANGERS_INSIDE:
            stage.stranger(rng, walk_visit(rng, plan, at, dwell_time(rng, closing - at)))
        else:
            stage.stranger(rng, walk_past(rng, plan, at))
    for _ in range(-(-count // STRANGERS_PER_NEIGHBOUR)):
        aside = float(rng.uniform(4.0, 12.0))
        beacon = stand(plan.width + aside, 3.0, 0.0, closing + AFTER_CLOSING)
        sent = neighbour_beacon(rng, beacon.begins, beacon.ends)
        stage.send(rng, beacon, sent, carried(rng, -59))


def store_command(
    *,
    out: Annotated[Path, typer.Option(help="Folder for the four files; made when missing.")],
    plan: Annotated[str, typer.Option(help=f"Layout: {', '.join(PLANS)}.")] = "mid-floor",
    seed: Annotated[int, typer.Option(help="The same seed gives the same day.")] = 0,
    hours: Annotated[float, typer.Option(help="Opening hours.", min=SHORTEST_HOURS)] = 8.0,
    visits: Annotated[int, typer.Option(help="Members' visits.", min=0)] = 120,
    passers_by: Annotated[int, typer.Option(help="Members walking past.", min=0)] = 150,
    strangers: Annotated[int, typer.Option(help="Phones on no roster.", min=0)] = 200,
) -> None:
    """Simulate a store day: write trace.jsonl.gz, truth.json, roster.json and config.toml."""
    if plan not in PLANS:
        raise typer.BadParameter(f"choose one of: {', '.join(PLANS)}", param_hint="--plan")
    day = simulate(
        PLANS[plan],
        seed,
        hours=hours,
        visits=visits,
        passers_by=passers_by,
        strangers=strangers,
    )
    day.write(out)
    typer.echo(
        f"{out}: plan {plan}, seed {seed}, {day.truth.duration / 3600:.2f} h;"
        f" {len(day.truth.visits)} visits, {len(day.truth.passers_by)} passers-by;"
        f" {len(day.receptions.at)} advertisements heard, {len(day.stations)} Wi-Fi lines",
        err=True,
    )
