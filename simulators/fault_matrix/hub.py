"""What a hub forgets, and what it claims: restored stores, incarnations, watermarks of nowhere."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

import paho.mqtt.publish as paho_publish

from simulators.fault_matrix.gateway import EVENTS_PER_VISIT, Gateway, until
from simulators.fault_matrix.scenario import Length, Scenario, Verdict
from simulators.fault_matrix.stand import Stand, ask

__all__ = ["SCENARIOS"]

_VISITS: Final = 40
_PATIENCE_S: Final = 15.0


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


async def _restored(folder: Path, length: Length, seed: int) -> Verdict:
    """The hub's store is put back to a backup, with a newer incarnation, again and again."""
    del seed
    rounds = 1 if length is Length.SHORT else 5
    backup = folder / "backup.db"
    replayed = 0
    async with Stand(folder) as stand:
        gateway = stand.gateway()
        async with gateway.life():
            for _ in range(rounds):
                await gateway.visits(_VISITS)
                stand.expect(await gateway.settled(), "not settled before the backup")
                stand.hub.back_up(backup)
                await gateway.visits(_VISITS)
                stand.expect(await gateway.settled(), "not settled after the backup")
                await stand.hub.stop()
                before = _applied(stand)
                stand.hub.restore(backup, incarnation=_unix_ms())
                replayed += before - _applied(stand)
                stand.injected += 1
                await stand.hub.start()
                await gateway.visits(1)
                stand.expect(await _caught_up(stand, gateway), "the hub was not sent what it lost")
        return stand.verdict(f"{replayed} events forgotten and sent again")


async def _emptied(folder: Path, length: Length, seed: int) -> Verdict:
    """The hub's store is deleted: the tail is sent again from the beginning."""
    del seed
    visits = _VISITS if length is Length.SHORT else 1000
    async with Stand(folder) as stand:
        gateway = stand.gateway()
        async with gateway.life():
            await gateway.visits(visits)
            stand.expect(await gateway.settled(), "not settled before")
            await stand.hub.stop()
            for file in folder.glob("hub.db*"):  # noqa: ASYNC240 - three at most
                file.unlink()
            stand.injected += 1
            await stand.hub.start()
            await gateway.visits(1)
            stand.expect(await _caught_up(stand, gateway), "the hub was not sent what it lost")
        return stand.verdict(f"{visits * EVENTS_PER_VISIT} events forgotten and sent again")


async def _backwards(folder: Path, length: Length, seed: int) -> Verdict:
    """An older incarnation is not believed; a store put back without a word must notice itself."""
    del length, seed
    backup = folder / "backup.db"
    async with Stand(folder) as stand:
        gateway = stand.gateway()
        async with gateway.life() as publisher:
            await gateway.visits(_VISITS)
            stand.expect(await gateway.settled(), "not settled before the backup")
            stand.hub.back_up(backup)
            await gateway.visits(_VISITS)
            stand.expect(await gateway.settled(), "not settled after the backup")
            watermark = publisher.state.watermark
            epoch = await publisher.in_outbox(lambda outbox: outbox.epoch)
            await stand.hub.stop()
            await _acknowledge(stand, gateway, {"epoch": epoch, "seq": 1, "hub": 1})
            await asyncio.sleep(1)
            stand.expect(publisher.state.watermark == watermark, "an older incarnation is believed")
            now = {"epoch": epoch, "seq": watermark, "hub": _unix_ms()}
            await _acknowledge(stand, gateway, now)  # as the hub had said last
            stand.hub.restore(backup, incarnation=1)
            stand.injected += 1
            await stand.hub.start()
            await gateway.visits(1)
            stand.expect(await _caught_up(stand, gateway), "the hub was not sent what it lost")
        return stand.verdict("not believed; restored without a word, it was sent all it had lost")


async def _acknowledge(stand: Stand, gateway: Gateway, ack: dict[str, Any]) -> None:
    """Say what a hub might say, retained."""
    await asyncio.to_thread(
        paho_publish.single,
        gateway.topics.ack,
        json.dumps(ack).encode(),
        qos=1,
        retain=True,
        port=stand.broker.port,
        hostname="127.0.0.1",
    )


async def _ahead(folder: Path, length: Length, seed: int) -> Verdict:
    """A watermark of nowhere is retained when the agent starts: a new epoch, nothing twice.

    What this life has stored by then is carried over. Had the hub applied some of it, it would come
    twice: a hub that lies gives no other choice than that or a loss, since the numbers that it
    confirms may be those of another card's events.
    """
    del length, seed
    async with Stand(folder) as stand:
        gateway = stand.gateway()
        async with gateway.life() as publisher:
            await gateway.visits(_VISITS)
            stand.expect(await gateway.settled(), "not settled before")
            epoch = await publisher.in_outbox(lambda outbox: outbox.epoch)
        ack = {"epoch": epoch, "seq": 1_000_000, "hub": _unix_ms()}
        await _acknowledge(stand, gateway, ack)
        stand.injected += 1
        async with gateway.life():
            await _goes_on_anew(stand, gateway, epoch)
        return stand.verdict("a new epoch began")


async def _old_copy(folder: Path, length: Length, seed: int) -> Verdict:
    """A card image of some time ago is put back: its numbers have been used since."""
    del length, seed
    async with Stand(folder) as stand:
        gateway = stand.gateway()
        async with gateway.life() as publisher:
            await gateway.visits(_VISITS)
            stand.expect(await gateway.settled(), "not settled before the image")
            epoch = await publisher.in_outbox(lambda outbox: outbox.epoch)
        image = gateway.outbox_file.read_bytes()
        async with gateway.life():
            await gateway.visits(_VISITS)
            stand.expect(await gateway.settled(), "not settled after the image")
        for file in gateway.outbox_file.parent.glob("outbox.db-*"):
            file.unlink()
        gateway.outbox_file.write_bytes(image)
        stand.injected += 1
        async with gateway.life():
            await gateway.visits(1)
            await _goes_on_anew(stand, gateway, epoch)
        return stand.verdict("a new epoch began, with what was not sent yet")


async def _goes_on_anew(stand: Stand, gateway: Gateway, epoch: str) -> None:
    """See the gateway leave an epoch, and deliver in the next."""
    publisher = gateway.publisher
    deadline = time.monotonic() + _PATIENCE_S
    while await publisher.in_outbox(lambda outbox: outbox.epoch) == epoch:
        await asyncio.sleep(0.05)
        if time.monotonic() > deadline:
            stand.expect(kept=False, otherwise="no new epoch began")
            return
    await gateway.visits(_VISITS)
    stand.expect(await gateway.settled(), "not settled in the new epoch")


async def _caught_up(stand: Stand, gateway: Gateway) -> bool:
    """Wait until the hub's own store has every number; the gateway may not know it is behind."""
    await gateway.stored()

    def there() -> bool:
        ((cursor,),) = ask(stand.hub.store, "SELECT coalesce(max(seq), 0) FROM cursor")
        return int(cursor) == gateway.publisher.state.highest

    return await until(there) and await gateway.settled()


def _applied(stand: Stand) -> int:
    ((count,),) = ask(stand.hub.store, "SELECT count(*) FROM applied")
    return int(count)


SCENARIOS: Final = (
    Scenario("hub restored", _restored),
    Scenario("hub's store deleted", _emptied),
    Scenario("hub older than it was", _backwards),
    Scenario("hub ahead of the gateway", _ahead),
    Scenario("old copy of the outbox", _old_copy),
)
