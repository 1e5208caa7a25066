"""From decided events to a hub that has applied them: the shell around outbox and delivery.

    submit --> pending --writer--> outbox --link--> broker --> hub
                                     ^                          |
                                     +------- watermark --------+

Two tasks. The *writer* commits what is pending: enter and exit at once, others within 250 ms, at
most 50 a commit. The *link* keeps one connection after another, sends what `Delivery` says, and
takes the hub's watermark in. Both block on nothing but the outbox's one worker thread.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from pydantic import ValidationError

from edge_agent.config import Mqtt
from edge_agent.publish.compose import Composer, Draft, renumbered
from edge_agent.publish.contract import Acknowledgement, State
from edge_agent.publish.delivery import WINDOW, Delivery, Watermark
from edge_agent.publish.mqtt import Accepted, Connection, Ended, Message, Opened, Protocol
from edge_agent.publish.outbox import Outbox, OutboxFullError, StoredVisit
from edge_agent.publish.topics import Topics

__all__ = ["DeliveryState", "Publisher"]

GROUP_S: Final = 0.25
GROUP_EVENTS: Final = 50
MOST_PENDING: Final = 10_000  # events decided and not yet stored: only a full disk gets that far
FULL_RETRY_S: Final = 5.0
PUBACK_S: Final = 60.0  # in flight this long without any PUBACK: the connection is no use
STABLE_S: Final = 60.0
LONGEST_BACKOFF_S: Final = 60.0
GOODBYE_S: Final = 2.0

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


class Publisher:
    """Delivers the events of one gateway."""

    def __init__(
        self,
        outbox: Outbox,
        composer: Composer,
        topics: Topics,
        settings: Mqtt,
        birth: State,
        open_visits: Callable[[], list[StoredVisit] | None],
        now: Callable[[], float],
    ) -> None:
        """Prepare; `run` does the work.

        Args:
            outbox: open; from here on only the publisher's worker thread touches it.
            composer: writes events.
            topics: names the gateway.
            settings: where the broker is.
            birth: published on every connection; the will is the same with `connected: false`.
            open_visits: gives what must outlive a restart, as of all that was submitted; None
                leaves what is stored as it is.
            now: a monotonic clock, seconds.
        """
        self._open_visits = open_visits
        self._checkpoint_due = False
        self._outbox = outbox
        self._composer = composer
        self._topics = topics
        self._settings = settings
        self._birth = birth
        self._now = now
        self._delivery = Delivery(
            outbox.epoch, highest=outbox.highest, watermark=outbox.watermark, hub=outbox.hub
        )
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._pending: deque[tuple[Draft, StoredVisit]] = deque()
        self._submitted = asyncio.Event()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._dropped = 0
        self._connection: Connection | None = None
        self._opened = False
        self._detail = "not connected yet"
        self._mids: dict[int, int] = {}  # of the publishes in flight -> seq
        self._heard_from_broker = 0.0
        self._acknowledged: Acknowledgement | None = None

    @property
    def state(self) -> DeliveryState:
        """How delivery is now."""
        return DeliveryState(
            self._opened,
            self._delivery.highest,
            self._delivery.outstanding,
            self._delivery.watermark,
            self._delivery.in_flight,
            len(self._pending),
            self._dropped,
            self._detail,
        )

    def submit(self, drafts: Iterable[tuple[Draft, StoredVisit]]) -> None:
        """Take events, each with its visit as it then was, to be stored and delivered in order.

        Past `MOST_PENDING`, which only a full disk brings about, the oldest dwell or move is
        dropped and counted; enter and exit last of all.
        """
        for draft in drafts:
            if len(self._pending) >= MOST_PENDING:
                self._make_room()
            self._pending.append(draft)
        self._submitted.set()

    def report_health(self, payload: bytes) -> None:
        """Publish the gateway's health, where there is a connection."""
        if self._opened and self._connection is not None:
            self._connection.publish(self._topics.health, payload, qos=0, retain=True)

    async def in_outbox(self, action: Callable[[Outbox], _T]) -> _T:
        """Do something with the outbox in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, action, self._outbox)

    async def erase(self, visitor: str) -> None:
        """Forget a visitor whose consent ended: what is pending, queued, or in the tail."""
        self._pending = deque(pair for pair in self._pending if pair[0].visitor != visitor)
        write = self._composer.gap
        await self.in_outbox(lambda outbox: outbox.erase(visitor, write))

    async def run(self) -> None:
        """Write and deliver until `stop`; what was submitted before it is stored."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(), name="outbox writer")
            tasks.create_task(self._link(), name="mqtt link")
        self._worker.shutdown()

    def checkpoint(self) -> None:
        """Store how far the open visits have got, after all that was submitted."""
        self._checkpoint_due = True
        self._submitted.set()

    def stop(self) -> None:
        """Store what is pending, say goodbye to the broker, and let `run` return."""
        self._stopping.set()
        self._submitted.set()
        self._wake.set()

    def _make_room(self) -> None:
        least = next((pair for pair in self._pending if not pair[0].urgent), self._pending[0])
        self._pending.remove(least)
        self._dropped += 1

    async def _write(self) -> None:
        """Commit what is pending, in groups, until stopped and empty."""
        while True:
            await self._submitted.wait()
            self._submitted.clear()
            while self._pending:
                if not self._stopping.is_set() and not any(
                    draft.urgent for draft, _ in self._pending
                ):
                    await self._company()
                await self._commit()
            if self._checkpoint_due or self._stopping.is_set():
                # Taken while nothing is pending: it cannot be older than an event stored before it.
                self._checkpoint_due = False
                await self._keep_visits(self._open_visits())
            if self._stopping.is_set() and not self._pending:
                return

    async def _keep_visits(self, visits: list[StoredVisit] | None) -> None:
        if visits is not None:
            await self.in_outbox(lambda outbox: outbox.keep_visits(visits))

    async def _company(self) -> None:
        """Let events that are in no hurry wait for others, and for an urgent one at most."""
        deadline = self._now() + GROUP_S
        while len(self._pending) < GROUP_EVENTS and (left := deadline - self._now()) > 0:
            try:
                await asyncio.wait_for(self._submitted.wait(), left)
            except TimeoutError:
                return
            self._submitted.clear()
            if self._stopping.is_set() or any(draft.urgent for draft, _ in self._pending):
                return

    async def _commit(self) -> None:
        group = [self._pending.popleft() for _ in range(min(GROUP_EVENTS, len(self._pending)))]
        visits = {visit.id: visit for _, visit in group}
        drafts = [draft for draft, _ in group]
        try:
            stored = await self.in_outbox(
                lambda outbox: outbox.commit(drafts, self._composer.number, visits.values())
            )
        except OutboxFullError:
            self._detail = "the disk is full: free some space; nothing stored is lost"
            log.exception("outbox_full")
            if self._stopping.is_set():
                self._dropped += len(group) + len(self._pending)
                self._pending.clear()
                return
            self._pending.extendleft(reversed(group))
            await asyncio.sleep(FULL_RETRY_S)
            return
        self._delivery.committed(stored[-1][0])
        self._wake.set()

    async def _link(self) -> None:
        """Keep one connection after another, with full jitter between failures."""
        failures = 0
        protocol = Protocol.V311 if self._settings.protocol == "3.1.1" else Protocol.V5
        while not self._stopping.is_set():
            began = self._now()
            ended = await self._connected_life(protocol)
            self._opened = False
            self._delivery.disconnected()
            self._detail = ended.reason
            if ended.wrong_protocol and self._settings.protocol == "auto":
                protocol = Protocol.V311 if protocol is Protocol.V5 else Protocol.V5
            failures = 0 if self._now() - began > STABLE_S else failures + 1
            if self._stopping.is_set():
                break
            pause = random.uniform(0, min(LONGEST_BACKOFF_S, 2.0**failures))  # noqa: S311 - jitter
            log.warning("mqtt_disconnected", reason=ended.reason, retry_in_s=round(pause, 1))
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless stopped."""
        until = self._now() + seconds
        while not self._stopping.is_set() and (left := until - self._now()) > 0:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except TimeoutError:
                return

    async def _connected_life(self, protocol: Protocol) -> Ended:
        """Live through one connection: feed, drain, re-arm."""
        topics = self._topics
        will = self._birth.model_copy(update={"connected": False}).model_dump_json().encode()
        connection = self._connection = Connection(
            self._settings,
            f"{topics.tenant}-{topics.store}-{topics.gateway}",
            protocol=protocol,
            will=(topics.state, will),
            window=WINDOW + 2,  # birth and goodbye beside the events
            wake=self._wake.set,
        )
        connection.open()
        goodbye: float | None = None
        while True:
            while connection.events:
                event = connection.events.popleft()
                if isinstance(event, Ended):
                    self._connection = None
                    return event
                await self._take(connection, event)
            now = self._now()
            self._delivery.advance(now)
            if self._delivery.in_flight and now - self._heard_from_broker > PUBACK_S:
                self._detail = "the broker acknowledges nothing"
                connection.abandon()
            if self._opened:
                await self._pump(connection)
            if self._stopping.is_set() and goodbye is None:
                goodbye = now + GOODBYE_S
            if goodbye is not None and self._finished(connection, goodbye, will):
                connection.close()
                goodbye = now + GOODBYE_S * 2
            await self._store_watermark()
            await self._sleep(goodbye)

    def _finished(self, connection: Connection, goodbye: float, will: bytes) -> bool:
        """Say goodbye once nothing is in flight, or time is up."""
        if self._opened and self._delivery.in_flight and self._now() < goodbye:
            return False
        if self._opened:
            connection.publish(self._topics.state, will, retain=True)
        else:
            connection.abandon()
        return True

    async def _sleep(self, goodbye: float | None) -> None:
        """Wait for news, or until something falls due."""
        now = self._now()
        due = [at for at in (self._delivery.deadline, goodbye) if at is not None]
        timeout = min(due) - now if due else PUBACK_S
        try:
            await asyncio.wait_for(self._wake.wait(), max(0.01, min(timeout, PUBACK_S)))
        except TimeoutError:
            return
        self._wake.clear()

    async def _take(self, connection: Connection, event: Opened | Message | Accepted) -> None:
        self._heard_from_broker = self._now()
        match event:
            case Opened():
                self._opened = True
                self._detail = "connected"
                self._mids.clear()
                connection.subscribe(self._topics.ack, self._topics.state)
                self._say_birth(connection)
                self._delivery.connected(event.receive_maximum)
                log.info("mqtt_connected", window=min(WINDOW, event.receive_maximum))
            case Accepted():
                seq = self._mids.pop(event.mid, None)
                if seq is not None and event.refusal is None:
                    self._delivery.puback(seq)
                elif seq is not None:
                    log.error("publish_refused", reason=event.refusal)
                    self._detail = f"the broker refuses events ({event.refusal}): check its rules"
                    self._delivery.refused(seq, self._now())
            case Message(topic=topic) if topic == self._topics.ack:
                await self._acknowledged_by_hub(event.payload)
            case Message(topic=topic) if topic == self._topics.state:
                self._mind_state(connection, event.payload)

    def _say_birth(self, connection: Connection) -> None:
        connection.publish(self._topics.state, self._birth.model_dump_json().encode(), retain=True)

    def _mind_state(self, connection: Connection, payload: bytes) -> None:
        """Repeat the birth where an older session's will has overwritten it."""
        try:
            state = State.model_validate_json(payload)
        except ValidationError:
            return
        if (
            not state.connected
            and state.session <= self._birth.session
            and not self._stopping.is_set()
        ):
            self._say_birth(connection)

    async def _acknowledged_by_hub(self, payload: bytes) -> None:
        try:
            ack = Acknowledgement.model_validate_json(payload)
        except ValidationError:
            log.warning(
                "ack_malformed", advice="the hub's acknowledgement is not {epoch, seq, hub}"
            )
            return
        match self._delivery.acknowledged(ack, self._now()):
            case Watermark.ADVANCED:
                self._acknowledged = ack
            case Watermark.LOWERED:
                log.warning("hub_restored", seq=ack.seq)
                self._acknowledged = ack
                await self._store_watermark()
                await self._declare_what_is_gone(ack.seq + 1)
            case Watermark.IMPOSSIBLE:
                log.error("outbox_is_an_old_copy", advice="a new epoch begins")
                await self.in_outbox(lambda outbox: outbox.begin_epoch(renumbered))
                outbox = self._outbox
                window, hub = self._delivery, self._delivery.hub
                self._delivery = Delivery(outbox.epoch, highest=outbox.highest, hub=hub)
                self._delivery.connected(window.window)
                self._mids.clear()
            case Watermark.IGNORED:
                pass

    async def _declare_what_is_gone(self, first: int) -> None:
        held = await self.in_outbox(lambda outbox: outbox.first_held)
        if first < held:
            await self.in_outbox(
                lambda outbox: outbox.declare_lost(first, held - 1, self._composer.gap)
            )

    async def _store_watermark(self) -> None:
        """Delete what the hub has applied; many acknowledgements make one transaction."""
        ack, self._acknowledged = self._acknowledged, None
        if ack is not None:
            await self.in_outbox(lambda outbox: outbox.acknowledge(ack))

    async def _pump(self, connection: Connection) -> None:
        """Publish what may be sent now."""
        seqs = list(self._delivery.sendable(self._now()))
        if not seqs:
            return
        held = dict(await self.in_outbox(lambda outbox: outbox.read(seqs[0], seqs[-1])))
        for seq in seqs:
            body = held.get(seq)
            if body is None:  # inside the range of a tombstone, which is sent in its place
                self._delivery.puback(seq)
            else:
                self._mids[connection.publish(self._topics.events, body)] = seq
