"""The rules, in the order of the report; each has its own gateways, so that none spoils another."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from simulators.hub_check.gateway import BrokenError, Gateway, Wire
from simulators.hub_check.rule import NotJudgedError, Rule, Stage

__all__ = ["ANSWERS", "RULES", "STEADY"]

_APPLY: Final = "seq == cursor + 1: apply"
_DROP: Final = "seq <= cursor: drop and publish the cursor again"
_AHEAD: Final = "seq > cursor + 1: wait briefly, then publish the cursor again"
_GAP: Final = "a tombstone is applied when from <= cursor + 1 <= to, and then cursor = to"
_EPOCH: Final = "the first seq of an epoch is 1; an epoch unknown to the hub has cursor 0"
_ACK: Final = "ack is retained: the watermark {epoch, seq, hub}"
_LIST: Final = "the schema is an allow-list; what is no event is not acknowledged"
_HUB: Final = "hub is Unix milliseconds when the store was created or restored, and never falls"
_ONCE: Final = "the hub applies each event in one transaction, and acknowledges after its commit"

_2020_MS: Final = 1_577_836_800_000
_2099: Final = 4_070_908_800.0
_BURST: Final = 500
_TRIES: Final = 5
_GARBAGE: Final = (
    b"",
    b"not JSON",
    b"\xff\xfe\x00",
    b"[]",
    b"null",
    b'{"seq": 2}',
    b"[" * 5_000,
    b'{"seq": NaN}',
)
_OVERSIZE: Final = 128 * 1024

RULES: Final[list[Rule]] = []


def rule(
    name: str, clause: str, fix: str, *, hostile: bool = False
) -> Callable[[Callable[[Stage], Awaitable[None]]], Callable[[Stage], Awaitable[None]]]:
    """Enter a play among the rules."""

    def enter(play: Callable[[Stage], Awaitable[None]]) -> Callable[[Stage], Awaitable[None]]:
        RULES.append(Rule(name, clause, fix, play, hostile))
        return play

    return enter


async def _at(stage: Stage, name: str, seq: int) -> Gateway:
    """Bring a gateway to where the hub has acknowledged `seq`."""
    gateway = stage.gateway(name)
    await gateway.send_range(1, seq)
    await gateway.told(seq)
    return gateway


@rule("answers", _APPLY, "subscribe to presence/v1/+/+/+/+/events, and publish on .../ack")
async def _answers(stage: Stage) -> None:
    """Events 1 to 3."""
    gateway = stage.gateway("answers")
    for _ in range(_TRIES):  # as a gateway goes back, for a hub that has just begun
        await gateway.send_range(1, 3)
        if gateway.unreadable or await gateway.answered(0, _TRIES):
            break
    if gateway.unreadable:
        raise BrokenError(f"an acknowledgement is none: {gateway.unreadable[0]}")
    await gateway.told(3)
    gateway.never_above(3, why="nothing beyond 3 was sent")


@rule("burst", _APPLY, "keep the order of arrival: one topic, one queue, no pool beside it")
async def _burst(stage: Stage) -> None:
    """Many events in a window of 100."""
    gateway = stage.gateway("burst")
    await gateway.send_range(1, _BURST)
    await gateway.told(_BURST)


@rule("ack retained", _ACK, "publish the acknowledgement with the retain flag")
async def _ack_retained(stage: Stage) -> None:
    """Events 1 to 2, then a client that subscribes afterwards."""
    gateway = await _at(stage, "retained", 2)
    async with Wire(stage.settings, gateway.topics) as later:
        heard = stage.gateway("heard")
        heard.topics = gateway.topics
        later.gateways[gateway.root] = heard
        await heard.told(2, epoch=gateway.epoch)
        later.gateways.clear()  # what is retained is not its to take away


@rule(
    "ack lost", _ACK, "publish the cursor for every duplicate, retained, even if it has not moved"
)
async def _ack_lost(stage: Stage) -> None:
    """The broker loses the retained watermark; the gateway sends event 2 again."""
    gateway = await _at(stage, "ack-lost", 2)
    await gateway.lose_retained()
    mark = len(gateway.acks)
    await gateway.send_range(2, 2)
    await gateway.told(2, since=mark)


@rule("duplicate", _DROP, "compare seq with the cursor before anything is applied")
async def _duplicate(stage: Stage) -> None:
    """Events 1 to 3, then 2 again."""
    gateway = await _at(stage, "duplicate", 3)
    mark = len(gateway.acks)
    await gateway.send_range(2, 2)
    await gateway.told(3, since=mark)
    await stage.settle()
    gateway.never_above(3, why="nothing beyond 3 was sent: a duplicate was counted")


@rule("go-back-n", _DROP, "a gateway resends whole windows: drop each duplicate, whatever follows")
async def _go_back(stage: Stage) -> None:
    """Events 1 to 50, three times over without waiting."""
    gateway = stage.gateway("go-back")
    for _ in range(3):
        await gateway.send_range(1, 50)
    await gateway.told(50)
    await stage.settle()
    gateway.never_above(50, why="nothing beyond 50 was sent")


@rule("gap holds", _AHEAD, "move the cursor by what is contiguous, never to the maximum")
async def _gap_holds(stage: Stage) -> None:
    """Events 1, 2, 4, 5; later 3, 4, 5."""
    gateway = await _at(stage, "gap", 2)
    await gateway.send_range(4, 5)
    await stage.settle()
    gateway.never_above(2, why="3 had never been sent")
    await gateway.send_range(3, 5)
    await gateway.told(5)


@rule("gap told", _AHEAD, "publish the cursor when something is missing, so that it is sent")
async def _gap_told(stage: Stage) -> None:
    """Events 1, 2, 4."""
    gateway = await _at(stage, "gap-told", 2)
    mark = len(gateway.acks)
    await gateway.send_range(4, 4)
    await gateway.told(2, since=mark)


@rule("reordered", _AHEAD, "apply in the order of seq, whatever the order of arrival")
async def _reordered(stage: Stage) -> None:
    """Events 1, 3, 4; later 2, 4, 3; later 3, 4."""
    gateway = await _at(stage, "reordered", 1)
    await gateway.send_range(3, 4)
    await stage.settle()
    gateway.never_above(1, why="2 had never been sent")
    await gateway.send(gateway.enter(2), gateway.enter(4), gateway.enter(3))
    await gateway.send_range(3, 4)
    await gateway.told(4)


@rule("tombstone", _GAP, "a presence.gap.v1 moves the cursor to its `to`")
async def _tombstone(stage: Stage) -> None:
    """Event 1, a tombstone of 2 to 5, event 6."""
    gateway = await _at(stage, "tombstone", 1)
    await gateway.send(gateway.gap(2, 5))
    await gateway.told(5)
    await gateway.send_range(6, 6)
    await gateway.told(6)


@rule("tombstone first", _GAP, "an epoch may begin with a tombstone: the cursor was 0")
async def _tombstone_first(stage: Stage) -> None:
    """A tombstone of 1 to a million, and the event behind it."""
    gateway = stage.gateway("tombstone-first")
    await gateway.send(gateway.gap(1, 1_000_000), gateway.enter(1_000_001))
    await gateway.told(1_000_001)


@rule("tombstone overlapping", _GAP, "compare cursor + 1 with the range, not with seq alone")
async def _tombstone_overlapping(stage: Stage) -> None:
    """Events 1, 2, a tombstone of 1 to 4, event 5."""
    gateway = await _at(stage, "overlapping", 2)
    await gateway.send(gateway.gap(1, 4))
    await gateway.told(4)
    await gateway.send_range(5, 5)
    await gateway.told(5)


@rule("tombstone beyond", _GAP, "a tombstone excuses what it names, and nothing before it")
async def _tombstone_beyond(stage: Stage) -> None:
    """Event 1, a tombstone of 3 to 5; later 2 and the tombstone again."""
    gateway = await _at(stage, "beyond", 1)
    await gateway.send(gateway.gap(3, 5))
    await stage.settle()
    gateway.never_above(1, why="2 was neither sent nor declared dropped")
    await gateway.send(gateway.enter(2), gateway.gap(3, 5))
    await gateway.told(5)


@rule("tombstone old", _DROP, "a tombstone whose `to` is passed is a duplicate")
async def _tombstone_old(stage: Stage) -> None:
    """Events 1 to 4, a tombstone of 2 to 3."""
    gateway = await _at(stage, "tombstone-old", 4)
    mark = len(gateway.acks)
    await gateway.send(gateway.gap(2, 3))
    await gateway.told(4, since=mark)


@rule("new epoch", _EPOCH, "key the cursor by source and epoch")
async def _new_epoch(stage: Stage) -> None:
    """Events 1 to 3, then events 1 to 2 of another epoch."""
    gateway = await _at(stage, "epoch", 3)
    await gateway.send(
        gateway.enter(1, epoch=gateway.another), gateway.enter(2, epoch=gateway.another)
    )
    await gateway.told(2, epoch=gateway.another)
    gateway.never_above(2, epoch=gateway.another, why="that epoch had 2 events")


@rule("new epoch ahead", _EPOCH, "an epoch never heard of begins at 0, whatever came before")
async def _new_epoch_ahead(stage: Stage) -> None:
    """Events 1 to 3, then event 4 of another epoch."""
    gateway = await _at(stage, "epoch-ahead", 3)
    await gateway.send(gateway.enter(4, epoch=gateway.another))
    await gateway.told(0, epoch=gateway.another)
    gateway.never_above(0, epoch=gateway.another, why="its events 1 to 3 had never been sent")


@rule("restored card", _EPOCH, "keep the cursors of old epochs: they unmask an old copy")
async def _restored_card(stage: Stage) -> None:
    """Five events; one of another epoch; then, from an old card image, event 3 of the first."""
    gateway = await _at(stage, "card", 5)
    await gateway.send(gateway.enter(1, epoch=gateway.another))
    await gateway.told(1, epoch=gateway.another)
    mark = len(gateway.acks)
    await gateway.send_range(3, 3)
    await gateway.told(5, since=mark)


@rule("two gateways", _EPOCH, "key the cursor by source: a gap of one is nobody else's")
async def _two_gateways(stage: Stage) -> None:
    """Two gateways with the same epoch and numbers, interleaved; the second lacks its event 2."""
    one = stage.gateway("one-of-two", "the-same")
    two = stage.gateway("two-of-two", "the-same")
    await two.send(two.enter(1))
    await one.send(one.enter(1), one.enter(2))
    await two.send(two.enter(3))
    await one.send(one.enter(3))
    await one.told(3)
    await two.told(1)
    await stage.settle()
    two.never_above(1, why="its event 2 had never been sent")


@rule("lying clock", _APPLY, "order by seq alone: a gateway's clock may stand anywhere")
async def _lying_clock(stage: Stage) -> None:
    """Events of 2099, of 1970 and of now."""
    gateway = stage.gateway("clock")
    for seq, unix in enumerate((_2099, 0.0, time.time(), _2099, 1.0), start=1):
        await gateway.send(gateway.enter(seq, unix=unix))
    await gateway.told(5)


@rule("malformed", _LIST, "set aside what cannot be read, and go on", hostile=True)
async def _malformed(stage: Stage) -> None:
    """Event 1, eight messages that are no events, event 2."""
    gateway = await _at(stage, "malformed", 1)
    await gateway.send(*_GARBAGE)
    await stage.settle()
    gateway.never_above(1, why="what followed was no event")
    await gateway.send_range(2, 2)
    await gateway.told(2)


@rule("unknown type", _LIST, "do not acknowledge what was not applied", hostile=True)
async def _unknown_type(stage: Stage) -> None:
    """Event 1, an event 2 of a type that there is not; later event 2."""
    gateway = await _at(stage, "unknown", 1)
    await gateway.send(gateway.altered(2, type="presence.party.v1"))
    await stage.settle()
    gateway.never_above(1, why="presence.party.v1 is no type of the contract")
    await gateway.send_range(2, 2)
    await gateway.told(2)


@rule("oversize", _LIST, "bound what is read; the largest event has less than 4 KiB", hostile=True)
async def _oversize(stage: Stage) -> None:
    """Event 1, an event 2 with a member of 128 KiB that there is not; later event 2."""
    gateway = await _at(stage, "oversize", 1)
    await gateway.send(gateway.altered(2, ballast="x" * _OVERSIZE))
    await stage.settle()
    gateway.never_above(1, why="the contract knows no such member")
    await gateway.send_range(2, 2)
    await gateway.told(2)


@rule("foreign source", _LIST, "believe the topic, which the broker guards", hostile=True)
async def _foreign_source(stage: Stage) -> None:
    """Event 1 of a gateway; its event 2 on another gateway's topic."""
    victim = await _at(stage, "victim", 1)
    thief = stage.gateway("thief")
    await thief.send(victim.enter(2))
    await stage.settle()
    victim.never_above(1, why="event 2 came on another gateway's topic")
    await victim.send(victim.gap(2, 3))
    await victim.told(3)


@rule("restart", _ONCE, "acknowledge after the commit, and commit durably", hostile=True)
async def _restart(stage: Stage) -> None:
    """Events while the hub is killed and started again; then all of them again."""
    if stage.restart is None:
        raise NotJudgedError("--restart COMMAND, which kills the hub and starts it again")
    gateway = await _at(stage, "restart", 20)
    await gateway.send_range(21, 200)
    await gateway.told(200)
    await stage.restart()
    mark, told = len(gateway.acks), max(ack.seq for ack in gateway.acks)
    for _ in range(_TRIES):  # with a duplicate, until the hub is back
        await gateway.send_range(told, told)
        if await gateway.answered(mark, _TRIES):
            break
    else:
        raise BrokenError("after the restart it said nothing")
    back = gateway.acks[-1].seq
    if back < told:
        raise BrokenError(f"it had acknowledged {told}, and came back with {back}")


async def _watermarks(stage: Stage) -> None:
    """All of the above: within an epoch and an incarnation no watermark is below an earlier one."""
    for gateway in stage.wire.gateways.values():
        highest: dict[tuple[str, int], int] = {}
        for ack in gateway.acks:
            before = highest.setdefault((ack.epoch, ack.hub), ack.seq)
            if ack.seq < before:
                raise BrokenError(f"{gateway.topics.gateway}: {ack.seq} came after {before}")
            highest[ack.epoch, ack.hub] = ack.seq


async def _incarnation(stage: Stage) -> None:
    """All of the above: `hub` is a time of our days, and no later answer has a smaller one."""
    for gateway in stage.wire.gateways.values():
        latest = 0
        for ack in gateway.acks:
            if not _2020_MS <= ack.hub <= (time.time() + 86_400) * 1_000:
                raise BrokenError(f"{ack.hub} is no Unix time in milliseconds between 2020 and now")
            if ack.hub < latest:
                raise BrokenError(f"{gateway.topics.gateway}: {ack.hub} came after {latest}")
            latest = ack.hub


async def _readable(stage: Stage) -> None:
    """All of the above: each answer is a JSON object with epoch, seq and hub."""
    for gateway in stage.wire.gateways.values():
        if gateway.unreadable:
            raise BrokenError(f"{gateway.topics.gateway}: {gateway.unreadable[0]}")


ANSWERS: Final = RULES[0]
STEADY: Final = (
    Rule("readable", _ACK, 'publish {"epoch": text, "seq": number, "hub": number}', _readable),
    Rule("watermarks never fall", _DROP, "publish the cursor, not the event's seq", _watermarks),
    Rule(
        "incarnation",
        _HUB,
        "fix the incarnation when the store is created or restored",
        _incarnation,
    ),
)
