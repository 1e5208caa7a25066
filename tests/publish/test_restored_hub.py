"""The real sender and the reference hub, when the hub comes back from a backup."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from simulators.hub import Hub
from simulators.mosquitto import Mosquitto
from tests.publish.conftest import Publishing
from tests.publish.hub import until
from tests.publish.stories import composer, drafted, dwell, enter, leave
from tests.test_hub import Books

pytestmark = pytest.mark.broker

WRITER = composer()


@asynccontextmanager
async def applying(broker: Mosquitto, file: Path, *, restored: bool = False) -> AsyncIterator[Hub]:
    """Run a hub until the end of the block."""
    with Hub(broker.url, file, restored=restored) as hub:
        task = asyncio.create_task(hub.run(), name="hub")
        try:
            await until(lambda: hub.connected)
            yield hub
        finally:
            hub.stop()
            await task


@pytest.mark.parametrize("told", [True, False], ids=["--restored", "by itself"])
async def test_a_restored_hub_gets_again_what_it_forgot(
    mosquitto: Mosquitto, publishing: Publishing, tmp_path: Path, *, told: bool
) -> None:
    """The hub is put back from event 3 to 1: whether said or noticed, 2 and 3 come again, once."""
    file, backup = tmp_path / "hub.db", tmp_path / "backup.db"
    async with publishing(mosquitto.port) as publisher:
        async with applying(mosquitto, file) as hub:
            first = hub.incarnation
            publisher.submit(drafted(WRITER, enter()))
            await until(lambda: publisher.state.watermark == 1)
        shutil.copy(file, backup)
        async with applying(mosquitto, file):
            publisher.submit(drafted(WRITER, dwell(), leave()))
            await until(lambda: publisher.state.watermark == 3)
        backup.replace(file)  # the hub has closed it, and left no WAL behind
        async with applying(mosquitto, file, restored=told) as hub:
            await until(lambda: Books(file).seqs == [1, 2, 3])
            assert hub.incarnation > first
            publisher.submit(drafted(WRITER, enter(number=2)))
            await until(lambda: publisher.state.watermark == 4)
    assert Books(file).seqs == [1, 2, 3, 4]
