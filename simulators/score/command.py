"""`python -m simulators score`: events and truth in, a table or JSON out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from simulators.score.claims import BadEventError
from simulators.score.result import Score
from simulators.score.tally import TOLERANCE, score
from simulators.truth import Truth

__all__ = ["score_command"]

UNITS = {"s": 1, "min": 60, "h": 3600}


def _seconds(text: str) -> float:
    """Read a duration as the configuration writes it: `8s`, `2min`, `1h`."""
    found = re.fullmatch(r"(\d+)(s|min|h)", text)
    if found is None:
        raise typer.BadParameter("a duration is a whole number with s, min or h, as in 8s")
    return float(int(found[1]) * UNITS[found[2]])


def score_command(
    events: Annotated[Path, typer.Option(help="The agent's events, JSON Lines; - is stdin.")],
    truth: Annotated[Path, typer.Option(help="The truth file beside the trace.")],
    tolerance: Annotated[
        float, typer.Option(parser=_seconds, metavar="DURATION", help="How near is right.")
    ] = f"{TOLERANCE:.0f}s",  # type: ignore[assignment] # typer parses defaults too
    started_at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"],
            help="The trace's started_at, if the truth file does not say it.",
        ),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, no table.")] = False,
) -> None:
    """Score the agent's events against the truth. Exit code 2: the input is at fault."""
    try:
        result = _scored(events, truth, tolerance, started_at)
    except (BadEventError, OSError, ValidationError) as fault:
        typer.echo(f"error: {fault}", err=True)
        raise typer.Exit(2) from fault
    if as_json:
        typer.echo(json.dumps(result.to_json()))
    else:
        Console().print(result.table())


def _scored(events: Path, truth: Path, tolerance: float, started_at: datetime | None) -> Score:
    known = Truth.read(truth)
    began = started_at or known.started_at
    if began is None:
        raise typer.BadParameter(f"{truth} does not say when the trace began: give --started-at")
    return score(_lines(events), known, began, tolerance)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    source = nullcontext(sys.stdin) if str(path) == "-" else path.open(encoding="utf-8")
    with source as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                event = json.loads(line)
            except json.JSONDecodeError as fault:
                raise BadEventError(f"{path}:{number}: not JSON: {fault}") from fault
            if not isinstance(event, dict):
                raise BadEventError(f"{path}:{number}: an event is a JSON object")
            yield event
