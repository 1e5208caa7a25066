"""The trace: recorded observations as JSON Lines (DESIGN section 6).

The first line is the header, `{"trace": 1, "started_at": UTC}`; the others carry `at`, seconds
since then, in any order within 5 s, and are given out in order. A bad line is reported by its
number and skipped; a bad header or an unreadable file ends the reading with `TraceError`.
"""

from __future__ import annotations

import gzip
import heapq
import itertools
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal, Self, cast
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from edge_agent.model import (
    Advertisement,
    Backend,
    Observation,
    PortalAction,
    PortalEvent,
    RadioAddress,
    RadioState,
    Station,
    StationEvent,
)

__all__ = ["DISORDER_S", "End", "Trace", "TraceError", "read_line"]

DISORDER_S: Final = 5.0
_LONGEST_S: Final = 366 * 24 * 3600.0
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2106, 1, 1, tzinfo=UTC)  # EIDs count 32 bits of seconds
# What a complaint may name: a key that the trace itself brought may be data.
_FIELDS: Final = frozenset(
    {"trace", "started_at", "at", "gateway", "ble", "wifi", "portal", "radio", "end"}
    | {"address", "rssi", "service_data", "manufacturer_data", "service_uuids"}
    | {"event", "keyid", "visitor", "source", "state"}
)
_SHORT_UUID: Final = re.compile(r"(?:0000)?([0-9a-f]{4})")
_BARE_UUID: Final = re.compile(r"[0-9a-f]{32}")
_GZIP: Final = b"\x1f\x8b"
_LONGEST_LINE: Final = 64 * 1024


class TraceError(Exception):
    """A trace that cannot be read at all: its file or its header."""


def _octets(value: object) -> bytes:
    try:
        return bytes.fromhex(value) if isinstance(value, str) else _refuse()
    except ValueError:
        return _refuse()


def _refuse() -> bytes:
    raise ValueError("hexadecimal digits in pairs are expected")


def _uuid(value: object) -> object:
    """Spell a UUID as BlueZ does: 128 bits, lower case, with dashes."""
    if not isinstance(value, str):
        return value
    text = value.lower()
    if short := _SHORT_UUID.fullmatch(text):
        return f"0000{short[1]}-0000-1000-8000-00805f9b34fb"
    return str(UUID(text)) if _BARE_UUID.fullmatch(text) else text


def _address(value: object) -> RadioAddress:
    if not isinstance(value, str):
        raise ValueError("six octets in hexadecimal, with colons, are expected")  # noqa: TRY004 - pydantic reports ValueError by path
    return RadioAddress.parse(value)


Octets = Annotated[bytes, BeforeValidator(_octets)]
Address = Annotated[RadioAddress, BeforeValidator(_address)]
Uuid = Annotated[str, Field(max_length=36), BeforeValidator(_uuid)]
GatewayName = Annotated[str, Field(min_length=1, max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        """Print nothing of what was heard."""
        return iter(())


class _Ble(_Part):
    address: Address
    rssi: Annotated[int, Field(ge=-128, le=127)] | None = None
    service_data: dict[Uuid, Octets] = {}
    manufacturer_data: dict[Annotated[int, Field(ge=0, le=0xFFFF)], Octets] = {}
    service_uuids: tuple[Uuid, ...] = ()


class _Wifi(_Part):
    event: StationEvent
    address: Address
    keyid: str | None = None


class _Portal(_Part):
    event: PortalEvent
    address: Address
    visitor: str | None = None


class _Radio(_Part):
    source: Annotated[str, Field(min_length=1, max_length=64)]
    state: Literal["lost", "recovered"]


class _Header(_Part):
    trace: Literal[1]
    started_at: Annotated[AwareDatetime, Field(ge=_EARLIEST, lt=_LATEST)]


class _Line(_Part):
    at: Annotated[float, Field(ge=0, le=_LONGEST_S, allow_inf_nan=False)]
    gateway: GatewayName | None = None
    ble: _Ble | None = None
    wifi: _Wifi | None = None
    portal: _Portal | None = None
    radio: _Radio | None = None
    end: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> _Line:
        things = [t for t in (self.ble, self.wifi, self.portal, self.radio, self.end) if t]
        if len(things) != 1:
            raise ValueError("exactly one of ble, wifi, portal, radio and end is expected")
        if self.gateway is None and not self.end:
            raise ValueError("gateway is missing")
        return self

    def observation(self) -> Observation | End:
        gateway = self.gateway or ""
        if self.ble:
            heard = self.ble
            return Advertisement(
                self.at,
                gateway,
                "ble",
                Backend.TRACE,
                heard.address,
                heard.rssi,
                heard.service_data,
                heard.manufacturer_data,
                heard.service_uuids,
            )
        if self.wifi:
            wifi = self.wifi
            return Station(self.at, gateway, wifi.event, wifi.address, wifi.keyid)
        if self.portal:
            portal = self.portal
            return PortalAction(self.at, gateway, portal.event, portal.address, portal.visitor)
        if self.radio:
            listening = self.radio.state == "recovered"
            return RadioState(self.at, gateway, self.radio.source, listening)
        return End(self.at)


@dataclass(frozen=True, slots=True)
class End:
    """The trace says that its recording went on until `at`."""

    at: float


class Trace:
    """A trace opened for reading.

    `started_at` is the header's; iterating gives observations in time order, then perhaps `End`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        complain: Callable[[int, str], None],
        file: BinaryIO | None = None,
    ) -> None:
        """Read the header.

        Args:
            stream: of JSON Lines, not compressed.
            complain: told the number of each bad line and what is wrong with it.
            file: to be closed at the end, where the stream reads from one.

        Raises:
            TraceError: when the header is not one.
        """
        self._stream = stream
        self._complain = complain
        self._file = file
        try:
            header = _Header.model_validate_json(self._next_line())
        except ValidationError as error:
            raise TraceError(
                'line 1 is not a trace header, such as {"trace": 1, "started_at":'
                f' "2026-11-01T09:00:00Z"}}: {_first_fault(error)}'
            ) from None
        self.started_at = header.started_at.astimezone(UTC)

    @classmethod
    def open(cls, name: str, complain: Callable[[int, str], None]) -> Trace:
        """Open a trace by file name; `-` is standard input, what is gzipped is decompressed.

        Raises:
            TraceError: when it cannot be read, or its header is not one.
        """
        try:
            # Read while iterated, and closed by the one who iterates.
            stream = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115
            packed = name.endswith(".gz") or _peek(stream) == _GZIP
        except OSError as error:
            raise TraceError(f"cannot read the trace {name}: {error.strerror}") from error
        try:
            unpacked = gzip.open(stream) if packed else stream  # noqa: SIM115 - as above
            return cls(cast("BinaryIO", unpacked), complain, stream)
        except TraceError:
            stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._file.close()

    def __iter__(self) -> Iterator[Observation | End]:
        """Give the observations in time order, as far as the format's 5 s allow.

        Raises:
            TraceError: when the file cannot be read further.
        """
        waiting: list[tuple[float, int, Observation | End]] = []
        newest = 0.0
        number = 1
        while raw := self._next_line():
            number += 1
            line = self._parse(number, raw)
            if line is None:
                continue
            if line.at < newest - DISORDER_S:
                self._complain(
                    number,
                    f"at is {newest - line.at:.1f} s before an earlier line, 5 s are allowed",
                )
                continue
            newest = max(newest, line.at)
            heapq.heappush(waiting, (line.at, number, line.observation()))
            while waiting and waiting[0][0] < newest - DISORDER_S:
                yield heapq.heappop(waiting)[2]
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _parse(self, number: int, raw: bytes) -> _Line | None:
        if not raw.strip():
            return None
        if len(raw) >= _LONGEST_LINE:
            self._complain(number, f"is longer than {_LONGEST_LINE} octets")
            return None
        try:
            return _Line.model_validate_json(raw)
        except ValidationError as error:
            self._complain(number, _first_fault(error))
            return None

    def _next_line(self) -> bytes:
        """Read a line; of an overlong one the first 64 KiB, the rest of it being passed over."""
        try:
            raw = self._stream.readline(_LONGEST_LINE)
            if len(raw) == _LONGEST_LINE and not raw.endswith(b"\n"):
                while (rest := self._stream.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
        except (OSError, EOFError, zlib.error) as error:
            raise TraceError(f"the trace cannot be read: {error}") from error
        return raw


def _peek(stream: BinaryIO) -> bytes:
    peek = getattr(stream, "peek", None)
    return b"" if peek is None else bytes(peek(2)[:2])


def read_line(values: Mapping[str, object]) -> Observation | End:
    """Read one line that is an object already: for simulators, which need not write it first.

    Raises:
        pydantic.ValidationError: when it is no line of a trace.
    """
    return _Line.model_validate(values).observation()


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    parts = itertools.takewhile(lambda part: isinstance(part, int) or part in _FIELDS, fault["loc"])
    place = ".".join(map(str, parts))
    if fault["type"] == "extra_forbidden":
        return f"{place}: a key that the format does not have".removeprefix(": ")
    return f"{place}: {fault['msg']}" if place else fault["msg"].removeprefix("Value error, ")
