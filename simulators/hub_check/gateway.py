"""A gateway played to the hub: it sends what it is told to, and remembers every answer."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Final, Self

from pydantic import ValidationError

from edge_agent.config import Mqtt
from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.delivery import WINDOW
from edge_agent.publish.mqtt import Accepted, Connection, Ended, Message, Opened, Protocol
from edge_agent.publish.topics import Topics
from simulators.hub_check.events import enter, tombstone, written

__all__ = ["BrokenError", "BrokerUnreachableError", "Gateway", "Wire"]

_TRIES: Final = 4  # to connect: the two versions of MQTT, twice
_PAUSE_S: Final = 0.5


class BrokenError(Exception):
    """The hub broke the rule; the text says what was seen."""


class BrokerUnreachableError(Exception):
    """There is no broker to play over."""


class Wire:
    """The kit's connection: `async with Wire(...)`; a broker that cuts it is found again."""

    def __init__(self, settings: Mqtt, topics: Topics) -> None:
        """Prepare.

        Args:
            settings: where the broker is.
            topics: whose `gateway` begins the names of the gateways played.
        """
        self._settings = settings
        self._topics = topics
        self._run_id = secrets.token_hex(3)
        self.gateways: dict[str, Gateway] = {}  # by topic root
        self._room = asyncio.Semaphore(WINDOW)
        self._open = asyncio.Event()
        self._wake = asyncio.Event()
        self._closing = False
        self._lost: str | None = None  # why there is no broker any more
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._in_flight: set[int] = set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._live(), name="hub-check wire")
        await self._open.wait()
        if self._lost is not None:
            raise BrokerUnreachableError(self._lost)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        if self._connection is not None and self._lost is None:
            for gateway in self.gateways.values():  # leave nothing retained behind
                await self.send(f"{gateway.root}/ack", b"", retain=True)
        if self._connection is not None:
            self._connection.close()
        if self._task is not None:
            await self._task

    def gateway(self, name: str, epoch: str | None = None) -> Gateway:
        """Make a gateway nobody has heard of, in an epoch of its own."""
        full = f"{self._topics.gateway}-{self._run_id}-{name}"
        topics = Topics(self._topics.tenant, self._topics.store, full)
        made = Gateway(self, topics, epoch or secrets.token_hex(8))
        self.gateways[made.root] = made
        return made

    async def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1, within a window as a gateway's.

        Raises:
            BrokerUnreachableError: the broker went and did not come back.
        """
        await self._room.acquire()
        await self._open.wait()
        if self._lost is not None:
            raise BrokerUnreachableError(self._lost)
        if self._connection is not None:
            self._in_flight.add(self._connection.publish(topic, payload, retain=retain))

    async def _live(self) -> None:
        failures, protocol = 0, Protocol.V5
        while not self._closing:
            ended, opened = await self._connected_life(protocol)
            failures = 0 if opened else failures + 1
            if ended.wrong_protocol:
                protocol = Protocol.V311 if protocol is Protocol.V5 else Protocol.V5
            if failures >= _TRIES:
                self._lost = ended.reason
                self._open.set()  # nobody waits for what will not come
                return
            if not self._closing:
                await asyncio.sleep(_PAUSE_S)

    async def _connected_life(self, protocol: Protocol) -> tuple[Ended, bool]:
        connection = self._connection = Connection(
            self._settings,
            f"{self._topics.gateway}-{self._run_id}",
            protocol=protocol,
            will=(f"{self._topics.root}/state", b""),
            window=WINDOW,
            wake=self._wake.set,
        )
        connection.open()
        opened = False
        while True:
            await self._wake.wait()
            self._wake.clear()
            while connection.events:
                match connection.events.popleft():
                    case Opened():
                        opened = True
                        connection.subscribe(self._topics.root.rpartition("/")[0] + "/+/ack")
                        self._open.set()
                    case Accepted(mid=mid):
                        self._settle({mid})
                    case Message(topic=topic, payload=payload):
                        gateway = self.gateways.get(topic.rpartition("/")[0])
                        if gateway is not None:
                            gateway.take(payload)
                    case Ended() as ended:
                        self._open.clear()
                        self._connection = None
                        self._settle(set(self._in_flight))
                        return ended, opened

    def _settle(self, mids: set[int]) -> None:
        for mid in mids & self._in_flight:
            self._in_flight.discard(mid)
            self._room.release()


@dataclass
class Gateway:
    """One gateway, in one epoch at a time."""

    wire: Wire
    topics: Topics
    epoch: str
    another: str = field(default_factory=lambda: secrets.token_hex(8))  # epoch, for later
    acks: list[Acknowledgement] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # what is wrong with an acknowledgement
    patience_s: float = 10.0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def root(self) -> str:
        """Of its topics."""
        return self.topics.root

    @property
    def source(self) -> str:
        """As its events name it."""
        return f"/{self.topics.tenant}/{self.topics.store}/{self.topics.gateway}"

    def enter(self, seq: int, *, epoch: str | None = None, unix: float | None = None) -> bytes:
        """Write event `seq`."""
        return written(enter(self.source, epoch or self.epoch, seq, unix=unix))

    def gap(self, first: int, last: int) -> bytes:
        """Write a tombstone."""
        return written(tombstone(self.source, self.epoch, first, last))

    def altered(self, seq: int, **changed: Any) -> bytes:
        """Write event `seq` with something else in its envelope."""
        return written(enter(self.source, self.epoch, seq) | changed)

    async def send(self, *payloads: bytes) -> None:
        """Publish on `events`, in this order."""
        for payload in payloads:
            await self.wire.send(self.topics.events, payload)

    async def send_range(self, first: int, last: int) -> None:
        """Publish the events `first` to `last`."""
        await self.send(*(self.enter(seq) for seq in range(first, last + 1)))

    async def lose_retained(self) -> None:
        """Let the broker forget the watermark, as one does that was killed."""
        await self.wire.send(self.topics.ack, b"", retain=True)

    def take(self, payload: bytes) -> None:
        """An answer arrived."""
        if not payload:  # our own: the retained one is gone
            return
        try:
            json.loads(payload)
            self.acks.append(Acknowledgement.model_validate_json(payload))
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            self.unreadable.append(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}")
        except ValueError as error:
            self.unreadable.append(f"no JSON: {error}")
        self._news.set()

    async def told(self, seq: int, *, epoch: str | None = None, since: int = 0) -> None:
        """Wait for a watermark among the answers from the `since`-th on.

        Raises:
            BrokenError: it did not come.
        """
        wanted = epoch or self.epoch
        try:
            async with asyncio.timeout(self.patience_s):
                while not any((a.epoch, a.seq) == (wanted, seq) for a in self.acks[since:]):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            heard = [a.seq for a in self.acks[since:] if a.epoch == wanted]
            said = f"it said {heard[-5:]}" if heard else "it said nothing"
            raise BrokenError(
                f"{seq} was not acknowledged within {self.patience_s:g} s: {said}"
            ) from None

    async def answered(self, since: int, tries: int = 1) -> bool:
        """Wait, in one of so many tries, for an answer from the `since`-th on; tell if it came."""
        try:
            async with asyncio.timeout(self.patience_s / tries):
                while len(self.acks) <= since:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    def never_above(self, seq: int, *, epoch: str | None = None, why: str) -> None:
        """Hold all answers against the highest that may have been acknowledged.

        Raises:
            BrokenError: one is above.
        """
        wanted = epoch or self.epoch
        highest = max((a.seq for a in self.acks if a.epoch == wanted), default=0)
        if highest > seq:
            raise BrokenError(f"{highest} was acknowledged, though {why}")
