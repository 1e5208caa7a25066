"""The store in which everybody walks, sends and is heard."""

from __future__ import annotations

import numpy as np

from simulators.day import Receptions
from simulators.people import Trail, Walk, stays
from simulators.phones import (
    Advert,
    Emissions,
    Kind,
    Phone,
    Span,
    WallClock,
    advertise,
    app_opened,
    awake,
    carried,
)
from simulators.plan import StorePlan
from simulators.radio import Air, Emitter, Flags, Floats, Receiver
from simulators.stations import Line, StationHabits, connect
from simulators.strangers import stranger_phone
from simulators.truth import PassBy, TrueVisit, Window

__all__ = ["Stage"]

RECEIVER_OFFSET_SD = 2.5  # dB (philotuxo: 2-3)
APP_OPEN_PASSING = 0.1  # of iPhones on the pavement


class Stage:
    """One store's gateways and air, and what was heard so far."""

    def __init__(self, rng: np.random.Generator, plan: StorePlan, clock: WallClock) -> None:
        """Hang up the gateways of `plan`, each with a device offset of its own."""
        self._plan, self._clock = plan, clock
        receivers = [
            Receiver(place.name, place.x, place.y, float(rng.normal(0.0, RECEIVER_OFFSET_SD)))
            for place in plan.gateways
        ]
        self._air = Air(rng, receivers, plan.walls, plan.exponent, plan.crowd_sd)
        self._indoor = np.array([place.name in plan.indoor for place in plan.gateways])
        self._access_point = next(p.name for p in plan.gateways if p.name in plan.indoor)
        self._heard: list[tuple[Floats, Floats]] = []
        self._adverts: list[Advert] = []
        self._stations: list[tuple[float, Line]] = []

    def send(self, rng: np.random.Generator, trail: Trail, sent: Emissions, by: Emitter) -> Flags:
        """Carry the packets to every gateway; say which an indoor gateway could have received."""
        places, heading = trail.places(sent.times), trail.heading(sent.times)
        heard = self._air.carry(rng, by, sent.times, places, heading)
        gateway, packet = np.nonzero(heard.received)
        advert = sent.which[packet] + len(self._adverts)
        rows = np.column_stack((gateway, heard.rssi[gateway, packet], advert)).astype(np.float64)
        self._heard.append((sent.times[packet], rows))
        self._adverts += sent.adverts
        receivable: Flags = heard.receivable[self._indoor].any(axis=0)
        return receivable

    def visit(
        self, rng: np.random.Generator, phone: Phone, walk: Walk, habits: StationHabits
    ) -> TrueVisit:
        """Let a member come in and leave; give the truth about it.

        Raises:
            ValueError: the walk never crosses the door.
        """
        if walk.entered is None or walk.exited is None:
            raise ValueError("a visit needs a walk through the door")
        if phone.kind is Kind.IPHONE:
            spans = app_opened(rng, walk.entered, walk.exited)
        else:
            spans = _advertising(rng, phone, walk.trail)
        sent = advertise(rng, phone, spans, self._clock)
        receivable = self.send(rng, walk.trail, sent, carried(rng, phone.tx))
        inside = (sent.times >= walk.entered) & (sent.times <= walk.exited) & receivable
        if phone.wifi:
            presence = (walk.entered, walk.exited)
            lines = connect(rng, phone.visitor, self._access_point, presence, habits)
            self._stations += lines
        return TrueVisit(
            visitor=phone.visitor,
            entered=Window.at(walk.entered),
            exited=Window.at(walk.exited),
            first_receivable=round(float(sent.times[inside][0]), 3) if inside.any() else None,
            stays=stays(self._plan, walk),
        )

    def pass_by(self, rng: np.random.Generator, phone: Phone, walk: Walk) -> PassBy:
        """Let a member walk past outside; give the truth about it."""
        trail = walk.trail
        if phone.kind is not Kind.IPHONE:
            spans = _advertising(rng, phone, trail)
        else:
            spans = [(trail.begins, trail.ends)] if rng.random() < APP_OPEN_PASSING else []
        self.send(rng, trail, advertise(rng, phone, spans, self._clock), carried(rng, phone.tx))
        return PassBy(visitor=phone.visitor, begins=trail.begins, ends=trail.ends)

    def stranger(self, rng: np.random.Generator, walk: Walk) -> None:
        """Let somebody who is on no roster walk by or in."""
        sent = stranger_phone(rng, walk.trail.begins, walk.trail.ends, self._clock)
        self.send(rng, walk.trail, sent, carried(rng, -59))

    def receptions(self, ends: float) -> Receptions:
        """Give what was heard in [0, `ends`), by time."""
        at = np.round(np.concatenate([times for times, _ in self._heard] or [np.empty(0)]), 3)
        rows = np.concatenate([rows for _, rows in self._heard] or [np.empty((0, 3))])
        order = np.argsort(at, kind="stable")
        order = order[(at[order] >= 0.0) & (at[order] < ends)]
        gateway, rssi, advert = rows[order].astype(np.int64).T
        names = tuple(place.name for place in self._plan.gateways)
        return Receptions(at[order], gateway, rssi, advert, names, self._adverts)

    def stations(self, ends: float) -> list[tuple[float, Line]]:
        """Give the Wi-Fi and portal lines of [0, `ends`), by time."""
        return sorted((line for line in self._stations if line[0] < ends), key=lambda line: line[0])


def _advertising(rng: np.random.Generator, phone: Phone, trail: Trail) -> list[Span]:
    if phone.kind is Kind.SLOW_ANDROID:
        return awake(rng, trail.begins, trail.ends)
    return [(trail.begins, trail.ends)]
