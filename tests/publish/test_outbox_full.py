"""What a disk without room does to the outbox: a small file system of its own plays the card."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.outbox import Outbox, OutboxFullError
from edge_agent.publish.outbox_budget import Limits
from tests.publish.stories import composer, drafted, enter

WRITER = composer()


def put(outbox: Outbox, number: int) -> list[int]:
    """Commit ten events."""
    pairs = drafted(WRITER, *[enter(f"v-{number}-{n}", number=number) for n in range(10)])
    stored = outbox.commit([d for d, _ in pairs], WRITER.number, [v for _, v in pairs])
    return [seq for seq, _ in stored]


def fill(outbox: Outbox) -> int:
    """Commit until nothing more fits; gives the highest seq that was stored."""
    with suppress(OutboxFullError):
        for number in range(10_000):
            put(outbox, number)
        raise AssertionError("it never became full")
    return outbox.highest


def test_the_outbox_has_a_budget_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a budget of 100 pages it is full long before the disk, and nothing stored is lost."""
    monkeypatch.setattr("edge_agent.publish.outbox._MOST_PAGES", 100)
    with Outbox.open(tmp_path / "outbox.db") as outbox:
        highest = fill(outbox)
        assert outbox.highest == highest
        seqs = [json.loads(body)["seq"] for _, body in outbox.read(1, highest + 10)]
        assert seqs == list(range(1, highest + 1))


def test_a_full_budget_is_freed_by_the_watermark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub comes back and confirms: there is room again, and the numbers go on."""
    monkeypatch.setattr("edge_agent.publish.outbox._MOST_PAGES", 100)
    with Outbox.open(tmp_path / "outbox.db", Limits(max_bytes=1_000)) as outbox:
        highest = fill(outbox)
        outbox.keep_visits([])
        outbox.acknowledge(Acknowledgement(epoch=outbox.epoch, seq=highest, hub=1))
        assert put(outbox, 0)[0] == highest + 1


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "card"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def use_up(card: Path) -> Path:
    """Let somebody else take what room is left."""
    hog = card / "hog"
    with hog.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4_096) == 4_096:
            pass
    return hog


def test_a_full_disk_refuses_and_loses_nothing(card: Path) -> None:
    """Events that do not fit are refused whole; freed, the outbox goes on with the next number."""
    with Outbox.open(card / "outbox.db") as outbox:
        highest = put(outbox, 0)[-1]
        hog = use_up(card)
        assert fill(outbox) >= highest
        highest = outbox.highest
        assert [seq for seq, _ in outbox.read(1, highest)] == list(range(1, highest + 1))
        hog.unlink()
        assert put(outbox, 99)[0] == highest + 1


def test_on_a_full_disk_nothing_fails_for_another_reason(card: Path) -> None:
    """A watermark, a checkpoint and an erasure on a full disk are refused as full, or succeed."""
    with Outbox.open(card / "outbox.db") as outbox:
        put(outbox, 0)
        visits = outbox.visits()
        use_up(card)
        fill(outbox)
        for attempt in (
            lambda: outbox.keep_visits(visits),
            lambda: outbox.acknowledge(Acknowledgement(epoch=outbox.epoch, seq=1, hub=1)),
            lambda: outbox.erase("v-0-1", WRITER.gap),
        ):
            with suppress(OutboxFullError):
                attempt()
        assert outbox.highest >= 10


def test_the_agent_starts_on_a_full_disk(card: Path) -> None:
    """An outbox is opened with no room left: what it holds can be read and sent."""
    with Outbox.open(card / "outbox.db") as outbox:
        put(outbox, 0)
    use_up(card)
    with Outbox.open(card / "outbox.db") as outbox:
        assert len(outbox.read(1, 10)) == 10
