"""The roster over MQTT: feeds `RosterSync`, has the vault open what came, tells the hub.

    manifest, delta --inbox--> vault --> sync --> rosters held --> in_force
    chunk --sealed-----------------------^

Everything is on the event loop but the vault, which is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.identify.misses import Misses
from edge_agent.identify.roster import Roster, RosterError
from edge_agent.identify.roster_manifest import Applied, RosterRefusedError
from edge_agent.identify.roster_packed import EpochRoster, combined
from edge_agent.identify.roster_sync import EPOCH_S, RosterSync
from edge_agent.publish.channel import Outlet
from edge_agent.publish.contract import utc_text
from edge_agent.vault import Vault

__all__ = ["RosterChannel"]

_MOST_DELTAS: Final = 1000  # not looked at yet; beyond it a gap asks for a snapshot
_MOST_MANIFESTS: Final = 8
_POLL_S: Final = 1.0
_MOST_OWED: Final = 10_000  # pseudonyms erased and not acknowledged

log = structlog.get_logger()
InForce = Callable[[Roster], Awaitable[set[str] | None]]


class RosterChannel:
    """The hub's roster of this gateway's store."""

    name: str = "roster"
    filters: Sequence[str] = ("roster/manifest/+", "roster/chunk/+/+/+", "roster/delta")

    def __init__(
        self, config: Config, clock: Clock, newest_seq: int, in_force: InForce, misses: Misses
    ) -> None:
        """Prepare; `run` does the work.

        Args:
            config: names the gateway, and the key that signs.
            clock: for backoff, epochs and leases.
            newest_seq: the highest seq accepted before.
            in_force: puts a roster in force, erases who is not on it, and gives them; None while
                a full disk keeps the erasure waiting.
            misses: what to ask of the hub.
        """
        self._config = config
        self._clock = clock
        self._vault = Vault(config)
        self._in_force = in_force
        self._misses = misses
        self.sync = RosterSync(newest_seq, random.random)
        self._rosters: dict[int, EpochRoster] = {}
        self._manifests: dict[str, bytes] = {}  # by leaf, the newest
        self._deltas: deque[bytes] = deque(maxlen=_MOST_DELTAS)
        self._news = asyncio.Event()
        self._outlet: Outlet | None = None
        self._keys: dict[str, str] = {}
        self._leaving: set[str] = set()  # removed, and not yet known to be erased
        self._owed: set[str] = set()  # erased, and not acknowledged yet
        self._applied: tuple[int, int] | None = None  # epoch and seq in force, the rest erased
        self._acknowledge = False
        self._epoch_in_force = -1
        self.refusal: str | None = None

    def opened(self, outlet: Outlet) -> None:
        """Ask for what is missing, and say again what is in force."""
        self._outlet = outlet
        self.sync.opened(self._clock.now())
        self._acknowledge = self._applied is not None
        self._news.set()

    def closed(self) -> None:
        """Nothing can be asked any more; the lease runs on."""
        self._outlet = None
        self.sync.closed()

    def take(self, leaf: str, payload: bytes) -> None:
        """Keep what arrived until the vault has looked at it."""
        match leaf.split("/"):
            case ["roster", "manifest", _] if (
                leaf in self._manifests or len(self._manifests) < _MOST_MANIFESTS
            ):
                self._manifests[leaf] = payload
            case ["roster", "delta"]:
                self._deltas.append(payload)
            case ["roster", "chunk", epoch, seq, index] if all(
                part.isascii() and part.isdigit() and len(part) <= 16  # noqa: PLR2004 - of 2**53
                for part in (epoch, seq, index)
            ):
                of, now = int.from_bytes(payload[:4]), self._clock.now()
                self.sync.chunk(int(epoch), int(seq), int(index), of, payload[4:], now)
            case _:
                return
        self._news.set()

    async def public_keys(self) -> dict[str, str]:
        """Give the gateway's public keys in base64."""
        if not self._keys:
            self._keys = await self._vault.public_keys()
        return self._keys

    async def run(self) -> None:
        """Follow the hub's roster until cancelled."""
        await self.public_keys()
        while True:
            changed = await self._look()
            changed |= await self._open()
            unix = self._unix()
            for epoch in self.sync.expired(unix):
                self._rosters.pop(epoch, None)
            if changed or (self._rosters and self._epoch_in_force != int(unix) // EPOCH_S):
                await self._use(unix)
            self._ask()
            await self._say_applied()
            await self._wait()

    def _unix(self) -> float:
        return self._clock.unix(self._clock.now())

    async def _wait(self) -> None:
        if self._news.is_set() and (self._manifests or self._deltas):
            self._news.clear()
            return
        try:
            await asyncio.wait_for(self._news.wait(), _POLL_S)
        except TimeoutError:
            return
        self._news.clear()

    async def _look(self) -> bool:
        """Have the vault look at what came; tells whether something is to be put in force."""
        if not self._manifests and not self._deltas:
            return False
        manifests, deltas = list(self._manifests.values()), list(self._deltas)
        self._manifests.clear()
        self._deltas.clear()
        found = await self._vault.look(manifests, deltas, self._unix())
        for refused in found.refusals:
            self._refuse(refused)
        changed = False
        now = self._clock.now()
        for seq, added, removed in found.deltas:
            if self.sync.follows(added.epoch, seq, now):
                held = self._rosters[added.epoch]
                self._rosters[added.epoch] = await asyncio.to_thread(held.changed, added, removed)
                self._leaving |= {pseudonym.hex() for pseudonym in removed}
                changed = True
        leases = {epoch: self.sync.lease(epoch) for epoch in self._rosters}
        for manifest in found.manifests:
            try:
                self.sync.offered(manifest, now, self._unix())
            except RosterRefusedError as error:
                self._refuse(error)
        return changed or leases != {epoch: self.sync.lease(epoch) for epoch in self._rosters}

    async def _open(self) -> bool:
        """Open the snapshots that are whole."""
        changed = False
        while (whole := self.sync.complete()) is not None:
            manifest, chunks = whole
            try:
                roster = await self._vault.snapshot(manifest, chunks)
            except RosterRefusedError as error:
                self._refuse(error)
                self.sync.spoiled(self._clock.now())
                continue
            self.sync.loaded(manifest)
            self._rosters[manifest.epoch] = roster
            changed = True
        return changed

    async def _use(self, unix: float) -> None:
        """Put what is held in force: the newest content decides who is on it."""
        self._epoch_in_force = p = int(unix) // EPOCH_S
        newest_first = sorted(
            self._rosters, key=lambda epoch: (-(self.sync.held(epoch) or 0), epoch)
        )
        lease = self.sync.lease(p) or self.sync.lease(p + 1) or 0.0
        newest = newest_first[0], self.sync.held(newest_first[0]) or 0
        try:
            roster = await asyncio.to_thread(
                combined,
                [self._rosters[epoch] for epoch in newest_first],
                not_after=lease,
                seq=newest[1],
            )
        except RosterError as error:
            log.error("roster_refused", reason=str(error))  # noqa: TRY400 - no bug of ours
            self.refusal = str(error)
            return
        erased = await self._in_force(roster)
        if erased is None:
            self._epoch_in_force = -1  # once more, in a second
            return
        self._owed |= erased | self._leaving
        self._leaving.clear()
        while len(self._owed) > _MOST_OWED:
            self._owed.pop()
        self._applied, self._acknowledge, self.refusal = newest, True, None

    def _ask(self) -> None:
        if self._outlet is None:
            return
        if eids := self._misses.take():
            self._outlet.send(
                "roster/misses", json.dumps({"eids": [eid.hex() for eid in eids]}).encode()
            )
        request = self.sync.request(self._clock.now(), self._unix())
        if request is not None:
            have = None
            if request.have is not None:
                have = {"epoch": request.have[0], "seq": request.have[1]}
            body = {"have": have, "epochs": request.epochs, "key": self._keys["seal"]}
            self._outlet.send("roster/request", json.dumps(body).encode())

    async def _say_applied(self) -> None:
        """Tell the hub what is in force, and who was erased; again on the next connection."""
        outlet = self._outlet
        if not self._acknowledge or outlet is None or self._applied is None:
            return
        epoch, seq = self._applied
        removed = frozenset(self._owed)
        statement = Applied(
            tenant=self._config.tenant,
            store=self._config.store,
            gateway=self._config.gateway,
            epoch=epoch,
            seq=seq,
            removed=tuple(sorted(removed)),
            at=utc_text(datetime.fromtimestamp(self._unix(), UTC)),
        )
        signature = await self._vault.sign(statement.canonical())
        body = {"statement": statement.model_dump(mode="json"), "signature": signature}

        def accepted(refusal: str | None) -> None:
            if refusal is None:
                self._owed -= removed

        if outlet is self._outlet:
            sent = outlet.send("roster/ack", json.dumps(body).encode(), accepted=accepted)
            self._acknowledge = not sent

    def _refuse(self, error: RosterRefusedError) -> None:
        log.error("roster_refused", reason=str(error))
        self.refusal = str(error)

    def describe(self) -> dict[str, object]:
        """Say how the roster is, without a pseudonym."""
        unix = self._unix()
        p = int(unix) // EPOCH_S
        lease = self.sync.lease(p)
        return {
            "epochs": {str(epoch): self.sync.held(epoch) for epoch in sorted(self._rosters)},
            "lease_ends": None if lease is None else utc_text(datetime.fromtimestamp(lease, UTC)),
            "consent_version": self.sync.consent_version(p),
            "next_epoch_missing": self.sync.next_missing(unix),
            "last_refusal": self.refusal,
            "keys": dict(self._keys),
        }
