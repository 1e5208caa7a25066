"""MQTT packets on a stream: enough of 3.1.1 and 5 to watch a wire, hold it up, and answer on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

__all__ = ["CONNACK_5", "Packet", "packets", "puback", "read_packet"]

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4  # MQTT 5, 2.1.2
CONNACK_5: Final = bytes([CONNACK << 4, 3, 0, 0, 0])  # accepted, without properties
_UNLIMITED: Final = 65_535  # what a broker that says nothing allows (MQTT 5, 3.2.2.3.3)
_MORE: Final = 0x80  # of a length, in octets of seven bits (MQTT 5, 1.5.5)
_V5: Final = 5


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet: its first octet, what follows its length, and all its octets."""

    first: int
    body: bytes
    raw: bytes

    @property
    def kind(self) -> int:
        """Which of the fifteen."""
        return self.first >> 4

    @property
    def publish_id(self) -> int | None:
        """The identifier of a PUBLISH that waits for a PUBACK."""
        if self.kind != PUBLISH or not self.first & 0x06:
            return None
        topic = int.from_bytes(self.body[:2])
        return int.from_bytes(self.body[2 + topic : 4 + topic])

    @property
    def topic(self) -> str:
        """Where a PUBLISH goes; nothing for others."""
        if self.kind != PUBLISH:
            return ""
        return self.body[2 : 2 + int.from_bytes(self.body[:2])].decode()

    @property
    def puback_id(self) -> int | None:
        """The identifier that a PUBACK answers."""
        return int.from_bytes(self.body[:2]) if self.kind == PUBACK else None

    @property
    def receive_maximum(self) -> int:
        """What a CONNACK of MQTT 5 allows in flight."""
        properties = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call] # paho
        properties.unpack(self.body[2:])  # type: ignore[no-untyped-call] # paho
        return int(getattr(properties, "ReceiveMaximum", _UNLIMITED))

    @property
    def speaks_5(self) -> bool:
        """Whether a CONNECT asks for MQTT 5 (3.1.2.2: after the name)."""
        return self.kind == CONNECT and self.body[6] == _V5


async def read_packet(reader: asyncio.StreamReader) -> Packet:
    """Read one packet.

    Raises:
        asyncio.IncompleteReadError: the stream ended.
    """
    raw = head = await reader.readexactly(1)
    length = shift = 0
    while True:
        (octet,) = digit = await reader.readexactly(1)
        raw += digit
        length |= (octet & 0x7F) << shift
        shift += 7
        if octet < _MORE:
            break
    body = await reader.readexactly(length)
    return Packet(head[0], body, raw + body)


def packets(octets: bytes) -> Iterator[Packet]:
    """Take whole packets apart."""
    while octets:
        at = length = shift = 0
        while at == 0 or octets[at] >= _MORE:
            at += 1
            length |= (octets[at] & 0x7F) << shift
            shift += 7
        at += 1
        whole, octets = octets[: at + length], octets[at + length :]
        yield Packet(whole[0], whole[at:], whole)


def puback(identifier: int, reason: int = 0) -> bytes:
    """Write a PUBACK; one with a reason is of MQTT 5 (3.4.2.1)."""
    body = identifier.to_bytes(2) + (bytes([reason]) if reason else b"")
    return bytes([PUBACK << 4, len(body)]) + body
