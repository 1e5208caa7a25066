"""The plots of the contest, as PNG and SVG. matplotlib is imported here and nowhere else.

Colours are of Okabe and Ito's palette, which the colour-blind can tell apart; what a curve is
stands beside it, so that no legend has to be matched.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text

from edge_agent.track.tracker import TrackerSettings
from simulators.contest.contest import (
    CONFIDENCE,
    EVERY_STORE,
    LONGEST,
    OURS,
    TIMEOUT,
    Entry,
    Setting,
    Standing,
)
from simulators.contest.goals import MISSES_MANY
from simulators.contest.peers import GATED, PEERS

__all__ = ["draw"]

VERMILION, BLUE, GREEN = "#D55E00", "#0072B2", "#00805C"
PURPLE, SLATE, GREY = "#B4568A", "#4D4D4D", "#7F7F7F"
GOAL_FALSE_EXITS, GOAL_EXIT_S = 0.10, 60.0
GOAL_PASSERS, GOAL_MISSED = 3.0, 1.0  # percent
LEAST_SHOWN: Final = 0.008  # false exits a visit; none at all is drawn there
LEAST_PERCENT: Final = 0.5  # likewise
NEAR, CROWDED, EDGE = 9.0, 20.0, 12.0  # pixels; marks nearer than that share a label
ENTER_CONFIDENCE: Final = TrackerSettings().enter_confidence
STYLE: Final[Any] = {"font.size": 10, "svg.hashsalt": "presence", "svg.fonttype": "none"}
AROUND: Final = (  # in which direction from its mark a label may go, and how it is anchored there
    (1, 0, "left", "center"),
    (-1, 0, "right", "center"),
    (0.8, 0.8, "left", "bottom"),
    (0.8, -0.8, "left", "top"),
    (-0.8, 0.8, "right", "bottom"),
    (-0.8, -0.8, "right", "top"),
    (0, 1, "center", "bottom"),
    (0, -1, "center", "top"),
)
AWAY: Final = (7, 16, 28, 42, 58)  # points; beyond the first a line leads to the label
FAMILIES: Final = (  # what a rule goes by, in the order of the key
    ("a fixed silence", SLATE, ("altbeacon", "companion", "theengs", "ha-ibeacon", "esphome")),
    ("a fixed silence", SLATE, ("timeout",)),
    ("a learned silence", PURPLE, ("monitor", "habluetooth")),
    ("a level or a distance", GREEN, ("espresense-count", "espresense-far", "meraki-visit")),
    ("a level or a distance", GREEN, ("timeout-80", "ewma-level", *(r.name for r in GATED))),
)
STRONGEST: Final = ("the best receiver", BLUE)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A labelled point; `x` and `y` in the units of the axes."""

    x: float
    y: float
    name: str
    colour: str
    bold: bool = False
    hollow: bool = False  # a rule that misses many: few visits, few false exits


def draw(standing: Standing, out: Path) -> None:
    """Write `false-exits` and `passers-by`, each as PNG and SVG, into the folder `out`."""
    with mpl.rc_context(STYLE):
        for name, figure in (
            ("false-exits", _false_exits(standing)),
            ("passers-by", _passers_by(standing)),
        ):
            figure.savefig(out / f"{name}.png", dpi=150)
            # Without a date, equal results are equal files.
            figure.savefig(out / f"{name}.svg", metadata={"Date": None})


def _false_exits(standing: Standing) -> Figure:
    figure, axes = _canvas("False exits against how soon an exit is known, store days")
    axes.set(
        xlabel="median exit latency, s",
        ylabel=f"false exits per visit (log scale; {LEAST_SHOWN:g} and less at the edge)",
        yscale="log",
        xlim=(0.0, 385.0),
        ylim=(LEAST_SHOWN, 60.0),
    )
    axes.yaxis.set_major_formatter("{x:g}")
    _goal(axes, GOAL_EXIT_S, GOAL_FALSE_EXITS)
    marks: list[_Mark] = []
    for rule in PEERS:
        swept = standing.sweep(EVERY_STORE, rule.name, TIMEOUT)
        _, colour = _family(rule.name)
        axes.plot(*_columns(_trade(swept)), color=colour, lw=0.8, alpha=0.45, zorder=2)
        published = [one for one in swept if one[0].default]
        marks += _marks(_trade(published), published)
    ours = standing.sweep(EVERY_STORE, OURS, LONGEST)
    (curve,) = axes.plot(
        *_columns(_trade(ours)), color=VERMILION, lw=2.6, marker="o", ms=4, zorder=5
    )
    default = [one for one in ours if one[0].default]
    marks[:0] = _marks(_trade(default), default, bold=True)
    physics = standing.physics[EVERY_STORE]
    least = physics.silent / physics.visits
    if least > LEAST_SHOWN:
        axes.axhline(least, color=GREY, ls=":", lw=1.2, zorder=1)
        axes.annotate(
            "silent for longer than an exit may wait",
            (383, least),
            ha="right",
            va="bottom",
            color=GREY,
            fontsize=8,
            xytext=(0, 2),
            textcoords="offset points",
        )
    _scatter(axes, marks)
    legend = _key(axes, f"{OURS}, exit after at most {_range(ours)} s")
    _label(figure, axes, legend, marks, curve, NEAR)
    return figure


def _passers_by(standing: Standing) -> Figure:
    figure, axes = _canvas("Passers-by taken for visitors against visitors missed, store days")
    axes.set(
        xlabel=f"visits missed, % (log scale; none is drawn at {LEAST_PERCENT:g} %)",
        ylabel="passers-by entered, % (log scale)",
        xscale="log",
        yscale="log",
        xlim=(0.2, 100.0),
        ylim=(0.4, 150.0),
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    _goal(axes, GOAL_MISSED, GOAL_PASSERS)
    marks: list[_Mark] = []
    rules = [standing.default(EVERY_STORE, rule.name) for rule in (*PEERS, *GATED)]
    marks += _marks(_intrusion(rules), rules)
    gates = [rule.name for rule in GATED]
    gated = ["timeout", *gates[:2], "timeout-80", *gates[2:]]  # from no gate to the highest
    swept = _intrusion([standing.default(EVERY_STORE, name) for name in gated])
    axes.plot(*_columns(swept), color=GREEN, lw=1.0, alpha=0.6, zorder=2)
    shipped = standing.default(EVERY_STORE, OURS)
    sure = {
        setting.value: (setting, entry)
        for setting, entry in standing.sweep(EVERY_STORE, OURS, CONFIDENCE)
    }
    sure[ENTER_CONFIDENCE] = shipped
    ours = _intrusion([sure[value] for value in sorted(sure)])
    (curve,) = axes.plot(*_columns(ours), color=VERMILION, lw=2.6, marker="o", ms=4, zorder=5)
    marks[:0] = _marks(_intrusion([shipped]), [shipped], bold=True)
    physics = standing.physics[EVERY_STORE]
    unheard = 100.0 * physics.unreceivable / physics.visits
    if unheard > axes.get_xlim()[0]:
        axes.axvline(unheard, color=GREY, ls=":", lw=1.2, zorder=1)
        axes.annotate(
            "heard by nothing inside",
            (unheard, 0.4),
            color=GREY,
            fontsize=8,
            rotation=90,
            va="bottom",
            ha="right",
            xytext=(-2, 0),
            textcoords="offset points",
        )
    _scatter(axes, marks)
    legend = _key(axes, f"{OURS}, enter confidence {min(sure):g} to {max(sure):g}")
    _label(figure, axes, legend, marks, curve, CROWDED)
    return figure


def _canvas(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=12)
    axes.grid(color="0.92", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _goal(axes: Axes, x: float, y: float) -> None:
    """Shade the corner that is wanted."""
    left, bottom = axes.get_xlim()[0], axes.get_ylim()[0]
    axes.fill_between([left, x], bottom, y, color=GREEN, alpha=0.13, lw=0, zorder=0)
    axes.annotate(
        "goal",
        (left, y),
        xytext=(4, -3),
        textcoords="offset points",
        va="top",
        color=GREEN,
        fontsize=9,
        fontweight="bold",
    )


def _trade(entries: Sequence[tuple[Setting, Entry]]) -> list[tuple[float, float]]:
    """Give (median exit latency in s, false exits a visit); NaN, which is not drawn, for none."""
    found = []
    for _setting, entry in entries:
        score = entry.score
        latency = math.nan if score.exit_latency is None else score.exit_latency.median
        found.append((latency, max(score.false_exits_per_visit or 0.0, LEAST_SHOWN)))
    return found


def _intrusion(entries: Sequence[tuple[Setting, Entry]]) -> list[tuple[float, float]]:
    """Give (visits missed, passers-by entered) in percent; none at all is drawn at the edge."""
    found = []
    for _setting, entry in entries:
        score = entry.score
        missed = 100.0 * score.missed_visits / max(score.true_visits, 1)
        entered = 100.0 * (score.passer_by_fraction or 0.0)
        found.append((max(missed, LEAST_PERCENT), max(entered, LEAST_PERCENT)))
    return found


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _family(rule: str) -> tuple[str, str]:
    return next(((what, hue) for what, hue, names in FAMILIES if rule in names), STRONGEST)


def _range(entries: Sequence[tuple[Setting, Entry]]) -> str:
    values = [setting.value for setting, _ in entries]
    return f"{min(values):g} to {max(values):g}"


def _marks(
    points: Sequence[tuple[float, float]],
    entries: Sequence[tuple[Setting, Entry]],
    *,
    bold: bool = False,
) -> list[_Mark]:
    """Make a mark of each point, named after its rule."""
    found = []
    for (x, y), (setting, entry) in zip(points, entries, strict=True):
        if math.isnan(x):
            continue
        score = entry.score
        name, colour = setting.rule, _family(setting.rule)[1]
        if bold:
            name, colour = f"{OURS}, as shipped", VERMILION
        misses = score.missed_visits > MISSES_MANY * score.true_visits
        found.append(_Mark(x, y, name, colour, bold, misses and not bold))
    return found


def _scatter(axes: Axes, marks: Sequence[_Mark]) -> None:
    for mark in marks:
        size, shape = (190, "*") if mark.bold else (30, "o")
        axes.scatter(
            [mark.x],
            [mark.y],
            s=size,
            marker=shape,
            facecolors="white" if mark.hollow else mark.colour,
            edgecolors=mark.colour if mark.hollow else "white",
            linewidths=1.3 if mark.hollow else 0.8,
            zorder=7 if mark.bold else 4,
            clip_on=False,
        )


def _key(axes: Axes, ours: str) -> Legend:
    axes.plot([], [], color=VERMILION, lw=2.6, label=ours)
    for what, colour in dict.fromkeys([*((w, c) for w, c, _ in FAMILIES), STRONGEST]):
        axes.plot([], [], color=colour, lw=0.8, marker="o", ms=5, label=f"peers: {what}")
    hollow = f"hollow: misses more than {MISSES_MANY:.0%} of the visits"
    axes.plot([], [], color=GREY, lw=0, marker="o", mfc="white", ms=5, label=hollow)
    return axes.legend(loc="upper right", frameon=False, fontsize=9)


def _label(
    figure: Figure,
    axes: Axes,
    legend: Legend,
    marks: Sequence[_Mark],
    curve: Line2D,
    near: float,
) -> None:
    """Write each name beside its mark, where it covers no other, no mark and not our curve."""
    canvas: Any = FigureCanvasAgg(figure)  # its methods are untyped
    canvas.draw()  # else nothing knows yet how large it is
    renderer = canvas.get_renderer()
    room = axes.get_window_extent(renderer)
    taken = [legend.get_window_extent(renderer)]
    spots = [tuple(axes.transData.transform((mark.x, mark.y))) for mark in marks]
    corners = axes.transData.transform(curve.get_xydata())
    avoided = [*spots, *(tuple(p) for a, b in pairwise(corners) for p in np.linspace(a, b, 40))]
    # Large labels find a place only while there is some.
    crowds = sorted(_crowds(marks, spots, near), key=lambda one: (not one[0].bold, -len(one)))
    for crowd in crowds:
        text = None
        for away, (right, up, ha, va) in itertools.product(AWAY, AROUND):
            if text is not None:
                text.remove()
            text = _written(axes, crowd, (right * away, up * away), ha=ha, va=va)
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer)  # without the line that leads to it
            free = room.x0 <= box.x0 and box.x1 <= room.x1 + EDGE
            free = free and room.y0 <= box.y0 and box.y1 <= room.y1
            free = free and not any(box.overlaps(other) for other in taken)
            if free and not any(box.contains(*spot) for spot in avoided):
                break
        taken.append(box)


def _written(
    axes: Axes, crowd: Sequence[_Mark], offset: tuple[float, float], **anchor: Any
) -> Annotation:
    first = crowd[0]
    hues = {mark.colour for mark in crowd}
    colour = first.colour if len(hues) == 1 else SLATE
    return axes.annotate(
        textwrap.fill(", ".join(mark.name for mark in crowd), 28, break_on_hyphens=False),
        (first.x, first.y),
        xytext=offset,
        textcoords="offset points",
        color=colour,
        fontsize=10 if first.bold else 8,
        fontweight="bold" if first.bold else "normal",
        zorder=8,
        arrowprops=None
        if math.hypot(*offset) < AWAY[1]
        else {"arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.6, "shrinkB": 3},
        # Not a stroked outline, which would turn an SVG's text into paths.
        bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6},
        **anchor,
    )


def _crowds(
    marks: Sequence[_Mark], spots: Sequence[tuple[float, float]], near: float
) -> Iterator[Sequence[_Mark]]:
    """Group the marks that lie upon each other, one by the next: they share a label."""
    left = [one for one in zip(marks, spots, strict=True) if not one[0].bold]
    yield from ([mark] for mark in marks if mark.bold)
    while left:
        crowd = [left.pop(0)]
        for _mark, place in crowd:  # grows on the way
            around = [one for one in left if math.dist(one[1], place) < near]
            left = [one for one in left if one not in around]
            crowd += around
        yield [mark for mark, _ in crowd]
