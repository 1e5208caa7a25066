"""The section `[hours]` of the configuration."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, InstanceOf, field_validator, model_validator

from edge_agent.config_values import Duration, Section
from edge_agent.hours import EXAMPLE, Hours, Opening, read_zone

__all__ = ["OpeningHours"]


def _opening(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"days and times are expected, such as {EXAMPLE}")  # noqa: TRY004 - pydantic reports it by its path
    return Opening.parse(value)


def _day(value: object) -> object:
    """Read a date, in quotes or as TOML has it."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    elif isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError('a date that exists is expected, such as "2026-12-25"')


class OpeningHours(Section):
    """When the store is open. Visits end and begin by it, with a grace on both sides."""

    timezone: str
    """The store's, such as `Europe/Berlin`."""
    open: tuple[Annotated[InstanceOf[Opening], BeforeValidator(_opening)], ...]
    """`mon-fri 09:00-20:00`, `sat,sun 10:00-18:00`, `daily 18:00-02:00` (closes on the next day);
    several may be of one day. `2026-12-24 09:00-13:00` replaces that date's weekday."""
    closed: tuple[Annotated[date, BeforeValidator(_day)], ...] = ()
    """Dates on which the store does not open."""
    sweep_after: Annotated[Duration, Field(le=4 * 3600)] = 900
    """How long after closing shoppers are let out; who is heard later does not visit."""

    @field_validator("open")
    @classmethod
    def _at_some_time(cls, value: tuple[Opening, ...]) -> tuple[Opening, ...]:
        if not value:
            raise ValueError("at least 1 opening is expected; without [hours] it is always open")
        return value

    @field_validator("timezone")
    @classmethod
    def _a_zone(cls, value: str) -> str:
        read_zone(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        both = {opening.only_on for opening in self.open} & set(self.closed)
        if both:
            day = min(day for day in both if day is not None)
            raise ValueError(f"closed: {day} is also among the openings; remove one of them")
        return self

    @property
    def calendar(self) -> Hours:
        """What these hours say of any instant."""
        return Hours(read_zone(self.timezone), self.open, frozenset(self.closed), self.sweep_after)
