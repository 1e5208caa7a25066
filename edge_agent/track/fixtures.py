"""Who is heard and visits nobody: what does not move for hours, and who is here in closed hours.

Theory of operation.

*Unmoved.* A tag on a shelf and a shopper at rest differ by time alone, so what is judged is
whether her levels change, for hours, and never how they look. Each gateway's RSSI is averaged over
a minute (`MINUTE_S`, of at least `LEAST_SAMPLES` packets, one each `SAMPLE_EVERY_S` at most): the
noise of a packet, 3 dB and up to 6 in bad places, is then 1 or 2. A minute is *astray* when its
mean is more than `BAND_DB` from the reference, which follows slowly (`FOLLOW`, and never a step
of more than the band: shelves are filled, batteries fade), or when its packets spread by more than
`SPREAD_DB`: over a minute of walking about, the mean hides what the spread shows.

People who stand before a tag put single minutes astray, too; whoever carries a phone puts many, be
it by turning in a chair (7 to 14 dB). So minutes astray are counted, and each of the others takes
`CALM` back: more than one minute in six astray adds up, fewer do not, and `MOVED_MINUTES` in excess
are a movement. A move across the room shows after five minutes, at one gateway that sees it.

Behind a wall levels do not change, other gateways hear her: one that begins to, or has not for
`UNHEARD_S` while others did, finds her at `UNHEARD_DBM` before. What a gateway hears once it is no
longer deaf is no such news.

Unmoved is only what was *observed* unmoved: of a silence no more than `COUNTED_GAP_S` counts, and
a station that gives no level is never judged. More than `UNMOVED_S` of it makes a fixture. It is
one until it moves, or was unheard for `ABSENT_S`.

*Closed hours.* Who was inside for `THROUGH_S` before the doors open works here, or stands here.
Moving about proves nothing then: only an absence of `ABSENT_S` makes a visitor of her again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["ABSENT_S", "THROUGH_S", "UNMOVED_S", "UNMOVED_SURE", "Fixture", "Stillness"]

UNMOVED_S: Final = 4 * 3600.0  # DESIGN section 5
UNMOVED_SURE: Final = 0.95  # that it is no visitor: hardly anybody sits for so long
ABSENT_S: Final = 3600.0  # unheard for so long, listened through: what comes back is somebody new
THROUGH_S: Final = 1800.0  # of closed hours; who waits for the doors to open comes later
MEMORABLE_S: Final = 600.0  # unmoved for less is not worth remembering
MINUTE_S: Final = 60.0
LEAST_SAMPLES: Final = 5
SAMPLE_EVERY_S: Final = 2.0
BAND_DB: Final = 7.0
SPREAD_DB: Final = 7.5
UNHEARD_S: Final = 300.0
UNHEARD_DBM: Final = -95.0  # the edge of reception
FOLLOW: Final = 0.05
MOVED_MINUTES: Final = 5.0
CALM: Final = 0.2
COUNTED_GAP_S: Final = 600.0


class Fixture(StrEnum):
    """Why somebody who is heard makes no visit."""

    UNMOVED = "unmoved"
    AFTER_HOURS = "after_hours"


class _Minutes:
    """One gateway's averages of one visitor."""

    __slots__ = (
        "astray",
        "began",
        "judged",
        "next_at",
        "reference_dbm",
        "samples",
        "squares",
        "total",
    )

    def __init__(self, at: float, reference_dbm: float | None = None) -> None:
        self.reference_dbm = reference_dbm  # None: the first minute gives it
        self.judged = 0 if reference_dbm is None else round(1.0 / FOLLOW)
        self.astray = 0.0
        self.began = self.next_at = at
        self.samples = 0
        self.total = self.squares = 0.0


class Stillness:
    """How long one visitor has been observed not to move."""

    __slots__ = ("_gateways", "_judged_at", "moved_at", "still_s")

    def __init__(self, at: float) -> None:
        """Begin at boot-clock `at`, with her first sighting."""
        self._gateways: dict[str, _Minutes] = {}
        self._judged_at = at
        self.moved_at = at  # the last movement, boot-clock seconds
        self.still_s = 0.0  # observed unmoved since

    @property
    def moving(self) -> bool:
        """Whether the minute judged last showed a movement."""
        return self.moved_at == self._judged_at

    @property
    def unmoved(self) -> bool:
        """Whether this is a fixture."""
        return self.still_s > UNMOVED_S

    @property
    def memorable(self) -> bool:
        """Whether it is worth remembering through a silence."""
        return self.still_s >= MEMORABLE_S

    def hear(self, gateway: str, dbm: int, at: float) -> bool:
        """Take a level in; tells whether a minute is full and has been judged."""
        minutes = self._gateways.get(gateway)
        if minutes is None:
            unheard = UNHEARD_DBM if self.still_s > 0.0 else None
            self._gateways[gateway] = minutes = _Minutes(at, unheard)
        elif at < minutes.next_at:
            return False
        elif at - minutes.next_at > UNHEARD_S:
            others_heard = self._judged_at - minutes.next_at > UNHEARD_S
            reference = UNHEARD_DBM if others_heard else minutes.reference_dbm
            self._gateways[gateway] = minutes = _Minutes(at, reference)
        minutes.next_at = at + SAMPLE_EVERY_S
        if at - minutes.began >= MINUTE_S and minutes.samples >= LEAST_SAMPLES:
            self._judge(minutes, at)
            minutes.began, minutes.samples, minutes.total = at, 1, float(dbm)
            minutes.squares = float(dbm * dbm)
            return True
        minutes.samples += 1
        minutes.total += dbm
        minutes.squares += dbm * dbm
        return False

    def regain(self, gateway: str, at: float) -> None:
        """A gateway that was deaf hears again: what it hears then is no news."""
        minutes = self._gateways.get(gateway)
        if minutes is None or at - minutes.next_at > UNHEARD_S:
            self._gateways[gateway] = _Minutes(at)

    def _judge(self, minutes: _Minutes, at: float) -> None:
        """Hold a full minute against the reference."""
        mean = minutes.total / minutes.samples
        if minutes.reference_dbm is None:
            minutes.reference_dbm = mean
        off = mean - minutes.reference_dbm
        variance = minutes.squares / minutes.samples - mean * mean
        astray = abs(off) > BAND_DB or variance > SPREAD_DB**2
        minutes.astray = minutes.astray + 1.0 if astray else max(0.0, minutes.astray - CALM)
        minutes.judged += 1
        share = max(FOLLOW, 1.0 / minutes.judged)  # a mean at first, then a slow one
        minutes.reference_dbm += share * max(-BAND_DB, min(BAND_DB, off))
        if minutes.astray >= MOVED_MINUTES:
            minutes.reference_dbm, minutes.judged, minutes.astray = mean, 1, 0.0
            self.still_s, self.moved_at, self._judged_at = 0.0, at, at
            return
        self.still_s += min(max(0.0, at - self._judged_at), COUNTED_GAP_S)
        self._judged_at = max(at, self._judged_at)
