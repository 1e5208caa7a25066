"""Whether the gateways hang where they hear best, judged by what the running agent has learnt.

Nobody is asked for a metre: `track/survey` has learnt how loud visitors and passers-by are, and how
the receivers compare. Each function looks for one thing that only a screwdriver mends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edge_agent.config import Config
from edge_agent.findings import Finding, State
from edge_agent.track.lessons import Lessons
from edge_agent.track.receivers import Receivers
from edge_agent.track.survey import PRIOR, Spread, Survey

__all__ = ["PlacementReport", "judge_placement"]

ENOUGH_VISITS: Final = 20  # a mean over 7 dB of spread is then known to 1.5 dB
ENOUGH_SAMPLES: Final = 15.0
ENOUGH_LEVELS: Final = 1000  # of a receiver: ten above the loudest hundredth
# One phone is 4 dB (sd) louder than another, by model and by where it is carried: sides that are
# closer than that cannot be told apart, whatever the rule.
PHONES_DB: Final = 4.0
# Turning round costs 7 to 14 dB: who is heard with less to spare falls silent by turning.
BODY_DB: Final = 10.0
# 6 dB less is half the distance. Adapters of one kind differ by 2 to 3 dB.
GAIN_DB: Final = 6.0
_LOUDNESS: Final = ("faint", "middling", "near")


class PlacementReport:
    """What was learnt of a store, beside what was configured."""

    def __init__(self, config: Config, lessons: Lessons) -> None:
        """Take both."""
        self.gateway = config.gateway
        self.gateways = {name: zone for zone in config.zones for name in zone.gateways}
        self.sided = any(zone.outside for zone in config.zones)
        self.survey, self.receivers = Survey(), Receivers()
        self.survey.load(lessons.survey)
        self.receivers.load(lessons.receivers)
        self.radios = lessons.receivers.inside

    @property
    def visits(self) -> int:
        """How many visits were learnt from."""
        return _count(self.survey.visitor_peak)

    @property
    def inside(self) -> str:
        """The gateways inside, for people."""
        return ", ".join(name for name, zone in self.gateways.items() if not zone.outside)


def judge_placement(config: Config, lessons: Lessons) -> Iterator[Finding]:
    """Give what is wrong with the placement; one finding that all is well where nothing is."""
    report = PlacementReport(config, lessons)
    if report.visits < ENOUGH_VISITS:
        yield _finding(
            report.inside,
            State.WAIT,
            f"{report.visits} visit(s) learnt so far",
            f"ask again after {ENOUGH_VISITS - report.visits} more",
        )
        return
    found = [
        *unheard(report),
        *faint(report),
        *(sides(report) if report.sided else pavement(report)),
        *gains(report),
    ]
    if not found:
        yield _finding(report.inside, State.OK, f"well placed, by {report.visits} visits")
    yield from found


def unheard(report: PlacementReport) -> Iterator[Finding]:
    """A gateway that never heard anybody, while others did."""
    silent = report.gateways.keys() - report.receivers.ever_heard
    for name in sorted(silent):
        own = name == report.gateway
        yield _finding(
            name,
            State.ACT,
            f"has heard nobody in {report.visits} visits that others heard",
            "look at its adapter and antenna (edge-agent status)"
            if own
            else "see that it runs and reports here; if it works alone, name it in no zone here",
        )


def faint(report: PlacementReport) -> Iterator[Finding]:
    """Most of the store lies at the edge of earshot."""
    inside, weakest = report.survey.inside, report.receivers.weakest_dbm
    spare = inside.mean - weakest
    if spare < BODY_DB:
        yield _finding(
            report.inside,
            State.ACT,
            f"visitors are heard at {inside.mean:.0f} dBm, only {spare:.0f} dB above the weakest"
            f" level there is ({weakest:.0f} dBm): turning round silences them",
            "hang it nearer to the middle and clear of metal, or add a gateway",
        )


def pavement(report: PlacementReport) -> Iterator[Finding]:
    """The pavement is as loud as the floor, with no gateway outside to tell them apart."""
    survey = report.survey
    for what, near, far, enough in (
        (
            "visitors, when they come in, are",
            survey.visitor_peak,
            survey.passer_peak,
            ENOUGH_VISITS,
        ),
        ("the floor is", survey.inside, survey.edge, ENOUGH_SAMPLES),
    ):
        louder = near.mean - far.mean
        if louder < PHONES_DB and _count(far) >= enough:
            yield _finding(
                report.inside,
                State.ACT,
                f"{what} {louder:.0f} dB louder than the pavement, and phones differ by"
                f" {PHONES_DB:.0f} dB: visits are noticed late, or passers-by taken for them",
                "hang it nearer to where visitors come in but off the window, or add one with an"
                " outside zone",
            )
            return


def sides(report: PlacementReport) -> Iterator[Finding]:
    """The pavement is covered, but who is in sounds like who is out."""
    for near, word in enumerate(_LOUDNESS):
        there, out = report.survey.side_in[near], report.survey.side_out[near]
        apart = there.mean - out.mean
        known = min(_count(there), _count(out)) >= ENOUGH_SAMPLES
        if known and apart < max(there.sd, out.sd):
            outside = [name for name, zone in report.gateways.items() if zone.outside]
            yield _finding(
                ", ".join(outside),
                State.ACT,
                f"{word} levels inside and outside differ by {apart:.0f} dB between who is in and"
                f" who is out, with a spread of {max(there.sd, out.sd):.0f} dB",
                "move the gateways of the two sides apart: the outside one behind a wall or metal"
                " from the floor, the inside one away from the window",
            )


def gains(report: PlacementReport) -> Iterator[Finding]:
    """A receiver that hears everybody weaker, or louder, than the others do."""
    known = {n: r.loud_dbm for n, r in report.radios.items() if r.levels >= ENOUGH_LEVELS}
    for name, loud in sorted(known.items()):
        others = sorted(dbm for other, dbm in known.items() if other != name)
        if not others:
            return
        usual = (others[(len(others) - 1) // 2] + others[len(others) // 2]) / 2.0
        off = loud - usual
        if off < -GAIN_DB:
            yield _finding(
                name,
                State.ACT,
                f"hears those beside it {-off:.0f} dB weaker than the other gateways do",
                "look at its antenna; keep it off metal shelves and USB 3 ports (a cable helps)",
            )
        elif off > GAIN_DB and len(others) > 1:  # of two, the weaker one is the odd one
            yield _finding(
                name,
                State.ACT,
                f"hears those beside it {off:.0f} dB louder than the other gateways do",
                "if it hangs where people queue, all is well; else give all the same antenna",
            )


def _count(spread: Spread) -> int:
    """Count the samples beyond the prior."""
    return round(spread.learnt - PRIOR)


def _finding(about: str, state: State, says: str, advice: str = "") -> Finding:
    return Finding("placement", state, about, says, advice)
