"""What the journal of commands remembers, across kills, damage and clocks that are set back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edge_agent.commands.journal import KEEP_S, Interrupted, Journal, JournalFullError, Remembered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "commands.db"


@contextmanager
def journal_at(path: Path) -> Iterator[Journal]:
    """Open a journal and close it."""
    with closing(Journal.open(path)) as journal:
        yield journal


def named(command: Interrupted) -> bytes:
    """Say what an earlier life has left."""
    return b"interrupted" if command.started else b"dropped"


def test_a_command_that_came_before_is_known_with_its_result(path: Path) -> None:
    """New, then being seen to, then done: and done it stays, whatever is said later."""
    with journal_at(path) as journal:
        assert journal.take("a", 100.0) is None
        journal.start("a")
        assert journal.take("a", 100.0) == Remembered(None)
        journal.finish("a", b"done")
        journal.finish("a", b"done twice")
    with journal_at(path) as journal:
        assert journal.take("a", 100.0) == Remembered(b"done")


def test_what_a_life_has_left_open_gets_its_end_from_the_next(path: Path) -> None:
    """One was started, one only taken, one done: interrupted, dropped, and as it was."""
    with journal_at(path) as journal:
        for ident in ("started", "taken", "done"):
            journal.take(ident, 100.0)
        journal.start("started")
        journal.start("done")
        journal.finish("done", b"done")
    with journal_at(path) as journal:
        assert journal.settle(named) == 2
        assert journal.settle(named) == 0
        assert dict(journal.unheard(9)) == {
            "started": b"interrupted",
            "taken": b"dropped",
            "done": b"done",
        }


def test_a_result_is_unheard_until_it_is_heard(path: Path) -> None:
    """Across restarts it is given out again, and then no more."""
    with journal_at(path) as journal:
        journal.take("a", 100.0)
        journal.finish("a", b"done")
    with journal_at(path) as journal:
        assert journal.unheard(9) == [("a", b"done")]
        journal.heard("a")
        assert journal.unheard(9) == []
        assert journal.take("a", 100.0) == Remembered(b"done")


def test_an_id_is_remembered_past_its_expiry_and_then_never_comes_to_life(path: Path) -> None:
    """Long after, the row goes; `forgotten` tells that whatever expired by then is not new."""
    with journal_at(path) as journal:
        journal.take("a", 100.0)
        journal.finish("a", b"done")
        journal.forget(100.0 + KEEP_S)
        assert journal.take("a", 100.0) == Remembered(b"done")
        journal.forget(101.0 + KEEP_S)
        assert journal.forgotten == 100.0
        assert journal.take("a", 100.0) is None


def test_what_has_no_result_is_never_forgotten(path: Path) -> None:
    """A command that is being executed while it expires keeps its row."""
    with journal_at(path) as journal:
        journal.take("a", 100.0)
        journal.start("a")
        journal.forget(1e9)
        assert journal.take("a", 100.0) == Remembered(None)


def test_the_memory_begins_once_and_anew_with_another_outbox(path: Path) -> None:
    """At 10 for ever, until the outbox has another epoch: then somebody has changed the disk."""
    with journal_at(path) as journal:
        assert journal.remembers_since("e1", 10.0) == 10.0
        assert journal.remembers_since("e1", 20.0) == 10.0
    with journal_at(path) as journal:
        assert journal.remembers_since("e1", 30.0) == 10.0
        assert journal.remembers_since("e2", 40.0) == 40.0
        assert journal.remembers_since("e2", 50.0) == 40.0


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: os.urandom(20_000),
        lambda data: b"\xff" * 64 + data[64:],
        lambda data: data[: len(data) // 2],
        lambda data: data[:4_096] + bytes(b ^ 0xFF for b in data[4_096:]),
    ],
    ids=["garbage", "header", "half", "flipped"],
)
def test_a_damaged_journal_is_set_aside_and_the_memory_begins_anew(
    path: Path, damage: object
) -> None:
    """It lies beside the new one, which knows nothing from before and says so."""
    with journal_at(path) as journal:
        assert journal.remembers_since("e1", 10.0) == 10.0
        for number in range(200):
            journal.take(f"c-{number}", 100.0)
            journal.finish(f"c-{number}", b"x" * 100)
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with journal_at(path) as journal:
        assert journal.remembers_since("e1", 20.0) == 20.0
        assert journal.take("c-1", 100.0) is None
    assert (path.parent / "commands.db.corrupt-0").exists()


def test_a_full_journal_takes_nothing_and_forgets_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for three: the fourth is not taken, the first is still known; expiry makes room."""
    monkeypatch.setattr("edge_agent.commands.journal.MOST_ROWS", 3)
    with journal_at(path) as journal:
        for ident in "abc":
            journal.take(ident, 100.0)
            journal.finish(ident, b"done")
        with pytest.raises(JournalFullError):
            journal.take("d", 100.0)
        assert journal.take("a", 100.0) == Remembered(b"done")
        journal.forget(101.0 + KEEP_S)
        assert journal.take("d", 1e6) is None


LIFE = """
import sys
from pathlib import Path
from edge_agent.commands.journal import Journal
journal = Journal.open(Path(sys.argv[1]))
for number in range(10**9):
    ident = f"c-{number}"
    journal.take(ident, 1e12)
    journal.start(ident)
    print(ident, flush=True)  # the deed
    journal.finish(ident, b"done")
"""


@pytest.mark.faults
def test_kill_9_never_leaves_a_deed_without_a_trace(path: Path) -> None:
    """Three lives killed anywhere: whatever was executed is known, so nothing runs twice."""
    for deeds in (1, 20, 60):
        with subprocess.Popen(
            [sys.executable, "-c", LIFE, str(path)], stdout=subprocess.PIPE, text=True
        ) as life:
            assert life.stdout is not None
            done = [life.stdout.readline().strip() for _ in range(deeds)]
            life.kill()
            done += life.stdout.read().rpartition("\n")[0].split()
        with journal_at(path) as journal:
            journal.settle(named)
            known = [journal.take(ident, 1e12) for ident in done]
            assert {found.result for found in known if found} <= {b"done", b"interrupted"}
            assert None not in known
        path.unlink()  # the next life counts from 0 again
        path.with_name("commands.db-wal").unlink(missing_ok=True)
        path.with_name("commands.db-shm").unlink(missing_ok=True)
