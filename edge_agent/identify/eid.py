"""Eddystone-EID over a Unix-time counter: identifiers that change every 1024 s (DESIGN section 3).

    p = t >> 16                                   the 65,536 s epoch
    TK_p = AES(IK, 00*11 | FF | 00 00 | be16(p))  the temporary key; the hub sends TK, never IK
    EID  = AES(TK_p, 00*11 | K | be32((t >> K) << K))[0:8],  K = 10

This is unmodified Eddystone-EID (google/eddystone, eddystone-eid/eid-computation.md) with the
beacon's clock counter replaced by Unix time. A gateway holds, for each window it may accept, the
sorted EIDs of the whole roster, so that an advertisement costs one binary search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_agent.identify.aes import encrypt_block

__all__ = [
    "AHEAD_S",
    "GRACE_S",
    "WINDOW_S",
    "WindowTable",
    "accepted_windows",
    "ephemeral_ids",
    "epoch_of",
    "temporary_keys",
    "window_of",
]

ROTATION_EXPONENT = 10  # K
WINDOW_S = 1 << ROTATION_EXPONENT
GRACE_S = 180  # a window is still accepted this long after its end: a phone's clock may be slow
AHEAD_S = 120  # and the next one this long before its beginning: or fast
_EPOCH_EXPONENT = 16

Keys = npt.NDArray[np.uint8]


def epoch_of(unix: float) -> int:
    """Give the temporary key's epoch p of a Unix time in seconds."""
    return int(unix) >> _EPOCH_EXPONENT


def window_of(unix: float) -> int:
    """Give the number of the 1024 s window of a Unix time in seconds."""
    return int(unix) >> ROTATION_EXPONENT


def accepted_windows(unix: float) -> tuple[int, ...]:
    """Say which windows' EIDs are accepted at a Unix time, the current one first.

    The previous window until 180 s after its end (that second excluded), the next one in the last
    120 s of the current one (its first second included).
    """
    window = window_of(unix)
    elapsed = unix - window * WINDOW_S
    if elapsed < GRACE_S:
        return window, window - 1
    if elapsed >= WINDOW_S - AHEAD_S:
        return window, window + 1
    return (window,)


def temporary_keys(identity_keys: Keys, epoch: int) -> Keys:
    """Derive TK for epoch p from identity keys of shape (N, 16); the same shape comes back."""
    block = bytes(11) + b"\xff" + bytes(2) + (epoch & 0xFFFF).to_bytes(2)
    return encrypt_block(identity_keys, block)


def ephemeral_ids(
    keys: Keys, unix: int, exponent: int = ROTATION_EXPONENT
) -> npt.NDArray[np.uint64]:
    """Compute the EIDs at a Unix time from temporary keys of shape (N, 16).

    Returns:
        Shape (N,), each EID as an unsigned integer, first octet most significant.
    """
    counter = (unix >> exponent) << exponent
    block = bytes(11) + bytes([exponent]) + (counter & 0xFFFFFFFF).to_bytes(4)
    head = np.ascontiguousarray(encrypt_block(keys, block)[:, :8])
    return head.view(">u8").astype(np.uint64).reshape(-1)


@dataclass(frozen=True, slots=True, repr=False)
class WindowTable:
    """The EIDs of one window, sorted, and whose each is: `members[i]` owns `eids[i]`."""

    window: int
    eids: npt.NDArray[np.uint64]
    members: npt.NDArray[np.uint32]

    @classmethod
    def build(cls, window: int, keys: Keys, members: npt.NDArray[np.uint32]) -> WindowTable:
        """Compute a table from temporary keys (N, 16) of the window's epoch and their owners."""
        eids = ephemeral_ids(keys, window * WINDOW_S)
        order = np.argsort(eids, kind="stable")
        return cls(window, eids[order], members[order])

    def find(self, eid: int) -> int | None:
        """Give the index of the member who advertises `eid` in this window, or None."""
        at = int(self.eids.searchsorted(np.uint64(eid)))
        if at < len(self.eids) and int(self.eids[at]) == eid:
            return int(self.members[at])
        return None
