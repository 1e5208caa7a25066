"""Store layouts: the y axis points into the shop, the front lies on y = 0, the pavement below."""

from __future__ import annotations

from dataclasses import dataclass

from simulators.radio import Wall

__all__ = ["PLANS", "Gateway", "StorePlan", "Zone"]

GLASS_LOSS = 4.0  # dB, a single shop window
FACADE_LOSS = 12.0  # dB, masonry
FACADE_REACH = 80.0  # m of neighbouring fronts to each side


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway and where it hangs, in metres."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone as configured, and the rectangle (x0, y0, x1, y1) in metres that it stands for."""

    name: str
    gateways: tuple[str, ...]
    region: tuple[float, float, float, float]
    outside: bool = False

    def contains(self, x: float, y: float) -> bool:
        """Whether the point lies in the zone's rectangle."""
        x0, y0, x1, y1 = self.region
        return x0 <= x <= x1 and y0 <= y <= y1


@dataclass(frozen=True, slots=True)
class StorePlan:
    """A shop of `width` by `depth` metres; `pavement` is how far out people walk past."""

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

    def zone_at(self, x: float, y: float) -> str:
        """Name the zone of a point inside; the first zone takes what no rectangle holds."""
        inside = [zone for zone in self.zones if not zone.outside]
        return next((zone.name for zone in inside if zone.contains(x, y)), inside[0].name)


_MID_FLOOR = StorePlan(
    name="mid-floor",
    width=18.0,
    depth=24.0,
    door_x=9.0,
    till=(4.0, 4.0),
    gateways=(Gateway("gw-1", 9.0, 12.0),),
    zones=(Zone("floor", ("gw-1",), (0.0, 0.0, 18.0, 24.0)),),
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
)

PLANS = {plan.name: plan for plan in (_MID_FLOOR, _DOOR, _ZONES)}
