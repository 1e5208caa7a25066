"""A simulated store in the air of a bluetoothd of our own: drives `edge-agent run` without a radio.

The agent's unmodified bleak talks to it over a private D-Bus. In one terminal

    python -m simulators live --out /tmp/store

and, in another, as it says: the agent with `DBUS_SYSTEM_BUS_ADDRESS` set to that bus.
"""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from simulators.bluez import BlueZPeer
from simulators.day import Day
from simulators.phones import WallClock
from simulators.plan import PLANS
from simulators.private_bus import PrivateBus
from simulators.store import SHORTEST_HOURS, simulate

__all__ = ["live_command", "put_on_air"]


async def put_on_air(day: Day, peer: BlueZPeer, gateway: str, speed: float) -> int:
    """Let `peer` hear what `gateway` hears of a day, when it is due; gives how much that was."""
    heard = 0
    async for line in day.play(speed):
        ble = line.get("ble")
        if line.get("gateway") != gateway or not isinstance(ble, dict):
            continue
        heard += peer.advertise(
            ble["address"],
            ble["rssi"],
            service_data={k: bytes.fromhex(v) for k, v in ble.get("service_data", {}).items()},
            manufacturer_data={
                int(k): bytes.fromhex(v) for k, v in ble.get("manufacturer_data", {}).items()
            },
            service_uuids=ble.get("service_uuids", ()),
        )
    return heard


async def _live(day: Day, out: Path, speed: float) -> None:
    task = asyncio.current_task()
    if task is not None:  # else the bus would outlive us
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    config = out / "config.toml"
    gateway = json.loads(day.config().splitlines()[2].split("=")[1])
    with PrivateBus() as bus:
        async with BlueZPeer(bus.address) as peer:
            typer.echo(f"DBUS_SYSTEM_BUS_ADDRESS={bus.address} edge-agent run --config {config}")
            typer.echo("waiting for the agent to scan ...", err=True)
            await peer.until_scanning(patience=24 * 3600.0)
            heard = await put_on_air(day, peer, gateway, speed)
    typer.echo(f"{heard} advertisements were heard", err=True)


def live_command(
    *,
    out: Annotated[Path, typer.Option(help="Folder for the agent's configuration and roster.")],
    plan: Annotated[str, typer.Option(help=f"Layout: {', '.join(PLANS)}.")] = "mid-floor",
    broker: Annotated[str, typer.Option(help="The broker's URL.")] = "mqtt://127.0.0.1:1883",
    seed: Annotated[int, typer.Option(help="Another store day.")] = 0,
    hours: Annotated[float, typer.Option(help="Opening hours.", min=SHORTEST_HOURS)] = 1.0,
    speed: Annotated[float, typer.Option(help="How much faster than life.", min=0.1)] = 1.0,
) -> None:
    """Put a simulated store on the air of a private D-Bus, for `edge-agent run` to hear."""
    if plan not in PLANS:
        raise typer.BadParameter(f"choose one of: {', '.join(PLANS)}", param_hint="--plan")
    walks = max(4, round(hours * 20))
    day = simulate(
        PLANS[plan],
        seed,
        hours=hours,
        visits=walks,
        passers_by=walks,
        clock=WallClock(datetime.now(UTC), speed),
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.toml").write_text(day.config(broker), encoding="utf-8")
    (out / "roster.json").write_text(json.dumps(day.roster), encoding="utf-8")
    day.truth.write(out / "truth.json")
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_live(day, out, speed))
