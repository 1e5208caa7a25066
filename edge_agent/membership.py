"""Who is opted in now: brings a roster into force, and forgets whoever is not on it.

    file, watched  ---+
    hub, over MQTT ---+--> EID tables --> pipeline --> erasure of who left

A file's roster and the hub's take the same way. One that is refused leaves the old one in force,
and health says why; without one nobody is recognised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.identify.eid import WINDOW_S
from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Roster, RosterError
from edge_agent.identify.roster_file import read_unsigned_roster
from edge_agent.identify.roster_manifest import RosterRefusedError
from edge_agent.identify.roster_packed import combined
from edge_agent.memory import give_back
from edge_agent.pipeline import Decided, Pipeline
from edge_agent.publish.channel import Channel
from edge_agent.publish.outbox import OutboxFullError
from edge_agent.publish.publisher import Publisher
from edge_agent.roster_channel import RosterChannel
from edge_agent.vault import Vault

__all__ = ["Membership"]

ROSTER_POLL_S: Final = 2.0
TABLES_POLL_S: Final = 1.0  # a step of the clock may want other windows at once

log = structlog.get_logger()


class Membership:
    """The roster in force, and where the next one comes from."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        pipeline: Pipeline,
        decided: Callable[[Decided], None],
        newest_seq: int,
    ) -> None:
        """Prepare.

        Args:
            config: where the roster comes from.
            clock: for leases and windows.
            pipeline: where it is put to use.
            decided: takes what was decided before a roster was replaced.
            newest_seq: the highest seq accepted by an earlier life.
        """
        self._source = config.roster
        self._clock = clock
        self._pipeline = pipeline
        self._decided = decided
        self._vault = Vault(config)
        self._newest_seq = newest_seq
        self._publisher: Publisher | None = None
        self._version: tuple[int, int, int] | None = None  # of the file, as last read
        self._channel: RosterChannel | None = None
        if config.roster.file is None:
            self._channel = RosterChannel(
                config, clock, newest_seq, self._from_hub, pipeline.identifier.misses
            )
        self.note = "none yet"

    @property
    def channels(self) -> Sequence[Channel]:
        """What the link is to carry for it."""
        return () if self._channel is None else (self._channel,)

    async def first(self, publisher: Publisher) -> Directory | None:
        """Load the roster at the start; one that is refused leaves nobody on it, and all stored.

        Raises:
            RosterError: when there is no roster to be read at all, which no waiting mends.
        """
        self._publisher = publisher
        if self._source.file is None:
            self.note = "none yet: the hub has not sent one"
            return None
        try:
            return await self._load(self._source.file)
        except RosterRefusedError as error:
            log.error("roster_refused", reason=str(error))  # noqa: TRY400 - no bug of ours
            self.note = str(error)
            return None

    async def follow(self) -> None:
        """Take over what comes next, for ever."""
        if self._channel is not None:
            await self._channel.run()
        elif self._source.file is not None:
            await self._watch(self._source.file)

    async def put_in_force(self, directory: Directory) -> set[str] | None:
        """Use a roster from now on, and forget who is not on it, down to her events.

        Returns:
            Who was forgotten; None while a full disk keeps that waiting.
        """
        if self._publisher is None:
            raise RuntimeError("`first` has not been called")
        roster = directory.roster
        self.note = f"{len(roster.visitors)} members, seq {roster.seq}"
        self._decided(self._pipeline.replace_roster(directory, self._clock.now()))
        gone = roster.visitors.absent(await self._publisher.visitors())
        return gone if await self._publisher.erase(gone) else None

    async def keep_tables(self) -> None:
        """Compute the EIDs of the next window before it begins, off the event loop."""
        while True:
            await self._build_tables(self._pipeline.identifier.directory)
            now = self._clock.now()
            into_window = self._clock.unix(now) % WINDOW_S
            pause = self._clock.seconds_until(now + WINDOW_S - into_window)
            await asyncio.sleep(min(TABLES_POLL_S, max(0.01, pause)))

    def describe(self) -> dict[str, object]:
        """Say how the roster is, without a pseudonym."""
        roster = self._pipeline.identifier.directory.roster
        told: dict[str, object] = {"members": len(roster.visitors), "seq": roster.seq}
        return told if self._channel is None else told | self._channel.describe()

    async def _build_tables(self, directory: Directory) -> None:
        for window in directory.missing(self._clock.unix(self._clock.now())):
            directory.install(await asyncio.to_thread(directory.build, window))

    async def _from_hub(self, roster: Roster) -> set[str] | None:
        await self._accept(roster.seq)
        directory = Directory(roster)
        await self._build_tables(directory)
        give_back()
        gone = await self.put_in_force(directory)
        log.info("roster_replaced", members=len(roster.visitors), seq=roster.seq)
        return gone

    async def _load(self, path: Path) -> Directory:
        self._version = _version(path)
        if self._source.public_key is None:
            roster = await asyncio.to_thread(read_unsigned_roster, path)
        else:
            unix = self._clock.unix(self._clock.now())
            manifest, packed = await self._vault.file(str(path), self._newest_seq, unix)
            roster = combined([packed], not_after=manifest.lease_ends.timestamp(), seq=manifest.seq)
        await self._accept(roster.seq)
        directory = Directory(roster)
        await self._build_tables(directory)
        give_back()
        return directory

    async def _accept(self, seq: int) -> None:
        """Remember the newest seq: an older one is a rollback."""
        if seq > self._newest_seq and self._publisher is not None:
            self._newest_seq = seq
            with suppress(OutboxFullError):  # then only this life remembers it
                await self._publisher.in_outbox(lambda outbox: outbox.accept_roster(seq))

    async def _watch(self, path: Path) -> None:
        """Take over a roster file that has changed; one that is refused leaves the old one."""
        while True:
            await asyncio.sleep(ROSTER_POLL_S)
            if _version(path) in (self._version, None):
                continue
            try:
                directory = await self._load(path)
            except RosterError as error:
                log.error("roster_refused", reason=str(error))  # noqa: TRY400 - no bug of ours
                continue
            await self.put_in_force(directory)
            log.info("roster_replaced", members=len(directory.roster.visitors))


def _version(path: Path) -> tuple[int, int, int] | None:
    """Tell one version of a file from another, or None while it is away."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
