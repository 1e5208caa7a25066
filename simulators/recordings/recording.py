"""A recording in our own terms, and the four files it becomes.

    trace.jsonl.gz   what the gateways heard, in the trace format
    truth.json       who really was where
    config.toml      zones and times to replay it with
    roster.json      the tags that carried consent, unsigned

The public sets name beacons in ways of their own; here each is an iBeacon on the roster, at a
made-up address.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TextIO, cast
from uuid import UUID

from simulators.truth import Truth

__all__ = [
    "BadRecordingError",
    "Reception",
    "Recording",
    "Tag",
    "Written",
    "Zone",
    "open_text",
    "thinned",
]

APPLE = 76  # company identifier that iBeacon frames travel under


class BadRecordingError(ValueError):
    """The source is not the file the converter expects; the text says where and what."""


@dataclass(frozen=True, slots=True)
class Tag:
    """An iBeacon that a visitor carries; `tx` is its calibrated RSSI at 1 m in dBm."""

    visitor: str
    uuid: UUID
    major: int
    minor: int
    tx: int

    @property
    def frame(self) -> str:
        """The manufacturer data behind the company identifier, as hexadecimal."""
        parts = (
            b"\x02\x15",
            self.uuid.bytes,
            self.major.to_bytes(2),
            self.minor.to_bytes(2),
            self.tx.to_bytes(1, signed=True),
        )
        return b"".join(parts).hex()

    @property
    def address(self) -> str:
        """A static random address (two leading ones), the same at every conversion."""
        octets = bytearray(hashlib.sha256(self.visitor.encode()).digest()[:6])
        octets[0] |= 0xC0
        return octets.hex(":").upper()


@dataclass(frozen=True, slots=True)
class Reception:
    """One packet of a visitor's tag at one gateway; `rssi` in dBm exactly as recorded."""

    at: float
    gateway: str
    visitor: str
    rssi: int


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone of the configuration to replay with."""

    name: str
    gateways: tuple[str, ...]
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What went into a trace; `impossible` receptions claim an RSSI of 0 dBm or more."""

    receptions: int
    impossible: int
    visitors: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Recording:
    """A converted recording, its receptions still a stream: the largest set has millions."""

    store: str
    origin: str  # one line for the head of the configuration
    started_at: datetime
    tags: tuple[Tag, ...]
    zones: tuple[Zone, ...]
    exit_after_at_most: str
    truth: Truth
    receptions: Iterable[Reception]

    def write(self, out: Path) -> Written:
        """Write the four files into the folder `out`, which is made if it is missing."""
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.toml").write_text(self._config(), encoding="utf-8")
        (out / "roster.json").write_text(self._roster(), encoding="utf-8")
        self.truth.write(out / "truth.json")
        return self._trace(out / "trace.jsonl.gz")

    def _trace(self, path: Path) -> Written:
        count = impossible = 0
        ble = {tag.visitor: (tag.address, {str(APPLE): tag.frame}) for tag in self.tags}
        began = self.started_at.astimezone(UTC).isoformat(timespec="milliseconds")
        with path.open("wb") as raw, _reproducible(raw) as packed:
            packed.write(_line({"trace": 1, "started_at": began.replace("+00:00", "Z")}))
            for heard in self.receptions:
                address, frames = ble[heard.visitor]
                packet = {"address": address, "rssi": heard.rssi, "manufacturer_data": frames}
                packed.write(
                    _line({"at": round(heard.at, 3), "gateway": heard.gateway, "ble": packet})
                )
                count += 1
                impossible += heard.rssi >= 0
            packed.write(_line({"at": self.truth.duration, "end": True}))
        return Written(count, impossible, len(self.tags), self.truth.duration)

    def _roster(self) -> str:
        members = [
            {
                "visitor": tag.visitor,
                "ibeacon": {"uuid": str(tag.uuid), "major": tag.major, "minor": tag.minor},
            }
            for tag in self.tags
        ]
        return json.dumps({"members": members}, indent=1) + "\n"

    def _config(self) -> str:
        inside = next(zone for zone in self.zones if not zone.outside)
        lines = [
            f"# {self.origin}",
            'tenant = "recordings"',
            f'store = "{self.store}"',
            f'gateway = "{inside.gateways[0]}"',
            "",
            "[mqtt]",
            'url = "mqtts://broker.example:8883" # a replay connects to nothing',
            "",
            "[roster]",
            'file = "roster.json"',
            "allow_unsigned = true",
            "",
            "[presence]",
            f'exit_after_at_most = "{self.exit_after_at_most}"',
            'resume_within = "0s" # every crossing counts',
        ]
        for zone in self.zones:
            lines += ["", "[[zone]]", f'name = "{zone.name}"']
            lines.append(f"gateways = {json.dumps(zone.gateways)}")
            if zone.outside:
                lines.append("outside = true")
        return "\n".join(lines) + "\n"


def thinned(receptions: Iterable[Reception], period: float) -> Iterator[Reception]:
    """Keep the first reception of each tag at each gateway in every `period` seconds."""
    kept: dict[tuple[str, str], int] = {}
    for heard in receptions:
        slot = int(heard.at // period)
        key = (heard.visitor, heard.gateway)
        if slot > kept.get(key, -1):
            kept[key] = slot
            yield heard


def open_text(path: Path) -> TextIO:
    """Open a source file, plain or packed (`.gz`, `.xz`)."""
    match path.suffix:
        case ".gz":
            return cast("TextIO", gzip.open(path, "rt", encoding="utf-8"))
        case ".xz":
            return lzma.open(path, "rt", encoding="utf-8")
        case _:
            return path.open(encoding="utf-8")


def _reproducible(raw: IO[bytes]) -> gzip.GzipFile:
    """Pack without name and time, so that equal recordings are equal files."""
    return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)


def _line(record: dict[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
