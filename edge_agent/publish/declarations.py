"""What is declared instead of sent: what the broker refuses, and what is held no longer."""

from __future__ import annotations

import structlog

from edge_agent.publish.delivery import Delivery
from edge_agent.publish.outbox import Outbox, OutboxFullError
from edge_agent.publish.outbox_budget import Write
from edge_agent.publish.writer import OutboxThread

__all__ = ["declare_lost", "skip_refused"]

log = structlog.get_logger()


async def skip_refused(outbox: OutboxThread, delivery: Delivery, write: Write) -> int:
    """Skip what is refused; gives how many events went: 0 when none is, or on a full disk."""
    seq = delivery.refused_seq
    if seq is None:
        return 0

    def skip(held: Outbox) -> int:
        return held.skip(seq, write) if held.epoch == delivery.epoch else 0

    try:
        count = await outbox(skip)
    except OutboxFullError:
        log.error("disk_full", waiting="a skip")  # noqa: TRY400 - the operator's matter
        return 0
    if count:
        log.warning("refused_event_skipped", seq=seq)
        delivery.skipped()
    return count


async def declare_lost(outbox: OutboxThread, epoch: str, first: int, write: Write) -> None:
    """Declare what a restored hub asks for, from `first`, and that is held no longer."""

    def declare(held: Outbox) -> None:
        if first < held.first_held and held.epoch == epoch:
            held.declare_lost(first, held.first_held - 1, write)

    await outbox(declare)
