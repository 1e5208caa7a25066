"""An outbox that is lost while the agent runs, or before it starts; and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.config import Delivery
from edge_agent.publish.alarms import Alarm
from edge_agent.publish.contract import State
from edge_agent.publish.outbox import Outbox, OutboxFullError
from edge_agent.publish.outbox_file import OutboxBusyError
from edge_agent.publish.outbox_rescue import MOST_IN_MEMORY, keep_visits, open_outbox, successor
from edge_agent.publish.rivals import REMEMBERED_S, Rivals
from simulators.mosquitto import Mosquitto
from tests.publish.conftest import Publishing
from tests.publish.hub import ROOT, PlainHub, until
from tests.publish.stories import ANNA, BERTA, composer, drafted, dwell, enter, leave

WRITER = composer()


def damage(outbox: Outbox) -> None:
    """Overwrite the file under the open database (reached for inside), but for its first page."""
    outbox._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    outbox._db.execute("PRAGMA shrink_memory")
    assert outbox.path is not None
    with outbox.path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xa5" * (outbox.path.stat().st_size - 4_096))


def forbid_writing(outbox: Outbox) -> None:
    """Let SQLite say what it says on a file system that has become read-only (reached inside)."""
    outbox._db.execute("PRAGMA query_only = ON")


@pytest.mark.broker
@pytest.mark.parametrize(
    ("fault", "alarm", "kept"),
    [(damage, Alarm.DATABASE_DAMAGED, 2), (forbid_writing, Alarm.DISK_UNWRITABLE, 1)],
)
async def test_an_outbox_lost_at_run_time_is_replaced_and_delivery_goes_on(
    mosquitto: Mosquitto,
    publishing: Publishing,
    outbox_file: Path,
    fault: Callable[[Outbox], None],
    alarm: Alarm,
    kept: int,
) -> None:
    """Events submitted after the loss arrive under a new epoch, with a snapshot and an alarm."""
    async with PlainHub(mosquitto.port) as hub, publishing(mosquitto.port) as publisher:
        publisher.submit(drafted(WRITER, enter(number=0)))
        await until(lambda: publisher.state.watermark == 1 and hub.applied)
        old = hub.applied[0]["epoch"]
        before = list(publisher.state.alarms)
        await publisher.in_outbox(fault)
        publisher.submit(drafted(WRITER, enter(), dwell(), leave()))
        await until(lambda: len(hub.applied) == 4)
        await until(lambda: publisher.state.watermark == 3)
        assert (before, list(publisher.state.alarms)) == ([], [alarm])
        snapshots = [json.loads(b) for t, b in hub.messages if t == f"{ROOT}/snapshot"]
        new = hub.applied[-1]["epoch"]
        assert new != old
        await until(
            lambda: any(
                json.loads(b)["epoch"] == new for t, b in hub.messages if t == f"{ROOT}/snapshot"
            )
        )
        assert snapshots[0]["epoch"] == old
    assert hub.seqs == [1, 1, 2, 3]
    assert hub.kinds == ["enter", "enter", "dwell", "exit"]
    databases = [*outbox_file.parent.glob("outbox.db"), *outbox_file.parent.glob("*.corrupt-0")]
    assert len(databases) == kept


def test_a_folder_that_cannot_be_written_means_memory(tmp_path: Path) -> None:
    """A file lies where the folder should be: the outbox is in memory, smaller, and works."""
    (tmp_path / "state").write_text("no folder")
    with open_outbox(tmp_path / "state" / "outbox.db", Delivery()) as outbox:
        assert outbox.path is None
        assert outbox.ledger.limits.max_bytes == MOST_IN_MEMORY
        draft, visit = drafted(WRITER, enter())[0]
        assert outbox.commit([draft], WRITER.number, [visit])[0][0] == 1


def test_a_second_agent_on_the_folder_is_still_refused(tmp_path: Path) -> None:
    """Memory is no way around the lock: two agents would be one gateway."""
    path = tmp_path / "state" / "outbox.db"
    with open_outbox(path, Delivery()), pytest.raises(OutboxBusyError, match="another edge-agent"):
        open_outbox(path, Delivery())


def test_an_erasure_reaches_what_was_set_aside(tmp_path: Path) -> None:
    """A damaged database still holds her: it goes with her, since nobody can search it."""
    path = tmp_path / "outbox.db"
    with Outbox.open(path) as outbox:
        draft, visit = drafted(WRITER, enter())[0]
        outbox.commit([draft], WRITER.number, [visit])
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])
    with Outbox.open(path) as outbox:
        assert outbox.was_damaged
        assert any(ANNA.encode() in file.read_bytes() for file in tmp_path.iterdir())
        outbox.erase(BERTA, WRITER.gap)
        assert not any(ANNA.encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_two_foreign_births_are_the_past_and_three_are_a_rival() -> None:
    """Our own birth is none; two of old lives neither; three within ten minutes are suspected."""
    clock = [0.0]
    ours = State(connected=True, boot="b", session=3, version="1")
    rivals = Rivals(ours, lambda: clock[0])
    rivals.heard(ours)
    rivals.heard(ours.model_copy(update={"session": 2}))
    rivals.heard(ours.model_copy(update={"session": 2, "connected": False}))
    quiet = rivals.suspected
    clock[0] = 60.0
    rivals.heard(ours.model_copy(update={"boot": "another"}))
    noisy = rivals.suspected
    clock[0] = REMEMBERED_S + 1
    assert (quiet, noisy, rivals.suspected) == (False, True, False)


@pytest.mark.broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_cloned_card_is_noticed(
    mosquitto: Mosquitto, publishing: Publishing, tmp_path: Path, protocol: str
) -> None:
    """Two agents of one name throw each other out: both say so, in either version of MQTT."""
    async with (
        publishing(mosquitto.port, protocol=protocol) as one,
        publishing(
            mosquitto.port, protocol=protocol, folder=tmp_path / "clone", boot="c10e"
        ) as other,
    ):
        await until(lambda: Alarm.CLIENT_ID_TAKEN in one.state.alarms, 60)
        await until(lambda: Alarm.CLIENT_ID_TAKEN in other.state.alarms, 60)


def test_every_alarm_has_advice() -> None:
    """A word alone helps nobody at three in the morning."""
    assert all(len(alarm.advice) > 20 for alarm in Alarm)


def test_a_card_that_can_be_written_again_is_told_what_was_done_without_it(
    outbox_file: Path,
) -> None:
    """A commit whose sync failed is in its log: it is taken back there, and who left has left."""
    lost = Outbox.open(outbox_file)
    epoch = lost.epoch
    pairs = drafted(WRITER, enter(number=0))
    visits = [visit for _, visit in pairs]
    lost.commit([pairs[0][0]], WRITER.number, visits)
    given = lost.highest
    forbid_writing(lost)
    fresh = successor(lost, OutboxFullError("a sync failed"))
    with Outbox.open(outbox_file, lock=fresh.lock) as ghost:  # as recovery finds it in the log
        ghost.commit([pairs[0][0]], WRITER.number, visits)
        fresh.lock, ghost.lock = ghost.lock, None
    keep_visits(fresh, [])
    fresh.close()
    with Outbox.open(outbox_file) as card:
        assert (card.epoch, card.highest, card.visits()) == (epoch, given, [])
        assert [seq for seq, _ in card.read(1, 9)] == [1]
