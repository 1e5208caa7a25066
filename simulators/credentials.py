"""What a phone puts in the air to be recognised: the reference for DESIGN section 3.

Written with a library's AES, one block at a time, and independent of the agent's own vectorised
tables: the two are compared through the published vectors.
"""

from __future__ import annotations

from uuid import UUID

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = [
    "NAMESPACE",
    "WINDOW_EXPONENT",
    "WINDOW_S",
    "android_service_data",
    "ephemeral_id",
    "ios_service_uuid",
    "resolvable_address",
    "temporary_key",
]

NAMESPACE = UUID("7a3c9e10-5b2d-4f68-9c41-d0e2a7b65f13")
WINDOW_EXPONENT = 10
WINDOW_S = 1 << WINDOW_EXPONENT
_ADVERT_VERSION = 1


def temporary_key(identity_key: bytes, unix: int) -> bytes:
    """Derive the 16-byte key of the 65,536 s epoch that holds `unix` (Eddystone-EID)."""
    return _aes(identity_key, bytes(11) + b"\xff" + bytes(2) + (unix >> 16 & 0xFFFF).to_bytes(2))


def ephemeral_id(identity_key: bytes, unix: int, exponent: int = WINDOW_EXPONENT) -> bytes:
    """Compute the 8 bytes a phone shows during the window of 2**`exponent` s that holds `unix`."""
    begins = unix >> exponent << exponent
    counter = bytes(11) + bytes([exponent]) + begins.to_bytes(4)
    return _aes(temporary_key(identity_key, unix), counter)[:8]


def android_service_data(eid: bytes, tx: int) -> bytes:
    """Lay out the 10 bytes after the namespace: version and flags, `tx` in dBm at 1 m, EID."""
    return bytes([_ADVERT_VERSION << 4]) + tx.to_bytes(1, signed=True) + eid


def ios_service_uuid(namespace: UUID, eid: bytes) -> str:
    """Give the service UUID that an iPhone in the foreground lists: NS[0:8] followed by the EID."""
    return str(UUID(bytes=namespace.bytes[:8] + eid))


def resolvable_address(irk: bytes, prand: int) -> str:
    """Form a resolvable private address from 22 random bits (Core specification Vol 6 B 1.3.2)."""
    high = (prand & 0x3FFFFF | 0x400000).to_bytes(3)
    low = _aes(irk, bytes(13) + high)[13:]
    return (high + low).hex(":").upper()


def _aes(key: bytes, block: bytes) -> bytes:
    # One block, and Eddystone-EID prescribes the mode.
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(block) + encryptor.finalize()
