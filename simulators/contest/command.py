"""`python -m simulators contest`: play all, print the verdicts, write page, JSON and plots."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from edge_agent.config import ConfigError
from edge_agent.trace import TraceError
from simulators.contest.cases import BadCaseError
from simulators.contest.contest import EVERY_STORE, Played, Source, Sweep, play_all
from simulators.contest.figures import draw
from simulators.contest.report import Report
from simulators.store import PLANS

__all__ = ["contest_command"]

SAMPLES: Final = Path(__file__).parents[2] / "tests" / "data"
FIRST_SEED: Final = 1001  # tuning uses 1 to 20
SEEDS: Final = 3
SHORT_HOURS: Final = 1.0
SHORT: Final = Sweep(timeouts=(15.0, 60.0, 180.0), longest=(120.0,), confidences=(0.6,))
THIN_S: Final = 5.0


def contest_command(
    *,
    out: Annotated[Path, typer.Option(help="Folder for presence.md, .json and the plots.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(help="More recordings: a folder that `convert` made, or one that holds such."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Days of each store.", min=0)] = SEEDS,
    jobs: Annotated[int, typer.Option(help="Processes; 1 is this one.", min=1)] = 2,
    short: Annotated[
        bool, typer.Option("--short", help="A minute, one short day a store.")
    ] = False,
) -> None:
    """Hold our tracker and every peer's rule against the same sightings. Exit 2: bad input."""
    began = time.monotonic()
    done = 0
    sources: list[Source] = []

    def told(played: Played) -> None:
        nonlocal done
        done += 1
        spent = time.monotonic() - began
        typer.echo(f"{done} of {len(sources)}, {spent:.0f} s: {played.case}", err=True)

    try:
        sources += _stores(1 if short else seeds, SHORT_HOURS if short else 8.0)
        sources += _recorded(data or [])
        standing = play_all(sources, SHORT if short else Sweep(), jobs, told)
    except (BadCaseError, ConfigError, OSError, TraceError, ValidationError) as fault:
        typer.echo(f"error: {fault}", err=True)
        raise typer.Exit(2) from fault
    report = Report(standing, _conditions(standing.cases, short=short))
    _write(report, out)
    for line in report.goals():
        typer.echo(str(line))
    if EVERY_STORE in standing.entries:
        typer.echo(report.challengers())


def _stores(seeds: int, hours: float) -> Iterator[Source]:
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for plan in PLANS:
            yield Source(plan=plan, seed=seed, hours=hours)


def _recorded(more: list[Path]) -> Iterator[Source]:
    """Find the folders, the same trace once; what stands still is played thinned too."""
    known: set[bytes] = set()
    for root in (SAMPLES, *more):
        if not root.is_dir():
            raise BadCaseError(f"{root} is no folder")
        for trace in sorted(root.rglob("trace.jsonl.gz")):
            digest = hashlib.sha256(trace.read_bytes()).digest()
            if digest in known:
                continue
            known.add(digest)
            folder = trace.parent
            source = Source(folder=folder, name=str(folder.relative_to(root.parent)))
            yield source
            if _store_of(folder) == "static":
                yield Source(folder=folder, name=source.name, thin_s=THIN_S)


def _store_of(folder: Path) -> str:
    """Read which data set a folder is of, without reading the trace."""
    for line in (folder / "config.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("store = "):
            return str(json.loads(line.removeprefix("store = ")))
    return ""


def _conditions(cases: dict[str, list[str]], *, short: bool) -> str:
    days = cases.get(EVERY_STORE, [])
    stores = sum(group.startswith(EVERY_STORE + " ") for group in cases)
    recorded = ", ".join(
        f"{len(names)} of {group}" for group, names in cases.items() if EVERY_STORE not in group
    )
    length = f" of {SHORT_HOURS:g} h" if short else ""
    return f"{len(days)} days{length} in {stores} stores; recordings: {recorded}."


def _write(report: Report, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "presence.md").write_text(report.markdown(), encoding="utf-8")
    told = report.to_json()
    entries = ",\n".join(json.dumps(entry) for entry in told.pop("entries"))
    head = json.dumps(told, indent=1).removesuffix("\n}")
    # One line for each entry: a later run then differs where its figures do.
    (out / "presence.json").write_text(
        f'{head},\n "entries": [\n{entries}\n]}}\n', encoding="utf-8"
    )
    if EVERY_STORE in report.standing.entries:
        draw(report.standing, out)
