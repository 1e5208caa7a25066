"""How much is logged: set at the start, and by command for a while."""

from __future__ import annotations

import logging

import structlog

__all__ = ["logger_of", "set_log_level"]


def logger_of(level: str) -> type[structlog.typing.FilteringBoundLogger]:
    """Give the kind of logger that says what is at least of a level.

    Raises:
        KeyError: there is no such level.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    return structlog.make_filtering_bound_logger(number)


def set_log_level(logger: type[structlog.typing.BindableLogger]) -> None:
    """Log as `logger_of` gave it from now on, everywhere in the process."""
    structlog.configure(wrapper_class=logger)
