"""Letters beside the events: their share of the window, and a channel through a real broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from edge_agent.publish.channel import MOST_LETTERS, Letter, Letters, Outlet
from simulators.mosquitto import Mosquitto
from tests.publish.conftest import Brokers, Publishing
from tests.publish.hub import ROOT, PlainHub, until
from tests.publish.stories import composer, drafted, dwell, enter, leave
from tests.publish.wire import Wire

WRITER = composer()


def letter(leaf: str = "chat/a") -> Letter:
    """Write a letter."""
    return Letter(leaf, b"x", retain=False, accepted=None)


def post(letters: Letters, mid: int) -> None:
    """Send the next letter under a mid."""
    letters.post(lambda _: mid)


def test_letters_take_a_tenth_of_the_window_and_always_one() -> None:
    """In a window of 100 ten letters may be under way, in one of 20 two, in one of 5 one."""
    for window, share in ((100, 10), (20, 2), (5, 1)):
        letters = Letters()
        for _ in range(50):
            letters.put(letter())
        sent = 0
        while letters.due(window, events=0):
            sent += 1
            post(letters, sent)
        assert sent == share


def test_events_in_flight_leave_a_letter_no_room_beyond_the_window() -> None:
    """With 20 of 20 in flight a letter waits, with 19 it goes; meanwhile its place stays free."""
    letters = Letters()
    letters.put(letter())
    assert not letters.due(20, events=20)
    assert letters.room(20) == 1
    assert letters.due(20, events=19)


def test_too_many_waiting_letters_are_refused_and_the_birth_is_not() -> None:
    """Beyond `MOST_LETTERS` a letter is refused; the birth overtakes them all."""
    letters = Letters()
    assert all(letters.put(letter()) for _ in range(MOST_LETTERS))
    assert not letters.put(letter())
    assert letters.put(letter("state"), first=True)
    sent: list[str] = []

    def publish(one: Letter) -> int:
        sent.append(one.leaf)
        return 1

    letters.post(publish)
    assert sent == ["state"]


def test_in_a_window_of_one_letters_and_events_take_turns() -> None:
    """A letter, then an event's turn, then a letter; where no event waits, letters follow on."""
    letters = Letters()
    for _ in range(3):
        letters.put(letter())
    post(letters, 1)
    assert not letters.take_turn(events_sent=False) or not letters.due(1, events=0)
    letters.settled(1, None)
    assert not letters.due(1, events=0)
    assert letters.room(1) == 0
    letters.take_turn(events_sent=True)
    assert letters.due(1, events=0)
    post(letters, 2)
    letters.settled(2, None)
    assert letters.take_turn(events_sent=False)
    assert letters.due(1, events=0)


def test_a_letter_is_told_what_became_of_it() -> None:
    """Accepted, refused with a reason, or never heard of again when the connection ended."""
    heard: list[str | None] = []
    letters = Letters()
    for mid in (1, 2, 3):
        letters.put(Letter("chat/a", b"x", retain=False, accepted=heard.append))
        post(letters, mid)
    assert letters.settled(1, None)
    assert letters.settled(2, "not authorised")
    assert not letters.settled(9, None)
    letters.clear()
    assert heard == [None, "not authorised"]
    assert len(letters) == 0


@dataclass
class Chatter:
    """A channel that answers what it hears, and says so much at each opening."""

    name: str = "chat"
    filters: Sequence[str] = ("chat/in",)
    greetings: int = 1
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    accepted: list[str | None] = field(default_factory=list)
    closings: int = 0
    outlet: Outlet | None = None

    def opened(self, outlet: Outlet) -> None:
        """Greet."""
        self.outlet = outlet
        for number in range(self.greetings):
            self._say(f"hello {number}".encode())

    def closed(self) -> None:
        """Count it."""
        self.outlet = None
        self.closings += 1

    def take(self, leaf: str, payload: bytes) -> None:
        """Answer."""
        self.heard.append((leaf, payload))
        self._say(b"heard " + payload)

    def _say(self, payload: bytes) -> None:
        if self.outlet is not None:
            self.outlet.send("chat/out", payload, accepted=self.accepted.append)


def said(hub: PlainHub) -> list[bytes]:
    """Give what came on the channel's topic."""
    return [body for topic, body in hub.messages if topic == f"{ROOT}/chat/out"]


@pytest.mark.broker
async def test_a_channel_hears_speaks_and_is_told_of_every_connection(
    mosquitto: Mosquitto, publishing: Publishing
) -> None:
    """It greets, answers, loses the broker, and greets again on the next connection."""
    chatter = Chatter()
    async with (
        PlainHub(mosquitto.port) as hub,
        publishing(mosquitto.port, channels=[chatter]) as publisher,
    ):
        await until(lambda: said(hub) == [b"hello 0"])
        hub.say("chat/in", b"you")
        await until(lambda: said(hub) == [b"hello 0", b"heard you"])
        assert chatter.heard == [("chat/in", b"you")]
        await until(lambda: chatter.accepted == [None, None])
        mosquitto.kill()
        await until(lambda: chatter.closings == 1)
        assert not publisher.state.connected
        mosquitto.start()
        await until(lambda: chatter.accepted == [None, None, None], 60)


@pytest.mark.broker
@pytest.mark.parametrize("most", [1, 2])
async def test_a_chatty_channel_and_a_backlog_share_the_smallest_window(
    start_broker: Brokers, publishing: Publishing, most: int
) -> None:
    """At Receive Maximum 1 or 2, 200 letters and 90 events all arrive, none beyond the window."""
    broker = start_broker(f"max_inflight_messages {most}", "max_queued_messages 0")
    chatter = Chatter(greetings=200)
    async with (
        PlainHub(broker.port) as hub,
        Wire(broker.port) as wire,
        publishing(wire.port, protocol="5", channels=[chatter]) as publisher,
    ):
        wire.hold()
        for n in range(30):
            publisher.submit(drafted(WRITER, enter(number=n), dwell(number=n), leave(number=n)))
        await until(lambda: publisher.state.highest == 90)
        wire.release()
        await until(lambda: publisher.state.watermark == 90 and len(said(hub)) == 200, 60)
        assert wire.most_unanswered <= most
        order = [t.rsplit("/", 1)[-1] for t, _ in hub.messages if t.endswith(("/events", "/out"))]
        last_event = max(n for n, leaf in enumerate(order) if leaf == "events")
        assert "out" in order[last_event:]  # the events did not wait for the last letter
    assert hub.seqs == list(range(1, 91))
