"""A private bus with a bluetoothd on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from bleak.backends.bluezdbus import manager as bleak_manager

from simulators.bluez import BlueZPeer
from simulators.private_bus import PrivateBus


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    """A system bus of the test's own."""
    with PrivateBus() as private:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", private.address)
        yield private


@pytest.fixture
async def peer(bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BlueZPeer]:
    """A bluetoothd with hci0 and hci1, before a source that hardly rests between beats and tries.

    Reaches into bleak to close its per-loop connection, which production keeps for ever and a
    test's loop would leave unclosed.
    """
    monkeypatch.setattr("edge_agent.sources.ble._BEAT", 0.05)
    monkeypatch.setattr("edge_agent.sources.ble_scan._BETWEEN_TRIES", 0.05)
    monkeypatch.setattr("edge_agent.sources.ble_adapter._REST", 0.05)
    async with BlueZPeer(bus.address, ("hci0", "hci1")) as private:
        yield private
        manager = bleak_manager._global_instances.pop(asyncio.get_running_loop(), None)
        if manager is not None and manager._bus is not None:
            manager._bus.disconnect()
            if manager._bus_watcher_task is not None:
                await asyncio.wait({manager._bus_watcher_task}, timeout=1)
