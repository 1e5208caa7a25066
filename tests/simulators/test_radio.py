"""The simulated air against the recorded one: each number is from a public data set."""

import numpy as np
import pytest

from simulators.radio import (
    Air,
    Emitter,
    Floats,
    Receiver,
    Wall,
    chance_losses,
    outages,
)

OFFICE = [Receiver(f"r{n}", 20.7 * (n % 4) / 3, 17.6 * (n // 4) / 2) for n in range(12)]
PACKETS = 400  # at each place
PHILOTUXO_PERIOD = 0.4556  # s


def _every(period: float, count: int) -> Floats:
    times: Floats = np.linspace(0.0, period * (count - 1), count)
    return times


@pytest.fixture(scope="module")
def static() -> tuple[Floats, Floats]:
    """RSSI of standing still: (receiver x place, packet), and the distances in metres.

    No crowd and no body, like the tripod of the recording, and no loss of weak packets.
    """
    rng = np.random.default_rng(1)
    traces, distances = [], []
    for _ in range(4):
        deaf_to_nothing = [Receiver(r.gateway, r.x, r.y, sensitivity=-200.0) for r in OFFICE]
        air = Air(rng, deaf_to_nothing, exponent=1.7)
        for _ in range(40):
            place = rng.uniform((0.0, 0.0), (20.7, 17.6))
            places = np.tile(place, (PACKETS, 1))
            times = _every(PHILOTUXO_PERIOD, PACKETS)
            traces.append(air.carry(rng, Emitter(), times, places, np.zeros(PACKETS)).rssi)
            distances += [np.hypot(np.hypot(r.x - place[0], r.y - place[1]), 1.5) for r in OFFICE]
    return np.concatenate(traces), np.array(distances)


@pytest.fixture(scope="module")
def walked() -> Floats:
    """Residuals about the path loss in dB, of walks at 0.4 m/s: (walk, packet at 4 Hz)."""
    rng = np.random.default_rng(2)
    residuals = []
    for _ in range(60):
        air = Air(rng, [Receiver("r", 10.0, 40.0, sensitivity=-200.0)], exponent=1.7)
        times = _every(0.25, 400)
        places = np.column_stack((0.4 * times, np.zeros(400)))
        rssi = air.carry(rng, Emitter(), times, places, np.zeros(400)).rssi[0]
        distance = np.sqrt((places[:, 0] - 10.0) ** 2 + 40.0**2 + 1.5**2)
        residuals.append(rssi + 59.0 + 17.0 * np.log10(distance))
    return np.array(residuals)


@pytest.mark.parametrize(
    ("share", "decibels", "tolerance"),
    [(0.001, -20, 2.0), (0.01, -13, 1.5), (0.05, -8, 1.5), (0.95, 6, 1.0), (0.99, 10, 1.5)],
)
def test_packet_noise_has_the_recorded_quantiles(
    static: tuple[Floats, Floats], share: float, decibels: float, tolerance: float
) -> None:
    """Pooled over places, packets deviate from their place's median as philotuxo's do."""
    rssi, _ = static
    deviation = rssi - np.median(rssi, axis=1, keepdims=True)
    assert np.quantile(deviation, share) == pytest.approx(decibels, abs=tolerance)


def test_noise_differs_from_place_to_place(static: tuple[Floats, Floats]) -> None:
    """The packet noise of a place has a median sd of 3 dB, p10 1.1 and p90 5.9 (philotuxo)."""
    p10, median, p90 = np.quantile(static[0].std(axis=1), (0.1, 0.5, 0.9))
    assert (p10, median, p90) == (
        pytest.approx(1.1, abs=0.5),
        pytest.approx(3.0, abs=0.5),
        pytest.approx(5.9, abs=1.0),
    )


def test_places_scatter_about_the_path_loss(static: tuple[Floats, Floats]) -> None:
    """A fit over places gives back the exponent 1.7 and a shadowing of 4 dB (philotuxo)."""
    rssi, distance = static
    level = rssi.mean(axis=1)
    slope, at_one_metre = np.polyfit(10.0 * np.log10(distance), level, 1)
    residual = level - (at_one_metre + slope * 10.0 * np.log10(distance))
    assert -slope == pytest.approx(1.7, abs=0.2)
    assert at_one_metre == pytest.approx(-59.0, abs=2.0)
    assert residual.std() == pytest.approx(4.0, abs=0.5)


def test_walking_scatters_more_than_standing(walked: Floats) -> None:
    """Along a walk the residual has sd 5.5 dB (philotuxo)."""
    assert walked.std() == pytest.approx(5.5, abs=0.5)


@pytest.mark.parametrize(
    ("lag", "low", "high"), [(0.25, 0.26, 0.38), (3.0, 0.13, 0.27), (5.0, -0.05, 0.13)]
)
def test_walking_decorrelates_over_two_metres(
    walked: Floats, lag: float, low: float, high: float
) -> None:
    """Residuals correlate by 0.32 after 0.25 s, about 0.2 after 3 s, < 0.1 by 5 s (philotuxo)."""
    steps = int(lag / 0.25)
    before, after = walked[:, :-steps].ravel(), walked[:, steps:].ravel()
    assert low < np.mean(before * after) / np.mean(walked**2) < high


@pytest.mark.parametrize(
    ("level", "probability"), [(-65.0, 0.90), (-77.0, 0.87), (-82.0, 0.83), (-89.0, 0.80)]
)
def test_reception_falls_with_the_level(level: float, probability: float) -> None:
    """Packets are received as often as philotuxo's receivers did at that median RSSI."""
    rng = np.random.default_rng(3)
    received = []
    for _ in range(60):
        air = Air(rng, [Receiver("r", 0.0, 0.0)])
        places, times = np.tile([5.0, 0.0], (500, 1)), _every(PHILOTUXO_PERIOD, 500)
        median = np.median(air.carry(rng, Emitter(-59.0), times, places, np.zeros(500)).rssi)
        emitter = Emitter(level - 59.0 - float(median))
        heard = air.carry(rng, emitter, times, places, np.zeros(500))
        received.append(heard.received.mean())
    assert np.mean(received) == pytest.approx(probability, abs=0.025)


def test_losses_come_in_short_runs() -> None:
    """Runs of one, two and three lost packets are 79, 18 and 3 % (philotuxo)."""
    lost = chance_losses(np.random.default_rng(4), np.full(400_000, -78.0))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], lost, [False])).astype(int)))
    runs = edges[1::2] - edges[::2]
    shares = [np.mean(runs == length) for length in (1, 2, 3)]
    assert shares == pytest.approx([0.79, 0.18, 0.03], abs=0.02)


def _gaps(level: float, period: float, hours: float, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    times = np.arange(0.0, hours * 3600.0, period)
    levels = np.full(len(times), level)
    lost = chance_losses(rng, levels) | outages(rng, times, levels)
    gaps: Floats = np.diff(times[~lost])
    return gaps


def test_a_still_phone_is_silent_as_rarely_as_recorded() -> None:
    """At 2.2 adv/s: > 2 s 21 times an hour, > 5 s 0.09, > 30 s 0.016 (philotuxo)."""
    hours = 400.0
    gaps = _gaps(-74.0, PHILOTUXO_PERIOD, hours, seed=5)
    assert np.sum(gaps > 2.0) / hours == pytest.approx(21.0, rel=0.25)
    assert np.sum(gaps > 5.0) / hours == pytest.approx(0.09, rel=0.6)
    assert 0.0 < np.sum(gaps > 30.0) / hours < 0.04


def test_a_weak_tag_is_silent_for_longer() -> None:
    """At 1 Hz and -80 to -90 dBm: > 10 s about 7 times an hour, 41 s at most (uci)."""
    hours = 50.0
    gaps = _gaps(-85.0, 1.0, hours, seed=6)
    assert np.sum(gaps > 10.0) / hours == pytest.approx(7.0, rel=0.3)
    assert 20.0 < gaps.max() < 46.0


def test_turning_round_costs_what_a_body_costs() -> None:
    """With one's back to the gateway the signal falls by the body's loss, here 10 dB (mitll)."""
    rng = np.random.default_rng(7)
    air = Air(rng, [Receiver("r", 5.0, 0.0)])
    places, times = np.zeros((4000, 2)), np.arange(4000.0)
    emitter = Emitter(body_loss=10.0)
    towards = air.carry(rng, emitter, times, places, np.zeros(4000)).rssi.mean()
    away = air.carry(rng, emitter, times, places, np.full(4000, np.pi)).rssi.mean()
    assert towards - away == pytest.approx(10.0, abs=0.5)


def test_a_wall_costs_only_where_it_stands() -> None:
    """A pane of 4 dB between phone and gateway is felt behind it, and not beside it."""

    def mean(walls: list[Wall], y: float) -> float:
        air = Air(np.random.default_rng(8), [Receiver("r", 0.0, 5.0)], walls)
        places = np.tile([3.0, y], (4000, 1))
        heard = air.carry(
            np.random.default_rng(9), Emitter(), np.arange(4000.0), places, np.zeros(4000)
        )
        return float(heard.rssi.mean())

    pane = [Wall(0.0, 0.0, 10.0, 0.0, 4.0)]
    assert mean([], -2.0) - mean(pane, -2.0) == pytest.approx(4.0, abs=0.1)
    assert mean([], 2.0) == mean(pane, 2.0)


def test_nothing_is_received_far_below_the_sensitivity() -> None:
    """A packet 10 dB below the receiver's edge is neither receivable nor received."""
    rng = np.random.default_rng(10)
    air = Air(rng, [Receiver("r", 0.0, 0.0, sensitivity=-60.0)])
    places = np.tile([40.0, 0.0], (500, 1))
    heard = air.carry(rng, Emitter(-70.0), np.arange(500.0), places, np.zeros(500))
    assert not heard.receivable.any()
    assert not heard.received.any()
