"""What the contest is held on: a trace, identified once, beside the truth about it.

    trace, or simulated day --the real Identifier--> sightings, in the order of time

Identification is the same for every rule and is no part of the contest, so it is done once for
each case; what a rule then hears is exactly what the tracker of an agent would hear.
"""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import Final
from uuid import UUID

from edge_agent.config import read_config
from edge_agent.identify.identifier import Directory, Identifier
from edge_agent.identify.roster import Roster
from edge_agent.identify.roster_file import read_unsigned_roster
from edge_agent.model import Advertisement, Observation, RadioState, Sighting
from edge_agent.rosters import read_roster
from edge_agent.trace import End, Trace, read_line
from edge_agent.track.belief import Floor
from simulators.credentials import NAMESPACE
from simulators.day import Day
from simulators.score.tally import TOLERANCE
from simulators.truth import Truth

__all__ = ["BadCaseError", "Case", "Kind", "from_day", "from_folder", "thinned"]

STORE_DAY_EXIT_S: Final = 360.0  # the longest silence an operator allows by default
_LOOK_S: Final = 60.0  # how often the tables of identifiers are looked after; a window has 1024 s


class BadCaseError(ValueError):
    """A folder is not a trace with its truth; the text says what is wrong with it."""


class Kind(StrEnum):
    """What a case can show; each has goals of its own."""

    STORE = "store"
    DOOR = "door"
    ROOMS = "rooms"
    STATIC = "static"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One trace as every rule meets it; `exit_after_at_most` and `tolerance` in seconds."""

    name: str
    kind: Kind
    evidence: tuple[Sighting | RadioState, ...]
    floor: Floor
    truth: Truth
    exit_after_at_most: float
    group: str  # cases of a group are scored together
    tolerance: float = TOLERANCE


def from_folder(folder: Path, name: str | None = None) -> Case:
    """Read what `python -m simulators convert` or `store` wrote.

    Raises:
        BadCaseError: a line of the trace, or a gateway in it, is not what a replay would take.
        OSError, pydantic.ValidationError, edge_agent.config.ConfigError,
        edge_agent.trace.TraceError: a file is missing or broken.
    """
    config = read_config(folder / "config.toml")
    bad: list[int] = []
    with Trace.open(str(folder / "trace.jsonl.gz"), lambda line, _what: bad.append(line)) as trace:
        began = trace.started_at.timestamp()
        roster = read_roster(config, newest_seq=0, unix=lambda: began)
        heard = (line for line in trace if not isinstance(line, End))
        evidence = _identified(heard, roster, trace.started_at, config.ble.namespace)
    if bad:
        raise BadCaseError(f"{folder}: lines {bad[:5]} of the trace are no observations")
    floor = Floor(
        zones={gateway: zone.name for zone in config.zones for gateway in zone.gateways},
        outside=frozenset(zone.name for zone in config.zones if zone.outside),
    )
    name = name or folder.name
    kind = Kind(config.store) if config.tenant == "recordings" else Kind.STORE
    return Case(
        name=name,
        kind=kind,
        evidence=tuple(one for one in evidence if one.gateway in floor.zones),
        floor=floor,
        truth=Truth.read(folder / "truth.json"),
        exit_after_at_most=config.presence.exit_after_at_most,
        group=f"store {name}" if kind is Kind.STORE else kind.value,
    )


def from_day(day: Day, name: str) -> Case:
    """Take a simulated day as it lies in memory: no line of JSON is written for it."""
    plan = day.plan
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "roster.json"
        path.write_text(json.dumps(day.roster), encoding="utf-8")
        roster = read_unsigned_roster(path)
    observed = heapq.merge(_advertisements(day), _stations(day), key=attrgetter("at"))
    return Case(
        name=name,
        kind=Kind.STORE,
        evidence=_identified(observed, roster, day.started_at, NAMESPACE),
        floor=Floor(
            zones={gateway: zone.name for zone in plan.zones for gateway in zone.gateways},
            outside=frozenset(zone.name for zone in plan.zones if zone.outside),
        ),
        truth=day.truth,
        exit_after_at_most=STORE_DAY_EXIT_S,
        group=f"store {plan.name}",
    )


def thinned(case: Case, seconds: float) -> Case:
    """Keep one advertisement of each visitor at each gateway in every `seconds`."""
    kept: dict[tuple[str, str], int] = {}

    def keeps(one: Sighting | RadioState) -> bool:
        if isinstance(one, RadioState) or one.method.source != "ble":
            return True
        slot, key = int(one.at // seconds), (one.visitor, one.gateway)
        if slot <= kept.get(key, -1):
            return False
        kept[key] = slot
        return True

    return replace(
        case,
        name=f"{case.name}, 1 per {seconds:g} s",
        group=f"{case.group}, 1 per {seconds:g} s",
        evidence=tuple(one for one in case.evidence if keeps(one)),
    )


def _identified(
    observed: Iterable[Observation], roster: Roster, started_at: datetime, namespace: UUID | None
) -> tuple[Sighting | RadioState, ...]:
    """Resolve observations that come in the order of time, as a replay does."""
    began = started_at.timestamp()
    directory = Directory(roster)
    identifier = Identifier(directory, namespace, lambda at: began + at)
    found: list[Sighting | RadioState] = []
    look_at = 0.0
    for observation in observed:
        if observation.at >= look_at:
            directory.ensure(began + observation.at)
            look_at = observation.at + _LOOK_S
        evidence = identifier.identify(observation)
        if isinstance(evidence, Sighting | RadioState):
            found.append(evidence)
    return tuple(found)


def _advertisements(day: Day) -> Iterator[Advertisement]:
    """Read each different packet once, and give it as often as it was heard."""
    heard = day.receptions
    packets = [
        read_line({"at": 0.0, "gateway": "-", "ble": {**advert, "rssi": None}})
        for advert in heard.adverts
    ]
    columns = (heard.at, heard.gateway, heard.rssi, heard.advert)
    for at, gateway, rssi, advert in zip(*(c.tolist() for c in columns), strict=True):
        packet = packets[advert]
        if isinstance(packet, Advertisement):
            yield replace(packet, at=at, gateway=heard.gateways[gateway], rssi=rssi)


def _stations(day: Day) -> Iterator[Observation]:
    for _at, line in day.stations:
        observation = read_line(line)
        if not isinstance(observation, End):
            yield observation
