"""The power is cut at every write and sync of the outbox, and it is opened again.

A process uses the real outbox on a watched disk (`storage_shim`); for each operation that it did,
the folder is built as it may be after a power cut just then (`storage_images`), several ways, and
opened. What it holds must be all that was reported and nothing by halves: the rows, whole, as they
were after the last thing that was reported, or after the one that was being done.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.publish.outbox import Outbox, OutboxUnusableError
from simulators.fault_matrix.scenario import Length, Scenario, Verdict
from simulators.fault_matrix.storage_images import VARIANTS, Disk, Image
from simulators.fault_matrix.storage_shim import Shim, read_journal
from simulators.fault_matrix.storage_workload import COMPOSER, Promise, digest, told

__all__ = ["SCENARIOS", "cut_power"]

_STEPS: Final = {Length.SHORT: 30, Length.LONG: 150}
_NOTHING: Final = Promise("nothing", "", "", 0, 0)
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the images are thrown away


@dataclass(frozen=True, slots=True)
class _Cut:
    """A power cut: what there may be then, and what was promised."""

    operation: int
    variant: str
    image: Image
    kept: Promise  # reported before the cut
    doing: Promise  # what was being done: it may have come to pass

    def story(self, what: str) -> str:
        """Say what was found, and where."""
        return f"operation {self.operation}, {self.variant}, {self.doing.did} under way: {what}"


def cut_power(
    folder: Path, length: Length, seed: int, *, synchronous: str = "full", every: int = 1
) -> Verdict:
    """Run the workload once, and cut the power at each of its operations.

    Args:
        folder: of the scenario.
        length: how much is done; short gives each operation two of the variants, in turn.
        seed: of the workload and of what the disk keeps.
        synchronous: `full`, or what must lose.
        every: cut at every so many operations.
    """
    shim = Shim(folder / "shim")
    state = folder / "state"
    state.mkdir()
    command = [sys.executable, "-m", "simulators.fault_matrix.storage_workload", str(state)]
    options = ["--steps", str(_STEPS[length]), "--seed", str(seed), "--synchronous", synchronous]
    subprocess.run(  # noqa: S603 - our own program
        command + options,
        env=shim.environment(state, journal=True),
        stdout=subprocess.PIPE,
        check=True,
    )
    verdict = Verdict()
    memory = _MEMORY if _MEMORY.is_dir() else folder
    for cut in _cuts(shim.journal, length, random.Random(seed), every):
        verdict.committed = max(verdict.committed, cut.kept.committed)
        verdict.injected += 1
        with tempfile.TemporaryDirectory(prefix="edge-agent-cut-", dir=memory) as place:
            _judge(cut, Path(place), verdict)
    verdict.applied = verdict.committed
    verdict.note = f"{verdict.injected} images of a disk, {_STEPS[length]} transactions"
    return verdict


def _cuts(journal: Path, length: Length, dice: random.Random, every: int) -> Iterator[_Cut]:
    operations = list(read_journal(journal))
    reported = b"".join(one.data for one in operations if one.kind == "r")
    promises = [_NOTHING, *(Promise(**json.loads(line)) for line in reported.splitlines())]
    disk, said = Disk(), 0
    for number, operation in enumerate(operations):
        disk.take(operation)
        said += operation.data.count(b"\n") if operation.kind == "r" else 0
        if operation.kind == "r" or number % every:
            continue
        variants: tuple[str, ...] = VARIANTS
        if length is Length.SHORT:
            variants = tuple(VARIANTS[(number + n) % len(VARIANTS)] for n in (0, 2))
        doing = promises[min(said + 1, len(promises) - 1)]
        seen: list[Image] = []
        for variant in variants:
            image = disk.image(variant, dice)
            if image not in seen:
                seen.append(image)
                yield _Cut(number, variant, image, promises[said], doing)


def _judge(cut: _Cut, place: Path, verdict: Verdict) -> None:
    """Open an image and compare it with what was promised."""
    for name, octets in cut.image.items():
        (place / name).write_bytes(octets)
    _search(cut, place, cut.kept.erased, verdict)
    path = place / "outbox.db"
    try:
        with Outbox.open(path) as outbox:
            epoch, highest = outbox.epoch, outbox.highest
            found = digest(path)
            if found == cut.doing.digest:  # an erasure that has come to pass is whole, too
                _search(cut, place, cut.doing.erased, verdict)
            _go_on(outbox)
    except OutboxUnusableError as error:
        verdict.broken.append(cut.story(f"does not start: {error}"))
        return
    if found in (cut.kept.digest, cut.doing.digest):
        return
    fresh = highest == 0 and epoch not in (cut.kept.epoch, cut.doing.epoch)
    if fresh and (cut.kept is _NOTHING or cut.doing.did == "spoil"):
        return
    if epoch == cut.kept.epoch and highest >= cut.kept.highest:
        verdict.findings.altered += 1
        verdict.findings.tell(cut.story("the rows are neither those before nor those after"))
    else:
        verdict.findings.lost += max(1, cut.kept.highest - highest)
        verdict.findings.tell(
            cut.story(f"{cut.kept.highest} events were reported, and {highest} are there")
        )


def _search(cut: _Cut, place: Path, erased: list[str], verdict: Verdict) -> None:
    """Look in every file for visitors of whom nothing may be there any more."""
    for file in place.iterdir():
        octets = file.read_bytes()
        for visitor in erased:
            if f'"{visitor}"'.encode() in octets:
                verdict.broken.append(cut.story(f"{visitor}, erased, is in {file.name}"))


def _go_on(outbox: Outbox) -> None:
    """The agent works: an event gets the next number."""
    before = outbox.highest
    ((draft, visit),) = told("visitor-after", 1, at=5000.0)
    ((seq, _),) = outbox.commit([draft], COMPOSER.number, [visit])
    if seq != before + 1:
        raise AssertionError(f"after {before} came {seq}")


async def _run(folder: Path, length: Length, seed: int) -> Verdict:
    verdict = await asyncio.to_thread(cut_power, folder, length, seed)
    if verdict.kept:
        shutil.rmtree(folder / "shim")
    return verdict


SCENARIOS: Final = (Scenario("power cut at every write and sync of the outbox", _run),)
