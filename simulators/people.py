"""How people move: visits and passers-by as piecewise-linear paths on a store plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import dist

import numpy as np

from simulators.plan import StorePlan
from simulators.radio import Floats
from simulators.truth import Stay, Window
from simulators.ways import Point, Ways, ways_of

__all__ = ["Trail", "Walk", "dwell_time", "stand", "stays", "walk_past", "walk_visit"]

WALKING = (1.0, 1.3)  # m/s among shelves
PASSING = (1.1, 1.5)  # m/s on the pavement
OVER_THE_STREET = 0.7  # of those who come or leave: to a car, a tram, the shop opposite
STREET = (15.0, 35.0)  # m from the front
DWELL_MEDIAN = 14 * 60.0  # s
DWELL_LOG_SD = 0.58
DWELL_LIMITS = (2 * 60.0, 45 * 60.0)
PAUSE_MEDIAN = 18.0  # s in front of a shelf
BROWSES = 0.85  # of steps lead to a shelf nearby
NEARBY = 3.0  # m, sd of east and north
QUEUE = (20.0, 180.0)  # s at the till
NO_PURCHASE = 0.3
QUICK_VISIT = 4 * 60.0  # s; a shorter one passes the till by
WINDOW_SHOPPER = 0.25
WINDOW_PAUSE = 20.0  # s
STAY_AT_LEAST = 5.0  # s; a shorter brush with a zone belongs to the one before


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """Where somebody is: corners (`xs`, `ys`) in metres at `times` in seconds, increasing."""

    times: Floats
    xs: Floats
    ys: Floats

    @property
    def begins(self) -> float:
        """When the path starts, in seconds of the trace."""
        return float(self.times[0])

    @property
    def ends(self) -> float:
        """When the path stops."""
        return float(self.times[-1])

    def places(self, at: Floats) -> Floats:
        """Give the positions, shape (n, 2), in metres."""
        return np.column_stack(
            (np.interp(at, self.times, self.xs), np.interp(at, self.times, self.ys))
        )

    def heading(self, at: Floats) -> Floats:
        """Give the direction of the last step in radians; who stands keeps facing that way."""
        east, north = np.diff(self.xs), np.diff(self.ys)
        moved = np.hypot(east, north) > 0.0
        last = np.maximum.accumulate(np.where(moved, np.arange(len(moved)), 0))
        bearing = np.arctan2(north, east)[last]
        leg = np.searchsorted(self.times, at, side="right") - 1
        heading: Floats = bearing[np.clip(leg, 0, len(bearing) - 1)]
        return heading

    def beside(self, east: float, later: float) -> Trail:
        """Give the path of a companion who walks so many metres and seconds apart."""
        return Trail(self.times + later, self.xs + east, self.ys)


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """A path and when it crossed the door, in seconds; None for who never came in."""

    trail: Trail
    entered: float | None = None
    exited: float | None = None

    def beside(self, east: float, later: float) -> Walk:
        """Give a companion's walk through the same door."""
        path = self.trail.beside(east, later)
        if self.entered is None or self.exited is None:
            return Walk(path)
        return Walk(path, self.entered + later, self.exited + later)


class _Route:
    """A path in the making."""

    def __init__(self, ways: Ways, x: float, y: float) -> None:
        self._ways = ways
        self._corners = [(0.0, x, y)]

    @property
    def now(self) -> float:
        return self._corners[-1][0]

    @property
    def here(self) -> tuple[float, float]:
        return self._corners[-1][1:]

    def distance(self, x: float, y: float) -> float:
        return self._ways.metres(self.here, (x, y))

    def go(self, x: float, y: float, speed: float) -> None:
        for corner in self._ways.corners(self.here, (x, y)):
            if (metres := dist(self.here, corner)) > 0.0:
                self._corners.append((self.now + metres / speed, *corner))

    def linger(self, rng: np.random.Generator, seconds: float) -> None:
        """Stand, shift one's weight and turn every 5 to 25 s, all within half a metre."""
        spot = self.here
        until = self.now + seconds
        while until - self.now > 1.0:
            stands = min(float(rng.uniform(5.0, 25.0)), until - self.now - 0.5)
            self._corners.append((self.now + stands, *self.here))
            east, north = rng.uniform(-0.3, 0.3, 2).tolist()
            there = spot[0] + east, spot[1] + north
            here = there if self._ways.in_sight(spot, there) else spot
            self._corners.append((self.now + 0.5, *here))

    def trail(self, shift: float) -> Trail:
        times, xs, ys = np.array(self._corners).T
        return Trail(times + shift, xs, ys)


def dwell_time(rng: np.random.Generator, at_most: float) -> float:
    """Draw how long somebody means to stay, in seconds: 2 to 45 min, median 14 min."""
    dwell = DWELL_MEDIAN * np.exp(DWELL_LOG_SD * rng.standard_normal())
    return float(min(np.clip(dwell, *DWELL_LIMITS), at_most))


def walk_visit(rng: np.random.Generator, plan: StorePlan, enter_at: float, dwell: float) -> Walk:
    """Come from outside, cross the door at `enter_at`, browse, queue, leave after `dwell`."""
    speed = float(rng.uniform(*WALKING))
    door_x = plan.door_x + float(rng.uniform(-0.5, 0.5)) * (plan.door_width - 0.6)
    ways = ways_of(plan)
    route = _Route(ways, *_beyond(rng, plan))
    route.go(door_x, -1.5, speed)
    route.go(door_x, 0.0, speed)
    entered = route.now
    route.go(door_x, 1.2, speed)
    buys = dwell > QUICK_VISIT and rng.random() >= NO_PURCHASE
    queue = float(rng.uniform(*QUEUE)) if buys else 0.0

    def way_out(x: float, y: float) -> float:
        stops = [(x, y), *([plan.till] if buys else []), (door_x, 0.0)]
        metres = sum(ways.metres(a, b) for a, b in pairwise(stops))
        return metres / speed + queue

    leave_by = entered + dwell
    while True:
        x, y = _next_shelf(rng, plan, ways, route.here)
        spare = leave_by - route.now - route.distance(x, y) / speed - way_out(x, y)
        if spare < 0.0:
            break
        route.go(x, y, speed)
        route.linger(rng, min(spare, PAUSE_MEDIAN * float(np.exp(rng.normal(0.0, 0.9)))))
    route.linger(rng, leave_by - route.now - way_out(*route.here))
    if buys:
        route.go(*plan.till, speed)
        route.linger(rng, queue)
    route.go(door_x, 0.0, speed)
    exited = route.now
    route.go(door_x, -1.5, speed)
    route.go(*_beyond(rng, plan), speed)
    shift = enter_at - entered
    return Walk(route.trail(shift), enter_at, exited + shift)


def _next_shelf(rng: np.random.Generator, plan: StorePlan, ways: Ways, here: Point) -> Point:
    """Choose where to look next, in metres: mostly close by and in sight, else anywhere."""
    lowest, highest = (1.0, 2.0), (plan.width - 1.0, plan.depth - 1.0)
    if rng.random() < BROWSES:
        for x, y in rng.normal(here, NEARBY, (5, 2)).tolist():
            in_store = lowest[0] <= x <= highest[0] and lowest[1] <= y <= highest[1]
            if in_store and ways.in_sight(here, (x, y)):
                return x, y
    x, y = rng.uniform(lowest, highest).tolist()
    return x, y


def walk_past(rng: np.random.Generator, plan: StorePlan, at: float) -> Walk:
    """Walk along the pavement from `at`; a quarter stop for 20 s to look into the window."""
    speed = float(rng.uniform(*PASSING))
    way = 1.0 if rng.random() < 0.5 else -1.0  # noqa: PLR2004 - either way
    out = -float(rng.uniform(*plan.pavement))
    middle, reach = plan.width / 2, plan.width / 2 + 20.0
    route = _Route(ways_of(plan), middle - way * reach, out)
    if rng.random() < WINDOW_SHOPPER:
        route.go(plan.width * float(rng.uniform(0.1, 0.9)), -1.0, speed)
        route.linger(rng, WINDOW_PAUSE)
    route.go(middle + way * reach, out, speed)
    return Walk(route.trail(at))


def stand(x: float, y: float, begins: float, ends: float) -> Trail:
    """Stay at one point: a neighbour's beacon."""
    return Trail(np.array([begins, ends]), np.array([x, x]), np.array([y, y]))


def stays(plan: StorePlan, walk: Walk) -> tuple[Stay, ...]:
    """Cut a visit into the zones that were really walked, to 0.25 s."""
    if walk.entered is None or walk.exited is None:
        return ()
    at = np.arange(walk.entered, walk.exited, 0.25)
    changes = [(float(at[n]), zone) for n, zone in plan.zones_at(walk.trail.places(at))]
    return tuple(_settled(changes, walk.exited))


def _settled(changes: Sequence[tuple[float, str]], exited: float) -> list[Stay]:
    bounds = [moment for moment, _ in changes[1:]] + [exited]
    found: list[Stay] = []
    for (begins, zone), ends in zip(changes, bounds, strict=True):
        before = found[-1] if found else None
        if before and (zone == before.zone or ends - begins < STAY_AT_LEAST):
            found[-1] = before.model_copy(update={"exited": Window.at(ends)})
        else:
            found.append(Stay(zone=zone, entered=Window.at(begins), exited=Window.at(ends)))
    return found


def _beyond(rng: np.random.Generator, plan: StorePlan) -> Point:
    """Choose where somebody comes from or goes to, in metres: over the street or along the front.

    Who goes over the street is heard for longer: no neighbour's front is in the way.
    """
    if rng.random() < OVER_THE_STREET:
        return plan.door_x + float(rng.uniform(-8.0, 8.0)), -float(rng.uniform(*STREET))
    aside = float(rng.uniform(15.0, 35.0)) * (1.0 if rng.random() < 0.5 else -1.0)  # noqa: PLR2004 - either way
    return plan.door_x + aside, -float(rng.uniform(1.5, 3.5))
