"""What the store has taught, kept through a restart: `survey.json` beside the outbox.

Means, spreads and counts, of nobody in particular (the decision record of 2026-11-22 says why that
may lie on the card). Nothing depends on the file: one that is damaged, of another version or
learnt with other zones is passed over with a log line, and the store is learnt anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from edge_agent.config import Config
from edge_agent.state_file import replace_file
from edge_agent.track.lessons import Lessons

__all__ = ["SurveyUnusableError", "read_lessons", "survey_file", "write_lessons"]

VERSION: Final = 1
_QUIETEST: Final = -150.0  # dBm or dB, of any level or difference of two
_LOUDEST: Final = 100.0
_WIDEST: Final = 50.0**2  # dB squared
_LARGEST: Final = 1 << 20  # octets
_MOST: Final = 1e12
_LEAST: Final = 0.01


class SurveyUnusableError(Exception):
    """What was learnt before cannot be used; the text says why."""


class _File(BaseModel):
    """The file's shape; who reads it takes nothing on trust."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    version: Literal[1]
    store: str
    zones: dict[str, str]
    outside: list[str]
    lessons: Lessons

    @model_validator(mode="after")
    def _sane(self) -> Self:
        survey, receivers = self.lessons.survey, self.lessons.receivers
        spreads, radios = survey.spreads.values(), receivers.inside.values()
        naps = [step for steps in survey.naps.values() for step in steps]
        levels = [spread.mean for spread in spreads] + [radio.loud_dbm for radio in radios]
        for what, good in (
            ("level", all(_QUIETEST <= dbm <= _LOUDEST for dbm in levels)),
            ("weakest level", _QUIETEST <= receivers.weakest_dbm <= _LOUDEST),
            ("variance", all(0.0 <= spread.variance <= _WIDEST for spread in spreads)),
            ("worth", all(1.0 <= spread.worth <= _MOST for spread in spreads)),
            ("number of naps", all(0.0 <= ended <= reached <= _MOST for reached, ended in naps)),
            ("number of naps", all(reached > 0.0 for reached, _ in naps)),
            ("number of visits", _LEAST <= survey.visits <= _MOST),
            ("number of passers-by", _LEAST <= survey.passings <= _MOST),
            ("number of levels", all(0 <= radio.levels <= _MOST for radio in radios)),
        ):
            if not good:
                raise ValueError(f"a {what} is none")
        return self


def survey_file(config: Config) -> Path:
    """Name the file."""
    return config.state.directory / "survey.json"


def write_lessons(config: Config, lessons: Lessons) -> None:
    """Write down what was learnt; a full disk is no harm."""
    told = _place(config) | {"version": VERSION, "lessons": asdict(lessons)}
    replace_file(survey_file(config), json.dumps(told).encode())


def read_lessons(config: Config) -> Lessons | None:
    """Read what was learnt before, or None where nothing was.

    Raises:
        SurveyUnusableError: when the file is no use here.
    """
    path = survey_file(config)
    try:
        if path.exists() and not (path.is_file() and path.stat().st_size <= _LARGEST):
            raise SurveyUnusableError(f"{path} is not a file of the agent's: remove it")
        found = _File.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SurveyUnusableError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise SurveyUnusableError(f"{path} makes no sense: {where!r} {first['msg']}") from None
    if found.model_dump(include={"store", "zones", "outside"}) != _place(config):
        raise SurveyUnusableError(f"{path} was learnt in another store, or with other zones")
    return found.lessons


def _place(config: Config) -> dict[str, object]:
    """Give what the lessons hold for: the same levels mean something else with other zones."""
    return {
        "store": f"{config.tenant}/{config.store}/{config.gateway}",
        "zones": {gateway: zone.name for zone in config.zones for gateway in zone.gateways},
        "outside": sorted(zone.name for zone in config.zones if zone.outside),
    }
