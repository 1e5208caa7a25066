"""Reads the hub's acknowledgements, which come from outside: anything may be in them."""

from __future__ import annotations

from typing import Final

import structlog
from pydantic import ValidationError

from edge_agent.publish.contract import Acknowledgement

__all__ = ["AckReader"]

MOST_OCTETS: Final = 4096

log = structlog.get_logger()


class AckReader:
    """Reads those of one connection; what is none is logged once, so that no flood fills a log."""

    def __init__(self) -> None:
        self._complained = False

    def read(self, payload: bytes) -> Acknowledgement | None:
        """Give the acknowledgement, or None for what is none."""
        try:
            return Acknowledgement.model_validate_json(
                payload if len(payload) <= MOST_OCTETS else b"", strict=True
            )
        except ValidationError:
            if not self._complained:
                self._complained = True
                advice = "the hub's acknowledgement is not {epoch, seq, hub}"
                log.warning("ack_malformed", advice=advice)
            return None
