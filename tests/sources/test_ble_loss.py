"""The unmodified bleak over a private bus: every way to lose the receiver, and to get it back."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

import pytest

from simulators.bluez import BlueZPeer
from simulators.private_bus import PrivateBus
from tests.sources.ear import (
    FCB2,
    MEMBER,
    NAMESPACE,
    SERVICE_DATA,
    Clock,
    Ear,
    make_source,
    one_life,
    supervised,
)

pytestmark = pytest.mark.bluez

CROWD = [f"D1:00:00:00:00:{n:02X}" for n in range(8)]


async def hears_again(ear: Ear, peer: BlueZPeer) -> None:
    """Assert that the next packet becomes an observation."""
    await peer.until_scanning()
    already = len(ear.heard)
    peer.advertise(MEMBER, -55, service_data=SERVICE_DATA)
    await ear.until(lambda: len(ear.heard) == already + 1)


@pytest.mark.parametrize("first", ["devices", "adapter"])
@pytest.mark.parametrize("scanning", ["active", "passive"])
async def test_an_unplugged_adapters_last_words_are_no_sightings(
    peer: BlueZPeer,
    first: Literal["devices", "adapter"],
    scanning: Literal["active", "passive"],
) -> None:
    """Bleak's stale callback per device is dropped, with RSSI -127 or old, in either order."""
    source = make_source(scanning=scanning, namespace=NAMESPACE)
    async with supervised(source) as ear:
        await ear.until_listening()
        await peer.until_scanning()
        for address in CROWD:
            peer.advertise(address, -60, service_data=SERVICE_DATA)
        await ear.until(lambda: len(ear.heard) == len(CROWD))
        peer.vanish(first=first)
        await ear.until(lambda: ear.states == [True, False])
        await asyncio.sleep(0.4)
        assert len(ear.heard) == len(CROWD)
        peer.plug_in()
        await ear.until_listening(lives=2)
        await hears_again(ear, peer)
        assert ear.states == [True, False, True]


async def test_last_words_may_come_before_the_news_of_the_loss(peer: BlueZPeer) -> None:
    """Stale callbacks 0.24 s ahead of the loss that explains them are no sightings either.

    The source's clock is set by hand, so that a slow machine tells the same story.
    """
    time_of_day = [0.0]
    source = make_source(lambda: time_of_day[0])
    async with supervised(source) as ear:
        await ear.until_listening()
        for address in CROWD:
            peer.advertise(address, -60, service_data=SERVICE_DATA)
        await ear.until(lambda: source.health.heard == len(CROWD))
        time_of_day[0] = 1.0
        await ear.until(lambda: len(ear.heard) == len(CROWD))
        peer.speak_last_words()
        await ear.until(lambda: source.health.heard > len(CROWD))
        time_of_day[0] = 1.24
        await asyncio.sleep(0.5)
        peer.vanish(first="adapter")
        await ear.until(lambda: ear.states == [True, False])
        assert len(ear.heard) == len(CROWD)


async def test_a_loss_is_noticed_at_once_though_nobody_advertises(peer: BlueZPeer) -> None:
    """An unplugged adapter is reported within a second, with what a technician can do."""
    source = make_source()
    async with supervised(source) as ear:
        await ear.until_listening()
        began = time.monotonic()
        peer.vanish()
        await ear.until(lambda: ear.states == [True, False])
        assert time.monotonic() - began < 1
        assert not source.health.listening
        await ear.until(lambda: "plugged in" in source.health.detail)


async def test_a_powered_off_adapter_is_lost_until_it_is_on_again(peer: BlueZPeer) -> None:
    """Powering off is a loss, its stale callbacks are dropped, and powering on recovers."""
    source = make_source()
    async with supervised(source) as ear:
        await ear.until_listening()
        for address in CROWD:
            peer.advertise(address, -60, service_data=SERVICE_DATA)
        await ear.until(lambda: len(ear.heard) == len(CROWD))
        peer.power(on=False)
        await ear.until(lambda: ear.states == [True, False])
        await asyncio.sleep(0.2)
        assert "rfkill" in source.health.detail
        assert len(ear.heard) == len(CROWD)
        peer.power(on=True)
        await ear.until_listening(lives=2)
        await hears_again(ear, peer)


@pytest.mark.parametrize("crash", [False, True])
async def test_bluetoothd_may_restart(peer: BlueZPeer, crash: bool) -> None:
    """When bluetoothd stops or crashes the radio is lost, and its return is a recovery."""
    source = make_source()
    async with supervised(source) as ear:
        await ear.until_listening()
        peer.advertise(MEMBER, -60, service_data=SERVICE_DATA)
        await ear.until(lambda: len(ear.heard) == 1)
        await peer.leave(crash=crash)
        await ear.until(lambda: ear.states == [True, False])
        assert len(ear.heard) == 1
        await asyncio.sleep(0.2)
        assert "bluetoothd" in source.health.detail
        await peer.join()
        await ear.until_listening(lives=2)
        await hears_again(ear, peer)


async def test_the_bus_may_restart(peer: BlueZPeer, bus: PrivateBus) -> None:
    """When D-Bus itself dies the radio is lost, and bleak hears again over the new one."""
    source = make_source()
    async with supervised(source) as ear:
        await ear.until_listening()
        bus.kill()
        await ear.until(lambda: ear.states == [True, False])
        assert "D-Bus" in source.health.detail
        await peer.leave(crash=True)
        bus.start()
        await peer.join()
        await ear.until_listening(lives=2)
        await hears_again(ear, peer)


async def test_a_busy_adapter_is_tried_again(peer: BlueZPeer) -> None:
    """Two InProgress answers do not cost a life: the third try listens."""
    peer.adapter().refusals += ["org.bluez.Error.InProgress"] * 2
    async with supervised(make_source()) as ear:
        await ear.until_listening()
        assert ear.states == [True]
        assert peer.adapter().power_cycles == 0
        await hears_again(ear, peer)


async def test_an_adapter_that_stays_busy_is_reset(peer: BlueZPeer) -> None:
    """A discovery session that bluetoothd will not let go of is cleared by a power cycle."""
    peer.adapter().refusals += ["org.bluez.Error.InProgress"] * 3
    async with supervised(make_source()) as ear:
        await ear.until_listening()
        assert peer.adapter().power_cycles == 1
        assert ear.states == [True]
        await hears_again(ear, peer)


@pytest.mark.parametrize(
    ("refusals", "words"),
    [
        (["InProgress"] * 4, "another program"),
        (["NotReady"], "rfkill"),
        (["Failed"], "journalctl"),
    ],
)
async def test_a_refused_scan_is_a_loss_that_says_what_to_do(
    peer: BlueZPeer, refusals: list[str], words: str
) -> None:
    """Each D-Bus error of StartDiscovery becomes a sentence for a technician."""
    peer.adapter().refusals += [f"org.bluez.Error.{name}" for name in refusals]
    lost = await one_life(make_source())
    assert words in str(lost)
    assert "hci0" in str(lost)


async def test_a_failed_scan_is_retried(peer: BlueZPeer) -> None:
    """A scan that fails twice is lost once, and then recovers."""
    peer.adapter().refusals += ["org.bluez.Error.Failed"] * 2
    async with supervised(make_source()) as ear:
        await ear.until_listening()
        assert ear.states == [False, True]


async def test_an_adapter_that_is_not_there_is_a_loss(peer: BlueZPeer) -> None:
    """A gateway without the configured adapter says so."""
    assert peer.adapter().present
    assert "hci7 is not there" in str(await one_life(make_source(adapter="hci7")))


async def test_no_bluetoothd_is_a_loss(bus: PrivateBus) -> None:
    """Without bluetoothd the technician is told to start it."""
    assert bus.pid is not None
    assert "systemctl start bluetooth" in str(await one_life(make_source()))


async def test_no_bus_is_a_loss(bus: PrivateBus) -> None:
    """Without a system bus the technician is told to look at it."""
    bus.kill()
    assert "dbus.service" in str(await one_life(make_source()))


async def test_bluez_without_monitors_cannot_scan_passively(peer: BlueZPeer) -> None:
    """The loss names the versions that a passive scan needs."""
    peer.adapter().monitors_supported = False
    lost = await one_life(make_source(scanning="passive", namespace=NAMESPACE))
    assert "5.56" in str(lost)


async def test_a_deaf_adapter_in_a_busy_place_is_lost_reset_and_recovered(peer: BlueZPeer) -> None:
    """Firmware that falls silent amid a crowd is lost at 90 s, reset at 180 s, then heard again."""
    clock = Clock()
    source = make_source(clock)
    async with supervised(source, clock) as ear:
        await ear.until_listening()
        for address in CROWD:
            peer.advertise(address, -60, service_data={FCB2: b"\x01"})
            await asyncio.sleep(0.1)  # the watchdog hears of one address a beat
        peer.adapter().deaf = True
        clock.ahead += 91
        await ear.until(lambda: ear.states == [True, False])
        assert peer.adapter().power_cycles == 0
        assert "silent" in source.health.detail
        clock.ahead += 91
        await ear.until(lambda: peer.adapter().power_cycles == 1)
        peer.adapter().deaf = False
        await peer.until_scanning()
        peer.advertise(CROWD[0], -60, service_data={FCB2: b"\x01"})
        await ear.until(lambda: ear.states == [True, False, True])
        await hears_again(ear, peer)
        assert source.health.listening


async def test_a_quiet_room_is_no_loss(peer: BlueZPeer) -> None:
    """Where next to nobody was heard, silence restarts and resets, and says nothing."""
    clock = Clock()
    source = make_source(clock)
    async with supervised(source, clock) as ear:
        await ear.until_listening()
        peer.advertise(MEMBER, -60, service_data=SERVICE_DATA)
        await ear.until(lambda: len(ear.heard) == 1)
        clock.ahead += 91
        await asyncio.sleep(0.3)
        clock.ahead += 91
        await ear.until(lambda: peer.adapter().power_cycles == 1)
        await hears_again(ear, peer)
        assert ear.states == [True]


async def test_stopping_ends_the_scan(peer: BlueZPeer) -> None:
    """A cancelled source leaves no discovery behind, so the next process finds a free adapter."""
    async with supervised(make_source()) as ear:
        await ear.until_listening()
        assert peer.adapter().discovering
    await asyncio.sleep(0.1)
    assert not peer.adapter().discovering


async def test_a_bug_in_the_filter_ends_the_source(peer: BlueZPeer) -> None:
    """Bleak's D-Bus library swallows what callbacks raise; the source raises it all the same."""

    def broken(*_parts: object) -> bool:
        raise ZeroDivisionError

    async def story() -> None:
        async with supervised(make_source(wanted=broken)) as ear:
            await ear.until_listening()
            peer.advertise(MEMBER, -60, service_data=SERVICE_DATA)
            await asyncio.sleep(0.5)

    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        await story()
