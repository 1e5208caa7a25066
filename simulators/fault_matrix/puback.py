"""PUBACKs that lie, come late, come twice or not at all; and how many may be waited for.

A PUBACK only paces the sending. Whatever it says, nothing is deleted for it and nothing overtaken.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Final

from simulators.fault_matrix.gate import Mischief, Passage
from simulators.fault_matrix.scenario import Length, Scenario, Verdict
from simulators.fault_matrix.stand import Stand
from simulators.mqtt_wire import Packet, puback

__all__ = ["SCENARIOS"]

_NOT_AUTHORIZED: Final = 0x87  # MQTT 5, 3.4.2.1
_QUOTA_EXCEEDED: Final = 0x97


def _visits(length: Length) -> int:
    return 60 if length is Length.SHORT else 600


class _Counting(Mischief):
    """Counts what it did."""

    def __init__(self, seed: int) -> None:
        self.count = 0
        self.dice = random.Random(seed)

    async def homeward(self, packet: Packet, passage: Passage) -> bytes:
        """Do something to each PUBACK."""
        if packet.puback_id is None:
            return packet.raw
        return await self.answer(packet, packet.puback_id, passage)

    async def answer(self, packet: Packet, identifier: int, passage: Passage) -> bytes:
        """Give what the gateway gets for a PUBACK."""
        del identifier, passage
        return packet.raw


class _Delaying(_Counting):
    """Holds each up a little, and what follows it with it."""

    async def answer(self, packet: Packet, identifier: int, passage: Passage) -> bytes:
        del identifier, passage
        self.count += 1
        await asyncio.sleep(self.dice.uniform(0, 0.02))
        return packet.raw


class _Reordering(_Counting):
    """Gives them in threes, backwards; what waits for company for too long goes alone."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._kept: list[bytes] = []
        self._hurry: asyncio.Task[None] | None = None

    async def answer(self, packet: Packet, identifier: int, passage: Passage) -> bytes:
        del identifier
        self._kept.append(packet.raw)
        if len(self._kept) < 3:  # noqa: PLR2004 - in threes
            if self._hurry is None or self._hurry.done():
                self._hurry = asyncio.create_task(self._later(passage), name="company")
            return b""
        self.count += 1
        return self._backwards()

    async def _later(self, passage: Passage) -> None:
        await asyncio.sleep(0.05)
        await passage.give(self._backwards())

    def _backwards(self) -> bytes:
        kept, self._kept = self._kept[::-1], []
        return b"".join(kept)


class _Doubling(_Counting):
    """Says each twice."""

    async def answer(self, packet: Packet, identifier: int, passage: Passage) -> bytes:
        del identifier, passage
        self.count += 1
        return packet.raw * 2


class _Inventing(_Counting):
    """Answers what nobody asked, beside what somebody did."""

    async def answer(self, packet: Packet, identifier: int, passage: Passage) -> bytes:
        del identifier
        unknown = self.dice.choice([n for n in range(1, 65_536) if n not in passage.unanswered])
        self.count += 1
        return puback(unknown) + packet.raw


class _Withholding(_Counting):
    """Keeps every third to itself for ever, as long as it is `greedy`."""

    greedy = True

    async def answer(self, packet: Packet, identifier: int, passage: Passage) -> bytes:
        del passage
        if not self.greedy or identifier % 3:
            return packet.raw
        self.count += 1
        return b""


class _Refusing(_Counting):
    """Refuses some events instead of passing them on: the broker never sees them."""

    def __init__(self, seed: int, reason: int, most: int) -> None:
        super().__init__(seed)
        self._reason = reason
        self._most = most

    async def outward(self, packet: Packet, passage: Passage) -> bytes:
        """Refuse one in ten, until there were enough."""
        identifier = packet.publish_id
        refusable = packet.topic.endswith("/events") and self.count < self._most
        if identifier is None or not refusable or self.dice.random() > 0.1:  # noqa: PLR2004
            return packet.raw
        self.count += 1
        await passage.give(puback(identifier, self._reason))
        return b""


async def _under(folder: Path, length: Length, mischief: _Counting, note: str) -> Verdict:
    """Deliver visits through a gate that does this to PUBACKs."""
    async with Stand(folder) as stand:
        stand.gate.mischief = mischief
        gateway = stand.gateway(protocol="5")
        async with gateway.life():
            await gateway.visits(_visits(length))
            stand.expect(await gateway.settled(), "not settled")
        stand.injected = mischief.count
        return stand.verdict(note.format(most=stand.gate.most_unanswered))


async def _delayed(folder: Path, length: Length, seed: int) -> Verdict:
    return await _under(folder, length, _Delaying(seed), "at most {most} unanswered at once")


async def _reordered(folder: Path, length: Length, seed: int) -> Verdict:
    return await _under(folder, length, _Reordering(seed), "at most {most} unanswered at once")


async def _doubled(folder: Path, length: Length, seed: int) -> Verdict:
    return await _under(folder, length, _Doubling(seed), "every PUBACK said twice")


async def _invented(folder: Path, length: Length, seed: int) -> Verdict:
    return await _under(folder, length, _Inventing(seed), "one unknown identifier a PUBACK")


async def _refused(folder: Path, length: Length, seed: int) -> Verdict:
    most = 2 if length is Length.SHORT else 4
    mischief = _Refusing(seed, _NOT_AUTHORIZED, most)
    return await _under(folder, length, mischief, "not authorised (0x87), then allowed")


async def _over_quota(folder: Path, length: Length, seed: int) -> Verdict:
    most = 2 if length is Length.SHORT else 4
    mischief = _Refusing(seed, _QUOTA_EXCEEDED, most)
    return await _under(folder, length, mischief, "quota exceeded (0x97), then allowed")


async def _withheld(folder: Path, length: Length, seed: int) -> Verdict:
    """Every third PUBACK is lost for good: the window runs full of publishes nobody answers."""
    mischief = _Withholding(seed)
    async with Stand(folder) as stand:
        stand.gate.mischief = mischief
        gateway = stand.gateway(protocol="5")
        async with gateway.life():
            await gateway.visits(_visits(length))
            await gateway.stored()
            await asyncio.sleep(3 if length is Length.SHORT else 75)  # the long one: given up
            full = stand.gate.most_unanswered
            mischief.greedy = False
            stand.gate.cut()
            stand.expect(await gateway.settled(), "not settled")
        stand.injected = mischief.count
        return stand.verdict(f"{full} waited for, and not one more sent")


async def _narrow(folder: Path, length: Length, most: int) -> Verdict:
    """A broker that allows only so many: the count is taken on the wire."""
    async with Stand(folder, broker=(f"max_inflight_messages {most}",)) as stand:
        gateway = stand.gateway(protocol="5")
        async with gateway.life() as publisher:
            await gateway.visits(_visits(length))
            stand.expect(await gateway.settled(), "not settled")
            stand.expect(publisher.state.connected, "not connected at the end")
        stand.expect(stand.gate.passages[0].allowed == most, "the broker did not say so")
        stand.injected = 1
        return stand.verdict(f"at most {stand.gate.most_unanswered} unanswered at once")


async def _one(folder: Path, length: Length, seed: int) -> Verdict:
    del seed
    return await _narrow(folder, length, 1)


async def _five(folder: Path, length: Length, seed: int) -> Verdict:
    del seed
    return await _narrow(folder, length, 5)


SCENARIOS: Final = (
    Scenario("PUBACK withheld", _withheld),
    Scenario("PUBACK delayed", _delayed),
    Scenario("PUBACK reordered", _reordered),
    Scenario("PUBACK twice", _doubled),
    Scenario("PUBACK for unknown", _invented),
    Scenario("PUBACK negative 0x87", _refused),
    Scenario("PUBACK negative 0x97", _over_quota),
    Scenario("Receive Maximum 1", _one),
    Scenario("Receive Maximum 5", _five),
)
