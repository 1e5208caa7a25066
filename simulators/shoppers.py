"""Who comes to the store, with what in the pocket, alone or in company, once or again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from simulators.people import Walk, dwell_time, walk_visit
from simulators.phones import Kind, Phone
from simulators.plan import StorePlan
from simulators.stations import StationHabits

__all__ = ["FIRST_ENTER", "LAST_ENTER", "Enrolment", "Shoppers", "walks"]

FIRST_ENTER = 60.0  # s after the trace begins
LAST_ENTER = 150.0  # s before closing
CLOCK_ERROR_SD, CLOCK_ERROR_MAX = 1.0, 2.0  # s, a phone set by its network
WRONG_CLOCK = (120.0, 900.0)  # s, a phone set by hand
RETURN_AFTER = (45.0, 1200.0)  # s


@dataclass(frozen=True, slots=True)
class Shoppers:
    """Who comes. Shares are of 1; `staff` carry fobs all day, `absent` are only on the roster."""

    kinds: Mapping[Kind, float] = field(
        default_factory=lambda: {
            Kind.ANDROID: 0.45,
            Kind.SLOW_ANDROID: 0.1,
            Kind.IPHONE: 0.33,
            Kind.IBEACON: 0.07,
            Kind.EDDYSTONE: 0.05,
        }
    )
    families: float = 0.12  # of parties: two or three members walk together
    returning: float = 0.06  # of parties of one: back 45 s to 20 min later
    wifi: float = 0.5  # of iPhones, bound to the store's Wi-Fi
    wrong_clock: float = 0.0  # of phones, off by 2 to 15 min
    staff: int = 0
    absent: int = 50
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

    def opt_in(self, rng: np.random.Generator, *, staff: bool = False) -> Phone:
        """Enrol somebody with a phone or tag of a random kind; staff get an iBeacon fob."""
        shoppers = self._shoppers
        kinds, shares = list(shoppers.kinds), np.array(list(shoppers.kinds.values()))
        kind = Kind.IBEACON if staff else kinds[rng.choice(len(kinds), p=shares / shares.sum())]
        offset = float(np.clip(rng.normal(0.0, CLOCK_ERROR_SD), -CLOCK_ERROR_MAX, CLOCK_ERROR_MAX))
        if rng.random() < shoppers.wrong_clock:
            offset = float(rng.choice((-1.0, 1.0)) * rng.uniform(*WRONG_CLOCK))
        phone = Phone.draw(rng, f"v-{len(self._phones) + 1}", kind, offset)
        wifi = kind is Kind.IPHONE and rng.random() < shoppers.wifi
        self._phones.append(replace(phone, wifi=bool(wifi), staff=staff))
        return self._phones[-1]

    def roster(self) -> dict[str, list[dict[str, object]]]:
        """Give the unsigned roster file of everybody enrolled so far (DESIGN section 6)."""
        return {"members": [phone.enrolled() for phone in self._phones]}


def walks(
    rng: np.random.Generator, plan: StorePlan, shoppers: Shoppers, visits: int, closing: float
) -> Iterator[list[Walk]]:
    """Yield each visitor's walks, `visits` in all, everybody out by about `closing` seconds."""
    left = visits
    while left > 0:
        first = _visit(rng, plan, float(rng.uniform(FIRST_ENTER, closing - LAST_ENTER)), closing)
        left -= 1
        if rng.random() < shoppers.families:
            yield [first]
            for _ in range(min(left, int(rng.integers(1, 3)))):
                left -= 1
                yield [first.beside(float(rng.uniform(-0.7, 0.7)), float(rng.uniform(0.0, 1.5)))]
            continue
        again = (first.exited or 0.0) + float(rng.uniform(*RETURN_AFTER))
        if left > 0 and rng.random() < shoppers.returning and again < closing - LAST_ENTER:
            left -= 1
            yield [first, _visit(rng, plan, again, closing)]
        else:
            yield [first]


def _visit(rng: np.random.Generator, plan: StorePlan, enter_at: float, closing: float) -> Walk:
    return walk_visit(rng, plan, enter_at, dwell_time(rng, closing - enter_at))
