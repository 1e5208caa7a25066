"""How people move: visits and passers-by as piecewise-linear paths on a store plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from simulators.plan import StorePlan
from simulators.radio import Floats
from simulators.truth import Stay, Window

__all__ = ["Trail", "Walk", "dwell_time", "stand", "stays", "walk_past", "walk_visit"]

WALKING = (1.0, 1.3)  # m/s among shelves
PASSING = (1.1, 1.5)  # m/s on the pavement
DWELL_MEDIAN = 11 * 60.0  # s
DWELL_LOG_SD = 0.75
DWELL_LIMITS = (2 * 60.0, 45 * 60.0)
PAUSE_MEDIAN = 18.0  # s in front of a shelf
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

    def __init__(self, x: float, y: float) -> None:
        self._corners = [(0.0, x, y)]

    @property
    def now(self) -> float:
        return self._corners[-1][0]

    @property
    def here(self) -> tuple[float, float]:
        return self._corners[-1][1:]

    def distance(self, x: float, y: float) -> float:
        return float(np.hypot(x - self.here[0], y - self.here[1]))

    def go(self, x: float, y: float, speed: float) -> None:
        if self.distance(x, y) > 0.0:
            self._corners.append((self.now + self.distance(x, y) / speed, x, y))

    def linger(self, rng: np.random.Generator, seconds: float) -> None:
        """Stand, shift one's weight and turn every 5 to 25 s, all within half a metre."""
        x, y = self.here
        until = self.now + seconds
        while until - self.now > 1.0:
            stands = min(float(rng.uniform(5.0, 25.0)), until - self.now - 0.5)
            self._corners.append((self.now + stands, *self.here))
            east, north = rng.uniform(-0.3, 0.3, 2)
            self._corners.append((self.now + 0.5, x + float(east), y + float(north)))

    def trail(self, shift: float) -> Trail:
        times, xs, ys = np.array(self._corners).T
        return Trail(times + shift, xs, ys)


def dwell_time(rng: np.random.Generator, at_most: float) -> float:
    """Draw how long somebody means to stay, in seconds: 2 to 45 min, median 11 min."""
    dwell = DWELL_MEDIAN * np.exp(DWELL_LOG_SD * rng.standard_normal())
    return float(min(np.clip(dwell, *DWELL_LIMITS), at_most))


def walk_visit(rng: np.random.Generator, plan: StorePlan, enter_at: float, dwell: float) -> Walk:
    """Come along the pavement, cross the door at `enter_at`, browse, queue, leave after `dwell`."""
    speed = float(rng.uniform(*WALKING))
    door_x = plan.door_x + float(rng.uniform(-0.5, 0.5)) * (plan.door_width - 0.6)
    route = _Route(*_along_the_pavement(rng, plan))
    route.go(door_x, -1.5, speed)
    route.go(door_x, 0.0, speed)
    entered = route.now
    route.go(door_x, 1.2, speed)
    buys = dwell > QUICK_VISIT and rng.random() >= NO_PURCHASE
    queue = float(rng.uniform(*QUEUE)) if buys else 0.0

    def way_out(x: float, y: float) -> float:
        stops = [(x, y), *([plan.till] if buys else []), (door_x, 0.0)]
        metres = sum(float(np.hypot(b[0] - a[0], b[1] - a[1])) for a, b in pairwise(stops))
        return metres / speed + queue

    leave_by = entered + dwell
    while True:
        x, y = float(rng.uniform(1.0, plan.width - 1.0)), float(rng.uniform(2.0, plan.depth - 1.0))
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
    route.go(*_along_the_pavement(rng, plan), speed)
    shift = enter_at - entered
    return Walk(route.trail(shift), enter_at, exited + shift)


def walk_past(rng: np.random.Generator, plan: StorePlan, at: float) -> Walk:
    """Walk along the pavement from `at`; a quarter stop for 20 s to look into the window."""
    speed = float(rng.uniform(*PASSING))
    way = 1.0 if rng.random() < 0.5 else -1.0  # noqa: PLR2004 - either way
    out = -float(rng.uniform(*plan.pavement))
    middle, reach = plan.width / 2, plan.width / 2 + 12.0
    route = _Route(middle - way * reach, out)
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
    zones = [plan.zone_at(x, y) for x, y in walk.trail.places(at)]
    changes = [(float(at[0]), zones[0])]
    for moment, zone in zip(at, zones, strict=True):
        if zone == changes[-1][1]:
            continue
        changes.append((float(moment), zone))
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


def _along_the_pavement(rng: np.random.Generator, plan: StorePlan) -> tuple[float, float]:
    aside = float(rng.uniform(6.0, 20.0)) * (1.0 if rng.random() < 0.5 else -1.0)  # noqa: PLR2004 - either way
    return plan.door_x + aside, -float(rng.uniform(1.5, 3.5))
