"""The watchdog of a silent receiver: pure, so hours pass in no time."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.ble_watchdog import Step, Watchdog


def crowd(watchdog: Watchdog, now: float, size: int = 8) -> None:
    """Let `size` strangers be heard at `now`."""
    for n in range(size):
        watchdog.heard(now, f"stranger {n}")


def test_silence_from_the_start_restarts_the_scan_and_then_resets_the_adapter() -> None:
    """Never heard: restart at 90 s, reset at 180 s, and nothing in between."""
    watchdog = Watchdog(0)
    assert watchdog.due(89.9) is None
    assert watchdog.due(90) is Step.RESTART_SCAN
    assert watchdog.due(90.1) is None
    assert watchdog.deadline == 180
    assert watchdog.due(180) is Step.RESET_ADAPTER
    assert not watchdog.deaf


def test_any_advertisement_puts_the_deadline_off() -> None:
    """90 s count from the last packet of anybody."""
    watchdog = Watchdog(0)
    watchdog.heard(60, "stranger")
    assert watchdog.deadline == 150
    assert watchdog.due(149) is None
    assert watchdog.due(150) is Step.RESTART_SCAN


def test_a_silence_that_lasts_is_shaken_ever_more_seldom() -> None:
    """An empty store at night has its adapter reset at most once an hour."""
    watchdog = Watchdog(0)
    steps = [minute for minute in range(8 * 60) if watchdog.due(minute * 60.0) is not None]
    assert steps[:5] == [2, 4, 7, 13, 25]
    assert all(later - earlier >= 60 for earlier, later in pairwise(steps[7:]))
    assert len(steps) < 16


def test_a_busy_place_that_falls_silent_is_deaf_until_something_is_heard() -> None:
    """Heard eight strangers, then nobody: deaf at 90 s, and no longer with the next packet."""
    watchdog = Watchdog(0)
    crowd(watchdog, 10)
    story = [(watchdog.due(100), watchdog.deaf), (watchdog.due(190), watchdog.deaf)]
    watchdog.heard(200, "stranger")
    story.append((watchdog.due(200), watchdog.deaf))
    assert story == [(Step.RESTART_SCAN, True), (Step.RESET_ADAPTER, True), (None, False)]
    assert watchdog.hearing_since == 200
    assert watchdog.deadline == 290


def test_a_few_that_left_make_nobody_deaf() -> None:
    """Three transmitters are no crowd, however often they are heard."""
    watchdog = Watchdog(0)
    for now in range(60):
        crowd(watchdog, now, size=3)
    assert watchdog.due(149) is Step.RESTART_SCAN
    assert not watchdog.deaf


def test_a_crowd_that_left_long_ago_makes_nobody_deaf() -> None:
    """Busy at noon and one fixture since: the fixture's silence at night is quiet."""
    watchdog = Watchdog(0)
    crowd(watchdog, 1)
    for now in range(2, 1000, 10):
        watchdog.heard(now, "fixture")
    assert watchdog.due(1082) is Step.RESTART_SCAN
    assert not watchdog.deaf


def test_a_crowd_just_before_the_addresses_were_forgotten_still_counts() -> None:
    """Forgetting the addresses keeps what matters: whether there was a crowd."""
    watchdog = Watchdog(0)
    crowd(watchdog, 119)
    watchdog.heard(121, "stranger")
    assert watchdog.due(211) is Step.RESTART_SCAN
    assert watchdog.deaf


def test_a_passive_scans_silence_is_never_deafness() -> None:
    """Where still phones are hidden, a crowd that falls silent may just be standing."""
    watchdog = Watchdog(0, patience=1800, silence_counts=False)
    crowd(watchdog, 10)
    assert watchdog.due(1809) is None
    assert watchdog.due(1810) is Step.RESTART_SCAN
    assert not watchdog.deaf


@given(st.lists(st.tuples(st.floats(0, 500), st.integers(0, 9), st.booleans()), max_size=60))
def test_it_acts_only_on_silence_and_always_looks_ahead(
    story: list[tuple[float, int, bool]],
) -> None:
    """Whatever is heard when: a step needs 90 s of silence, and leaves a later deadline."""
    watchdog, now, last = Watchdog(0), 0.0, 0.0
    for wait, who, is_heard in story:
        now += wait
        if is_heard:
            watchdog.heard(now, f"stranger {who}")
            last = now
            assert not watchdog.deaf
        elif watchdog.due(now) is not None:
            assert now - last >= 90
            assert watchdog.deadline > now
        assert watchdog.deadline >= last + 90


@given(st.lists(st.integers(0, 10_000), min_size=200, max_size=400))
def test_it_remembers_but_four_addresses(strangers: list[int]) -> None:
    """However many pass by, four are held, and those no longer than a window.

    Looks inside, because that nothing is kept cannot be seen from outside.
    """
    watchdog = Watchdog(0)
    for now, stranger in enumerate(strangers):
        watchdog.heard(now, f"stranger {stranger}")
        assert len(watchdog._crowd) <= 4
    watchdog.heard(len(strangers) + 120, "last")
    assert watchdog._crowd == {"last"}
