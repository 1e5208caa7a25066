"""A shop for whole stories: `edge-agent run` as a process, and who walks about near its radio."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from simulators.bluez import BlueZPeer
from simulators.credentials import NAMESPACE, android_service_data, ephemeral_id
from tests.publish.hub import until

TAG_UUID = UUID("e2c56db5-dffb-48d2-b060-d0f5a71096e0")
TAG = TAG_UUID.bytes + (1234).to_bytes(2) + (5678).to_bytes(2)
PHONE_KEY = bytes.fromhex("7c91330e61dfea4606b5b3ecb4457d76")
PHONE_MEMBER, TAG_MEMBER = "member-with-a-phone", "member-with-a-tag"
_APPLE = 0x004C

_CONFIG = """tenant = "acme"
store = "0042"
gateway = "gw-1"
[mqtt]
url = "mqtt://127.0.0.1:{port}"
allow_plaintext = true
[roster]
file = "roster.json"
allow_unsigned = true
[ble]
namespace = "{namespace}"
[presence]
dwell_milestones = ["2s", "10s"]
enter_confidence = 0.6
exit_after_at_most = "5s"
[[zone]]
name = "floor"
gateways = ["gw-1"]
"""


class Shop:
    """The gateway's files and its agent; what it writes to stderr is kept across its lives."""

    def __init__(self, folder: Path, broker_port: int, environment: dict[str, str]) -> None:
        self.config = folder / "config.toml"
        self.state = folder / "state"
        self.log = folder / "log.jsonl"
        self._roster = folder / "roster.json"
        self._environment = environment
        self._agent: asyncio.subprocess.Process | None = None
        text = _CONFIG.format(port=broker_port, namespace=NAMESPACE)
        self.config.write_text(text, encoding="utf-8")
        self.opt_in(PHONE_MEMBER, TAG_MEMBER)

    def opt_in(self, *members: str) -> None:
        """Let the roster be these members, and nobody else."""
        known: dict[str, dict[str, object]] = {
            PHONE_MEMBER: {"ik": PHONE_KEY.hex()},
            TAG_MEMBER: {"ibeacon": {"uuid": str(TAG_UUID), "major": 1234, "minor": 5678}},
        }
        roster = {"members": [{"visitor": name, **known[name]} for name in members]}
        fresh = self._roster.with_suffix(".new")
        fresh.write_text(json.dumps(roster), encoding="utf-8")
        fresh.replace(self._roster)

    async def open(self) -> None:
        """Start the agent."""
        with self.log.open("ab") as log:
            self._agent = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "edge_agent", "run", "--log-level", "debug"),
                *("--config", str(self.config)),
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the agent; gives its exit code."""
        agent, self._agent = self._agent, None
        if agent is None:
            return 0
        if agent.returncode is None:
            agent.send_signal(number)
        return await asyncio.wait_for(agent.wait(), 15)

    def stored(self) -> bytes:
        """Give every byte of the agent's state directory."""
        return b"".join(file.read_bytes() for file in sorted(self.state.iterdir()))

    def logged(self, event: str) -> int:
        """Count the log's lines of an event."""
        text = self.log.read_text(encoding="utf-8")
        return sum(f'"event": "{event}"' in line for line in text.splitlines())


@dataclass
class Air:
    """Sends what phones and tags send, ten times a second, for as long as they are `inside`."""

    peer: BlueZPeer
    inside: set[str] = field(default_factory=set)
    strangers: bool = False
    last_sent: float = 0.0  # Unix time
    secrets: set[bytes] = field(default_factory=lambda: {PHONE_KEY, TAG, TAG_UUID.bytes})
    addresses: set[str] = field(default_factory=set)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def blow(self) -> None:
        """Send for ever."""
        while True:
            if PHONE_MEMBER in self.inside:
                eid = ephemeral_id(PHONE_KEY, int(time.time()))
                self._send("C1:A2:B3:C4:D5:E6", service={str(NAMESPACE): _app(eid)})
                self.secrets.add(eid)
            if TAG_MEMBER in self.inside:
                self._send("D2:B3:C4:D5:E6:F7", manufacturer={_APPLE: b"\x02\x15" + TAG + b"\xc5"})
            if self.inside:
                self.last_sent = time.time()
            if self.strangers:
                self._stranger(next(self._numbers))
            await asyncio.sleep(0.1)

    def _stranger(self, number: int) -> None:
        """Somebody of another retailer, of no roster, or with a tag of the same make walks by."""
        address = (
            f"{0x40 | number & 0x3F:02X}:5A:3C:{number >> 8 & 0xFF:02X}:{number & 0xFF:02X}:9B"
        )
        eid = hashlib.sha256(address.encode()).digest()[:8]
        self.secrets.add(eid)
        other = UUID(int=NAMESPACE.int ^ 1)
        self._send(address, service={str(other if number % 3 else NAMESPACE): _app(eid)})
        tag = TAG_UUID.bytes + number.to_bytes(4)
        self._send(f"F0{address[2:]}", manufacturer={_APPLE: b"\x02\x15" + tag + b"\xc5"})

    def _send(
        self,
        address: str,
        *,
        service: dict[str, bytes] | None = None,
        manufacturer: dict[int, bytes] | None = None,
    ) -> None:
        self.addresses.add(address)
        self.peer.advertise(address, -55, service_data=service, manufacturer_data=manufacturer)

    async def until_gone(self) -> None:
        """Let everybody leave."""
        self.inside.clear()
        sent = self.last_sent
        await until(lambda: time.time() > sent + 0.2)


def _app(eid: bytes) -> bytes:
    return android_service_data(eid, -59)


def disguises(addresses: Iterable[str], secrets: Iterable[bytes]) -> dict[bytes, str]:
    """Give every form in which an address or a key might have been written down, and what it is."""
    found: dict[bytes, str] = {}
    for secret in {*secrets, *(bytes.fromhex(a.replace(":", "")) for a in addresses)}:
        for form in (secret, secret[::-1]):
            digest = hashlib.sha256(form).hexdigest()
            for text in (form.hex(), form.hex().upper(), digest, digest.upper()):
                found[text.encode()] = "hexadecimal or SHA-256"
            found[base64.b64encode(form).rstrip(b"=")] = "base64"
            found[form] = "raw"
            if len(form) == 16:
                found[str(UUID(bytes=form)).encode()] = "a UUID"
    for address in addresses:
        for mark, case in itertools.product(":_-", (str.upper, str.lower)):
            text = case(address.replace(":", mark))
            found[text.encode()] = "an address"
            found[hashlib.sha256(text.encode()).hexdigest().encode()] = "an address's SHA-256"
    return found


def leaks(air: Air, *places: bytes) -> list[str]:
    """Say which addresses and keys of those that were in the air are found in some bytes."""
    forms = disguises(air.addresses, air.secrets)
    return [
        f"{what} at {place.index(form)}: {place[max(0, place.index(form) - 80) :][:160]!r}"
        for place in places
        for form, what in forms.items()
        if form in place
    ]


def environment_of(bus_environment: dict[str, str]) -> dict[str, str]:
    """Give the environment of a daemon that knows nothing of this machine's directories."""
    away = {"STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"}
    return {k: v for k, v in bus_environment.items() if k not in away} | {
        "PYTHONDONTWRITEBYTECODE": "1",
    }
