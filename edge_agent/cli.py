"""The commands. JSON Lines on stdout, prose on stderr; exit codes 0 ok, 1 failed, 2 bad input.

`run` ends with 3 when the hub has commanded a restart, for whoever supervises it to see.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import structlog
import typer
from rich.console import Console
from rich.text import Text

from edge_agent import __version__
from edge_agent.config import Config, ConfigError, read_config
from edge_agent.log_level import logger_of

if TYPE_CHECKING:
    from edge_agent.desired.tenure import Tenure
    from edge_agent.replay import Replay

__all__ = ["app", "main"]

FAILED: Final = 1
BAD_INPUT: Final = 2
RESTART: Final = 3

app = typer.Typer(
    help=__doc__
    and "In-store presence: who of those that opted in is in the store, told to a hub.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
prose = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The gateway's configuration, TOML.")
]


def main() -> None:
    """Run the command line."""
    app()


def _load(path: Path) -> Config:
    """Read a configuration, or explain and end with exit code 2."""
    try:
        return read_config(path)
    except ConfigError as error:
        for fault in error.faults:
            prose.print(Text(fault.path, style="red"), Text(f": {fault.advice}"), sep="")
        raise typer.Exit(BAD_INPUT) from None


def _say(text: str) -> None:
    prose.print(text, markup=False)


def _refuse(error: Exception) -> typer.Exit:
    prose.print(str(error), style="red", markup=False)
    return typer.Exit(BAD_INPUT)


@app.callback(invoke_without_command=True)
def version(
    *,
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """In-store presence: who of those that opted in is in the store, told to a hub."""
    if show:
        sys.stdout.write(f"edge-agent {__version__}\n")
        raise typer.Exit


@app.command()
def run(
    config: ConfigFile,
    *,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error; else as configured.")
    ] = None,
) -> None:
    """Run the agent until it is told to stop (SIGTERM or ctrl-C)."""
    from edge_agent.agent import Ending, run_agent
    from edge_agent.identify.roster import RosterError
    from edge_agent.publish.outbox import OutboxUnusableError

    _log_to_stderr(log_level or "info")
    settings = _load(config)
    problems = _problems_of_running(settings)
    if problems:
        for problem in problems:
            prose.print(problem, style="red", markup=False)
        raise typer.Exit(BAD_INPUT)
    tenure = _tenure(config, settings)
    _log_to_stderr(log_level or tenure.config.log_level)
    try:
        ending = asyncio.run(run_agent(tenure))
    except RosterError as error:
        raise _refuse(error) from None
    except OutboxUnusableError as error:
        prose.print(str(error), style="red", markup=False)
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit from None
    if ending is Ending.RENEW:
        _begin_anew()
    if ending is not Ending.STOPPED:
        raise typer.Exit(RESTART)


def _tenure(path: Path, settings: Config) -> Tenure:
    """Find out what the hub desires over the file, and write down that another life begins."""
    from edge_agent.clock import SystemClock, boot_id
    from edge_agent.desired.tenure import begin_tenure
    from edge_agent.publish.contract import ClockQuality

    clock = SystemClock()
    now = clock.now()
    known = clock.quality() is not ClockQuality.UNSYNCHRONISED
    unix = clock.unix(now) if known else None
    return begin_tenure(path, settings, boot=boot_id(), now=now, unix=unix)


def _begin_anew() -> None:
    """Replace this process by a new one of the same command line; returns where that fails."""
    sys.stdout.flush()
    sys.stderr.flush()
    with suppress(OSError):  # then whoever supervises it starts it again
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own


def _problems_of_running(config: Config) -> list[str]:
    """Say what a replay may do without, and a gateway may not."""
    named = {gateway for zone in config.zones for gateway in zone.gateways}
    if config.gateway not in named:
        return [
            f"zone: no zone names the gateway {config.gateway!r}; add it to its zone's gateways"
        ]
    return []


@app.command()
def demo(
    *,
    seconds: Annotated[
        int | None,
        typer.Option(envvar="DEMO_SECONDS", min=5, help="End by itself after so long."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another store day.")] = 1,
    plain: Annotated[bool, typer.Option(help="Print lines instead of a live view.")] = False,
) -> None:
    """Show it all at work: simulated store, broker, agent and hub, in accelerated time."""
    try:
        from simulators.demo import run_demo
    except ImportError as error:
        prose.print(f"the demo needs more: pip install 'edge-agent[demo]' ({error})", markup=False)
        raise typer.Exit(FAILED) from None
    _log_to_stderr("error")
    live = not plain and sys.stdout.isatty()
    ok = asyncio.run(run_demo(seconds, seed=seed, live=live))
    raise typer.Exit(0 if ok else FAILED)


@app.command()
def replay(
    trace: Annotated[str, typer.Argument(help="A trace (.jsonl, .jsonl.gz), or - for stdin.")],
    config: ConfigFile,
    *,
    events: Annotated[
        Path | None, typer.Option(help="Write the events here, not to stdout.")
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(metavar="VISITOR", help="Say why each decision about her fell, on stderr."),
    ] = None,
) -> None:
    """Run a trace through the real pipeline in virtual time; events as JSON Lines."""
    from edge_agent.explain import LEGEND
    from edge_agent.identify.roster import RosterError
    from edge_agent.replay import Replay
    from edge_agent.trace import Trace, TraceError

    _log_to_stderr("warning")
    skipped: list[int] = []

    def complain(number: int, what: str) -> None:
        skipped.append(number)
        prose.print(f"line {number} skipped: {what}", markup=False)

    settings = _load(config)
    try:
        with Trace.open(trace, complain) as source:
            run = Replay(settings, source, explain, _say)
            if explain is not None:
                _say(LEGEND)
            count = _write_events(run, events)
    except (TraceError, RosterError) as error:
        raise _refuse(error) from None
    except OSError as error:
        prose.print(f"the events cannot be written: {error.strerror}", style="red", markup=False)
        raise typer.Exit(FAILED) from None
    if run.explainer is not None:
        run.explainer.conclude()
        _say(run.lessons)
    prose.print(
        f"{count} events; {len(skipped)} lines skipped; {run.foreign} lines of gateways that no"
        f" zone names; dropped: {run.dropped or 'nothing'}",
        markup=False,
    )


def _write_events(run: Replay, path: Path | None) -> int:
    """Write the events of a replay, one a line, and count them."""
    from edge_agent.trace import TraceError

    try:
        stream: BinaryIO = sys.stdout.buffer if path is None else path.open("wb")
    except OSError as error:
        raise TraceError(f"cannot write {path}: {error.strerror}") from error
    count = 0
    try:
        for body in run.events():
            stream.write(body + b"\n")
            count += 1
        stream.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        if path is not None:
            stream.close()
    return count


@app.command()
def check(config: ConfigFile) -> None:
    """Check a configuration and the roster that it names, and explain each bad value."""
    from edge_agent.clock import SystemClock
    from edge_agent.identify.roster import RosterError
    from edge_agent.rosters import read_roster

    settings = _load(config)
    clock = SystemClock()
    try:
        roster = read_roster(settings, newest_seq=0, unix=lambda: clock.unix(clock.now()))
    except RosterError as error:
        raise _refuse(error) from None
    for problem in _problems_of_running(settings):
        prose.print(problem, style="red", markup=False)
        raise typer.Exit(BAD_INPUT)
    prose.print(
        f"{config} is good: gateway {settings.gateway} of store {settings.store} of"
        f" {settings.tenant}, {len(settings.zones)} zone(s), {len(roster.visitors)} on the roster",
        markup=False,
    )


@app.command()
def status(config: ConfigFile) -> None:
    """Say how the agent on this machine is; exit 1 when it is not running or not well."""
    from edge_agent.status import read_status

    told = read_status(_load(config))
    sys.stdout.write(json.dumps(told.values) + "\n")
    prose.print(told.sentence, markup=False, style=None if told.well else "red")
    if not told.well:
        raise typer.Exit(FAILED)


@app.command()
def outbox(config: ConfigFile) -> None:
    """Say what lies in the outbox, as JSON Lines; exit 1 when it cannot be read."""
    from edge_agent.outbox_report import OutboxUnreadableError, inspect

    try:
        report = inspect(_load(config))
    except OutboxUnreadableError as error:
        prose.print(str(error), style="red", markup=False)
        raise typer.Exit(FAILED) from None
    for line in report.lines:
        sys.stdout.write(json.dumps(line) + "\n")
    _say(report.sentence)


@app.command()
def doctor(
    config: ConfigFile,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One finding a line, as JSON on stdout.")
    ] = False,
) -> None:
    """Say what is wrong with this gateway and what to do; exit 1 when something is to be done."""
    from dataclasses import asdict

    from edge_agent.doctor import examine
    from edge_agent.findings import State

    findings = examine(_load(config))
    for finding in findings:
        if as_json:
            sys.stdout.write(json.dumps(asdict(finding)) + "\n")
        else:
            style = "red" if finding.state is State.ACT else None
            prose.print(str(finding), markup=False, style=style)
    if any(finding.state is State.ACT for finding in findings):
        raise typer.Exit(FAILED)


@app.command()
def schema(
    *,
    as_asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="The AsyncAPI 3 document instead.")
    ] = False,
    pretty: Annotated[bool, typer.Option(help="Indented, for people.")] = False,
) -> None:
    """Print the JSON Schema of the events, generated from the code that writes them."""
    from edge_agent.schema import asyncapi, json_schema

    document = asyncapi() if as_asyncapi else json_schema()
    sys.stdout.write(json.dumps(document, indent=2 if pretty else None) + "\n")


def _log_to_stderr(level: str) -> None:
    """Send structured logs to stderr as JSON Lines; a bug's traceback holds no local values."""
    try:
        wrapper = logger_of(level)
    except KeyError:
        raise typer.BadParameter(f"{level!r} is not debug, info, warning or error") from None
    structlog.configure(
        wrapper_class=wrapper,
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
