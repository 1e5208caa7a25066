"""A wire that loses, delays and reorders IP packets; TCP is the kernel's."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Final

from simulators.fault_matrix.gateway import Gateway
from simulators.fault_matrix.lossy_link import FAR, LossyLink, NoLinkError
from simulators.fault_matrix.scenario import Length, Scenario, Verdict
from simulators.fault_matrix.stand import Stand

__all__ = ["SCENARIOS"]

_LOSS: Final = 0.3
_DELAY_S: Final = (0.005, 0.06)
_VISITS: Final = {Length.SHORT: 15, Length.LONG: 1000}
_CUT_EVERY_S: Final = 1.0


async def _lossy(folder: Path, length: Length, seed: int) -> Verdict:
    """30 % of the packets are lost each way, and the others overtake each other."""
    async with Stand(folder) as stand:
        try:
            with LossyLink(seed, loss=_LOSS, delay_s=_DELAY_S) as link:
                port = await stand.gate.listen_also(link.listener)
                gateway = stand.gateway(url=f"mqtt://{FAR}:{port}", keepalive="30s")
                took = await _deliver(stand, gateway, length)
                stand.injected = link.dropped
                note = (
                    f"{link.dropped} of {link.dropped + link.carried} IP packets lost,"
                    f" {len(stand.gate.passages)} connections, {took:.0f} s"
                )
        except NoLinkError:  # instead: every connection is short
            gateway = stand.gateway()
            cutting = asyncio.create_task(_cut(stand, random.Random(seed)), name="cutting")
            took = await _deliver(stand, gateway, length)
            cutting.cancel()
            note = f"no TUN devices here: {stand.injected} connections cut instead, {took:.0f} s"
        return stand.verdict(note)


async def _deliver(stand: Stand, gateway: Gateway, length: Length) -> float:
    """Deliver visits; gives how many seconds that took."""
    async with gateway.life():
        began = time.monotonic()
        await gateway.visits(_VISITS[length])
        stand.expect(await gateway.settled(), "not settled")
        return time.monotonic() - began


async def _cut(stand: Stand, dice: random.Random) -> None:
    while True:
        await asyncio.sleep(dice.uniform(0, 2 * _CUT_EVERY_S))
        stand.injected += stand.gate.cut()


SCENARIOS: Final = (Scenario("30 % loss and reordering", _lossy),)
