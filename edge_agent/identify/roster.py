"""Who opted in: the roster as identification uses it, packed for 100,000 members.

A roster says which pseudonym belongs to which key, tag, IRK or Wi-Fi credential, and until when
(`not_after`): past that, nothing resolves. It is a value; a new one replaces the old one whole.
The doors that read one are `roster_file` (development) and `roster_signed`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from edge_agent.identify.eid import temporary_keys

__all__ = ["MAX_IRKS", "Keys", "Member", "PackedPseudonyms", "Roster", "RosterError", "Visitors"]

MAX_IRKS: Final = 100  # 24-bit hashes collide at scale (DESIGN section 3)

Keys = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.uint32]
_Key = TypeVar("_Key", bytes, str)


class RosterError(ValueError):
    """A roster that cannot be used; the text says what to change and names no key."""


class Visitors(Protocol):
    """The pseudonyms of a roster, by member index."""

    def __len__(self) -> int:
        """Count the members."""

    def __getitem__(self, index: int, /) -> str:
        """Give a member's pseudonym."""

    def __contains__(self, visitor: object, /) -> bool:
        """Tell whether a pseudonym is on the roster."""

    def absent(self, visitors: Collection[str]) -> set[str]:
        """Give those of many pseudonyms that are not on the roster."""


class PackedPseudonyms:
    """Pseudonyms of 16 octets, kept as octets: 100,000 of them in 1.6 MB."""

    def __init__(self, octets: Keys) -> None:
        """Take pseudonyms of shape (N, 16), contiguous."""
        self._octets = octets
        self._halves = octets.view(">u8")  # (N, 2), the same memory

    def __len__(self) -> int:
        return len(self._octets)

    def __getitem__(self, index: int, /) -> str:
        octets: bytes = self._octets[index].tobytes()
        return octets.hex()

    def __contains__(self, visitor: object, /) -> bool:
        """Look through all: 0.2 ms for 100,000, asked for check-ins and new rosters only."""
        try:
            wanted = bytes.fromhex(visitor) if isinstance(visitor, str) else b""
        except ValueError:
            return False
        if len(wanted) != 16 or wanted.hex() != visitor:  # noqa: PLR2004 - a pseudonym's octets
            return False
        return bool((self._halves == np.frombuffer(wanted, dtype=">u8")).all(axis=1).any())

    def absent(self, visitors: Collection[str]) -> set[str]:
        """Give those of many pseudonyms that are not on the roster, in one pass over it."""
        try:
            wanted = b"".join(bytes.fromhex(visitor)[:8] for visitor in visitors)
        except ValueError:
            wanted = b""  # of another kind of roster: none of this one's
        # In native order: numpy's isin cannot compare one foreign value with many.
        heads = np.frombuffer(wanted, dtype=">u8").astype(np.uint64)
        likely = np.flatnonzero(np.isin(self._halves[:, 0].astype(np.uint64), heads))
        return set(visitors).difference(self[int(index)] for index in likely)


@dataclass(frozen=True, slots=True, repr=False)
class Member:
    """One record of a roster; every way to recognise the visitor is optional."""

    visitor: str
    identity_key: bytes | None = None
    temporary_keys: Mapping[int, bytes] = field(default_factory=dict)  # by epoch p
    ibeacon: bytes | None = None  # UUID, major, minor: 20 octets
    eddystone_uid: bytes | None = None  # namespace, instance: 16 octets
    irk: bytes | None = None
    wifi_keyid: str | None = None
    staff: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Roster:
    """A whole roster. `not_after` is Unix time in seconds, or None for a development file."""

    visitors: Visitors
    identity_keys: tuple[Keys, Indices]
    epoch_keys: Mapping[int, tuple[Keys, Indices]]
    ibeacons: Mapping[bytes, int]
    eddystone_uids: Mapping[bytes, int]
    irks: tuple[Keys, Indices]
    wifi_keyids: Mapping[str, int]
    staff: frozenset[int]
    not_after: float | None = None
    seq: int = 0

    def is_staff(self, visitor: str) -> bool:
        """Tell whether a member works here."""
        return any(self.visitors[index] == visitor for index in self.staff)

    def keys_of_epoch(self, epoch: int) -> tuple[Keys, Indices]:
        """Give the temporary keys of epoch p, shape (N, 16), and whose each is.

        A key that the roster holds wins over one derived from an identity key.
        """
        given, owners = self.epoch_keys.get(epoch, (_NO_KEYS, _NO_INDICES))
        identity, holders = self.identity_keys
        derive = ~np.isin(holders, owners)
        derived = temporary_keys(identity[derive], epoch)
        return np.concatenate([given, derived]), np.concatenate([owners, holders[derive]])

    @classmethod
    def empty(cls) -> Roster:
        """Nobody opted in, or nobody's consent is known yet."""
        return cls.of([])

    @classmethod
    def of(cls, members: Sequence[Member]) -> Roster:
        """Make a roster of members given one by one.

        Raises:
            RosterError: when two members share a pseudonym, a tag, an IRK or a Wi-Fi credential, or
                when there are more than `MAX_IRKS`.
        """
        epochs = sorted({epoch for m in members for epoch in m.temporary_keys})
        keys = {
            p: _packed((m.temporary_keys.get(p), i) for i, m in enumerate(members)) for p in epochs
        }
        return cls.packed(_Names(members), keys, list(enumerate(members)))

    @classmethod
    def packed(
        cls,
        visitors: Visitors,
        epoch_keys: Mapping[int, tuple[Keys, Indices]],
        members: Sequence[tuple[int, Member]],
        *,
        not_after: float | None = None,
        seq: int = 0,
    ) -> Roster:
        """Make a roster whose pseudonyms and temporary keys are packed already.

        Args:
            visitors: the pseudonyms, by member index.
            epoch_keys: temporary keys (N, 16) and whose each is, by epoch p.
            members: with their index, those who have anything else.
            not_after: when the lease ends, Unix seconds.
            seq: the manifest's.

        Raises:
            RosterError: as `of` does.
        """
        irks = [(m.irk, i) for i, m in members if m.irk is not None]
        _unique("IRK", irks)
        if len(irks) > MAX_IRKS:
            raise RosterError(
                f"{len(irks)} members have an IRK, at most {MAX_IRKS} may: their hashes collide at"
                " scale; use the app's identifier or a tag instead"
            )
        return cls(
            visitors=visitors,
            identity_keys=_packed((m.identity_key, i) for i, m in members),
            epoch_keys=epoch_keys,
            ibeacons=_unique("iBeacon", ((m.ibeacon, i) for i, m in members)),
            eddystone_uids=_unique("Eddystone-UID", ((m.eddystone_uid, i) for i, m in members)),
            irks=_packed(irks),
            wifi_keyids=_unique("Wi-Fi keyid", ((m.wifi_keyid, i) for i, m in members)),
            staff=frozenset(i for i, m in members if m.staff),
            not_after=not_after,
            seq=seq,
        )


class _Names:
    """Pseudonyms of a development file, taken verbatim."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._names = [m.visitor for m in members]
        self._known = frozenset(self._names)
        if len(self._known) != len(members):
            raise RosterError("two members have the same visitor: give each member one record")

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int, /) -> str:
        return self._names[index]

    def __contains__(self, visitor: object, /) -> bool:
        return visitor in self._known

    def absent(self, visitors: Collection[str]) -> set[str]:
        return set(visitors) - self._known


_NO_KEYS: Keys = np.empty((0, 16), dtype=np.uint8)
_NO_INDICES: Indices = np.empty(0, dtype=np.uint32)


def _packed(keys: Iterable[tuple[bytes | None, int]]) -> tuple[Keys, Indices]:
    held = [(key, index) for key, index in keys if key is not None]
    if not held:
        return _NO_KEYS, _NO_INDICES
    octets = np.frombuffer(b"".join(key for key, _ in held), dtype=np.uint8).reshape(-1, 16)
    return octets, np.array([index for _, index in held], dtype=np.uint32)


def _unique(what: str, keys: Iterable[tuple[_Key | None, int]]) -> dict[_Key, int]:
    found: dict[_Key, int] = {}
    for key, index in keys:
        if key is None:
            continue
        if key in found:
            raise RosterError(f"two members have the same {what}: an identifier names one visitor")
        found[key] = index
    return found
