"""The matrix against senders that are broken on purpose: each is caught by a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.delivery import Delivery, Watermark
from simulators.fault_matrix.families import FAMILIES
from simulators.fault_matrix.gateway import PATIENCE_S, SENDER
from simulators.fault_matrix.scenario import Length, Verdict

pytestmark = [pytest.mark.faults, pytest.mark.broker]


class TakesPubackForDelivery(Delivery):
    """Is done with an event once the broker has it, as most senders are."""

    def puback(self, seq: int) -> None:
        """The broker has it: what could happen now?"""
        super().puback(seq)
        self.watermark = max(self.watermark, seq)


class SkipsWhatIsRefused(Delivery):
    """Goes on with the next event after a refusal, and declares nothing."""

    def refused(self, seq: int, now: float) -> None:
        """Somebody else's problem."""
        del now
        self.puback(seq)
        self.watermark = max(self.watermark, seq)


class BelievesAnyNumber(Delivery):
    """Takes a watermark above its own numbers for one that confirms them all."""

    def acknowledged(self, ack: Acknowledgement, now: float) -> Watermark:
        """The more the better."""
        bounded = ack.model_copy(update={"seq": min(ack.seq, self.highest)})
        return super().acknowledged(bounded, now)


class NeverGoesBack(Delivery):
    """Sends nothing again that was confirmed once, whoever the hub is now."""

    def acknowledged(self, ack: Acknowledgement, now: float) -> Watermark:
        """Lower than before is old news."""
        if ack.seq < self.watermark:
            return Watermark.IGNORED
        return super().acknowledged(ack, now)


class KnowsNoLimit(Delivery):
    """Sends as many at once as it likes, whatever the broker can take."""

    def connected(self, receive_maximum: int) -> None:
        """Its own window is the only one."""
        del receive_maximum
        super().connected(100)


@contextmanager
def sabotaged(sender: type[Delivery]) -> Iterator[None]:
    """Let the gateways of a scenario send like this, and be given up on soon."""
    sending, waiting = SENDER.set(sender), PATIENCE_S.set(5.0)
    try:
        yield
    finally:
        SENDER.reset(sending)
        PATIENCE_S.reset(waiting)


async def verdict_on(sender: type[Delivery], scenario: str, folder: Path) -> Verdict:
    """Run a scenario of the matrix with a broken sender."""
    (run,) = (named.scenario.run for named in FAMILIES if named.name == scenario)
    with sabotaged(sender):
        return await run(folder, Length.SHORT, 1)


async def test_a_puback_taken_for_delivery_is_a_loss(tmp_path: Path) -> None:
    """The broker accepts events for a hub that is away, and drops them: they are missed."""
    verdict = await verdict_on(TakesPubackForDelivery, "broker's queue overflows", tmp_path)
    assert not verdict.kept
    assert verdict.findings.lost > 0
    assert verdict.findings.doubled == 0


async def test_skipping_a_refused_event_is_a_loss(tmp_path: Path) -> None:
    """Two events are refused and passed over: they are missed."""
    verdict = await verdict_on(SkipsWhatIsRefused, "PUBACK negative 0x87", tmp_path)
    assert not verdict.kept
    assert verdict.findings.lost >= 2


async def test_numbers_used_twice_are_a_loss(tmp_path: Path) -> None:
    """An old copy of the outbox goes on with numbers that are used: the hub takes none of them."""
    verdict = await verdict_on(BelievesAnyNumber, "old copy of the outbox", tmp_path)
    assert not verdict.kept
    assert verdict.findings.lost > 0


@pytest.mark.proof  # it waits for a minute that nothing comes
async def test_not_going_back_for_a_restored_hub_is_a_loss(tmp_path: Path) -> None:
    """The hub has lost what it confirmed: it is not sent again, and missed."""
    verdict = await verdict_on(NeverGoesBack, "hub restored", tmp_path)
    assert not verdict.kept
    assert verdict.findings.lost > 0


async def test_more_under_way_than_allowed_is_seen_on_the_wire(tmp_path: Path) -> None:
    """The broker allows one publish at a time: nothing is lost, and the wire tells all the same."""
    verdict = await verdict_on(KnowsNoLimit, "Receive Maximum 1", tmp_path)
    assert not verdict.kept
    assert any("where 1 are allowed" in fault for fault in verdict.broken)
