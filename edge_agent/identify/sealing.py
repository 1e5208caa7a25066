"""The cryptography of the roster: Ed25519 (RFC 8032) signs, HPKE (RFC 9180) seals.

The suite is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305 in base mode: whoever has a
gateway's public key can seal for it, so what comes out is believed for its signature alone. `info`
binds what is sealed to its place. Keys here are 32 octets.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

__all__ = [
    "UnsealableError",
    "public_of_sealing",
    "public_of_signing",
    "seal",
    "sign",
    "unseal",
    "verified",
]

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class UnsealableError(ValueError):
    """Sealed for another gateway or place, or changed on its way."""


def verified(public_key: bytes, signature: bytes, octets: bytes) -> bool:
    """Tell whether a signature is of these octets, by this key."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, octets)
    except InvalidSignature:
        return False
    return True


def sign(private_key: bytes, octets: bytes) -> bytes:
    """Sign octets; gives the 64 of the signature."""
    return Ed25519PrivateKey.from_private_bytes(private_key).sign(octets)


def public_of_signing(private_key: bytes) -> bytes:
    """Give the public half of a signing key."""
    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def public_of_sealing(private_key: bytes) -> bytes:
    """Give the public half of a key that things are sealed to."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def seal(octets: bytes, public_key: bytes, info: bytes) -> bytes:
    """Seal octets to a key: the encapsulated key (32), then the ciphertext and its tag (16)."""
    return _SUITE.encrypt(octets, X25519PublicKey.from_public_bytes(public_key), info)


def unseal(sealed: bytes, private_key: bytes, info: bytes) -> bytes:
    """Undo `seal`.

    Raises:
        UnsealableError: when it was not sealed so.
    """
    try:
        return _SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(private_key), info)
    except (InvalidTag, ValueError) as error:
        raise UnsealableError("sealed for another gateway or place, or changed") from error
