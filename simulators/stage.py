"""The store in which everybody walks, sends and is heard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulators.day import Receptions
from simulators.people import Trail, Walk, stand, stays
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
from simulators.radio import SENSITIVITY, Air, Crowd, Emitter, Flags, Floats, Receiver
from simulators.stations import Line, StationHabits, connect
from simulators.strangers import stranger_phone
from simulators.truth import Fixture, PassBy, TrueVisit, Window

__all__ = ["Stage", "hung_up"]

RECEIVER_OFFSET_SD = 2.5  # dB (philotuxo: 2-3)
SENSITIVITY_SD = 0.7  # dB between devices
# Who walks past in silence can be nobody's error, so most of those simulated can be heard.
SILENT_PASSING = 0.01  # of phones


def hung_up(rng: np.random.Generator, plan: StorePlan) -> list[Receiver]:
    """Hang up the gateways of `plan`; to its gain each adds a device's own offset in dB.

    Nor is every device's sensitivity the same.
    """
    return [
        Receiver(
            at.name,
            at.x,
            at.y,
            offset=at.gain + float(rng.normal(0.0, RECEIVER_OFFSET_SD)),
            sensitivity=SENSITIVITY + float(rng.normal(0.0, SENSITIVITY_SD)),
        )
        for at in plan.gateways
    ]


class Stage:
    """One store's gateways and air, and what was heard so far."""

    def __init__(
        self, rng: np.random.Generator, plan: StorePlan, clock: WallClock, crowd: Crowd
    ) -> None:
        """Prepare a day in which everybody walks among the `crowd`."""
        self._plan, self._clock = plan, clock
        self._air = Air(rng, hung_up(rng, plan), plan.walls, plan.exponent, crowd)
        self._indoor = np.array([place.name in plan.indoor for place in plan.gateways])
        self._access_point = next(p.name for p in plan.gateways if p.name in plan.indoor)
        self._heard: list[tuple[Floats, Floats]] = []
        self._adverts: list[Advert] = []
        self._stations: list[tuple[float, Line]] = []

    def send(self, rng: np.random.Generator, trail: Trail, sent: Emissions, by: Emitter) -> Flags:
        """Carry the packets to every gateway; say which an indoor gateway could have received."""
        places, heading = trail.places(sent.times), trail.heading(sent.times)
        heard = self._air.carry(rng, by, sent.times, places, heading)
        deaf = self._deaf(sent.times)
        gateway, packet = np.nonzero(heard.received & ~deaf)
        advert = sent.which[packet] + len(self._adverts)
        rows = np.column_stack((gateway, heard.rssi[gateway, packet], advert)).astype(np.float64)
        self._heard.append((sent.times[packet], rows))
        self._adverts += sent.adverts
        receivable: Flags = (heard.receivable & ~deaf)[self._indoor].any(axis=0)
        return receivable

    def _deaf(self, times: Floats) -> Flags:
        """Say for each gateway and packet whether its radio was out, shape (gateways, packets)."""
        deaf = np.zeros((len(self._plan.gateways), len(times)), dtype=np.bool_)
        for row, place in enumerate(self._plan.gateways):
            for outage in self._plan.outages:
                if outage.gateway == place.name:
                    deaf[row] |= (times >= outage.begins) & (times < outage.ends)
        return deaf

    def visit(
        self, rng: np.random.Generator, phone: Phone, walk: Walk, habits: StationHabits
    ) -> TrueVisit:
        """Let a member come in and leave; give the truth about it.

        Raises:
            ValueError: the walk never crosses the door.
        """
        if walk.entered is None or walk.exited is None:
            raise ValueError("a visit needs a walk through the door")
        sent = advertise(rng, phone, _advertising(rng, phone, walk.trail), self._clock)
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
        silent = not phone.kind.is_tag and rng.random() < SILENT_PASSING
        spans = [] if silent else [(trail.begins, trail.ends)]
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

    def fixture(
        self, rng: np.random.Generator, phone: Phone, begins: float, ends: float
    ) -> Fixture:
        """Leave a member's tag lying in the store; give the truth about it."""
        plan = self._plan
        place = rng.uniform((0.5, 1.0), (plan.width - 0.5, plan.depth - 0.5))
        trail = stand(float(place[0]), float(place[1]), begins, ends)
        sent = advertise(rng, phone, [(begins, ends)], self._clock)
        # Nobody carries it, so that no pocket and no body is in the way.
        self.send(rng, trail, sent, replace(carried(rng, phone.tx), carry_loss=0.0, body_loss=0.0))
        ((_, zone),) = plan.zones_at(place[np.newaxis])
        return Fixture(visitor=phone.visitor, zone=zone)

    def others(self, ends: float) -> list[tuple[float, Line]]:
        """Give the Wi-Fi, portal and radio lines of [0, `ends`), by time."""
        lines = [line for line in self._stations if not self._is_out(self._access_point, line[0])]
        lines += self._radios()
        return sorted((line for line in lines if 0.0 <= line[0] < ends), key=lambda line: line[0])

    def _is_out(self, gateway: str, at: float) -> bool:
        return any(
            outage.gateway == gateway and outage.begins <= at < outage.ends
            for outage in self._plan.outages
        )

    def _radios(self) -> list[tuple[float, Line]]:
        """Tell of the outages that were noticed, for each source of the gateway."""
        lines: list[tuple[float, Line]] = []
        for outage in self._plan.outages:
            sources = ("ble", "wifi") if outage.gateway == self._access_point else ("ble",)
            for source in sources if outage.told else ():
                for at, state in ((outage.begins, "lost"), (outage.ends, "recovered")):
                    radio = {"source": source, "state": state}
                    lines.append((at, {"at": at, "gateway": outage.gateway, "radio": radio}))
        return lines


def _advertising(rng: np.random.Generator, phone: Phone, trail: Trail) -> list[Span]:
    if phone.kind is Kind.SLOW_ANDROID:
        return awake(rng, trail.begins, trail.ends)
    if phone.kind is Kind.IPHONE:
        return app_opened(rng, trail.begins, trail.ends)
    return [(trail.begins, trail.ends)]
