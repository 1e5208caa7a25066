"""What is done to an outbox before the power is cut: the real one, in a process of its own.

    python -m simulators.fault_matrix.storage_workload FOLDER --steps 80 --seed 1

It commits, acknowledges, checkpoints, erases, begins epochs, closes and opens, and finds its file
damaged. After each it says on stdout, as a line of JSON, what is promised from then on.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from edge_agent.model import Dwell, Enter, Exit, ExitReason, PresenceEvent, Visit
from edge_agent.publish.compose import Composer, Draft, renumbered
from edge_agent.publish.contract import Acknowledgement, ClockQuality
from edge_agent.publish.outbox import Outbox, StoredVisit
from edge_agent.publish.topics import Topics

__all__ = ["COMPOSER", "Promise", "digest", "told"]

TOPICS: Final = Topics("acme", "0042", "gw-1")
_OPENED_UNIX: Final = 1_795_000_000.0
_VISITORS: Final = 12
_ACTS: Final = ("commit",) * 8 + ("acknowledge", "checkpoint", "erase", "reopen")
_RARE: Final = {0.35: "spoil", 0.7: "begin epoch"}  # at such a part of the steps
COMPOSER: Final = Composer(
    TOPICS, "b007", lambda at: _OPENED_UNIX + at, lambda: ClockQuality.SYNCHRONISED, lambda: 1000.0
)


@dataclass(frozen=True, slots=True)
class Promise:
    """What holds once it is reported."""

    did: str
    digest: str  # of everything that is stored
    epoch: str
    highest: int
    committed: int  # events, since the beginning
    erased: list[str] = field(default_factory=list)  # of whom nothing may be found any more


def digest(path: Path) -> str:
    """Sum up every row of an outbox; but its session, which counts the times it was opened."""
    total = hashlib.sha256()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in sorted(tables):
            rows = database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - ours
            kept = sorted(repr(row) for row in rows if row[0] != "session")
            total.update(f"{table}{kept}".encode())
    return total.hexdigest()


def told(
    visitor: str, number: int, *, at: float, kind: str = "enter"
) -> list[tuple[Draft, StoredVisit]]:
    """Draft an event of a visit, with the visit as it then is."""
    visit = Visit(f"{visitor}-{number}", visitor, "floor", at, at + 5, ("ble",), 0.97)
    event: PresenceEvent
    match kind:
        case "enter":
            event = Enter(at, visit)
        case "dwell":
            event = Dwell(at + 60, visit, 60.0, 60)
        case _:
            event = Exit(at + 90, visit, 90.0, ExitReason.SILENCE)
    left = at + 120 if kind == "exit" else None
    stored = StoredVisit(
        id=visit.id,
        visitor=visitor,
        zone="floor",
        boot="b007",
        entered_at=at,
        last_at=event.at,
        entered_unix=_OPENED_UNIX + at,
        last_unix=_OPENED_UNIX + event.at,
        milestones=int(kind != "enter"),
        sources=("ble",),
        exit_decided_at=left,
        exit_decided_unix=None if left is None else _OPENED_UNIX + left,
    )
    return [(COMPOSER.draft(event), stored)]


class Workload:
    """One outbox, and what is done to it."""

    def __init__(self, path: Path, seed: int, synchronous: str) -> None:
        """Open it; a `synchronous` other than `full` weakens what it promises, on purpose."""
        self._path = path
        self._dice = random.Random(seed)
        self._synchronous = synchronous
        self._outbox = self._open()
        self._number = 0
        self._committed = 0
        self._erased: set[str] = set()

    def run(self, steps: int) -> None:
        """Do `steps` things, and report each."""
        rare = {round(part * steps): act for part, act in _RARE.items()}
        self._report("open")
        for step in range(steps):
            act = rare.get(step) or self._dice.choice(_ACTS)
            self._act(act)
            self._report(act)
        self._outbox.close()

    def _open(self) -> Outbox:
        outbox = Outbox.open(self._path)
        if self._synchronous != "full":
            outbox._db.execute(f"PRAGMA synchronous = {self._synchronous}")  # noqa: SLF001
        return outbox

    def _act(self, act: str) -> None:
        outbox = self._outbox
        match act:
            case "commit":
                self._commit()
            case "acknowledge":
                seq = self._dice.randint(outbox.watermark, outbox.highest)
                outbox.acknowledge(Acknowledgement(epoch=outbox.epoch, seq=seq, hub=1))
            case "checkpoint":
                kept = [visit for visit in outbox.visits() if visit.exit_decided_at is None]
                outbox.keep_visits(kept)
            case "erase":
                visitors = sorted(outbox.visitors())
                if visitors:
                    visitor = self._dice.choice(visitors)
                    outbox.erase(visitor, COMPOSER.gap)
                    self._erased.add(visitor)
            case "begin epoch":
                outbox.begin_epoch(renumbered)
            case "reopen" | "spoil":
                outbox.close()
                if act == "spoil":
                    self._spoil()
                self._outbox = self._open()

    def _commit(self) -> None:
        drafts = []
        for _ in range(self._dice.randint(1, 4)):
            self._number += 1
            # Whoever was erased does not come again: then her bytes would be there of right.
            visitor = f"visitor-{self._number % _VISITORS}-of-{self._number // 60}"
            if visitor not in self._erased:
                kind = self._dice.choice(("enter", "dwell", "exit"))
                drafts += told(visitor, self._number, at=float(self._number), kind=kind)
        visits = {visit.visitor: visit for _, visit in drafts}
        self._outbox.commit([draft for draft, _ in drafts], COMPOSER.number, visits.values())
        self._committed += len(drafts)

    def _spoil(self) -> None:
        """Let a card lose the first page."""
        with self._path.open("r+b") as file:
            file.write(b"\xa5" * 4096)

    def _report(self, did: str) -> None:
        outbox = self._outbox
        promise = Promise(
            did,
            digest(self._path),
            outbox.epoch,
            outbox.highest,
            self._committed,
            sorted(self._erased),
        )
        sys.stdout.write(json.dumps(asdict(promise)) + "\n")
        sys.stdout.flush()


def work(
    folder: Path,
    *,
    steps: Annotated[int, typer.Option(min=1)] = 80,
    seed: int = 1,
    synchronous: Annotated[str, typer.Option(help="full, normal or off.")] = "full",
) -> None:
    """Use an outbox in FOLDER."""
    Workload(folder / "outbox.db", seed, synchronous).run(steps)


if __name__ == "__main__":
    typer.run(work)
