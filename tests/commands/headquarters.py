"""A hub that commands, and a gateway as a process that obeys: no radio, a real broker."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.publish.outbox import Outbox
from edge_agent.publish.topics import Topics
from simulators.orders import compose_command, compose_config, sign_word
from tests.publish.hub import until
from tests.publish.stories import composer, drafted, enter, leave

TOPICS = Topics("acme", "0042", "gw-1")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
MEMBER, OTHER = "member-to-be-erased", "member-who-stays"

_CONFIG = """tenant = "acme"
store = "0042"
gateway = "gw-1"
mqtt = {{ url = "mqtt://127.0.0.1:{port}", allow_plaintext = true }}
roster = {roster}
ble = {{ adapters = [] }}
hub = {{ probation = "{probation}" }}
"""


class Headquarters:
    """Sends commands, signed, and keeps every result that comes, by the command's id."""

    def __init__(self, port: int) -> None:
        self.results: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.events: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.births = 0
        self._loop = asyncio.get_running_loop()
        self._subscribed = False
        self._port = port
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.reconnect_delay_set(1, 1)

    async def __aenter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        await until(lambda: self._subscribed)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def command(
        self,
        action: str,
        arguments: dict[str, Any] | None = None,
        *,
        key: Ed25519PrivateKey | None = None,
        retain: bool = False,
        **changes: Any,
    ) -> bytes:
        """Command something; gives what went on the wire, to be said again."""
        issue = {name: changes.pop(name) for name in ("issued", "lasts_s") if name in changes}
        ident = changes.pop("ident", None)
        word = compose_command(TOPICS, action, arguments or {}, ident=ident, **issue) | changes
        payload = sign_word(word, "command", key)
        self.say(word["id"], payload, retain=retain)
        return payload

    def say(self, ident: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish a command, or anything in its place."""
        self._client.publish(TOPICS.leaf(f"command/{ident}"), payload, qos=1, retain=retain)

    def configure(
        self,
        version: int,
        values: dict[str, Any],
        *,
        key: Ed25519PrivateKey | None = None,
        **changes: Any,
    ) -> None:
        """Desire a configuration, retained."""
        word = compose_config(TOPICS, version, values) | changes
        payload = sign_word(word, "config", key)
        self._client.publish(TOPICS.leaf("config/desired"), payload, qos=1, retain=True)

    async def report(self, state: str, version: int | None, patience: float = 40) -> dict[str, Any]:
        """Wait until the newest report is this; gives it."""
        await until(
            lambda: (
                self.reports
                and (self.reports[-1]["state"], self.reports[-1]["version"]) == (state, version)
            ),
            patience,
        )
        return self.reports[-1]

    async def result(self, ident: str, count: int = 1) -> dict[str, Any]:
        """Wait for the results of a command; gives the last of so many."""
        await until(lambda: len(self.results[ident]) >= count, 40)
        return self.results[ident][count - 1]

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe("#", qos=1)

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed = True

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, message)

    def _take(self, message: paho.MQTTMessage) -> None:
        levels = message.topic.split("/")
        if levels[-1] == "result":
            self.results[levels[-2]].append(json.loads(message.payload))
        elif levels[-1] == "reported":
            self.reports.append(json.loads(message.payload))
        elif levels[-1] == "state":
            self.births += bool(json.loads(message.payload)["connected"])
        elif levels[-1] == "events":
            self.events.append(json.loads(message.payload))


class Gateway:
    """`edge-agent run` as a process, through as many lives as it takes."""

    def __init__(
        self,
        folder: Path,
        port: int,
        hub: Headquarters,
        key: Ed25519PrivateKey | None = None,
        probation: str = "25s",
    ) -> None:
        self._hub = hub
        self.state = folder / "state"
        self.log = folder / "log.jsonl"
        self.config = folder / "config.toml"
        self._process: asyncio.subprocess.Process | None = None
        roster = '{ file = "roster.json", allow_unsigned = true }'
        if key is not None:
            roster = f'{{ public_key = "{key.public_key().public_bytes_raw().hex()}" }}'
        text = _CONFIG.format(port=port, roster=roster, probation=probation)
        self.config.write_text(text, encoding="utf-8")
        members = {"members": [{"visitor": MEMBER}, {"visitor": OTHER}]}
        (folder / "roster.json").write_text(json.dumps(members), encoding="utf-8")

    @property
    def journal(self) -> Path:
        """Its journal of commands."""
        return self.state / "commands.db"

    async def start(self) -> None:
        """Begin a life, and wait for its birth: what it subscribed to is known to the broker."""
        before = self._hub.births
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "edge_agent", "run", "--config", str(self.config)),
                stdout=log,
                stderr=log,
            )
        await until(lambda: self._hub.births > before, 60)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End the life; gives its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        return await asyncio.wait_for(process.wait(), 20)

    async def ended(self) -> int:
        """Wait until it ends by itself."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), 20)

    async def until_logged(self, event: str) -> None:
        """Wait for a line of the log."""
        await until(lambda: f'"{event}"' in self.log.read_text(encoding="utf-8"), 60)

    def remember(self, *visitors: str) -> None:
        """Leave finished visits in the outbox, before the first life."""
        writer = composer()
        with Outbox.open(self.state / "outbox.db") as outbox:
            for visitor in visitors:
                pairs = drafted(writer, enter(visitor), leave(visitor))
                outbox.commit([draft for draft, _ in pairs], writer.number, [])

    def erasures(self) -> int:
        """Count the erasures that have taken effect: one tombstone each."""
        with closing(sqlite3.connect(self.state / "outbox.db", timeout=20)) as reader:
            query = "SELECT count(*) FROM event WHERE type = 'presence.gap.v1'"
            return int(reader.execute(query).fetchone()[0])

    def told(self) -> bool:
        """Tell whether its epoch's snapshot is out: the outbox has nothing to write by itself."""
        query = "SELECT value FROM meta WHERE name = 'untold'"
        with closing(sqlite3.connect(self.state / "outbox.db", timeout=20)) as reader:
            return bool(reader.execute(query).fetchone() == (0,))

    def started(self, ident: str) -> bool:
        """Tell whether the journal says that a command was begun and not ended."""
        query = "SELECT started AND result IS NULL FROM command WHERE id = ?"
        if not self.journal.exists():
            return False
        with closing(sqlite3.connect(self.journal, timeout=20)) as reader:
            try:
                return bool(reader.execute(query, (ident,)).fetchone() == (1,))
            except sqlite3.OperationalError:  # it is just being laid out
                return False
