"""What of the configuration the hub may set: an allow-list, over the gateway's file.

Never identity, the broker, keys, the roster or the state folder: a gateway that loses those cannot
be reached to get them back. Values have the form that they have in the file, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from edge_agent.config import Config, read_config
from edge_agent.config_faults import ConfigError, Fault
from edge_agent.hours import Opening

__all__ = ["effective", "read_overlaid"]

_ALL: Final = None
ALLOWED: Final[dict[str, frozenset[str] | None]] = {
    "presence": _ALL,
    "hours": _ALL,
    "ble": frozenset({"adapters", "scanning"}),
    "delivery": _ALL,
    "log_level": _ALL,
}
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MIN: Final = 24 * 60
_MOST_FAULTS: Final = 20
_MOST_CHARACTERS: Final = 200


def read_overlaid(path: Path, values: Mapping[str, JsonValue]) -> Config:
    """Build the configuration that the file and the hub's values make together.

    Raises:
        ConfigError: explains each value that may not be, or cannot be.
    """
    if faults := list(_forbidden(values)):
        raise ConfigError(_bounded(faults))
    try:
        return read_config(path, values)
    except ConfigError as error:
        raise ConfigError(_bounded(error.faults)) from None


def effective(config: Config) -> dict[str, Any]:
    """Give what is in force of what the hub may set; it has no secret, and may be sent back."""
    presence, hours = config.presence, config.hours
    return {
        "presence": {
            "dwell_milestones": [f"{seconds}s" for seconds in presence.dwell_milestones],
            "enter_confidence": presence.enter_confidence,
            "exit_after_at_most": f"{presence.exit_after_at_most}s",
            "resume_within": f"{presence.resume_within}s",
        },
        "hours": None
        if hours is None
        else {
            "timezone": hours.timezone,
            "open": [_text(opening) for opening in hours.open],
            "closed": [day.isoformat() for day in hours.closed],
            "sweep_after": f"{hours.sweep_after}s",
        },
        "ble": {"adapters": list(config.ble.adapters), "scanning": config.ble.scanning},
        "delivery": {
            "max_bytes": f"{config.delivery.max_bytes >> 20}MiB",
            "max_age": f"{config.delivery.max_age}s",
        },
        "log_level": config.log_level,
    }


def _text(opening: Opening) -> str:
    """Write an opening as it is read."""
    names = [_WEEKDAYS[day] for day in sorted(opening.weekdays)]
    days = ",".join(names) if opening.only_on is None else opening.only_on.isoformat()
    closes = opening.closes_min - (_DAY_MIN if opening.closes_min > _DAY_MIN else 0)
    opens_text, closes_text = (f"{m // 60:02}:{m % 60:02}" for m in (opening.opens_min, closes))
    return f"{days} {opens_text}-{closes_text}"


def _forbidden(values: Mapping[str, JsonValue]) -> list[Fault]:
    faults = []
    for name, value in values.items():
        if name not in ALLOWED:
            known = ", ".join(ALLOWED)
            faults.append(Fault(name, f"the hub may not set this; it may set {known}"))
            continue
        options = ALLOWED[name]
        if options is not None and isinstance(value, dict):
            faults += [
                Fault(f"{name}.{option}", "the hub may not set this: set it in the gateway's file")
                for option in value
                if option not in options
            ]
    return faults


def _bounded(faults: list[Fault]) -> list[Fault]:
    return [
        Fault(fault.path[:_MOST_CHARACTERS], fault.advice[:_MOST_CHARACTERS])
        for fault in faults[:_MOST_FAULTS]
    ]
