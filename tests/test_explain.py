"""`edge-agent replay --explain`: why each decision about one visitor fell when it did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_agent.explain import Explainer
from edge_agent.model import (
    Exit,
    ExitReason,
    LeaseExpired,
    Method,
    PresenceEvent,
    Sighting,
    StoreClosed,
    Visit,
)
from edge_agent.track.belief import Belief, Floor
from edge_agent.track.evidence import EvidenceRule
from edge_agent.track.presence import Observer
from edge_agent.track.store import Store
from edge_agent.track.tracker import Tracker, TrackerSettings
from tests.test_replay import Shop, anna


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop of the test's own."""
    return Shop(tmp_path)


class Onlooker:
    """Notes down what it is told."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.sightings: list[Sighting] = []
        self.decisions: list[tuple[PresenceEvent, Mapping[str, float]]] = []

    def heard(self, sighting: Sighting, belief: Belief) -> None:
        """Note a sighting; a belief can be asked at any time."""
        assert 0.0 <= belief.explain()["inside"] <= 1.0
        self.sightings.append(sighting)

    def decided(self, event: PresenceEvent, accounts: Mapping[str, float]) -> None:
        """Note a decision."""
        self.decisions.append((event, accounts))


def visit(observer: Observer | None) -> list[PresenceEvent]:
    """Tell of a minute beside the gateway and of the silence after it."""
    store = Store(Floor({"gw-1": "floor"}, frozenset()), 60.0)
    settings = TrackerSettings(exit_after_at_most=60.0, dwell_milestones=(10,))
    tracker = Tracker(EvidenceRule(store), settings, lambda who, at: f"{who}@{at:g}", observer)
    events: list[PresenceEvent] = []
    for at in range(60):
        events += tracker.see(Sighting(float(at), "anna", "gw-1", "ble", Method.APP, -50))
    return events + tracker.advance(600.0)


def test_who_looks_on_changes_nothing() -> None:
    """The events are the same, and each is told, in order."""
    onlooker = Onlooker()
    events = visit(onlooker)
    assert events == visit(None)
    assert [event for event, _ in onlooker.decisions] == events
    assert len(onlooker.sightings) == 60


def test_an_exit_is_told_with_the_accounts_that_it_was_decided_on() -> None:
    """Leaving forgets what was heard, but not before the decision is told."""
    onlooker = Onlooker()
    visit(onlooker)
    event, accounts = onlooker.decisions[-1]
    assert isinstance(event, Exit)
    assert accounts["dbm"] == pytest.approx(-50)
    assert accounts["unheard_s"] == pytest.approx(event.visit.decided_at - 59.0)


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (LeaseExpired(30.0), ExitReason.LEASE_EXPIRED),
        (StoreClosed(30.0), ExitReason.STORE_CLOSED),
    ],
)
def test_exits_by_rule_are_told_too(
    evidence: LeaseExpired | StoreClosed, reason: ExitReason
) -> None:
    """The lease or the day ends: told once, with what was known."""
    onlooker = Onlooker()
    store = Store(Floor({"gw-1": "floor"}, frozenset()), 60.0)
    tracker = Tracker(EvidenceRule(store), TrackerSettings(), lambda who, _: who, onlooker)
    for at in range(30):
        tracker.see(Sighting(float(at), "anna", "gw-1", "ble", Method.APP, -50))
    tracker.see(evidence)
    event, accounts = onlooker.decisions[-1]
    assert isinstance(event, Exit)
    assert event.reason is reason
    assert accounts["dbm"] == pytest.approx(-50)


def test_the_accounts_of_an_enter_add_up_to_its_confidence() -> None:
    """Nothing that is learnt by coming in is counted as a reason for it."""
    onlooker = Onlooker()
    visit(onlooker)
    event, accounts = onlooker.decisions[0]
    odds = sum(accounts[name] for name in ("time", "level", "memory", "wifi"))
    sure = event.visit.confidence
    assert sure / (1 - sure) == pytest.approx(2.718281828**odds)
    assert accounts["memory"] == pytest.approx(0.0, abs=1e-6)


def test_every_decision_is_explained_on_stderr(shop: Shop) -> None:
    """Enter, dwell and exit, each with its time and its evidence; then what the store taught."""
    trace = shop.trace([anna(at / 2) for at in range(120)] + [{"at": 300.0, "end": True}])
    plain, told = shop.replay(trace), shop.replay(trace, "--explain", "anna")
    assert told.code == 0
    assert told.stdout == plain.stdout
    lines = told.stderr.splitlines()
    decisions = [line.split("  ")[1].split(":")[0] for line in lines if line.startswith("09:")]
    assert decisions == ["enter floor", "dwell 10 s", "exit, silence"]
    assert "-55 dBm" in told.stderr
    assert "unheard for" in told.stderr
    assert "her phone has shown 0 nap(s)" in told.stderr or "this phone: 0 nap(s)" in told.stderr
    assert "By then the store had taught:" in told.stderr
    assert "weakest level heard:" in told.stderr
    assert plain.stderr in told.stderr


def test_a_move_names_the_zones_by_loudness(shop: Shop) -> None:
    """She walks from the floor into the café: both levels are given, the louder first."""
    lines = [anna(at / 2) for at in range(60)]
    lines += [anna(30 + at / 2, "gw-2") for at in range(60)]
    lines += [anna(30 + at / 2, "gw-1", -90) for at in range(60)]
    told = shop.replay(shop.trace(sorted(lines, key=lambda it: it["at"])), "--explain", "anna")
    assert "move floor → cafe" in told.stderr
    assert "cafe -55 dBm, floor -" in told.stderr


def test_who_made_no_visit_is_told_how_near_she_came(shop: Shop) -> None:
    """Heard faintly for two seconds: no decision fell, and that is explained as well."""
    told = shop.replay(shop.trace([anna(1.0, rssi=-97), anna(3.0, rssi=-97)]), "--explain", "anna")
    assert told.code == 0
    assert told.events == []
    assert "heard first, for 2 s in all; no visit" in told.stderr
    assert "where 0.9 is asked for ([presence] enter_confidence)" in told.stderr


def test_who_was_never_heard(shop: Shop) -> None:
    """On the roster, not in the trace: said, with how many were; no failure."""
    told = shop.replay(shop.trace([anna(1.0)]), "--explain", "bea")
    assert told.code == 0
    assert "bea was never heard in this trace; 1 visitor(s) of the roster were" in told.stderr


def test_a_name_that_is_not_on_the_roster_is_bad_input(shop: Shop) -> None:
    """Said before anything is replayed, with exit code 2."""
    told = shop.replay(shop.trace([anna(at) for at in range(30)]), "--explain", "zoe")
    assert (told.code, told.stdout) == (2, b"")
    assert "nobody on the roster is called 'zoe'; it names 3" in told.stderr


@pytest.mark.parametrize("reason", list(ExitReason))
@pytest.mark.parametrize("fixture", [False, True])
def test_there_are_words_for_every_exit(reason: ExitReason, *, fixture: bool) -> None:
    """Whatever ended the visit, with no level ever heard, it is put in words."""
    said: list[str] = []
    explainer = Explainer("anna", lambda at: 1_793_523_600.0 + at, said.append, 0.9)
    about = Visit("v", "anna", "floor", 0.0, 7300.0, ("wifi",), 0.95)
    named = ("time", "level", "memory", "wifi")
    accounts = dict.fromkeys((*named, "heard_s", "awake_s"), 0.0)
    accounts |= {"inside": 0.9, "unheard_s": 100.0} | ({"unmoved_s": 14_500.0} if fixture else {})
    explainer.decided(Exit(7200.0, about, 7200.0, reason), accounts)
    head, *grounds = said[0].splitlines()
    assert head == (
        f"11:01:40.0 +7300.0 s  exit, {reason.value}: 0.95 sure that she left, dated 100.0 s back,"
        " after 2.0 h"
    )
    assert grounds
