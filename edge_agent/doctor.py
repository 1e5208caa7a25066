"""What is wrong with this gateway, and what to do about it: `edge-agent doctor`.

A check takes the configuration and yields findings; `CHECKS` names them all, in the order in which
a technician would look. Checks read, and change nothing. A new one is a function here, or a module
of its own where it judges more than it reads (`placement`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from edge_agent.clock import SystemClock
from edge_agent.config import Config
from edge_agent.findings import Finding, State
from edge_agent.identify.roster import RosterError
from edge_agent.placement import judge_placement
from edge_agent.rosters import read_roster
from edge_agent.status import read_status
from edge_agent.survey_file import SurveyUnusableError, read_lessons, survey_file

__all__ = ["CHECKS", "Check", "examine"]

Check = Callable[[Config], Iterator[Finding]]


def roster(config: Config) -> Iterator[Finding]:
    """Read the roster as the agent would."""
    clock = SystemClock()
    about = str(config.roster.file or "none")
    try:
        found = read_roster(config, newest_seq=0, unix=lambda: clock.unix(clock.now()))
    except RosterError as error:
        yield Finding("roster", State.ACT, about, str(error), "edge-agent check explains the rest")
        return
    members = len(found.visitors)
    if members:
        yield Finding("roster", State.OK, about, f"{members} on it")
    else:
        yield Finding("roster", State.ACT, about, "nobody is on it", "set [roster] file")


def state_directory(config: Config) -> Iterator[Finding]:
    """See that the outbox and the survey can be kept."""
    folder = config.state.directory
    about = str(folder)
    if not folder.exists():
        says = "not there yet; the agent makes it when it first starts"
        yield Finding("state", State.WAIT, about, says)
    elif folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("state", State.OK, about, "can be written")
    else:
        advice = "give it to the user that the agent runs as (chown), or run doctor as that user"
        yield Finding("state", State.ACT, about, "cannot be written", advice)


def status(config: Config) -> Iterator[Finding]:
    """Ask the running agent."""
    told = read_status(config)
    if told.well:
        yield Finding("status", State.OK, config.gateway, told.sentence)
    else:
        advice = (
            "systemctl status edge-agent says whether it runs, journalctl -u edge-agent why not"
        )
        yield Finding("status", State.ACT, config.gateway, told.sentence, advice)


def placement(config: Config) -> Iterator[Finding]:
    """Judge where the gateways hang by what they have learnt."""
    try:
        lessons = read_lessons(config)
    except SurveyUnusableError as error:
        advice = "the agent learns the store anew, and then replaces the file"
        yield Finding("placement", State.WAIT, config.gateway, str(error), advice)
        return
    if lessons is None:
        says = f"nothing learnt yet: {survey_file(config)} is written ten minutes after the start"
        yield Finding("placement", State.WAIT, config.gateway, says)
    else:
        yield from judge_placement(config, lessons)


CHECKS: Final[Sequence[Check]] = (roster, state_directory, status, placement)


def examine(config: Config) -> list[Finding]:
    """Run every check."""
    return [finding for check in CHECKS for finding in check(config)]
