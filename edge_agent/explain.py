"""Why each decision about one visitor fell when it did, in prose: `edge-agent replay --explain`.

An `Explainer` looks on while the tracker decides, and says each decision with the accounts that it
rested on. Figures in brackets are log odds that she is inside: they add up to how sure it was, +2.2
is nine to one, -2.2 one to nine. A candidate who made no visit is explained at her best moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from edge_agent.model import Dwell, Enter, Exit, ExitReason, Move, PresenceEvent, Sighting
from edge_agent.track.belief import Belief
from edge_agent.track.leaving import SURE
from edge_agent.track.store import Store
from edge_agent.track.survey import PRIOR

__all__ = ["LEGEND", "Explainer", "what_was_learnt"]

Accounts = Mapping[str, float]

LEGEND: Final = (
    "Times are UTC, as in the events, and seconds of the trace. (+2.2) is nine to one that she is"
    " inside, (-2.2) one to nine; they add up."
)
CLEAR: Final = 0.5  # log odds: less says nothing either way
STEADY_DB: Final = 2.0  # a smaller change is noise
_INDENT: Final = "\n    "
_MINUTE: Final = 60.0
_BY_RULE: Final = {
    ExitReason.STORE_CLOSED: "the store has closed and let everybody out ([hours])",
    ExitReason.LEASE_EXPIRED: "the roster's lease has ended: nobody may be resolved any more",
    ExitReason.GATEWAY_STOPPED: "no receiver that could hear her has listened for 30 min",
    ExitReason.LEFT_WIFI: "her phone left the store's Wi-Fi or answers no more, and is unheard",
}


class Explainer:
    """Looks on, and says what was decided about one visitor."""

    def __init__(
        self,
        visitor: str,
        unix: Callable[[float], float],
        say: Callable[[str], None],
        enter_confidence: float,
    ) -> None:
        """Begin to look on.

        Args:
            visitor: whose decisions are explained.
            unix: Unix time of a second of the trace.
            say: takes one decision, in a few lines.
            enter_confidence: the operator's.
        """
        self._visitor, self._unix, self._say = visitor, unix, say
        self._asked = enter_confidence
        self._heard: set[str] = set()
        self._decisions = 0
        self._first_at = self._last_at = 0.0
        self._best: tuple[float, float, Accounts] | None = None  # before any visit

    def heard(self, sighting: Sighting, belief: Belief) -> None:
        """Take in who was heard, and how near a candidate came to a visit."""
        self._heard.add(sighting.visitor)
        if sighting.visitor != self._visitor:
            return
        if self._best is None:
            self._first_at = sighting.at
        self._last_at = max(self._last_at, sighting.at)
        if not self._decisions:
            accounts = belief.explain()
            sure = accounts["inside"]
            if self._best is None or sure > self._best[0]:
                self._best = sure, sighting.at, accounts

    def decided(self, event: PresenceEvent, accounts: Accounts) -> None:
        """Say what was decided, if it is about her."""
        if event.visit.visitor == self._visitor:
            self._decisions += 1
            head = f"{self._time(event.visit.decided_at)}  {_decision(event)}"
            self._say(_INDENT.join([head, *_grounds(event, accounts)]))

    def conclude(self) -> None:
        """Say, at the end, why there was nothing to say."""
        others = f"{len(self._heard)} visitor(s) of the roster were"
        if self._visitor not in self._heard:
            self._say(f"{self._visitor} was never heard in this trace; {others}.")
        elif self._best is not None and not self._decisions:
            sure, at, accounts = self._best
            heard_s = self._last_at - self._first_at
            head = (
                f"{self._time(self._first_at)}  heard first, for {_span(heard_s)} in all; no visit"
            )
            why = (
                f"at most {sure:.2f} sure, where {self._asked:g} is asked for ([presence]"
                f" enter_confidence); that was at {self._time(at)}:"
            )
            self._say(_INDENT.join([head, why, *_ledger(accounts, newcomer=True)]))

    def _time(self, at: float) -> str:
        clock = datetime.fromtimestamp(self._unix(at), UTC)
        return f"{clock:%H:%M:%S}.{clock.microsecond // 100_000} +{at:.1f} s"


def _decision(event: PresenceEvent) -> str:
    """What was decided, how surely, and to when it was dated."""
    visit = event.visit
    back = visit.decided_at - event.at
    dated = f", dated {back:.1f} s back" if back >= 0.1 else ""  # noqa: PLR2004 - as it is printed
    match event:
        case Enter():
            again = ", the visit goes on" if event.resumed else ""
            return f"enter {visit.zone}: {visit.confidence:.2f} sure{again}{dated}"
        case Dwell():
            stay = f"at least {_span(event.dwell_s)} in the store"
            return f"dwell {_span(event.milestone_s)}: {visit.confidence:.2f} sure, {stay}"
        case Move():
            return f"move {event.from_zone} → {visit.zone}: {visit.confidence:.2f} sure{dated}"
        case Exit():
            stay = f"after {_span(event.dwell_s)}"
            sure = f"{visit.confidence:.2f} sure that she left"
            return f"exit, {event.reason.value}: {sure}{dated}, {stay}"


def _grounds(event: PresenceEvent, accounts: Accounts) -> Iterator[str]:
    """Give the evidence, a line each."""
    match event:
        case Exit(reason=ExitReason.SILENCE) if "unmoved_s" in accounts:
            still = accounts["unmoved_s"] / 3600.0
            yield f"unmoved for {still:.1f} h, though heard: a fixture, such as a forgotten tag"
        case Exit(reason=ExitReason.SILENCE):
            yield _last_heard(accounts)
            yield from _silence(event, accounts)
        case Exit(reason=ExitReason.LEFT_BY_DOOR):
            yield "she was heard to go out"
            yield from _ledger(accounts)
        case Exit():
            yield _BY_RULE[event.reason]
            yield f"unheard for {_span(accounts['unheard_s'])}"
        case Move():
            yield f"louder there, and for long enough: {_zones(accounts)}"
        case _:
            yield from _ledger(accounts, newcomer=isinstance(event, Enter))


def _ledger(accounts: Accounts, *, newcomer: bool = False) -> Iterator[str]:
    """Give the accounts that add up to how sure it is."""
    time = f" ({_odds(accounts['time'])})" if accounts["time"] else ""  # of a newcomer alone
    parts = [f"heard for {_span(accounts['heard_s'])}{time}"]
    if "side" in accounts:
        parts.append(f"{_sides(accounts)} ({_odds(accounts['side'])})")
    elif "dbm" in accounts:
        parts.append(f"{_loudness(accounts, newcomer=newcomer)} ({_odds(accounts['level'])})")
    else:
        parts.append("no level")
    parts.append(f"Wi-Fi and portal ({_odds(accounts['wifi'])})")
    parts.append(f"what was known before ({_odds(accounts['memory'])})")
    yield ", ".join(parts[:2])
    yield ", ".join(parts[2:])


def _loudness(accounts: Accounts, *, newcomer: bool) -> str:
    """Say how loud she is; of a newcomer it is the loudest so far that counts."""
    level = accounts["level"]
    alike = "between visitors and passers-by"
    if level > CLEAR:
        alike = "as loud as visitors are here"
    elif level < -CLEAR:
        alike = "as faint as passers-by are here"
    if newcomer and "peak_dbm" in accounts:
        return f"{_dbm(accounts['peak_dbm'])} at her loudest, {alike}"
    return f"{_dbm(accounts['dbm'])}, {alike}"


def _sides(accounts: Accounts) -> str:
    """Compare the two sides of the door."""
    inside = max(
        (dbm for name, dbm in accounts.items() if name.startswith("dbm in ")), default=None
    )
    outside = accounts.get("dbm outside")
    if inside is None:
        return "heard outside alone" if outside is None else f"{_dbm(outside)} outside alone"
    if outside is None:
        return f"{_dbm(inside)} inside, unheard outside"
    return f"{_dbm(inside)} inside against {_dbm(outside)} outside"


def _zones(accounts: Accounts) -> str:
    """List the zones, the loudest first."""
    zones = {n.removeprefix("dbm in "): d for n, d in accounts.items() if n.startswith("dbm in ")}
    ranked = sorted(zones.items(), key=lambda zone: (-zone[1], zone[0]))
    return ", ".join(f"{zone} {_dbm(dbm)}" for zone, dbm in ranked) or "no zone hears her"


def _last_heard(accounts: Accounts) -> str:
    """Say how she was heard last."""
    parts = [f"unheard for {_span(accounts['unheard_s'])}"]
    if "dbm" in accounts:
        lower = accounts["own_dbm"] - accounts["dbm"]
        side = "below" if lower >= 0.0 else "above"
        usual = _dbm(accounts["own_dbm"])
        parts.append(
            f"last at {_dbm(accounts['dbm'])}, {abs(lower):.0f} dB {side} her usual {usual}"
        )
    trend = accounts.get("trend_db")
    if trend is not None:
        way = "falling" if trend < 0.0 else "rising"
        steady = abs(trend) < STEADY_DB
        parts.append("steady" if steady else f"{way} {abs(trend):.0f} dB in 10 s")
    inside = accounts["inside"]
    likelier = "inside" if inside >= 0.5 else "outside"  # noqa: PLR2004 - even
    parts.append(f"then likelier {likelier} ({inside:.2f} inside)")
    return ", ".join(parts)


def _silence(event: Exit, accounts: Accounts) -> Iterator[str]:
    """Say what explains the silence best."""
    sure = min(event.visit.confidence, 1.0 - 1e-6)
    if "away_per_h" not in accounts:
        yield "no level was heard, so only the longest silence allowed could end the visit"
        return
    shown = f"{accounts['naps']:.0f} nap(s) in {_span(accounts['awake_s'])}"
    if sure < SURE:
        yield (
            f"not sure, but the longest silence allowed is over ([presence] exit_after_at_most):"
            f" her phone has shown {shown}"
        )
        return
    yield (
        f"leaving explains the silence {sure / (1.0 - sure):.0f} times better than a nap"
        f" (this phone: {shown}) or a dark spot"
    )
    yield (
        f"such silences begin, per hour: by leaving {accounts['away_per_h']:.1f}, by naps"
        f" {accounts['nap_per_h']:.1f}, in dark spots {accounts['dark_per_h']:.1f}"
    )


def what_was_learnt(store: Store) -> str:
    """Say what the store has taught so far."""
    survey, receivers = store.survey, store.receivers
    lines = ["By then the store had taught:"]
    for what, spread, unit in (
        ("visitors at their loudest", survey.visitor_peak, "visits"),
        ("passers-by at their loudest", survey.passer_peak, "passers-by"),
        ("levels inside", survey.inside, "samples"),
        ("levels at the edge of earshot", survey.edge, "samples"),
    ):
        levels = f"{_dbm(spread.mean)} ± {spread.sd:.0f} dB"
        lines.append(f"{what}: {levels} ({spread.learnt - PRIOR:.0f} {unit})")
    if store.sided:
        for near, word in enumerate(("faint", "middling", "near")):
            there, out = survey.side_in[near], survey.side_out[near]
            lines.append(
                f"{word} levels: the inside {_db(there.mean)} ± {there.sd:.0f} dB against the"
                f" pavement for who is in, {_db(out.mean)} ± {out.sd:.0f} dB for who is out"
            )
    lines.append(f"weakest level heard: {_dbm(receivers.weakest_dbm)}")
    gains = ", ".join(f"{name} {_db(gain)} dB" for name, gain in sorted(receivers.gains.items()))
    lines.append(f"gains against the other receivers: {gains or 'none yet'}")
    return _INDENT.join(lines)


def _odds(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # + 0.0: no minus zero


def _db(value: float) -> str:
    return f"{round(value) + 0:+d}"


def _dbm(value: float) -> str:
    return f"{value:.0f} dBm"


def _span(seconds: float) -> str:
    """Print a length of time as people say it."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes} min" if minutes < 120 else f"{seconds / 3600.0:.1f} h"  # noqa: PLR2004
