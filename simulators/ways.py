"""How people get from one place to another without walking through a shelf or a wall."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import dist, inf

from simulators.plan import StorePlan
from simulators.radio import Wall

__all__ = ["Point", "Ways", "ways_of"]

Point = tuple[float, float]


class Ways:
    """The shortest ways round `walls`, by `waypoints`: doorways, the ends of aisles."""

    def __init__(self, walls: Sequence[Wall], waypoints: Sequence[Point]) -> None:
        """Find the shortest way from each waypoint to each other (Floyd and Warshall)."""
        self._walls, self._waypoints = walls, waypoints
        count = range(len(waypoints))
        self._metres = [[self._straight(a, b) for b in waypoints] for a in waypoints]
        self._next = [list(count) for _ in count]
        for via in count:
            for a in count:
                for b in count:
                    metres = self._metres[a][via] + self._metres[via][b]
                    if metres < self._metres[a][b]:
                        self._metres[a][b], self._next[a][b] = metres, self._next[a][via]

    def in_sight(self, here: Point, there: Point) -> bool:
        """Whether no wall stands between the two."""
        return self._straight(here, there) < inf

    def corners(self, here: Point, there: Point) -> list[Point]:
        """List where the way from `here` turns, and `there` at its end.

        Where nothing leads round the walls, the way leads through them.
        """
        if self.in_sight(here, there) or not self._waypoints:
            return [there]
        first = [self._straight(here, point) for point in self._waypoints]
        last = [self._straight(point, there) for point in self._waypoints]
        metres, a, b = min(
            (first[a] + row[b] + last[b], a, b)
            for a, row in enumerate(self._metres)
            for b in range(len(row))
        )
        if metres == inf:
            return [there]
        found = [self._waypoints[a]]
        while a != b:
            a = self._next[a][b]
            found.append(self._waypoints[a])
        return [*found, there]

    def metres(self, here: Point, there: Point) -> float:
        """Measure the way from `here` to `there`."""
        corners = [here, *self.corners(here, there)]
        return sum(map(dist, corners[:-1], corners[1:]))

    def _straight(self, a: Point, b: Point) -> float:
        """Give the distance in metres as the crow flies, infinite where a wall is in the way."""
        return inf if any(_crosses(wall, a, b) for wall in self._walls) else dist(a, b)


@lru_cache(maxsize=16)
def ways_of(plan: StorePlan) -> Ways:
    """Give the ways of a layout, which are found only once."""
    return Ways(plan.partitions, plan.waypoints)


def _crosses(wall: Wall, a: Point, b: Point) -> bool:
    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    one, other = (wall.x0, wall.y0), (wall.x1, wall.y1)
    return (
        side(one, other, a) * side(one, other, b) < 0.0
        and side(a, b, one) * side(a, b, other) < 0.0
    )
