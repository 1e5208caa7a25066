"""The open visits as of one event: on request, and by itself once a new epoch has begun.

    asked --connection--> taken from the outbox --letter--> broker: answered
      ^                                                |
      +--------- refused, no room, or cut off ---------+

A new epoch means that numbers were lost with what they counted: a damaged database, a restored
card image. The snapshot tells the hub who is in, so that it can end what an earlier epoch left
open. That one is due is stored with the epoch, so that no power cut forgets it. Seq and visits are
read between two commits: it holds exactly the visits that are open after event `seq`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import structlog

from edge_agent.publish.channel import Outlet
from edge_agent.publish.contract import Snapshot, SnapshotVisit
from edge_agent.publish.outbox import Outbox, OutboxFullError, StoredVisit
from edge_agent.publish.writer import OutboxThread

__all__ = ["Snapshots", "write_snapshot"]

RETRY_S: Final = 5.0  # after a refusal, or when too many letters wait

log = structlog.get_logger()


def write_snapshot(outbox: Outbox, at: datetime) -> bytes:
    """Write who is in after the last event stored; call it in the outbox's thread."""
    visits = [
        SnapshotVisit.model_validate(
            {
                "visit": visit.id,
                "visitor": visit.visitor,
                "zone": visit.zone,
                "entered_at": datetime.fromtimestamp(visit.entered_unix, UTC),
                "sources": visit.sources,
            }
        )
        for visit in outbox.visits()
        if _open(visit)
    ]
    snapshot = Snapshot(epoch=outbox.epoch, seq=outbox.highest, at=at, visits=tuple(visits))
    return snapshot.model_dump_json().encode()


def _open(visit: StoredVisit) -> bool:
    """Tell a visit from what is remembered of one that may resume, and of a fixture."""
    return visit.exit_decided_at is None and visit.fixture is None


class Snapshots:
    """Answers every request with a snapshot that was taken after it (`channel.Channel`)."""

    name = "snapshot"
    filters: Sequence[str] = ()

    def __init__(self, outbox: OutboxThread, now: Callable[[], datetime], *, due: bool) -> None:
        """Prepare; `run` does the work. `due`: the outbox's epoch has not been told yet."""
        self._outbox = outbox
        self._now = now
        self._asked = int(due)  # requests so far
        self._answered = 0  # how many of them are
        self._told: str | None = None  # an epoch whose snapshot the broker has just taken
        self._under_way = False
        self._outlet: Outlet | None = None
        self._wake = asyncio.Event()
        self._stopping = False

    def request(self) -> None:
        """Publish a snapshot, as soon as there is a connection."""
        self._asked += 1
        self._wake.set()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping = True
        self._wake.set()

    def opened(self, outlet: Outlet) -> None:
        """A connection is there."""
        self._outlet = outlet
        self._wake.set()

    def closed(self) -> None:
        """The connection is gone, and a snapshot under way on it may be."""
        self._outlet = None
        self._under_way = False

    def take(self, leaf: str, payload: bytes) -> None:
        """Nothing arrives here: a snapshot is asked for by a command."""

    async def run(self) -> None:
        """Answer requests until stopped."""
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            await self._remember()
            if self._outlet is not None and self._asked > self._answered and not self._under_way:
                await self._take_and_send()

    async def _remember(self) -> None:
        """Store that the epoch has been told; a full disk only makes a later life tell it again."""
        epoch, self._told = self._told, None
        if epoch is not None:
            with suppress(OutboxFullError):
                await self._outbox(lambda outbox: outbox.tell_epoch(epoch))

    async def _take_and_send(self) -> None:
        asked = self._asked
        epoch, payload = await self._outbox(
            lambda outbox: (outbox.epoch, write_snapshot(outbox, self._now()))
        )

        def accepted(refusal: str | None) -> None:
            self._under_way = False
            if refusal is None:
                self._answered = asked
                self._told = epoch
                self._wake.set()
            else:
                log.error("snapshot_refused", reason=refusal, advice="check the broker's rules")
                self._later()

        outlet = self._outlet
        if outlet is None:
            return
        self._under_way = outlet.send(self.name, payload, accepted=accepted)
        if not self._under_way:
            self._later()

    def _later(self) -> None:
        asyncio.get_running_loop().call_later(RETRY_S, self._wake.set)
