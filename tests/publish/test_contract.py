from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.model import Move, PresenceEvent
from edge_agent.publish.compose import Gap, renumbered
from edge_agent.publish.contract import DATA_TYPES, Acknowledgement, Event, State
from edge_agent.publish.topics import Topics, shard_of
from tests.publish.stories import composer, dwell, enter, leave, visit

EPOCH = "6f0c"


def written(event: PresenceEvent, seq: int = 118) -> dict[str, Any]:
    """Write an event as it goes on the wire."""
    writer = composer()
    document: dict[str, Any] = json.loads(writer.number(writer.draft(event), EPOCH, seq))
    return document


def moved() -> Move:
    """She goes from the floor to the shoes."""
    return Move(30.0, visit(), from_zone="shoes")


def test_an_enter_is_exactly_the_contracts() -> None:
    """Entered at 3.12 s, known at 5 s: every key and value of the envelope and its data."""
    assert written(enter()) == {
        "specversion": "1.0",
        "id": "gw-1:6f0c:118",
        "source": "/acme/0042/gw-1",
        "type": "presence.enter.v1",
        "subject": "visitor-anna",
        "time": "2026-11-01T09:00:03.120Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:edge-agent:presence:v1:enter",
        "epoch": "6f0c",
        "seq": 118,
        "boot": "b007",
        "clock": "synchronised",
        "data": {
            "visit": "visit-visitor-anna-1",
            "visitor": "visitor-anna",
            "store": "0042",
            "zone": "floor",
            "entered_at": "2026-11-01T09:00:03.120Z",
            "decided_at": "2026-11-01T09:00:05.000Z",
            "sources": ["ble"],
            "confidence": 0.968,
        },
    }


def test_a_resumed_enter_says_so_and_others_do_not() -> None:
    """`resumed` is true, or it is not there."""
    assert written(enter(resumed=True))["data"]["resumed"] is True
    assert "resumed" not in written(enter())["data"]


@pytest.mark.parametrize(
    ("event", "kind", "at", "added"),
    [
        (
            dwell(),
            "presence.dwell.v1",
            "2026-11-01T09:01:03.120Z",
            {"dwell_s": 60.38, "milestone_s": 60},
        ),
        (moved(), "presence.move.v1", "2026-11-01T09:00:30.000Z", {"from_zone": "shoes"}),
        (
            leave(),
            "presence.exit.v1",
            "2026-11-01T09:01:30.500Z",
            {"exited_at": "2026-11-01T09:01:30.500Z", "dwell_s": 87.38, "reason": "silence"},
        ),
    ],
    ids=["dwell", "move", "exit"],
)
def test_the_other_events_add_only_their_own(
    event: PresenceEvent, kind: str, at: str, added: dict[str, Any]
) -> None:
    """A dwell, a move and an exit are an enter with a few more data, and another time."""
    told, base = written(event), written(enter())
    assert (told["type"], told["time"]) == (kind, at)
    assert told.keys() == base.keys()
    assert {k: v for k, v in told["data"].items() if k not in base["data"]} == added
    assert base["data"].keys() <= told["data"].keys()


def test_a_tombstone_names_no_visitor() -> None:
    """Events 7 to 9 are gone: its seq is 7, and nothing in it says whose they were."""
    told = json.loads(composer().gap(Gap(7, 9, "erased", {"presence.enter.v1": 3}), EPOCH))
    assert (told["type"], told["seq"], told["id"]) == ("presence.gap.v1", 7, "gw-1:6f0c:7")
    assert told["data"] == {
        "from": 7,
        "to": 9,
        "reason": "erased",
        "counts": {"presence.enter.v1": 3},
    }
    assert "subject" not in told
    assert told["time"] == "2026-11-01T09:16:40.000Z"


@pytest.mark.parametrize(
    "event", [enter(), dwell(), moved(), leave()], ids=lambda e: type(e).__name__
)
def test_what_is_written_is_read_back_unchanged(event: PresenceEvent) -> None:
    """The models refuse nothing that they have written, and lose nothing of it."""
    body = json.dumps(written(event))
    assert json.loads(Event.model_validate_json(body).model_dump_json(by_alias=True)) == written(
        event
    )


def test_the_entry_does_not_move_when_the_clock_is_stepped() -> None:
    """UTC is stepped by an hour during a visit: its events go on to say when she entered."""
    step = 0.0
    writer = composer()
    writer._unix = lambda at: at + step  # the wall clock is the composer's only outside
    before = writer.draft(enter()).data
    step = 3600.0
    after = writer.draft(leave()).data
    assert before.model_dump()["entered_at"] == after.model_dump()["entered_at"]


@pytest.mark.parametrize(
    "event", [enter(), dwell(), moved(), leave()], ids=lambda e: type(e).__name__
)
def test_renumbering_changes_epoch_seq_and_id_alone(event: PresenceEvent) -> None:
    """Carried over into another epoch, an event keeps everything but its number."""
    before = written(event)
    after = json.loads(renumbered(json.dumps(before).encode(), "beef", 1))
    assert after == before | {"epoch": "beef", "seq": 1, "id": "gw-1:beef:1"}


@pytest.mark.parametrize("where", ["envelope", "data"])
def test_an_event_with_something_more_is_refused(where: str) -> None:
    """The contract is an allow-list: an address in the envelope or the data is no event."""
    event = written(enter())
    (event if where == "envelope" else event["data"])["address"] = "C0:11:22:33:44:55"
    with pytest.raises(ValidationError):
        Event.model_validate_json(json.dumps(event))


@pytest.mark.parametrize("model", [*DATA_TYPES.values(), Event])
def test_no_part_of_an_event_takes_more_than_it_names(model: type[Event]) -> None:
    """Each model of an event forbids what it does not name."""
    with pytest.raises(ValidationError, match="extra_forbidden"):
        model.model_validate({"surprise": 1})


def test_a_newer_hub_and_a_newer_agent_may_say_more() -> None:
    """What comes in is read for what is known of it: an unknown word costs no watermark."""
    ack = Acknowledgement.model_validate({"epoch": "e", "seq": 1, "hub": 2, "since": 3})
    state = State.model_validate(
        {"connected": False, "boot": "b", "session": 1, "version": "9", "mood": "fine"}
    )
    assert (ack.seq, state.session) == (1, 1)


@pytest.mark.parametrize("word", ["seq", "hub"])
def test_a_number_that_no_database_holds_is_malformed(word: str) -> None:
    """An acknowledgement of 10**20 is refused at the door, and not when it is stored."""
    with pytest.raises(ValidationError):
        Acknowledgement.model_validate({"epoch": "e", "seq": 1, "hub": 2, word: 10**20})


@pytest.mark.parametrize(("store", "shard"), [("0042", "26"), ("0001", None), ("zürich", None)])
def test_a_shard_is_two_decimal_digits_below_64(store: str, shard: str | None) -> None:
    """Store 0042 is in shard 26, and every store in one of 64."""
    given = shard_of(store)
    assert shard in (given, None)
    assert len(given) == 2
    assert 0 <= int(given) < 64


def test_the_topics_are_the_contracts() -> None:
    """The four leaves under the gateway's root."""
    topics = Topics("acme", "0042", "gw-1")
    root = "presence/v1/acme/26/0042/gw-1"
    assert [topics.events, topics.ack, topics.state, topics.health] == [
        f"{root}/events",
        f"{root}/ack",
        f"{root}/state",
        f"{root}/health",
    ]
