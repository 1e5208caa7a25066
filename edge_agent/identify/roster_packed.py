"""One epoch's roster in packed form: what a snapshot becomes, and what a delta changes.

    record = pseudonym (16) | TK (16) | be16 length of the fields | fields: type | length | value

Arrays hold what every member has; the typed fields of the few who have any stay octets until a
`Roster` is made. 100,000 members are 3.2 MB, and a delta on them is some copies of that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from edge_agent.identify.roster import Keys, Member, PackedPseudonyms, Roster
from edge_agent.identify.roster_manifest import Field, Refusal, RosterRefusedError

__all__ = ["HEAD", "EpochRoster", "combined"]

HEAD: Final = 34  # pseudonym, TK, length of the fields
_PSEUDONYM: Final = 16


@dataclass(frozen=True, slots=True, repr=False)
class EpochRoster:
    """The members of one epoch, in any order; `keys` of zeros: no app identifier."""

    epoch: int
    pseudonyms: Keys  # (N, 16)
    keys: Keys  # (N, 16)
    fields: Mapping[bytes, bytes]  # by pseudonym

    def __len__(self) -> int:
        return len(self.pseudonyms)

    @classmethod
    def unpack(cls, epoch: int, snapshot: bytes, *, count: int, consent_version: str) -> Self:
        """Read records; whoever consented to another text is left out.

        Args:
            epoch: p of the TKs.
            snapshot: the records, one behind another.
            count: how many there must be.
            consent_version: which text this roster's members agreed to.

        Raises:
            RosterRefusedError: when the records are not sound.
        """
        octets = np.frombuffer(snapshot, dtype=np.uint8)
        if len(octets) == count * HEAD and not octets.reshape(-1, HEAD)[:, 32:].any():
            table = octets.reshape(-1, HEAD)  # the usual roster: nobody has a typed field
            return cls(epoch, table[:, :16].copy(), table[:, 16:32].copy(), {})
        heads, fields, found = bytearray(), {}, 0
        for head, extra in _records(snapshot):
            found += 1
            if extra:
                if not _consents(extra, consent_version):
                    continue
                _member(head[:16], extra)  # refused here, not when it is used
                fields[head[:16]] = extra
            heads += head[:32]
        if found != count:
            raise RosterRefusedError(
                Refusal.WRONG_CONTENT, f"{found} records came, {count} were signed for"
            )
        table = np.frombuffer(bytes(heads), dtype=np.uint8).reshape(-1, 32)
        return cls(epoch, table[:, :16].copy(), table[:, 16:].copy(), fields)

    def changed(self, added: EpochRoster, removed: Collection[bytes]) -> EpochRoster:
        """Give the roster after a delta: who is added replaces her own older record."""
        gone = {*removed, *_each(added.pseudonyms)}
        stays = ~_among(self.pseudonyms, gone)
        return EpochRoster(
            self.epoch,
            np.concatenate([self.pseudonyms[stays], added.pseudonyms]),
            np.concatenate([self.keys[stays], added.keys]),
            {p: f for p, f in self.fields.items() if p not in gone} | dict(added.fields),
        )

    def octets(self) -> bytes:
        """Write it as records, for a pipe or a file in memory."""
        plain = np.zeros((len(self), HEAD), dtype=np.uint8)
        plain[:, :16], plain[:, 16:32] = self.pseudonyms, self.keys
        if not self.fields:
            return plain.tobytes()
        return b"".join(
            row[:32].tobytes() + len(extra).to_bytes(2) + extra
            for row in plain
            for extra in (self.fields.get(row[:16].tobytes(), b""),)
        )


def combined(
    rosters: Sequence[EpochRoster], *, not_after: float | None = None, seq: int = 0
) -> Roster:
    """Make one roster of those of two epochs.

    Args:
        rosters: the newest content first: who is not on that one has withdrawn, and is on none.
        not_after: when the lease ends, Unix seconds.
        seq: of the newest content.

    Raises:
        RosterError: as `Roster.packed` does.
    """
    newest = rosters[0]
    epoch_keys = {}
    for roster in rosters:
        owners, known = _places(newest.pseudonyms, roster.pseudonyms)
        held = known & roster.keys.any(axis=1)
        epoch_keys[roster.epoch] = roster.keys[held], owners[held]
    members = []
    if newest.fields:
        places = {p: i for i, p in enumerate(_each(newest.pseudonyms)) if p in newest.fields}
        members = [(places[p], _member(p, extra)) for p, extra in newest.fields.items()]
    return Roster.packed(
        PackedPseudonyms(np.ascontiguousarray(newest.pseudonyms)),
        epoch_keys,
        members,
        not_after=not_after,
        seq=seq,
    )


def _places(known: Keys, wanted: Keys) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
    """Give the index of each pseudonym among those known, and which are known at all."""
    if known is wanted:
        return np.arange(len(known), dtype=np.uint32), np.ones(len(known), dtype=np.bool_)
    heads, tails = _halves(known)
    order = np.argsort(heads, kind="stable")
    heads, tails = heads[order], tails[order]
    wanted_heads, wanted_tails = _halves(wanted)
    if not len(heads):
        return np.zeros(len(wanted), dtype=np.uint32), np.zeros(len(wanted), dtype=np.bool_)
    at = np.minimum(heads.searchsorted(wanted_heads), len(heads) - 1)
    found = (heads[at] == wanted_heads) & (tails[at] == wanted_tails)
    return order[at].astype(np.uint32), found


def _halves(pseudonyms: Keys) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    numbers = np.ascontiguousarray(pseudonyms).view(">u8").astype(np.uint64)
    return numbers[:, 0], numbers[:, 1]


def _among(pseudonyms: Keys, wanted: Collection[bytes]) -> npt.NDArray[np.bool_]:
    """Tell of each pseudonym whether it is one of those wanted."""
    heads = np.frombuffer(b"".join(p[:8] for p in wanted), dtype=">u8").astype(np.uint64)
    likely = np.isin(_halves(pseudonyms)[0], heads)
    for index in np.flatnonzero(likely):
        likely[index] = pseudonyms[index].tobytes() in wanted
    return likely


def _each(pseudonyms: Keys) -> Iterator[bytes]:
    octets = pseudonyms.tobytes()
    return (octets[at : at + _PSEUDONYM] for at in range(0, len(octets), _PSEUDONYM))


def _consents(extra: bytes, consent_version: str) -> bool:
    told = dict(_fields(extra)).get(Field.CONSENT_VERSION)
    return told is None or told == consent_version.encode()


def _records(snapshot: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Split a snapshot into the heads of its records and their fields."""
    at = 0
    while at < len(snapshot):
        head = snapshot[at : at + HEAD]
        end = at + HEAD + int.from_bytes(head[32:])
        if len(head) != HEAD or end > len(snapshot):
            raise RosterRefusedError(Refusal.WRONG_CONTENT, "a record runs past the snapshot's end")
        yield head, snapshot[at + HEAD : end]
        at = end


def _member(pseudonym: bytes, octets: bytes) -> Member:
    fields = dict(_fields(octets))
    return Member(
        visitor=pseudonym.hex(),
        ibeacon=_sized(fields.get(Field.IBEACON), 20),
        eddystone_uid=_sized(fields.get(Field.EDDYSTONE_UID), 16),
        irk=_sized(fields.get(Field.IRK), 16),
        wifi_keyid=_text(fields.get(Field.WIFI_KEYID)),
        staff=Field.STAFF in fields,
    )


def _fields(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(octets):
        value = octets[at + 2 : at + 2 + octets[at + 1]] if at + 1 < len(octets) else None
        if value is None or len(value) != octets[at + 1]:
            raise RosterRefusedError(Refusal.WRONG_CONTENT, "a field runs past its record's end")
        yield octets[at], value  # a type of a later version is skipped by its length
        at += 2 + len(value)


def _sized(value: bytes | None, length: int) -> bytes | None:
    if value is not None and len(value) != length:
        raise RosterRefusedError(
            Refusal.WRONG_CONTENT, f"a field of {length} octets has another size"
        )
    return value


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        raise RosterRefusedError(Refusal.WRONG_CONTENT, "a Wi-Fi keyid is not UTF-8") from None
