"""The supervisor: lives, losses and the waits between them, with a scripted receiver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.model import Observation, RadioState
from edge_agent.sources.source import Backoff, Health, Source, SourceLostError, supervise


class StoryOverError(Exception):
    """The script has no more lives."""


@dataclass
class Script:
    """A receiver whose lives are given: seconds it listens, or None for one that never does."""

    lives: Sequence[float | None]
    now: float = 0.0
    name: str = "ble"
    gateway: str = "gw-1"
    said: list[tuple[float, bool]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def health(self) -> Health:
        """Nothing a story looks at."""
        return Health(listening=False, heard=0, last_heard_at=None, detail="scripted")

    async def listen(self) -> AsyncGenerator[Observation, None]:
        """Live the next life of the script."""
        if not self.lives:
            raise StoryOverError
        length, self.lives = self.lives[0], self.lives[1:]
        if length is not None:
            yield RadioState(self.now, self.gateway, self.name, listening=True)
            self.now += length
        raise SourceLostError("unplugged: plug it in")

    async def sleep(self, seconds: float) -> None:
        """Let the waiting pass."""
        self.waits.append(seconds)
        self.now += seconds

    def deliver(self, observation: Observation) -> None:
        """Note what is said of listening, and when."""
        assert isinstance(observation, RadioState)
        assert (observation.gateway, observation.radio) == ("gw-1", "ble")
        self.said.append((observation.at, observation.listening))

    async def run(self) -> None:
        """Run the story with the longest waits the jitter allows."""
        source: Source = self
        backoff = Backoff(sleep=self.sleep, uniform=lambda _least, most: most)
        with pytest.raises(StoryOverError):
            await supervise(source, self.deliver, lambda: self.now, backoff)


async def test_loss_and_recovery_are_each_said_once() -> None:
    """Listened 10 s, failed twice to start, listened again: lost, recovered."""
    story = Script([10, None, None, 5])
    await story.run()
    assert story.said == [(0, True), (10, False), (24, True), (29, False)]


async def test_a_receiver_that_never_listens_is_lost_once() -> None:
    """The tracker must not trust the silence of a radio that was never there."""
    story = Script([None, None, None])
    await story.run()
    assert story.said == [(0, False)]


async def test_waits_double_to_a_minute() -> None:
    """Ever shorter-lived failures wait up to 2, 4, 8 … and at most 60 s."""
    story = Script([None] * 8)
    await story.run()
    assert story.waits == [2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_stable_life_ends_the_backoff() -> None:
    """After 60 s of listening the next loss is retried as if it were the first."""
    story = Script([None, None, 59.9, 60.0, 1.0])
    await story.run()
    assert story.waits == [2, 4, 8, 2, 4]


async def test_a_loss_the_source_itself_told_of_is_not_repeated() -> None:
    """A receiver that called itself deaf and then dies is lost once."""

    class Deaf(Script):
        async def listen(self) -> AsyncGenerator[Observation, None]:
            if not self.lives:
                raise StoryOverError
            self.lives = ()
            yield RadioState(self.now, self.gateway, self.name, listening=True)
            yield RadioState(self.now + 90, self.gateway, self.name, listening=False)
            raise SourceLostError("unplugged")

    story = Deaf([None])
    await story.run()
    assert story.said == [(0, True), (90, False)]


async def test_cancelling_closes_the_receiver() -> None:
    """A cancelled supervisor ends at once, says nothing more, and frees the receiver."""
    listened, closed = asyncio.Event(), asyncio.Event()

    class Patient(Script):
        async def listen(self) -> AsyncGenerator[Observation, None]:
            try:
                yield RadioState(self.now, self.gateway, self.name, listening=True)
                listened.set()
                await asyncio.sleep(3600)
            finally:
                closed.set()

    story = Patient([])
    task = asyncio.create_task(supervise(story, story.deliver, lambda: 0.0))
    await listened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
    assert story.said == [(0, True)]


@given(st.lists(st.one_of(st.none(), st.floats(0, 300)), max_size=40), st.randoms())
def test_waits_stay_in_bounds_and_states_alternate(
    lives: list[float | None], random: Random
) -> None:
    """Whatever the lives: every wait is 1 s to 60 s, and no state is said twice running."""
    story = Script(lives)

    async def live() -> None:
        backoff = Backoff(sleep=story.sleep, uniform=random.uniform)
        with pytest.raises(StoryOverError):
            await supervise(story, story.deliver, lambda: story.now, backoff)

    asyncio.run(live())
    assert all(1 <= wait <= 60 for wait in story.waits)
    states = [listening for _at, listening in story.said]
    assert all(a != b for a, b in pairwise(states))
