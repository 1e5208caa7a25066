"""What the store's Wi-Fi says: an association carries her, its end or its silence lets her go."""

from __future__ import annotations

from typing import Final

from edge_agent.model import ExitReason, Method, Sighting, Sign
from edge_agent.track.belief import Departure

__all__ = ["Association"]

ASSOCIATED: Final = 5.0  # log odds: hardly a bound phone associates in passing
CHECKED_IN: Final = 7.0
ROAM_S: Final = 30.0
GHOST_S: Final = 300.0  # 2 % of the silences of stations that are there last longer
STATION_LIVES_S: Final = 180.0  # one unheard for longer did not send its own farewell


class Association:
    """One visitor's, with the store's Wi-Fi and its portal."""

    __slots__ = ("_checked_in", "holds")

    def __init__(self) -> None:
        """Begin without."""
        self.holds = False
        self._checked_in = False

    @property
    def odds(self) -> float:
        """Log odds that she is inside."""
        if not self.holds:
            return 0.0
        return ASSOCIATED + CHECKED_IN if self._checked_in else ASSOCIATED

    def join(self, method: Method) -> None:
        """Her station was heard, or she was at the portal."""
        self.holds = True
        self._checked_in = self._checked_in or method is Method.PORTAL

    def farewell(self, sighting: Sighting, unheard: float) -> bool:
        """Tell whether the sign is her own phone's, which was then here until now."""
        departed = sighting.sign is Sign.DISASSOCIATED and self.holds
        return departed and unheard < STATION_LIVES_S

    def doubt(self, sighting: Sighting, heard_at: float, most: float) -> Departure | None:
        """Take in a sign that she may have gone.

        Args:
            sighting: with a sign that is none of presence.
            heard_at: when she was heard last, by any radio.
            most: the operator's longest silence, seconds.
        """
        was, self.holds = self.holds, False
        if sighting.sign is Sign.DISASSOCIATED and was:
            return Departure(sighting.at + ROAM_S, ExitReason.LEFT_WIFI)
        if sighting.sign is Sign.SILENT and sighting.at - heard_at > ROAM_S:
            at = max(sighting.at, heard_at + min(most, GHOST_S))
            return Departure(at, ExitReason.LEFT_WIFI)
        return None
