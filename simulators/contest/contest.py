"""Cases against rules against timeouts: who plays what, and the tables of tallies that come of it.

    Source --load--> Case --ours, peers--> Entry --sum by group--> Standing

A case is loaded and played in one process from end to end; what comes back are tallies, which add
up over the cases of a group.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edge_agent.track.tracker import TrackerSettings
from simulators.contest.cases import Case, Kind, from_day, from_folder, thinned
from simulators.contest.ours import ABLATIONS, contest_settings, make_rule, track
from simulators.contest.peers import GATED, PEERS, PeerRule
from simulators.contest.peers.heard import claims_of, hear
from simulators.contest.physics import Physics, missed, unreceivable
from simulators.score import Claims, Score, Tally
from simulators.score.tally import TOLERANCE
from simulators.store import PLANS, simulate

__all__ = [
    "CONFIDENCE",
    "EVERY_STORE",
    "LONGEST",
    "OURS",
    "TIMEOUT",
    "Entry",
    "Played",
    "Setting",
    "Source",
    "Standing",
    "Sweep",
    "play",
    "play_all",
]

OURS: Final = "edge-agent"
EVERY_STORE: Final = "store"
TIMEOUT: Final = "timeout_s"
LONGEST: Final = "exit_after_at_most_s"
CONFIDENCE: Final = "enter_confidence"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a case comes from: a folder, or a plan and a seed. It crosses to the process."""

    folder: Path | None = None
    name: str = ""
    plan: str = ""
    seed: int = 0
    hours: float = 8.0
    thin_s: float | None = None

    def load(self) -> Case:
        """Read or simulate it."""
        if self.folder is not None:
            case = from_folder(self.folder, self.name)
        else:
            share = self.hours / 8.0
            day = simulate(
                PLANS[self.plan],
                self.seed,
                hours=self.hours,
                visits=round(120 * share),
                passers_by=round(150 * share),
                strangers=round(200 * share),
            )
            case = from_day(day, f"{self.plan} {self.seed}")
        return case if self.thin_s is None else thinned(case, self.thin_s)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Which settings are tried; seconds, and confidences of 0.5 to 0.999."""

    timeouts: tuple[float, ...] = (5.0, 10.0, 15.0, 30.0, 60.0, 90.0, 120.0, 180.0, 300.0)
    longest: tuple[float, ...] = (30.0, 60.0, 120.0, 240.0, 360.0, 600.0)
    confidences: tuple[float, ...] = (0.5, 0.7, 0.95, 0.99)


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """A rule with one knob turned; `default` is how it is published, or how we ship."""

    rule: str
    knob: str
    value: float
    default: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What a setting came to; `unreceivable` of its missed visits were so to everybody."""

    tally: Tally
    unreceivable: int

    def __add__(self, other: Entry) -> Entry:
        return Entry(self.tally + other.tally, self.unreceivable + other.unreceivable)

    @property
    def score(self) -> Score:
        """Sum up."""
        return self.tally.score(TOLERANCE)


@dataclass(frozen=True, slots=True)
class Played:
    """All that one case came to."""

    case: str
    group: str
    physics: Physics
    entries: Mapping[Setting, Entry]


class Standing:
    """The sums so far, by group; "store" holds every store day."""

    def __init__(self) -> None:
        """Begin with nothing played."""
        self.entries: dict[str, dict[Setting, Entry]] = {}
        self.physics: dict[str, Physics] = {}
        self.cases: dict[str, list[str]] = {}

    def add(self, played: Played) -> None:
        """Add a case to its group."""
        self._add(played.group, played)
        if played.group.startswith(f"{EVERY_STORE} "):
            self._add(EVERY_STORE, played)

    def _add(self, group: str, played: Played) -> None:
        sums = self.entries.setdefault(group, {})
        for setting, entry in played.entries.items():
            sums[setting] = sums[setting] + entry if setting in sums else entry
        known = self.physics.get(group)
        self.physics[group] = played.physics if known is None else known + played.physics
        self.cases.setdefault(group, []).append(played.case)

    def default(self, group: str, rule: str) -> tuple[Setting, Entry]:
        """Give a rule as it is published; raises `StopIteration` if it did not play."""
        return next(
            (setting, entry)
            for setting, entry in self.entries[group].items()
            if setting.rule == rule and setting.default
        )

    def sweep(self, group: str, rule: str, knob: str) -> list[tuple[Setting, Entry]]:
        """Give a rule's settings along one knob, in order; the default is one of each knob's."""
        return sorted(
            (setting, entry)
            for setting, entry in self.entries[group].items()
            if setting.rule == rule and setting.knob == knob
        )


def play_all(
    sources: Sequence[Source], sweep: Sweep, jobs: int, told: Callable[[Played], None]
) -> Standing:
    """Play every case in `jobs` processes (1: in this one), telling of each as it is done."""
    played: dict[int, Played] = {}
    for number, one in _played(sources, sweep, jobs):
        told(one)
        played[number] = one
    standing = Standing()
    for number in sorted(played):  # whoever was done first, the sums are the same
        standing.add(played[number])
    return standing


def _played(sources: Sequence[Source], sweep: Sweep, jobs: int) -> Iterator[tuple[int, Played]]:
    if jobs == 1:
        yield from ((number, play(source.load(), sweep)) for number, source in enumerate(sources))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting = {pool.submit(_load_and_play, s, sweep): n for n, s in enumerate(sources)}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _load_and_play(source: Source, sweep: Sweep) -> Played:
    return play(source.load(), sweep)


def play(case: Case, sweep: Sweep) -> Played:
    """Run every rule over a case, with every setting of the sweep."""
    silent = unreceivable(case)
    entries = {
        setting: Entry(
            Tally.of(claims, case.truth, case.tolerance), len(missed(case, claims) & silent)
        )
        for setting, claims in (*_ours(case, sweep), *_theirs(case, sweep))
    }
    return Played(case.name, case.group, Physics.of(case), entries)


def _ours(case: Case, sweep: Sweep) -> Iterator[tuple[Setting, Mapping[str, Claims]]]:
    settings = contest_settings(case)
    longest = settings.exit_after_at_most
    yield _ours_with(case, LONGEST, longest, settings, default=True)
    if case.kind is not Kind.STORE:  # a recording prescribes how long a silence may be
        return
    for value in sweep.longest:
        if value != longest:
            yield _ours_with(case, LONGEST, value, contest_settings(case, value))
    for value in sweep.confidences:
        turned = replace(settings, enter_confidence=value)
        yield _ours_with(case, CONFIDENCE, value, turned)
    for name, factory in ABLATIONS.items():
        claims = track(case, factory, settings)
        yield Setting(f"{OURS} without {name}", LONGEST, longest, default=True), claims


def _ours_with(
    case: Case, knob: str, value: float, settings: TrackerSettings, *, default: bool = False
) -> tuple[Setting, Mapping[str, Claims]]:
    return Setting(OURS, knob, value, default), track(case, make_rule, settings)


def _theirs(case: Case, sweep: Sweep) -> Iterable[tuple[Setting, Mapping[str, Claims]]]:
    site, heard = hear(case)
    rules: list[tuple[PeerRule, tuple[float, ...]]] = [(rule, sweep.timeouts) for rule in PEERS]
    if case.kind is Kind.STORE:
        rules += [(rule, ()) for rule in GATED]
    for rule, timeouts in rules:
        signals = {visitor: rule.listen(one, site) for visitor, one in heard.items()}
        for timeout in sorted({*timeouts, rule.published_s}):
            setting = Setting(rule.name, TIMEOUT, timeout, timeout == rule.published_s)
            yield setting, claims_of(rule, signals, site, timeout, case.truth.duration)
