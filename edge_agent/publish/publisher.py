"""From decided events to a hub that has applied them: the writer, the link, and their outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from edge_agent.config import Mqtt
from edge_agent.publish.alarms import Alarm
from edge_agent.publish.channel import Channel
from edge_agent.publish.compose import Composer, Draft
from edge_agent.publish.contract import State
from edge_agent.publish.delivery import Delivery
from edge_agent.publish.link import Link
from edge_agent.publish.mqtt import Certificates
from edge_agent.publish.outbox import Outbox, OutboxFullError, StoredVisit
from edge_agent.publish.snapshot import Snapshots
from edge_agent.publish.topics import Topics
from edge_agent.publish.writer import OutboxThread, Writer

__all__ = ["DeliveryState", "Publisher"]

log = structlog.get_logger()
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How delivery is, for health, status and the demo."""

    connected: bool
    highest: int  # the seq of the newest event stored
    outstanding: int  # stored and not confirmed by the hub
    watermark: int
    in_flight: int
    pending: int  # decided and not stored
    dropped: int  # lost to a full disk, by this process
    detail: str
    alarms: tuple[str, ...] = ()

    @property
    def advice(self) -> dict[str, str]:
        """What to do about each alarm."""
        return {alarm: Alarm(alarm).advice for alarm in self.alarms}


class Publisher:
    """Delivers the events of one gateway: the writer stores them, the link sends them."""

    def __init__(
        self,
        outbox: Outbox,
        composer: Composer,
        topics: Topics,
        settings: Mqtt,
        birth: State,
        open_visits: Callable[[], list[StoredVisit] | None],
        now: Callable[[], float],
        channels: Sequence[Channel] = (),
    ) -> None:
        """Prepare; `run` does the work.

        Args:
            outbox: open; from here on only the publisher's own thread touches it.
            composer: writes events.
            topics: names the gateway.
            settings: where the broker is.
            birth: published on every connection; the will is the same with `connected: false`.
            open_visits: gives what must outlive a restart, as of all that was submitted; None
                leaves what is stored as it is.
            now: a monotonic clock, seconds.
            channels: the hub's concerns beside the events.
        """
        delivery = Delivery(
            outbox.epoch, highest=outbox.highest, watermark=outbox.watermark, hub=outbox.hub
        )
        self._to_erase: set[str] = set()
        self._composer = composer
        self._outbox = OutboxThread(outbox)
        self._snapshots = Snapshots(self._outbox, composer.moment, due=outbox.untold)
        self._link = Link(
            self._outbox,
            delivery,
            composer,
            topics,
            settings,
            birth,
            now,
            (*channels, self._snapshots),
        )
        self._link.epoch_began = self._snapshots.request
        self._writer = Writer(self._outbox, composer, open_visits, self._link.stored)
        self._outbox.replaced = self._outbox_replaced

    def _outbox_replaced(self, epoch: str, highest: int) -> None:
        """Another outbox, another epoch: its first word is who is in."""
        self._link.renew(epoch, highest)
        self._writer.after_checkpoint = self._snapshots.request
        self._writer.checkpoint()

    @property
    def state(self) -> DeliveryState:
        """How delivery is now."""
        link, writer = self._link, self._writer
        alarms = tuple(alarm for alarm, raised in self._conditions().items() if raised)
        full = "the disk is full: free some space; nothing stored is lost"
        return DeliveryState(
            link.opened,
            link.delivery.highest,
            link.delivery.outstanding,
            link.delivery.watermark,
            link.delivery.in_flight,
            writer.pending,
            writer.dropped,
            full if writer.disk_full else link.detail,
            alarms,
        )

    def show(self, certificates: Certificates) -> None:
        """Let these choose which certificate the broker is shown; before `run`."""
        self._link.certificates = certificates

    def _conditions(self) -> dict[Alarm, bool]:
        outbox, link, writer = self._outbox, self._link, self._writer
        return {
            Alarm.PUBLISH_REFUSED: link.delivery.refused_seq is not None,
            Alarm.DISK_FULL: writer.disk_full,
            Alarm.DISK_UNWRITABLE: outbox.in_memory,
            Alarm.DATABASE_DAMAGED: outbox.damaged,
            Alarm.OLD_COPY: link.was_old_copy,
            Alarm.CLIENT_ID_TAKEN: link.rivals.suspected,
            Alarm.HUB_SILENT: link.hub_silent,
            Alarm.EVENTS_DROPPED: outbox.dropped > 0,
        }

    def submit(self, drafts: Iterable[tuple[Draft, StoredVisit]]) -> None:
        """Take events, each with its visit as it then was, to be stored and delivered in order."""
        self._writer.submit(drafts)

    async def checkpoint(self) -> None:
        """Store how far the open visits have got, after all that was submitted."""
        await self.erase(())  # what a full disk has put off
        unix = self._composer.unix_if_known()
        await self._outbox(lambda outbox: outbox.sweep(unix, self._composer.gap))
        self._writer.checkpoint()

    def report_health(self, payload: bytes) -> None:
        """Publish the gateway's health, where there is a connection."""
        self._link.report_health(payload)

    def request_snapshot(self) -> None:
        """Publish who is in, as of the last event stored, as soon as there is a connection."""
        self._snapshots.request()

    async def skip_refused(self) -> int:
        """Give up the event that the broker refuses: a tombstone takes its place.

        Returns:
            How many events were skipped; 0 when none is refused.
        """
        return await self._link.skip_refused()

    async def in_outbox(self, action: Callable[[Outbox], _T]) -> _T:
        """Do something with the outbox in its thread."""
        return await self._outbox(action)

    async def visitors(self) -> set[str]:
        """Give the pseudonyms of everybody of whom anything is pending or stored."""
        return self._writer.visitors | await self._outbox(lambda outbox: outbox.visitors())

    async def erase(self, visitors: Iterable[str]) -> bool:
        """Forget visitors whose consent ended: what is pending, queued, or in the tail.

        A disk so full that nothing can even be deleted makes it wait for the next `checkpoint`.

        Returns:
            Whether nothing waits.
        """
        self._to_erase.update(visitors)
        for visitor in sorted(self._to_erase):
            self._writer.forget(visitor)
            try:
                await self._outbox(partial(Outbox.erase, visitor=visitor, write=self._composer.gap))
            except OutboxFullError:
                log.error("disk_full", waiting="an erasure")  # noqa: TRY400 - the operator's
                return False
            self._to_erase.discard(visitor)
        return True

    async def run(self) -> None:
        """Write and deliver until `stop`; what was submitted before it is stored."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._writer.run(), name="outbox writer")
            tasks.create_task(self._link.run(), name="mqtt link")
            tasks.create_task(self._snapshots.run(), name="snapshots")
        self._outbox.close()

    def stop(self) -> None:
        """Store what is pending, say goodbye to the broker, and let `run` return."""
        self._writer.stop()
        self._link.stop()
        self._snapshots.stop()
