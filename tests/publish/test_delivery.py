from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.delivery import AHEAD, STALL_S, WINDOW, Delivery, Watermark
from tests.publish.fakes import EPOCH, FakeHub, FakeLink

ANY_BROKER = 65_535  # the Receive Maximum of a broker that says nothing
HUB = 1_000


def ack(seq: int, *, epoch: str = EPOCH, hub: int = HUB) -> Acknowledgement:
    """Write a watermark."""
    return Acknowledgement(epoch=epoch, seq=seq, hub=hub)


def connected(highest: int, *, watermark: int = 0, receive_maximum: int = ANY_BROKER) -> Delivery:
    """Make a connected sender whose outbox holds events up to `highest`."""
    delivery = Delivery(EPOCH, highest=highest, watermark=watermark, hub=HUB if watermark else 0)
    delivery.connected(receive_maximum)
    return delivery


def sends(delivery: Delivery, now: float = 0.0) -> list[int]:
    """Take all that may be sent."""
    return list(delivery.sendable(now))


def accept_all(delivery: Delivery, seqs: list[int]) -> None:
    """Let the broker accept publishes."""
    for seq in seqs:
        delivery.puback(seq)


def test_nothing_is_sent_without_a_connection() -> None:
    """Three events are held and no connection is open: nothing may be sent, and nothing is due."""
    delivery = Delivery(EPOCH, highest=3)
    assert sends(delivery) == []
    assert delivery.deadline is None


@pytest.mark.parametrize(("receive_maximum", "window"), [(1, 1), (5, 5), (100, 100), (65_535, 100)])
def test_the_window_is_the_lesser_of_ours_and_the_brokers(
    receive_maximum: int, window: int
) -> None:
    """The first min(100, Receive Maximum) events are sent, and no more until a PUBACK."""
    delivery = connected(300, receive_maximum=receive_maximum)
    assert sends(delivery) == list(range(1, window + 1))
    assert sends(delivery) == []
    delivery.puback(1)
    assert sends(delivery) == [window + 1]


def test_puback_paces_and_does_not_deliver() -> None:
    """With everything accepted by the broker and no watermark, all is still outstanding."""
    delivery = connected(3)
    accept_all(delivery, sends(delivery))
    assert delivery.in_flight == 0
    assert delivery.outstanding == 3


def test_at_most_a_thousand_rows_are_sent_beyond_the_watermark() -> None:
    """A broker that accepts everything for a hub that is away gets 1,000 events, not 5,000."""
    delivery = connected(5_000)
    sent: list[int] = []
    while seqs := sends(delivery):
        sent += seqs
        accept_all(delivery, seqs)
    assert sent == list(range(1, AHEAD + 1))
    delivery.acknowledged(ack(10), 0.0)
    assert sends(delivery) == list(range(1_001, 1_011))


def test_a_stall_sends_everything_beyond_the_watermark_again() -> None:
    """Five are sent and two confirmed; 2 s later 3, 4 and 5 are sent again, in order."""
    delivery = connected(5)
    accept_all(delivery, sends(delivery, now=0.0))
    delivery.acknowledged(ack(2), 1.0)
    assert delivery.deadline == 1.0 + STALL_S
    delivery.advance(2.99)
    assert sends(delivery, now=2.99) == []
    delivery.advance(3.0)
    assert sends(delivery, now=3.0) == [3, 4, 5]


def test_patience_doubles_up_to_a_minute_and_returns_with_progress() -> None:
    """Resends come after 2, 4, 8, 16, 32, 60, 60 s; after progress, after 2 s again."""
    delivery = connected(10)
    now, resent_at = 0.0, [0.0]
    accept_all(delivery, sends(delivery, now))
    for _ in range(7):
        due = delivery.deadline
        assert due is not None
        now = due
        delivery.advance(now)
        accept_all(delivery, sends(delivery, now))
        resent_at.append(now)
    assert [later - earlier for earlier, later in pairwise(resent_at)] == [2, 4, 8, 16, 32, 60, 60]
    delivery.acknowledged(ack(1), now)
    assert delivery.deadline == now + STALL_S


def test_what_the_broker_has_not_accepted_is_not_sent_twice_on_one_connection() -> None:
    """A stall resends what was accepted; what is still in flight is on its way already."""
    delivery = connected(3)
    sends(delivery, now=0.0)
    delivery.puback(1)
    delivery.advance(2.0)
    assert sends(delivery, now=2.0) == [1]


def test_nothing_is_due_when_everything_is_delivered() -> None:
    """The last event is confirmed: no deadline, nothing to send, until a new one is stored."""
    delivery = connected(2)
    accept_all(delivery, sends(delivery))
    delivery.acknowledged(ack(2), 0.5)
    assert delivery.outstanding == 0
    assert delivery.deadline is None
    delivery.committed(3)
    assert sends(delivery, now=9.0) == [3]
    assert delivery.deadline == 9.0 + STALL_S


def test_a_new_connection_begins_at_the_watermark() -> None:
    """Two of five were confirmed when the connection broke: the next one begins with 3."""
    delivery = connected(5)
    sends(delivery)
    delivery.acknowledged(ack(2), 0.0)
    delivery.disconnected()
    assert sends(delivery) == []
    delivery.connected(ANY_BROKER)
    assert sends(delivery) == [3, 4, 5]


@pytest.mark.parametrize(
    "told", [ack(4, epoch="another"), ack(4, hub=HUB - 1), ack(3), ack(2)], ids=str
)
def test_watermarks_of_no_account_change_nothing(told: Acknowledgement) -> None:
    """Another epoch's, an older incarnation's, a repeated and a lower watermark are ignored."""
    delivery = connected(5)
    sends(delivery)
    delivery.acknowledged(ack(3), 0.0)
    assert delivery.acknowledged(told, 1.0) is Watermark.IGNORED
    assert delivery.watermark == 3


def test_a_newer_incarnation_lowers_the_watermark() -> None:
    """A hub restored from a backup asks from 2: 3, 4 and 5 are sent once more."""
    delivery = connected(5)
    accept_all(delivery, sends(delivery))
    delivery.acknowledged(ack(5), 0.0)
    assert delivery.acknowledged(ack(2, hub=HUB + 1), 1.0) is Watermark.LOWERED
    assert sends(delivery, now=1.0) == [3, 4, 5]
    assert delivery.acknowledged(ack(5), 1.1) is Watermark.IGNORED


def test_the_first_incarnation_heard_of_cannot_lower() -> None:
    """An outbox that never heard of a hub has watermark 0, and 0 of any hub is nothing new."""
    delivery = connected(5)
    assert delivery.acknowledged(ack(0), 0.0) is Watermark.IGNORED
    assert delivery.hub == HUB


def test_a_watermark_above_the_highest_seq_is_impossible() -> None:
    """The hub has applied event 6 of an outbox that has given 5: this outbox is an old copy."""
    delivery = connected(5, watermark=3)
    assert delivery.acknowledged(ack(6), 0.0) is Watermark.IMPOSSIBLE
    assert delivery.watermark == 3


def test_a_refused_publish_blocks_until_it_is_tried_again() -> None:
    """2 of 3 is refused: nothing is sent, 4 neither, until its time; then 2 goes first."""
    delivery = connected(3)
    sends(delivery, now=0.0)
    delivery.puback(1)
    delivery.refused(2, now=0.5)
    delivery.puback(3)
    delivery.acknowledged(ack(1), 0.6)
    delivery.committed(4)
    assert sends(delivery, now=0.7) == []
    due = delivery.deadline
    assert due is not None
    delivery.advance(due)
    assert sends(delivery, now=due) == [2, 3, 4]


def test_a_burst_of_refusals_costs_patience_once() -> None:
    """All of a window of 100 are refused for one reason: the next try is 4 s away, not 60."""
    delivery = connected(100)
    for seq in sends(delivery, now=0.0):
        delivery.refused(seq, now=0.0)
    assert delivery.deadline == 2 * STALL_S


def test_a_refusal_that_the_hub_overtakes_does_not_block_for_ever() -> None:
    """A resent 1 is refused, but the hub has its first copy: 2, stored later, is sent in time."""
    delivery = connected(1)
    accept_all(delivery, sends(delivery, now=0.0))
    delivery.advance(2.0)
    assert sends(delivery, now=2.0) == [1]
    delivery.refused(1, now=2.1)
    delivery.acknowledged(ack(1), 2.2)
    delivery.committed(2)
    delivery.advance(100.0)
    assert sends(delivery, now=100.0) == [2]


def test_what_is_in_flight_counts_after_the_hub_has_confirmed_it() -> None:
    """The hub confirms 1 to 5 before any PUBACK: the broker's Receive Maximum of 5 still binds."""
    delivery = connected(10, receive_maximum=5)
    sends(delivery)
    delivery.acknowledged(ack(5), 0.0)
    assert sends(delivery) == []
    delivery.puback(3)
    assert sends(delivery) == [6]


MISHAPS = st.one_of(
    st.tuples(st.just("commit"), st.integers(1, 250)),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.5, 2.0, 5.0, 61.0])),
    st.tuples(st.just("connect"), st.sampled_from([1, 2, 5, 20, 100, 65_535])),
    *(
        st.tuples(st.just(name), st.integers(1, most))
        for name, most in {
            "send": 1,
            "accept": 60,
            "arrive": 60,
            "hear": 60,
            "refuse": 1,
            "disconnect": 1,
            "lose_events": 30,
            "lose_acks": 30,
            "repeat_event": 3,
            "delay_event": 3,
            "restore_hub": 20,
        }.items()
    ),
)


def happen(link: FakeLink, what: str, much: float) -> None:  # noqa: C901 - one table
    """Let one mishap, or one ordinary thing, happen."""
    match what:
        case "commit":
            link.delivery.committed(link.delivery.highest + int(much))
        case "wait":
            link.wait(much)
        case "connect":
            link.connect(int(much))
        case "restore_hub":
            hub = link.hub
            hub.incarnation += 1
            hub.cursor = max(0, hub.cursor - int(much))
            del hub.applied[hub.cursor :]
            link.acks.append(hub.tell())
        case "send" | "disconnect":
            getattr(link, what)()
        case "lose_events" | "lose_acks":
            queue = link.to_hub if what == "lose_events" else link.acks
            for _ in range(min(int(much), len(queue))):
                queue.popleft()
        case "repeat_event":
            link.to_hub.extend(list(link.to_hub)[: int(much)])
        case "delay_event":
            link.to_hub.rotate(-int(much))
        case _:
            for _ in range(int(much)):
                getattr(link, what)()


@given(st.lists(MISHAPS, max_size=60))
@settings(max_examples=300, deadline=None)
def test_every_event_is_applied_once_and_in_order(mishaps: list[tuple[str, float]]) -> None:
    """Whatever is lost, doubled, delayed, refused or restored, a fair link then delivers it all."""
    link = FakeLink(Delivery(EPOCH, highest=3), FakeHub())
    for what, much in mishaps:
        happen(link, what, much)
    if not link.receive_maximum:
        link.connect(20)
    link.acks.append(link.hub.tell())
    for _ in range(20):
        link.flow()
        link.wait(61.0)
    assert link.hub.applied == list(range(1, link.delivery.highest + 1))
    assert link.delivery.outstanding == 0


@given(st.lists(MISHAPS, max_size=60))
@settings(deadline=None)
def test_the_watermark_never_passes_what_the_hub_has_applied(
    mishaps: list[tuple[str, float]],
) -> None:
    """A row that only the broker has accepted is never counted as delivered."""
    link = FakeLink(Delivery(EPOCH, highest=3), FakeHub())
    most_applied = 0
    for what, much in mishaps:
        happen(link, what, much)
        most_applied = max(most_applied, link.hub.cursor)
        assert link.delivery.watermark <= most_applied


def test_a_thousand_events_need_no_second_sending_over_a_fair_link() -> None:
    """Over a link that loses nothing each of 1,000 events is sent exactly once."""
    link = FakeLink(Delivery(EPOCH, highest=1_000), FakeHub())
    link.connect(WINDOW)
    link.flow()
    assert link.sent == link.hub.applied == list(range(1, 1_001))
