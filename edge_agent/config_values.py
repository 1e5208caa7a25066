"""The kinds of value that the configuration is made of, each with what to write instead."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["WEEK_S", "AdapterName", "Duration", "Name", "Section", "Size", "ZoneName"]

_DURATION = re.compile(r"([0-9]{1,9}) *(s|min|h)")
WEEK_S: Final = 7 * 24 * 3600
_SIZE = re.compile(r"([0-9]{1,9}) *(KiB|MiB|GiB)")
_UNIT_BITS = {"KiB": 10, "MiB": 20, "GiB": 30}
_UNIT_S = {"s": 1, "min": 60, "h": 3600}


def _duration(value: object) -> object:
    """Read `90s`, `6min` or `1h` as seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A ValueError, because that is what pydantic reports by its path.
        raise ValueError(  # noqa: TRY004
            f'a unit is missing: write "{value:g}s", "{value:g}min" or "{value:g}h"'
        )
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a duration is an integer with s, min or h, such as "90s" or "6min"')
    return int(match[1]) * _UNIT_S[match[2]]


def _size(value: object) -> object:
    """Read `64MiB` or `1GiB` as octets."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a size is an integer with KiB, MiB or GiB, such as "256MiB"')
    return int(match[1]) << _UNIT_BITS[match[2]]


def _name(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9-]{1,64}", value):
        near = re.sub(r"[^a-z0-9-]+", "-", value.lower()).strip("-")[:64]
        hint = f', such as "{near}"' if near else ""
        raise ValueError(f"1 to 64 of a-z, 0-9 and - are expected{hint}")
    return value


def _zone_name(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9-]([a-z0-9 -]{0,62}[a-z0-9-])?", value):
        raise ValueError("1 to 64 of a-z, 0-9, - and inner spaces are expected")
    return value


Duration = Annotated[int, BeforeValidator(_duration)]  # seconds
Size = Annotated[int, BeforeValidator(_size)]  # octets
Name = Annotated[str, BeforeValidator(_name)]
ZoneName = Annotated[str, BeforeValidator(_zone_name)]
AdapterName = Annotated[str, Field(pattern=r"^hci\d+$")]


class Section(BaseModel):
    """A table of the configuration."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )
