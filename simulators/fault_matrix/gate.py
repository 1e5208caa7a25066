"""The only way from a gateway to its broker: it watches, and misbehaves as it is told.

    gateway --outward--> gate --> broker
            <-homeward--      <--

A `Manner` says what becomes of a connection (passed on, held in silence, dropped, one octet a
second); while it is passed on, a `Mischief` may change every packet. Whatever is done to it, every
scenario checks here that no sender ever had more publishes unanswered than the broker's Receive
Maximum and its own window allow.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from edge_agent.publish.delivery import WINDOW
from simulators.mqtt_wire import CONNACK, Packet, packets, read_packet

__all__ = ["Gate", "Manner", "Mischief", "Passage", "relay_octets", "reset"]

_GOODBYE: Final = 1  # said beside whatever is in flight


class Mischief:
    """What becomes of each packet. This one does nothing to them; others override a direction."""

    async def outward(self, packet: Packet, passage: Passage) -> bytes:
        """Give what the broker gets for a packet of the gateway's."""
        del passage
        return packet.raw

    async def homeward(self, packet: Packet, passage: Passage) -> bytes:
        """Give what the gateway gets for a packet of the broker's."""
        del passage
        return packet.raw


@dataclass(eq=False, slots=True)
class Passage:
    """One connection of a gateway, and what it has under way."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    began: float
    speaks_5: bool = False
    allowed: int = WINDOW + _GOODBYE
    unanswered: set[int] = field(default_factory=set)
    most: int = 0
    welcome: bool = False  # the broker has accepted it

    def leaves(self, packet: Packet) -> None:
        """A packet of the gateway's is on its way."""
        self.speaks_5 = self.speaks_5 or packet.speaks_5
        if packet.publish_id is not None:
            self.unanswered.add(packet.publish_id)
            self.most = max(self.most, len(self.unanswered))

    def comes(self, octets: bytes) -> None:
        """Packets are about to be given to the gateway: from now on it may know them."""
        for packet in packets(octets):
            self.welcome = self.welcome or packet.kind == CONNACK
            if packet.kind == CONNACK and self.speaks_5:
                self.allowed = min(packet.receive_maximum, WINDOW + _GOODBYE)
            if packet.puback_id is not None:
                self.unanswered.discard(packet.puback_id)

    async def give(self, octets: bytes) -> None:
        """Let octets of whole packets reach the gateway."""
        self.comes(octets)
        self.writer.write(octets)
        await self.writer.drain()


Manner = Callable[["Gate", Passage], Awaitable[None]]


async def relay_packets(gate: Gate, passage: Passage) -> None:
    """Pass packets on to the broker and back, through the gate's mischief, until one side ends."""
    from_broker, to_broker = await asyncio.open_connection("127.0.0.1", gate.upstream)

    async def outward() -> None:
        while True:
            packet = await read_packet(passage.reader)
            passage.leaves(packet)
            to_broker.write(await gate.mischief.outward(packet, passage))
            await to_broker.drain()
            if passage.writer.is_closing():  # torn by mischief: what follows is not heard
                return

    async def homeward() -> None:
        while True:
            packet = await read_packet(from_broker)
            await passage.give(await gate.mischief.homeward(packet, passage))

    await _both(outward(), homeward(), to_broker)


async def relay_octets(gate: Gate, passage: Passage) -> None:
    """Pass octets on and back unread, as a wire does under TLS."""
    from_broker, to_broker = await asyncio.open_connection("127.0.0.1", gate.upstream)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while octets := await reader.read(1 << 16):
            writer.write(octets)
            await writer.drain()

    await _both(carry(passage.reader, to_broker), carry(from_broker, passage.writer), to_broker)


async def _both(
    outward: Awaitable[None], homeward: Awaitable[None], to_broker: asyncio.StreamWriter
) -> None:
    ways = {asyncio.ensure_future(outward), asyncio.ensure_future(homeward)}
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        to_broker.transport.abort()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a RST instead of a FIN: the other side loses what it has not read."""
    link = writer.get_extra_info("socket")
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Gate:
    """Listens on a port of loopback for the length of an `async with`, and leads to `upstream`."""

    def __init__(self, upstream: int) -> None:
        """Lead to the broker on this port."""
        self.upstream = upstream
        self.mischief = Mischief()
        self.manner: Manner = relay_packets
        self.port = 0
        self.passages: list[Passage] = []
        self._open: set[Passage] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def most_unanswered(self) -> int:
        """The most publishes of QoS 1 that a connection had under way at once."""
        return max((passage.most for passage in self.passages), default=0)

    @property
    def present(self) -> int:
        """How many gateways are connected, and accepted by the broker."""
        return sum(passage.welcome for passage in self._open)

    @property
    def overruns(self) -> list[str]:
        """Where a sender had more under way than it may."""
        return [
            f"{passage.most} publishes were unanswered, where {passage.allowed} are allowed"
            for passage in self.passages
            if passage.most > passage.allowed
        ]

    def cut(self, how: Callable[[asyncio.StreamWriter], None] | None = None) -> int:
        """Break every connection without a word; gives how many there were."""
        count = len(self._open)
        for passage in self._open:
            if how is None:
                passage.writer.transport.abort()
            else:
                how(passage.writer)
        return count

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def listen_also(self, listener: socket.socket) -> int:
        """Listen on one more socket, which may be of another network; gives its port."""
        self._elsewhere = await asyncio.start_server(self._accept, sock=listener)
        return int(listener.getsockname()[1])

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

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = Passage(reader, writer, asyncio.get_running_loop().time())
        self.passages.append(passage)
        self._open.add(passage)
        task = asyncio.get_running_loop().create_task(self._serve(passage), name="passage")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, passage: Passage) -> None:
        # It was cut, the gateway went, or the broker is down.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                await self.manner(self, passage)
            finally:
                self._open.discard(passage)
                passage.writer.transport.abort()
