"""Which roster is in force: chosen by the configuration, read through the right door."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.config import Config
from edge_agent.identify.roster import Roster
from edge_agent.identify.roster_file import read_unsigned_roster
from edge_agent.identify.roster_signed import open_bundle, read_bundle, read_public_key

__all__ = ["read_roster"]


def read_roster(config: Config, *, newest_seq: int, unix: Callable[[], float]) -> Roster:
    """Read the configured roster; nobody is on it while none has come.

    Args:
        config: which names the file, and the key that must have signed it.
        newest_seq: the highest seq accepted before.
        unix: the time now, seconds.

    Raises:
        RosterError: when it cannot be used, with what to do about it.
    """
    source = config.roster
    if source.file is None:
        return Roster.empty()
    if source.public_key is None:
        return read_unsigned_roster(source.file)
    return open_bundle(
        read_bundle(source.file),
        public_key=read_public_key(source.public_key),
        tenant=config.tenant,
        store=config.store,
        newest_seq=newest_seq,
        unix=unix(),
    )
