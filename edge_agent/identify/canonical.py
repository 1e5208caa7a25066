"""The one spelling of a JSON value (RFC 8785): both ends sign and verify the same octets."""

from __future__ import annotations

from typing import Any

import rfc8785

__all__ = ["canonical"]


def canonical(value: dict[str, Any]) -> bytes:
    """Spell a JSON object.

    Raises:
        ValueError: a number in it is no IEEE double, and so has no one spelling.
    """
    return rfc8785.dumps(value)
