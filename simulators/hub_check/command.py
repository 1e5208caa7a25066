"""`python -m simulators hub-check`: is a hub one that gateways can trust with their events?"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from edge_agent.config import Mqtt
from edge_agent.publish.topics import Topics
from simulators.hub_check.gateway import BrokerUnreachableError, Wire
from simulators.hub_check.rule import NotJudgedError, Restart, Result, Rule, Stage, judge
from simulators.hub_check.rules import ANSWERS, RULES, STEADY

__all__ = ["check_hub", "hub_check_command"]

FAILED: Final = 1
BAD_INPUT: Final = 2


async def check_hub(
    settings: Mqtt,
    topics: Topics,
    *,
    patience_s: float = 10.0,
    settle_s: float = 0.5,
    restart: Restart | None = None,
) -> AsyncIterator[Result]:
    """Play all rules: tame ones side by side, hostile ones one by one, then what all have shown.

    Raises:
        BrokerUnreachableError: there is nothing to play over.
    """
    async with Wire(settings, topics) as wire:
        stage = Stage(wire, settings, topics, patience_s, settle_s, restart)
        first = await judge(ANSWERS, stage)
        yield first
        others = [rule for rule in RULES if rule is not ANSWERS]
        if first.verdict == "fail":
            for rule in (*others, *STEADY):
                yield Result(rule, "not judged", "the hub does not answer")
            return
        tame = [judge(rule, stage) for rule in others if not rule.hostile]
        for result in await asyncio.gather(*tame):
            yield result
        for rule in others:
            if rule.hostile:
                yield await judge(rule, stage)
        for rule in STEADY:
            yield await judge(rule, stage)


def hub_check_command(  # noqa: PLR0913, PLR0917 - each is an option
    broker: Annotated[str, typer.Option(help="The broker that the hub listens to.")],
    tenant: Annotated[str, typer.Option(help="Whose topics to play in.")] = "hub-check",
    store: Annotated[str, typer.Option(help="Whose topics to play in.")] = "0001",
    prefix: Annotated[str, typer.Option(help="Begins the names of the gateways.")] = "hc",
    restart: Annotated[
        str | None, typer.Option(help="Kills the hub and starts it again: judges durability.")
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds an answer may take.", min=0.1)] = 10.0,
    settle: Annotated[
        float, typer.Option(help="Seconds in which a wrong answer would show.", min=0.01)
    ] = 0.5,
    username: Annotated[str | None, typer.Option(help="As the broker knows us.")] = None,
    password: Annotated[
        str | None, typer.Option(help="Better in the environment.", envvar="HUB_CHECK_PASSWORD")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Authorities to trust (PEM).")] = None,
    cert_file: Annotated[Path | None, typer.Option(help="Our certificate (PEM).")] = None,
    key_file: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
) -> None:
    """Play gateways to a hub, and say per rule of the contract whether it keeps it.

    Whoever plays may publish and subscribe below presence/v1/TENANT/+/STORE/, also on `ack`: the
    broker's loss of a watermark is played too. The hub keeps the events of the gateways PREFIX-…:
    use a tenant that nobody bills. JSON Lines on stdout, a table on stderr; the exit code is 0 when
    every rule that could be judged is kept, 1 when one is broken, 2 without a broker.
    """
    given = {
        "username": username,
        "password": password,
        "ca_file": ca_file,
        "cert_file": cert_file,
        "key_file": key_file,
    }
    try:
        settings = Mqtt.model_validate(
            {"url": broker, "allow_plaintext": True}
            | {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        raise typer.BadParameter(faults[0]["msg"], param_hint="--broker") from None
    topics = Topics(tenant, store, prefix)
    command = None if restart is None else _restarting(restart)

    async def play() -> list[Result]:
        results = []
        async for result in check_hub(
            settings, topics, patience_s=patience, settle_s=settle, restart=command
        ):
            typer.echo(json.dumps(_told(result)))
            results.append(result)
        return results

    try:
        results = asyncio.run(play())
    except BrokerUnreachableError as error:
        typer.echo(f"no broker at {broker}: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from None
    Console(stderr=True).print(_table(results))
    if any(result.verdict == "fail" for result in results):
        raise typer.Exit(FAILED)


def _restarting(command: str) -> Restart:
    async def restart() -> None:
        words = shlex.split(command)
        process = await asyncio.create_subprocess_exec(*words)
        if await process.wait():
            raise NotJudgedError(f"{words[0]} ended with {process.returncode}")

    return restart


def _told(result: Result) -> dict[str, str]:
    rule: Rule = result.rule
    told = {
        "rule": rule.name,
        "verdict": result.verdict,
        "sent": rule.sent,
        "required": rule.clause,
    }
    if result.verdict != "pass":
        told["found"] = result.found
    if result.verdict == "fail":
        told["fix"] = rule.fix
    return told


def _table(results: list[Result]) -> Table:
    table = Table("rule", "verdict", "found, and what to fix", title="hub-check")
    styles = {"pass": "green", "fail": "bold red", "not judged": "yellow"}
    for result in results:
        advice = f"{result.found}; {result.rule.fix}" if result.verdict == "fail" else result.found
        table.add_row(result.rule.name, result.verdict, advice, style=styles[result.verdict])
    kept = sum(result.verdict == "pass" for result in results)
    table.caption = f"{kept} of {len(results)} kept"
    return table
