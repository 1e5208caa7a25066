"""What a rule hears of one visitor, and what comes of it: the frame that the peers' rules share.

    Heard --listen, once--> Signal --stretches, for each timeout--> spells of presence --> Claims

Smoothing is the dear part and does not depend on the timeout, so it is done once a visitor. A
signal says of every sighting whether it would let her in, whether it breaks the silence, and
whether it says that she is away; what is left is to find the silences, which are few.

Two kindnesses to the peers: whatever her phone itself gave (a packet, a frame on the Wi-Fi, a
check-in) counts as heard, with or without an RSSI; and an exit is dated to the last sighting that
counted, as if whoever subscribes took the known timeout off again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.model import Sighting
from simulators.contest.cases import Case
from simulators.score import Claims
from simulators.score.claims import Draft

__all__ = [
    "Flags",
    "Floats",
    "Heard",
    "Ints",
    "PeerRule",
    "Signal",
    "Site",
    "Stretch",
    "claims_of",
    "hear",
    "placed",
    "stretches",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A case's receivers by number: the zone each hears, as a number too, and if it is outside."""

    zone_names: tuple[str, ...]
    zone: Ints  # by gateway
    outside: Flags  # by gateway


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """The sightings of one visitor that show her here, in the order of time."""

    at: Floats  # s
    rssi: Floats  # dBm, NaN where there is none
    gateway: Ints
    ble: Flags


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """What a rule makes of each sighting; `gateway` is the receiver that has her then."""

    at: Floats  # s
    enters: Flags  # lets her in
    keeps: Flags  # breaks the silence
    leaves: Flags  # says at once that she is away
    gateway: Ints
    moves: bool = False  # whether a change of zone is told


@dataclass(frozen=True, slots=True)
class Stretch:
    """One spell of presence, seconds; `begins` and `ends` number the sightings of a signal."""

    begins: int
    ends: int  # the last sighting that counted
    entered_at: float
    known_at: float  # when the enter was decided
    exited_at: float
    decided_at: float


class PeerRule(Protocol):
    """A rule of section 1 of the peers' page, with its published timeout in seconds."""

    @property
    def name(self) -> str:
        """As the tables call it."""

    @property
    def published_s(self) -> float:
        """The timeout it comes with; all its times of silence are in proportion to it."""

    def listen(self, heard: Heard, site: Site) -> Signal:
        """Smooth and place, which no timeout changes."""

    def stretches(self, signal: Signal, timeout: float) -> Iterable[Stretch]:
        """Find the spells of presence under a timeout, seconds."""


def hear(case: Case) -> tuple[Site, Mapping[str, Heard]]:
    """Sort a case's evidence by visitor."""
    gateways = {gateway: number for number, gateway in enumerate(sorted(case.floor.zones))}
    zones = {zone: number for number, zone in enumerate(sorted(set(case.floor.zones.values())))}
    rows: dict[str, list[tuple[float, float, int, bool]]] = defaultdict(list)
    for one in case.evidence:
        if isinstance(one, Sighting) and one.sign.present:
            rssi = float("nan") if one.rssi is None else float(one.rssi)
            row = (one.at, rssi, gateways[one.gateway], one.method.source == "ble")
            rows[one.visitor].append(row)
    site = Site(
        zone_names=tuple(zones),
        zone=np.array([zones[case.floor.zones[gateway]] for gateway in gateways]),
        outside=np.array([case.floor.zones[gateway] in case.floor.outside for gateway in gateways]),
    )
    return site, {visitor: _columns(found) for visitor, found in rows.items()}


def _columns(rows: Iterable[tuple[float, float, int, bool]]) -> Heard:
    at, rssi, gateway, ble = zip(*rows, strict=True)
    return Heard(np.array(at), np.array(rssi), np.array(gateway), np.array(ble, dtype=np.bool_))


def placed(heard: Heard, site: Site, leaders: list[int]) -> Signal:
    """Make a signal of which receiver has her at each sighting: an outside one means away."""
    leading = np.array(leaders, dtype=np.int64)
    away = site.outside[leading]
    return Signal(heard.at, ~away, ~away, away, leading, moves=True)


def stretches(signal: Signal, given_up_at: Floats, begins: int = 0) -> Iterator[Stretch]:
    """Give the spells of presence from sighting `begins` on, one after another.

    Args:
        signal: what each sighting says.
        given_up_at: for each sighting, when she is taken to have left unless heard again; s.
        begins: the first sighting to look at.
    """
    keeps = np.flatnonzero(signal.keeps)
    quits = given_up_at[keeps]
    silences = np.flatnonzero(quits[:-1] < signal.at[keeps][1:])
    enters, leaves = np.flatnonzero(signal.enters), np.flatnonzero(signal.leaves)
    while (first := _at_or_after(enters, begins)) is not None:
        silence = _at_or_after(silences, int(np.searchsorted(keeps, first)))
        last = len(keeps) - 1 if silence is None else silence
        given_up, last_kept = float(quits[last]), int(keeps[last])
        away = _at_or_after(leaves, first)
        entered = float(signal.at[first])
        if away is not None and signal.at[away] <= given_up:
            exited = float(signal.at[away])
            yield Stretch(first, away - 1, entered, entered, exited, exited)
            begins = away + 1
        else:
            exited = float(signal.at[last_kept])
            yield Stretch(first, last_kept, entered, entered, exited, given_up)
            begins = last_kept + 1


def _at_or_after(numbers: Ints, least: int) -> int | None:
    place = int(np.searchsorted(numbers, least))
    return int(numbers[place]) if place < len(numbers) else None


def claims_of(
    rule: PeerRule, signals: Mapping[str, Signal], site: Site, timeout: float, duration: float
) -> dict[str, Claims]:
    """Run a rule's timeout over all visitors of a trace of `duration` seconds."""
    return {
        visitor: _claims(signal, rule.stretches(signal, timeout), site, duration)
        for visitor, signal in signals.items()
    }


def _claims(signal: Signal, found: Iterable[Stretch], site: Site, duration: float) -> Claims:
    draft = Draft()
    for number, stretch in enumerate(found):
        if stretch.known_at > duration:
            break
        visit = str(number)
        zones = site.zone[signal.gateway[stretch.begins : stretch.ends + 1]]
        name = site.zone_names[int(zones[0])]
        draft.enter(visit, name, stretch.entered_at, stretch.known_at)
        if signal.moves:
            for place in np.flatnonzero(np.diff(zones)).tolist():
                at = float(signal.at[stretch.begins + place + 1])
                draft.move(visit, site.zone_names[int(zones[place + 1])], at)
        if stretch.decided_at <= duration:
            draft.leave(visit, stretch.exited_at, stretch.decided_at)
    return draft.finish()
