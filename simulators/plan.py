"""Store layouts: the y axis points into the shop, the front lies on y = 0, the pavement below."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from simulators.radio import Flags, Floats, Wall

__all__ = ["PLANS", "Gateway", "Outage", "StorePlan", "Zone"]

GLASS_LOSS = 4.0  # dB, a single shop window
FACADE_LOSS = 12.0  # dB, masonry
FACADE_REACH = 80.0  # m of neighbouring fronts to each side
SHELF_LOSS = 3.0  # dB, a row of metal and goods, and the ceiling's reflection over it
ROOM_LOSS = 5.0  # dB, a thin inner wall


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway and where it hangs, in metres; `gain` in dB of its antenna and housing."""

    name: str
    x: float
    y: float
    gain: float = 0.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A gateway is deaf from `begins` to `ends` seconds; whether the trace says so is `told`."""

    gateway: str
    begins: float
    ends: float = inf
    told: bool = True


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone as configured, and the rectangle (x0, y0, x1, y1) in metres that it stands for."""

    name: str
    gateways: tuple[str, ...]
    region: tuple[float, float, float, float]
    outside: bool = False

    def holds(self, places: Floats) -> Flags:
        """Say which of the `places`, shape (n, 2), lie in the zone's rectangle."""
        x0, y0, x1, y1 = self.region
        x, y = places.T
        held: Flags = (x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)
        return held


@dataclass(frozen=True, slots=True)
class StorePlan:
    """A shop of `width` by `depth` metres; `pavement` is how far out people walk past.

    Nobody walks through `partitions`, shelves or walls, where `waypoints` lead round them.
    """

    name: str
    width: float
    depth: float
    door_x: float
    till: tuple[float, float]
    gateways: tuple[Gateway, ...]
    zones: tuple[Zone, ...]
    pavement: tuple[float, float] = (2.5, 6.0)
    exponent: float = 1.8
    crowd_sd: float = 3.0
    door_width: float = 1.8
    partitions: tuple[Wall, ...] = ()
    waypoints: tuple[tuple[float, float], ...] = ()
    outages: tuple[Outage, ...] = ()

    def __post_init__(self) -> None:
        unknown = {outage.gateway for outage in self.outages} - {at.name for at in self.gateways}
        if unknown:
            raise ValueError(f"{self.name} has no gateway {min(unknown)}")

    @property
    def walls(self) -> tuple[Wall, ...]:
        """Every wall: the glass beside an open door, the side walls, the neighbours' fronts."""
        left, right = self.door_x - self.door_width / 2, self.door_x + self.door_width / 2
        return (
            Wall(0.0, 0.0, left, 0.0, GLASS_LOSS),
            Wall(right, 0.0, self.width, 0.0, GLASS_LOSS),
            Wall(0.0, 0.0, 0.0, self.depth, FACADE_LOSS),
            Wall(self.width, 0.0, self.width, self.depth, FACADE_LOSS),
            Wall(-FACADE_REACH, 0.0, 0.0, 0.0, FACADE_LOSS),
            Wall(self.width, 0.0, self.width + FACADE_REACH, 0.0, FACADE_LOSS),
            *self.partitions,
        )

    @property
    def indoor(self) -> frozenset[str]:
        """The gateways whose hearing is presence."""
        return frozenset(name for zone in self.zones if not zone.outside for name in zone.gateways)

    def zones_at(self, places: Floats) -> list[tuple[int, str]]:
        """Cut a way, points of shape (n, 2) inside, into zones: each with its first point's index.

        The first zone takes what no rectangle holds.
        """
        inside = [zone for zone in self.zones if not zone.outside]
        which = np.select([zone.holds(places) for zone in inside], range(len(inside)), 0)
        first = np.flatnonzero(np.diff(which, prepend=-1))
        return [(int(index), inside[which[index]].name) for index in first]


_MID_FLOOR = StorePlan(
    name="mid-floor",
    width=18.0,
    depth=24.0,
    door_x=9.0,
    till=(4.0, 4.0),
    gateways=(Gateway("gw-1", 9.0, 12.0),),
    zones=(Zone("floor", ("gw-1",), (0.0, 0.0, 18.0, 24.0)),),
    exponent=1.9,
)
_DOOR = StorePlan(
    name="door",
    width=12.0,
    depth=16.0,
    door_x=6.0,
    till=(9.0, 3.0),
    gateways=(Gateway("gw-1", 7.5, 1.0),),
    zones=(Zone("floor", ("gw-1",), (0.0, 0.0, 12.0, 16.0)),),
    pavement=(4.5, 9.0),
    exponent=2.0,
)
_BACK_WALL = StorePlan(
    name="back-wall",
    width=14.0,
    depth=26.0,
    door_x=7.0,
    till=(11.0, 4.0),
    gateways=(Gateway("gw-1", 7.0, 25.5),),
    zones=(Zone("floor", ("gw-1",), (0.0, 0.0, 14.0, 26.0)),),
    exponent=1.9,
)
_MALL = StorePlan(
    name="mall",
    width=12.0,
    depth=18.0,
    door_x=6.0,
    till=(9.0, 14.0),
    gateways=(Gateway("gw-1", 6.0, 4.0),),
    zones=(Zone("floor", ("gw-1",), (0.0, 0.0, 12.0, 18.0)),),
    pavement=(1.0, 4.0),
    exponent=1.7,
    door_width=10.0,
)
_AISLES = StorePlan(
    name="aisles",
    width=32.0,
    depth=36.0,
    door_x=27.0,
    till=(14.0, 4.0),
    gateways=(Gateway("gw-west", 10.0, 19.0), Gateway("gw-east", 22.0, 19.0)),
    zones=(Zone("floor", ("gw-west", "gw-east"), (0.0, 0.0, 32.0, 36.0)),),
    exponent=1.9,
    partitions=tuple(Wall(x, 8.0, x, 31.0, SHELF_LOSS) for x in range(4, 32, 4)),
    waypoints=tuple((float(x), y) for x in range(2, 32, 4) for y in (7.0, 32.0)),
)
_ZONES = StorePlan(
    name="zones",
    width=30.0,
    depth=30.0,
    door_x=15.0,
    till=(11.0, 4.0),
    gateways=(
        Gateway("gw-door", 16.5, 3.0),
        Gateway("gw-food", 7.0, 19.0),
        Gateway("gw-clothes", 23.0, 19.0),
        Gateway("gw-pavement", 15.0, -0.4),
    ),
    zones=(
        Zone("entrance", ("gw-door",), (0.0, 0.0, 30.0, 9.0)),
        Zone("food", ("gw-food",), (0.0, 9.0, 15.0, 30.0)),
        Zone("clothes", ("gw-clothes",), (15.0, 9.0, 30.0, 30.0)),
        Zone("pavement", ("gw-pavement",), (-20.0, -20.0, 50.0, 0.0), outside=True),
    ),
    exponent=2.2,
    partitions=(Wall(15.0, 12.0, 15.0, 30.0, 7.0),),
    waypoints=((15.0, 11.0),),
)
_DEPARTMENTS = StorePlan(
    name="departments",
    width=36.0,
    depth=30.0,
    door_x=18.0,
    till=(22.0, 4.0),
    gateways=(
        Gateway("gw-hall", 18.0, 5.0),
        Gateway("gw-women", 8.0, 14.0, gain=3.0),
        Gateway("gw-men", 28.0, 14.0, gain=-4.0),
        Gateway("gw-children", 8.0, 25.0, gain=-2.0),
        Gateway("gw-home", 28.0, 25.0, gain=4.0),
        Gateway("gw-pavement", 18.0, -0.4),
    ),
    zones=(
        Zone("hall", ("gw-hall",), (0.0, 0.0, 36.0, 9.0)),
        Zone("women", ("gw-women",), (0.0, 9.0, 18.0, 19.0)),
        Zone("men", ("gw-men",), (18.0, 9.0, 36.0, 19.0)),
        Zone("children", ("gw-children",), (0.0, 19.0, 18.0, 30.0)),
        Zone("home", ("gw-home",), (18.0, 19.0, 36.0, 30.0)),
        Zone("pavement", ("gw-pavement",), (-20.0, -20.0, 56.0, 0.0), outside=True),
    ),
    exponent=1.5,
    partitions=(
        *(
            Wall(x0, y, x1, y, ROOM_LOSS)
            for y in (9.0, 19.0)
            for x0, x1 in ((0.0, 7.0), (11.0, 25.0), (29.0, 36.0))
        ),
        Wall(18.0, 9.0, 18.0, 23.0, ROOM_LOSS),
        Wall(18.0, 26.0, 18.0, 30.0, ROOM_LOSS),
    ),
    waypoints=((9.0, 9.0), (27.0, 9.0), (9.0, 19.0), (27.0, 19.0), (18.0, 24.5)),
)

PLANS = {
    plan.name: plan
    for plan in (_MID_FLOOR, _DOOR, _BACK_WALL, _MALL, _AISLES, _ZONES, _DEPARTMENTS)
}
