"""What a broker forgets, and how long it may be away."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path
from typing import Final

import paho.mqtt.publish as paho_publish

from simulators.fault_matrix.gateway import EVENTS_PER_VISIT, until
from simulators.fault_matrix.scenario import Length, Scenario, Verdict
from simulators.fault_matrix.stand import Stand

__all__ = ["SCENARIOS"]

_DAYS: Final = 3
_VISITS_A_DAY: Final = 500
_LOAD: Final = 10  # times that
_SHARE: Final = {Length.SHORT: 20, Length.LONG: 1}  # one in so many of the visits


async def _forgotten_watermark(folder: Path, length: Length, seed: int) -> Verdict:
    """The retained acknowledgement is deleted, again and again, while gateways reconnect."""
    del seed
    rounds = 3 if length is Length.SHORT else 20
    async with Stand(folder) as stand:
        gateway = stand.gateway()
        async with gateway.life() as publisher:
            for _ in range(rounds):
                await gateway.visits(20)
                await until(lambda: publisher.state.connected)
                await asyncio.to_thread(
                    paho_publish.single,
                    gateway.topics.ack,
                    b"",
                    qos=1,
                    retain=True,
                    port=stand.broker.port,
                    hostname="127.0.0.1",
                )
                stand.injected += 1
                stand.gate.cut()
            stand.expect(await gateway.settled(), "not settled")
        return stand.verdict(f"{len(stand.gate.passages)} connections")


async def _empty_broker(folder: Path, length: Length, seed: int) -> Verdict:
    """The broker is killed and its database deleted, while events are under way."""
    del seed
    rounds = 2 if length is Length.SHORT else 15
    async with Stand(folder) as stand:
        gateway = stand.gateway()
        async with gateway.life() as publisher:
            for _ in range(rounds):
                await until(lambda: publisher.state.connected)
                await gateway.visits(60)
                await gateway.stored()
                await stand.kill_broker(empty=True)
            stand.expect(await gateway.settled(), "not settled")
        return stand.verdict(f"{len(stand.gate.passages)} connections")


async def _overflow(folder: Path, length: Length, seed: int) -> Verdict:
    """The hub is away, and the broker's queue for it holds ten messages: it drops the others."""
    del seed
    rounds = 1 if length is Length.SHORT else 5
    async with Stand(folder, broker=("max_queued_messages 10",)) as stand:
        gateway = stand.gateway()
        async with gateway.life():
            await gateway.visits(2)
            stand.expect(await gateway.settled(), "not settled at the beginning")
            for _ in range(rounds):
                await stand.hub.stop()
                await gateway.visits(100)
                await gateway.stored()
                await asyncio.sleep(1)  # sent and accepted, and dropped by the broker
                stand.injected += 1
                await stand.hub.start()
            stand.expect(await gateway.settled(), "not settled")
        log = (folder / "broker" / "mosquitto.log").read_text(encoding="utf-8")
        stand.expect("dropped" in log, "the broker dropped nothing")
        return stand.verdict(f"the broker's queue held 10 of {100 * EVENTS_PER_VISIT}")


async def _three_days(folder: Path, length: Length, seed: int) -> Verdict:
    """72 h without a broker at ten times the load; then it comes back, and the store goes on."""
    del seed
    visits = _DAYS * _VISITS_A_DAY * _LOAD // _SHARE[length]
    async with Stand(folder, broker=("max_queued_messages 0",)) as stand:
        gateway = stand.gateway()
        stand.broker.stop()
        async with gateway.life() as publisher:
            await gateway.visits(visits, gap_s=_DAYS * 86_400 / visits)
            await gateway.stored()
            size = gateway.outbox_file.stat().st_size
            stand.injected = 1
            await asyncio.to_thread(stand.broker.start)
            began = time.monotonic()
            latencies: list[float] = []
            while publisher.state.outstanding and time.monotonic() - began < 600:  # noqa: PLR2004
                if publisher.state.watermark:  # it drains
                    latencies.append(await gateway.enter_latency())
                await asyncio.sleep(0.05)
            stand.expect(await gateway.settled(), "not drained within 600 s")
            drained = time.monotonic() - began
        stand.expect(len(latencies) > 1, "drained before a commit was measured")
        median, worst = statistics.median(latencies or [0.0]), max(latencies, default=0.0)
        return stand.verdict(
            f"{visits * EVENTS_PER_VISIT} events in {size >> 20} MiB drained in {drained:.0f} s;"
            f" a commit meanwhile {median * 1000:.0f} ms (median of {len(latencies)}),"
            f" {worst * 1000:.0f} ms at most",
            declaring=True,
        )


SCENARIOS: Final = (
    Scenario("watermark forgotten", _forgotten_watermark),
    Scenario("broker comes back empty", _empty_broker),
    Scenario("broker's queue overflows", _overflow),
    Scenario("broker away for 72 h", _three_days),
)
