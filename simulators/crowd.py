"""A crowd in a hurry: members who come for some seconds, leave and come again, amid strangers.

Half of the members carry an app that shows EIDs from a new address at each visit, half a static
tag. All that they and the strangers put in the air is remembered as the canary's secrets.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from simulators.bluez import BlueZPeer
from simulators.canary import Secret
from simulators.credentials import (
    NAMESPACE,
    android_service_data,
    ephemeral_id,
    temporary_key,
)
from simulators.phones import ibeacon_payload

__all__ = ["EVENTS_PER_S", "EXIT_S", "MILESTONES_S", "Crowd"]

EXIT_S: Final = 5  # the agent's `exit_after_at_most`, the least it takes
MILESTONES_S: Final = (1, 2, 3, 4)
_STAYS_S: Final = (3.2, 5.2)
_AWAY_S: Final = (EXIT_S + 0.6, EXIT_S + 3.0)
_PERIOD_S: Final = 0.5
# Of one member: enter, exit and the milestones of a mean stay, over the mean of a cycle.
EVENTS_PER_S: Final = (2 + 3.6) / ((sum(_STAYS_S) + sum(_AWAY_S)) / 2)

_APPLE: Final = 0x004C
_TX: Final = -59
_UUID: Final = UUID("f7826da6-4fa2-4e98-8024-bc5b71e0893e")  # of all tags; it names nobody
_STRANGERS: Final = 200  # addresses
_STRANGE_EVERY_S: Final = 0.02


@dataclass(slots=True)
class _Member:
    visitor: str
    number: int
    identity_key: bytes | None  # None: she carries a tag

    def enrolled(self) -> dict[str, Any]:
        if self.identity_key is None:
            beacon = {"uuid": str(_UUID), "major": self.number >> 8, "minor": self.number}
            return {"visitor": self.visitor, "ibeacon": beacon}
        return {"visitor": self.visitor, "ik": self.identity_key.hex()}


class Crowd:
    """`size` members and some strangers in the air of `peer`, until `leave`."""

    def __init__(self, seed: int, size: int) -> None:
        """Draw the members; the same seed gives the same ones."""
        self._dice = random.Random(seed)
        self._members = [
            _Member(f"v-{n:05}", n, self._dice.randbytes(16) if n % 2 else None)
            for n in range(1, size + 1)
        ]
        self._tags = {m.number: self._address() for m in self._members if m.identity_key is None}
        self._secrets: set[tuple[str, bytes]] = set()
        self._gone = asyncio.Event()

    @property
    def roster(self) -> dict[str, Any]:
        """An unsigned roster file (DESIGN section 6)."""
        return {"members": [member.enrolled() for member in self._members]}

    @property
    def secrets(self) -> list[Secret]:
        """Everything that was in the air or on the roster and must be nowhere else."""
        return [Secret(kind, octets) for kind, octets in sorted(self._secrets)]

    def leave(self) -> None:
        """Let every member fall silent at once; the strangers stay."""
        self._gone.set()

    async def run(self, peer: BlueZPeer) -> None:
        """Come and go until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass_by(peer), name="strangers")
            for member in self._members:
                tasks.create_task(self._come_and_go(peer, member), name=member.visitor)

    async def _come_and_go(self, peer: BlueZPeer, member: _Member) -> None:
        await self._wait(self._dice.uniform(0, sum(_AWAY_S)))
        while not self._gone.is_set():
            address, content = self._carried(member)
            leaves = time.monotonic() + self._dice.uniform(*_STAYS_S)
            while time.monotonic() < leaves and not self._gone.is_set():
                peer.advertise(address, -55 - self._dice.randrange(6), **content)
                await self._wait(_PERIOD_S * self._dice.uniform(0.9, 1.1))
            if member.identity_key is not None:
                peer.forget(address)  # it will not be heard again
            await self._wait(self._dice.uniform(*_AWAY_S))

    async def _pass_by(self, peer: BlueZPeer) -> None:
        """Let strangers with phones of all kinds be heard, some of them much like a member's."""
        strangers = [self._address() for _ in range(_STRANGERS)]
        self._secrets.update(("stranger's address", _octets(address)) for address in strangers)
        while True:
            address = self._dice.choice(strangers)
            data = self._dice.randbytes(8)
            match self._dice.randrange(4):
                case 0:
                    content: dict[str, Any] = {"manufacturer_data": {6: data}}
                case 1:
                    service = "0000fcb2-0000-1000-8000-00805f9b34fb"
                    content = {"service_data": {service: data}}
                case 2:
                    tag = bytes.fromhex(ibeacon_payload(UUID(bytes=data * 2), 1, 1, _TX))
                    content = {"manufacturer_data": {_APPLE: tag}}
                case _:
                    content = {"service_data": {str(NAMESPACE): android_service_data(data, _TX)}}
            peer.advertise(address, -60 - self._dice.randrange(35), **content)
            await asyncio.sleep(_STRANGE_EVERY_S)

    def _carried(self, member: _Member) -> tuple[str, dict[str, Any]]:
        """Give a member's address and packet of this visit."""
        if member.identity_key is None:
            payload = bytes.fromhex(ibeacon_payload(_UUID, member.number >> 8, member.number, _TX))
            address = self._tags[member.number]
            self._remember(address, ("tag's number", payload[2:22]))
            return address, {"manufacturer_data": {_APPLE: payload}}
        unix = int(time.time())
        eid, key = ephemeral_id(member.identity_key, unix), member.identity_key
        address = self._address()
        self._remember(
            address, ("EID", eid), ("identity key", key), ("day's key", temporary_key(key, unix))
        )
        return address, {"service_data": {str(NAMESPACE): android_service_data(eid, _TX)}}

    def _remember(self, address: str, *others: tuple[str, bytes]) -> None:
        self._secrets.update((("member's address", _octets(address)), *others))

    def _address(self) -> str:
        """Draw a random address, as resolvable ones look (Core specification Vol 6 B 1.3.2)."""
        octets = self._dice.randbytes(6)
        return bytes([octets[0] & 0x3F | 0x40, *octets[1:]]).hex(":").upper()

    async def _wait(self, seconds: float) -> None:
        """Sleep, but not past the leaving of all."""
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            return


def _octets(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))
