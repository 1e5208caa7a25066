"""The wire between the agent and a broker: it can be watched, held up, and cut."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

__all__ = ["CONNACK_5", "ScriptedBroker", "Wire", "read_packet"]

CONNACK, PUBLISH, PUBACK = 2, 3, 4  # MQTT 5, 2.1.2
CONNACK_5 = bytes([CONNACK << 4, 3, 0, 0, 0])  # accepted, without properties

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Read one MQTT packet: its first octet, its body, and all its octets."""
    raw = head = await reader.readexactly(1)
    length = shift = 0
    while True:
        (octet,) = digit = await reader.readexactly(1)
        raw += digit
        length |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            break
    body = await reader.readexactly(length)
    return head[0], body, raw + body


def packet_id(first: int, body: bytes) -> int | None:
    """Give the packet identifier of a PUBLISH that waits for a PUBACK."""
    if first >> 4 != PUBLISH or not first & 0x06:
        return None
    topic = int.from_bytes(body[:2])
    return int.from_bytes(body[2 + topic : 4 + topic])


class Server(ABC):
    """Listens on a free port of loopback, for the length of an `async with`."""

    def __init__(self) -> None:
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._guard(reader, writer))
        self._tasks.add(task)

    async def _guard(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # it was cut, or the agent went
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    @abstractmethod
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""


class ScriptedBroker(Server):
    """A broker that does to each connection what a script says, and then drops it."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play the script."""
        await self._script(reader, writer)


class Wire(Server):
    """Passes packets on to the broker on `broker_port` and back.

    `most_unanswered` is the most publishes with QoS 1 that were under way at once. Between `hold`
    and `release` PUBACKs are kept back, of which `held` says whether there are any.
    """

    def __init__(self, broker_port: int) -> None:
        super().__init__()
        self._broker_port = broker_port
        self.most_unanswered = 0
        self.held = False
        self._passing = 0
        self._dropping = False
        self._released = asyncio.Event()
        self._released.set()

    def hold(self, *, after: int = 0, drop: bool = False) -> None:
        """Keep PUBACKs, and what follows them, back; the next `after` still pass.

        With `drop` they are swallowed, and what follows them passes.
        """
        self._dropping = drop
        self.held = False
        self._passing = after
        self._released.clear()

    def release(self) -> None:
        """Let them pass again."""
        self._released.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes from either side until one ends."""
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
        unanswered: set[int] = set()
        self._writers.add(to_broker)
        directions = {
            asyncio.create_task(self._outward(reader, to_broker, unanswered)),
            asyncio.create_task(self._homeward(from_broker, writer, unanswered)),
        }
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            to_broker.transport.abort()
            self._writers.discard(to_broker)

    async def _outward(
        self, reader: asyncio.StreamReader, broker: asyncio.StreamWriter, unanswered: set[int]
    ) -> None:
        while True:
            first, body, raw = await read_packet(reader)
            identifier = packet_id(first, body)
            if identifier is not None:
                unanswered.add(identifier)
                self.most_unanswered = max(self.most_unanswered, len(unanswered))
            broker.write(raw)
            await broker.drain()

    async def _homeward(
        self, broker: asyncio.StreamReader, writer: asyncio.StreamWriter, unanswered: set[int]
    ) -> None:
        while True:
            first, body, raw = await read_packet(broker)
            if first >> 4 == PUBACK:
                if self._passing:
                    self._passing -= 1
                elif self._dropping and not self._released.is_set():
                    self.held = True
                    continue
                else:
                    self.held = True
                    await self._released.wait()
                unanswered.discard(int.from_bytes(body[:2]))
            writer.write(raw)
            await writer.drain()
