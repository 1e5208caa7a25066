"""The configuration of one life of the agent: the file, what the hub desires over it, and why.

The ledger is a small file beside the outbox, replaced whole. A life begins by writing down that it
has begun, so that one which never gets further is counted; one that cannot even be counted, for a
full disk, does without what is on trial. A ledger that cannot be read is the file alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog
from pydantic import TypeAdapter, ValidationError

from edge_agent.config import Config
from edge_agent.config_faults import ConfigError
from edge_agent.desired.ledger import Ledger
from edge_agent.desired.overlay import read_overlaid
from edge_agent.state_file import replace_file

__all__ = ["Tenure", "begin_tenure"]

_LEDGER: Final = TypeAdapter(Ledger)
log = structlog.get_logger()


@dataclass(slots=True)
class Tenure:
    """What a life has to go by."""

    path: Path
    file: Path  # of the ledger
    config: Config
    ledger: Ledger

    def write(self, ledger: Ledger) -> bool:
        """Put a ledger in the place of the old one; False when the disk takes nothing."""
        written = replace_file(self.file, _LEDGER.dump_json(ledger))
        if written:
            self.ledger = ledger
        return written


def begin_tenure(path: Path, alone: Config, *, boot: str, now: float, unix: float | None) -> Tenure:
    """Find out what this life has to go by.

    Args:
        path: of the gateway's file.
        alone: what that says alone.
        boot: identifies this boot.
        now: the boot clock, seconds.
        unix: Unix seconds, where the clock is set.
    """
    file = alone.state.directory / "desired.json"
    stored = _read(file)
    tenure = Tenure(path, file, alone, stored)
    ledger = stored.started(boot, now, unix)
    if ledger != stored and not tenure.write(ledger):
        tenure.ledger = ledger.revert("the disk is full: no probation can be recorded", unix)
    while tenure.ledger.in_force.version:
        try:
            tenure.config = read_overlaid(path, tenure.ledger.in_force.values)
        except ConfigError:
            log.warning("desired_config_unfit", advice="it does not go with the gateway's file")
            gone = tenure.ledger.revert("it no longer goes with the gateway's file", unix)
            if not tenure.write(gone):
                tenure.ledger = gone
        else:
            break
    return tenure


def _read(file: Path) -> Ledger:
    try:
        return _LEDGER.validate_json(file.read_bytes())
    except FileNotFoundError:
        return Ledger()
    except (OSError, ValidationError):
        log.error("desired_config_lost", advice="the gateway's file alone is in force")  # noqa: TRY400
        return replace(Ledger())
