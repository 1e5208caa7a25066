"""Who comes to the store, with what in the pocket, alone or in company, once or again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from simulators.people import Walk, dwell_time, walk_visit
from simulators.phones import Kind, Phone
from simulators.plan import StorePlan
from simulators.stations import StationHabits

__all__ = ["SHORTEST_HOURS", "Enrolment", "OpenHours", "Rush", "Shoppers", "walks"]

FIRST_ENTER = 60.0  # s after opening
LAST_ENTER = 150.0  # s before closing
ALL_OUT = 6.0  # s before closing: companions follow, and a way out may be a step longer
HOUR = 3600.0  # s
SHORTEST_HOURS = 0.1
CLOCK_ERROR_SD, CLOCK_ERROR_MAX = 1.0, 2.0  # s, a phone set by its network
WRONG_CLOCK = (120.0, 900.0)  # s, a phone set by hand
RETURN_AFTER = (45.0, 1200.0)  # s


@dataclass(frozen=True, slots=True)
class OpenHours:
    """When the store opens and closes, in seconds of the trace."""

    opens: float
    closes: float

    @classmethod
    def after(cls, closed: float, hours: float) -> OpenHours:
        """Open for so many `hours`, after so many `closed` hours of trace.

        Raises:
            ValueError: `hours` is under 0.1.
        """
        if hours < SHORTEST_HOURS:
            raise ValueError(f"hours must be at least {SHORTEST_HOURS}, for a visit to fit in")
        return cls(closed * HOUR, (closed + hours) * HOUR)

    @property
    def entries(self) -> tuple[float, float]:
        """When shoppers come in, in seconds."""
        return self.opens + FIRST_ENTER, self.closes - LAST_ENTER

    @property
    def all_out(self) -> float:
        """By when the last has left, in seconds."""
        return self.closes - ALL_OUT


@dataclass(frozen=True, slots=True)
class Rush:
    """An hour from `begins` hours after opening in which `times` as many come as in others.

    Bodies shadow with `crowd_sd` dB then: with all else that shadows, sd 7.4 dB (dp3t: 5.4-8.0
    among people).
    """

    begins: float
    times: float = 10.0
    crowd_sd: float = 5.0

    def spell(self, hours: OpenHours) -> tuple[float, float]:
        """Give the part of it in which shoppers come in, in seconds.

        Raises:
            ValueError: the store is closed by then.
        """
        first, last = hours.entries
        begins = max(first, hours.opens + self.begins * HOUR)
        if begins >= last:
            raise ValueError("the rush must begin before closing")
        return begins, min(last, hours.opens + (self.begins + 1.0) * HOUR)

    def visits(self, hours: OpenHours, usual: int) -> int:
        """Count who come beyond the `usual` number of the day."""
        begins, ends = self.spell(hours)
        return round((self.times - 1.0) * usual * (ends - begins) / (hours.closes - hours.opens))


@dataclass(frozen=True, slots=True)
class Shoppers:
    """Who comes. Shares are of 1; `staff` carry fobs all day, `absent` are only on the roster.

    `fixtures` are members' tags that lie in the store day and night: a demonstration phone, a
    loyalty fob in the lost property.
    """

    kinds: Mapping[Kind, float] = field(
        default_factory=lambda: {
            Kind.ANDROID: 0.29,
            Kind.SLOW_ANDROID: 0.18,
            Kind.IPHONE: 0.5,
            Kind.IBEACON: 0.02,
            Kind.EDDYSTONE: 0.01,
        }
    )
    families: float = 0.12  # of parties: two or three members walk together
    returning: float = 0.06  # of parties of one: back 45 s to 20 min later
    wifi: float = 0.5  # of iPhones, bound to the store's Wi-Fi
    wrong_clock: float = 0.0  # of phones, off by 2 to 15 min
    staff: int = 0
    absent: int = 50
    fixtures: int = 0
    rush: Rush | None = None
    stations: StationHabits = field(default_factory=StationHabits)


class Enrolment:
    """The members of one store, numbered as they opt in."""

    def __init__(self, shoppers: Shoppers) -> None:
        """Begin with an empty roster; `shoppers` says who opts in."""
        self._shoppers = shoppers
        self._phones: list[Phone] = []

    @property
    def habits(self) -> StationHabits:
        """How members' phones behave on the Wi-Fi."""
        return self._shoppers.stations

    @property
    def staff(self) -> int:
        """How many members work here."""
        return self._shoppers.staff

    def opt_in(
        self, rng: np.random.Generator, kind: Kind | None = None, *, staff: bool = False
    ) -> Phone:
        """Enrol somebody with a phone or tag of `kind`, or of a random one."""
        shoppers = self._shoppers
        kinds, shares = list(shoppers.kinds), np.array(list(shoppers.kinds.values()))
        kind = kind or kinds[rng.choice(len(kinds), p=shares / shares.sum())]
        offset = float(np.clip(rng.normal(0.0, CLOCK_ERROR_SD), -CLOCK_ERROR_MAX, CLOCK_ERROR_MAX))
        if rng.random() < shoppers.wrong_clock:
            offset = float(rng.choice((-1.0, 1.0)) * rng.uniform(*WRONG_CLOCK))
        phone = Phone.draw(rng, f"v-{len(self._phones) + 1}", kind, offset)
        wifi = kind is Kind.IPHONE and rng.random() < shoppers.wifi
        self._phones.append(replace(phone, wifi=bool(wifi), staff=staff))
        return self._phones[-1]

    def opt_in_absent(self, rng: np.random.Generator) -> None:
        """Enrol those who do not come."""
        for _ in range(self._shoppers.absent):
            self.opt_in(rng)

    def roster(self) -> dict[str, list[dict[str, object]]]:
        """Give the unsigned roster file of everybody enrolled so far (DESIGN section 6)."""
        return {"members": [phone.enrolled() for phone in self._phones]}


def walks(
    rng: np.random.Generator,
    plan: StorePlan,
    shoppers: Shoppers,
    visits: int,
    hours: OpenHours,
    entries: tuple[float, float] | None = None,
) -> Iterator[list[Walk]]:
    """Yield each visitor's walks, `visits` in all, everybody out by closing.

    They come in between two `entries` in seconds; by default, whenever the store is open.
    """
    entries, left = entries or hours.entries, visits
    while left > 0:
        first = _visit(rng, plan, float(rng.uniform(*entries)), hours)
        left -= 1
        if rng.random() < shoppers.families:
            yield [first]
            for _ in range(min(left, int(rng.integers(1, 3)))):
                left -= 1
                yield [first.beside(float(rng.uniform(-0.7, 0.7)), float(rng.uniform(0.0, 1.5)))]
            continue
        again = (first.exited or 0.0) + float(rng.uniform(*RETURN_AFTER))
        if left > 0 and rng.random() < shoppers.returning and again < hours.entries[1]:
            left -= 1
            yield [first, _visit(rng, plan, again, hours)]
        else:
            yield [first]


def _visit(rng: np.random.Generator, plan: StorePlan, enter_at: float, hours: OpenHours) -> Walk:
    return walk_visit(rng, plan, enter_at, dwell_time(rng, hours.all_out - enter_at))
