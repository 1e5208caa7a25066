"""The lease and the roster through the whole pipeline: what ends consent ends the visit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edge_agent.clock import VirtualClock
from edge_agent.config import Config
from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Member, Roster
from edge_agent.model import PortalEvent, StationEvent
from edge_agent.pipeline import Decided, Pipeline
from tests.identify.air import ANNA, BEGAN, portal, station

LEASE = 100.0


def directory(*members: Member, lease: float = LEASE) -> Directory:
    """Give a roster whose lease ends that many seconds after the beginning."""
    return Directory(replace(Roster.of(members), not_after=BEGAN + lease))


def shop() -> Pipeline:
    """Give a gateway with Anna on its roster, who signed in at 50."""
    values: dict[str, Any] = {
        "tenant": "acme",
        "store": "0042",
        "gateway": "gw-1",
        "mqtt": {"url": "mqtts://broker.example"},
        "roster": {"public_key": "ab" * 32},
    }
    pipeline = Pipeline(Config(**values), directory(ANNA), VirtualClock(BEGAN), "boot-1")
    assert kinds(pipeline.feed(portal(PortalEvent.BOUND, at=50.0))) == ["presence.enter.v1"]
    return pipeline


def kinds(decided: Decided) -> list[str]:
    """Name the events that were decided."""
    return [draft.type for draft, _ in decided]


def test_the_end_of_the_lease_is_a_deadline() -> None:
    """Nobody need give a sign of life for the visit to end then, and to the instant."""
    pipeline = shop()
    assert pipeline.deadline == LEASE
    assert pipeline.advance(LEASE - 0.001) == []
    ((leave, _),) = pipeline.advance(LEASE)
    assert leave.data.model_dump()["reason"] == "lease_expired"
    assert leave.time.timestamp() == BEGAN + 50


def test_nothing_heard_after_the_lease_counts() -> None:
    """Her station and the portal go on; nobody is known."""
    pipeline = shop()
    pipeline.advance(LEASE)
    assert pipeline.feed(station(StationEvent.HEARD, 101.0)) == []
    assert pipeline.feed(portal(PortalEvent.BOUND, at=102.0)) == []


def test_what_was_heard_before_the_lease_ended_comes_too_late_after_it() -> None:
    """Received at 99.5 and taken up after 100: a visit begun now would never end by lease."""
    pipeline = shop()
    pipeline.advance(LEASE)
    assert pipeline.feed(portal(PortalEvent.BOUND, at=99.5)) == []
    assert pipeline.stored_visits() == []


def test_a_new_lease_lets_her_in_again() -> None:
    """The hub sends a new roster at 200."""
    pipeline = shop()
    pipeline.advance(LEASE)
    assert pipeline.replace_roster(directory(ANNA, lease=900.0), 200.0) == []
    assert kinds(pipeline.feed(portal(PortalEvent.BOUND, at=201.0))) == ["presence.enter.v1"]
    assert pipeline.deadline is not None


def test_a_visitor_who_left_the_roster_is_forgotten_without_a_word() -> None:
    """Her visit, and the station that was hers."""
    pipeline = shop()
    assert pipeline.replace_roster(directory(lease=900.0), 60.0) == []
    assert pipeline.stored_visits() == []
    assert pipeline.feed(station(StationEvent.HEARD, 61.0)) == []
    assert pipeline.advance(899.0) == []


def test_a_station_is_not_hers_when_she_left_the_roster_while_away() -> None:
    """Gone at 100 and forgotten; consent withdrawn at 600; her phone is back at 700."""
    pipeline = shop()
    pipeline.replace_roster(directory(ANNA, lease=9000.0), 60.0)
    pipeline.feed(station(StationEvent.DISASSOCIATED, 70.0))
    assert kinds(pipeline.advance(599.0)) == ["presence.exit.v1"]
    pipeline.replace_roster(directory(lease=9000.0), 600.0)
    assert pipeline.feed(station(StationEvent.ASSOCIATED, 700.0)) == []
    assert pipeline.stored_visits() == []
