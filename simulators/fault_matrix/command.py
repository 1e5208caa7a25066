"""`python -m simulators faults`: the matrix, scenario by scenario, and its table.

Each scenario runs in a process and a folder of its own, two at a time, so that one which hangs or
dies takes nothing with it; a process ends with its verdict as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from simulators.fault_matrix.families import FAMILIES, Named
from simulators.fault_matrix.scenario import Length
from simulators.mosquitto import Mosquitto

__all__ = ["AT_ONCE", "Line", "faults_command", "run_alone"]

AT_ONCE: Final = 2
_WIDTH: Final = 160
_PATIENCE_S: Final = {Length.SHORT: 150.0, Length.LONG: 1200.0}


@dataclass(frozen=True, slots=True)
class Line:
    """One scenario's line of the table."""

    family: str
    name: str
    seconds: float
    injected: int = 0
    committed: int = 0
    declared: int = 0
    applied: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    note: str = ""
    kept: bool = False
    wrong: tuple[str, ...] = ()

    def report(self) -> dict[str, Any]:
        """Give it as JSON knows it."""
        return {name: getattr(self, name) for name in self.__slots__}


async def run_alone(scenario: Named, length: Length, seed: int, folder: Path) -> Line:
    """Run a scenario in a process of its own."""
    began = time.monotonic()
    with (folder / "log.txt").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "simulators.fault_matrix"),
            *(scenario.name, length, str(seed), str(folder / "run")),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(), _PATIENCE_S[length])
        except TimeoutError:
            process.kill()
            await process.wait()
            out = b""
    took = time.monotonic() - began
    last = out.decode().strip().rpartition("\n")[2]
    if process.returncode or not last:
        why = f"it ended with code {process.returncode}; see {folder / 'log.txt'}"
        return Line(scenario.family, scenario.name, took, wrong=(why,))
    values = json.loads(last)
    return Line(
        scenario.family,
        scenario.name,
        took,
        **values | {"wrong": tuple(values["wrong"])},
    )


async def _run_all(
    scenarios: list[Named], length: Length, seed: int, folder: Path, tell: Console
) -> list[Line]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(scenario: Named) -> Line:
        home = folder / scenario.name.replace(" ", "-")
        home.mkdir()
        async with places:
            line = await run_alone(scenario, length, seed, home)
        word = "kept" if line.kept else "BROKEN"
        tell.print(f"{line.name}: {word} in {line.seconds:.0f} s", markup=False)
        if line.kept:
            shutil.rmtree(home)
        return line

    return list(await asyncio.gather(*map(one, scenarios)))


def _table(lines: list[Line], length: Length) -> Table:
    table = Table(title=f"the fault matrix, {length}")
    table.add_column("scenario", no_wrap=True)
    numbers = ("injected", "committed", "declared", "applied", "lost", "doubled", "disordered")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", max_width=60)
    table.add_column("verdict")
    for line in lines:
        values = [f"{getattr(line, name)}" for name in numbers]
        word = "[green]kept[/]" if line.kept else "[red]broken[/]"
        table.add_row(line.name, *values, line.note, word)
    return table


def faults_command(
    *,
    long: Annotated[bool, typer.Option("--long/--short", help="The whole, or what CI runs.")] = (
        False
    ),
    only: Annotated[str | None, typer.Option(help="One scenario, by its name.")] = None,
    family: Annotated[str | None, typer.Option(help="One family, as storage or wire.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other moments.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the lines to a file as well.")
    ] = None,
) -> None:
    """Break everything around the delivery, and judge what arrived."""
    prose = Console(stderr=True, highlight=False, soft_wrap=True)
    chosen = [
        scenario
        for scenario in FAMILIES
        if only in (None, scenario.name) and family in (None, scenario.family)
    ]
    if not chosen:
        names = ", ".join(scenario.name for scenario in FAMILIES)
        prose.print(f"no such scenario; there are: {names}", markup=False)
        raise typer.Exit(2)
    if Mosquitto.program() is None or shutil.which("dbus-daemon") is None:
        prose.print("mosquitto or dbus-daemon is missing: install their packages", style="red")
        raise typer.Exit(2)
    length = Length.LONG if long else Length.SHORT
    folder = Path(tempfile.mkdtemp(prefix="edge-agent-faults-"))
    lines = asyncio.run(_run_all(chosen, length, seed, folder, prose))
    if json_file is not None:
        json_file.write_text(json.dumps([line.report() for line in lines]), encoding="utf-8")
    screen = Console()
    screen.width = max(screen.width, _WIDTH)  # in a log it is not known, and too little
    screen.print(_table(lines, length))
    broken = [line for line in lines if not line.kept]
    for line in broken:
        for fault in line.wrong:
            prose.print(f"{line.name}: {fault}", style="red", markup=False)
    if broken:
        prose.print(f"the files are left in {folder}", markup=False)
        raise typer.Exit(1)
    shutil.rmtree(folder)
    prose.print("every promise was kept", style="green")
