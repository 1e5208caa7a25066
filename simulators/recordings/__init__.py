"""Public recordings of real radios, converted to traces with their truth.

Each converter reads the files of one data set as its authors published them; none is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from simulators.recordings import door, rooms, static
from simulators.recordings.recording import BadRecordingError, Recording

__all__ = ["BadRecordingError", "app", "door", "rooms", "static"]

app = typer.Typer(
    no_args_is_help=True,
    help="Convert public recordings to trace, truth, configuration and roster.",
)

Source = Annotated[Path, typer.Argument(help="The original file or folder; .gz and .xz are read.")]
Out = Annotated[Path, typer.Argument(help="The folder for the four files; made if missing.")]
Thin = Annotated[
    float | None,
    typer.Option(
        min=0.05, help="Keep one packet of each tag at each gateway per this many seconds."
    ),
]


@app.command("door")
def door_command(source: Source, out: Out) -> None:
    """Convert one run of the SAL door data set: a CSV with a light barrier's label."""
    _guarded(lambda: door.read(source), out)


@app.command("rooms")
def rooms_command(source: Source, out: Out, thin: Thin = None) -> None:
    """Convert the four-room run of RaspberryPiBeaconParser, with its written log."""
    _guarded(lambda: rooms.read(source, thin), out)


@app.command("static")
def static_command(source: Source, out: Out, thin: Thin = None) -> None:
    """Convert a folder of .mbd files: one beacon at rest, one visitor for each file."""
    _guarded(lambda: static.read(source, thin), out)


def _guarded(read: Callable[[], Recording], out: Path) -> None:
    try:
        written = read().write(out)
    except (BadRecordingError, OSError) as fault:
        typer.echo(f"error: {fault}", err=True)
        raise typer.Exit(2) from fault
    typer.echo(json.dumps(asdict(written)))
