"""A thousand gateways whose broker is restarted: they all come back, and not all at once."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections import Counter
from pathlib import Path
from typing import Final, Self

from simulators.fault_matrix.gateway import PATIENCE_S, Gateway, until
from simulators.fault_matrix.herd_gateways import told_file
from simulators.fault_matrix.scenario import Length, Scenario, Verdict
from simulators.fault_matrix.stand import Stand, ask

__all__ = ["SCENARIOS"]

_PER_PROCESS: Final = 100  # paho selects, and knows no descriptor beyond 1,023
_GATEWAYS: Final = {Length.SHORT: 100, Length.LONG: 1000}
_OUTAGE_S: Final = {Length.SHORT: 2.0, Length.LONG: 20.0}


class _Flock:
    """Some processes of gateways."""

    def __init__(self, stand: Stand, count: int, kind: str) -> None:
        self._stand = stand
        self._count = count
        self.kind = kind
        self._processes: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Self:
        for first in range(1, self._count + 1, _PER_PROCESS):
            last = min(first + _PER_PROCESS - 1, self._count)
            with (self._stand.folder / f"herd-{first}.log").open("wb") as log:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "simulators.fault_matrix.herd_gateways", self.kind),
                    *(str(self._stand.gate.port), str(first), str(last)),
                    str(self._stand.folder),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                )
            self._processes.append(process)
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            try:
                await asyncio.wait_for(process.wait(), PATIENCE_S.get())
            except TimeoutError:
                process.kill()
                await process.wait()

    async def visits(self, count: int) -> None:
        """Let every gateway tell of so many visits, and wait until they are stored."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.write(f"{count}\n".encode())
        for process in self._processes:
            if process.stdout is not None:
                await process.stdout.readline()

    @property
    def resident(self) -> int:
        """Octets of memory in use by all of them."""
        return sum(_resident(process.pid) for process in self._processes)


def _resident(process: int) -> int:
    """Octets in memory (proc_pid_statm(5): the second number, in pages)."""
    statm = Path(f"/proc/{process}/statm").read_text(encoding="ascii")
    return int(statm.split()[1]) * resource.getpagesize()


async def _restart(stand: Stand, flock: _Flock, count: int, outage_s: float) -> list[float]:
    """Take the broker away for a while; gives when each call came, from its end on."""
    here = asyncio.get_running_loop().time
    stand.expect(await until(lambda: stand.gate.present >= count, 120), "not all came at first")
    began = here()
    stand.broker.kill()
    stand.gate.cut()
    stand.injected += 1
    if flock.kind == "real":
        await flock.visits(1)
    await asyncio.sleep(max(0.0, began + outage_s - here()))
    await asyncio.to_thread(stand.broker.start)
    back = await until(lambda: stand.gate.present >= count, 180)
    stand.expect(back, f"only {stand.gate.present} of {count} came back within 180 s")
    return [passage.began - began for passage in stand.gate.passages if passage.began > began]


def _peak(calls: list[float]) -> int:
    """The most calls within one second of the clock."""
    return max(Counter(int(at) for at in calls).values(), default=0)


async def _herd(folder: Path, length: Length, seed: int) -> Verdict:
    """Real publishers, each with an outbox of its own, and their broker restarted."""
    del seed
    count, outage_s = _GATEWAYS[length], _OUTAGE_S[length]
    limits = ("max_queued_messages 0", "max_connections -1")
    async with Stand(folder, broker=limits) as stand:
        gateways = [Gateway(folder, "mqtt://none", f"gw-{n}") for n in range(1, count + 1)]
        async with _Flock(stand, count, "real") as flock:
            await flock.visits(1)
            calls = await _restart(stand, flock, count, outage_s)
            await flock.visits(1)
            megabytes = flock.resident >> 20
            events = 15 * count  # three visits of each

            def all_there() -> bool:
                ((sum_,),) = ask(stand.hub.store, "SELECT coalesce(sum(seq), 0) FROM cursor")
                return int(sum_) >= events

            stand.expect(await until(all_there, 180), "not settled")
        for gateway in gateways:
            told = json.loads(told_file(folder, gateway.topics.gateway).read_text("utf-8"))
            gateway.told = [tuple(content) for content in told]
        stand.gateways = gateways
        plain = await _plain_peak(folder / "plain", count, outage_s)
        stand.expect(_peak(calls) < plain, "the herd calls as one")
        return stand.verdict(
            f"{count} gateways in {megabytes} MiB: {len(calls)} calls, at most {_peak(calls)} a"
            f" second, the last {max(calls):.0f} s after the broker went for {outage_s:.0f} s;"
            f" paho's own reconnecting: at most {plain} a second"
        )


async def _plain_peak(folder: Path, count: int, outage_s: float) -> int:
    """The same with clients that reconnect as paho does, without jitter."""
    async with (
        Stand(folder, broker=("max_connections -1",), hub=False) as stand,
        _Flock(stand, count, "plain") as flock,
    ):
        return _peak(await _restart(stand, flock, count, outage_s))


SCENARIOS: Final = (Scenario("herd of gateways", _herd),)
