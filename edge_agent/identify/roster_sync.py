"""How a gateway comes by its roster over MQTT, without I/O (DESIGN section 3).

For each epoch p, the current one and the next:

    state    | on                            | becomes
    absent   | manifest                      | wanted: the snapshot is asked for
    wanted   | chunks until none is missing  | complete, to be opened
    complete | opened as signed for          | held at the manifest's seq
             | not what was signed for       | wanted, all chunks dropped
    held n   | delta n + 1                   | held n + 1
             | delta beyond n + 1            | wanted: a gap asks for a snapshot; n stays in use
             | delta up to n                 | held n
             | manifest n, later not_after   | held n, its lease renewed
             | manifest beyond n             | wanted, if no delta has closed the gap in 2 s
    any      | manifest of an older seq      | refused: a rollback brings withdrawn consent back
    any      | the epoch is over             | absent

Manifests and deltas were verified before they come here; chunks are sealed and unverified, so what
is kept of them is bounded by the signed manifest. Requests back off with full jitter: a broker's
restart brings a thousand gateways at once. `now` is monotonic, `unix` is UTC; both in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from edge_agent.identify.eid import GRACE_S
from edge_agent.identify.roster_manifest import Manifest, Refusal, RosterRefusedError

__all__ = ["CHUNK", "EPOCH_S", "Request", "RosterSync"]

EPOCH_S: Final = 1 << 16
CHUNK: Final = 256 * 1024  # octets of a snapshot in one message
SEAL: Final = 48  # octets that sealing adds
_MOST_MEMBERS: Final = 250_000
_LARGEST_RECORD: Final = 512  # octets, on average: the bound on what a count may fill
_MOST_OCTETS: Final = 16 * 1024 * 1024
DELTA_PATIENCE_S: Final = 2.0
FIRST_ASK_S: Final = 2.0
LONGEST_BACKOFF_S: Final = 60.0
NEXT_DUE_S: Final = 4 * 3600.0  # before its epoch begins, the next manifest is there


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask the hub for."""

    have: tuple[int, int] | None  # epoch, seq
    epochs: tuple[int, ...]


@dataclass(slots=True, repr=False)
class _Epoch:
    manifest: Manifest | None = None
    held: int | None = None  # seq
    lease: float = 0.0  # of what is held, Unix seconds
    behind_since: float | None = None
    gap: bool = False
    of: int = 0
    chunks: dict[int, bytes] = field(default_factory=dict)

    def forget_chunks(self) -> None:
        self.of, self.chunks = 0, {}


class RosterSync:
    """Decides what to ask for, and when something is whole; knows no member and no key."""

    def __init__(self, newest_seq: int, chance: Callable[[], float]) -> None:
        """Begin with nothing held.

        Args:
            newest_seq: the highest seq accepted before, also by an earlier life.
            chance: gives 0 to 1.
        """
        self.newest_seq = newest_seq
        self._chance = chance
        self._epochs: dict[int, _Epoch] = {}
        self._ask_at: float | None = None
        self._failures = 0

    def opened(self, now: float) -> None:
        """A connection is there: ask soon, once the manifest is known, not all at once."""
        self._failures = 0
        self._ask_at = now + FIRST_ASK_S + self._chance() * FIRST_ASK_S

    def closed(self) -> None:
        """The connection is gone; chunks that came stay."""
        self._ask_at = None

    def held(self, epoch: int) -> int | None:
        """Give the seq of the content held for an epoch."""
        state = self._epochs.get(epoch)
        return None if state is None else state.held

    def lease(self, epoch: int) -> float | None:
        """Give when the lease of what is held for an epoch ends, Unix seconds."""
        state = self._epochs.get(epoch)
        return None if state is None or state.held is None else state.lease

    def consent_version(self, epoch: int) -> str | None:
        """Name the consent text of an epoch's roster."""
        state = self._epochs.get(epoch)
        return None if state is None or state.manifest is None else state.manifest.consent_version

    def next_missing(self, unix: float) -> bool:
        """Tell whether the next epoch's roster should be here and is not."""
        p = int(unix) // EPOCH_S
        return unix >= (p + 1) * EPOCH_S - NEXT_DUE_S and self.held(p + 1) is None

    def offered(self, manifest: Manifest, now: float, unix: float) -> None:
        """Take a verified manifest.

        Raises:
            RosterRefusedError: of an older content, an epoch out of reach, or too large.
        """
        p = int(unix) // EPOCH_S
        if manifest.epoch not in (p, p + 1):
            if manifest.epoch == p - 1:
                return  # retained still; its time is over
            raise RosterRefusedError(
                Refusal.MALFORMED, f"its epoch is {manifest.epoch}, and now is {p}"
            )
        if manifest.count > _MOST_MEMBERS:
            raise RosterRefusedError(
                Refusal.MALFORMED, f"{manifest.count} members are more than {_MOST_MEMBERS}"
            )
        state = self._epochs.setdefault(manifest.epoch, _Epoch())
        if state.held is not None and manifest.seq < state.held:
            return  # a delta was quicker than the manifest that follows it
        if manifest.seq < self.newest_seq and state.held is None:
            raise RosterRefusedError(
                Refusal.OLDER_SEQ,
                f"its seq is {manifest.seq}, {self.newest_seq} was accepted before",
            )
        if state.manifest is None or manifest.seq != state.manifest.seq:
            state.forget_chunks()
        state.manifest = manifest
        if state.held == manifest.seq:
            state.lease = max(state.lease, manifest.lease_ends.timestamp())
            state.behind_since = None
        elif state.behind_since is None:
            state.behind_since = now
        self._ask_soon(now + (DELTA_PATIENCE_S if state.held is not None else 0.0))

    def chunk(self, epoch: int, seq: int, index: int, of: int, sealed: bytes, now: float) -> None:
        """Take a chunk; one that nobody asked for, or that cannot be, is dropped."""
        state = self._epochs.get(epoch)
        manifest = None if state is None else state.manifest
        if state is None or manifest is None or seq != manifest.seq or state.held == seq:
            return
        room = min(_MOST_OCTETS, manifest.count * _LARGEST_RECORD)
        if not (0 <= index < of <= max(1, -(-room // CHUNK)) and len(sealed) <= CHUNK + SEAL):
            return
        if state.of != of:
            state.forget_chunks()
            state.of = of
        if index not in state.chunks:
            state.chunks[index] = sealed
            self._failures = 0
            self._ask_at = now + FIRST_ASK_S + self._chance() * FIRST_ASK_S  # if no more come

    def complete(self) -> tuple[Manifest, list[bytes]] | None:
        """Give a manifest whose chunks are all here, in order, and let go of them."""
        for state in self._epochs.values():
            if state.manifest is not None and state.of and len(state.chunks) == state.of:
                chunks = [state.chunks[index] for index in range(state.of)]
                state.forget_chunks()
                return state.manifest, chunks
        return None

    def loaded(self, manifest: Manifest) -> None:
        """A snapshot was what was signed for."""
        state = self._epochs[manifest.epoch]
        state.held, state.gap, state.behind_since = manifest.seq, False, None
        state.lease = manifest.lease_ends.timestamp()
        self.newest_seq = max(self.newest_seq, manifest.seq)

    def spoiled(self, now: float) -> None:
        """A snapshot was not: ask again, more patiently."""
        self._back_off(now)

    def follows(self, epoch: int, seq: int, now: float) -> bool:
        """Tell whether a verified delta is the next one, and count it as applied."""
        state = self._epochs.get(epoch)
        if state is None or state.held is None or seq <= state.held:
            return False
        if seq > state.held + 1:
            state.gap = True
            self._ask_soon(now)
            return False
        state.held = seq
        if state.manifest is not None and state.manifest.seq <= seq:
            state.behind_since, state.gap = None, False
            if state.manifest.seq == seq:
                state.lease = max(state.lease, state.manifest.lease_ends.timestamp())
        self.newest_seq = max(self.newest_seq, seq)
        return True

    def expired(self, unix: float) -> list[int]:
        """Forget the epochs that are over, with the grace of a slow phone; gives them."""
        over = [epoch for epoch in self._epochs if unix >= (epoch + 1) * EPOCH_S + GRACE_S]
        for epoch in over:
            del self._epochs[epoch]
        return over

    def wanted(self, now: float, unix: float) -> tuple[int, ...]:
        """Say which epochs' snapshots are missing."""
        p = int(unix) // EPOCH_S
        due = (p, p + 1) if unix >= (p + 1) * EPOCH_S - NEXT_DUE_S else (p,)
        missing = {epoch for epoch in due if self.held(epoch) is None}
        for epoch, state in self._epochs.items():
            late = state.behind_since is not None and (
                state.held is None or now >= state.behind_since + DELTA_PATIENCE_S
            )
            if epoch >= p and (late or state.gap):
                missing.add(epoch)
        return tuple(sorted(missing))

    def request(self, now: float, unix: float) -> Request | None:
        """Give what to ask for now, or None; a later call asks again until it has come."""
        if self._ask_at is None or now < self._ask_at:
            return None
        wanted = self.wanted(now, unix)
        if not wanted:
            self._ask_at = now + LONGEST_BACKOFF_S
            self._failures = 0
            return None
        self._back_off(now)
        p = int(unix) // EPOCH_S
        held = self.held(p)
        return Request(None if held is None else (p, held), wanted)

    @property
    def deadline(self) -> float | None:
        """When `request` may next have something to say."""
        return self._ask_at

    def _ask_soon(self, at: float) -> None:
        if self._ask_at is not None and self._failures == 0:
            self._ask_at = min(self._ask_at, at + self._chance() * FIRST_ASK_S)

    def _back_off(self, now: float) -> None:
        self._failures += 1
        longest = min(LONGEST_BACKOFF_S, FIRST_ASK_S * 2.0**self._failures)
        self._ask_at = now + FIRST_ASK_S + self._chance() * longest
