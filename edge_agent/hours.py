"""When the store is open: from what the operator wrote to the instants that the tracker is told.

    "mon-fri 09:00-20:00" --Opening--> Hours --Spell--> Doors --StoreClosed, StoreOpened--> track

Hours are local time and instants are Unix seconds; the time zone knows the days of 23 and 25
hours. A local time that such a day has twice, or not at all, is read so that the store is rather
open. Nothing here reads a clock.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from edge_agent.model import StoreClosed, StoreOpened

__all__ = ["EXAMPLE", "Doors", "Hours", "Opening", "Spell", "read_zone"]

LET_IN_S: Final = 900.0  # before opening: doors open a little early, and visits begin at the door
STEP_S: Final = 1.0  # a step of the clock is noticed within it
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHAPE: Final = re.compile(r"(\S+) +(\S+?) *- *(\S+)")
_TIME: Final = re.compile(r"(\d{1,2}):(\d{2})")
_DAY_MIN: Final = 24 * 60
_WEEK_S: Final = 7 * 24 * 3600.0
EXAMPLE: Final = '"mon-fri 09:00-20:00", "sat,sun 10:00-18:00" or "2026-12-24 09:00-13:00"'


@dataclass(frozen=True, slots=True)
class Opening:
    """When the store opens and closes on some weekdays, or on one date instead of its weekday."""

    weekdays: frozenset[int]  # Monday is 0; empty for a date
    only_on: date | None
    opens_min: int  # minutes of the clock since midnight
    closes_min: int  # above 1440: on the next day

    @classmethod
    def parse(cls, text: str) -> Opening:
        """Read `mon-fri 09:00-20:00`.

        Raises:
            ValueError: with what to write instead.
        """
        parts = _SHAPE.fullmatch(text.strip())
        if parts is None:
            raise ValueError(f"days and times are expected, such as {EXAMPLE}")
        days, opens_min, closes_min = parts[1], _minutes(parts[2]), _minutes(parts[3])
        if opens_min == closes_min:
            raise ValueError('it closes as it opens; all day is "00:00-24:00"')
        if closes_min < opens_min:
            closes_min += _DAY_MIN
        if days[:1].isdigit():
            return cls(frozenset(), _date(days), opens_min, closes_min)
        return cls(_weekdays(days), None, opens_min, closes_min)


def _minutes(text: str) -> int:
    """Read `09:00`, or `24:00` for the end of the day, as minutes since midnight."""
    match = _TIME.fullmatch(text)
    if match is None:
        hour = re.match(r"\d{1,2}", text)
        near = f', such as "{int(hour[0]) % 24:02}:00"' if hour else ""
        raise ValueError(f"a time is HH:MM on a 24-hour clock{near}")
    minutes = int(match[1]) * 60 + int(match[2])
    if int(match[2]) > 59 or minutes > _DAY_MIN:  # noqa: PLR2004 - minutes of an hour
        near = f"{min(int(match[1]), 23):02}:{min(int(match[2]), 59):02}"
        raise ValueError(f'times go from 00:00 to 24:00, such as "{near}"')
    return minutes


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("a date is YYYY-MM-DD, and must exist") from None


def _weekdays(text: str) -> frozenset[int]:
    """Read `mon-fri`, `sat,sun` or `daily`; a range may pass Sunday."""
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = ("mon-sun" if part == "daily" else part).partition("-")
        begin, end = _weekday(first), _weekday(last or first)
        days |= {(begin + n) % 7 for n in range((end - begin) % 7 + 1)}
    return frozenset(days)


def _weekday(text: str) -> int:
    if text not in _WEEKDAYS:
        near = difflib.get_close_matches(text.lower()[:3], _WEEKDAYS, n=1)
        meant = f'; did you mean "{near[0]}"?' if near else f"; they are {' '.join(_WEEKDAYS)}"
        raise ValueError(f"there is no weekday {text!r}{meant}")
    return _WEEKDAYS.index(text)


def read_zone(name: str) -> ZoneInfo:
    """Find a time zone by its name, such as `Europe/Berlin`.

    Raises:
        ValueError: with the nearest name, or how to get time zones at all.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder or a foreign file, too
        raise ValueError(_zone_advice(name, available_timezones())) from None


def _zone_advice(name: str, known: set[str]) -> str:
    if not known:
        return "this machine has no time zones: apt install tzdata"
    by_lower = {zone.lower(): zone for zone in known}
    by_city = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.8)
    meant = by_lower[near[0]] if near else by_city.get(name.lower().replace(" ", "_"))
    return f'there is no such time zone; one such as "{meant or "Europe/Berlin"}" is expected'


@dataclass(frozen=True, slots=True)
class Spell:
    """A time from `since` up to `until`, Unix seconds, with the doors open or shut throughout."""

    is_open: bool
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Hours:
    """A store's opening hours; it is open for visits a little longer on both sides of them."""

    zone: ZoneInfo
    openings: tuple[Opening, ...]
    closed: frozenset[date]
    sweep_after: float  # seconds from closing until everybody has been let out

    def spell(self, unix: float) -> Spell:
        """Give the spell of an instant; hours without an end are told in spells of some days."""
        since = unix
        for spell in self._spells_about(datetime.fromtimestamp(unix, self.zone).date()):
            if unix < spell.since:
                return Spell(is_open=False, since=since, until=spell.since)
            if unix < spell.until:
                return spell
            since = spell.until
        return Spell(is_open=False, since=since, until=unix + _WEEK_S)

    def _spells_about(self, today: date) -> list[Spell]:
        """List the open spells about a day; openings that meet are one."""
        spells: list[Spell] = []
        for opens, closes in sorted(self._openings_about(today)):
            last = spells[-1] if spells else None
            if last is not None and opens <= last.until:
                spells[-1] = Spell(is_open=True, since=last.since, until=max(last.until, closes))
            else:
                spells.append(Spell(is_open=True, since=opens, until=closes))
        return spells

    def _openings_about(self, today: date) -> Iterator[tuple[float, float]]:
        """Give openings, graces included, from two days ago until a regular week has passed."""
        for number in range(-2, 9 + len(self.closed)):
            day = today + timedelta(days=number)
            for opening in self._of_day(day):
                opens = min(self._instants(day, opening.opens_min))
                closes = max(self._instants(day, opening.closes_min))
                yield opens - LET_IN_S, closes + self.sweep_after

    def _of_day(self, day: date) -> list[Opening]:
        if day in self.closed:
            return []
        special = [opening for opening in self.openings if opening.only_on == day]
        return special or [one for one in self.openings if day.weekday() in one.weekdays]

    def _instants(self, day: date, minutes: int) -> tuple[float, float]:
        """Give the Unix times that a time of the clock may mean: one, but for two nights a year."""
        days, minutes = divmod(minutes, _DAY_MIN)
        clock = time(minutes // 60, minutes % 60)
        local = datetime.combine(day + timedelta(days=days), clock, tzinfo=self.zone)
        return local.timestamp(), local.replace(fold=1).timestamp()


class Doors:
    """Tells once of each time that the store opens and closes, as evidence for the tracker."""

    def __init__(self, hours: Hours) -> None:
        """Begin knowing nothing."""
        self._hours = hours
        self._spell: Spell | None = None
        self._newest = float("-inf")
        self.asks_at = float("-inf")  # boot-clock seconds; `turns` has nothing to tell before

    def turns(self, now: float, epoch: float | None) -> list[StoreOpened | StoreClosed]:
        """Tell what has not been told up to boot-clock `now`, each at its own instant.

        Whoever begins inside a spell, or after a step of the clock, is told its true beginning.

        Args:
            now: boot-clock seconds; an earlier one than before tells nothing.
            epoch: Unix time of boot-clock 0, None while that is not known: then the store is open.
        """
        if now < self._newest:
            return []
        self._newest = now
        self.asks_at = now + STEP_S
        if epoch is None:
            was_shut = self._spell is not None and not self._spell.is_open
            self._spell = None
            return [StoreOpened(now)] if was_shut else []
        told: list[StoreOpened | StoreClosed] = []
        if self._spell is None or now < self._spell.since - epoch:
            self._enter(self._hours.spell(now + epoch), epoch, told)
        while (spell := self._spell) is not None and spell.until - epoch <= now:
            self._enter(self._hours.spell(spell.until), epoch, told)
        if self._spell is not None:
            self.asks_at = min(self.asks_at, self._spell.until - epoch)
        return told

    def _enter(self, spell: Spell, epoch: float, told: list[StoreOpened | StoreClosed]) -> None:
        if self._spell is None or self._spell.is_open != spell.is_open:
            at = spell.since - epoch
            told.append(StoreOpened(at) if spell.is_open else StoreClosed(at))
        self._spell = spell

    def due(self, epoch: float | None) -> float | None:
        """Give the boot-clock instant of the next turn, None where none is known."""
        return None if self._spell is None or epoch is None else self._spell.until - epoch
