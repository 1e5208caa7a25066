"""The suite on the quickest broker; `python -m simulators brokers` runs it on all."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.brokers.command import SITES, Site
from simulators.brokers.suite import Course, run_suite

pytestmark = [pytest.mark.proof, pytest.mark.broker, pytest.mark.faults, pytest.mark.timeout(300)]
BRIEF = Course(events=600, rounds=1, per_s=150)


@pytest.mark.parametrize("site", [s for s in SITES if s.name == "mosquitto-3.1.1"])
async def test_a_killed_node_loses_doubles_and_disorders_nothing(
    tmp_path: Path, site: Site
) -> None:
    """The agent's node is killed and then the hub's, while events flow: each arrives once."""
    home, books = tmp_path / "broker", tmp_path / "books"
    home.mkdir()
    books.mkdir()
    result = await run_suite(books, site.nodes(home), BRIEF, seed=1, only_311=site.only_311)
    assert result.kept, (result.broken, result.findings.stories)
    assert result.kills == 2
    assert result.events >= 600
