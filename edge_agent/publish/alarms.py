"""What is wrong with delivery, in stable words, each with what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["Alarm"]


class Alarm(StrEnum):
    """A condition that somebody should look into; `advice` says how."""

    PUBLISH_REFUSED = "publish_refused"
    DISK_FULL = "disk_full"
    DISK_UNWRITABLE = "disk_unwritable"
    DATABASE_DAMAGED = "database_damaged"
    OLD_COPY = "old_copy"
    CLIENT_ID_TAKEN = "client_id_taken"
    HUB_SILENT = "hub_silent"
    EVENTS_DROPPED = "events_dropped"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return _ADVICE[self]


_ADVICE: Final = {
    Alarm.PUBLISH_REFUSED: "the broker refuses events: check its rules, or skip the event by a"
    " command",
    Alarm.DISK_FULL: "the disk is full: free some space; nothing stored is lost",
    Alarm.DISK_UNWRITABLE: "the state folder cannot be written: events live in memory and are lost"
    " at a restart; check the disk, the mount and the owner, then restart",
    Alarm.DATABASE_DAMAGED: "the outbox was damaged and set aside, what was unsent in it is lost:"
    " check the card",
    Alarm.OLD_COPY: "the outbox was an old copy (a restored card image?): a new epoch has begun",
    Alarm.CLIENT_ID_TAKEN: "another client uses this gateway's name at the broker: is the card a"
    " clone? give one of them another gateway name",
    Alarm.HUB_SILENT: "the broker takes events and the hub confirms none: is the hub running?",
    Alarm.EVENTS_DROPPED: "the hub was away too long and events were dropped by the budget, and"
    " declared: raise [delivery] max_bytes or max_age",
}
