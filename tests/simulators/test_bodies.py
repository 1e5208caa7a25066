"""What bodies, pockets, crowds and walls do to the simulated signal, against the recordings."""

from __future__ import annotations

import numpy as np
import pytest

from simulators.phones import carried
from simulators.plan import PLANS, ROOM_LOSS, StorePlan
from simulators.radio import Air, Crowd, Emitter, Floats, Receiver, Wall
from simulators.shoppers import Rush
from simulators.stage import hung_up


def _at(times: Floats, x: float, y: float) -> Floats:
    return np.tile((x, y), (len(times), 1))


def test_a_turn_of_the_body_swings_as_in_a_room() -> None:
    """Turned round in steps of 45 degrees, a phone's mean level swings by 7-14 dB (mitll).

    Not that of a phone between two bodies, which has one in the way whichever way it turns.
    """
    rng = np.random.default_rng(1)
    times = np.arange(300.0)
    swings = []
    for _ in range(200):
        emitter = carried(rng, -59)
        if not emitter.body_loss:
            continue
        air = Air(rng, [Receiver("r", 3.0, 0.0)])
        means = [
            air.carry(rng, emitter, times, _at(times, 0.0, 0.0), np.full(300, turn)).rssi.mean()
            for turn in np.arange(8) * np.pi / 4
        ]
        swings.append(max(means) - min(means))
    p5, median, p95 = np.quantile(swings, (0.05, 0.5, 0.95))
    assert 6.0 < p5 < 8.5
    assert median == pytest.approx(10.5, abs=1.0)
    assert 12.5 < p95 < 15.0


def test_a_pocket_costs_3_db_and_two_cost_16() -> None:
    """At 1 m, the hand gives the level of its power, one pocket -3 dB, both -16 dB (pcng)."""
    rng = np.random.default_rng(2)
    times = np.arange(50.0)
    levels: dict[float, list[float]] = {}
    for _ in range(1500):
        emitter = carried(rng, -59)
        unturned = Emitter(emitter.power, emitter.carry_loss)
        air = Air(rng, [Receiver("r", 0.0, 0.0)])
        heard = air.carry(rng, unturned, times, _at(times, 1.0, 0.0), np.zeros(50))
        levels.setdefault(emitter.carry_loss, []).append(float(heard.rssi.mean()))
    mean = {loss: np.mean(level) for loss, level in levels.items()}
    assert mean[0.0] - mean[3.0] == pytest.approx(3.0, abs=1.0)
    assert mean[0.0] - mean[16.0] == pytest.approx(16.0, abs=1.5)


def test_a_moving_persons_signal_jumps_within_100_ms() -> None:
    """Sent every 100 ms by somebody walking, the level has sd 4.2 dB about its trend (sal).

    The trend is the mean of a second.
    """
    rng = np.random.default_rng(3)
    deviations = []
    for _ in range(80):
        times = np.arange(0.0, 15.0, 0.1)
        places = np.column_stack((1.2 * times - 9.0, np.full(len(times), 4.0)))
        air = Air(rng, [Receiver("r", 0.0, 0.0)], exponent=1.7, crowd=Crowd(3.0))
        rssi = air.carry(rng, Emitter(body_loss=10.0), times, places, np.zeros(len(times))).rssi[0]
        trend = np.convolve(rssi, np.ones(10) / 10, mode="valid")
        deviations.append(rssi[5 : 5 + len(trend)] - trend)
    assert np.concatenate(deviations).std() == pytest.approx(4.2, abs=0.5)


@pytest.mark.parametrize("sd", [PLANS["mid-floor"].crowd_sd, Rush(0.0).crowd_sd])
def test_people_shadow_as_recorded(sd: float) -> None:
    """Among people, the mean level of 10 s scatters about the path loss with sd 5.4-8.0 (dp3t).

    Whoever stands there faces anywhere, and carries the phone in a hand or a pocket.
    """
    rng = np.random.default_rng(4)
    times = np.arange(0.0, 10.0, 1.0)
    residuals = []
    for _ in range(1500):
        air = Air(rng, [Receiver("r", 0.0, 0.0)], exponent=1.7, crowd=Crowd(sd))
        east, north = rng.uniform(1.0, 6.0, 2)
        emitter = Emitter(
            carry_loss=float(rng.choice((0.0, 3.0))),
            body_loss=float(rng.uniform(7.0, 14.0)),
            facing=float(rng.uniform(-np.pi, np.pi)),
        )
        rssi = air.carry(rng, emitter, times, _at(times, east, north), np.zeros(10)).rssi
        distance = np.sqrt(east**2 + north**2 + 1.5**2)
        residuals.append(rssi.mean() + 59.0 + 17.0 * np.log10(distance))
    assert 5.4 < np.std(residuals) < 8.0


def test_a_crowd_shadows_in_its_spell_only() -> None:
    """When the rush begins the level sways by 5 dB more than before, and not at all at night."""
    crowd = Crowd(3.0, ((0.0, 100.0, 0.0), (200.0, 300.0, 5.0)))
    assert crowd.at(np.array([0.0, 99.9, 100.0, 199.9, 200.0, 300.0])).tolist() == [
        0.0,
        0.0,
        3.0,
        3.0,
        5.0,
        3.0,
    ]


def test_walls_scatter_places_as_in_a_flat() -> None:
    """Six anchors in a flat of four rooms, fitted as one: n 2.3, shadowing sd 6.7 (marckolak)."""
    rng = np.random.default_rng(5)
    times = np.arange(20.0)
    outer = [(4.5, 0.0, 4.5, 2.2), (4.5, 3.2, 4.5, 8.0)]
    inner = [(0.0, 4.0, 2.0, 4.0), (3.0, 4.0, 6.0, 4.0), (7.0, 4.0, 9.0, 4.0)]
    walls = [Wall(*ends, ROOM_LOSS) for ends in outer + inner]
    fits = []
    for _ in range(20):
        anchors = [
            Receiver("r", x, y, offset, sensitivity=-200.0)
            for x, y, offset in zip(
                rng.uniform(0.3, 8.7, 6),
                rng.uniform(0.3, 7.7, 6),
                rng.normal(0.0, 2.5, 6),
                strict=True,
            )
        ]
        air = Air(rng, anchors, walls, exponent=1.5)
        levels, metres = [], []
        for x, y in rng.uniform((0.3, 0.3), (8.7, 7.7), (40, 2)):
            heard = air.carry(rng, Emitter(), times, _at(times, x, y), np.zeros(20))
            levels += heard.rssi.mean(axis=1).tolist()
            metres += [np.sqrt((r.x - x) ** 2 + (r.y - y) ** 2 + 1.5**2) for r in anchors]
        decades = 10.0 * np.log10(metres)
        slope, start = np.polyfit(decades, levels, 1)
        fits.append((-slope, (levels - start - slope * decades).std()))
    exponent, scatter = np.mean(fits, axis=0)
    assert exponent == pytest.approx(2.3, abs=0.4)
    assert scatter == pytest.approx(6.7, abs=0.5)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_every_layout_has_a_path_loss_that_was_measured(plan: StorePlan) -> None:
    """Exponents lie between the open office's 1.5 and the furnished flat's 2.3."""
    assert 1.5 <= plan.exponent <= 2.3


def test_gateways_of_one_make_differ() -> None:
    """From day to day, a gateway's device offset has sd 2-3 dB about its gain (philotuxo)."""
    rng = np.random.default_rng(6)
    plan = PLANS["departments"]
    offsets = np.array([[r.offset for r in hung_up(rng, plan)] for _ in range(500)])
    assert offsets.std(axis=0) == pytest.approx(2.5, abs=0.4)
    assert offsets.mean(axis=0) == pytest.approx([at.gain for at in plan.gateways], abs=0.4)
