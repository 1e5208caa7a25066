"""How the gateway is, as the hub is told: an allow-list, in which nobody can be counted.

The technician at the gateway reads exact counts (`status.json`, which stays on the machine). What
is published is retained by a broker and read by whoever may read topics, so every count that is of
people, or of what their phones send, is rounded down to a multiple of five: 0 means fewer than
five, and one person's coming or going shows in one case of five, with nobody to tell whose it was.
Members that the model does not name stay behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict

__all__ = [
    "GROUP",
    "ConfigHealth",
    "DeliveryHealth",
    "Health",
    "MembershipHealth",
    "SourceHealth",
    "coarse",
    "published",
]

GROUP: Final = 5  # people; the threshold below which official statistics suppress a cell


def coarse(count: int) -> int:
    """Round a count of people down to whole groups."""
    return count // GROUP * GROUP


Coarse = Annotated[int, BeforeValidator(coarse)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


class SourceHealth(_Part):
    """One radio."""

    listening: bool
    heard: Coarse
    """Packets since the start, strangers' too."""
    silent_s: float | None
    detail: str


class DeliveryHealth(_Part):
    """The way to the hub."""

    connected: bool
    queue: int
    last_ack: int
    lost_to_full_disk: int
    detail: str
    alarms: Mapping[str, str] = {}
    """What somebody has to do, by the alarm's name."""


class MembershipHealth(_Part):
    """The roster in force; how many are on it is what the hub itself has signed."""

    members: int
    seq: int
    epochs: Mapping[str, object] = {}
    lease_ends: str | None = None
    consent_version: str | None = None
    next_epoch_missing: bool = False
    last_refusal: str | None = None
    keys: Mapping[str, object] = {}
    """The public half of what rosters are sealed to."""


class ConfigHealth(_Part):
    """The hub's configuration in force here."""

    version: int
    state: str


class Health(_Part):
    """What is published on the topic `health`."""

    at: str
    version: str
    scanning: bool
    clock: str
    roster: str
    membership: MembershipHealth
    sources: Mapping[str, SourceHealth]
    visits: Coarse
    """Open visits, in whole groups of five."""
    dropped: Mapping[str, Coarse]
    """Observations that led to nothing, by reason, in whole groups of five."""
    delivery: DeliveryHealth
    commands: Mapping[str, int] = {}
    """Of the hub's, by what became of them."""
    config: ConfigHealth | None = None


def published(values: Mapping[str, object]) -> bytes:
    """Write what the hub may know of a gateway's health."""
    return Health.model_validate(values).model_dump_json().encode()
