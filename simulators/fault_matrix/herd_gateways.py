"""Some gateways of the herd, in this process: `KIND PORT FIRST LAST FOLDER`.

A line on stdin, a number, lets each tell of so many visits, and a line on stdout says that they are
stored. At the end of stdin all stop, and what each has told is left in a file. Those of the kind
`plain` are bare paho clients that reconnect as paho does, and tell nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion

from simulators.fault_matrix.gateway import Gateway

__all__ = ["told_file"]


def told_file(folder: Path, name: str) -> Path:
    """Where a gateway leaves what it has told."""
    return folder / name / "told.json"


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def _real(port: int, names: list[str], folder: Path) -> None:
    gateways = [Gateway(folder, f"mqtt://127.0.0.1:{port}", name) for name in names]
    async with AsyncExitStack() as stack:
        for gateway in gateways:
            gateway.watched = False
            gateway.settings["keepalive"] = "60s"
            await stack.enter_async_context(gateway.life())
        lines = await _lines()
        while line := await lines.readline():
            await asyncio.gather(*(gateway.visits(int(line)) for gateway in gateways))
            for gateway in gateways:
                await gateway.stored()
            print("stored", flush=True)  # noqa: T201 - to the parent
    for gateway in gateways:
        name = gateway.topics.gateway
        told_file(folder, name).write_text(json.dumps(gateway.told), encoding="utf-8")


async def _plain(port: int, names: list[str]) -> None:
    clients = [paho.Client(CallbackAPIVersion.VERSION2, name) for name in names]
    for client in clients:
        client.connect_async("127.0.0.1", port)
        client.loop_start()
    lines = await _lines()
    while await lines.readline():
        pass
    for client in clients:
        client.disconnect()


def main() -> None:
    """Be a part of the herd."""
    kind, port, first, last, folder = sys.argv[1:]
    names = [f"gw-{n}" for n in range(int(first), int(last) + 1)]
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    if kind == "real":
        asyncio.run(_real(int(port), names, Path(folder)))
    else:
        asyncio.run(_plain(int(port), names))


if __name__ == "__main__":
    main()
