"""The door for a signed roster (DESIGN section 3): refused whole, or accepted whole.

The manifest `{v, tenant, store, epoch, seq, count, sha256, not_after, consent_version}` is signed
with Ed25519 (RFC 8032) over its canonical JSON (RFC 8785); `sha256` covers the snapshot, which is
`count` records (`roster_packed`). TK is for the manifest's epoch alone.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from pydantic import ValidationError

from edge_agent.identify.roster import Roster
from edge_agent.identify.roster_manifest import (
    PURPOSE,
    Bundle,
    Field,
    Manifest,
    Refusal,
    RosterRefusedError,
    read_public_key,
)
from edge_agent.identify.roster_packed import EpochRoster, combined
from edge_agent.identify.sealing import verified

__all__ = [
    "Bundle",
    "Field",
    "Manifest",
    "Refusal",
    "RosterRefusedError",
    "check_manifest",
    "check_snapshot",
    "decoded",
    "open_bundle",
    "read_bundle",
    "read_public_key",
]


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
    manifest, snapshot = bundle.manifest, decoded(bundle.snapshot)
    check_manifest(
        manifest, bundle.signature, public_key=public_key, tenant=tenant, store=store, unix=unix
    )
    if manifest.seq < newest_seq:
        raise RosterRefusedError(
            Refusal.OLDER_SEQ, f"its seq is {manifest.seq}, {newest_seq} was accepted before"
        )
    return combined(
        [check_snapshot(manifest, snapshot)],
        not_after=manifest.lease_ends.timestamp(),
        seq=manifest.seq,
    )


def check_manifest(
    manifest: Manifest, signature: str, *, public_key: bytes, tenant: str, store: str, unix: float
) -> None:
    """Verify that a manifest is the hub's, for this store and purpose, and in force.

    Raises:
        RosterRefusedError: naming the reason.
    """
    if not verified(public_key, decoded(signature), manifest.canonical()):
        raise RosterRefusedError(
            Refusal.WRONG_KEY,
            "it was not signed with the key in roster.public_key, or was changed after signing",
        )
    if (manifest.tenant, manifest.store) != (tenant, store):
        raise RosterRefusedError(
            Refusal.WRONG_STORE, f"it is for store {manifest.store!r} of {manifest.tenant!r}"
        )
    if manifest.purpose not in (None, PURPOSE):
        raise RosterRefusedError(
            Refusal.WRONG_PURPOSE, f"its members agreed to {manifest.purpose!r}, not {PURPOSE!r}"
        )
    if unix >= manifest.lease_ends.timestamp():
        raise RosterRefusedError(Refusal.LEASE_EXPIRED, f"its lease ended at {manifest.not_after}")


def check_snapshot(manifest: Manifest, snapshot: bytes) -> EpochRoster:
    """Unpack a snapshot if it is the one that a manifest, verified before, speaks of.

    Raises:
        RosterRefusedError: naming the reason.
    """
    if hashlib.sha256(snapshot).hexdigest() != manifest.sha256:
        raise RosterRefusedError(Refusal.WRONG_CONTENT, "the snapshot is not the one signed for")
    return EpochRoster.unpack(
        manifest.epoch,
        snapshot,
        count=manifest.count,
        consent_version=manifest.consent_version,
    )


def decoded(text: str) -> bytes:
    """Decode base64.

    Raises:
        RosterRefusedError: when it is none.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise RosterRefusedError(Refusal.MALFORMED, "the octets are not base64") from None
