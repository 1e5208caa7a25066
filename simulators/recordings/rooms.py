"""Six iBeacons carried between four rooms: RaspberryPiBeaconParser, run of 10 March 2015.

The source is `FourScannersRun1-2015-03-10.json` (also packed): JSON objects one after another,
each a reading of one scanner. Beacons that mark the scanners themselves (messageType 1) are no
visitors and are left out. Scanners queue, so readings of different scanners are up to 3 s out of
order; that disorder is genuine and stays, as a trace allows 5 s of it.

The truth is the log the author wrote in the set's README: when he left his desk with a beacon or
to fetch one, and when he was back.
https://github.com/starksm64/RaspberryPiBeaconParser
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from simulators.recordings.recording import (
    BadRecordingError,
    Reception,
    Recording,
    Tag,
    Written,
    Zone,
    open_text,
    thinned,
)
from simulators.truth import PassThrough, Stay, TrueVisit, Truth, Window

__all__ = ["convert", "read"]

PDT = timezone(timedelta(hours=-7), "PDT")
DAY = datetime(2015, 3, 10, tzinfo=PDT)
ROOMS = ("201", "202", "203", "204")
FIRST_ROOM = "201"
BEACONS = (1, 2, 5, 6, 7, 8)
MAX_DISORDER = 5.0  # seconds, of the trace format
SCANNER_READ = 0


@dataclass(frozen=True, slots=True)
class _Carry:
    """Somewhere between two clock times, `beacons` were carried to `room`."""

    left: time
    back: time
    beacons: tuple[int, ...]
    room: str
    via: str | None = None


LOG = (
    _Carry(time(12, 42, 10), time(12, 43, 14), (1, 2), "204"),
    _Carry(time(12, 44, 2), time(12, 45, 4), (5, 6), "202"),
    _Carry(time(12, 45, 44), time(12, 46, 59), (7, 8), "203"),
    _Carry(time(12, 50, 56), time(12, 52, 18), (1,), "201", via="202"),
    _Carry(time(12, 50, 56), time(12, 52, 18), (5,), "201"),
    _Carry(time(12, 52, 30), time(12, 53, 28), (2,), "201"),
    _Carry(time(12, 53, 39), time(12, 54, 50), (7,), "201"),
    _Carry(time(12, 55, 8), time(12, 56, 45), (6,), "201", via="203"),
    _Carry(time(12, 55, 8), time(12, 56, 45), (8,), "201"),
)


class _Reading(BaseModel):
    scanner: str = Field(alias="scannerID", pattern=r"^Room20[1-4]$")
    uuid: UUID
    major: int = Field(ge=0, le=0xFFFF)
    minor: int = Field(ge=0, le=0xFFFF)
    tx: int = Field(alias="calibratedPower", ge=-128, le=127)
    rssi: int
    message: int = Field(alias="messageType")
    ms: int = Field(alias="time")


def convert(source: Path, out: Path, thin: float | None = None) -> Written:
    """Write the run in `source` into `out`; `thin` keeps one reading each so many seconds."""
    return read(source, thin).write(out)


def read(source: Path, thin: float | None = None) -> Recording:
    """Read the run; raises `BadRecordingError` saying what is wrong, or `OSError`."""
    carried = [one for one in _readings(source) if one.message == SCANNER_READ]
    tags = {one.minor: _tag(one) for one in carried if one.minor in BEACONS}
    if set(tags) != set(BEACONS):
        raise BadRecordingError(f"{source}: expected the beacons {BEACONS}, heard {sorted(tags)}")
    began, ended = min(one.ms for one in carried), max(one.ms for one in carried)
    started_at = datetime.fromtimestamp(began / 1000, UTC)
    if started_at.astimezone(PDT).date() != DAY.date():
        raise BadRecordingError(f"{source}: only the run of {DAY:%Y-%m-%d} has a written log")
    receptions = _in_bounds(
        Reception((one.ms - began) / 1000, one.scanner.lower(), tags[one.minor].visitor, one.rssi)
        for one in carried
        if one.minor in tags
    )
    return Recording(
        store="rooms",
        origin="RaspberryPiBeaconParser, FourScannersRun1-2015-03-10: six beacons, four rooms",
        started_at=started_at,
        tags=tuple(tags[minor] for minor in BEACONS),
        zones=tuple(Zone(f"room-{room}", (f"room{room}",)) for room in ROOMS),
        exit_after_at_most="6min",
        truth=_truth(started_at, (ended - began) / 1000),
        receptions=thinned(receptions, thin) if thin else receptions,
    )


def _readings(source: Path) -> Iterator[_Reading]:
    with open_text(source) as text:
        rest = text.read()
    decoder, place = json.JSONDecoder(), 0
    while (place := _skip_blank(rest, place)) < len(rest):
        try:
            value, place = decoder.raw_decode(rest, place)
            yield _Reading.model_validate(value)
        except (json.JSONDecodeError, ValidationError) as fault:
            raise BadRecordingError(f"{source}: at character {place}: {fault}") from fault


def _skip_blank(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _tag(reading: _Reading) -> Tag:
    return Tag(f"beacon-{reading.minor}", reading.uuid, reading.major, reading.minor, tx=reading.tx)


def _in_bounds(receptions: Iterator[Reception]) -> list[Reception]:
    """Keep the recorded order if a trace allows it, else sort."""
    recorded = list(receptions)
    newest = 0.0
    for heard in recorded:
        if heard.at < newest - MAX_DISORDER:
            return sorted(recorded, key=lambda reception: reception.at)
        newest = max(newest, heard.at)
    return recorded


def _truth(started_at: datetime, duration: float) -> Truth:
    def window(carry: _Carry) -> Window:
        clocks = (datetime.combine(DAY, clock, PDT) for clock in (carry.left, carry.back))
        lo, hi = ((clock - started_at).total_seconds() for clock in clocks)
        return Window(lo=round(lo, 3), hi=round(hi, 3))

    visits, ignore = [], []
    for beacon in BEACONS:
        stays: list[Stay] = []
        room, entered = FIRST_ROOM, None
        for carry in (carry for carry in LOG if beacon in carry.beacons):
            moved = window(carry)
            stays.append(Stay(zone=f"room-{room}", entered=entered, exited=moved))
            room, entered = carry.room, moved
            if carry.via:
                ignore.append(
                    PassThrough(
                        visitor=f"beacon-{beacon}",
                        zone=f"room-{carry.via}",
                        begins=moved.lo,
                        ends=moved.hi,
                    )
                )
        stays.append(Stay(zone=f"room-{room}", entered=entered, exited=None))
        visits.append(
            TrueVisit(visitor=f"beacon-{beacon}", entered=None, exited=None, stays=tuple(stays))
        )
    return Truth(
        started_at=started_at, duration=duration, visits=tuple(visits), ignore=tuple(ignore)
    )
