"""Commands as they come and go: the channel `command`, and the one worker that executes.

    take --inbox--> remember --> judge --> start | execute | finish --> result, until it is heard

One command at a time, in the order of arrival. What comes too fast is answered `busy` without a
look at its signature, and beyond what can even be answered it is dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog
from pydantic import JsonValue

from edge_agent.clock import Clock
from edge_agent.commands.actions import ActionFailedError, Deeds
from edge_agent.commands.contract import CommandFault, Executed, Result, Status
from edge_agent.commands.journal import Interrupted, Journal, JournalFullError
from edge_agent.commands.judge import Addressee, Order, RefusedError, id_of, judge, read_order
from edge_agent.publish.channel import Outlet
from edge_agent.publish.contract import ClockQuality

__all__ = ["Commands"]

MOST_OCTETS: Final = 16 * 1024
MOST_WAITING: Final = 32
MOST_ANSWERS: Final = 256  # that no journal holds; beyond it the oldest is dropped and counted
PER_MINUTE: Final = 60
CLOCK_PATIENCE_S: Final = 600.0  # a command waits this long for a clock that is set
RESULT_PATIENCE_S: Final = 5.0  # a restart waits this long for its result to be heard
RETRY_S: Final = 5.0
FORGET_S: Final = 600.0

log = structlog.get_logger()
_T = TypeVar("_T")


class Commands:
    """The channel `command` (`publish.channel.Channel`); `run` does the work."""

    name = "command"
    filters: Sequence[str] = ("command/+",)

    def __init__(
        self,
        addressee: Addressee,
        path: Path,
        deeds: Deeds,
        clock: Clock,
        outbox_epoch: Callable[[], Awaitable[str]],
    ) -> None:
        """Prepare.

        Args:
            addressee: who this gateway is.
            path: of the journal.
            deeds: what this gateway can do.
            clock: says when a command has expired.
            outbox_epoch: asks the outbox which epoch it is in, see `Journal.remembers_since`.
        """
        self._addressee = addressee
        self._path = path
        self._deeds = deeds
        self._clock = clock
        self._outbox_epoch = outbox_epoch
        self._journal: Journal | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="commands")
        self._wake = asyncio.Event()
        self._inbox: deque[tuple[Order | tuple[str, RefusedError], float]] = deque()
        self._answers: OrderedDict[str, bytes] = OrderedDict()  # that the journal does not hold
        self._outlet: Outlet | None = None
        self._posted: set[str] = set()  # on this connection
        self._heard: deque[str] = deque()  # to be written down
        self._allowance, self._refilled_at = float(PER_MINUTE), clock.now()
        self._forget_at = float("-inf")
        self._began: float | None = None  # Unix time, until the journal knows it
        if clock.quality() is not ClockQuality.UNSYNCHRONISED:
            self._began = clock.unix(clock.now())
        self.counts: Counter[str] = Counter()

    def opened(self, outlet: Outlet) -> None:
        """Say what has not been heard."""
        self._outlet = outlet
        self._wake.set()

    def closed(self) -> None:
        """What was posted and not accepted is said again."""
        self._outlet = None
        self._posted.clear()

    def take(self, leaf: str, payload: bytes) -> None:
        """A command came, or something in its place."""
        ident = id_of(leaf)
        if ident is None or len(payload) > MOST_OCTETS:
            self.counts["no_command" if ident is None else "oversize"] += 1
            return
        if not self._admits():
            self.counts["busy"] += 1
            self._answer(ident, Status.BUSY, "too many commands at once: say it again later")
            return
        try:
            order: Order | tuple[str, RefusedError] = read_order(ident, payload, self._addressee)
        except RefusedError as error:
            self.counts[error.status.value] += 1
            log.warning("command_refused", status=error.status.value)
            if error.known is None:
                self._answer(ident, error.status, error.detail, faults=error.faults)
                return
            order = ident, error
        self._inbox.append((order, self._clock.now()))
        self._wake.set()

    async def run(self) -> None:
        """Execute what comes, and see that results are heard, for ever."""
        try:
            journal = await self._open()
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._write_heard(journal)
                await self._post(journal)
                while self._inbox:
                    await self._see_to(journal, *self._inbox[0])
                    self._inbox.popleft()
                    await self._post(journal)
        finally:
            self._worker.shutdown()
            if self._journal is not None:
                self._journal.close()

    def _admits(self) -> bool:
        """Take one from the minute's allowance, and a place in the queue."""
        now = self._clock.now()
        gained = (now - self._refilled_at) * PER_MINUTE / 60
        self._allowance = min(float(PER_MINUTE), self._allowance + gained)
        self._refilled_at = now
        if self._allowance < 1 or len(self._inbox) >= MOST_WAITING:
            return False
        self._allowance -= 1
        return True

    async def _open(self) -> Journal:
        """Open the journal, and end what the last life has left open."""
        while True:
            try:
                self._journal = journal = await self._in_journal(Journal.open, self._path)
                left = await self._in_journal(journal.settle, self._left_open)
            except JournalFullError as error:
                log.error("commands_unusable", reason=str(error))  # noqa: TRY400 - no bug of ours
                await self._put_off()
                await asyncio.sleep(RETRY_S)
                continue
            if left:
                log.warning("commands_interrupted", count=left)
            self._wake.set()
            return journal

    async def _put_off(self) -> None:
        """Answer that nothing can be executed while nothing can be remembered."""
        while self._inbox:
            ident, _ = _ends(self._inbox.popleft()[0])
            self._answer(ident, Status.BUSY, "the journal cannot be written: see to the disk")
        await self._post(None)

    async def _see_to(
        self, journal: Journal, order: Order | tuple[str, RefusedError], came_at: float
    ) -> None:
        """Execute one command, or say why not; whatever happens, there is a result."""
        ident, expires = _ends(order)
        if not await self._clock_set(came_at):
            self._answer(ident, Status.UNSYNCHRONISED, "this gateway's clock is not set: see NTP")
            return
        now = self._clock.unix(self._clock.now())
        try:
            since = await self._remembers_since(journal, now)
            await self._forget(journal, now)
            known = await self._in_journal(journal.take, ident, expires)
            if known is not None:
                if known.result is not None:
                    self._say(ident, known.result)
                return
            try:
                if not isinstance(order, Order):
                    raise order[1]
                judge(order, now, remembers_since=since, forgotten=journal.forgotten)
            except RefusedError as error:
                result = self._result(
                    ident, error.status, Executed.NEVER, error.detail, faults=error.faults
                )
                await self._finish(journal, ident, result)
                return
            await self._in_journal(journal.start, ident)
        except JournalFullError as error:
            log.error("commands_unusable", reason=str(error))  # noqa: TRY400 - no bug of ours
            self._answer(ident, Status.BUSY, "there is no room to remember it: free some space")
            return
        await self._execute(journal, order)

    async def _execute(self, journal: Journal, order: Order) -> None:
        log.info("command_started")
        afterwards = order.action.afterwards
        try:
            value = await order.action.act(self._deeds, order.arguments)
        except ActionFailedError as error:
            result = self._result(order.id, Status.FAILED, Executed.ONCE, str(error))
            afterwards = None
        else:
            result = self._result(order.id, Status.DONE, Executed.ONCE, "done", value=value)
        await self._finish(journal, order.id, result)
        self.counts["executed"] += 1
        if afterwards is not None:
            await self._until_heard(journal, order.id)
            afterwards(self._deeds)

    async def _finish(self, journal: Journal, ident: str, result: bytes) -> None:
        """Store a result; it was executed, so there is no way back and no next command before."""
        while True:
            try:
                await self._in_journal(journal.finish, ident, result)
            except JournalFullError as error:
                log.error("commands_unusable", reason=str(error))  # noqa: TRY400 - no bug of ours
                await asyncio.sleep(RETRY_S)
            else:
                self._wake.set()
                return

    async def _until_heard(self, journal: Journal, ident: str) -> None:
        """Wait a while for the broker to take a result; it is said again in the next life."""
        await self._post(journal)
        deadline = self._clock.now() + RESULT_PATIENCE_S
        while ident not in self._heard and (left := deadline - self._clock.now()) > 0:
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)
        await self._write_heard(journal)

    async def _clock_set(self, came_at: float) -> bool:
        """Wait for a clock by which to tell whether a command has expired."""
        while self._clock.quality() is ClockQuality.UNSYNCHRONISED:
            if self._clock.now() - came_at > CLOCK_PATIENCE_S:
                return False
            await asyncio.sleep(1.0)
        return True

    async def _remembers_since(self, journal: Journal, now: float) -> float:
        """Ask when the memory began: a new one with this life, or when its outbox was renewed."""
        began, self._began = self._began or now, None
        return await self._in_journal(
            journal.remembers_since, await self._outbox_epoch(), min(began, now)
        )

    async def _forget(self, journal: Journal, now: float) -> None:
        at = self._clock.now()
        if at >= self._forget_at:
            self._forget_at = at + FORGET_S
            await self._in_journal(journal.forget, now)

    def _left_open(self, command: Interrupted) -> bytes:
        if command.started:
            return self._result(
                command.id,
                Status.INTERRUPTED,
                Executed.PERHAPS,
                "the agent stopped while executing it: look whether it took effect",
            )
        return self._result(
            command.id, Status.DROPPED, Executed.NEVER, "the agent stopped before it began"
        )

    def _result(
        self,
        ident: str,
        status: Status,
        executed: Executed,
        detail: str,
        *,
        value: JsonValue = None,
        faults: tuple[CommandFault, ...] = (),
    ) -> bytes:
        at = datetime.fromtimestamp(self._clock.unix(self._clock.now()), UTC)
        result = Result(
            id=ident,
            status=status,
            executed=executed,
            detail=detail,
            at=at,
            value=value,
            faults=faults,
        )
        return result.model_dump_json().encode()

    def _answer(
        self, ident: str, status: Status, detail: str, *, faults: tuple[CommandFault, ...] = ()
    ) -> None:
        """Answer what is not remembered."""
        self._say(ident, self._result(ident, status, Executed.NEVER, detail, faults=faults))

    def _say(self, ident: str, result: bytes) -> None:
        """Let a result be heard that the journal does not hold as unheard."""
        self._posted.discard(ident)
        self._answers[ident] = result
        self._answers.move_to_end(ident)
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)
            self.counts["unanswered"] += 1
        self._wake.set()

    async def _post(self, journal: Journal | None) -> None:
        """Send what has not been heard, as far as there is room."""
        unheard: list[tuple[str, bytes]] = []
        if journal is not None:
            unheard = await self._in_journal(journal.unheard, MOST_ANSWERS)
        outlet = self._outlet
        for ident, result in (*unheard, *self._answers.items()):
            if outlet is None or ident in self._posted:
                continue
            accepted = partial(self._accepted, ident, result)
            if not outlet.send(f"command/{ident}/result", result, accepted=accepted):
                return  # one that is accepted makes room, and wakes
            self._posted.add(ident)

    def _accepted(self, ident: str, result: bytes, refusal: str | None) -> None:
        if refusal is not None:
            log.error("result_refused", reason=refusal, advice="check the broker's rules")
            return
        if self._answers.get(ident) == result:  # one that the journal does not wait for
            del self._answers[ident]
            self._posted.discard(ident)
        else:
            self._heard.append(ident)
        self._wake.set()

    async def _write_heard(self, journal: Journal) -> None:
        """Remember which results need not be said again; if not, they are, which does no harm."""
        while self._heard:
            try:
                await self._in_journal(journal.heard, self._heard.popleft())
            except JournalFullError:
                return

    async def _in_journal(self, action: Callable[..., _T], *arguments: object) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, partial(action, *arguments))


def _ends(order: Order | tuple[str, RefusedError]) -> tuple[str, float]:
    """Give an id, and until when it must be remembered."""
    if isinstance(order, Order):
        return order.id, order.expires_at
    ident, error = order
    return ident, error.known or 0.0
