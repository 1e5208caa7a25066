"""The door for a signed roster (DESIGN section 3): refused whole, or accepted whole.

The manifest `{v, tenant, store, epoch, seq, count, sha256, not_after, consent_version}` is signed
with Ed25519 (RFC 8032) over its canonical JSON (RFC 8785); `sha256` covers the snapshot, which is
`count` records, each

    pseudonym (16) | TK (16) | be16 length of the fields | fields: type (1) | length (1) | value

with the types of `Field`. TK is for the manifest's epoch alone: all zero means no app identifier.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from array import array
from collections.abc import Iterator
from datetime import datetime
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic import Field as Constraint

from edge_agent.identify.roster import Member, PackedPseudonyms, Roster, RosterError

__all__ = [
    "Bundle",
    "Field",
    "Manifest",
    "Refusal",
    "RosterRefusedError",
    "open_bundle",
    "read_bundle",
    "read_public_key",
]

_HEAD = 34  # pseudonym, TK, length of the fields


class Field(IntEnum):
    """The typed fields of a record."""

    IBEACON = 1  # 20 octets
    EDDYSTONE_UID = 2  # 16 octets
    IRK = 3  # 16 octets
    WIFI_KEYID = 4  # UTF-8
    STAFF = 5  # empty


class Refusal(StrEnum):
    """Why a roster was refused."""

    MALFORMED = "malformed"
    WRONG_KEY = "wrong-key"
    WRONG_STORE = "wrong-store"
    OLDER_SEQ = "older-seq"
    LEASE_EXPIRED = "lease-expired"
    WRONG_CONTENT = "wrong-content"


class RosterRefusedError(RosterError):
    """A signed roster was refused; the one in force stays. `refusal` names the reason."""

    def __init__(self, refusal: Refusal, advice: str) -> None:
        self.refusal = refusal
        super().__init__(f"roster refused ({refusal.value}): {advice}")


def _a_moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time zone is missing")
    return text


class Manifest(BaseModel):
    """What the hub signs. `epoch` is p of the records' TKs."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    v: Literal[1] = 1
    tenant: str
    store: str
    epoch: Annotated[int, Constraint(ge=0)]
    seq: Annotated[int, Constraint(ge=0, lt=1 << 53)]  # RFC 8785 numbers are IEEE doubles
    count: Annotated[int, Constraint(ge=0)]
    sha256: Annotated[str, Constraint(pattern=r"^[0-9a-f]{64}$")]
    not_after: Annotated[str, AfterValidator(_a_moment)]  # as sent: the signature covers the text
    consent_version: str

    @property
    def lease_ends(self) -> datetime:
        """When nothing resolves any more."""
        return datetime.fromisoformat(self.not_after)

    def canonical(self) -> bytes:
        """Give the octets that are signed."""
        return rfc8785.dumps(self.model_dump(mode="json"))


class Bundle(BaseModel):
    """A manifest, its signature and its snapshot in one file; the octets are base64."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    manifest: Manifest
    signature: str
    snapshot: Annotated[str, Constraint(repr=False)]


def read_public_key(text: str) -> bytes:
    """Read an Ed25519 public key of 32 octets, in hexadecimal or base64.

    Raises:
        ValueError: when it is neither.
    """
    for decode in (bytes.fromhex, lambda t: base64.b64decode(t, validate=True)):
        try:
            octets = decode(text.strip())
        except (ValueError, binascii.Error):
            continue
        if len(octets) == 32:  # noqa: PLR2004 - an Ed25519 public key
            return octets
    raise ValueError(
        "an Ed25519 public key is expected: 32 octets as 64 hexadecimal digits or base64"
    )


def read_bundle(path: Path) -> Bundle:
    """Read a bundle from a file without judging it.

    Raises:
        RosterRefusedError: when it cannot be read or is not a bundle.
    """
    try:
        return Bundle.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RosterRefusedError(
            Refusal.MALFORMED, f"cannot read {path}: {error.strerror}"
        ) from error
    except ValidationError as error:
        places = ", ".join(
            ".".join(map(str, fault["loc"])) or "the file" for fault in error.errors()
        )
        raise RosterRefusedError(
            Refusal.MALFORMED, f"{path} is not a roster bundle; look at: {places}"
        ) from None


def open_bundle(
    bundle: Bundle, *, public_key: bytes, tenant: str, store: str, newest_seq: int, unix: float
) -> Roster:
    """Verify a bundle and unpack its roster.

    Args:
        bundle: as read.
        public_key: the hub's Ed25519 key, 32 octets, from the configuration.
        tenant: this gateway's, which the manifest must name.
        store: likewise.
        newest_seq: the highest seq accepted before; an older one is a rollback.
        unix: the time now, in seconds, from a synchronised clock.

    Raises:
        RosterRefusedError: naming the reason; nothing of the bundle may then be used.
    """
    manifest, snapshot = bundle.manifest, _decode(bundle.snapshot)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            _decode(bundle.signature), manifest.canonical()
        )
    except InvalidSignature:
        raise RosterRefusedError(
            Refusal.WRONG_KEY,
            "it was not signed with the key in roster.public_key, or was changed after signing",
        ) from None
    if (manifest.tenant, manifest.store) != (tenant, store):
        raise RosterRefusedError(
            Refusal.WRONG_STORE, f"it is for store {manifest.store!r} of {manifest.tenant!r}"
        )
    if manifest.seq < newest_seq:
        raise RosterRefusedError(
            Refusal.OLDER_SEQ, f"its seq is {manifest.seq}, {newest_seq} was accepted before"
        )
    if unix >= manifest.lease_ends.timestamp():
        raise RosterRefusedError(Refusal.LEASE_EXPIRED, f"its lease ended at {manifest.not_after}")
    if hashlib.sha256(snapshot).hexdigest() != manifest.sha256:
        raise RosterRefusedError(Refusal.WRONG_CONTENT, "the snapshot is not the one signed for")
    return _unpack(manifest, snapshot)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise RosterRefusedError(Refusal.MALFORMED, "the octets are not base64") from None


def _unpack(manifest: Manifest, snapshot: bytes) -> Roster:
    pseudonyms, keys = bytearray(), bytearray()
    owners = array("I")  # four octets a member, where a list of integers takes forty
    fielded: list[tuple[int, Member]] = []
    for index, (head, fields) in enumerate(_records(snapshot)):
        pseudonyms += head[:16]
        if any(head[16:32]):
            keys += head[16:32]
            owners.append(index)
        if fields:
            fielded.append((index, _member(head[:16], fields)))
    octets = np.frombuffer(bytes(pseudonyms), dtype=np.uint8).reshape(-1, 16)
    if len(octets) != manifest.count:
        raise RosterRefusedError(
            Refusal.WRONG_CONTENT, f"{len(octets)} records came, {manifest.count} were signed for"
        )
    temporary = np.frombuffer(bytes(keys), dtype=np.uint8).reshape(-1, 16)
    return Roster.packed(
        PackedPseudonyms(octets),
        {manifest.epoch: (temporary, np.frombuffer(owners, dtype=np.uint32))},
        fielded,
        not_after=manifest.lease_ends.timestamp(),
        seq=manifest.seq,
    )


def _records(snapshot: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Split a snapshot into the heads of its records and their fields."""
    at = 0
    while at < len(snapshot):
        head = snapshot[at : at + _HEAD]
        end = at + _HEAD + int.from_bytes(head[32:])
        if len(head) != _HEAD or end > len(snapshot):
            raise RosterRefusedError(Refusal.WRONG_CONTENT, "a record runs past the snapshot's end")
        yield head, snapshot[at + _HEAD : end]
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
