"""Resolvable private addresses (Core Specification 5.4, Vol 6 Part B section 1.3.2.2).

An RPA is `prand(24) | hash(24)`, the two top bits of prand being 01, and `hash = ah(IRK, prand)`
with `ah(k, r) = AES(k, 00*13 | r) mod 2^24` (Vol 3 Part H section 2.2.2). A hash of 24 bits
collides at scale, so a roster may name at most a hundred IRKs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_agent.identify.aes import encrypt_block
from edge_agent.model import RadioAddress

__all__ = ["is_resolvable", "resolve"]


def is_resolvable(address: RadioAddress) -> bool:
    """Tell whether the two top bits mark a resolvable private address."""
    return address.to_bytes()[0] >> 6 == 0b01


def resolve(address: RadioAddress, irks: npt.NDArray[np.uint8]) -> int | None:
    """Find which IRK made an address.

    Args:
        address: the address heard.
        irks: shape (N, 16), most significant octet first, as the specification prints keys.

    Returns:
        The row of the first IRK that resolves it, or None.
    """
    if not len(irks) or not is_resolvable(address):
        return None
    octets = address.to_bytes()
    hashes = encrypt_block(irks, bytes(13) + octets[:3])[:, 13:]
    matches = np.flatnonzero((hashes == np.frombuffer(octets[3:], dtype=np.uint8)).all(axis=1))
    return int(matches[0]) if len(matches) else None
