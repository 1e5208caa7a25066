"""The trace format: what is read, what is skipped and how that is said."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.examples  # noqa: F401 - loads the profile
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
from edge_agent.trace import End, Trace, TraceError

HEADER = b'{"trace": 1, "started_at": "2026-11-01T09:00:00Z"}\n'
ADDRESS = "7A:3B:0C:1D:2E:4F"
NS = "7a3c9e10-5b2d-4f68-9c41-d0e2a7b65f13"
PAYLOAD = "10c5438b0be8656b8d6c"

Complaints = list[tuple[int, str]]


def read(*lines: Any, header: bytes = HEADER) -> tuple[list[Observation | End], Complaints]:
    """Read a trace of these lines (octets, or what becomes JSON), and what was complained of."""
    complaints: Complaints = []
    octets = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    stream = io.BytesIO(header + b"\n".join(octets))
    trace = Trace(stream, lambda number, what: complaints.append((number, what)))
    return list(trace), complaints


def radio(at: Any, **more: Any) -> dict[str, Any]:
    """Give a short good line."""
    return {"at": at, "gateway": "gw-1", "radio": {"source": "ble", "state": "lost"}, **more}


def ble(**more: Any) -> dict[str, Any]:
    """Give a line with an advertisement."""
    heard = {"address": ADDRESS, "rssi": -71, "service_data": {NS: PAYLOAD}}
    return {"at": 1.25, "gateway": "gw-1", "ble": heard | more}


def test_an_advertisement_is_read() -> None:
    """Every field; UUIDs in lower case, company identifiers as numbers, data as octets."""
    line = ble(
        service_data={NS.upper(): PAYLOAD},
        manufacturer_data={"76": "0215"},
        service_uuids=[NS.upper()],
    )
    (heard,), complaints = read(line)
    assert isinstance(heard, Advertisement)
    assert complaints == []
    assert (heard.at, heard.gateway, heard.radio, heard.rssi) == (1.25, "gw-1", "ble", -71)
    assert heard.backend is Backend.TRACE
    assert heard.address == RadioAddress.parse(ADDRESS)
    assert heard.service_data == {NS: bytes.fromhex(PAYLOAD)}
    assert heard.manufacturer_data == {76: b"\x02\x15"}
    assert list(heard.service_uuids) == [NS]


def test_an_advertisement_may_say_little() -> None:
    """Only the address is needed: RSSI is absent and not 0."""
    (heard,), _ = read({"at": 1, "gateway": "gw-1", "ble": {"address": ADDRESS}})
    assert isinstance(heard, Advertisement)
    assert heard.rssi is None


@pytest.mark.parametrize("event", list(StationEvent))
def test_a_station_is_read(event: StationEvent) -> None:
    """Each of the four events, with a keyid or without."""
    wifi = {"event": event.value, "address": ADDRESS, "keyid": None}
    keyed = wifi | {"keyid": "k-1"}
    heard, _ = read(
        {"at": 2, "gateway": "a", "wifi": wifi}, {"at": 3, "gateway": "a", "wifi": keyed}
    )
    address = RadioAddress.parse(ADDRESS)
    assert heard == [Station(2, "a", event, address), Station(3, "a", event, address, "k-1")]


@pytest.mark.parametrize("event", list(PortalEvent))
def test_a_portal_event_is_read(event: PortalEvent) -> None:
    """Each of the three."""
    portal = {"event": event.value, "address": ADDRESS, "visitor": "v-1"}
    heard, _ = read({"at": 3, "gateway": "gw-1", "portal": portal})
    assert heard == [PortalAction(3, "gw-1", event, RadioAddress.parse(ADDRESS), "v-1")]


def test_a_radios_state_and_the_end_are_read() -> None:
    """Lost, recovered, and how long the recording went on."""
    back = {"at": 9.5, "gateway": "gw-1", "radio": {"source": "wifi", "state": "recovered"}}
    heard, _ = read(radio(9.0), back, {"at": 60.0, "end": True})
    assert heard == [
        RadioState(9.0, "gw-1", "ble", listening=False),
        RadioState(9.5, "gw-1", "wifi", listening=True),
        End(60.0),
    ]


def test_the_trace_says_when_it_began() -> None:
    """In UTC, whatever zone the header is written in."""
    header = b'{"trace": 1, "started_at": "2026-11-01T10:00:00+01:00"}\n'
    trace = Trace(io.BytesIO(header), lambda _number, _what: None)
    assert trace.started_at.isoformat() == "2026-11-01T09:00:00+00:00"
    assert list(trace) == []


def test_disorder_within_five_seconds_is_put_in_order() -> None:
    """10, 5, 7, 12 come out as 5, 7, 10, 12; equal times in the order they were written."""
    heard, complaints = read(radio(10), radio(5), radio(7), radio(12))
    assert [one.at for one in heard] == [5, 7, 10, 12]
    assert complaints == []
    alike, _ = read(*({"at": 1, "gateway": f"g-{n}", "radio": radio(1)["radio"]} for n in range(9)))
    assert [one.gateway for one in alike if not isinstance(one, End)] == [
        f"g-{n}" for n in range(9)
    ]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5)), max_size=40))
def test_any_disorder_within_five_seconds_is_put_in_order(lines: list[tuple[float, float]]) -> None:
    """Nothing is lost, and time never moves back."""
    written = [at for at, lag in sorted(lines, key=lambda line: line[0] + line[1])]
    heard, complaints = read(*map(radio, written))
    assert [one.at for one in heard] == sorted(written)
    assert complaints == []


def test_a_line_too_late_is_reported_and_skipped() -> None:
    """Line 4 lies 5.5 s before an earlier one."""
    heard, complaints = read(radio(1), radio(10), radio(4.5), radio(11))
    assert [one.at for one in heard] == [1, 10, 11]
    assert complaints == [(4, "at is 5.5 s before an earlier line, 5 s are allowed")]


BAD_LINES: list[tuple[object, str]] = [
    (b"{", ""),
    (b"nonsense", ""),
    (b"[]", ""),
    (b"null", ""),
    (b"\xff\xfe{}", ""),
    (b'{"at": 1, "gateway": "\xff"}', ""),
    (b'{"at": NaN, "gateway": "g", "end": true}', "at"),
    (b'{"at": Infinity, "end": true}', "at"),
    (b'{"at": 1e400, "end": true}', "at"),
    (radio(-1), "at"),
    (radio(1e9), "at"),
    (radio("soon"), "at"),
    (radio(None), "at"),
    ({"gateway": "g", "end": True}, "at"),
    ({"at": 1}, "exactly one"),
    ({"at": 1, "gateway": "gw-1"}, "exactly one"),
    (radio(1, end=True), "exactly one"),
    (radio(1, portal={"event": "bound", "address": ADDRESS}), "exactly one"),
    ({"at": 1, "end": False}, "end"),
    ({"at": 1, "radio": {"source": "ble", "state": "lost"}}, "gateway is missing"),
    (radio(1, gateway=""), "gateway"),
    (radio(1, gateway=7), "gateway"),
    (radio(1, extra=1), "a key that the format does not have"),
    (radio(1, radio={"source": "ble", "state": "gone"}), "radio.state"),
    (ble(address=None), "ble.address"),
    (ble(address="7A:3B:0C:1D:2E"), "ble.address"),
    (ble(address="7A3B0C1D2E4F"), "ble.address"),
    (ble(address="7A:  :0C:1D:2E:4F"), "ble.address"),
    (ble(rssi=-129), "ble.rssi"),
    (ble(rssi="loud"), "ble.rssi"),
    (ble(rssi=-71.5), "ble.rssi"),
    (ble(service_data=[PAYLOAD]), "ble.service_data"),
    (ble(service_data={NS: PAYLOAD[1:]}), "ble.service_data"),
    (ble(service_data={PAYLOAD: NS}), "ble.service_data"),
    (ble(service_data={PAYLOAD * 4: PAYLOAD}), "ble.service_data"),
    (ble(manufacturer_data={"65536": ""}), "ble.manufacturer_data"),
    (ble(manufacturer_data={PAYLOAD: ""}), "ble.manufacturer_data"),
    (ble(service_uuids=[7]), "ble.service_uuids"),
    (ble(service_uuids=[NS + "0"]), "ble.service_uuids"),
    ({"at": 1, "gateway": "g", "wifi": {"event": "seen", "address": ADDRESS}}, "wifi.event"),
    ({"at": 1, "gateway": "g", "portal": {"event": "bound"}}, "portal.address"),
    ({"at": 1, "gateway": "g", "ble": {ADDRESS: -71}}, "ble"),
    ({"at": 1, "gateway": "g", "ble": ADDRESS}, "ble"),
    (b'{"at": 1, "x": "' + b"x" * 70_000 + b'"}', "longer"),
    (b"x" * 1_000_000, "longer"),
    (b"[" * 10_000, ""),
]


@pytest.mark.parametrize(("line", "says"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_is_reported_and_skipped(line: object, says: str) -> None:
    """By its number, with the place, without the value; what follows is read."""
    heard, complaints = read(radio(1), line, radio(2))
    assert [one.at for one in heard] == [1, 2]
    ((number, what),) = complaints
    assert number == 3
    assert says in what
    assert "\n" not in what


@pytest.mark.parametrize(("line", "says"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_complaint_holds_no_address_and_no_payload(line: object, says: str) -> None:
    """Traces are a stranger's data too: not the value, not a part of it, not as a place."""
    _, complaints = read(line)
    text = " ".join(what for _, what in complaints).lower()
    assert says in text
    for secret in (ADDRESS, ADDRESS.replace(":", ""), ADDRESS[:8], PAYLOAD, PAYLOAD[4:]):
        assert secret.lower() not in text


def test_an_empty_line_is_nothing() -> None:
    """At the end of a file, or between."""
    heard, complaints = read(radio(1), b"", b"  ", radio(2), b"")
    assert (len(heard), complaints) == (2, [])


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_whatever_stands_in_a_line_is_no_error(lines: list[bytes]) -> None:
    """Any octets are skipped or read."""
    heard, complaints = read(*lines)
    assert len(heard) + len(complaints) <= sum(line.count(b"\n") + 1 for line in lines)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\n",
        b"{}\n",
        b'{"trace": 2, "started_at": "2026-11-01T09:00:00Z"}\n',
        b'{"trace": 1}\n',
        b'{"trace": 1, "started_at": "2026-11-01T09:00:00"}\n',
        b'{"trace": 1, "started_at": "yesterday"}\n',
        b'{"trace": 1, "started_at": "2026-11-01T09:00:00Z", "by": "me"}\n',
        b'{"trace": 1, "started_at": "0001-01-01T00:00:00+10:00"}\n',
        b'{"at": 1.0, "gateway": "gw-1", "end": true}\n',
        b"\x1f\x8b\x08\x00",
        b"x" * 100_000,
    ],
)
def test_a_bad_header_ends_the_reading(header: bytes) -> None:
    """It says what a header looks like."""
    with pytest.raises(TraceError, match="line 1 is not a trace header"):
        read(header=header)


def opened(path: Path) -> list[Observation | End]:
    """Read a trace by name; nothing may be complained of."""
    complaints: Complaints = []
    with Trace.open(str(path), lambda number, what: complaints.append((number, what))) as trace:
        found = list(trace)
    assert complaints == []
    return found


def test_a_compressed_trace_is_read(tmp_path: Path) -> None:
    """By its name's end."""
    path = tmp_path / "trace.jsonl.gz"
    path.write_bytes(gzip.compress(HEADER + json.dumps(radio(1)).encode()))
    assert [one.at for one in opened(path)] == [1]


@pytest.mark.parametrize("keep", [1.0, 0.5])
def test_a_compressed_trace_that_is_cut_off_is_an_error(tmp_path: Path, keep: float) -> None:
    """What was lost is not passed over in silence."""
    lines = b"\n".join(json.dumps(radio(at / 7)).encode() for at in range(5000))
    octets = gzip.compress(HEADER + lines)
    path = tmp_path / "trace.jsonl.gz"
    path.write_bytes(octets[: int(len(octets) * keep) - 9])
    with pytest.raises(TraceError, match="cannot be read"):
        opened(path)


def test_a_file_that_is_not_compressed_is_an_error(tmp_path: Path) -> None:
    """Though it is called .gz."""
    path = tmp_path / "trace.jsonl.gz"
    path.write_bytes(HEADER)
    with pytest.raises(TraceError, match="cannot be read"):
        opened(path)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """With the system's reason; a folder is no trace either."""
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(TraceError, match="cannot read the trace"):
            opened(path)
