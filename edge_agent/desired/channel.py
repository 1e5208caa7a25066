"""The channel `config`: takes what the hub desires, and reports what is in force.

    take --> trust --> newer? --> fits? --> on trial, written down --> the agent begins anew
    run  --> a look every second --> proved | reverted, and begins anew

The agent begins anew as a process: a configuration is put in force the way a start after a power
cut would, or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from pydantic import ValidationError

from edge_agent.clock import Clock
from edge_agent.commands.judge import Addressee
from edge_agent.config_faults import ConfigError
from edge_agent.desired.contract import Desired, Reported, ReportedFault
from edge_agent.desired.ledger import Ledger, Overlay, Probation, Trial, Vitals
from edge_agent.desired.overlay import effective, read_overlaid
from edge_agent.desired.tenure import Tenure
from edge_agent.hub_word import Distrust, UntrustedError, open_word
from edge_agent.publish.channel import Outlet
from edge_agent.publish.contract import ClockQuality

__all__ = ["DesiredConfig"]

MOST_OCTETS: Final = 64 * 1024
LOOK_S: Final = 1.0

log = structlog.get_logger()


class DesiredConfig:
    """The channel `config` (`publish.channel.Channel`); `run` does the work."""

    name = "config"
    filters: Sequence[str] = ("config/desired",)

    def __init__(
        self,
        addressee: Addressee,
        tenure: Tenure,
        boot: str,
        clock: Clock,
        vitals: Callable[[], Vitals],
        stores: Callable[[], Awaitable[bool]],
        begin_anew: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            addressee: who this gateway is, and whose word it obeys.
            tenure: what this life goes by.
            boot: identifies this boot.
            clock: the boot clock, and UTC for the report.
            vitals: how the agent is now.
            stores: tells whether the outbox commits.
            begin_anew: ends this life and begins the next.
        """
        self._addressee = addressee
        self._tenure = tenure
        self._boot = boot
        self._clock = clock
        self._vitals = vitals
        self._stores = stores
        self._begin_anew = begin_anew
        self._outlet: Outlet | None = None
        self._desired: bytes | None = None  # the newest word, not yet looked at
        self._refused: Reported | None = None
        self._arrived = asyncio.Event()
        self.oversize = 0

    @property
    def summary(self) -> dict[str, object]:
        """Say which version is in force, for health and status."""
        ledger = self._tenure.ledger
        return {"version": ledger.in_force.version, "state": ledger.state}

    def opened(self, outlet: Outlet) -> None:
        """Report: the broker may have lost it, or somebody overwritten it."""
        self._outlet = outlet
        self._report()

    def closed(self) -> None:
        """What was not accepted is said again at the next opening."""
        self._outlet = None

    def take(self, leaf: str, payload: bytes) -> None:
        """Keep the newest word of the hub's; `run` looks at it."""
        if leaf != "config/desired" or not payload:
            return
        if len(payload) > MOST_OCTETS:
            self.oversize += 1
            return
        self._desired = payload
        self._arrived.set()

    async def run(self) -> None:
        """Look at what arrives, and watch over what is on trial, for ever."""
        if (trial := self._tenure.ledger.trial) is not None:
            await self._watch(trial)
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            payload, self._desired = self._desired, None
            if payload is not None and await self._consider(payload):
                return

    async def revert(self) -> bool:
        """Give up what is in force of the hub's; False when nothing is, or the disk is full."""
        ledger = self._tenure.ledger
        if not ledger.in_force.version:
            return False
        gone = ledger.revert("the hub commanded it", self._unix())
        return await asyncio.to_thread(self._tenure.write, gone)

    async def _watch(self, trial: Trial) -> None:
        """See whether what is on trial proves itself; what arrives meanwhile waits."""
        probation = Probation(trial)
        while True:
            await asyncio.sleep(min(LOOK_S, trial.lasts / 20))
            now = self._clock.now()
            if probation.look(self._vitals(), now):
                if await self._stores() and await self._write(
                    self._tenure.ledger.proved(self._unix())
                ):
                    log.info("desired_config_applied", version=trial.overlay.version)
                    self._report()
                    return
                probation.unstored()
            reason = probation.failure(now)
            if reason is not None:
                log.error("desired_config_reverted", reason=reason)
                await self._write(self._tenure.ledger.revert(reason, self._unix()))
                self._begin_anew()
                await asyncio.Event().wait()  # until this life ends

    async def _consider(self, payload: bytes) -> bool:
        """Take up what is newer and fits; tells whether this life is to end for it."""
        ledger = self._tenure.ledger
        try:
            desired = self._read(payload)
        except UntrustedError as error:
            self._refuse(None, [ReportedFault(path="config", advice=str(error))])
            return False
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)[:20]
            self._refuse(
                None,
                [
                    ReportedFault(path=".".join(map(str, f["loc"]))[:200], advice=f["msg"][:200])
                    for f in faults
                ],
            )
            return False
        overlay = Overlay(desired.version, desired.values)
        if overlay.version <= ledger.newest:
            reverted = 0 if ledger.reverted is None else ledger.reverted.version
            if overlay.version in (ledger.in_force.version, reverted):
                self._report()  # known: it comes with every connection
            else:
                advice = f"{ledger.newest} was accepted before: a higher version is expected"
                self._refuse(overlay.version, [ReportedFault(path="version", advice=advice)])
            return False
        try:
            config = await asyncio.to_thread(read_overlaid, self._tenure.path, overlay.values)
        except ConfigError as error:
            self._refuse(
                overlay.version,
                [ReportedFault(path=f.path, advice=f.advice) for f in error.faults],
            )
            return False
        changes = config != self._tenure.config
        trial = self._trial(overlay) if changes else None
        if not await self._write(ledger.offered(overlay, trial, self._unix())):
            advice = "the disk is full: no probation can be recorded; free some space"
            self._refuse(overlay.version, [ReportedFault(path="config", advice=advice)])
            return False
        self._refused = None
        self._report()
        if changes:
            log.warning("desired_config_on_probation", version=overlay.version)
            self._begin_anew()
        return changes

    def _read(self, payload: bytes) -> Desired:
        word = open_word(payload, "config", self._addressee.public_key)
        desired = Desired.model_validate(word)
        us = self._addressee
        if (desired.tenant, desired.store, desired.gateway) != (us.tenant, us.store, us.gateway):
            raise UntrustedError(Distrust.MALFORMED, "it is for another gateway")
        return desired

    def _trial(self, overlay: Overlay) -> Trial:
        return Trial(
            overlay,
            self._boot,
            began_at=self._clock.now(),
            lasts=float(self._tenure.config.hub.probation),
            listened=self._vitals().listening,
        )

    async def _write(self, ledger: Ledger) -> bool:
        return await asyncio.to_thread(self._tenure.write, ledger)

    def _refuse(self, version: int | None, faults: list[ReportedFault]) -> None:
        log.warning("desired_config_refused")
        self._refused = self._reported("refused", version, faults)
        self._report()

    def _report(self) -> None:
        ledger = self._tenure.ledger
        told = self._refused
        if told is None and ledger.reverted is not None and ledger.trial is None:
            fault = ReportedFault(path="config", advice=ledger.reverted.reason)
            told = self._reported("reverted", ledger.reverted.version, [fault])
        elif told is None:
            told = self._reported(ledger.state, ledger.in_force.version, [])
        if self._outlet is not None:
            self._outlet.send("config/reported", told.model_dump_json().encode(), retain=True)

    def _reported(self, state: str, version: int | None, faults: list[ReportedFault]) -> Reported:
        ledger = self._tenure.ledger
        since = self._unix() if state == "refused" else ledger.since
        return Reported.model_validate(
            {
                "version": version,
                "state": state,
                "faults": faults,
                "in_force": ledger.in_force.version,
                "effective": effective(self._tenure.config),
                "since": None if since is None else datetime.fromtimestamp(since, UTC),
            }
        )

    def _unix(self) -> float | None:
        if self._clock.quality() is ClockQuality.UNSYNCHRONISED:
            return None
        return self._clock.unix(self._clock.now())
