"""How the agent on this machine is, from what it wrote down: for `edge-agent status`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edge_agent.config import Config

__all__ = ["Status", "read_status", "status_file"]

STALE_S: Final = 30.0  # the agent reports every 10 s, and a stopped one leaves no file


@dataclass(frozen=True, slots=True)
class Status:
    """What the agent last said, and what a technician should make of it."""

    well: bool
    sentence: str
    values: dict[str, Any]


def status_file(config: Config) -> Path:
    """Name the file that the agent keeps, in memory where systemd gives `$RUNTIME_DIRECTORY`."""
    runtime = os.environ.get("RUNTIME_DIRECTORY")
    folder = Path(runtime.split(":")[0]) if runtime else config.state.directory
    return folder / "status.json"


def read_status(config: Config) -> Status:
    """Read and judge what the agent last wrote."""
    path = status_file(config)
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        return _judge(values)
    except FileNotFoundError:
        return Status(
            well=False, sentence=f"the agent is not running: {path} is missing", values={}
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Status(well=False, sentence=f"{path} cannot be read: {error}", values={})


def _judge(values: dict[str, Any]) -> Status:
    age = (datetime.now(UTC) - datetime.fromisoformat(values["at"])).total_seconds()
    faults = []
    if age > STALE_S:
        faults.append(f"it last reported {age:.0f} s ago: is it running?")
    if values["clock"] == "unsynchronised":
        faults.append("the clock is not synchronised, and nothing resolves: see that NTP runs")
    for name, source in values["sources"].items():
        if not source["listening"]:
            faults.append(f"radio {name}: {source['detail']}")
    if not values["sources"]:
        faults.append("no radio listens yet; if none ever does, set [ble] adapters")
    if not values["delivery"]["connected"] or values["delivery"]["detail"] != "connected":
        faults.append(f"delivery: {values['delivery']['detail']}")
    summary = (
        f"{values['visits']} visit(s) open, {values['delivery']['queue']} event(s) to deliver,"
        f" roster: {values['roster']}"
    )
    config = values.get("config") or {}
    if config.get("version"):
        summary += f", configuration {config['version']} of the hub in force ({config['state']})"
    return Status(not faults, "; ".join([summary, *faults]), values)
