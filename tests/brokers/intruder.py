"""A client of a broker that has rules: what it may, what it tries, and what it heard."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

PATIENCE_S = 20.0


def until(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait for something that a broker does; raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)


class Client:
    """One connection; `heard` is what came, as (topic, payload)."""

    def __init__(
        self,
        port: int,
        user: str,
        client_id: str,
        *,
        v5: bool = False,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.refused: list[str] = []
        self.open = False
        self.over = threading.Event()
        self._answered: set[int] = set()
        protocol = MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=protocol, reconnect_on_failure=False
        )
        client.username_pw_set(user, "change-me")
        if will is not None:
            client.will_set(*will, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = lambda *_: self.over.set()
        client.on_message = lambda _c, _d, m: self.heard.append((m.topic, bytes(m.payload)))
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.connect("127.0.0.1", port)
        client.loop_start()
        until(lambda: self.open or self.over.is_set(), f"{user} gets an answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topic: str) -> None:
        """Ask, and wait for an answer or to be thrown out."""
        _, mid = self._client.subscribe(topic, qos=1)
        self._settled(mid)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Ask, and wait for an answer or to be thrown out."""
        self._settled(self._client.publish(topic, payload, qos=1, retain=retain).mid)

    def vanish(self) -> None:
        """Go without a word, as a power cut would; the broker publishes the will."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            sock.shutdown(socket.SHUT_RDWR)
        until(self.over.is_set, "the connection is over")

    def _settled(self, mid: int | None) -> None:
        until(lambda: mid in self._answered or self.over.is_set(), "an answer")

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        self.open = not code.is_failure

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, codes: Any, _more: Any) -> None:
        self.refused += [str(code) for code in codes if code.is_failure]
        self._answered.add(mid)

    def _on_publish(self, _client: Any, _data: Any, mid: int, code: Any, _more: Any) -> None:
        if code.is_failure:
            self.refused.append(str(code))
        self._answered.add(mid)
