"""The hub's side of the roster over MQTT: signs, seals, serves, withdraws, checks acknowledgements.

    manifests retained --> request --> chunks sealed to the asking gateway
    withdraw, admit --> delta, sealed to every gateway that ever asked --> manifest of the new seq

One of these speaks for one store. Everything happens in paho's thread or under its lock.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.identify.roster import Member
from edge_agent.identify.roster_manifest import (
    Applied,
    Delta,
    Manifest,
    SignedDelta,
    SignedManifest,
    chunk_place,
    delta_place,
)
from edge_agent.identify.roster_sync import CHUNK, EPOCH_S, NEXT_DUE_S
from edge_agent.identify.sealing import seal, sign, verified
from edge_agent.publish.topics import Topics
from simulators.credentials import ephemeral_id, temporary_key
from simulators.signed_roster import pack

__all__ = ["RosterHub", "acknowledged_by"]

LEASE_S: Final = 4 * 3600.0


class RosterHub:
    """The roster of one store: `with RosterHub(...) as hub: hub.withdraw(pseudonym)`."""

    def __init__(  # noqa: PLR0913 - what a store is
        self,
        broker: str,
        private_key: bytes,
        members: Iterable[Member],
        *,
        tenant: str,
        store: str,
        gateways: Iterable[str],
        seq: int = 1,
        lease: float = LEASE_S,
        unix: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; entering connects.

        Args:
            broker: `mqtt://host:port`.
            private_key: signs; 32 octets.
            members: pseudonyms of 32 hexadecimal digits; an `identity_key` gives every epoch's TK.
            tenant: whose store it is.
            store: which.
            gateways: of the store.
            seq: of the content to begin with.
            lease: how long a manifest is good for, seconds.
            unix: the hub's clock.
        """
        self._address = urlsplit(broker)
        self._private_key = private_key
        self._topics = {name: Topics(tenant, store, name) for name in gateways}
        self._tenant, self._store, self._lease, self._unix = tenant, store, lease, unix
        self.seq = seq
        self._members = {member.visitor: member for member in members}
        self._records: dict[int, dict[str, bytes]] = {}  # by epoch and pseudonym
        self._gateway_keys: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self.acknowledged: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.misses: list[str] = []
        self.answering = True
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.max_inflight_messages_set(1000)
        client.reconnect_delay_set(1, 1)

    def __enter__(self) -> Self:
        self._client.connect(self._address.hostname or "", self._address.port or 1883)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client._reset_sockets()  # noqa: SLF001 - else the garbage collector finds them
        self._client.on_connect = self._client.on_message = None

    @property
    def epochs(self) -> tuple[int, ...]:
        """Those served now: the current one, and the next within four hours of its beginning."""
        now = self._unix()
        p = int(now) // EPOCH_S
        return (p, p + 1) if now >= (p + 1) * EPOCH_S - NEXT_DUE_S else (p,)

    def withdraw(self, *visitors: str) -> int:
        """End these members' consent; gives the seq that says so."""
        return self._change([], visitors)

    def admit(self, *members: Member) -> int:
        """Let members opt in; gives the seq that says so."""
        return self._change(members, [])

    def publish_manifests(self) -> None:
        """Sign what is served now, for another lease."""
        with self._lock:
            for epoch in self.epochs:
                told = self.manifest(epoch).model_dump_json().encode()
                for topics in self._topics.values():
                    topic = topics.leaf(f"roster/manifest/{epoch}")
                    self._client.publish(topic, told, qos=1, retain=True)

    def manifest(self, epoch: int, **changes: Any) -> SignedManifest:
        """Sign an epoch's manifest."""
        snapshot = self._snapshot(epoch)
        until = datetime.fromtimestamp(self._unix() + self._lease, UTC)
        values: dict[str, Any] = {
            "tenant": self._tenant,
            "store": self._store,
            "epoch": epoch,
            "seq": self.seq,
            "count": len(self._members),
            "sha256": hashlib.sha256(snapshot).hexdigest(),
            "not_after": until.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "consent_version": "1",
        }
        manifest = Manifest(**(values | changes))
        return SignedManifest(manifest=manifest, signature=self._signed(manifest.canonical()))

    def send_chunks(self, gateway: str, epoch: int) -> None:
        """Seal an epoch's snapshot to a gateway that has told its key, and send it."""
        topics, snapshot = self._topics[gateway], self._snapshot(epoch)
        of = max(1, -(-len(snapshot) // CHUNK))
        for index in range(of):
            place = chunk_place(self._tenant, self._store, gateway, epoch, self.seq, index, of)
            part = snapshot[index * CHUNK : (index + 1) * CHUNK]
            payload = of.to_bytes(4) + seal(part, self._gateway_keys[gateway], place)
            leaf = f"roster/chunk/{epoch}/{self.seq}/{index}"
            self._client.publish(topics.leaf(leaf), payload, qos=1)

    def say(self, gateway: str, leaf: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish anything under a gateway's root."""
        self._client.publish(self._topics[gateway].leaf(leaf), payload, qos=1, retain=retain)

    def _change(self, added: Iterable[Member], removed: Iterable[str]) -> int:
        with self._lock:
            added, removed = list(added), list(removed)
            for epoch in self.epochs:
                records = self._of_epoch(epoch)
                records.update({member.visitor: self._record(member, epoch) for member in added})
                for visitor in removed:
                    records.pop(visitor, None)
            for member in added:
                self._members[member.visitor] = member
            for visitor in removed:
                self._members.pop(visitor, None)
            self.seq += 1
            for epoch in self.epochs:
                self._send_delta(epoch, added, removed)
            self.publish_manifests()
            return self.seq

    def _send_delta(self, epoch: int, added: list[Member], removed: list[str]) -> None:
        delta = Delta(
            tenant=self._tenant,
            store=self._store,
            epoch=epoch,
            seq=self.seq,
            add=tuple(base64.b64encode(self._record(m, epoch)).decode() for m in added),
            remove=tuple(removed),
            consent_version="1",
        )
        told = SignedDelta(delta=delta, signature=self._signed(delta.canonical()))
        for gateway, key in self._gateway_keys.items():
            place = delta_place(self._tenant, self._store, gateway)
            sealed = seal(told.model_dump_json().encode(), key, place)
            self._client.publish(self._topics[gateway].leaf("roster/delta"), sealed, qos=1)

    def _signed(self, octets: bytes) -> str:
        return base64.b64encode(sign(self._private_key, octets)).decode()

    def _record(self, member: Member, epoch: int) -> bytes:
        if member.identity_key is None:
            return pack(member, epoch)
        tk = temporary_key(member.identity_key, epoch * EPOCH_S)
        record = pack(member, epoch)
        return record[:16] + tk + record[32:]

    def _of_epoch(self, epoch: int) -> dict[str, bytes]:
        if epoch not in self._records:
            members = self._members.values()
            self._records[epoch] = {m.visitor: self._record(m, epoch) for m in members}
        return self._records[epoch]

    def _snapshot(self, epoch: int) -> bytes:
        with self._lock:
            return b"".join(self._of_epoch(epoch).values())

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        for topics in self._topics.values():
            for leaf in ("request", "ack", "misses"):
                client.subscribe(topics.leaf(f"roster/{leaf}"), qos=1)
        self.publish_manifests()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        *_, gateway, _, leaf = message.topic.split("/")
        body = json.loads(message.payload)
        if leaf == "request":
            self._requested(gateway, body)
        elif leaf == "misses":
            self._missed(body["eids"])
        else:
            self.acknowledged.append(
                body["statement"] | {"signature": body["signature"], "heard": time.monotonic()}
            )

    def _requested(self, gateway: str, body: dict[str, Any]) -> None:
        with self._lock:
            self.requests.append(body)
            self._gateway_keys[gateway] = base64.b64decode(body["key"])
            if self.answering:
                self.publish_manifests()
                for epoch in set(body["epochs"]) & set(self.epochs):
                    self.send_chunks(gateway, epoch)

    def _missed(self, eids: list[str]) -> None:
        """Answer for members whose phone shows an EID that a gateway does not know."""
        self.misses += eids
        now = int(self._unix())
        with self._lock:
            found = [
                member
                for member in self._members.values()
                if member.identity_key is not None
                and len(self._members) <= 1000  # noqa: PLR2004 - a reference, not an index
                and ephemeral_id(member.identity_key, now).hex() in eids
            ]
            if found:
                self.admit(*found)


def acknowledged_by(body: dict[str, Any], public_key: bytes) -> bool:
    """Tell whether an acknowledgement was signed by the gateway that enrolled this key."""
    told = {k: v for k, v in body.items() if k not in ("signature", "heard")}
    statement = Applied.model_validate(told)
    return verified(public_key, base64.b64decode(body["signature"]), statement.canonical())
