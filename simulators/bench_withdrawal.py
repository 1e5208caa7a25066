"""`python -m simulators.bench_withdrawal`: from a withdrawal to its signed acknowledgement.

A real mosquitto, the hub of `roster_hub`, and the agent in this process with 100,000 members. Also
measured: the event loop's longest stay in one callback while the roster loads and changes.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_agent.agent import Agent
from edge_agent.config import read_config
from edge_agent.identify.roster import Member
from edge_agent.identify.sealing import public_of_signing
from simulators.mosquitto import Mosquitto
from simulators.roster_hub import RosterHub

__all__ = ["main"]

MEMBERS: Final = 100_000
WITHDRAWALS: Final = 200
PATIENCE_S: Final = 120.0
_SEED: Final = bytes(range(32))
_STEP_S: Final = 0.005


async def _lag(found: list[float]) -> None:
    """Note by how much a short sleep is late, for ever."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(_STEP_S)
        found.append(time.monotonic() - began - _STEP_S)


async def _until_acknowledged(hub: RosterHub, seq: int) -> float:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        for told in reversed(hub.acknowledged):
            if told["seq"] >= seq:
                return float(told["heard"])
        if time.monotonic() > deadline:
            raise TimeoutError(f"seq {seq} was not acknowledged")
        await asyncio.sleep(0.01)


async def measure(members: int, withdrawals: int) -> tuple[list[float], list[float], list[float]]:
    """Give the seconds of each withdrawal, and the loop's lags while loading and while changing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Mosquitto(folder) as broker:
            (folder / "config.toml").write_text(
                'tenant = "bench"\nstore = "0001"\ngateway = "gw-1"\n'
                f'mqtt = {{ url = "{broker.url}", allow_plaintext = true }}\n'
                f'roster = {{ public_key = "{public_of_signing(_SEED).hex()}" }}\n'
                "ble = { adapters = [] }\n",
                encoding="utf-8",
            )
            everybody = [Member(n.to_bytes(16).hex()) for n in range(1, members + 1)]
            hub = RosterHub(
                broker.url, _SEED, everybody, tenant="bench", store="0001", gateways=["gw-1"]
            )
            with hub:
                agent = Agent(read_config(folder / "config.toml"))
                running = asyncio.create_task(agent.run(), name="agent")
                loading: list[float] = []
                watching = asyncio.create_task(_lag(loading), name="lag")
                await _until_acknowledged(hub, 1)
                watching.cancel()
                changing: list[float] = []
                watching = asyncio.create_task(_lag(changing), name="lag")
                took = []
                for member in everybody[:withdrawals]:
                    began = time.monotonic()
                    seq = await asyncio.to_thread(hub.withdraw, member.visitor)
                    took.append(await _until_acknowledged(hub, seq) - began)
                watching.cancel()
                agent.stop()
                await running
    return took, loading, changing


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; `--short` withdraws 20."""
    count = 20 if "--short" in arguments else WITHDRAWALS
    took, loading, changing = asyncio.run(measure(MEMBERS, count))
    took.sort()
    sys.stdout.write(
        f"{count} withdrawals, {MEMBERS:,} members: median {took[len(took) // 2]:.2f} s,"
        f" p99 {took[int(0.99 * (len(took) - 1))]:.2f} s (promised: 5)\n"
        f"event loop late by at most {1000 * max(loading):.0f} ms while loading (promised: 50),"
        f" {1000 * max(changing):.0f} ms while changing\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
