"""Wires that are silent, slow, cut, or lead nowhere. Whatever happens, events are stored."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from simulators.fault_matrix.gate import (
    Gate,
    Manner,
    Mischief,
    Passage,
    relay_packets,
    reset,
)
from simulators.fault_matrix.gateway import Gateway, until
from simulators.fault_matrix.scenario import Length, Scenario, Verdict
from simulators.fault_matrix.stand import Stand
from simulators.mosquitto import free_port
from simulators.mqtt_wire import CONNACK_5, PUBLISH, Packet, read_packet

__all__ = ["SCENARIOS"]

_VISITS: Final = 40
_FOREVER: Final = 3600.0


async def _black_hole(gate: Gate, passage: Passage) -> None:
    """Accept the connection, take everything, and never say a word."""
    del gate
    while await passage.reader.read(1 << 16):
        pass


async def _half_open(gate: Gate, passage: Passage) -> None:
    """Say nothing more either way, as where a router has forgotten the connection."""
    del gate, passage
    await asyncio.sleep(_FOREVER)


async def _accept_and_drop(gate: Gate, passage: Passage) -> None:
    """Welcome it as a broker would, and hang up."""
    del gate
    await read_packet(passage.reader)
    await passage.give(CONNACK_5)


class _Silent(Mischief):
    """From a moment on the wire carries nothing, in neither direction, and is not closed."""

    def __init__(self, after: int) -> None:
        self._left = after

    async def outward(self, packet: Packet, passage: Passage) -> bytes:
        """Count events; after the last one, nothing goes."""
        del passage
        self._left -= packet.kind == PUBLISH
        return await self._carried(packet)

    async def homeward(self, packet: Packet, passage: Passage) -> bytes:
        """After the last event nothing comes."""
        del passage
        return await self._carried(packet)

    async def _carried(self, packet: Packet) -> bytes:
        if self._left < 0:
            await asyncio.sleep(_FOREVER)
        return packet.raw


class _Tearing(Mischief):
    """Lets the broker have half a packet now and then, and resets the connection."""

    def __init__(self, seed: int, most: int) -> None:
        self.count = 0
        self.most = most
        self._dice = random.Random(seed)

    async def outward(self, packet: Packet, passage: Passage) -> bytes:
        """Tear one event in twenty, until there were enough."""
        whole = packet.kind != PUBLISH or self.count >= self.most
        if whole or self._dice.random() > 0.05:  # noqa: PLR2004 - one in twenty
            return packet.raw
        self.count += 1
        reset(passage.writer)
        return packet.raw[: len(packet.raw) // 2]


@asynccontextmanager
async def _delivering(folder: Path) -> AsyncIterator[tuple[Stand, Gateway]]:
    """A gateway that has delivered some visits; after the block it delivers all the others."""
    async with Stand(folder) as stand:
        gateway = stand.gateway()
        async with gateway.life():
            await gateway.visits(2)
            stand.expect(await gateway.settled(), "not settled at the beginning")
            yield stand, gateway
            stand.expect(await gateway.settled(), "not settled")


async def _through(
    folder: Path, length: Length, manner: Manner, *, seconds: tuple[int, int]
) -> Verdict:
    """Cut the wire, let every connection end like this for a while, and mend it."""
    async with _delivering(folder) as (stand, gateway):
        stand.gate.manner = manner
        stand.gate.cut()
        await gateway.visits(_VISITS)
        before = len(stand.gate.passages)
        await asyncio.sleep(seconds[length is Length.LONG])
        await until(lambda: len(stand.gate.passages) > before)
        stand.injected = len(stand.gate.passages) - before
        latency = await gateway.enter_latency()
        stand.gate.manner = relay_packets
        stand.gate.cut()
    return stand.verdict(f"a commit meanwhile took {latency * 1000:.0f} ms")


async def _holes(folder: Path, length: Length, seed: int) -> Verdict:
    del seed
    return await _through(folder, length, _black_hole, seconds=(3, 60))


async def _half(folder: Path, length: Length, seed: int) -> Verdict:
    del seed
    return await _through(folder, length, _half_open, seconds=(3, 60))


async def _goes_silent(folder: Path, length: Length, seed: int) -> Verdict:
    """Mid-stream the wire dies without being closed: the keepalive must find out by itself."""
    del length, seed
    async with _delivering(folder) as (stand, gateway):
        stand.gate.mischief = _Silent(after=20)
        await gateway.visits(_VISITS)
        began = time.monotonic()
        connections = len(stand.gate.passages)
        noticed = await until(lambda: len(stand.gate.passages) > connections)
        took = time.monotonic() - began
        stand.expect(noticed, "a dead connection was not noticed")
        stand.injected = 1
        stand.gate.mischief = Mischief()
        stand.gate.cut()
    return stand.verdict(f"noticed and called again after {took:.0f} s, with a keepalive of 5 s")


async def _drips(gate: Gate, passage: Passage) -> None:
    """One octet a second in each direction: a link that is up, and no use."""
    upstream = await asyncio.open_connection("127.0.0.1", gate.upstream)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while octet := await reader.read(1):
            writer.write(octet)
            await asyncio.sleep(1)

    ways = (
        asyncio.create_task(carry(passage.reader, upstream[1]), name="drip out"),
        asyncio.create_task(carry(upstream[0], passage.writer), name="drip home"),
    )
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        upstream[1].transport.abort()


async def _drip(folder: Path, length: Length, seed: int) -> Verdict:
    del seed
    return await _through(folder, length, _drips, seconds=(5, 90))


async def _dropped(folder: Path, length: Length, seed: int) -> Verdict:
    """The broker welcomes and hangs up: calls are counted against a second's pause without end."""
    del seed
    seconds = 5 if length is Length.SHORT else 60
    async with _delivering(folder) as (stand, gateway):
        stand.gate.manner = _accept_and_drop
        stand.gate.cut()
        before = len(stand.gate.passages)
        await gateway.visits(_VISITS)
        await asyncio.sleep(seconds)
        calls = stand.injected = len(stand.gate.passages) - before
        plain = await _plain_calls(seconds)
        stand.expect(calls < plain, f"{calls} calls in {seconds} s, where paho alone makes {plain}")
        stand.gate.manner = relay_packets
    return stand.verdict(f"{calls} calls in {seconds} s; paho's own reconnecting makes {plain}")


async def _plain_calls(seconds: float) -> int:
    """Count how often paho calls by itself, dropped likewise."""
    async with Gate(0) as gate:
        gate.manner = _accept_and_drop
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.connect_async("127.0.0.1", gate.port)
        client.loop_start()
        await asyncio.sleep(seconds)
        calls = len(gate.passages)
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
        return calls


async def _torn(folder: Path, length: Length, seed: int) -> Verdict:
    """Connections are reset in the middle of a packet."""
    tearing = _Tearing(seed, 2 if length is Length.SHORT else 10)
    async with _delivering(folder) as (stand, gateway):
        stand.gate.mischief = tearing
        while tearing.count < tearing.most:
            await gateway.visits(_VISITS)
            stand.expect(await gateway.settled(), "not settled")
        stand.injected = tearing.count
    return stand.verdict(f"{len(stand.gate.passages)} connections")


async def _mends(
    folder: Path, url: str, hint: str, *, settings: dict[str, Any] | None = None
) -> Verdict:
    """A first life that cannot reach its broker stores everything; a second one delivers it."""
    async with Stand(folder) as stand:
        gateway = stand.gateway(**({"url": url} | (settings or {})))
        async with gateway.life() as publisher:
            await gateway.visits(_VISITS)
            stand.expect(
                await until(lambda: any(hint in detail for detail in gateway.details), 30),
                f"the state never said {hint!r}, but {gateway.details}",
            )
            await gateway.stored()
            stand.expect(publisher.state.outstanding == len(gateway.told), "not all is stored")
            stand.injected = 1
        said = next((detail for detail in gateway.details if hint in detail), "")
        gateway.settings = {
            "url": f"mqtt://127.0.0.1:{stand.gate.port}",
            "allow_plaintext": True,
            "keepalive": "5s",
        }
        async with gateway.life():
            stand.expect(await gateway.settled(), "not settled once it is mended")
        return stand.verdict(f"it says: {said}")


async def _no_name(folder: Path, length: Length, seed: int) -> Verdict:
    """The broker's name is none (RFC 6761: .invalid never resolves)."""
    del length, seed
    return await _mends(folder, "mqtt://broker.invalid:1883", "gaierror")


async def _nobody(folder: Path, length: Length, seed: int) -> Verdict:
    """Nobody listens where the broker should be."""
    del length, seed
    return await _mends(folder, f"mqtt://127.0.0.1:{free_port()}", "refused")


async def _tls_hangs(folder: Path, length: Length, seed: int) -> Verdict:
    """The handshake of TLS is never answered."""
    del length, seed
    async with Gate(0) as gate:
        gate.manner = _black_hole
        url = f"mqtts://127.0.0.1:{gate.port}"
        verdict = await _mends(folder, url, "timed out")
        verdict.injected = len(gate.passages)
        return verdict


SCENARIOS: Final = (
    Scenario("black hole", _holes),
    Scenario("wire goes silent", _goes_silent),
    Scenario("half-open", _half),
    Scenario("one octet a second", _drip),
    Scenario("accepts and drops", _dropped),
    Scenario("reset mid-packet", _torn),
    Scenario("no such name", _no_name),
    Scenario("nobody listens", _nobody),
    Scenario("TLS never answered", _tls_hangs),
)
