"""One gateway of a scenario: the real publisher over a real outbox, and visits told to it.

What it is told is remembered by content, which no epoch and no number changes, so that the oracle
can hold it against what the hub applied. Its clock may be moved: three days pass in a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from edge_agent.config import Mqtt
from edge_agent.model import Dwell, Enter, Exit, ExitReason, PresenceEvent, Visit
from edge_agent.publish.compose import Composer
from edge_agent.publish.contract import ClockQuality, State
from edge_agent.publish.delivery import Delivery
from edge_agent.publish.outbox import Outbox, StoredVisit
from edge_agent.publish.publisher import Publisher
from edge_agent.publish.topics import Topics
from simulators.fault_oracle import Content, content_of

__all__ = ["EVENTS_PER_VISIT", "PATIENCE_S", "SENDER", "Gateway", "until"]

# Set by the tests that prove the matrix: what a gateway sends by, and how long it may take.
SENDER: ContextVar[type[Delivery]] = ContextVar("SENDER", default=Delivery)
PATIENCE_S: ContextVar[float] = ContextVar("PATIENCE_S", default=120.0)

EVENTS_PER_VISIT: Final = 5
_STAY_S: Final = 900.0
_MILESTONES_S: Final = (60, 300, 600)
_MOST_PENDING: Final = 5_000  # submitted and not stored; the writer drops beyond twice this
_GOODBYE_S: Final = 30.0


async def until(condition: Callable[[], object], patience: float = 60.0) -> bool:
    """Wait for something that another thread or process brings about; tells whether it came."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.002)
    return True


class Gateway:
    """A gateway whose outbox lies in `folder`; `life` runs its publisher."""

    def __init__(self, folder: Path, url: str, name: str = "gw-1", **settings: Any) -> None:
        """Prepare.

        Args:
            folder: of the outbox.
            url: the broker's, or what leads to it.
            name: of the gateway.
            settings: more of the agent's `[mqtt]`.
        """
        self.topics = Topics("acme", "0042", name)
        self.outbox_file = folder / name / "outbox.db"
        self.settings: dict[str, Any] = {"url": url, "allow_plaintext": True, "keepalive": "5s"}
        self.settings |= settings
        self.told: list[Content] = []
        self.skipped_s = 0.0  # by which the clock runs ahead of the host's
        self.details: list[str] = []  # what the state said, each once
        self.watched = True  # whether anybody wants to know that
        self.first_visit = 1  # of the numbers that tell its visits from a clone's
        self._visits = 0
        self._publisher: Publisher | None = None
        self._composer = Composer(
            self.topics,
            f"boot-{name}",
            lambda at: time.time() - time.monotonic() + at,
            lambda: ClockQuality.SYNCHRONISED,
            self.now,
        )

    def now(self) -> float:
        """The gateway's clock, seconds."""
        return time.monotonic() + self.skipped_s

    @property
    def publisher(self) -> Publisher:
        """The one that lives now."""
        if self._publisher is None:
            raise RuntimeError("the gateway is not alive: tell it within `life`")
        return self._publisher

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Publisher]:
        """Run the publisher until the end of the block, and stop it cleanly."""
        self.outbox_file.parent.mkdir(parents=True, exist_ok=True)
        with Outbox.open(self.outbox_file) as outbox:
            self._publisher = publisher = Publisher(
                outbox,
                self._composer,
                self.topics,
                Mqtt(**self.settings),
                State(connected=True, boot="boot", session=outbox.session, version="1.2.3"),
                lambda: None,
                self.now,
            )
            if SENDER.get() is not Delivery:  # a broken one, put in before anything is sent
                publisher._link.delivery = SENDER.get()(  # noqa: SLF001 - no seam for saboteurs
                    outbox.epoch, highest=outbox.highest, watermark=outbox.watermark, hub=outbox.hub
                )
            task = asyncio.create_task(publisher.run(), name=f"publisher {self.topics.gateway}")
            listening = asyncio.create_task(self._listen(), name="details")
            if not self.watched:
                listening.cancel()
            try:
                yield publisher
            finally:
                listening.cancel()
                publisher.stop()
                await asyncio.wait_for(task, _GOODBYE_S)
                self._publisher = None

    async def visits(self, count: int, *, gap_s: float = 0.0) -> None:
        """Tell of whole visits, as fast as they are stored; `gap_s` passes after each."""
        for _ in range(count):
            name = self._next_visit()
            entered = self.now() - _STAY_S
            self._tell(*_visit(name, entered))
            self.skipped_s += gap_s
            if self.publisher.state.pending > _MOST_PENDING:
                await until(lambda: not self.publisher.state.pending)

    async def stored(self) -> None:
        """Wait until all that was told is in the outbox."""
        if not await until(lambda: not self.publisher.state.pending, 120):
            raise TimeoutError("the outbox stores nothing")
        # The last group may be being committed: this waits behind it, and until it is counted.
        highest = await self.publisher.in_outbox(lambda outbox: outbox.highest)
        await until(lambda: self.publisher.state.highest >= highest)

    async def settled(self) -> bool:
        """Wait until the hub has confirmed all that was told; tells whether it did."""
        await self.stored()
        return await until(lambda: not self.publisher.state.outstanding, PATIENCE_S.get())

    async def enter_latency(self) -> float:
        """Tell of an enter and give the seconds until it was in the outbox."""
        name = self._next_visit()
        enter, *rest = _visit(name, self.now() - _STAY_S)
        highest, began = self.publisher.state.highest, time.monotonic()
        self._tell(enter)
        await until(lambda: self.publisher.state.highest > highest)
        took = time.monotonic() - began
        self._tell(*rest)
        return took

    def _next_visit(self) -> str:
        self._visits += 1
        return f"{self.topics.gateway}-{self.first_visit + self._visits}"

    def _tell(self, *events: PresenceEvent) -> None:
        drafts = [(self._composer.draft(event), _stored(event.visit)) for event in events]
        for draft, _ in drafts:
            body = self._composer.number(draft, "content", 1)
            self.told.append(content_of(body))
        self.publisher.submit(drafts)
        self._composer.entered.clear()  # no visit here has another event to come

    async def _listen(self) -> None:
        """Remember what the state says, for a person to act on."""
        while True:
            detail = self.publisher.state.detail
            if detail not in self.details:
                self.details.append(detail)
            await asyncio.sleep(0.05)


def _visit(name: str, entered: float) -> list[PresenceEvent]:
    """A whole visit: enter, three milestones, exit."""

    def known(at: float) -> Visit:
        return Visit(f"visit-{name}", f"visitor-{name}", "floor", entered, at, ("ble",), 0.97)

    left = entered + _STAY_S
    return [
        Enter(entered, known(entered + 2), resumed=False),
        *(Dwell(entered + s, known(entered + s), float(s), s) for s in _MILESTONES_S),
        Exit(left, known(left), _STAY_S, ExitReason.SILENCE),
    ]


def _stored(of: Visit) -> StoredVisit:
    """Give a visit as the disk holds it."""
    unix = time.time() - time.monotonic()
    return StoredVisit(
        id=of.id,
        visitor=of.visitor,
        zone=of.zone,
        boot="boot",
        entered_at=of.entered_at,
        last_at=of.decided_at,
        entered_unix=unix + of.entered_at,
        last_unix=unix + of.decided_at,
        milestones=0,
        sources=of.sources,
        exit_decided_at=None,
        exit_decided_unix=None,
    )
