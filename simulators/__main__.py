"""`python -m simulators store|convert|score|hub …`: the parts of a store, without the store."""

from __future__ import annotations

import typer

from simulators.recordings import app as recordings
from simulators.score import score_command
from simulators.store import store_command

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
app.command("store")(store_command)
app.command("score")(score_command)
app.add_typer(recordings, name="convert")

if __name__ == "__main__":
    app()
