"""Opening hours: what the operator wrote, and the instants at which the doors turn."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from edge_agent.clock import VirtualClock
from edge_agent.config import Config, Mqtt, RosterSource
from edge_agent.config_hours import OpeningHours
from edge_agent.hours import Doors, Hours, Opening, Spell, read_zone
from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Member, Roster
from edge_agent.model import (
    Advertisement,
    Backend,
    RadioAddress,
    RadioState,
    StoreClosed,
    StoreOpened,
)
from edge_agent.pipeline import Pipeline
from edge_agent.publish.contract import ClockQuality, ExitData

QUARTER = 900
HOUR = 3600
DAY = 24 * HOUR
TAG = bytes(range(20))


def hours(*openings: str, closed: tuple[date, ...] = (), zone: str = "Europe/Berlin") -> Hours:
    """Give a store's hours, with a quarter of an hour to let shoppers out."""
    return Hours(read_zone(zone), tuple(map(Opening.parse, openings)), frozenset(closed), QUARTER)


def unix(text: str) -> float:
    """Read `2026-11-23 20:15` as Berlin's local time."""
    local = datetime.fromisoformat(text)
    return local.replace(tzinfo=local.tzinfo or read_zone("Europe/Berlin")).timestamp()


def told(spell: Spell) -> tuple[bool, str, str]:
    """Say a spell in local time."""
    zone = read_zone("Europe/Berlin")
    since, until = (
        datetime.fromtimestamp(at, zone).strftime("%a %H:%M") for at in (spell.since, spell.until)
    )
    return spell.is_open, since, until


WEEK = ("mon-fri 09:00-20:00", "sat 10:00-18:00")


@pytest.mark.parametrize(
    ("at", "is_open", "since", "until"),
    [
        ("2026-11-23 12:00", True, "Mon 08:45", "Mon 20:15"),
        ("2026-11-23 08:45", True, "Mon 08:45", "Mon 20:15"),
        ("2026-11-23 20:15", False, "Mon 20:15", "Tue 08:45"),
        ("2026-11-24 03:00", False, "Mon 20:15", "Tue 08:45"),
        ("2026-11-28 18:14", True, "Sat 09:45", "Sat 18:15"),
        ("2026-11-28 18:15", False, "Sat 18:15", "Mon 08:45"),
        ("2026-11-30 08:44", False, "Sat 18:15", "Mon 08:45"),
    ],
)
def test_a_week_has_its_spells(at: str, since: str, until: str, *, is_open: bool) -> None:
    """Open a quarter of an hour before and after the hours; closed over night and on Sunday."""
    assert told(hours(*WEEK).spell(unix(at))) == (is_open, since, until)


def test_a_closed_date_is_closed() -> None:
    """Christmas Day 2026 is a Friday."""
    christmas = hours(*WEEK, closed=(date(2026, 12, 25), date(2026, 12, 26)))
    assert told(christmas.spell(unix("2026-12-25 12:00"))) == (False, "Thu 20:15", "Mon 08:45")


def test_a_date_has_hours_of_its_own() -> None:
    """Christmas Eve until one, and a Sunday in Advent."""
    special = hours(*WEEK, "2026-12-24 09:00-13:00", "2026-12-20 13:00-18:00")
    assert told(special.spell(unix("2026-12-24 12:00"))) == (True, "Thu 08:45", "Thu 13:15")
    assert told(special.spell(unix("2026-12-20 14:00"))) == (True, "Sun 12:45", "Sun 18:15")


def test_a_long_lunch_closes_and_a_short_one_does_not() -> None:
    """Less than the two graces together is no time to be closed."""
    short = hours("mon 09:00-12:00", "mon 12:30-18:00")
    assert told(short.spell(unix("2026-11-23 12:16"))) == (True, "Mon 08:45", "Mon 18:15")
    long = hours("mon 09:00-12:00", "mon 14:00-18:00")
    assert told(long.spell(unix("2026-11-23 12:16"))) == (False, "Mon 12:15", "Mon 13:45")


def test_a_shop_may_close_after_midnight() -> None:
    """Friday's hours end on Saturday; a closed Saturday takes nothing of them."""
    late = hours("thu-sat 18:00-02:00", closed=(date(2026, 11, 28),))
    assert told(late.spell(unix("2026-11-28 01:00"))) == (True, "Fri 17:45", "Sat 02:15")
    assert told(late.spell(unix("2026-11-28 19:00"))) == (False, "Sat 02:15", "Thu 17:45")


def test_a_shop_that_never_closes_never_does() -> None:
    """Round the clock, week after week."""
    always = hours("daily 00:00-24:00")
    at = unix("2026-11-23 12:00")
    for _ in range(20):
        spell = always.spell(at)
        assert spell.is_open
        assert spell.until > at
        at = spell.until


def test_a_pop_up_store_has_only_dates() -> None:
    """Nothing before them and nothing after, and asking is never in vain."""
    shop = hours("2026-12-05 10:00-16:00")
    assert not shop.spell(unix("2026-09-01 12:00")).is_open
    assert shop.spell(unix("2026-12-05 12:00")).is_open
    after = shop.spell(unix("2027-03-01 12:00"))
    assert not after.is_open
    assert after.until > unix("2027-03-01 12:00")


@pytest.mark.parametrize(("day", "lasts"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_of_another_length_closes_by_the_clock_on_the_wall(day: str, lasts: int) -> None:
    """From noon before a change of the clocks to noon after it, 23 or 25 hours."""
    noon = hours("daily 12:15-12:30")
    before = noon.spell(unix(f"{day} 12:00") - DAY / 2)
    after = noon.spell(before.until + HOUR)
    assert (after.until - before.until) / HOUR == 24
    assert before.until == unix(f"{day} 12:00")
    assert before.until - noon.spell(before.since - 60).since == lasts * HOUR


@pytest.mark.parametrize(
    ("opening", "begins", "ends"),
    [
        ("2026-03-29 02:30-12:00", "2026-03-29T00:30+00:00", "2026-03-29T10:00+00:00"),
        ("2026-03-28 20:00-02:30", "2026-03-28T19:00+00:00", "2026-03-29T01:30+00:00"),
        ("2026-10-25 02:30-12:00", "2026-10-25T00:30+00:00", "2026-10-25T11:00+00:00"),
        ("2026-10-24 20:00-02:30", "2026-10-24T18:00+00:00", "2026-10-25T01:30+00:00"),
    ],
)
def test_a_time_that_a_night_has_not_or_twice_is_rather_open(
    opening: str, begins: str, ends: str
) -> None:
    """The earlier reading opens, the later one closes."""
    spell = hours(opening).spell(unix(ends) - HOUR)
    assert spell.is_open
    assert (spell.since + QUARTER, spell.until - QUARTER) == (unix(begins), unix(ends))


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("monday 09:00-20:00", '"mon"'),
        ("Mon 09:00-20:00", '"mon"'),
        ("mon-fry 09:00-20:00", '"fri"'),
        ("xyz 09:00-20:00", "mon tue wed"),
        ("09:00-20:00", "such as"),
        ("mon 9-20", '"09:00"'),
        ("mon 09:00-25:00", '"23:00"'),
        ("mon 09:60-20:00", '"09:59"'),
        ("mon 9am-8pm", '"09:00"'),
        ("mon noon-8pm", "HH:MM"),
        ("mon 09:00-09:00", '"00:00-24:00"'),
        ("2026-02-30 09:00-20:00", "must exist"),
        ("", "such as"),
    ],
)
def test_what_cannot_be_read_is_told_what_to_write(text: str, advice: str) -> None:
    """With the nearest right value."""
    with pytest.raises(ValueError, match=advice):
        Opening.parse(text)


def test_ranges_lists_and_spaces_are_read() -> None:
    """A range may pass Sunday; a one-digit hour is an hour."""
    assert Opening.parse("sat-mon,wed  9:00 - 20:00 ") == Opening(
        frozenset({5, 6, 0, 2}), None, 540, 1200
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Europe/Berlim", "Europe/Berlin"),
        ("Vienna", "Europe/Vienna"),
        ("Europe", "Europe/Berlin"),
        ("../../etc/passwd", "Europe/Berlin"),
        ("", "Europe/Berlin"),
    ],
)
def test_a_misspelt_time_zone_is_recognised(name: str, meant: str) -> None:
    """By its spelling or its city."""
    with pytest.raises(ValueError, match=f'"{meant}"'):
        read_zone(name)


def test_a_machine_without_time_zones_is_told_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without the package knows no place."""
    monkeypatch.setattr("edge_agent.hours.available_timezones", set)
    with pytest.raises(ValueError, match="apt install tzdata"):
        read_zone("Europe/Nowhere")


MONDAY = unix("2026-11-23 00:00")


def turns(doors: Doors, now: float, epoch: float | None = MONDAY) -> list[tuple[str, float]]:
    """Say what the doors did, in hours of the boot clock."""
    words = {StoreOpened: "opened", StoreClosed: "closed"}
    return [(words[type(turn)], turn.at / HOUR) for turn in doors.turns(now, epoch)]


def test_every_turn_is_told_once_and_at_its_own_instant() -> None:
    """However rarely one asks."""
    doors = Doors(hours(*WEEK))
    assert turns(doors, 12 * HOUR) == [("opened", 8.75)]
    assert turns(doors, 20 * HOUR) == []
    assert turns(doors, 60 * HOUR) == [
        ("closed", 20.25),
        ("opened", 32.75),
        ("closed", 44.25),
        ("opened", 56.75),
    ]
    assert doors.due(MONDAY) == 68.25 * HOUR


def test_following_what_is_due_misses_no_turn() -> None:
    """Asked at each deadline alone, it is told at that instant."""
    doors, now = Doors(hours(*WEEK)), 0.0
    seen = turns(doors, now)
    while now < 7 * DAY:
        due = doors.due(MONDAY)
        assert due is not None
        now = due
        seen += turns(doors, now)
    every = turns(Doors(hours(*WEEK)), 0.0)
    doors = Doors(hours(*WEEK))
    doors.turns(0.0, MONDAY)
    assert seen == every + turns(doors, now)
    assert len(seen) == 14


def test_a_late_observation_turns_nothing_back() -> None:
    """From two seconds before closing, told after it."""
    doors = Doors(hours(*WEEK))
    turns(doors, 20.25 * HOUR)
    assert turns(doors, 20.25 * HOUR - 2) == []
    assert turns(doors, 20.25 * HOUR + 1) == []


def test_a_clock_that_is_set_back_opens_the_doors_again() -> None:
    """It was an hour fast and closed the store at 19:15: told the opening of this morning."""
    doors = Doors(hours(*WEEK))
    assert turns(doors, 19.5 * HOUR, MONDAY + HOUR)[-1] == ("closed", 19.25)
    assert turns(doors, 19.6 * HOUR) == [("opened", 8.75)]
    assert turns(doors, 20.3 * HOUR) == [("closed", 20.25)]


def test_a_clock_that_is_set_forward_closes_the_doors() -> None:
    """It was an hour slow: told the closing as it should have been."""
    doors = Doors(hours(*WEEK))
    turns(doors, 20.5 * HOUR, MONDAY - HOUR)
    assert turns(doors, 20.6 * HOUR) == [("closed", 20.25)]


def test_a_clock_that_is_not_set_closes_nothing() -> None:
    """Until UTC is known the store is open: then told Saturday's closing, on Monday at 0:00."""
    doors = Doors(hours(*WEEK))
    assert turns(doors, 5.0, None) == []
    assert doors.due(None) is None
    assert turns(doors, 10.0) == [("closed", -29.75)]
    assert turns(doors, 20.0, None) == [("opened", 20.0 / HOUR)]


class _Unset(VirtualClock):
    """A clock that has not been set yet."""

    def quality(self) -> ClockQuality:
        """Say so."""
        return ClockQuality.UNSYNCHRONISED


def store(clock: VirtualClock, not_after: float | None = None) -> Pipeline:
    """Put a store with hours and one tag on the roster together."""
    config = Config(
        tenant="acme",
        store="0042",
        gateway="gw-1",
        mqtt=Mqtt(url="mqtts://broker.example"),
        roster=RosterSource(public_key="00" * 32),
        hours=OpeningHours(timezone="Europe/Berlin", open=WEEK),  # type: ignore[arg-type]
    )
    roster = replace(Roster.of([Member("anna", ibeacon=TAG)]), not_after=not_after)
    return Pipeline(config, Directory(roster), clock, "boot")


def advertisement(at: float) -> Advertisement:
    """Give the tag's packet, near the gateway."""
    data = {76: b"\x02\x15" + TAG + b"\xc5"}
    address = RadioAddress(0xE0 << 40)
    return Advertisement(at, "gw-1", "ble", Backend.TRACE, address, -55, {}, data, ())


def test_the_daemon_is_told_when_to_close() -> None:
    """The deadline is the closing, and the visit ends at it, in UTC."""
    pipeline = store(VirtualClock(unix("2026-11-23 20:00")))
    for at in range(900):
        pipeline.feed(advertisement(at))
    assert pipeline.deadline == QUARTER
    (pair,) = pipeline.advance(QUARTER)
    data = pair[0].data
    assert isinstance(data, ExitData)
    assert data.reason == "store_closed"
    assert data.decided_at == datetime(2026, 11, 23, 19, 15, tzinfo=UTC)
    assert pipeline.stored_visits()[0].exit_decided_at == QUARTER


def test_a_store_whose_clock_is_not_set_stays_open() -> None:
    """Nothing resolves then, and nothing closes."""
    pipeline = store(_Unset(unix("2026-11-23 20:00")))
    assert pipeline.advance(DAY) == []
    assert pipeline.deadline is None


@pytest.mark.parametrize(
    ("lease_ends", "reason"), [("20:10", "lease_expired"), ("20:20", "store_closed")]
)
def test_lease_and_closing_fall_in_their_order(lease_ends: str, reason: str) -> None:
    """Both have passed when the daemon next looks: the earlier one ended the visit."""
    not_after = unix(f"2026-11-23 {lease_ends}")
    pipeline = store(VirtualClock(unix("2026-11-23 20:00")), not_after)
    for at in range(300):
        pipeline.feed(advertisement(at))
    pipeline.feed(RadioState(300.0, "gw-1", "ble", listening=False))
    (pair,) = pipeline.advance(HOUR)
    data = pair[0].data
    assert isinstance(data, ExitData)
    assert data.reason == reason


def test_a_visit_of_a_fixture_is_stored_as_one() -> None:
    """And taken up as one by the next life; a kind that this version does not know is none."""
    clock = VirtualClock(unix("2026-11-23 09:00"))
    pipeline = store(clock)
    for at in range(0, 5 * HOUR, 10):
        pipeline.feed(advertisement(at))
    (kept,) = pipeline.stored_visits()
    assert kept.fixture == "unmoved"
    for fixture, known in (("unmoved", 1), ("levitating", 0), (None, 0)):
        after = store(clock)
        after.recall([replace(kept, fixture=fixture)])
        after.advance(5.0 * HOUR)
        assert len(after.stored_visits()) == known
