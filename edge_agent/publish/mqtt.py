"""One MQTT connection: paho's client, its thread watched, its callbacks posted to the event loop.

What paho does not do well is not asked of it (DESIGN section 7): a fresh client per connection, no
reconnecting (its own ignores the window), and never more queued than the window. A callback that
raises ends paho's thread while `is_connected()` stays true; the thread here is ours, and its end is
an event like any other.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from typing import Protocol as Interface

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.config import Mqtt

__all__ = [
    "Accepted",
    "Certificates",
    "Connection",
    "Ended",
    "LinkEvent",
    "Message",
    "Opened",
    "Protocol",
    "Subscribed",
]

CONNECT_TIMEOUT_S: Final = 10.0
_MOST_EVENTS: Final = 10_000  # posted and not yet taken; beyond it the connection is dropped
_MOST_UNREAD: Final = 8 << 20  # octets of messages likewise: 32 chunks of a roster
_OUR_RECEIVE_MAXIMUM: Final = 100
_OUR_PACKET: Final = 1 << 20  # octets: a roster's chunk of 256 KiB, in whatever encoding
_DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_RECEIVE_MAXIMUM: Final = 65_535  # what a broker that says nothing allows (MQTT 5, 3.2.2.3.3)
_TAKEN_OVER: Final = 0x8E
_UNSUPPORTED_PROTOCOL: Final = (0x84, 0x01)  # by a broker of 5, and by one of 3.1.1


class Protocol(StrEnum):
    """The version of MQTT spoken."""

    V5 = "5"
    V311 = "3.1.1"

    @property
    def other(self) -> Protocol:
        """What to try where this one is not understood."""
        return Protocol.V311 if self is Protocol.V5 else Protocol.V5


@dataclass(frozen=True, slots=True)
class Opened:
    """The broker has accepted the connection."""

    receive_maximum: int


@dataclass(frozen=True, slots=True)
class Message:
    """Something arrived on a topic that is subscribed to."""

    topic: str
    payload: bytes = field(repr=False)  # a roster's holds keys


@dataclass(frozen=True, slots=True)
class Accepted:
    """A publish was acknowledged by the broker (PUBACK), or refused with a reason."""

    mid: int
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription was answered (SUBACK): for each topic why it was refused, or None."""

    mid: int
    refusals: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over."""

    reason: str
    wrong_protocol: bool = False  # refused as such: try the other version of MQTT
    taken_over: bool = False  # by another with our client id (MQTT 5 says so)
    unanswered: bool = False  # closed without a CONNACK, as RabbitMQ 3.10 does to MQTT 5


LinkEvent = Opened | Message | Accepted | Subscribed | Ended


class Certificates(Interface):
    """Which certificate to show the broker (`certificate`)."""

    def choose(self) -> tuple[Path, Path]:
        """Give the certificate and the key for the next connection."""

    def failed(self) -> None:
        """A connection did not come about with them."""

    @property
    def candidate_waits(self) -> bool:
        """Whether a new connection is wanted, to try a certificate."""


class Connection:
    """One connection, from opening to its end; then it is spent.

    Take `events` from the left until `Ended`. Everything is called from the event loop's thread.
    """

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        *,
        protocol: Protocol,
        will: tuple[str, bytes],
        window: int,
        wake: Callable[[], None],
    ) -> None:
        """Prepare, without connecting yet.

        Args:
            settings: where the broker is.
            client_id: unique among the broker's clients.
            protocol: which version to speak.
            will: topic and payload that the broker publishes, retained, when we vanish.
            window: the most publishes in flight.
            wake: called in the event loop's thread whenever `events` has something new.
        """
        self.events: deque[LinkEvent] = deque()
        self._wake = wake
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._opened = False
        self._wrong_protocol = False
        self._taken_over = False
        self._unread = 0  # octets that wait in `events`
        self._abandoned = False
        self._protocol = protocol
        self._unanswered = False
        self._closing = False
        self._reason = "the broker closed the connection"
        self._client = self._new_client(client_id, will, window)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def _new_client(self, client_id: str, will: tuple[str, bytes], window: int) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=(
                MQTTProtocolVersion.MQTTv5
                if self._protocol is Protocol.V5
                else MQTTProtocolVersion.MQTTv311
            ),
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(window)
        client.max_queued_messages_set(window)
        client.will_set(*will, qos=1, retain=True)
        client.on_socket_register_write = lambda *_: None  # only paho's thread writes: see _run
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_log = self._on_log
        client.on_subscribe = self._on_subscribe
        return client

    def open(self) -> None:
        """Begin to connect; `Opened` or `Ended` follows."""
        self._thread.start()

    def subscribe(self, *topics: str) -> int | None:
        """Subscribe with QoS 1; gives the mid that `Subscribed` will name."""
        _, mid = self._client.subscribe([(topic, 1) for topic in topics])
        return mid

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        late_s: float | None = None,
    ) -> int:
        """Hand a message to paho; gives the mid that `Accepted` will name.

        `late_s` becomes the user property `late`, in whole seconds, where MQTT 5 is spoken.
        """
        properties = None
        if late_s is not None and self._protocol is Protocol.V5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.UserProperty = ("late", str(int(late_s)))
        return self._client.publish(topic, payload, qos, retain, properties).mid

    def next(self) -> LinkEvent:
        """Take the oldest of `events`."""
        event = self.events.popleft()
        if isinstance(event, Message):
            self._unread -= len(event.payload)
        return event

    def close(self) -> None:
        """End the connection; `Ended` follows."""
        self._closing = True
        self._reason = "closed by the agent"
        self._client.disconnect()

    def abandon(self, reason: str = "given up by the agent") -> None:
        """Tear the socket down without waiting for anybody: the broker may be a black hole."""
        self._abandoned = True
        self._reason = reason
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with suppress(OSError):  # gone already
                sock.shutdown(socket.SHUT_RDWR)  # closing would not wake the thread that waits

    def _run(self) -> None:
        settings, client = self._settings, self._client
        address = settings.address
        try:
            if settings.username is not None:
                password = settings.password
                client.username_pw_set(
                    settings.username, password.get_secret_value() if password else None
                )
            if address.scheme == "mqtts":
                client.tls_set_context(_tls(settings))
            client.connect(
                address.hostname or "",
                address.port or _DEFAULT_PORTS[address.scheme],
                keepalive=settings.keepalive,
                properties=self._demands(),
            )
            code = MQTTErrorCode.MQTT_ERR_SUCCESS
            self._unanswered = True
            while code is MQTTErrorCode.MQTT_ERR_SUCCESS and not self._abandoned:
                code = client.loop(1.0)
            if self._opened and not self._closing and not self._abandoned:
                self._reason = paho.error_string(code)
        except (OSError, ValueError) as error:  # no route, refused, bad certificate, closed socket
            self._reason = f"{type(error).__name__}: {error}"
        finally:
            unanswered = self._unanswered and not self._closing
            self._post(Ended(self._reason, self._wrong_protocol, self._taken_over, unanswered))

    def _demands(self) -> Properties | None:
        """Say what the broker may send us at once; only MQTT 5 can."""
        if self._protocol is not Protocol.V5:
            return None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = _OUR_RECEIVE_MAXIMUM
        properties.MaximumPacketSize = _OUR_PACKET
        return properties

    def _on_connect(
        self,
        _client: paho.Client,
        _data: Any,
        _flags: Any,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._unanswered = False
        if self._abandoned:
            return
        if code.is_failure:
            self._wrong_protocol = code.value in _UNSUPPORTED_PROTOCOL
            self._reason = f"the broker refused the connection: {code}"
            return
        self._opened = True
        allowed = getattr(properties, "ReceiveMaximum", _RECEIVE_MAXIMUM)
        self._post(Opened(int(allowed)))

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self._taken_over = self._taken_over or code.value == _TAKEN_OVER
        if code.is_failure and self._opened and not self._abandoned:
            self._reason = f"the connection broke: {code}"

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._post(Message(message.topic, bytes(message.payload)))

    def _on_publish(
        self, _client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any
    ) -> None:
        self._post(Accepted(mid, str(code) if code.is_failure else None))

    def _on_log(self, _client: paho.Client, _data: Any, _level: int, text: str) -> None:
        # Under TLS 1.3 a broker refuses a certificate after the handshake, with an alert that paho
        # tells its log alone; what an operator would otherwise read is that it hung up.
        _, alert, why = text.partition("[SSL:")
        if alert and not self._opened:
            self._reason = f"the broker refused our certificate: {alert}{why}"

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        refusals = (str(code) if code.is_failure else None for code in codes)
        self._post(Subscribed(mid, tuple(refusals)))

    def _post(self, event: LinkEvent) -> None:
        """Hand an event to the loop's thread; the loop may be gone when the process is ending."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, event)

    def _take(self, event: LinkEvent) -> None:
        if isinstance(event, Ended):  # its thread is over: paho leaves its sockets to the collector
            self._client._reset_sockets()  # noqa: SLF001 - there is no public way
        arrived = len(event.payload) if isinstance(event, Message) else 0
        crowded = len(self.events) >= _MOST_EVENTS or self._unread + arrived > _MOST_UNREAD
        if crowded and not isinstance(event, Ended):
            self.abandon("more arrived than could be taken in")
            return
        self._unread += arrived
        self.events.append(event)
        self._wake()


def _tls(settings: Mqtt) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=None if settings.ca_file is None else str(settings.ca_file)
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context
