"""A real broker and a real PostgreSQL for those who ask for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from simulators.mosquitto import Mosquitto
from simulators.postgres import PostgreSQL


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A command run in this process sends the log to a stderr that ends with its test."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto of the test's own, on a free port of loopback."""
    if Mosquitto.program() is None:
        pytest.fail("mosquitto is missing: `make system` installs it, or apt install mosquitto")
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as mosquitto:
        yield mosquitto


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """A private cluster; each test makes a database of its own in it."""
    if PostgreSQL.programs() is None:
        pytest.fail("PostgreSQL is missing: `make system` installs it, or apt install postgresql")
    with PostgreSQL() as cluster:
        yield cluster
