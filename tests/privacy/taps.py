"""Taps: what the agent says on the bus, on the wire, and to the kernel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from tests.publish.wire import Server

_DBUS = "org.freedesktop.DBus"

# Runs the agent with an ear at the interpreter (PEP 578): every connection, program and file.
LAUNCHER = """
import json, os, sys
audit = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
HEARD = {"socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "subprocess.Popen",
         "os.exec", "os.posix_spawn", "os.fork", "os.system", "sqlite3.connect", "os.rename"}
def hear(event, arguments):
    if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
        return
    if event == "open" or event in HEARD:
        plain = (str, bytes, int, tuple, list)
        said = [str(argument) for argument in arguments if isinstance(argument, plain)]
        os.write(audit, (json.dumps([event, said]) + chr(10)).encode())
sys.addaudithook(hear)
from edge_agent.cli import main
main()
"""


class WireTap(Server):
    """Passes octets between agent and broker, and keeps them all, in both directions."""

    def __init__(self, broker_port: int) -> None:
        super().__init__()
        self._broker_port = broker_port
        self.sent = bytearray()
        self.received = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes from either side until one ends."""
        broker_reads, broker_writes = await asyncio.open_connection("127.0.0.1", self._broker_port)
        directions = {
            asyncio.create_task(_copy(reader, broker_writes, self.sent)),
            asyncio.create_task(_copy(broker_reads, writer, self.received)),
        }
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            broker_writes.transport.abort()


async def _copy(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, keep: bytearray
) -> None:
    while octets := await source.read(65_536):
        keep += octets
        target.write(octets)
        await target.drain()


@asynccontextmanager
async def calls_on(address: str) -> AsyncIterator[list[tuple[str, str, str]]]:
    """Be told of every method call on a bus: path, interface and member."""
    calls: list[tuple[str, str, str]] = []

    def hear(message: Message) -> bool:
        if message.message_type is MessageType.METHOD_CALL:
            calls.append((str(message.path), str(message.interface), str(message.member)))
        return True  # a monitor must not answer

    bus = await MessageBus(bus_address=address).connect()
    await bus.call(
        Message(
            destination=_DBUS,
            path="/org/freedesktop/DBus",
            interface=f"{_DBUS}.Monitoring",
            member="BecomeMonitor",
            signature="asu",
            body=[["type='method_call'"], 0],
        )
    )
    bus.add_message_handler(hear)
    yield calls
    bus.disconnect()
    await asyncio.gather(
        bus.wait_for_disconnect(),  # type: ignore[no-untyped-call] # dbus-fast's omission
        return_exceptions=True,
    )


def audited(path: Path) -> list[tuple[str, list[str]]]:
    """Read what the interpreter was asked to do."""
    lines: list[list[Any]] = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [(str(event), [str(part) for part in said]) for event, said in lines]
