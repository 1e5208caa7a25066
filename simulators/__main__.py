"""`python -m simulators COMMAND`: a store's shoppers, its hub and its truth, without the store."""

from __future__ import annotations

import typer

from simulators.brokers.command import brokers_command
from simulators.contest.command import contest_command
from simulators.fault_matrix.command import faults_command
from simulators.hub import hub_command
from simulators.hub_check.command import hub_check_command
from simulators.live import live_command
from simulators.orders import command_command, configure_command
from simulators.recordings import app as recordings
from simulators.score import score_command
from simulators.store import store_command

app = typer.Typer(
    help="A store's shoppers, its hub and its truth, without the store.",
    no_args_is_help=True,
    add_completion=False,
)
app.command("store")(store_command)
app.command("live")(live_command)
app.command("hub")(hub_command)
app.command("command")(command_command)
app.command("configure")(configure_command)
app.command("hub-check")(hub_check_command)
app.command("score")(score_command)
app.command("brokers")(brokers_command)
app.command("contest")(contest_command)
app.command("faults")(faults_command)
app.add_typer(recordings, name="convert")

if __name__ == "__main__":
    app()
