"""The doors, each as a function of octets that refuses by name or accepts, and does nothing else.

A door is right when, of any octets, it raises nothing but its own refusal, takes less than a second
for 64 KiB, and keeps nothing. atheris, hypothesis and the corpus all knock at the same functions.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from edge_agent.config import ConfigError, read_config
from edge_agent.identify.advertisement import read_advertising_data
from edge_agent.identify.identifier import Directory, Identifier
from edge_agent.identify.roster import Member, Roster, RosterError
from edge_agent.identify.roster_file import read_unsigned_roster
from edge_agent.identify.roster_signed import Bundle, Manifest, open_bundle, read_bundle
from edge_agent.model import Advertisement, Backend, RadioAddress
from edge_agent.publish.contract import Acknowledgement, State
from edge_agent.trace import Trace, TraceError
from simulators.credentials import NAMESPACE, android_service_data

__all__ = ["DOORS", "LONGEST", "Door"]

LONGEST: Final = 64 * 1024
_UNIX: Final = 1_750_000_000.0
_SIGNING: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_FILE: Final = Path(tempfile.mkdtemp(prefix="edge-agent-fuzz-")) / "file"


@dataclass(frozen=True, slots=True)
class Door:
    """One way in. `refusals` are what it may raise; `seeds` are what it lets in."""

    name: str
    knock: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]

    def __call__(self, octets: bytes) -> bool:
        """Knock; tell whether it was let in. Anything but a refusal is raised."""
        try:
            self.knock(octets)
        except self.refusals:
            return False
        return True


def _identifier() -> Identifier:
    member = Member(
        "v-1", identity_key=bytes(16), ibeacon=bytes(20), eddystone_uid=bytes(16), irk=bytes(16)
    )
    directory = Directory(Roster.of([member]))
    directory.ensure(_UNIX)
    return Identifier(directory, NAMESPACE, lambda at: _UNIX + at)


_IDENTIFIER: Final = _identifier()


def _advertising_data(octets: bytes) -> None:
    """AdvData off the air, through the filter and the identifier, whatever the filter says."""
    address = octets[:6].ljust(6, b"\x40")
    rssi = (octets[6] if len(octets) > 6 else 200) - 256  # noqa: PLR2004 - behind the address
    fields = read_advertising_data(octets[7:])
    if fields is None:
        return
    _hear(address, rssi, fields.service_data, fields.manufacturer_data, fields.service_uuids)


def _properties(octets: bytes) -> None:
    """What D-Bus gives for a device: any text may stand where BlueZ puts a UUID."""
    address, _, rest = octets.partition(b"\n")
    names, _, data = rest.partition(b"\n")
    uuids = names.decode("utf-8", "replace").split(",")
    service_data = dict.fromkeys((*uuids, str(NAMESPACE)), data)
    company = int.from_bytes(address[:2])
    _hear(address[:6].ljust(6, b"\x50"), -60, service_data, {company: data, 0x4C: data}, uuids)


def _hear(
    address: bytes,
    rssi: int,
    service_data: dict[str, bytes] | object,
    manufacturer_data: dict[int, bytes] | object,
    service_uuids: object,
) -> None:
    heard = RadioAddress(int.from_bytes(address))
    text = address.hex(":").upper()
    parts = (service_data, manufacturer_data, service_uuids)
    _IDENTIFIER.wants(text, *parts)  # type: ignore[arg-type] # as the callers made them
    _IDENTIFIER.identify(
        Advertisement(0.0, "gw-1", "ble", Backend.MGMT, heard, rssi, *parts)  # type: ignore[arg-type]
    )


def _unsigned_roster(octets: bytes) -> None:
    _FILE.write_bytes(octets)
    Directory(read_unsigned_roster(_FILE)).ensure(_UNIX)


def _bundle(octets: bytes) -> None:
    _FILE.write_bytes(octets)
    _open(read_bundle(_FILE))


def _snapshot(octets: bytes) -> None:
    """A snapshot that the hub signed, whatever is in it: the signature is not what saves us."""
    count = octets.count(b"\x00" * 16) if octets[:1] == b"\xff" else len(octets) // 34
    manifest = Manifest(
        tenant="acme",
        store="0042",
        epoch=int(_UNIX) >> 16,
        seq=1,
        count=count,
        sha256=hashlib.sha256(octets).hexdigest(),
        not_after="2099-01-01T00:00:00Z",
        consent_version="1",
    )
    signature = base64.b64encode(_SIGNING.sign(manifest.canonical())).decode()
    _open(
        Bundle(manifest=manifest, signature=signature, snapshot=base64.b64encode(octets).decode())
    )


def _open(bundle: Bundle) -> None:
    public_key = _SIGNING.public_key().public_bytes_raw()
    names = {"tenant": "acme", "store": "0042"}
    roster = open_bundle(bundle, public_key=public_key, newest_seq=0, unix=_UNIX, **names)
    Directory(roster).ensure(_UNIX)


def _trace(octets: bytes) -> None:
    header = b'{"trace": 1, "started_at": "2026-11-01T09:00:00Z"}\n'
    for _ in Trace(io.BytesIO(header + octets), lambda _number, _what: None):
        pass


def _trace_header(octets: bytes) -> None:
    list(Trace(io.BytesIO(octets), lambda _number, _what: None))


def _config(octets: bytes) -> None:
    _FILE.write_bytes(octets)
    read_config(_FILE)


_MEMBER: Final = b'{"visitor": "v-1", "ik": "00112233445566778899aabbccddeeff", "tk": {"26702": '
_CONFIG: Final = b"""tenant = "acme"
store = "0042"
gateway = "gw-1"
mqtt = { url = "mqtts://broker.example:8883", keepalive = "30s" }
roster = { file = "roster.json", allow_unsigned = true }
[ble]
namespace = "7a3c9e10-5b2d-4f68-9c41-d0e2a7b65f13"
[presence]
dwell_milestones = ["1min", "1h"]
[[zone]]
name = "floor"
gateways = ["gw-1"]
[hours]
timezone = "Europe/Berlin"
open = ["mon-fri 09:00-20:00", "2026-12-24 09:00-13:00"]
"""
_SERVICE_DATA: Final = android_service_data(bytes(8), -59)
_IN_THE_AIR: Final = b"\x02\x01\x06\x1b\x21" + NAMESPACE.bytes[::-1] + _SERVICE_DATA
_LINES: Final = (
    b'{"at": 1.25, "gateway": "gw-1", "ble": {"address": "7A:11:22:33:44:55", "rssi": -71,'
    b' "service_data": {"feaa": "00"}, "manufacturer_data": {"76": "0215"}}}\n'
    b'{"at": 2.0, "gateway": "gw-1", "wifi": {"event": "heard", "address": "7A:11:22:33:44:55"}}\n'
    b'{"at": 60.0, "end": true}\n'
)

DOORS: Final[dict[str, Door]] = {
    door.name: door
    for door in (
        Door("advertising-data", _advertising_data, (), (bytes(7) + _IN_THE_AIR,)),
        Door(
            "bluez-properties",
            _properties,
            (),
            (b"\x00\x4c1234\n" + str(UUID(int=1)).encode() + b"\n" + _SERVICE_DATA,),
        ),
        Door(
            "unsigned-roster",
            _unsigned_roster,
            (RosterError,),
            (b'{"members": [' + _MEMBER + b'"00112233445566778899aabbccddeeff"}}]}',),
        ),
        Door("signed-bundle", _bundle, (RosterError,), (b'{"manifest": {"v": 1}}',)),
        Door(
            "signed-snapshot",
            _snapshot,
            (RosterError,),
            (bytes(34), bytes(32) + b"\x00\x02\x05\x00"),
        ),
        Door("trace-lines", _trace, (), (_LINES,)),
        Door(
            "trace",
            _trace_header,
            (TraceError,),
            (b'{"trace": 1, "started_at": "2026-11-01T09:00:00Z"}',),
        ),
        Door(
            "acknowledgement",
            Acknowledgement.model_validate_json,
            (ValidationError,),
            (b'{"epoch": "6f0c", "seq": 118, "hub": 1793600000000}',),
        ),
        Door(
            "state",
            State.model_validate_json,
            (ValidationError,),
            (b'{"connected": true, "boot": "b", "session": 1, "version": "1"}',),
        ),
        Door("configuration", _config, (ConfigError,), (_CONFIG,)),
    )
}
