"""Keeps a connection to the broker, sends what the delivery policy says, takes the watermark in.

outbox --> in flight --> broker --> hub
   ^                                 |
   +----------- watermark -----------+

Beside the events it carries letters: the birth, and what the hub's other channels have to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from pydantic import ValidationError

from edge_agent.config import Mqtt
from edge_agent.publish.ack_reader import AckReader
from edge_agent.publish.channel import Accepted as LetterAccepted
from edge_agent.publish.channel import Channel, Channels, Letter, Letters
from edge_agent.publish.compose import Composer, lateness, renumbered
from edge_agent.publish.contract import Acknowledgement, State
from edge_agent.publish.declarations import declare_lost, skip_refused
from edge_agent.publish.delivery import WINDOW, Delivery, Watermark
from edge_agent.publish.mqtt import (
    Accepted,
    Certificates,
    Connection,
    Ended,
    Message,
    Opened,
    Subscribed,
)
from edge_agent.publish.outbox import OutboxFullError
from edge_agent.publish.reconnecting import Reconnecting
from edge_agent.publish.rivals import Rivals
from edge_agent.publish.subscriptions import Subscriptions
from edge_agent.publish.topics import Topics
from edge_agent.publish.writer import OutboxThread

__all__ = ["Link"]

PUBACK_S: Final = 60.0  # in flight this long without any PUBACK: the connection is no use
GOODBYE_S: Final = 2.0
OPEN_S: Final = 30.0  # for TCP, TLS and the broker's first answer together
HUB_SILENT_S: Final = 300.0

_PAIR: Final = ("cert_file", "key_file")  # of the settings

log = structlog.get_logger()


class Link:
    """One gateway's way to its hub, through one connection after another."""

    def __init__(
        self,
        outbox: OutboxThread,
        delivery: Delivery,
        composer: Composer,
        topics: Topics,
        settings: Mqtt,
        birth: State,
        now: Callable[[], float],
        channels: Sequence[Channel] = (),
    ) -> None:
        """Prepare; `run` does the work."""
        self.certificates: Certificates | None = None  # else the settings name the only pair
        self._channels = Channels(channels)
        self._filters = ("ack", "state", *self._channels.filters)
        self.epoch_began: Callable[[], None] = lambda: None  # for its owner to set
        self._outbox = outbox
        self.delivery = delivery
        self._composer = composer
        self._topics = topics
        self._settings = settings
        self._birth = birth
        self._now = now
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._connection: Connection | None = None
        self._letters = Letters()
        self.opened = False
        self._reconnecting = Reconnecting(settings.protocol)
        self.detail = "not connected yet"
        self.was_old_copy = False
        self.rivals = Rivals(birth, now)
        self._hub_heard_at = 0.0
        self._mids: dict[int, int] = {}  # of the publishes in flight -> seq
        self._acks = AckReader()
        self._puback_at = 0.0  # or when nothing was in flight
        self._subscriptions = Subscriptions()
        self._acknowledged: Acknowledgement | None = None

    def stored(self, epoch: str, highest: int) -> None:
        """The outbox holds events up to `highest` now."""
        if self.delivery.outstanding == 0:
            self._hub_heard_at = self._now()  # from now on it owes us a word
        if epoch == self.delivery.epoch:  # else a new one has begun, and counted these in
            self.delivery.committed(highest)
        self._wake.set()

    def renew(self, epoch: str, highest: int) -> None:
        """Another outbox has taken the place of the one that was; its epoch is another."""
        self._acknowledged = None
        self.delivery = Delivery(epoch, highest=highest)
        if self._connection is not None and self.opened:
            self._connection.close()  # what is in flight on it is of the old epoch

    @property
    def hub_silent(self) -> bool:
        """Whether the hub has confirmed nothing for long, with a broker that takes everything."""
        waited = self._now() - self._hub_heard_at
        return self.opened and self.delivery.outstanding > 0 and waited > HUB_SILENT_S

    def report_health(self, payload: bytes) -> None:
        """Publish the gateway's health, where there is a connection."""
        if self.opened and self._connection is not None:
            self._connection.publish(self._topics.health, payload, qos=0, retain=True)

    def send(
        self,
        leaf: str,
        payload: bytes,
        *,
        retain: bool = False,
        accepted: LetterAccepted | None = None,
    ) -> bool:
        """Publish a channel's letter (`channel.Outlet`)."""
        taken = self.opened and self._letters.put(Letter(leaf, payload, retain, accepted))
        self._wake.set()
        return taken

    async def skip_refused(self) -> int:
        """Replace the event that the broker refuses by a tombstone; gives how many events went."""
        count = await skip_refused(self._outbox, self.delivery, self._composer.gap)
        self._wake.set()
        return count

    def stop(self) -> None:
        """Say goodbye to the broker, and let `run` return."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Keep one connection after another, with full jitter between failures."""
        while not self._stopping.is_set():
            began = self._now()
            ended = await self._connected_life()
            self._lose_connection()
            self.detail = ended.reason
            self.rivals.ended(taken_over=ended.taken_over)
            pause = self._reconnecting.ended(ended, self._now() - began)
            if self._stopping.is_set():
                break
            log.warning("mqtt_disconnected", reason=ended.reason, retry_in_s=round(pause, 1))
            await self._pause(pause)

    def _lose_connection(self) -> None:
        was_open, self.opened = self.opened, False
        if self.certificates is not None and not was_open:
            self.certificates.failed()
        self.delivery.disconnected()
        self._letters.clear()
        if was_open:
            self._channels.closed()

    async def _pause(self, seconds: float) -> None:
        """Wait, unless stopped."""
        until = self._now() + seconds
        while not self._stopping.is_set() and (left := until - self._now()) > 0:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except TimeoutError:
                return

    async def _connected_life(self) -> Ended:
        """Live through one connection: feed, drain, re-arm."""
        topics = self._topics
        will = self._birth.model_copy(update={"connected": False}).model_dump_json().encode()
        connection = self._connection = Connection(
            self._settings_now(),
            f"{topics.tenant}-{topics.store}-{topics.gateway}",
            protocol=self._reconnecting.protocol,
            will=(topics.state, will),
            window=WINDOW + 1,  # the goodbye beside all else
            wake=self._wake.set,
        )
        connection.open()
        goodbye: float | None = None
        opens_by = self._now() + OPEN_S
        while True:
            while connection.events:
                event = connection.next()
                if isinstance(event, Ended):
                    self._connection = None
                    return event
                await self._take(connection, event)
            now = self._now()
            self.delivery.advance(now)
            self._mind_black_hole(connection, now)
            if not self.opened and now > opens_by:  # a byte a second would hold us for ever
                connection.abandon()
                return Ended("the broker does not answer: is it one?")
            if self.opened:
                self._subscriptions.ask(now, connection.subscribe)
                self._pump_letters(connection)
                sent = await self._pump(connection)
                if self._letters.take_turn(events_sent=sent):
                    self._pump_letters(connection)
            if self._candidate_is_due():
                connection.close()
            if self._stopping.is_set() and goodbye is None:
                goodbye = now + GOODBYE_S
            if goodbye is not None and self._finished(connection, goodbye, will):
                connection.close()
                goodbye = now + GOODBYE_S * 2
            await self._store_watermark()
            await self._sleep(goodbye, None if self.opened else opens_by)

    def _mind_black_hole(self, connection: Connection, now: float) -> None:
        """Give a connection up on which nothing is acknowledged, whatever else arrives."""
        if not self._in_flight:
            self._puback_at = now
        elif now - self._puback_at > PUBACK_S:
            connection.abandon("the broker acknowledges nothing")

    def _settings_now(self) -> Mqtt:
        shown = self.certificates
        pair = {} if shown is None else dict(zip(_PAIR, shown.choose(), strict=True))
        return self._settings.model_copy(update=pair)

    def _candidate_is_due(self) -> bool:
        """Whether the connection may make way for one that tries another certificate."""
        waits = self.certificates is not None and self.certificates.candidate_waits
        return waits and self.opened and not self._in_flight

    def _finished(self, connection: Connection, goodbye: float, will: bytes) -> bool:
        """Say goodbye once nothing is in flight, or time is up."""
        if not self.opened:
            connection.abandon()
        elif self._in_flight and self._now() < goodbye:
            return False
        else:
            connection.publish(self._topics.state, will, retain=True)
        return True

    async def _sleep(self, *moments: float | None) -> None:
        """Wait for news, or until something falls due."""
        now = self._now()
        dates = (self.delivery.deadline, self._subscriptions.deadline, *moments)
        due = [at for at in dates if at is not None]
        timeout = min(due) - now if due else PUBACK_S
        try:
            await asyncio.wait_for(self._wake.wait(), max(0.01, min(timeout, PUBACK_S)))
        except TimeoutError:
            return
        self._wake.clear()

    async def _take(
        self, connection: Connection, event: Opened | Message | Accepted | Subscribed
    ) -> None:
        match event:
            case Opened():
                self.opened = True
                self._reconnecting.understood()
                self.detail = "connected"
                self._mids.clear()
                self._acks = AckReader()
                self._subscriptions.begin(*map(self._topics.leaf, self._filters))
                self._subscriptions.ask(self._now(), connection.subscribe)
                self._say_birth()
                self.delivery.connected(event.receive_maximum)
                self._channels.opened(self)
                log.info("mqtt_connected", window=self.delivery.window)
            case Accepted():
                self._puback_at = self._now()
                if not self._letters.settled(event.mid, event.refusal):
                    self._event_settled(event)
            case Message():
                await self._arrived(connection, event)
            case Subscribed():
                self._subscriptions_answered(event)

    async def _arrived(self, connection: Connection, message: Message) -> None:
        topic, payload = message.topic, message.payload
        if topic == self._topics.ack:
            try:
                await self._acknowledged_by_hub(connection, payload)
            except OutboxFullError:  # nothing has changed, and the hub will say it again
                log.error("disk_full", waiting="an acknowledgement")  # noqa: TRY400
        elif topic == self._topics.state:
            self._mind_state(payload)
        else:
            self._channels.take(topic.removeprefix(f"{self._topics.root}/"), payload)

    def _event_settled(self, event: Accepted) -> None:
        """The broker has taken an event, or refused it."""
        seq = self._mids.pop(event.mid, None)
        if seq is not None and event.refusal is None:
            self.delivery.puback(seq)
            if not self._subscriptions.refused:
                self.detail = "connected"
        elif seq is not None:
            log.error("publish_refused", reason=event.refusal)
            self.detail = f"the broker refuses events ({event.refusal}): check its rules"
            self.delivery.refused(seq, self._now())

    def _subscriptions_answered(self, event: Subscribed) -> None:
        self._subscriptions.answered(event.mid, event.refusals, self._now())
        self.detail = "connected"
        if refused := self._subscriptions.refused:
            log.error("subscription_refused", topics=refused)
            self.detail = f"the broker refuses to tell of {refused[0]}: check its rules"

    @property
    def _in_flight(self) -> int:
        """How many publishes the broker has not acknowledged, events and letters."""
        return self.delivery.in_flight + len(self._letters)

    def _say_birth(self) -> None:
        birth = self._birth.model_dump_json().encode()
        self._letters.put(Letter("state", birth, retain=True, accepted=None), first=True)

    def _mind_state(self, payload: bytes) -> None:
        """Repeat the birth where an older session's will has overwritten it."""
        try:
            state = State.model_validate_json(payload)
        except ValidationError:
            return
        self.rivals.heard(state)
        overwritten = not state.connected and state.session <= self._birth.session
        if overwritten and not self._stopping.is_set():
            self._say_birth()

    async def _acknowledged_by_hub(self, connection: Connection, payload: bytes) -> None:
        if (ack := self._acks.read(payload)) is None:
            return
        if ack.epoch == self.delivery.epoch:
            self._hub_heard_at = self._now()
        match self.delivery.acknowledged(ack, self._now()):
            case Watermark.ADVANCED:
                self._acknowledged = ack
            case Watermark.LOWERED:
                log.warning("hub_restored", seq=ack.seq)
                self._acknowledged = ack
                await self._store_watermark()
                await declare_lost(self._outbox, ack.epoch, ack.seq + 1, self._composer.gap)
            case Watermark.IMPOSSIBLE:
                log.error("outbox_is_an_old_copy", advice="a new epoch begins")
                self.was_old_copy = True
                self._acknowledged = None  # of the epoch that ends
                epoch, highest = await self._outbox(lambda outbox: outbox.begin_epoch(renumbered))
                self.delivery = Delivery(epoch, highest=highest, hub=self.delivery.hub)
                self.epoch_began()
                connection.close()  # what is in flight on it is of the old epoch
            case Watermark.IGNORED:
                pass

    async def _store_watermark(self) -> None:
        """Delete what the hub has applied; many acknowledgements make one transaction."""
        ack, self._acknowledged = self._acknowledged, None
        try:
            if ack is not None:
                await self._outbox(lambda outbox: outbox.acknowledge(ack))
        except OutboxFullError:  # the hub will say it again; deleting waits for room
            log.warning("disk_full", waiting=0)

    def _pump_letters(self, connection: Connection) -> None:
        """Publish the letters that may be sent now."""

        def publish(letter: Letter) -> int:
            topic = self._topics.leaf(letter.leaf)
            return connection.publish(topic, letter.payload, retain=letter.retain)

        while self._letters.due(self.delivery.window, self.delivery.in_flight):
            self._letters.post(publish)

    async def _pump(self, connection: Connection) -> bool:
        """Publish the events that may be sent now; tell whether any was."""
        taken = self._letters.room(self.delivery.window)
        seqs = list(self.delivery.sendable(self._now(), taken))
        if not seqs:
            return False
        delivery = self.delivery
        held = dict(await self._outbox(lambda outbox: outbox.hand_out(seqs[0], seqs[-1])))
        if delivery is not self.delivery:  # the outbox was lost meanwhile, and its numbers
            return False
        unix = self._composer.unix_if_known()
        for seq in seqs:
            body = held.get(seq)
            if body is None:  # inside the range of a tombstone, which is sent in its place
                self.delivery.puback(seq)
            else:
                late_s = lateness(body, unix)
                self._mids[connection.publish(self._topics.events, body, late_s=late_s)] = seq
        return True
