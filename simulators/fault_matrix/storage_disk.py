"""A card that is full, fails, stalls or was swapped for an old copy of itself."""

from __future__ import annotations

import asyncio
import errno
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from simulators.fault_matrix.scenario import Length, Scenario, Verdict
from simulators.fault_matrix.storage_store import LiveStore, live_store

__all__ = ["SCENARIOS"]

_TIMES: Final = {Length.SHORT: 1, Length.LONG: 4}
_EVENTS: Final = {Length.SHORT: 6, Length.LONG: 60}
_LASTS_S: Final = {Length.SHORT: 1.0, Length.LONG: 20.0}
_SLOW_MS: Final = 2000
_HELD_UP: Final = re.compile(r"Executing .* took (\d+\.\d+) seconds")
_HELD_UP_S: Final = 1.0  # of the event loop: half of what the disk takes


@contextmanager
def _small_card(folder: Path) -> Iterator[None]:
    """Let the state folder be a file system of 4 MiB; it takes root."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)  # noqa: S603 - our own arguments
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607 - as above


async def _full(folder: Path, length: Length, seed: int) -> Verdict:
    """Somebody else fills the card, several times; then there is room again."""
    with _small_card(folder / "state"):
        async with live_store(folder, seed) as store:
            await store.come()
            for _ in range(_TIMES[length]):
                await store.more_applied(_EVENTS[length])
                hog = _fill(store.state)
                full = store.logged("disk_full")
                await store.until(
                    lambda full=full: store.logged("disk_full") > full,  # type: ignore[misc]
                    "the agent says that the disk is full",
                )
                store.verdict.injected += 1
                await asyncio.sleep(_LASTS_S[length])
                hog.unlink()
            await store.leave()
            return store.judge()


def _fill(card: Path) -> Path:
    hog = card / "hog"
    with hog.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)) == 4096:  # noqa: PLR2004 - a page
            pass
    return hog


async def _faulty(
    folder: Path, length: Length, seed: int, *, sync_errno: int = 0, write_errno: int = 0
) -> Verdict:
    """Syncs or writes fail for a while: the agent goes on in memory, and on disk when it starts."""
    async with live_store(folder, seed) as store:
        for _ in range(_TIMES[length]):
            await store.come()
            await store.more_applied(_EVENTS[length])
            gone = store.logged("disk_unwritable")
            store.shim.order(sync_errno=sync_errno, write_errno=write_errno)
            await store.until(
                lambda gone=gone: store.logged("disk_unwritable") > gone,  # type: ignore[misc]
                "the agent says that the disk cannot be written",
            )
            store.verdict.injected += 1
            await store.more_applied(_EVENTS[length])
            store.shim.order()
            await store.leave(from_memory=True)
            await asyncio.to_thread(store.agent.stop)
            store.remember_memory()
            await asyncio.to_thread(store.agent.start)
            await store.settle()
        return store.judge()


async def _failing_sync(folder: Path, length: Length, seed: int) -> Verdict:
    return await _faulty(folder, length, seed, sync_errno=errno.EIO)


async def _read_only(folder: Path, length: Length, seed: int) -> Verdict:
    """As when the kernel has given up a card: open files, and EROFS for whoever writes."""
    return await _faulty(folder, length, seed, sync_errno=errno.EROFS, write_errno=errno.EROFS)


async def _slow(folder: Path, length: Length, seed: int) -> Verdict:
    """Each sync takes 2 s: what is told comes later, and nothing waits for it but the outbox."""
    async with live_store(folder, seed) as store:
        await store.come()
        await store.more_applied(_EVENTS[length])
        store.shim.order(sync_ms=_SLOW_MS)
        store.verdict.injected += 1
        await store.more_applied(_EVENTS[length])
        store.shim.order()
        await store.leave()
        worst = _held_up(store)
        store.verdict.note = f"the event loop was held up for {worst:.2f} s at most"
        if worst > _HELD_UP_S:
            store.verdict.broken.append(store.verdict.note)
        verdict = store.judge()
        # The outbox is opened before anything else goes on: then the loop must be seen to wait.
        store.agent.kill()
        store.shim.order(sync_ms=_SLOW_MS // 2)
        await asyncio.to_thread(store.agent.start)
        await store.until(lambda: _held_up(store) > _HELD_UP_S, "what held up the event loop")
        return verdict


def _held_up(store: LiveStore) -> float:
    """Give the longest that asyncio says one step of a task took, in seconds."""
    text = store.agent.log.read_text(encoding="utf-8")
    return max((float(seconds) for seconds in _HELD_UP.findall(text)), default=0.0)


async def _old_copy(folder: Path, length: Length, seed: int) -> Verdict:
    """The card is copied, the agent goes on, and some day the copy is put in its place."""
    async with live_store(folder, seed) as store:
        for _ in range(_TIMES[length]):
            await store.come()
            await store.more_applied(_EVENTS[length])
            await store.leave()
            store.agent.kill()
            copy = folder / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(store.state, copy)
            await asyncio.to_thread(store.agent.start)
            await store.come()
            await store.more_applied(_EVENTS[length])
            await store.leave()
            store.agent.kill()
            old = store.remember_epoch()
            shutil.rmtree(store.state)
            shutil.copytree(copy, store.state)
            store.verdict.injected += 1
            await asyncio.to_thread(store.agent.start)
            await store.come()
            await store.more_applied(_EVENTS[length])
            await store.leave()
            if store.remember_epoch() == old:
                store.verdict.broken.append("the old copy went on in its epoch")
        return store.judge()


SCENARIOS: Final = (
    Scenario("full disk", _full),
    Scenario("read-only disk, while running", _read_only),
    Scenario("disk whose syncs fail", _failing_sync),
    Scenario("slow disk, 2 s a sync", _slow),
    Scenario("restored card image with an old outbox", _old_copy),
)
