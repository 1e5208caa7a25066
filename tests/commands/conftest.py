"""A hub that commands, and a gateway that obeys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulators.mosquitto import Mosquitto
from tests.commands.headquarters import KEY, Gateway, Headquarters


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway that knows nothing of this machine's directories."""
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
async def hub(broker: Mosquitto) -> AsyncIterator[Headquarters]:
    """A hub that is connected."""
    async with Headquarters(broker.port) as headquarters:
        yield headquarters


@pytest.fixture
async def development(folder: Path, broker: Mosquitto, hub: Headquarters) -> AsyncIterator[Gateway]:
    """A gateway with a development roster, not started yet: it obeys unsigned words."""
    gateway = Gateway(folder, broker.port, hub)
    yield gateway
    await gateway.end()


@pytest.fixture
async def production(folder: Path, broker: Mosquitto, hub: Headquarters) -> AsyncIterator[Gateway]:
    """A gateway that knows the hub's key, not started yet."""
    gateway = Gateway(folder, broker.port, hub, KEY)
    yield gateway
    await gateway.end()
