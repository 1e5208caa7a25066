"""The vectorised cipher against the standard's vectors and against a library's."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.identify.aes import encrypt_block

BLOCK = st.binary(min_size=16, max_size=16)


def encrypted(keys: list[bytes], block: bytes) -> list[bytes]:
    """Encrypt a block under each key, the way the agent does."""
    packed = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 16)
    return [row.tobytes() for row in encrypt_block(packed, block)]


def by_library(key: bytes, block: bytes) -> bytes:
    """Encrypt a block with OpenSSL's AES."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block
    return encryptor.update(block) + encryptor.finalize()


@pytest.mark.parametrize(
    ("key", "plain", "cipher"),
    [
        # FIPS 197 appendix B
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "3243f6a8885a308d313198a2e0370734",
            "3925841d02dc09fbdc118597196a0b32",
        ),
        # FIPS 197 appendix C.1
        (
            "000102030405060708090a0b0c0d0e0f",
            "00112233445566778899aabbccddeeff",
            "69c4e0d86a7b0430d8cdb78070b4c55a",
        ),
    ],
)
def test_the_vectors_of_fips_197_hold(key: str, plain: str, cipher: str) -> None:
    """AES-128 is what the standard prints."""
    assert encrypted([bytes.fromhex(key)], bytes.fromhex(plain)) == [bytes.fromhex(cipher)]


@given(keys=st.lists(BLOCK, min_size=1, max_size=20), block=BLOCK)
def test_every_key_encrypts_as_a_library_does(keys: list[bytes], block: bytes) -> None:
    """A row of ciphertext is the block under its own key, whatever the others are."""
    assert encrypted(keys, block) == [by_library(key, block) for key in keys]


def test_more_keys_than_a_chunk_holds_are_all_encrypted() -> None:
    """Around the chunk of 4096 keys no row is lost or doubled."""
    keys = [number.to_bytes(16) for number in range(4100)]
    rows = encrypted(keys, bytes(16))
    assert len(rows) == 4100
    assert [rows[i] for i in (0, 4095, 4096, 4099)] == [
        by_library(keys[i], bytes(16)) for i in (0, 4095, 4096, 4099)
    ]


def test_no_keys_give_no_ciphertexts() -> None:
    """An empty roster costs nothing and breaks nothing."""
    assert encrypt_block(np.empty((0, 16), dtype=np.uint8), bytes(16)).shape == (0, 16)


@pytest.mark.parametrize(("width", "block"), [(15, 16), (16, 15), (32, 16), (16, 0)])
def test_other_sizes_are_refused(width: int, block: int) -> None:
    """AES-256 keys or short blocks are a mistake of the caller, said at once."""
    with pytest.raises(ValueError, match="16 octets"):
        encrypt_block(np.zeros((1, width), dtype=np.uint8), bytes(block))
