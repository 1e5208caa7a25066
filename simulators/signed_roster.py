"""A hub's side of the signed roster: pack records, sign the manifest (DESIGN section 3)."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.identify.roster import Member
from edge_agent.identify.roster_signed import Bundle, Field, Manifest

__all__ = ["pack", "sign_bundle"]


def sign_bundle(
    members: list[Member],
    private_key: bytes,
    *,
    tenant: str,
    store: str,
    epoch: int,
    seq: int,
    not_after: float,
    consent_version: str = "1",
) -> Bundle:
    """Pack and sign a roster as a hub does.

    Args:
        members: with pseudonyms of 32 hexadecimal digits, and the TK of `epoch` if any.
        private_key: 32 octets (RFC 8032 seed).
        tenant: whose gateway it is for.
        store: which store it is for.
        epoch: p of the TKs.
        seq: increases with every roster of the store.
        not_after: when the lease ends, Unix seconds.
        consent_version: which consent text the members agreed to.
    """
    snapshot = b"".join(pack(member, epoch) for member in members)
    manifest = Manifest(
        tenant=tenant,
        store=store,
        epoch=epoch,
        seq=seq,
        count=len(members),
        sha256=hashlib.sha256(snapshot).hexdigest(),
        not_after=datetime.fromtimestamp(not_after, UTC).isoformat().replace("+00:00", "Z"),
        consent_version=consent_version,
    )
    signature = Ed25519PrivateKey.from_private_bytes(private_key).sign(manifest.canonical())
    return Bundle(
        manifest=manifest,
        signature=base64.b64encode(signature).decode(),
        snapshot=base64.b64encode(snapshot).decode(),
    )


def pack(member: Member, epoch: int) -> bytes:
    """Write a member's record for one epoch."""
    values = {
        Field.IBEACON: member.ibeacon,
        Field.EDDYSTONE_UID: member.eddystone_uid,
        Field.IRK: member.irk,
        Field.WIFI_KEYID: None if member.wifi_keyid is None else member.wifi_keyid.encode(),
        Field.STAFF: b"" if member.staff else None,
    }
    fields = b"".join(
        bytes([kind, len(value)]) + value for kind, value in values.items() if value is not None
    )
    tk = member.temporary_keys.get(epoch, bytes(16))
    return bytes.fromhex(member.visitor) + tk + len(fields).to_bytes(2) + fields
