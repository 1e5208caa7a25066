"""Sixteen thousand strangers of sixteen kinds through the real pipeline: nothing but counts."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable
from functools import cache

import pytest

from edge_agent.clock import VirtualClock
from edge_agent.config import Config
from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Member, Roster
from edge_agent.model import (
    Observation,
    PortalAction,
    PortalEvent,
    RadioAddress,
    Station,
    StationEvent,
)
from edge_agent.pipeline import Decided, Pipeline
from simulators.credentials import NAMESPACE
from tests.identify.air import BEGAN, IK, IRK, heard
from tests.privacy.crowd import Stranger, nobodies, strangers

MANY = 1_000  # of each of sixteen kinds
CHANCE = random.Random(4)
KINDS = sorted({stranger.kind for stranger in strangers(26, 0)})


@cache
def shop() -> Pipeline:
    """Give a gateway whose roster knows every way to be recognised, and which has seen many.

    As many nobodies have passed as fill what is bounded: 4,096 EIDs, and as many addresses.
    """
    values = {
        "tenant": "acme",
        "store": "0042",
        "gateway": "gw-1",
        "mqtt": {"url": "mqtts://broker.example"},
        "roster": {"public_key": "ab" * 32},
        "ble": {"namespace": NAMESPACE},
    }
    member = Member(
        "anna",
        identity_key=IK,
        ibeacon=bytes(20),
        eddystone_uid=bytes(16),
        irk=IRK,
        wifi_keyid="anna-7",
    )
    directory = Directory(Roster.of([member]))
    directory.ensure(BEGAN)
    clock = VirtualClock(BEGAN)
    pipeline = Pipeline(Config(**values), directory, clock, "boot-1")  # type: ignore[arg-type]
    for stranger in nobodies(4_200, 7):
        assert pipeline.feed(advertised(stranger)) == []
        assert pipeline.feed(heard(address=stranger.address)) == []
    return pipeline


def advertised(stranger: Stranger) -> Observation:
    """Give what a radio heard of a stranger."""
    return heard(
        address=stranger.address,
        service_data=stranger.service_data,
        manufacturer_data=stranger.manufacturer_data,
        service_uuids=stranger.service_uuids,
    )


def station(number: int) -> Observation:
    """Give what the access point said of a station that nobody bound."""
    event = list(StationEvent)[number % len(StationEvent)]
    keyid = f"guest-{CHANCE.getrandbits(40)}" if number % 2 else None
    return Station(0.0, "gw-1", event, RadioAddress(CHANCE.getrandbits(48)), keyid)


def sign_in(number: int) -> Observation:
    """Give a sign-in at the portal under a name that is on no roster."""
    event = list(PortalEvent)[number % len(PortalEvent)]
    name = CHANCE.randbytes(16).hex() if number % 5 else None
    return PortalAction(0.0, "gw-1", event, RadioAddress(CHANCE.getrandbits(48)), name)


@cache
def advertisers() -> dict[str, list[Observation]]:
    """Give a thousand advertisements of each kind."""
    crowds: dict[str, list[Observation]] = {kind: [] for kind in KINDS}
    for stranger in strangers(MANY * len(KINDS), 5):
        crowds[stranger.kind].append(advertised(stranger))
    return crowds


CROWDS: dict[str, Callable[[], list[Observation]]] = {
    **{kind: (lambda kind=kind: advertisers()[kind]) for kind in KINDS},  # type: ignore[misc]
    "unknown EID, private address": lambda: [advertised(s) for s in nobodies(MANY, 6)],
    "Wi-Fi station": lambda: [station(n) for n in range(MANY)],
    "portal": lambda: [sign_in(n) for n in range(MANY)],
}


@pytest.mark.parametrize("kind", CROWDS)
def test_strangers_make_nothing_but_counts(kind: str) -> None:
    """No event, no visit, no binding; of twenty of them not one object is left in memory."""
    crowd = CROWDS[kind]()
    assert len(crowd) == MANY
    pipeline = shop()
    already = sum(pipeline.identifier.counts.values())
    decided: Decided = []
    gc.collect()
    before = sys.getallocatedblocks()
    decided += [one for observation in crowd for one in pipeline.feed(observation)]
    grown = sys.getallocatedblocks() - before
    assert decided == []
    assert pipeline.advance(1e6) == []
    assert pipeline.stored_visits() == []
    assert len(pipeline.identifier.bindings) == 0
    assert pipeline.tracker.visitors == []
    counts = pipeline.identifier.counts
    assert sum(counts.values()) - already >= MANY * (3 / 5 if kind == "portal" else 1)
    assert set(counts) <= {"stranger", "unknown", "unsupported_version"} | {
        *("unbound_station", "not_on_roster")
    }
    assert grown < MANY // 20
