"""`python -m simulators brokers`: the suite on every broker, and a table of what came of it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from simulators.brokers.iotcore import Iotcore
from simulators.brokers.nats import NatsCluster
from simulators.brokers.nodes import Nodes, NotInstalledError
from simulators.brokers.rabbitmq import RabbitCluster
from simulators.brokers.single import SingleMosquitto
from simulators.brokers.suite import Course, Result, run_suite

__all__ = ["LONG", "SHORT", "SITES", "Site", "brokers_command"]

SHORT: Final = Course(events=1_500, rounds=1, per_s=150)
LONG: Final = Course(events=20_000, rounds=4, per_s=250)


@dataclass(frozen=True, slots=True)
class Site:
    """A broker as the table has it."""

    name: str
    protocol: str
    nodes: Callable[[Path], Nodes]
    only_311: bool = False  # made to refuse MQTT 5; what refuses it by itself needs no making


SITES: Final = (
    Site("mosquitto", "5", SingleMosquitto),
    Site("mosquitto-3.1.1", "3.1.1", SingleMosquitto, only_311=True),
    Site("iotcore", "5", Iotcore),
    Site("nats", "3.1.1", NatsCluster),
    Site("rabbitmq", "3.1.1", RabbitCluster),
)


def brokers_command(
    *,
    only: Annotated[
        list[str] | None, typer.Option(help="One of them; may be given again.", metavar="NAME")
    ] = None,
    short: Annotated[bool, typer.Option("--short/--long", help="For CI, or in earnest.")] = False,
    seed: Annotated[int, typer.Option(help="Other moments to kill at.")] = 1,
) -> None:
    """Kill the nodes of every broker while events flow, and judge what arrived."""
    prose = Console(stderr=True, highlight=False, soft_wrap=True)
    names = [site.name for site in SITES]
    wanted = only or names
    if unknown := sorted(set(wanted) - set(names)):
        raise typer.BadParameter(f"{', '.join(unknown)}: not of {', '.join(names)}")
    table = Table(title=f"brokers: nodes killed with SIGKILL, seed {seed}")
    for column in ("broker", "MQTT", "events", "kills", "lost", "doubled", "disordered"):
        table.add_column(column)
    for column in ("duplicates dropped", "longest gap", "took"):
        table.add_column(column)
    missing, broken = [], []
    for site in (site for site in SITES if site.name in wanted):
        began = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix=f"edge-agent-brokers-{site.name}-"))
        try:
            result = _run(folder, site, SHORT if short else LONG, seed)
        except NotInstalledError as reason:
            missing.append(f"{site.name}: {reason}")
            shutil.rmtree(folder)
            continue
        _add(table, site, result, time.monotonic() - began)
        if result.kept:
            shutil.rmtree(folder)
        else:
            broken += [f"{site.name}: {story}" for story in _stories(result)]
            broken.append(f"{site.name}: the files are left in {folder}")
    Console(width=max(120, Console().width)).print(table)
    for sentence in (*broken, *missing):
        prose.print(sentence, style="red", markup=False)
    if broken or missing:
        raise typer.Exit(1 if broken else 2)
    prose.print("every promise was kept", style="green")


def _run(folder: Path, site: Site, course: Course, seed: int) -> Result:
    home, books = folder / "broker", folder / "books"
    home.mkdir()
    books.mkdir()
    nodes = site.nodes(home)
    return asyncio.run(run_suite(books, nodes, course, seed=seed, only_311=site.only_311))


def _add(table: Table, site: Site, result: Result, took: float) -> None:
    findings = result.findings
    table.add_row(
        site.name,
        site.protocol,
        *map(str, (result.events, result.kills, findings.lost, findings.doubled)),
        str(findings.out_of_order),
        str(result.duplicates),
        f"{result.longest_gap_s:.1f} s",
        f"{took:.0f} s",
    )


def _stories(result: Result) -> list[str]:
    counts = [f"{count} {name}" for name, count in result.findings.counts.items() if count]
    return [*result.broken, *counts, *result.findings.stories]
