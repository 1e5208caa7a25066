"""The layouts, and how people find their way in them."""

from __future__ import annotations

from itertools import pairwise
from math import dist

import numpy as np
import pytest

from simulators.people import walk_visit
from simulators.plan import PLANS, Outage, StorePlan
from simulators.radio import Wall
from simulators.store import simulate
from simulators.ways import Ways, ways_of
from tests.simulators.hearing import levels

EVERY_PLAN = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


def _through(plan: StorePlan, x: float, y: float, there: tuple[float, float]) -> bool:
    return not ways_of(plan).in_sight((x, y), there)


@EVERY_PLAN
def test_a_layout_holds_what_it_names(plan: StorePlan) -> None:
    """Till, door and indoor gateways lie in the shop, and every gateway hears one zone."""
    assert 0.0 < plan.till[0] < plan.width
    assert 0.0 < plan.till[1] < plan.depth
    assert plan.door_x - plan.door_width / 2 > 0.0
    assert plan.door_x + plan.door_width / 2 < plan.width
    for gateway in plan.gateways:
        assert sum(gateway.name in zone.gateways for zone in plan.zones) == 1
        inside = 0.0 <= gateway.x <= plan.width and 0.0 <= gateway.y <= plan.depth
        assert inside == (gateway.name in plan.indoor)


@EVERY_PLAN
def test_nobody_walks_through_a_wall(plan: StorePlan) -> None:
    """From step to step of a visit, no shelf and no wall is in between."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        trail = walk_visit(rng, plan, 100.0, 1200.0).trail
        corners = list(zip(trail.xs.tolist(), trail.ys.tolist(), strict=True))
        assert not any(_through(plan, *here, there) for here, there in pairwise(corners))


@EVERY_PLAN
def test_people_see_the_whole_store(plan: StorePlan) -> None:
    """In an hour of shopping parties, every zone is walked for a tenth of an even share."""
    day = simulate(plan, 2, hours=1.0, visits=30, passers_by=0, strangers=0)
    stays = [stay for visit in day.truth.visits for stay in visit.stays]
    zones = [zone.name for zone in plan.zones if not zone.outside]
    seconds = dict.fromkeys(zones, 0.0)
    for stay in stays:
        assert stay.entered
        assert stay.exited
        seconds[stay.zone] += stay.exited.lo - stay.entered.lo
    assert min(seconds.values()) > 0.1 * sum(seconds.values()) / len(zones)


@EVERY_PLAN
def test_who_is_inside_is_louder_than_who_walks_past(plan: StorePlan) -> None:
    """In the median of what is heard of them; in the mall by little, which makes it hard."""
    day = simulate(plan, 3, hours=2.0, visits=30, passers_by=40, strangers=0)
    heard = levels(day)
    visitors = {visit.visitor for visit in day.truth.visits}
    inside = [rssi for who in visitors for _, rssi in heard.get(who, [])]
    past = [
        rssi
        for walk in day.truth.passers_by
        for _, rssi in heard.get(walk.visitor, [])
        if plan.name not in ("zones", "departments")  # whose pavement has a gateway of its own
    ]
    if past:
        assert np.median(inside) > np.median(past) + 2.0


def _mistakable(name: str) -> float:
    """Give the share of passers-by whose five loudest packets are above the median inside."""
    found, passed = 0, 0
    for seed in range(4):
        day = simulate(PLANS[name], seed, hours=4.0, visits=40, passers_by=80, strangers=0)
        heard = levels(day)
        inside = np.median([r for v in day.truth.visits for _, r in heard.get(v.visitor, [])])
        for walk in day.truth.passers_by:
            loudest = sorted(rssi for _, rssi in heard.get(walk.visitor, []))[-5:]
            found += bool(loudest) and np.mean(loudest) > inside
        passed += len(day.truth.passers_by)
    return found / passed


def test_the_mall_is_hard() -> None:
    """Where the front is open, every other passer-by is at times as loud as a visitor."""
    assert _mistakable("mall") > 0.4
    assert _mistakable("mid-floor") < 0.3


def test_the_shortest_way_leads_through_the_door() -> None:
    """Two rooms with a doorway: round the wall, by its nearer end, never through it."""
    wall = [Wall(0.0, 5.0, 8.0, 5.0, 6.0), Wall(10.0, 5.0, 18.0, 5.0, 6.0)]
    ways = Ways(wall, [(9.0, 5.0)])
    assert ways.corners((2.0, 2.0), (2.0, 4.0)) == [(2.0, 4.0)]
    assert ways.corners((2.0, 2.0), (2.0, 8.0)) == [(9.0, 5.0), (2.0, 8.0)]
    detour = dist((2.0, 2.0), (9.0, 5.0)) + dist((9.0, 5.0), (2.0, 8.0))
    assert ways.metres((2.0, 2.0), (2.0, 8.0)) == pytest.approx(detour)


def test_where_nothing_leads_round_the_way_leads_through() -> None:
    """A wall without waypoints stops nobody."""
    assert Ways([Wall(0.0, 5.0, 8.0, 5.0, 6.0)], []).corners((2.0, 2.0), (2.0, 8.0)) == [(2.0, 8.0)]
    blind = Ways([Wall(0.0, 5.0, 8.0, 5.0, 6.0)], [(4.0, 1.0)])
    assert blind.corners((2.0, 2.0), (2.0, 8.0)) == [(2.0, 8.0)]


def test_an_outage_is_of_a_gateway_that_there_is() -> None:
    """A layout refuses an outage of somebody else's gateway."""
    plan = PLANS["door"]
    with pytest.raises(ValueError, match="door has no gateway gw-9"):
        StorePlan(
            "door",
            plan.width,
            plan.depth,
            plan.door_x,
            plan.till,
            plan.gateways,
            plan.zones,
            outages=(Outage("gw-9", 0.0),),
        )
