"""What is wrong with a configuration, for the person who wrote it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

__all__ = ["ConfigError", "Fault", "explain"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong value: where it is, and what to write instead."""

    path: str
    advice: str


class ConfigError(Exception):
    """A configuration that cannot be used; `faults` explains each value."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"{fault.path}: {fault.advice}" for fault in faults))


def explain(
    error: ValidationError, root: type[BaseModel], sections: Mapping[str, type[BaseModel]]
) -> list[Fault]:
    """Say of each wrong value where it is and what to write; `sections` are those of `root`."""
    faults = []
    for fault in error.errors(include_url=False, include_input=False):
        location, advice = fault["loc"], fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(
                str(location[-1]), _options_beside(location, root, sections), n=1
            )
            advice = "there is no such option" + (f'; did you mean "{near[0]}"?' if near else "")
        elif fault["type"] == "missing":
            advice = "is missing and has no default"
        named = re.match(r"([a-z_]+): ", advice)  # a rule over a section names its field itself
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
        if named:
            path, advice = f"{path}.{named[1]}", advice[named.end() :]
        faults.append(Fault(path.lstrip("."), advice))
    return faults


def _options_beside(
    location: tuple[int | str, ...],
    root: type[BaseModel],
    sections: Mapping[str, type[BaseModel]],
) -> list[str]:
    """List the options of the section that a location points into."""
    model = sections.get(str(location[0]), root) if len(location) > 1 else root
    return list(model.model_fields)
