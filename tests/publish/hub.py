"""A hub that knows only the contract: a plain paho client with a cursor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Callable
from typing import Any, Self

import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from simulators.mosquitto import Mosquitto

ROOT = "presence/v1/acme/26/0042/gw-1"
PATIENCE = 20.0  # seconds


async def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for something that another thread or process brings about; raises TimeoutError."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.01)


def reread(broker: Mosquitto) -> None:
    """Tell mosquitto to read its rules again."""
    (process,) = (
        child
        for child in psutil.Process().children()
        if any("mosquitto.conf" in part for part in child.cmdline())
    )
    assert broker.ended is None
    process.send_signal(signal.SIGHUP)


class PlainHub:
    """Applies events in order and tells the watermark, as long as it is `answering`.

    `heard` has every event in the order of arrival, doubles too; `applied` each one once. `states`
    and `messages` are what came on `state` and on any topic at all.
    """

    def __init__(self, port: int, *, answering: bool = True, incarnation: int = 1_000) -> None:
        self.answering = answering
        self.incarnation = incarnation
        self.cursor: dict[str, int] = {}
        self.heard: list[dict[str, Any]] = []
        self.applied: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.messages: list[tuple[str, bytes]] = []
        self._subscribed = False
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.reconnect_delay_set(1, 1)
        self._port = port

    async def __aenter__(self) -> Self:
        await until(self._connects)
        self._client.loop_start()
        await until(lambda: self._subscribed)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    @property
    def seqs(self) -> list[int]:
        """The seqs applied, in order."""
        return [event["seq"] for event in self.applied]

    @property
    def kinds(self) -> list[str]:
        """The types applied, in order: `enter`, `dwell`, and so on."""
        return [event["type"].split(".")[1] for event in self.applied]

    def tell(self, epoch: str, seq: int, *, hub: int | None = None) -> None:
        """Publish a watermark, retained."""
        ack = {"epoch": epoch, "seq": seq, "hub": self.incarnation if hub is None else hub}
        self.say("ack", json.dumps(ack).encode())

    def say(self, leaf: str, payload: bytes) -> None:
        """Publish anything, retained."""
        self._client.publish(f"{ROOT}/{leaf}", payload, qos=1, retain=True)

    def _connects(self) -> bool:
        """Connect, unless the broker is still opening its ports."""
        try:
            self._client.connect("127.0.0.1", self._port)
        except ConnectionRefusedError:
            return False
        return True

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe("#", qos=1)
        for epoch, seq in self.cursor.items():
            self.tell(epoch, seq)

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed = True

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload)))
        if message.topic == f"{ROOT}/state":
            with contextlib.suppress(ValueError):
                self.states.append(json.loads(message.payload))
        elif message.topic == f"{ROOT}/events":
            self._take(json.loads(message.payload))

    def _take(self, event: dict[str, Any]) -> None:
        self.heard.append(event)
        epoch, seq = event["epoch"], event["seq"]
        cursor = self.cursor.get(epoch, 0)
        last = event["data"]["to"] if event["type"] == "presence.gap.v1" else seq
        if seq <= cursor + 1 <= last:
            self.cursor[epoch] = last
            self.applied.append(event)
        if self.answering:
            self.tell(epoch, self.cursor.get(epoch, 0))
