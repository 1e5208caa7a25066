# ruff: noqa: ARG002, D102 - each overrides what it gets wrong, with the signature of SoundHub
"""Hubs that are right but for one fault, each as somebody might have written it."""

from __future__ import annotations

import json
import threading
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError

from edge_agent.publish.contract import Event, GapData

__all__ = ["BrokenHub", "NoHub", "SoundHub"]

INCARNATION = 1_790_000_000_000


class SoundHub:
    """Keeps its cursors in memory and is right; a subclass overrides what it gets wrong."""

    retain = True

    def __init__(self, port: int, tenant: str = "+") -> None:
        self._filter = f"presence/v1/{tenant}/+/+/+/events"
        self.cursors: dict[Any, int] = {}
        self.incarnation = INCARNATION
        self._subscribed = threading.Event()
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = lambda _client, _data, message: self._arrived(
            message.topic, bytes(message.payload)
        )
        client.suppress_exceptions = True
        client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        self._client.subscribe(self._filter, qos=1)
        assert self._subscribed.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def key(self, event: Event) -> Any:
        """Whose cursor it is."""
        return event.source, event.epoch

    def last(self, event: Event) -> int:
        """The last number that an event covers."""
        return event.data.to if isinstance(event.data, GapData) else event.seq

    def read(self, payload: bytes) -> Event | None:
        """Read an event, or nothing."""
        try:
            return Event.model_validate_json(payload)
        except ValidationError:
            return None

    def moved(self, cursor: int, event: Event) -> int:
        """Say where the cursor is after an event."""
        last = self.last(event)
        return last if event.seq <= cursor + 1 <= last else cursor

    def answer(self, before: int, after: int, event: Event) -> int | None:
        """Say what to acknowledge, or None for nothing."""
        return after

    def restarted(self) -> None:
        """Be killed and come back: what was committed is still there."""

    def _arrived(self, topic: str, payload: bytes) -> None:
        event = self.read(payload)
        levels = topic.split("/")
        if event is None or event.source != f"/{levels[2]}/{levels[4]}/{levels[5]}":
            return
        before = self.cursors.get(self.key(event), 0)
        after = self.cursors[self.key(event)] = self.moved(before, event)
        told = self.answer(before, after, event)
        if told is not None:
            self._tell(topic.removesuffix("events"), event.epoch, told)

    def _tell(self, root: str, epoch: str, seq: int) -> None:
        ack = json.dumps({"epoch": epoch, "seq": seq, "hub": self.incarnation})
        self._client.publish(f"{root}ack", ack, qos=1, retain=self.retain)


BrokenHub = type[SoundHub]


class NoHub(SoundHub):
    """Never says anything."""

    def answer(self, before: int, after: int, event: Event) -> int | None:
        return None


class CountingHub(SoundHub):
    """Applies whatever is not ahead: its cursor counts duplicates too."""

    def moved(self, cursor: int, event: Event) -> int:
        if event.seq <= cursor and not isinstance(event.data, GapData):
            return cursor + 1
        return super().moved(cursor, event)


class GapBlindHub(SoundHub):
    """Takes a tombstone for an event like any other."""

    def last(self, event: Event) -> int:
        return event.seq


class MaximumHub(SoundHub):
    """Takes the largest number that it has seen."""

    def moved(self, cursor: int, event: Event) -> int:
        return max(cursor, self.last(event))


class TaciturnHub(SoundHub):
    """Acknowledges what moved its cursor, and repeats nothing."""

    def answer(self, before: int, after: int, event: Event) -> int | None:
        return after if after > before else None


class OneEpochHub(SoundHub):
    """Keeps one cursor for all epochs of a gateway."""

    def key(self, event: Event) -> Any:
        return event.source


class OneGatewayHub(SoundHub):
    """Keeps a cursor by epoch, whosever it is."""

    def key(self, event: Event) -> Any:
        return event.epoch


class EachByEachHub(SoundHub):
    """Acknowledges the number of each event in place of its cursor."""

    def answer(self, before: int, after: int, event: Event) -> int | None:
        return min(self.last(event), after)


class YoungerHub(SoundHub):
    """Its incarnation falls with every answer."""

    def answer(self, before: int, after: int, event: Event) -> int | None:
        self.incarnation -= 1
        return after


class ForgettingBrokerHub(SoundHub):
    """Publishes its acknowledgements without the retain flag."""

    retain = False


class MemoryHub(SoundHub):
    """Acknowledges before the commit: what was in memory is gone after a crash."""

    def restarted(self) -> None:
        self.cursors.clear()


class ClockHub(SoundHub):
    """Drops what was decided in the future."""

    def moved(self, cursor: int, event: Event) -> int:
        if not isinstance(event.data, GapData) and event.data.decided_at.year > 2090:
            return cursor
        return super().moved(cursor, event)


class FragileHub(SoundHub):
    """Falls over the first message that it cannot read, and hears nothing more."""

    def read(self, payload: bytes) -> Event | None:
        event = super().read(payload)
        if event is None:
            self._client.unsubscribe(self._filter)
        return event


class CredulousHub(SoundHub):
    """Acknowledges by the numbers alone, whatever the rest of the message says."""

    def read(self, payload: bytes) -> Event | None:
        event = super().read(payload)
        if event is not None:
            return event
        try:
            told = json.loads(payload)
            told.pop("ballast", None)
            return Event.model_validate(told | {"type": "presence.enter.v1"})
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
