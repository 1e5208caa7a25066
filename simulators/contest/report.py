"""The contest's result as a page of Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simulators.contest.contest import EVERY_STORE, OURS, TIMEOUT, Entry, Setting, Standing
from simulators.contest.goals import MISSES_MANY, Line, Measure, beaten_by, lines
from simulators.contest.peers import GATED, PEERS

__all__ = ["Report"]

HOW: Final = (
    "Made by `make bench-presence`. The peers' rules are written afresh from published"
    " descriptions (`simulators/contest/peers`), each at its published timeout and swept; whatever"
    " a phone sent counts as heard, with or without an RSSI, and an exit is dated to the last"
    " sighting that counted. Nothing is resumed."
)

# What the JSON keeps of a score: what the page and the plots show, and what they are made of.
KEPT: Final = (
    "true_visits",
    "missed_visits",
    "false_exits",
    "false_exits_per_visit",
    "false_exits_per_hour",
    "passers_by",
    "passer_by_fraction",
    "enter_latency",
    "exit_latency",
    "dwell_error",
    "crossings",
    "zone_time",
    "spurious_moves_per_hour",
)


@dataclass(frozen=True, slots=True)
class Report:
    """A standing to be read; `conditions` say in a line what was played."""

    standing: Standing
    conditions: str

    def goals(self) -> list[Line]:
        """Give the verdicts."""
        return list(lines(self.standing))

    def challengers(self) -> str:
        """Say in a line which peers' settings beat ours at both ends of the trade-off."""
        tried = [s for s in self.standing.entries[EVERY_STORE] if s.knob == TIMEOUT]
        found = beaten_by(self.standing)
        blind = [e for _, e in found if e.score.missed_visits > MISSES_MANY * e.score.true_visits]
        named = [f"{s.rule} at {s.value:g} s" for s, e in found if e not in blind]
        beside = f" ({len(blind)} do that miss over {MISSES_MANY:.0%} of the visits)"
        return (
            f"Peers' settings with no more false exits a visit at no slower a median exit: of"
            f" {len(tried)}, {', '.join(named) or 'none'}{beside if blind else ''}."
        )

    def markdown(self) -> str:
        """Lay it all out as a page."""
        parts = [
            "# Presence: our tracker and its peers' rules over the same sightings",
            f"{self.conditions} {HOW}",
            "## Goals",
            "\n".join(f"- {line}" for line in self.goals()),
        ]
        if EVERY_STORE in self.standing.entries:
            parts += [self.challengers(), *self._stores()]
        parts += ["## Recordings", _table(*self._recordings())]
        parts += ["## Ablation", self._ablation()]
        parts += ["## What no rule could know", _table(*self._physics())]
        return "\n\n".join(parts) + "\n"

    def _stores(self) -> Iterator[str]:
        yield "## Store days"
        yield "![False exits a visit against median exit latency](false-exits.svg)"
        yield "![Passers-by entered against visits missed](passers-by.svg)"
        rules = [OURS, *(rule.name for rule in (*PEERS, *GATED))]
        yield _table(
            STORE_COLUMNS,
            [
                _store_row(setting.rule, setting, entry)
                for setting, entry in (self.standing.default(EVERY_STORE, rule) for rule in rules)
            ],
        )
        yield "Ours, by store:"
        groups = [group for group in self.standing.entries if group.startswith(EVERY_STORE + " ")]
        settings = [(group, self.standing.default(group, OURS)) for group in groups]
        yield _table(("store", *STORE_COLUMNS[1:]), [_store_row(g, s, e) for g, (s, e) in settings])
        yield "False exits a visit / median exit latency in s, for each timeout:"
        yield _table(*self._swept())

    def _swept(self) -> tuple[Sequence[str], Iterable[Sequence[str]]]:
        entries = self.standing.entries[EVERY_STORE]
        timeouts = sorted({s.value for s in entries if s.rule == "timeout"})
        rows = []
        for rule in PEERS:
            row = [rule.name]
            for timeout in timeouts:
                entry = entries[Setting(rule.name, TIMEOUT, timeout, timeout == rule.published_s)]
                score = entry.score
                rate = _number(score.false_exits_per_visit, 2)
                row.append(f"{rate} / {_median(score.exit_latency, 0)}")
            rows.append(row)
        return ("rule", *(f"{timeout:g} s" for timeout in timeouts)), rows

    def _recordings(self) -> tuple[Sequence[str], Iterable[Sequence[str]]]:
        columns = (
            "rule",
            "door: F1 of crossings",
            "at its best timeout",
            "rooms: F1 of zone time",
            "spurious moves per tag and hour",
            "static: false exits per hour",
            "thinned to 1 per 5 s",
        )
        return columns, [self._recorded(rule) for rule in (OURS, *(r.name for r in PEERS))]

    def _recorded(self, rule: str) -> Sequence[str]:
        def figure(group: str, measure: Measure, digits: int) -> str:
            if group not in self.standing.entries:
                return "-"
            return _number(measure(self.standing.default(group, rule)[1].score), digits)

        swept = self.standing.entries.get("door", {}).items()
        best = [e.score.crossings.f1 or 0.0 for s, e in swept if s.rule == rule]
        return (
            f"**{rule}**" if rule == OURS else rule,
            figure("door", lambda score: score.crossings.f1, 2),
            _number(max(best, default=None), 2),
            figure("rooms", lambda score: score.zone_time.f1, 3),
            figure("rooms", lambda score: score.spurious_moves_per_hour, 2),
            figure("static", lambda score: score.false_exits_per_hour, 3),
            figure("static, 1 per 5 s", lambda score: score.false_exits_per_hour, 3),
        )

    def _ablation(self) -> str:
        rows = [
            _store_row(setting.rule, setting, entry)
            for setting, entry in sorted(self.standing.entries.get(EVERY_STORE, {}).items())
            if setting.default and setting.rule.startswith(OURS)
        ]
        return _table(STORE_COLUMNS, rows) if rows else "No store day was played."

    def _physics(self) -> tuple[Sequence[str], Iterable[Sequence[str]]]:
        columns = (
            "cases",
            "visits",
            "heard by nothing inside",
            "silences longer than an exit may wait",
            "of these per visit",
        )
        return columns, [
            (
                f"{group} ({len(self.standing.cases[group])})",
                str(physics.visits),
                str(physics.unreceivable),
                str(physics.silent),
                _number(physics.silent / physics.visits if physics.visits else None, 3),
            )
            for group, physics in self.standing.physics.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """Give every figure; of single stores and of recordings the peers' defaults only."""
        return {
            "conditions": self.conditions,
            "goals": [
                {
                    "group": line.goal.group,
                    "what": line.goal.what,
                    "limit": line.goal.limit,
                    "value": _rounded(line.value),
                    "verdict": line.verdict,
                }
                for line in self.goals()
            ],
            "cases": self.standing.cases,
            "physics": {
                group: {"visits": p.visits, "unreceivable": p.unreceivable, "silent": p.silent}
                for group, p in self.standing.physics.items()
            },
            "entries": [
                _entry(group, setting, entry)
                for group, entries in self.standing.entries.items()
                for setting, entry in sorted(entries.items())
                if group in (EVERY_STORE, "door", "rooms") or setting.default
            ],
        }


STORE_COLUMNS: Final = (
    "rule",
    "timeout",
    "false exits per visit",
    "median exit latency",
    "passers-by entered",
    "visits missed",
    "p95 enter latency",
    "median dwell error",
)


def _store_row(name: str, setting: Setting, entry: Entry) -> Sequence[str]:
    score = entry.score
    enter = score.enter_latency
    return (
        f"**{name}**" if name == OURS else name,
        f"{setting.value:g} s",
        _number(score.false_exits_per_visit, 3),
        f"{_median(score.exit_latency)} s",
        "-" if score.passer_by_fraction is None else f"{100 * score.passer_by_fraction:.1f} %",
        f"{_share(score.missed_visits, entry)}, {entry.unreceivable} unheard",
        "-" if enter is None else f"{enter.p95:.1f} s",
        f"{_median(score.dwell_error)} s",
    )


def _share(missed: int, entry: Entry) -> str:
    visits = entry.score.true_visits
    return f"{100 * missed / visits:.1f} %" if visits else "-"


def _median(spread: Any, digits: int = 1) -> str:
    return "-" if spread is None else f"{spread.median:.{digits}f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lined = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lined)


def _entry(group: str, setting: Setting, entry: Entry) -> dict[str, Any]:
    score = entry.score.to_json()
    return {
        "group": group,
        "rule": setting.rule,
        setting.knob: setting.value,
        "default": setting.default,
        "unreceivable": entry.unreceivable,
        **{key: _rounded(score[key]) for key in KEPT},
    }


def _rounded(value: Any) -> Any:
    """Drop the digits that no measurement has."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value
