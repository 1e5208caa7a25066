"""Under which name a store knows a shopper: the hub's side of DESIGN section 3.

`pseudonym = HMAC-SHA256(K_store, user)[:16]`: a gateway never learns `user` or `K_store`, so the
names that two stores have for one shopper tell nobody but the hub that they are of one.
"""

from __future__ import annotations

import hmac
from typing import Final

__all__ = ["pseudonym"]

_OCTETS: Final = 16


def pseudonym(store_key: bytes, user: str) -> str:
    """Derive a store's name for a shopper: 32 hexadecimal digits, as events carry it."""
    return hmac.digest(store_key, user.encode(), "sha256")[:_OCTETS].hex()
