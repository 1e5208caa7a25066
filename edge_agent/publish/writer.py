"""Stores what is decided: in groups, in order, and from the one place that may wait for a disk.

    submit --> pending --writer--> outbox

Enter and exit are committed at once, others within 250 ms, at most 50 a commit. A full disk makes
events wait here; what then does not fit is dropped, dwell and move first, and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

from edge_agent.publish.compose import Composer, Draft
from edge_agent.publish.database import DatabaseError, OutboxFullError, damaged, gone, writable
from edge_agent.publish.outbox import Outbox, StoredVisit
from edge_agent.publish.outbox_rescue import keep_visits, successor

__all__ = ["OutboxThread", "Writer"]

GROUP_S: Final = 0.25
GROUP_EVENTS: Final = 50
MOST_PENDING: Final = 10_000  # events decided and not yet stored: only a full disk gets that far
FULL_RETRY_S: Final = 5.0

log = structlog.get_logger()
_T = TypeVar("_T")


class OutboxThread:
    """The one thread that touches the outbox; what is asked of it is done in that order."""

    def __init__(self, outbox: Outbox) -> None:
        """Take the outbox over; `replaced` is told the epoch and highest seq of its successor."""
        self._outbox = outbox
        self._has_successor = False
        self.replaced: Callable[[str, int], None] = lambda _epoch, _highest: None
        self.numbers = outbox.epoch, outbox.highest  # at its opening
        self.damaged = outbox.was_damaged  # in this process's life
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="outbox")

    async def __call__(self, action: Callable[[Outbox], _T]) -> _T:
        """Do something with the outbox."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._worker, self._do, action)
        finally:
            if self._has_successor:
                self._has_successor = False
                self.replaced(*self.numbers)

    @property
    def in_memory(self) -> bool:
        """Whether what is stored outlives this process."""
        return self._outbox.path is None

    @property
    def dropped(self) -> int:
        """How many events the budget has dropped, in this process."""
        return self._outbox.ledger.dropped.total()

    def close(self) -> None:
        """End the thread, once what was asked is done."""
        self._worker.shutdown()
        self._outbox.close()

    def _do(self, action: Callable[[Outbox], _T]) -> _T:
        """Do it; an outbox that is lost has a successor, where it is done instead."""
        outbox = self._outbox
        failure: DatabaseError | OutboxFullError
        try:
            return action(outbox)
        except OutboxFullError as error:
            if outbox.path is None or writable(outbox.path.parent):
                raise
            failure = error
        except DatabaseError as error:
            if outbox.path is None or not gone(error):
                raise
            self.damaged = self.damaged or damaged(error)
            failure = error
        self._outbox = successor(outbox, failure)
        self.numbers = self._outbox.epoch, self._outbox.highest
        self._has_successor = True
        return action(self._outbox)


class Writer:
    """Commits events to the outbox; `stored` is told the epoch and highest seq after each."""

    def __init__(
        self,
        outbox: OutboxThread,
        composer: Composer,
        open_visits: Callable[[], list[StoredVisit] | None],
        stored: Callable[[str, int], None],
    ) -> None:
        """Prepare; `run` does the work."""
        self._outbox = outbox
        self._composer = composer
        self._open_visits = open_visits
        self._stored = stored
        self._pending: deque[tuple[Draft, StoredVisit]] = deque()
        self._group: list[tuple[Draft, StoredVisit]] = []  # being committed
        self._submitted = asyncio.Event()
        self._checkpoint_due = False
        self.after_checkpoint: Callable[[], None] | None = None  # called once, after the next
        self._stopping = asyncio.Event()
        self.dropped = 0  # events lost to a full disk
        self.disk_full = False

    @property
    def pending(self) -> int:
        """How many events are decided and not stored."""
        return len(self._pending)

    @property
    def visitors(self) -> set[str]:
        """The pseudonyms of everybody of whom something is pending."""
        return {draft.visitor for draft, _ in (*self._pending, *self._group)}

    def submit(self, drafts: Iterable[tuple[Draft, StoredVisit]]) -> None:
        """Take events in; past `MOST_PENDING` the oldest dwell or move makes room."""
        for draft in drafts:
            if len(self._pending) >= MOST_PENDING:
                self._make_room()
            self._pending.append(draft)
        self._submitted.set()

    def checkpoint(self) -> None:
        """Store how far the open visits have got, after all that was submitted."""
        self._checkpoint_due = True
        self._submitted.set()

    def forget(self, visitor: str) -> None:
        """Drop what is pending of a visitor whose consent ended."""
        self._pending = deque(pair for pair in self._pending if pair[0].visitor != visitor)
        self._group = [pair for pair in self._group if pair[0].visitor != visitor]

    def stop(self) -> None:
        """Store what is pending and let `run` return."""
        self._stopping.set()
        self._submitted.set()

    async def run(self) -> None:
        """Commit what is pending, in groups, until stopped and empty."""
        while True:
            await self._submitted.wait()
            self._submitted.clear()
            while self._pending:
                if not self._urgent():
                    await self._company()
                await self._commit()
            if self._checkpoint_due or self._stopping.is_set():
                # Taken while nothing is pending: never older than an event stored before it.
                self._checkpoint_due = False
                then, self.after_checkpoint = self.after_checkpoint, None
                await self._keep_visits(self._open_visits())
                if then is not None:
                    then()
            if self._stopping.is_set() and not self._pending:
                return

    def _urgent(self) -> bool:
        return self._stopping.is_set() or any(draft.urgent for draft, _ in self._pending)

    def _make_room(self) -> None:
        least = next((pair for pair in self._pending if not pair[0].urgent), self._pending[0])
        self._pending.remove(least)
        self.dropped += 1

    async def _company(self) -> None:
        """Let events that are in no hurry wait for others, and for an urgent one at most."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + GROUP_S
        while len(self._pending) < GROUP_EVENTS and (left := deadline - clock()) > 0:
            try:
                await asyncio.wait_for(self._submitted.wait(), left)
            except TimeoutError:
                return
            self._submitted.clear()
            if self._urgent():
                return

    async def _commit(self) -> None:
        group = [self._pending.popleft() for _ in range(min(GROUP_EVENTS, len(self._pending)))]
        self._group = group
        visits = {visit.visitor: visit for _, visit in group}
        drafts = [draft for draft, _ in group]
        try:
            epoch, rows = await self._outbox(
                lambda outbox: (
                    outbox.epoch,
                    outbox.commit(drafts, self._composer.number, visits.values()),
                )
            )
            await self._outbox(lambda outbox: outbox.keep_to_budget(self._composer.gap))
        except OutboxFullError:
            await self._disk_is_full()
            return
        self._group = []
        self.disk_full = False
        self._stored(epoch, rows[-1][0])

    async def _disk_is_full(self) -> None:
        """Keep the events for later; at a stop there is none, and they are counted as lost."""
        self.disk_full = True
        self._pending.extendleft(reversed(self._group))
        self._group = []
        log.error("disk_full", waiting=len(self._pending))
        if self._stopping.is_set():
            self.dropped += len(self._pending)
            self._pending.clear()
            return
        await asyncio.sleep(FULL_RETRY_S)

    async def _keep_visits(self, visits: list[StoredVisit] | None) -> None:
        if visits is None:
            return
        try:
            await self._outbox(lambda outbox: keep_visits(outbox, visits))
        except OutboxFullError:
            self.disk_full = True
            log.error("disk_full", waiting=0)  # noqa: TRY400 - the operator's matter, no bug
