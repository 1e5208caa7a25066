"""What goes when too much waits for the hub, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.model import PresenceEvent
from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.delivery import Delivery
from edge_agent.publish.outbox import Outbox
from edge_agent.publish.outbox_budget import Limits
from tests.publish.stories import ANNA, BERTA, OPENED, composer, drafted, dwell, enter, leave

WRITER = composer()
GAP = "presence.gap.v1"
SMALL = Limits(max_bytes=20_000)  # some thirty events


def put(outbox: Outbox, *events: PresenceEvent) -> None:
    """Commit events as the writer does."""
    pairs = drafted(WRITER, *events)
    outbox.commit([draft for draft, _ in pairs], WRITER.number, [visit for _, visit in pairs])
    outbox.keep_to_budget(WRITER.gap)


def held(outbox: Outbox) -> list[dict[str, Any]]:
    """Give every event held, as JSON."""
    return [json.loads(body) for _, body in outbox.read(1, outbox.highest)]


def kinds(outbox: Outbox) -> list[str]:
    """Give the types held, in order."""
    return [event["type"].split(".")[1] for event in held(outbox)]


def covered(events: Sequence[dict[str, Any]]) -> list[int]:
    """Give every number that events and tombstones stand for, in order."""
    numbers: list[int] = []
    for event in events:
        last = event["data"]["to"] if event["type"] == GAP else event["seq"]
        numbers += range(event["seq"], last + 1)
    return numbers


def test_dwell_goes_first_and_each_range_is_one_tombstone() -> None:
    """Fifty dwells between two visits: the oldest dwells are one tombstone, no enter has gone."""
    with Outbox.in_memory("e", SMALL) as outbox:
        put(outbox, enter(), *[dwell()] * 50, leave())
        events = held(outbox)
        assert events[0]["type"] == "presence.enter.v1"
        assert (events[1]["type"], events[1]["seq"]) == (GAP, 2)
        dropped = events[1]["data"]
        assert dropped["reason"] == "budget"
        assert dropped["counts"] == {"presence.dwell.v1": dropped["to"] - 1}
        assert [event["type"] for event in events].count(GAP) == 1
        assert events[-1]["type"] == "presence.exit.v1"
        assert covered(events) == list(range(1, 53))


def test_a_last_tenth_is_for_enter_and_exit_alone() -> None:
    """Filled with enters to 95 %, a dwell goes at once, and the next enter is stored."""
    with Outbox.in_memory("e", SMALL) as outbox:
        while outbox.ledger.backlog < SMALL.max_bytes * 0.95:
            put(outbox, enter())
        enters = outbox.highest
        put(outbox, dwell())
        assert kinds(outbox) == ["enter"] * enters + ["gap"]
        put(outbox, enter(BERTA))
        assert kinds(outbox)[-2:] == ["gap", "enter"]


def test_of_enter_and_exit_the_oldest_go_and_the_newest_always_fit() -> None:
    """Two hundred enters in room for thirty: one tombstone of the oldest, then the newest."""
    with Outbox.in_memory("e", SMALL) as outbox:
        for number in range(200):
            put(outbox, enter(number=number))
        assert outbox.ledger.backlog <= SMALL.max_bytes
        assert kinds(outbox)[0] == "gap"
        assert set(kinds(outbox)[1:]) == {"enter"}
        assert covered(held(outbox)) == list(range(1, 201))
        assert held(outbox)[-1]["data"]["visit"] == "visit-visitor-anna-199"


def test_what_was_handed_to_a_broker_never_goes(tmp_path: Path) -> None:
    """Ten dwells were sent: they stay, in this life and the next, whatever comes after them."""
    path = tmp_path / "outbox.db"
    with Outbox.open(path, SMALL) as outbox:
        put(outbox, *[dwell()] * 10)
        outbox.hand_out(1, 10)
        put(outbox, *[enter()] * 60)
        assert kinds(outbox)[:11] == ["dwell"] * 10 + ["gap"]
    with Outbox.open(path, SMALL) as outbox:
        put(outbox, *[enter()] * 200)
        assert kinds(outbox)[:10] == ["dwell"] * 10


def test_what_waits_too_long_is_declared() -> None:
    """A week and a bit later all five are one tombstone of reason age; a week less, none is."""
    with Outbox.in_memory("e", Limits()) as outbox:
        put(outbox, enter(), dwell(), enter(BERTA), leave(BERTA), leave())
        week = Limits().max_age_s
        outbox.sweep(OPENED + week - 60, WRITER.gap)
        assert len(held(outbox)) == 5
        outbox.sweep(None, WRITER.gap)
        assert len(held(outbox)) == 5
        outbox.sweep(OPENED + week + 200, WRITER.gap)
        (gap,) = held(outbox)
    assert (gap["data"]["from"], gap["data"]["to"], gap["data"]["reason"]) == (1, 5, "age")


def test_the_tail_goes_after_a_day() -> None:
    """Confirmed events are kept for a hub that is restored, a day long."""
    with Outbox.in_memory("e", Limits()) as outbox:
        put(outbox, enter(), leave())
        outbox.acknowledge(Acknowledgement(epoch="e", seq=2, hub=1))
        outbox.sweep(OPENED + 23 * 3600, WRITER.gap)
        assert len(held(outbox)) == 2
        outbox.sweep(OPENED + 25 * 3600, WRITER.gap)
        assert held(outbox) == []
        assert outbox.ledger.tail == 0


@dataclass
class Story:
    """An outbox on a small budget, its delivery, and a hub that may be away."""

    outbox: Outbox
    delivery: Delivery = field(init=False)
    cursor: int = 0
    applied: list[dict[str, Any]] = field(default_factory=list)
    committed: int = 0
    now: float = 0.0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin again with what the disk holds (reached for inside): its `sent` among it."""
        outbox = self.outbox
        outbox.ledger.load(outbox.watermark, outbox._number("sent"))
        self.delivery = Delivery("e", highest=outbox.highest, watermark=outbox.watermark, hub=1)
        self.delivery.connected(100)

    def commit(self, what: str, much: int) -> None:
        """Store events."""
        stories: dict[str, Callable[..., PresenceEvent]] = {
            "enter": enter,
            "dwell": dwell,
            "exit": leave,
        }
        put(self.outbox, *[stories[what](number=self.committed)] * much)
        self.committed += much
        self.delivery.committed(self.outbox.highest)

    def send(self, lose: int) -> None:
        """Let a window go out, and its first few, or its last few, be lost."""
        seqs = list(self.delivery.sendable(self.now))
        if seqs:
            held = dict(self.outbox.hand_out(seqs[0], seqs[-1]))
            bodies = [held[seq] for seq in seqs if seq in held]
            for body in bodies[lose:]:
                self._hub_takes(json.loads(body))
            for seq in seqs:
                self.delivery.puback(seq)

    def hear(self) -> None:
        """Let the hub's watermark arrive."""
        ack = Acknowledgement(epoch="e", seq=self.cursor, hub=1)
        self.delivery.acknowledged(ack, self.now)
        if self.delivery.watermark > self.outbox.watermark:
            self.outbox.acknowledge(ack)

    def _hub_takes(self, event: dict[str, Any]) -> None:
        last = event["data"]["to"] if event["type"] == GAP else event["seq"]
        if event["seq"] <= self.cursor + 1 <= last:
            self.applied.append(event | {"first": self.cursor + 1})
            self.cursor = last


STEPS = st.one_of(
    st.tuples(st.sampled_from(["enter", "dwell", "exit"]), st.integers(1, 40)),
    st.tuples(st.sampled_from(["send", "restart", "hear", "erase", "wait", "sweep"]), st.just(0)),
    st.tuples(st.just("send"), st.integers(0, 20)),
)


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=150, deadline=None)
def test_every_number_reaches_the_hub_once_and_in_order_as_event_or_tombstone(
    steps: list[tuple[str, int]],
) -> None:
    """Whatever is dropped, erased, lost or restarted: applied + declared = committed, in order.

    It reaches inside for the ledger's sum, to hold the running counts against it at every step.
    """
    with Outbox.in_memory("e", SMALL) as outbox:
        story = Story(outbox)
        for what, much in steps:
            match what:
                case "send":
                    story.send(much)
                case "restart" | "hear":
                    getattr(story, what)()
                case "erase":
                    outbox.erase(ANNA, WRITER.gap)
                case "sweep":
                    outbox.sweep(OPENED + 8 * 24 * 3600, WRITER.gap)
                case "wait":
                    story.now += 61.0
                    story.delivery.advance(story.now)
                case _:
                    story.commit(what, much)
            fits = outbox.ledger.backlog <= SMALL.max_bytes
            assert fits or outbox.ledger.sent > outbox.watermark  # what was sent is kept
            ledger = outbox.ledger
            assert ledger.tail == ledger._size(0, ledger.watermark)
            assert ledger.backlog == ledger._size(ledger.watermark + 1, 1 << 62)
        for _ in range(60):
            story.send(0)
            story.hear()
            story.now += 61.0
            story.delivery.advance(story.now)
        numbers: list[int] = []
        for event in story.applied:
            last = event["data"]["to"] if event["type"] == GAP else event["seq"]
            numbers += range(event["first"], last + 1)
        assert numbers == list(range(1, story.committed + 1))
        ids = [event["id"] for event in story.applied if event["type"] != GAP]
        assert len(ids) == len(set(ids))
