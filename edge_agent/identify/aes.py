"""AES-128 of one block under many keys at once (FIPS 197), vectorised over the keys.

A roster of 100,000 visitors needs 100,000 encryptions of one block under 100,000 keys each
window; one at a time that is 0.5-0.9 s, here a few hundredths. The round function is the usual
table form (FIPS 197 section 5, in the column arithmetic of Daemen and Rijmen), the key schedule
runs along with the rounds so that no round key is kept.

Not constant-time: table lookups leak through the cache to another process of this machine. The
keys are TKs and IRKs that the daemon holds in its own RAM on a gateway without other tenants;
whoever can time its cache there can read its memory.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["encrypt_block"]

Words = npt.NDArray[np.uint32]

_CHUNK = 4096  # keys at a time: state and tables stay in the first-level caches
_ROUNDS = 10


def _xtime(byte: int) -> int:
    """Multiply by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197 section 4.2.1)."""
    return ((byte << 1) ^ (0x1B if byte & 0x80 else 0)) & 0xFF


def _build_sbox() -> list[int]:
    """Build the S-box: the inverse in GF(2^8), then the affine map (section 5.1.1)."""
    power, log = [0] * 255, [0] * 256
    value = 1
    for exponent in range(255):
        power[exponent], log[value] = value, exponent
        value ^= _xtime(value)  # 3 generates the multiplicative group
    sbox = []
    for byte in range(256):
        inverse = power[-log[byte] % 255] if byte else 0
        rotations = [((inverse << n) | (inverse >> (8 - n))) & 0xFF for n in range(5)]
        sbox.append(rotations[0] ^ rotations[1] ^ rotations[2] ^ rotations[3] ^ rotations[4] ^ 0x63)
    return sbox


def _turned(first: list[int]) -> tuple[Words, Words, Words, Words]:
    """Make the tables of rows 0 to 3 from that of row 0, by turning each word an octet right."""
    t0, t1, t2, t3 = (
        np.array([(word >> n | word << (32 - n)) & 0xFFFFFFFF for word in first], dtype=np.uint32)
        for n in (0, 8, 16, 24)
    )
    return t0, t1, t2, t3


_SBOX = _build_sbox()
# SubBytes with MixColumns, and SubBytes alone: one table for each row of the state.
_T0, _T1, _T2, _T3 = _turned([_xtime(s) << 24 | s << 16 | s << 8 | (_xtime(s) ^ s) for s in _SBOX])
_S0, _S1, _S2, _S3 = _turned([s << 24 for s in _SBOX])


def encrypt_block(keys: npt.NDArray[np.uint8], block: bytes) -> npt.NDArray[np.uint8]:
    """Encrypt one block under each key.

    Args:
        keys: shape (N, 16), one AES-128 key a row.
        block: the 16 octets to encrypt under every key.

    Returns:
        Shape (N, 16), the ciphertexts.

    Raises:
        ValueError: when the keys or the block are not of 16 octets.
    """
    if keys.ndim != 2 or keys.shape[1] != 16 or len(block) != 16:  # noqa: PLR2004 - the AES block size
        msg = "AES-128 takes keys of shape (N, 16) and a block of 16 octets"
        raise ValueError(msg)
    out = np.empty((len(keys), 16), dtype=np.uint8)
    plain = np.frombuffer(block, dtype=">u4").astype(np.uint32)
    for start in range(0, len(keys), _CHUNK):
        chunk = np.ascontiguousarray(keys[start : start + _CHUNK]).view(">u4").astype(np.uint32)
        columns = _encrypt(chunk.T.copy(), plain)
        out[start : start + _CHUNK] = np.ascontiguousarray(columns.T, dtype=">u4").view(np.uint8)
    return out


def _encrypt(key: Words, plain: Words) -> Words:
    """Run the ten rounds over key columns of shape (4, n); `key` is used up as the schedule."""
    state = key ^ plain[:, None]
    rcon = 1
    for _ in range(_ROUNDS - 1):
        _next_round_key(key, rcon)
        rcon = _xtime(rcon)
        state = _substituted(state, (_T0, _T1, _T2, _T3)) ^ key
    _next_round_key(key, rcon)
    return _substituted(state, (_S0, _S1, _S2, _S3)) ^ key


def _next_round_key(key: Words, rcon: int) -> None:
    """Advance the key schedule by one round in place (FIPS 197 section 5.2)."""
    octets = _octets(key[3:])[0]
    key[0] ^= _look_up(_S0, octets[:, 1])
    key[0] ^= _look_up(_S1, octets[:, 2])
    key[0] ^= _look_up(_S2, octets[:, 3])
    key[0] ^= _look_up(_S3, octets[:, 0])
    key[0] ^= np.uint32(rcon << 24)
    key[1] ^= key[0]
    key[2] ^= key[1]
    key[3] ^= key[2]


def _substituted(state: Words, tables: tuple[Words, Words, Words, Words]) -> Words:
    """SubBytes and ShiftRows of (4, n) columns, and MixColumns where the tables hold it."""
    octets = _octets(state)
    out = np.empty_like(state)
    for c in range(4):
        column = _look_up(tables[0], octets[c, :, 0])
        for row in (1, 2, 3):
            column ^= _look_up(tables[row], octets[(c + row) % 4, :, row])
        out[c] = column
    return out


def _octets(words: Words) -> npt.NDArray[np.uint8]:
    """View (m, n) words as their octets (m, n, 4), most significant first."""
    little_endian = words.astype("<u4", copy=False).view(np.uint8)
    return little_endian.reshape(*words.shape, 4)[..., ::-1]


def _look_up(table: Words, octets: npt.NDArray[np.uint8]) -> Words:
    # An octet is always inside a table of 256: "clip" skips numpy's check, and halves the time.
    return table.take(octets, mode="clip")
