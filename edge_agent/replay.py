"""A trace through the real pipeline and a real, throw-away outbox, in virtual time.

Deterministic: the same trace, roster and configuration give the same events, octet for octet.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

from edge_agent.clock import VirtualClock
from edge_agent.config import Config
from edge_agent.explain import Explainer, what_was_learnt
from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import RosterError
from edge_agent.pipeline import Decided, Pipeline
from edge_agent.publish.outbox import Outbox
from edge_agent.rosters import read_roster
from edge_agent.trace import End, Trace

__all__ = ["Replay"]


class Replay:
    """One run over a trace; take `events` to the end, then read the counts."""

    def __init__(
        self,
        config: Config,
        trace: Trace,
        explain: str | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Read the roster and make the pipeline.

        Args:
            config: what the operator set.
            trace: what was heard.
            explain: a visitor whose decisions are explained.
            say: takes each explanation.

        Raises:
            RosterError: when the roster cannot be used, or does not name who is to be explained.
        """
        began = trace.started_at.timestamp()
        # The ids that a live agent draws at random follow from the trace here.
        name = f"{config.tenant}/{config.store}/{config.gateway}/{began:.3f}"
        self._trace = trace
        self._clock = VirtualClock(began)
        self._directory = Directory(read_roster(config, newest_seq=0, unix=lambda: began))
        boot = uuid.uuid5(uuid.NAMESPACE_OID, f"boot {name}")
        self._outbox = Outbox.in_memory(uuid.uuid5(uuid.NAMESPACE_OID, f"epoch {name}").hex)
        self.explainer = None if explain is None else self._explainer(explain, config, say)
        self._pipeline = Pipeline(
            config, self._directory, self._clock, str(boot), observer=self.explainer
        )
        self._gateways = {gateway for zone in config.zones for gateway in zone.gateways}
        self.foreign = 0  # observations of gateways that no zone names

    def _explainer(self, visitor: str, config: Config, say: Callable[[str], None]) -> Explainer:
        visitors = self._directory.roster.visitors
        if visitor not in visitors:
            raise RosterError(
                f"--explain: nobody on the roster is called {visitor!r}; it names {len(visitors)}"
            )
        return Explainer(visitor, self._clock.unix, say, config.presence.enter_confidence)

    @property
    def lessons(self) -> str:
        """What the store has taught so far, for people."""
        return what_was_learnt(self._pipeline.store)

    @property
    def dropped(self) -> dict[str, int]:
        """How many observations identification dropped, by reason."""
        return dict(self._pipeline.identifier.counts)

    def events(self) -> Iterator[bytes]:
        """Give the events, each the JSON that would go on the wire.

        Raises:
            TraceError: when the trace cannot be read to its end.
        """
        with self._outbox:
            newest = 0.0
            for observation in self._trace:
                newest = max(newest, observation.at)
                if isinstance(observation, End):
                    yield from self._commit(self._pipeline.advance(observation.at))
                elif observation.gateway in self._gateways:
                    self._directory.ensure(self._clock.unix(observation.at))
                    yield from self._commit(self._pipeline.feed(observation))
                else:
                    self.foreign += 1
            yield from self._commit(self._pipeline.advance(newest))

    def _commit(self, decided: Decided) -> Iterator[bytes]:
        """Store what was decided, as one group, and give it as it was stored."""
        if decided:
            drafts = [draft for draft, _ in decided]
            visits = [visit for _, visit in decided]
            for _, body in self._outbox.commit(drafts, self._pipeline.composer.number, visits):
                yield body
