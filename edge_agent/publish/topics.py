"""The topics of one gateway (DESIGN section 7)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

__all__ = ["SHARDS", "Topics", "shard_of"]

SHARDS: Final = 64


def shard_of(store: str) -> str:
    """Give a store's shard: CRC-32 of its UTF-8 name modulo 64, in two decimal digits."""
    return f"{zlib.crc32(store.encode()) % SHARDS:02d}"


@dataclass(frozen=True, slots=True)
class Topics:
    """Names the topics under `presence/v1/{tenant}/{shard}/{store}/{gateway}/`."""

    tenant: str
    store: str
    gateway: str

    @property
    def root(self) -> str:
        """The topic root, without a slash at its end."""
        return f"presence/v1/{self.tenant}/{shard_of(self.store)}/{self.store}/{self.gateway}"

    def leaf(self, leaf: str) -> str:
        """The topic of a leaf, such as `roster/request`; wildcards make a filter of it."""
        return f"{self.root}/{leaf}"

    @property
    def events(self) -> str:
        """All events, one topic: order is per topic."""
        return f"{self.root}/events"

    @property
    def ack(self) -> str:
        """The hub's watermark, retained."""
        return f"{self.root}/ack"

    @property
    def state(self) -> str:
        """Birth and will, retained."""
        return f"{self.root}/state"

    @property
    def health(self) -> str:
        """How the gateway is, retained."""
        return f"{self.root}/health"
