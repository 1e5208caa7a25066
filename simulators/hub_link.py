"""One connection of the hub: a fresh paho client, on a thread of ours, that only posts.

Written beside `edge_agent.publish.mqtt`, whose connection is a gateway's: that one has a will and a
clean session, the hub has neither. Its session outlives it, so that a broker keeps what arrives
while it is away; nothing depends on that, since the gateways send again what is not acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.publish.mqtt import Ended, Message, Opened, Protocol

__all__ = ["DEFAULT_PORTS", "HubConnection", "Link", "Retained"]

KEEPALIVE_S: Final = 15
CONNECT_TIMEOUT_S: Final = 5.0
SESSION_S: Final = 24 * 3600
DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_UNSUPPORTED_PROTOCOL: Final = (0x84, 0x01)  # by a broker of 5, and by one of 3.1.1


@dataclass(frozen=True, slots=True)
class Retained:
    """What the broker had kept on a topic before this connection."""

    topic: str
    payload: bytes


Link = Opened | Message | Retained | Ended


class HubConnection:
    """One connection, from opening to its end; then it is spent."""

    def __init__(
        self,
        broker: SplitResult,
        client_id: str,
        topics: Sequence[str],
        protocol: Protocol,
        post: Callable[[Link], None],
    ) -> None:
        """Prepare, without connecting yet.

        Args:
            broker: `mqtt://host[:port]` or `mqtts://…`.
            client_id: names the session that the broker keeps.
            topics: subscribed to, QoS 1, as soon as the broker accepts.
            protocol: which version to speak.
            post: called in the running event loop's thread with what happens; `Ended` is last.
        """
        self._broker = broker
        self._topics = topics
        self._v5 = protocol is Protocol.V5
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._wrong_protocol = False
        self._unanswered = False
        self._reason = "the broker closed the connection"
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self._v5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._thread = threading.Thread(target=self._run, name="hub mqtt", daemon=True)

    def open(self) -> None:
        """Begin to connect; `Opened` or `Ended` follows."""
        self._thread.start()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a retained message, QoS 1."""
        self._client.publish(topic, payload, qos=1, retain=True)

    def unsubscribe(self, topic: str) -> None:
        """Hear no more of a topic."""
        self._client.unsubscribe(topic)

    def close(self) -> None:
        """End the connection; `Ended` follows."""
        self._reason = "closed by the hub"
        self._client.disconnect()

    def _run(self) -> None:
        broker, client = self._broker, self._client
        properties = None
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho
            properties.SessionExpiryInterval = SESSION_S
        try:
            if broker.scheme == "mqtts":
                client.tls_set_context(ssl.create_default_context())
            client.connect(
                broker.hostname or "",
                broker.port or DEFAULT_PORTS[broker.scheme],
                keepalive=KEEPALIVE_S,
                clean_start=False if self._v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
                properties=properties,
            )
            self._unanswered = True
            code = client.loop_forever(retry_first_connection=False)
            if code is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._reason = paho.error_string(code)
        except (OSError, ValueError) as error:  # no route, refused, bad certificate, closed socket
            self._reason = f"{type(error).__name__}: {error}"
        finally:
            self._tell(Ended(self._reason, self._wrong_protocol, unanswered=self._unanswered))

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self._unanswered = False
        if code.is_failure:
            self._wrong_protocol = code.value in _UNSUPPORTED_PROTOCOL
            self._reason = f"the broker refused the connection: {code}"
            return
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(
        self, client: paho.Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        if any(code.is_failure for code in codes):  # a hub that hears nothing is none
            self._reason = "the broker refused a subscription: check its rules"
            client.disconnect()
            return
        self._tell(Opened(0))  # not before: what is sent to nobody's session is lost

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        # paho sends the PUBACK when this returns, before anything is on disk. That is safe only
        # because the gateway deletes at the watermark and not at any PUBACK.
        kind = Retained if message.retain else Message
        self._tell(kind(message.topic, bytes(message.payload)))

    def _tell(self, event: Link) -> None:
        """Hand an event to the loop's thread; the loop may be gone when the process is ending."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._post, event)
            if isinstance(event, Ended):  # paho leaves its sockets to the garbage collector
                self._loop.call_soon_threadsafe(self._client._reset_sockets)  # noqa: SLF001
