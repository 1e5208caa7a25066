from __future__ import annotations

from pathlib import Path

import pytest

from simulators.faults import run_faults

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(330),  # the storm may last 60 s on a slow machine, and settling 180 s
]


async def test_kills_at_random_lose_double_and_leak_nothing(tmp_path: Path) -> None:
    """Agent, broker and hub are killed for 20 s amid 800 events, and every promise is kept."""
    report = await run_faults(tmp_path, seconds=20, events=800, seed=1)
    assert report.faults == [], report.findings.stories
    assert {"agent", "broker", "hub"} <= report.kills.keys()
    assert report.secrets > 100
