from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_agent.model import PresenceEvent
from edge_agent.publish.compose import renumbered
from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.outbox import Outbox
from edge_agent.publish.outbox_budget import Limits
from tests.publish.stories import ANNA, BERTA, composer, drafted, dwell, enter, leave

WRITER = composer()


def put(outbox: Outbox, *events: PresenceEvent) -> list[int]:
    """Commit events; gives their seqs."""
    pairs = drafted(WRITER, *events)
    drafts = [draft for draft, _ in pairs]
    visits = {visit.id: visit for _, visit in pairs}
    return [seq for seq, _ in outbox.commit(drafts, WRITER.number, visits.values())]


def acknowledge(outbox: Outbox, seq: int, hub: int = 1_000) -> None:
    """Let the hub confirm up to `seq`."""
    outbox.acknowledge(Acknowledgement(epoch=outbox.epoch, seq=seq, hub=hub))


def held(outbox: Outbox) -> list[dict[str, Any]]:
    """Give every event held, as JSON."""
    return [json.loads(body) for _, body in outbox.read(1, outbox.highest)]


def bytes_on_disk(path: Path) -> bytes:
    """Give all bytes of the database and of the files beside it."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(path.name + "*")))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the outbox lies."""
    return tmp_path / "state" / "outbox.db"


def test_numbers_are_without_gaps_across_restarts(path: Path) -> None:
    """Two events, a restart, two more: 1, 2, 3, 4 of one epoch."""
    with Outbox.open(path) as outbox:
        epoch = outbox.epoch
        assert put(outbox, enter(), dwell()) == [1, 2]
    with Outbox.open(path) as outbox:
        assert outbox.epoch == epoch
        assert put(outbox, leave(), enter(BERTA)) == [3, 4]
        assert [event["seq"] for event in held(outbox)] == [1, 2, 3, 4]
        assert {event["epoch"] for event in held(outbox)} == {epoch}


def test_each_opening_is_a_later_session(path: Path) -> None:
    """Three lives of the agent have sessions 1, 2 and 3."""
    sessions = []
    for _ in range(3):
        with Outbox.open(path) as outbox:
            sessions.append(outbox.session)
    assert sessions == [1, 2, 3]


def test_events_and_visits_are_stored_together_or_not_at_all(path: Path) -> None:
    """A commit that fails at its visits has stored no event and used no number."""
    with Outbox.open(path) as outbox:
        pairs = drafted(WRITER, enter())
        unstorable: Any = [object()]
        with pytest.raises(AttributeError):
            outbox.commit([pairs[0][0]], WRITER.number, unstorable)
        assert outbox.highest == 0
        assert not held(outbox)
        assert not outbox.visits()
        assert put(outbox, enter()) == [1]
        assert [visit.visitor for visit in outbox.visits()] == [ANNA]


def test_visits_survive_a_restart_as_they_were(path: Path) -> None:
    """An open visit is read back field by field; one that was closed for good is gone."""
    (_, anna), (_, berta) = drafted(WRITER, enter(), enter(BERTA))
    with Outbox.open(path) as outbox:
        put(outbox, enter(), enter(BERTA))
        assert outbox.visits() == [anna, berta]
        outbox.keep_visits([berta])
    with Outbox.open(path) as outbox:
        assert outbox.visits() == [berta]


def test_the_watermark_survives_a_restart(path: Path) -> None:
    """Watermark, hub and roster seq are as they were left, and a rollback of the roster is not."""
    with Outbox.open(path) as outbox:
        put(outbox, enter(), dwell(), leave())
        acknowledge(outbox, 2, hub=77)
        outbox.accept_roster(9)
        outbox.accept_roster(4)
    with Outbox.open(path) as outbox:
        assert (outbox.watermark, outbox.hub, outbox.highest) == (2, 77, 3)
        assert outbox.roster_seq == 9


def test_confirmed_rows_go_except_the_tail(path: Path) -> None:
    """With a tail of some three events and a watermark of 8 of 10, rows 6 to 10 are held."""
    assert Limits().tail_bytes >= 8 << 20
    with Outbox.open(path) as outbox:
        put(outbox, enter())
        three = 3 * outbox.ledger.backlog
    path.unlink()
    with Outbox.open(path, Limits(max_bytes=16 * (three + 100))) as outbox:
        put(outbox, *[enter(number=n) for n in range(10)])
        acknowledge(outbox, 8)
        assert [event["seq"] for event in held(outbox)] == [6, 7, 8, 9, 10]
        assert outbox.first_held == 6
        acknowledge(outbox, 10)
        assert [event["seq"] for event in held(outbox)] == [8, 9, 10]
        assert put(outbox, leave()) == [11]


def test_a_lost_range_is_declared_by_one_tombstone(path: Path) -> None:
    """A restored hub asks from 1, and 1 to 5 are held no longer: a tombstone says so."""
    with Outbox.open(path) as outbox:
        put(outbox, enter())
        outbox.declare_lost(1, 5, WRITER.gap)
        (gap,) = held(outbox)
    assert gap["type"] == "presence.gap.v1"
    assert (gap["seq"], gap["data"]["from"], gap["data"]["to"]) == (1, 1, 5)
    assert gap["data"]["reason"] == "expired"


def test_erasure_leaves_tombstones_of_exactly_her_ranges(path: Path) -> None:
    """Anna has 1, 2, 4 and 6 of 6, 1 of them confirmed: three tombstones, Berta's 3 and 5 stay."""
    with Outbox.open(path) as outbox:
        put(outbox, enter(), dwell(), enter(BERTA), enter(number=2), leave(BERTA), leave(number=2))
        acknowledge(outbox, 1)
        assert outbox.erase(ANNA, WRITER.gap) == 4
        events = held(outbox)
        assert [visit.visitor for visit in outbox.visits()] == [BERTA]
        assert put(outbox, enter(BERTA, number=2)) == [7]
    gaps = [event["data"] for event in events if event["type"] == "presence.gap.v1"]
    assert [(gap["from"], gap["to"], gap["reason"]) for gap in gaps] == [
        (1, 2, "erased"),
        (4, 4, "erased"),
        (6, 6, "erased"),
    ]
    assert gaps[0]["counts"] == {"presence.enter.v1": 1, "presence.dwell.v1": 1}
    assert [event["subject"] for event in events if "subject" in event] == [BERTA, BERTA]


def test_erasure_leaves_no_byte_of_her_on_disk(path: Path) -> None:
    """Her pseudonym was in the database and its log; after erasure it is in no file."""
    with Outbox.open(path) as outbox:
        for number in range(200):
            put(outbox, enter(number=number), enter(BERTA, number=number))
        outbox.keep_visits([])
        put(outbox, leave())
        assert ANNA.encode() in bytes_on_disk(path)
        outbox.erase(ANNA, WRITER.gap)
        assert ANNA.encode() not in bytes_on_disk(path)
    assert ANNA.encode() not in bytes_on_disk(path)
    assert BERTA.encode() in bytes_on_disk(path)


def test_a_confirmed_row_that_goes_leaves_no_byte(path: Path) -> None:
    """Once a row has left the tail, the closed database file does not hold it."""
    with Outbox.open(path, Limits(max_bytes=1_000)) as outbox:
        put(outbox, enter())
        outbox.keep_visits([])
        acknowledge(outbox, 1)
    assert ANNA.encode() not in bytes_on_disk(path)


def test_a_new_epoch_takes_over_this_sessions_events_alone(path: Path) -> None:
    """Of 1, 2 (last life) and 3, 4 (this one), the latter become 1 and 2, otherwise unchanged."""
    with Outbox.open(path) as outbox:
        old = outbox.epoch
        put(outbox, enter(), dwell())
    with Outbox.open(path) as outbox:
        put(outbox, leave(), enter(BERTA))
        before = held(outbox)[2:]
        acknowledge(outbox, 3)
        outbox.begin_epoch(renumbered)
        after = held(outbox)
        assert outbox.epoch != old
        assert (outbox.highest, outbox.watermark, outbox.hub) == (2, 0, 0)
        assert put(outbox, leave(BERTA)) == [3]
    assert [event["seq"] for event in after] == [1, 2]
    for was, now in zip(before, after, strict=True):
        own = {key: now[key] for key in ("epoch", "seq", "id")}
        assert now == was | own
        assert now["id"] == f"gw-1:{outbox.epoch}:{now['seq']}"


def test_a_new_epoch_has_no_tombstone_of_the_old_numbers(path: Path) -> None:
    """Berta's 1 and 4 are carried over, Anna's erased 2 to 3 are not: they mean nothing now."""
    with Outbox.open(path) as outbox:
        put(outbox, enter(BERTA), enter(), leave(), leave(BERTA))
        outbox.erase(ANNA, WRITER.gap)
        outbox.begin_epoch(renumbered)
        told = [(event["seq"], event["type"]) for event in held(outbox)]
    assert told == [(1, "presence.enter.v1"), (2, "presence.exit.v1")]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda _: os.urandom(20_000),
    "text": lambda _: b"this is no database\n" * 500,
    "header": lambda data: b"\xff" * 64 + data[64:],
    "half": lambda data: data[: len(data) // 2],
    "not a whole page": lambda data: data[: len(data) - 1_000],
    "one page": lambda data: data[:4_096],
    "a page zeroed": lambda data: data[:8_192] + bytes(4_096) + data[12_288:],
    "the first tree flipped": lambda data: (
        data[:100] + bytes(b ^ 0xFF for b in data[100:4_096]) + data[4_096:]
    ),
    "a tree flipped": lambda data: (
        data[:8_192] + bytes(b ^ 0xFF for b in data[8_192:8_292]) + data[8_292:]
    ),
    "the last page flipped": lambda data: data[:-4_096] + bytes(b ^ 0xFF for b in data[-4_096:]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_and_a_new_epoch_begins(path: Path, damage: str) -> None:
    """The agent always starts: the damaged file lies beside a sound one of a new epoch."""
    with Outbox.open(path) as outbox:
        old = outbox.epoch
        for number in range(100):
            put(outbox, enter(number=number))
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with Outbox.open(path) as outbox:
        assert outbox.epoch != old
        assert put(outbox, enter()) == [1]
    assert len(list(path.parent.glob("outbox.db.corrupt-0"))) == 1


def test_another_programs_database_is_set_aside(path: Path) -> None:
    """A sound SQLite file with tables of other shapes is none of ours, and stops nobody."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE meta (something TEXT)")
        other.commit()
    with Outbox.open(path) as outbox:
        assert put(outbox, enter()) == [1]
    assert list(path.parent.glob("outbox.db.corrupt-*"))


def test_damage_twice_is_set_aside_twice(path: Path) -> None:
    """Two damaged files are both kept for whoever wants to know why."""
    for _ in range(2):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no database" * 1_000)
        with Outbox.open(path) as outbox:
            put(outbox, enter())
    names = {file.name for file in path.parent.glob("*.corrupt-?")}
    assert names == {"outbox.db.corrupt-0", "outbox.db.corrupt-1"}


COMMITTER = """
import sys
from pathlib import Path
from edge_agent.publish.outbox import Outbox
from tests.publish.stories import composer, drafted, enter
writer, outbox = composer(), Outbox.open(Path(sys.argv[1]))
for number in range(10**9):
    pairs = drafted(writer, *[enter(f"v-{number}-{n}") for n in range(3)])
    drafts, visits = [draft for draft, _ in pairs], [visit for _, visit in pairs]
    print(outbox.commit(drafts, writer.number, visits)[-1][0], flush=True)
"""


@pytest.mark.faults
def test_kill_9_between_commits_loses_nothing_and_leaves_no_gap(path: Path) -> None:
    """Three lives killed in the middle: all they had reported is there, without gap or half."""
    reported = 0
    for commits in (1, 40, 150):
        with subprocess.Popen(
            [sys.executable, "-c", COMMITTER, str(path)], stdout=subprocess.PIPE, text=True
        ) as life:
            assert life.stdout is not None
            for _ in range(commits):
                reported = int(life.stdout.readline())
            life.send_signal(signal.SIGKILL)
            # What it wrote before it died, but for a line cut off in the middle.
            rest = life.stdout.read().rpartition("\n")[0].split()
            reported = int(rest[-1]) if rest else reported
        with Outbox.open(path) as outbox:
            events = held(outbox)
            assert outbox.highest >= reported
            assert [event["seq"] for event in events] == list(range(1, outbox.highest + 1))
            assert {e["data"]["visit"] for e in events} == {v.id for v in outbox.visits()}
    assert not list(path.parent.glob("*.corrupt-*"))


def test_readers_see_whole_commits_while_one_writes(path: Path) -> None:
    """Somebody who inspects the file during 100 commits of three sees only multiples of three."""
    counts: list[int] = []
    done = threading.Event()

    def look(name: str) -> None:
        with closing(sqlite3.connect(f"file:{name}?mode=ro", uri=True)) as reader:
            while not done.is_set():
                counts.append(reader.execute("SELECT count(*) FROM event").fetchone()[0])

    with Outbox.open(path) as outbox:
        readers = [threading.Thread(target=look, args=(str(path),)) for _ in range(2)]
        for reader in readers:
            reader.start()
        for number in range(100):
            put(outbox, *triple(number))
        done.set()
        for reader in readers:
            reader.join()
    assert len(set(counts)) > 1
    assert all(count % 3 == 0 for count in counts)


def triple(number: int) -> Sequence[PresenceEvent]:
    """Give a whole visit."""
    return enter(number=number), dwell(number=number), leave(number=number)
