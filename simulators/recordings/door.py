"""One door, ten sniffers, a light barrier: the SAL Autarkic Localization RSSI BLE data set.

A source is one `car_sensor_*.csv` or `walk_sensor_*.csv` (also packed): a row for each superframe
of 100 ms with the RSSI at every sniffer, -100 where the packet was not received, and `Label`: 0
outside, 1 inside, 2 inside at the end position. Superframes skip now and then, so their index is
the clock and the row number is not.

`Label` is 1 only while the car is wholly inside, but its tag goes out seconds after its bumper.
So a crossing is a window: as long as something stood in the light barrier.
https://github.com/juliankaroliny/SAL-Autarkic-Localization-RSSI-BLE-Dataset
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import UUID

from simulators.recordings.recording import (
    BadRecordingError,
    Reception,
    Recording,
    Tag,
    Written,
    Zone,
    open_text,
)
from simulators.truth import Stay, TrueVisit, Truth, Window

__all__ = ["convert", "read"]

SUPERFRAME = 0.1  # seconds
NOT_RECEIVED = -100
BARRIER = "raw_photosensor_door"
FLICKER = 1.0  # seconds; a wheel arch lets the barrier through for a moment
# The set gives no clock time and no calibrated power; day and power are nominal.
STARTED_AT = datetime(2020, 10, 8, 9, 0, tzinfo=UTC)
TAG = Tag("tag-1", UUID("5a1d0000-2020-4d00-8a11-000000000001"), major=1, minor=1, tx=-59)


@dataclass(frozen=True, slots=True)
class _Slot:
    at: float
    inside: bool
    doorway: bool  # something breaks the light barrier
    heard: Mapping[str, int]  # RSSI by gateway, only where received


def convert(source: Path, out: Path) -> Written:
    """Write the recording in `source` as trace, truth, configuration and roster into `out`."""
    return read(source).write(out)


def read(source: Path) -> Recording:
    """Read one run; raises `BadRecordingError` naming the line, or `OSError`."""
    with open_text(source) as text:
        rows = csv.DictReader(text)
        sniffers = [name for name in rows.fieldnames or () if name[:2] in ("O-", "I-")]
        if not {"superframe", "Label", BARRIER} <= set(rows.fieldnames or ()) or not sniffers:
            raise BadRecordingError(f"{source}: expected superframe, O-*, I-*, Label and {BARRIER}")
        slots = [_slot(row, sniffers, f"{source}:{rows.line_num}") for row in rows]
    if not slots:
        raise BadRecordingError(f"{source}: the file has no rows")
    if any(after.at <= before.at for before, after in pairwise(slots)):
        raise BadRecordingError(f"{source}: superframes must increase from row to row")
    return Recording(
        store="door",
        origin="SAL Autarkic Localization RSSI BLE data set, one run through one door",
        started_at=STARTED_AT,
        tags=(TAG,),
        zones=(
            Zone("inside", _on_side("I-", sniffers)),
            Zone("outside", _on_side("O-", sniffers), outside=True),
        ),
        exit_after_at_most="10s",
        truth=_truth(slots),
        receptions=_receptions(slots),
    )


def _on_side(prefix: str, sniffers: list[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in sniffers if name.startswith(prefix))


def _slot(row: Mapping[str, str], sniffers: list[str], place: str) -> _Slot:
    try:
        levels = {name.lower(): int(row[name]) for name in sniffers}
        return _Slot(
            at=round(int(row["superframe"]) * SUPERFRAME, 1),
            inside=int(row["Label"]) > 0,
            doorway=int(row[BARRIER]) > 0,
            heard={name: rssi for name, rssi in levels.items() if rssi != NOT_RECEIVED},
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise BadRecordingError(f"{place}: not a row of whole numbers ({fault})") from fault


def _receptions(slots: list[_Slot]) -> Iterator[Reception]:
    for slot in slots:
        for gateway, rssi in slot.heard.items():
            yield Reception(slot.at, gateway, TAG.visitor, rssi)


def _truth(slots: list[_Slot]) -> Truth:
    visits: list[TrueVisit] = []
    entered: Window | None = None
    inside = slots[0].inside
    for index, slot in enumerate(slots):
        if slot.inside == inside:
            continue
        inside = slot.inside
        if inside:
            entered = Window(lo=_doorway_edge(slots[index::-1]), hi=slot.at)
        else:
            exited = Window(lo=slot.at, hi=_doorway_edge(slots[index:]))
            visits.append(_visit(entered, exited))
    if inside:
        visits.append(_visit(entered, None))
    return Truth(started_at=STARTED_AT, duration=slots[-1].at, visits=tuple(visits))


def _doorway_edge(slots: list[_Slot]) -> float:
    """Follow the slots away from a change of label to where the barrier was free again."""
    edge = slots[0].at
    for slot in slots:
        if slot.doorway:
            edge = slot.at
        elif abs(slot.at - edge) > FLICKER:
            break
    return edge


def _visit(entered: Window | None, exited: Window | None) -> TrueVisit:
    return TrueVisit(
        visitor=TAG.visitor,
        entered=entered,
        exited=exited,
        stays=(Stay(zone="inside", entered=entered, exited=exited),),
    )
