"""When to call the broker again, and in which version of MQTT; without I/O.

Full jitter between failures: after n of them a pause of 0 to 2^n seconds, a minute at most, so that
a thousand gateways do not come back as one. Only a connection that lived for `STABLE_S` begins the
count anew: a broker that accepts and drops is called ever more rarely.
"""

from __future__ import annotations

import random
from typing import Final, Literal

from edge_agent.publish.mqtt import Ended, Protocol

__all__ = ["Reconnecting"]

STABLE_S: Final = 60.0
LONGEST_BACKOFF_S: Final = 60.0


class Reconnecting:
    """One link's patience with its broker."""

    def __init__(self, wanted: Literal["auto", "5", "3.1.1"]) -> None:
        """Begin with what the operator wants."""
        self.protocol = Protocol.V311 if wanted == "3.1.1" else Protocol.V5
        self._auto = wanted == "auto"
        self._understood = False  # in one version of MQTT or the other
        self._failures = 0

    def understood(self) -> None:
        """The broker has accepted a connection."""
        self._understood = True

    def ended(self, ended: Ended, lived_s: float) -> float:
        """A connection is over after `lived_s`; gives the pause before the next, seconds."""
        # Silence of a broker that has answered before: it is only on its way down.
        silent = ended.unanswered and not self._understood
        if self._auto and (ended.wrong_protocol or silent):
            self.protocol = self.protocol.other
        self._failures = 0 if lived_s > STABLE_S else self._failures + 1
        return random.uniform(0, min(LONGEST_BACKOFF_S, 2.0**self._failures))  # noqa: S311
