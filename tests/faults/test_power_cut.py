from __future__ import annotations

import random
from pathlib import Path

import pytest

from simulators.fault_matrix.scenario import Length
from simulators.fault_matrix.storage_images import Disk
from simulators.fault_matrix.storage_power import cut_power
from simulators.fault_matrix.storage_shim import Operation

pytestmark = pytest.mark.faults

FOLDER = 99  # the number of no file


def disk(*operations: Operation) -> Disk:
    """Let some operations happen to an empty folder."""
    it = Disk()
    for operation in operations:
        it.take(operation)
    return it


def images(of: Disk, variant: str) -> list[dict[str, bytes]]:
    """Give what a disk may hold, drawn many times."""
    return [of.image(variant, random.Random(seed)) for seed in range(50)]


CREATED = Operation("c", 7, 0, b"a")
SYNCED, FOLDER_SYNCED = Operation("s", 7, 0, b""), Operation("s", FOLDER, 0, b"")


def test_what_is_synced_is_there() -> None:
    """Written, synced, and its name synced: in every image; what came after it may be dropped."""
    it = disk(CREATED, Operation("w", 7, 0, b"old"), SYNCED, FOLDER_SYNCED)
    it.take(Operation("w", 7, 0, b"new"))
    assert it.image("dropped", random.Random(1)) == {"a": b"old"}
    assert it.image("kept", random.Random(1)) == {"a": b"new"}


def test_a_name_that_is_not_synced_may_be_missing() -> None:
    """Its content is safe and its folder is not: it is there or it is not."""
    it = disk(CREATED, Operation("w", 7, 0, b"x"), SYNCED)
    assert it.image("dropped", random.Random(1)) == {}
    assert {frozenset(image) for image in images(it, "disordered")} == {
        frozenset(),
        frozenset("a"),
    }


def test_a_write_is_torn_at_sectors_and_kept_out_of_order() -> None:
    """Of two sectors the second may be there without the first, and zeros before it."""
    it = disk(CREATED, FOLDER_SYNCED, Operation("w", 7, 0, b"1" * 512 + b"2" * 512))
    seen = {image["a"] for image in images(it, "disordered") if "a" in image}
    assert bytes(512) + b"2" * 512 in seen
    assert {image["a"] for image in images(it, "torn")} == {
        b"",
        b"1" * 512,
        b"1" * 512 + b"2" * 512,
    }


def test_a_rename_that_is_not_synced_may_be_undone() -> None:
    """The old name, or the new one."""
    it = disk(CREATED, FOLDER_SYNCED, Operation("m", 0, 0, b"a\nb"))
    assert {frozenset(image) for image in images(it, "disordered")} == {
        frozenset("a"),
        frozenset("b"),
    }


def test_no_power_cut_loses_or_halves_what_was_reported(tmp_path: Path) -> None:
    """At every write and sync of the outbox: all is there, whole, and the erased are not."""
    verdict = cut_power(tmp_path, Length.SHORT, seed=1)
    assert verdict.kept, (verdict.findings, verdict.broken[:5])
    assert verdict.injected > 400
    assert verdict.committed > 20


@pytest.mark.parametrize("synchronous", ["normal", "off"])
def test_the_power_cut_finds_what_a_weaker_outbox_loses(tmp_path: Path, synchronous: str) -> None:
    """With SQLite's NORMAL or OFF, commits that were reported are gone: the proof can fail."""
    verdict = cut_power(tmp_path, Length.SHORT, seed=1, synchronous=synchronous, every=5)
    assert verdict.findings.lost > 20
