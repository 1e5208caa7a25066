"""`python -m edge_agent.vault_process`: one frame in, one out, and it is gone (see `vault`)."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from edge_agent.dumps import forbid_dumps
from edge_agent.identify import sealing
from edge_agent.identify.roster_manifest import (
    Manifest,
    Refusal,
    RosterRefusedError,
    SignedDelta,
    SignedManifest,
    chunk_place,
    delta_place,
    read_public_key,
)
from edge_agent.identify.roster_packed import EpochRoster
from edge_agent.identify.roster_signed import (
    check_manifest,
    check_snapshot,
    decoded,
    read_bundle,
)
from edge_agent.vault import read_frame, write_frame

__all__ = ["answer"]

_KEY: Final = 32  # octets


def _private_keys(path: Path) -> tuple[bytes, bytes]:
    """Give the keys that sign and unseal; made once, and for their owner's eyes only."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(2 * _KEY))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    octets = path.read_bytes()
    return octets[:_KEY], octets[_KEY:]


def answer(asked: dict[str, Any], blobs: Sequence[bytes]) -> bytes:
    """Do what a frame asks for; gives the answering one."""
    try:
        match asked["do"]:
            case "keys":
                signing, unsealing = _private_keys(Path(asked["keys"]))
                return write_frame(
                    {
                        "sign": _text(sealing.public_of_signing(signing)),
                        "seal": _text(sealing.public_of_sealing(unsealing)),
                    }
                )
            case "sign":
                signing, _ = _private_keys(Path(asked["keys"]))
                return write_frame({"signature": _text(sealing.sign(signing, blobs[0]))})
            case "look":
                return _look(asked, blobs)
            case "snapshot":
                return _snapshot(asked, blobs)
            case _:
                return _file(asked)
    except RosterRefusedError as error:
        return write_frame(_told(error))


def _look(asked: dict[str, Any], blobs: Sequence[bytes]) -> bytes:
    manifests, deltas, added, refusals = [], [], [], []
    for number, blob in enumerate(blobs):
        try:
            if number < asked["manifests"]:
                manifests.append(_manifest(asked, blob).model_dump(mode="json"))
                continue
            told, records = _delta(asked, blob)
        except RosterRefusedError as error:
            refusals.append(_told(error))
            continue
        deltas.append(told)
        added.append(records)
    header = {"manifests": manifests, "deltas": deltas, "refusals": refusals}
    return write_frame(header, added)


def _manifest(asked: dict[str, Any], payload: bytes) -> Manifest:
    try:
        told = SignedManifest.model_validate_json(payload)
    except ValidationError:
        raise RosterRefusedError(Refusal.MALFORMED, "that is no signed manifest") from None
    check_manifest(
        told.manifest,
        told.signature,
        public_key=read_public_key(asked["public_key"]),
        tenant=asked["tenant"],
        store=asked["store"],
        unix=asked["unix"],
    )
    return told.manifest


def _delta(asked: dict[str, Any], sealed: bytes) -> tuple[dict[str, Any], bytes]:
    _, unsealing = _private_keys(Path(asked["keys"]))
    place = delta_place(asked["tenant"], asked["store"], asked["gateway"])
    try:
        told = SignedDelta.model_validate_json(sealing.unseal(sealed, unsealing, place))
    except sealing.UnsealableError as error:
        raise RosterRefusedError(Refusal.UNSEALABLE, f"a delta was {error}") from None
    except ValidationError:
        raise RosterRefusedError(Refusal.MALFORMED, "that is no signed delta") from None
    delta = told.delta
    key = read_public_key(asked["public_key"])
    if not sealing.verified(key, decoded(told.signature), delta.canonical()):
        raise RosterRefusedError(Refusal.WRONG_KEY, "a delta was not signed by the hub")
    if (delta.tenant, delta.store) != (asked["tenant"], asked["store"]):
        raise RosterRefusedError(Refusal.WRONG_STORE, "a delta is for another store")
    added = EpochRoster.unpack(
        delta.epoch,
        b"".join(map(decoded, delta.add)),
        count=len(delta.add),
        consent_version=delta.consent_version,
    )
    header = delta.model_dump(mode="json", exclude={"add"}) | {"count": len(added)}
    return header, added.octets()


def _snapshot(asked: dict[str, Any], chunks: Sequence[bytes]) -> bytes:
    manifest = Manifest.model_validate(asked["manifest"])
    _, unsealing = _private_keys(Path(asked["keys"]))
    whose = (asked["tenant"], asked["store"], asked["gateway"])
    plain = []
    for index, chunk in enumerate(chunks):
        place = chunk_place(*whose, manifest.epoch, manifest.seq, index, len(chunks))
        try:
            plain.append(sealing.unseal(chunk, unsealing, place))
        except sealing.UnsealableError as error:
            raise RosterRefusedError(Refusal.UNSEALABLE, f"a chunk was {error}") from None
    return _opened(manifest, b"".join(plain))


def _file(asked: dict[str, Any]) -> bytes:
    bundle = read_bundle(Path(asked["path"]))
    manifest = bundle.manifest
    check_manifest(
        manifest,
        bundle.signature,
        public_key=read_public_key(asked["public_key"]),
        tenant=asked["tenant"],
        store=asked["store"],
        unix=asked["unix"],
    )
    if manifest.seq < asked["newest_seq"]:
        newest = asked["newest_seq"]
        raise RosterRefusedError(
            Refusal.OLDER_SEQ, f"its seq is {manifest.seq}, {newest} was accepted before"
        )
    return _opened(manifest, decoded(bundle.snapshot))


def _opened(manifest: Manifest, snapshot: bytes) -> bytes:
    roster = check_snapshot(manifest, snapshot)
    header = {"manifest": manifest.model_dump(mode="json"), "count": len(roster)}
    return write_frame(header, [roster.octets()])


def _told(error: RosterRefusedError) -> dict[str, str]:
    return {"refusal": error.refusal.value, "advice": error.advice}


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


if __name__ == "__main__":
    forbid_dumps()
    sys.stdout.buffer.write(answer(*read_frame(sys.stdin.buffer.read())))
