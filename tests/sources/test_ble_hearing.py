"""The unmodified bleak over a private bus: what is heard, and how exactly."""

from __future__ import annotations

import asyncio
import time

import pytest

from edge_agent.model import Backend, RadioAddress, RadioState
from simulators.bluez import BlueZPeer
from tests.sources.ear import (
    FCB2,
    IBEACON,
    IOS_UUID,
    MEMBER,
    NAMESPACE,
    SERVICE_DATA,
    STRANGER,
    make_source,
    supervised,
)

pytestmark = pytest.mark.bluez


async def test_the_first_thing_said_is_that_the_radio_listens(peer: BlueZPeer) -> None:
    """Listening is announced before any advertisement, once the scan really runs."""
    async with supervised(make_source()) as ear:
        await ear.until_listening()
        assert peer.adapter().scanning
        (first,) = ear.said
    assert isinstance(first, RadioState)
    assert (first.gateway, first.radio, first.listening) == ("gw-1", "ble", True)


async def test_an_android_phone_is_heard_exactly(peer: BlueZPeer) -> None:
    """EID service data arrives octet for octet, with RSSI, backend and the time of reception."""
    async with supervised(make_source()) as ear:
        await ear.until_listening()
        before = time.monotonic()
        peer.advertise(MEMBER, -71, service_data=SERVICE_DATA)
        await ear.until(lambda: bool(ear.heard))
        (heard,) = ear.heard
    assert heard.service_data == SERVICE_DATA
    assert (heard.gateway, heard.radio, heard.rssi) == ("gw-1", "ble", -71)
    assert heard.address == RadioAddress.parse(MEMBER)
    assert heard.backend is Backend.BLUEZ_ACTIVE
    assert before <= heard.at < before + 0.2


async def test_an_iphone_and_a_tag_are_heard_exactly(peer: BlueZPeer) -> None:
    """An iOS service UUID and an iBeacon's manufacturer data arrive unchanged."""
    async with supervised(make_source()) as ear:
        await ear.until_listening()
        peer.advertise(MEMBER, -60, service_uuids=[IOS_UUID])
        peer.advertise("C0:11:22:33:44:56", -61, manufacturer_data=IBEACON)
        await ear.until(lambda: len(ear.heard) == 2)
        iphone, tag = ear.heard
    assert list(iphone.service_uuids) == [IOS_UUID]
    assert tag.manufacturer_data == IBEACON


async def test_every_report_of_a_still_phone_is_heard_in_an_active_scan(peer: BlueZPeer) -> None:
    """Active scans hear each packet of a phone that neither moves nor changes."""
    async with supervised(make_source()) as ear:
        await ear.until_listening()
        for _ in range(20):
            peer.advertise(MEMBER, -60, service_data=SERVICE_DATA)
        await ear.until(lambda: len(ear.heard) == 20)
        assert all(heard.service_data == SERVICE_DATA for heard in ear.heard)


async def test_the_controllers_duplicate_filter_hides_a_still_phone(peer: BlueZPeer) -> None:
    """With the filter on, a still phone is heard once per scan cycle."""
    peer.adapter().duplicate_filter = 10.24
    async with supervised(make_source()) as ear:
        await ear.until_listening()
        told = [peer.advertise(MEMBER, -60, service_data=SERVICE_DATA) for _ in range(20)]
        await ear.until(lambda: bool(ear.heard))
        assert told.count(True) == len(ear.heard) == 1


async def test_a_stranger_is_counted_and_never_observed(peer: BlueZPeer) -> None:
    """A stranger's packet adds to a count, and no observation of it exists."""
    source = make_source()
    async with supervised(source) as ear:
        await ear.until_listening()
        peer.advertise(STRANGER, -50, service_data={FCB2: b"\x01\x02"}, manufacturer_data={1: b"x"})
        peer.advertise(MEMBER, -60, service_data=SERVICE_DATA)
        await ear.until(lambda: bool(ear.heard))
        assert [heard.address for heard in ear.heard] == [RadioAddress.parse(MEMBER)]
        assert source.health.heard == 2
        assert source.health.last_heard_at is not None


async def test_what_is_no_reception_is_no_sighting(peer: BlueZPeer) -> None:
    """RSSI -127 and below or above 20 is dropped and not counted; 127 is absent, which is None."""
    source = make_source()
    async with supervised(source) as ear:
        await ear.until_listening()
        for rssi in (-127, -128, 21, 126):
            peer.advertise(MEMBER, rssi, service_data=SERVICE_DATA)
        for rssi in (127, -126, 20):
            peer.advertise(MEMBER, rssi, service_data=SERVICE_DATA)
        await ear.until(lambda: len(ear.heard) == 3)
        assert [heard.rssi for heard in ear.heard] == [None, -126, 20]
        assert source.health.heard == 3


async def test_a_forgotten_device_is_not_heard_again(peer: BlueZPeer) -> None:
    """When bluetoothd drops a device and withdraws its RSSI, nobody was heard."""
    async with supervised(make_source()) as ear:
        await ear.until_listening()
        peer.advertise(MEMBER, -60, service_data=SERVICE_DATA)
        peer.forget(MEMBER)
        await asyncio.sleep(0.5)
        assert len(ear.heard) == 1


async def test_a_passive_scan_hears_both_phones_and_says_so(peer: BlueZPeer) -> None:
    """The namespace's patterns let Android and iOS through, and the backend marks them passive."""
    source = make_source(scanning="passive", namespace=NAMESPACE)
    async with supervised(source) as ear:
        await ear.until_listening()
        await peer.until_scanning()
        assert not peer.adapter().discovering
        peer.advertise(MEMBER, -60, service_data=SERVICE_DATA)
        peer.advertise("C0:11:22:33:44:56", -61, service_uuids=[IOS_UUID])
        assert not peer.advertise(STRANGER, -61, service_data={FCB2: b"\x01"})
        await ear.until(lambda: len(ear.heard) == 2)
        android, iphone = ear.heard
        assert android.backend is iphone.backend is Backend.BLUEZ_PASSIVE
        assert not android.backend.silence_counts
        assert source.health.heard == 2


async def test_a_passive_scan_loses_sight_of_a_still_phone(peer: BlueZPeer) -> None:
    """A constant payload is reported once, and again when its RSSI has moved by 8 dB."""
    source = make_source(scanning="passive", namespace=NAMESPACE)
    async with supervised(source) as ear:
        await ear.until_listening()
        await peer.until_scanning()
        for rssi in (-60, -61, -59, -67, -68):
            peer.advertise(MEMBER, rssi, service_data=SERVICE_DATA)
        await ear.until(lambda: len(ear.heard) == 2)
        assert [heard.rssi for heard in ear.heard] == [-60, -68]


def test_a_passive_scan_needs_the_namespace() -> None:
    """Without a namespace there is nothing to filter by, and the mistake is found at once."""
    with pytest.raises(ValueError, match="namespace"):
        make_source(scanning="passive")


async def test_two_adapters_are_heard_apart(peer: BlueZPeer) -> None:
    """Each observation names the adapter that heard it, and one's loss leaves the other alone."""
    first, second = make_source(), make_source(adapter="hci1", name="ble:hci1")
    async with supervised(first) as near, supervised(second) as far:
        await near.until_listening()
        await far.until_listening()
        peer.advertise(MEMBER, -40, service_data=SERVICE_DATA)
        peer.advertise(MEMBER, -80, service_data=SERVICE_DATA, adapter="hci1")
        await near.until(lambda: bool(near.heard))
        await far.until(lambda: bool(far.heard))
        assert [(h.radio, h.rssi) for h in near.heard] == [("ble", -40)]
        assert [(h.radio, h.rssi) for h in far.heard] == [("ble:hci1", -80)]
        peer.vanish("hci0")
        await near.until(lambda: near.states == [True, False])
        peer.advertise(MEMBER, -81, service_data=SERVICE_DATA, adapter="hci1")
        await far.until(lambda: len(far.heard) == 2)
        assert far.states == [True]


async def test_a_full_queue_drops_the_newest_and_says_so(peer: BlueZPeer) -> None:
    """Beyond the bound new advertisements are dropped and counted; the old ones arrive."""
    source = make_source(bound=10)
    async with supervised(source) as ear:
        await ear.until_listening()
        for n in range(15):
            peer.advertise(MEMBER, -60 - n, service_data=SERVICE_DATA)
        await ear.until(lambda: len(ear.heard) == 10)
        await asyncio.sleep(0.4)
        assert [heard.rssi for heard in ear.heard] == [-60 - n for n in range(10)]
        assert source.health.heard == 15
        assert "5 advertisements" in source.health.detail
