"""A TCP balancer before a broker's nodes: one for each client, so that it is known who is where.

It sends a connection to the node after the last one that answers. It counts the events that pass
to its client, by which duplicates are known, and can play a broker that has never heard of MQTT 5.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Final, Self

__all__ = ["Balancer"]

_CONNECT, _PUBLISH = 1, 3  # MQTT 3.1.1, 2.2.1
_LEVEL_5: Final = 5
_UNACCEPTABLE_VERSION: Final = bytes([0x20, 2, 0, 1])  # CONNACK of MQTT 3.1.1, 3.2.2.3


class Balancer:
    """Listens on a free port of loopback for the length of an `async with`."""

    def __init__(self, ports: Sequence[int], *, first: int = 0, only_311: bool = False) -> None:
        """Prepare to send the first connection to node `first`."""
        self._ports = ports
        self._next = first
        self._only_311 = only_311
        self._tasks: set[asyncio.Task[None]] = set()
        self.node = first  # that the latest connection is on
        self.connections = 0
        self.refused = 0  # for speaking MQTT 5
        self.events = 0  # that passed to the client

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """Where the client connects."""
        return f"mqtt://127.0.0.1:{self.port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            first = await anext(_packets(reader), b"")
            if not first or first[0] >> 4 != _CONNECT:
                return
            if self._only_311 and _level(first) >= _LEVEL_5:
                self.refused += 1
                writer.write(_UNACCEPTABLE_VERSION)
                await writer.drain()
                return
            upstream = await self._reach()
            if upstream is None:
                return
            up_reader, up_writer = upstream
            with contextlib.closing(up_writer):
                up_writer.write(first)
                await _until_one_ends(self._up(reader, up_writer), self._down(up_reader, writer))

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connect to the next node that answers; None when none does."""
        for step in range(len(self._ports)):
            node = (self._next + step) % len(self._ports)
            try:
                connected = await asyncio.open_connection("127.0.0.1", self._ports[node])
            except OSError:
                continue
            self.node, self._next = node, node + 1
            self.connections += 1
            return connected
        return None

    @staticmethod
    async def _up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while octets := await reader.read(1 << 16):
            writer.write(octets)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for packet in _packets(reader):
            if packet[0] >> 4 == _PUBLISH and _topic(packet).endswith(b"/events"):
                self.events += 1
            writer.write(packet)
            await writer.drain()


async def _until_one_ends(*ways: Coroutine[Any, Any, None]) -> None:
    tasks = {asyncio.create_task(way) for way in ways}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _packets(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Give whole MQTT packets until the connection ends, however it does."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readexactly(1)
            length = shift = 0
            while True:
                digit = await reader.readexactly(1)
                head += digit
                length |= (digit[0] & 0x7F) << shift
                shift += 7
                if digit[0] < 0x80:  # noqa: PLR2004 - the last of a variable byte integer
                    break
            yield head + await reader.readexactly(length)


def _body(packet: bytes) -> bytes:
    """Give a packet without its type and length."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    return packet[at + 1 :]


def _topic(packet: bytes) -> bytes:
    body = _body(packet)
    return body[2 : 2 + int.from_bytes(body[:2])]


def _level(packet: bytes) -> int:
    """Give the protocol level of a CONNECT, which follows the protocol's name."""
    body = _body(packet)
    return body[2 + int.from_bytes(body[:2])]
