"""A beacon that stands still for half an hour: Position-Annotated-BLE-RSSI-Dataset, `hst/set_*`.

The source is a folder of `<sensor>_<x>_<y>_<z>.mbd` files (also packed), each what one sensor
heard of the beacon at one point: lines of `unix time,sensor,beacon,RSSI`. Each file becomes a
visitor heard by one gateway, and all are laid side by side from second 0, so that one replay of
half an hour holds hundreds of receiver-hours in which every exit is a false one.

A corrupted RSSI (+62 dBm) and a pause of 35 s at one point, in all its receivers, stay as
recorded: a store's gateways meet both.
https://github.com/philotuxo/Position-Annotated-BLE-RSSI-Dataset
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt

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
from simulators.truth import Stay, TrueVisit, Truth, Window

__all__ = ["convert", "read"]

ZONE = "floor"
BEACON = UUID("57a71c00-2019-4d00-8a11-000000000001")
TX = -59  # dBm at 1 m, as measured on this set
FILE_NAME = re.compile(r"^(?P<point>(?P<sensor>sensor\d+)(_-?\d+\.\d+){3})\.mbd(\.gz|\.xz)?$")
UNHEARD = 5.0  # seconds; a file that ends earlier before the longest one says nothing of the rest


@dataclass(frozen=True, slots=True)
class _Stand:
    """What one sensor heard of the beacon at one point."""

    visitor: str
    gateway: str
    began: float  # unix time of the first reception
    at: npt.NDArray[np.float64]  # seconds since it, increasing
    rssi: npt.NDArray[np.int16]


def convert(source: Path, out: Path, thin: float | None = None) -> Written:
    """Write the folder `source` into `out`; `thin` keeps one packet each so many seconds."""
    return read(source, thin).write(out)


def read(source: Path, thin: float | None = None) -> Recording:
    """Read all points; raises `BadRecordingError` naming the file, or `OSError`."""
    files = sorted(path for path in source.iterdir() if FILE_NAME.match(path.name))
    stands = [_stand(path) for path in files]
    if not stands:
        raise BadRecordingError(f"{source}: no file is called <sensor>_<x>_<y>_<z>.mbd")
    started_at = datetime.fromtimestamp(min(stand.began for stand in stands), UTC)
    duration = round(max(float(stand.at[-1]) for stand in stands), 3)
    receptions = _side_by_side(stands)
    return Recording(
        store="static",
        origin="Position-Annotated-BLE-RSSI-Dataset: a beacon at rest, one visitor per file",
        started_at=started_at,
        tags=tuple(
            Tag(stand.visitor, BEACON, major=1, minor=number, tx=TX)
            for number, stand in enumerate(stands, start=1)
        ),
        zones=(Zone(ZONE, tuple(sorted({stand.gateway for stand in stands}))),),
        exit_after_at_most="3min",
        truth=Truth(
            started_at=started_at,
            duration=duration,
            visits=tuple(_visit(stand, duration) for stand in stands),
        ),
        receptions=thinned(receptions, thin) if thin else receptions,
    )


def _stand(path: Path) -> _Stand:
    named = FILE_NAME.match(path.name)
    if named is None:
        raise BadRecordingError(f"{path}: the name should be <sensor>_<x>_<y>_<z>.mbd")
    times: list[float] = []
    levels: list[int] = []
    with open_text(path) as text:
        for number, line in enumerate(text, start=1):
            try:
                clock, _sensor, _beacon, rssi = line.split(",")
                times.append(float(clock))
                levels.append(int(rssi))
            except ValueError as fault:
                raise BadRecordingError(f"{path}:{number}: {fault}") from fault
    if not times:
        raise BadRecordingError(f"{path}: the file is empty")
    order = np.argsort(times, kind="stable")
    at = np.array(times)[order]
    return _Stand(
        visitor=named["point"],
        gateway=named["sensor"],
        began=float(at[0]),
        at=at - at[0],
        rssi=np.array(levels, dtype=np.int16)[order],
    )


def _side_by_side(stands: list[_Stand]) -> Iterator[Reception]:
    """Merge by time; arrays, because the whole set has millions of receptions."""
    at = np.concatenate([stand.at for stand in stands])
    rssi = np.concatenate([stand.rssi for stand in stands])
    owner = np.repeat(np.arange(len(stands)), [len(stand.at) for stand in stands])
    for index in np.argsort(at, kind="stable"):
        stand = stands[owner[index]]
        yield Reception(float(at[index]), stand.gateway, stand.visitor, int(rssi[index]))


def _visit(stand: _Stand, duration: float) -> TrueVisit:
    last = round(float(stand.at[-1]), 3)
    exited = None if last > duration - UNHEARD else Window(lo=last, hi=duration)
    stay = Stay(zone=ZONE, entered=None, exited=exited)
    return TrueVisit(visitor=stand.visitor, entered=None, exited=exited, stays=(stay,))
