"""A simulated span as other programs meet it: trace lines, truth, roster, configuration."""

from __future__ import annotations

import asyncio
import gzip
import heapq
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulators.credentials import NAMESPACE
from simulators.phones import Advert
from simulators.plan import StorePlan
from simulators.radio import Floats
from simulators.stations import Line
from simulators.truth import Truth

__all__ = ["Day", "Line", "Receptions"]

_FAST_COMPRESSION = 3


@dataclass(frozen=True, slots=True, eq=False)
class Receptions:
    """Packets heard, by `at` (s, sorted): the index of gateway and advert, `rssi` in dBm."""

    at: Floats
    gateway: NDArray[np.int64]
    rssi: NDArray[np.int64]
    advert: NDArray[np.int64]
    gateways: tuple[str, ...]
    adverts: list[Advert]

    def lines(self) -> Iterator[tuple[float, Line]]:
        """Yield each as a trace line behind its time."""
        columns = (self.at, self.gateway, self.rssi, self.advert)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for at, gateway, rssi, advert in rows:
            ble = {**self.adverts[advert], "rssi": rssi}
            yield at, {"at": at, "gateway": self.gateways[gateway], "ble": ble}


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """What was simulated: a store open from `opens` to `closes`, seconds.

    `stations` holds the Wi-Fi, portal and radio lines, by time.
    """

    plan: StorePlan
    started_at: datetime
    truth: Truth
    roster: dict[str, list[dict[str, object]]]
    receptions: Receptions
    stations: list[tuple[float, Line]]
    opens: float
    closes: float

    def lines(self) -> Iterator[Line]:
        """Yield the trace, header first and `end` last, by time (DESIGN section 6)."""
        return (line for _, line in self._timed())

    def _timed(self) -> Iterator[tuple[float, Line]]:
        started = self.started_at.astimezone(UTC).isoformat(timespec="milliseconds")
        yield 0.0, {"trace": 1, "started_at": started.replace("+00:00", "Z")}
        yield from heapq.merge(self.receptions.lines(), self.stations, key=itemgetter(0))
        yield self.truth.duration, {"at": self.truth.duration, "end": True}

    async def play(self, speed: float = 1.0) -> AsyncIterator[Line]:
        """Yield the lines when they are due, `speed` times as fast as they happened.

        Each is due by the monotonic clock since the start, so that lateness never adds up. For
        identifiers that match the wall clock, simulate with `WallClock(now, speed)`.
        """
        clock = asyncio.get_running_loop().time
        origin = clock()
        for at, line in self._timed():
            await asyncio.sleep(max(0.0, origin + at / speed - clock()))
            yield line

    def config(
        self,
        broker: str = "mqtt://127.0.0.1:1883",
        *,
        tenant: str = "acme",
        store: str = "0042",
        hours: bool = False,
    ) -> str:
        """Write a configuration (TOML) for an agent on this store's first indoor gateway.

        With `hours`, it knows when the store is open, to the minute and in UTC.
        """
        own = next(
            gateway.name for gateway in self.plan.gateways if gateway.name in self.plan.indoor
        )
        parts = [
            "\n".join(
                f"{key} = {json.dumps(value)}"
                for key, value in (("tenant", tenant), ("store", store), ("gateway", own))
            ),
            f"[mqtt]\nurl = {json.dumps(broker)}\nallow_plaintext = true",
            '[roster]\nfile = "roster.json"\nallow_unsigned = true',
            f'[ble]\nnamespace = "{NAMESPACE}"',
        ]
        if hours:
            parts.append(f'[hours]\ntimezone = "UTC"\nopen = [{json.dumps(self._open_hours())}]')
        for zone in self.plan.zones:
            outside = "\noutside = true" if zone.outside else ""
            gateways = json.dumps(list(zone.gateways))
            parts.append(
                f"[[zone]]\nname = {json.dumps(zone.name)}\ngateways = {gateways}{outside}"
            )
        return "\n\n".join(parts) + "\n"

    def _open_hours(self) -> str:
        """Tell the opening hours of every day, to whole minutes that hold them."""
        opens, closes = self.opens // 60.0, -(-self.closes // 60.0)
        first, last = (
            (self.started_at.astimezone(UTC) + timedelta(minutes=minutes)).strftime("%H:%M")
            for minutes in (opens, closes)
        )
        return f"daily {first}-{last}"

    def write(self, folder: Path, *, hours: bool = False) -> None:
        """Store trace.jsonl.gz, truth.json, roster.json and config.toml in `folder`.

        The configuration holds opening `hours` only when asked to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        encode = json.JSONEncoder(separators=(",", ":")).encode
        # Without a name and a time in the gzip header, equal days are equal files.
        with (
            (folder / "trace.jsonl.gz").open("wb") as raw,
            gzip.GzipFile("", "wb", _FAST_COMPRESSION, raw, mtime=0) as trace,
        ):
            for line in self.lines():
                trace.write(encode(line).encode() + b"\n")
        self.truth.write(folder / "truth.json")
        roster = json.dumps(self.roster, indent=1) + "\n"
        (folder / "roster.json").write_text(roster, encoding="utf-8")
        (folder / "config.toml").write_text(self.config(hours=hours), encoding="utf-8")
