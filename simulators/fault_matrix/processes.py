"""Processes that die, and two that are one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from simulators.fault_matrix.scenario import Length, Scenario, Verdict
from simulators.fault_matrix.stand import Stand
from simulators.faults import run_faults

__all__ = ["SCENARIOS"]


async def _killed(folder: Path, length: Length, seed: int) -> Verdict:
    """The real agent, broker and hub, each with SIGKILL at random, amid a crowd and strangers."""
    seconds, events = (15, 500) if length is Length.SHORT else (60, 20_000)
    report = await run_faults(folder, seconds=seconds, events=events, seed=seed)
    spared = {"agent", "broker", "hub"} - report.kills.keys()
    kills = ", ".join(f"{count} {name}" for name, count in sorted(report.kills.items()))
    return Verdict(
        committed=report.committed,
        applied=report.applied.total(),
        injected=report.kills.total(),
        findings=report.findings,
        broken=[*report.faults, *(f"the {name} was never killed" for name in sorted(spared))],
        note=f"killed: {kills}; {report.secrets} secrets nowhere in {report.searched >> 20} MiB",
    )


async def _restarted(folder: Path, length: Length, seed: int) -> Verdict:
    """The gateway's own publisher ends and begins again, with events under way."""
    del seed
    rounds = 3 if length is Length.SHORT else 20
    async with Stand(folder) as stand:
        gateway = stand.gateway()
        for _ in range(rounds):
            async with gateway.life():
                await gateway.visits(30)
            stand.injected += 1
        async with gateway.life():
            stand.expect(await gateway.settled(), "not settled")
        return stand.verdict()


async def _cloned(folder: Path, length: Length, seed: int) -> Verdict:
    """Two agents with one name: a card was copied. They take the connection from each other."""
    del seed
    seconds = 6 if length is Length.SHORT else 60
    async with Stand(folder) as stand:
        first = stand.gateway()
        second = stand.gateway()
        second.outbox_file = folder / "clone" / "outbox.db"
        second.first_visit = 1_000_000
        async with first.life():
            await first.visits(20)
            async with second.life():
                await second.visits(20)
                await asyncio.sleep(seconds)
                stand.injected = len(stand.gate.passages)
                calls = stand.injected / seconds
            stand.expect(await first.settled(), "not settled once the clone is gone")
        async with second.life():
            stand.expect(await second.settled(), "the clone is not settled when it is alone")
        stand.expect(
            calls < 2,  # noqa: PLR2004 - each may call once a second
            f"{calls:.1f} connections a second",
        )
        return stand.verdict(f"{stand.injected} connections in {seconds} s")


SCENARIOS: Final = (
    Scenario("kill -9 at random", _killed),
    Scenario("publisher restarted", _restarted),
    Scenario("cloned gateway", _cloned),
)
