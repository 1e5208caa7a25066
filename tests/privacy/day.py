"""One day of the real agent, told once and looked at by many tests.

strangers come, and twice as many more   nobody is in, so nothing may be written for them
four members come in                     an app, a tag, an Eddystone tag, a private address
one withdraws, and goes on being heard   a new roster, whose lease is short
the broker dies, the lease ends offline  everybody is heard on, and nobody is known
the broker returns                       the hub is told how the visits ended
bluetoothd talks nonsense                which is a bug in the agent, and ends it
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dbus_fast import Variant

from edge_agent.identify.eid import epoch_of
from edge_agent.identify.roster import Member
from simulators.bluez import BlueZPeer, PrivateBus
from simulators.bluez_objects import DEVICE, changed
from simulators.canary import Secret
from simulators.credentials import (
    NAMESPACE,
    android_service_data,
    ephemeral_id,
    resolvable_address,
    temporary_key,
)
from simulators.mosquitto import Mosquitto
from simulators.signed_roster import sign_bundle
from tests.privacy.crowd import APPLE, EDDYSTONE, nobodies, strangers
from tests.privacy.taps import LAUNCHER, WireTap, audited, calls_on
from tests.publish.hub import PlainHub, until
from tests.publish.shop import environment_of

LEASE_S = 4
FIRST, CROWD = 5_000, 10_000
SEARCHED = 23  # one of so many is looked for: of all kinds, and a table that fits in memory
_LOT = 500  # strangers at once, which bluetoothd then forgets

_CONFIG = """tenant = "acme"
store = "0042"
gateway = "gw-1"
[mqtt]
url = "mqtt://127.0.0.1:{port}"
allow_plaintext = true
[roster]
file = "roster.json"
public_key = "{key}"
[ble]
namespace = "{namespace}"
[presence]
dwell_milestones = ["2s", "10s"]
enter_confidence = 0.6
exit_after_at_most = "20s"
[[zone]]
name = "floor"
gateways = ["gw-1"]
"""


@dataclass(slots=True)
class Day:
    """What was seen of it."""

    folder: Path
    members: dict[str, str] = field(default_factory=dict)  # app, tag, uid, irk -> pseudonym
    secrets: list[Secret] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)  # of the strangers
    before: dict[str, int] = field(default_factory=dict)  # the second crowd: sizes
    after: dict[str, int] = field(default_factory=dict)
    resident: list[int] = field(default_factory=list)  # pages, before and after it
    quiet_events: int = 0  # applied when the strangers had gone
    erased: bytes = b""  # the state folder after the withdrawal
    told_at_withdrawal: int = 0  # octets on the wire by then
    lease_ended: float = 0.0
    said: dict[str, bytes] = field(default_factory=dict)  # what commands printed
    events: list[dict[str, object]] = field(default_factory=list)
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    wire: bytes = b""
    to_broker: bytes = b""
    bus: list[tuple[str, str, str]] = field(default_factory=list)
    audit: list[tuple[str, list[str]]] = field(default_factory=list)
    log: bytes = b""
    bus_address: str = ""
    port: int = 0
    ended: int | None = None

    def of(self, who: str) -> list[dict[str, object]]:
        """Give the events of a member."""
        return [event for event in self.events if event.get("subject") == self.members[who]]


class _Shop:
    """The gateway's files, its process, and the members' radios."""

    def __init__(self, day: Day, port: int, environment: dict[str, str]) -> None:
        self.day = day
        self.inside: set[str] = set()
        self._signing = Ed25519PrivateKey.generate()
        self._key, self._irk = secrets.token_bytes(16), secrets.token_bytes(16)
        self._tag, self._uid = secrets.token_bytes(20), secrets.token_bytes(16)
        self._addresses = {who: secrets.token_bytes(6).hex(":").upper() for who in "atu"}
        day.members = {who: secrets.token_hex(16) for who in ("app", "tag", "uid", "irk")}
        for octets in (self._key, self._irk, self._tag, self._uid, self._signing_key()):
            day.secrets.append(Secret("a member's key", octets))
        for text in self._addresses.values():
            day.secrets.append(Secret("a member's address", bytes.fromhex(text.replace(":", ""))))
        for name in ("etc", "state", "run"):
            (day.folder / name).mkdir(mode=0o700)
        self.config = day.folder / "etc" / "config.toml"
        public = self._signing.public_key().public_bytes_raw().hex()
        self.config.write_text(
            _CONFIG.format(port=port, key=public, namespace=NAMESPACE), encoding="utf-8"
        )
        self.environment = environment_of(environment) | {
            "STATE_DIRECTORY": str(day.folder / "state"),
            "RUNTIME_DIRECTORY": str(day.folder / "run"),
        }

    def _signing_key(self) -> bytes:
        return self._signing.private_bytes_raw()

    def opt_in(self, seq: int, *who: str, lease_s: float) -> float:
        """Sign a roster of these members; gives when its lease ends."""
        now = time.time()
        not_after = float(int(now + lease_s))
        epoch = epoch_of(now)
        key = temporary_key(self._key, int(now))
        self.day.secrets.append(Secret("a temporary key", key))
        known = {
            "app": Member(self.day.members["app"], temporary_keys={epoch: key}),
            "tag": Member(self.day.members["tag"], ibeacon=self._tag),
            "uid": Member(self.day.members["uid"], eddystone_uid=self._uid),
            "irk": Member(self.day.members["irk"], irk=self._irk),
        }
        bundle = sign_bundle(
            [known[name] for name in who],
            self._signing_key(),
            tenant="acme",
            store="0042",
            epoch=epoch,
            seq=seq,
            not_after=not_after,
        )
        roster = self.config.with_name("roster.json")
        fresh = roster.with_suffix(".new")
        fresh.write_text(bundle.model_dump_json(), encoding="utf-8")
        fresh.replace(roster)
        return not_after

    async def blow(self, peer: BlueZPeer) -> None:
        """Let the members who are inside be heard, ten times a second."""
        known: set[bytes] = set()
        for number in range(1 << 20):
            eid = ephemeral_id(self._key, int(time.time()))
            private = resolvable_address(self._irk, secrets.randbits(22) if number == 0 else 77)
            for octets in (eid, bytes.fromhex(private.replace(":", ""))):
                if octets not in known:
                    known.add(octets)
                    self.day.secrets.append(Secret("of a member, in the air", octets))
            if "app" in self.inside:
                self._send(peer, "a", service={str(NAMESPACE): android_service_data(eid, -59)})
            if "tag" in self.inside:
                self._send(peer, "t", company={APPLE: b"\x02\x15" + self._tag + b"\xc5"})
            if "uid" in self.inside:
                self._send(peer, "u", service={EDDYSTONE: b"\x00\xe7" + self._uid})
            if "irk" in self.inside:
                peer.advertise(private, -55, manufacturer_data={6: number.to_bytes(4)})
            await asyncio.sleep(0.1)

    def _send(
        self,
        peer: BlueZPeer,
        who: str,
        *,
        service: dict[str, bytes] | None = None,
        company: dict[int, bytes] | None = None,
    ) -> None:
        address = self._addresses[who]
        peer.advertise(address, -55, service_data=service, manufacturer_data=company)

    async def start(self) -> asyncio.subprocess.Process:
        """Start the agent with an ear at its interpreter."""
        with (self.day.folder / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", LAUNCHER, str(self.day.folder / "audit")),
                *("run", "--log-level", "debug", "--config", str(self.config)),
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.day.folder / "run",
            )

    async def ask(self, *words: str) -> bytes:
        """Run another command of the agent's, as a technician would."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edge_agent", *words, "--config", str(self.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.environment,
        )
        said, _ = await process.communicate()
        return said

    def logged(self, event: str) -> bool:
        """Whether the agent has said so."""
        return f'"event": "{event}"'.encode() in (self.day.folder / "log").read_bytes()

    def stored(self) -> bytes:
        """Give every octet of the state folder."""
        files = sorted((self.day.folder / "state").iterdir())
        return b"".join(file.read_bytes() for file in files)

    def sizes(self) -> dict[str, int]:
        """Give the size of every file the agent keeps, but for its own report."""
        folders = (self.day.folder / "state", self.day.folder / "run")
        files = [file for folder in folders for file in folder.iterdir()]
        return {file.name: file.stat().st_size for file in files if file.stem != "status"}

    def status(self, text: str) -> bool:
        """Whether the technician's file says this."""
        path = self.day.folder / "run" / "status.json"
        return path.exists() and text in path.read_text(encoding="utf-8")


async def live(folder: Path) -> Day:
    """Live through the day."""
    day = Day(folder)
    (folder / "broker").mkdir()
    with PrivateBus() as bus, Mosquitto(folder / "broker") as broker:
        day.bus_address = bus.address
        async with (
            calls_on(bus.address) as calls,
            BlueZPeer(bus.address) as peer,
            WireTap(broker.port) as tap,
            PlainHub(broker.port) as hub,
        ):
            day.port = tap.port
            shop = _Shop(day, tap.port, bus.environment)
            shop.opt_in(1, "app", "tag", "uid", "irk", lease_s=3600)
            agent = await shop.start()
            blowing = asyncio.create_task(shop.blow(peer), name="air")
            try:
                await peer.until_scanning(patience=30)
                await _a_crowd(day, shop, peer, agent.pid)
                day.quiet_events = len(hub.applied)
                await _members(day, shop, hub, tap)
                await _offline(day, broker, hub)
                for name in ("status", "doctor"):
                    day.said[name] = await shop.ask(name)
                day.said["report"] = (folder / "run" / "status.json").read_bytes()
                await _nonsense(day, peer, agent)
            finally:
                blowing.cancel()
                await asyncio.gather(blowing, return_exceptions=True)
                if agent.returncode is None:
                    agent.send_signal(signal.SIGKILL)
                day.ended = await agent.wait()
            day.events, day.messages = list(hub.applied), list(hub.messages)
            day.wire, day.to_broker = bytes(tap.sent + tap.received), bytes(tap.sent)
            day.bus = [call for call in calls if call[1] != "org.freedesktop.DBus"]
    day.log = (folder / "log").read_bytes()
    day.audit = audited(folder / "audit")
    return day


async def _a_crowd(day: Day, shop: _Shop, peer: BlueZPeer, pid: int) -> None:
    """Let strangers come by in lots; what is measured is the second crowd's."""
    # The first fills what is bounded: the memory of EIDs and addresses that are nobody's.
    for number, crowd in enumerate((nobodies(FIRST, 1), strangers(CROWD, 2))):
        if number == 1:
            day.before, resident = shop.sizes(), _resident(pid)
            day.resident.append(resident)
        for begin in range(0, len(crowd), _LOT):
            lot = crowd[begin : begin + _LOT]
            for stranger in lot:
                stranger.advertise(peer)
            for stranger in lot:
                peer.forget(stranger.address)
            await asyncio.sleep(0.05)  # paces the radio
        heard = (FIRST, FIRST + CROWD)[number]
        await until(lambda heard=heard: shop.status(f'"heard": {heard}'), 40)  # type: ignore[misc]
        for stranger in crowd[::SEARCHED]:
            day.secrets += stranger.secrets()
    day.kinds = Counter(stranger.kind for stranger in crowd)
    day.after = shop.sizes()
    day.resident.append(_resident(pid))


def _resident(pid: int) -> int:
    """Give the pages in memory (proc(5), statm: readable by all, whoever owns the process)."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])


async def _members(day: Day, shop: _Shop, hub: PlainHub, tap: WireTap) -> None:
    """All four come in, and one withdraws in the middle of her visit."""
    shop.inside |= {"app", "tag", "uid", "irk"}

    def told(who: str, kind: str) -> bool:
        return any(
            event.get("subject") == day.members[who] and event["type"] == f"presence.{kind}.v1"
            for event in hub.applied
        )

    await until(lambda: all(told(who, "enter") for who in day.members), 40)
    await until(lambda: told("app", "dwell"))
    day.lease_ended = shop.opt_in(2, "tag", "uid", "irk", lease_s=LEASE_S)
    await until(lambda: shop.logged("roster_replaced"))
    day.erased, day.told_at_withdrawal = shop.stored(), len(tap.sent)


async def _offline(day: Day, broker: Mosquitto, hub: PlainHub) -> None:
    """The broker is away when the lease ends; everybody is heard all the while, and after."""
    broker.kill()
    await until(lambda: time.time() > day.lease_ended + 1.0, 40)  # heard ten times each, in vain
    broker.start()
    await until(lambda: sum(e["type"] == "presence.exit.v1" for e in hub.applied) >= 3, 60)


async def _nonsense(day: Day, peer: BlueZPeer, agent: asyncio.subprocess.Process) -> None:
    """Let bluetoothd say a device's address where its signal strength should be."""
    address = "C7:5A:3C:91:0E:B4"
    day.secrets.append(Secret("in a nonsense value", bytes.fromhex(address.replace(":", ""))))
    peer.advertise(address, -60)
    path = f"/org/bluez/hci0/dev_{address.replace(':', '_')}"
    values = {"RSSI": Variant("s", address), "Name": Variant("s", str(UUID(int=1)))}
    bus = peer._bus
    assert bus is not None
    await bus.send(changed(path, DEVICE, values))
    await asyncio.wait_for(agent.wait(), 20)
