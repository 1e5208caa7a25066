"""The day, lived through once for all tests that look at it."""

from __future__ import annotations

import asyncio

import pytest

from simulators.canary import Canary
from tests.privacy.day import Day, live


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day of the real agent: some half a minute."""
    return asyncio.run(live(tmp_path_factory.mktemp("day")))


@pytest.fixture(scope="session")
def canary(day: Day) -> Canary:
    """Looks for everything that was secret in it, however it may have been written."""
    return Canary(day.secrets)
