"""What a hub signs, and why a roster is refused (DESIGN section 3), without any cryptography.

The daemon imports this; what verifies and unseals is imported only by short-lived processes.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic import Field as Constraint

from edge_agent.identify.canonical import canonical
from edge_agent.identify.roster import RosterError

__all__ = [
    "PURPOSE",
    "Applied",
    "Bundle",
    "Delta",
    "Field",
    "Manifest",
    "Refusal",
    "RosterRefusedError",
    "SignedDelta",
    "SignedManifest",
    "chunk_place",
    "delta_place",
    "read_public_key",
]

PURPOSE: Final = "presence"  # what these visitors agreed to, where the hub says it


class Field(IntEnum):
    """The typed fields of a record."""

    IBEACON = 1  # 20 octets
    EDDYSTONE_UID = 2  # 16 octets
    IRK = 3  # 16 octets
    WIFI_KEYID = 4  # UTF-8
    STAFF = 5  # empty
    CONSENT_VERSION = 6  # UTF-8: of the text that she agreed to, where not the manifest's


class Refusal(StrEnum):
    """Why a roster was refused."""

    MALFORMED = "malformed"
    WRONG_KEY = "wrong-key"
    WRONG_STORE = "wrong-store"
    OLDER_SEQ = "older-seq"
    LEASE_EXPIRED = "lease-expired"
    WRONG_CONTENT = "wrong-content"
    WRONG_PURPOSE = "wrong-purpose"
    UNSEALABLE = "unsealable"


class RosterRefusedError(RosterError):
    """A signed roster was refused; the one in force stays. `refusal` names the reason."""

    def __init__(self, refusal: Refusal, advice: str) -> None:
        self.refusal, self.advice = refusal, advice
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
    epoch: Annotated[int, Constraint(ge=0, lt=1 << 53)]
    seq: Annotated[int, Constraint(ge=0, lt=1 << 53)]  # RFC 8785 numbers are IEEE doubles
    count: Annotated[int, Constraint(ge=0, lt=1 << 53)]
    sha256: Annotated[str, Constraint(pattern=r"^[0-9a-f]{64}$")]
    not_after: Annotated[str, AfterValidator(_a_moment)]  # as sent: the signature covers the text
    consent_version: Annotated[str, Constraint(max_length=64)]
    purpose: Annotated[str, Constraint(max_length=64)] | None = None

    @model_serializer(mode="wrap")
    def _as_signed(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out a purpose that was not given: the signature covers what was sent."""
        values: dict[str, object] = write(self)
        return {name: value for name, value in values.items() if value is not None}

    @property
    def lease_ends(self) -> datetime:
        """When nothing resolves any more."""
        return datetime.fromisoformat(self.not_after)

    def canonical(self) -> bytes:
        """Give the octets that are signed."""
        return canonical(self.model_dump(mode="json"))


class SignedManifest(BaseModel):
    """What lies retained at `roster/manifest/{p}`; the signature is base64."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    manifest: Manifest
    signature: Annotated[str, Constraint(max_length=128)]


class Delta(BaseModel):
    """One change of the roster's content, from seq - 1 to seq; `add` holds records in base64."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    v: Literal[1] = 1
    tenant: str
    store: str
    epoch: Annotated[int, Constraint(ge=0, lt=1 << 53)]
    seq: Annotated[int, Constraint(ge=1, lt=1 << 53)]
    add: Annotated[tuple[str, ...], Constraint(repr=False)] = ()
    remove: tuple[Annotated[str, Constraint(pattern=r"^[0-9a-f]{32}$")], ...] = ()
    consent_version: Annotated[str, Constraint(max_length=64)]

    def canonical(self) -> bytes:
        """Give the octets that are signed."""
        return canonical(self.model_dump(mode="json"))


class SignedDelta(BaseModel):
    """What is sealed into a message of `roster/delta`; the signature is base64."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    delta: Delta
    signature: Annotated[str, Constraint(max_length=128)]


class Applied(BaseModel):
    """What a gateway signs when a content is in force, and who is no longer on it is erased."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    v: Literal[1] = 1
    tenant: str
    store: str
    gateway: str
    epoch: int
    seq: int
    removed: tuple[str, ...]
    at: str
    applied: Literal[True] = True

    def canonical(self) -> bytes:
        """Give the octets that are signed."""
        return canonical(self.model_dump(mode="json"))


def chunk_place(tenant: str, store: str, gateway: str, *place: int) -> bytes:
    """Give the HPKE info of a chunk: whose it is, and its epoch, seq, index and of."""
    return "|".join(
        ["edge-agent roster chunk 1", tenant, store, gateway, *map(str, place)]
    ).encode()


def delta_place(tenant: str, store: str, gateway: str) -> bytes:
    """Give the HPKE info of a delta; its epoch and seq are signed inside."""
    return f"edge-agent roster delta 1|{tenant}|{store}|{gateway}".encode()


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
