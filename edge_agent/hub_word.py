"""The door for what the hub says with its signature: commands, and the configuration it desires.

    {"<kind>": {..., "kind": "<kind>"}, "signature": "<base64>"}

signed with Ed25519 over the canonical JSON (RFC 8785) of the inner object. `kind` is always among
the octets that are signed, written out or not: nothing signed as one kind passes as another. A
gateway without the hub's key is a development machine, and takes an unsigned word.
"""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from edge_agent.identify.canonical import canonical

__all__ = ["Distrust", "UntrustedError", "open_word", "signed_octets"]

_DOCUMENT: Final = TypeAdapter(dict[str, JsonValue])  # refuses what nests too deep


class Distrust(StrEnum):
    """Why a word was not listened to."""

    MALFORMED = "malformed"
    UNSIGNED = "unsigned"
    WRONG_KEY = "wrong-key"


class UntrustedError(Exception):
    """Not the hub's word, as far as this gateway can tell; the text says what to do."""

    def __init__(self, distrust: Distrust, advice: str) -> None:
        self.distrust = distrust
        super().__init__(advice)


def signed_octets(word: dict[str, JsonValue], kind: str) -> bytes:
    """Give the octets that are signed.

    Raises:
        ValueError: a number in it has no canonical form.
    """
    return canonical({**word, "kind": kind})


def open_word(payload: bytes, kind: str, public_key: bytes | None) -> dict[str, JsonValue]:
    """Verify what arrived and give the inner object, which nobody has validated yet.

    Args:
        payload: as it came.
        kind: which kind it must be of.
        public_key: the hub's, 32 octets; None on a development machine.

    Raises:
        UntrustedError: nothing of it may be used.
    """
    try:
        document = _DOCUMENT.validate_json(payload)
    except ValidationError:
        raise UntrustedError(Distrust.MALFORMED, "it is not a JSON object") from None
    word, signature = document.get(kind), document.get("signature")
    if not isinstance(word, dict):
        envelope = f'{{"{kind}": {{...}}, "signature": "..."}}'
        raise UntrustedError(
            Distrust.MALFORMED if public_key is None else Distrust.UNSIGNED,
            f"it must come as {envelope}, signed by the hub's key",
        )
    if public_key is None:
        return word
    if not isinstance(signature, str):
        raise UntrustedError(
            Distrust.UNSIGNED, "it has no signature, and this gateway only obeys signed words"
        )
    if not _signed(word, kind, signature, public_key):
        raise UntrustedError(
            Distrust.WRONG_KEY,
            "it was not signed by the key in roster.public_key, or was changed after signing",
        )
    return word


def _signed(word: dict[str, JsonValue], kind: str, signature: str, public_key: bytes) -> bool:
    from edge_agent.identify.sealing import verified  # noqa: PLC0415 - few need it

    try:
        octets = signed_octets(word, kind)
        return verified(public_key, base64.b64decode(signature, validate=True), octets)
    except (ValueError, binascii.Error):
        return False
