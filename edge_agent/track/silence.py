"""How long somebody has been silent, counted only while a receiver that could hear her listened.

A lost radio is evidence of nothing: while every receiver that heard a visitor lately is lost, or is
one whose silence means nothing (a passive scan through BlueZ), her silence stands still and she is
*unheard by the deaf* instead.
"""

from __future__ import annotations

from typing import Final

from edge_agent.model import RadioState, Sighting

__all__ = ["Listeners", "Silence"]

Radio = tuple[str, str]  # gateway, receiver

LATELY_S: Final = 15.0  # who heard her this shortly before the last sighting could hear her still
_NEVER: Final = float("inf")


class Listeners:
    """Which receivers are listening. One that was never spoken of listens once it has heard."""

    def __init__(self) -> None:
        self._listening: dict[Radio, bool] = {}
        self._changed_at: dict[Radio, float] = {}

    def set(self, state: RadioState) -> None:
        """Take in that a receiver was lost or recovered."""
        radio = state.gateway, state.radio
        if state.at >= self._changed_at.get(radio, state.at):
            self._listening[radio], self._changed_at[radio] = state.listening, state.at

    def lost_before(self, radio: Radio, at: float) -> bool:
        """Tell whether a receiver is known to have been lost before `at`."""
        return self._listening.get(radio) is False and self._changed_at[radio] < at

    def any_of(self, radios: dict[Radio, float] | None) -> bool:
        """Tell whether one of these receivers listens; None stands for whichever there are."""
        if radios is None:
            return any(self._listening.values())
        listening = self._listening
        for radio in radios:  # a loop, for it is asked at every sighting  # noqa: SIM110
            if listening.get(radio, True):
                return True
        return False


class Silence:
    """One visitor's silence, in seconds."""

    __slots__ = ("_counted", "_counting_from", "_deaf_from", "_heard_at", "_listeners", "_radios")

    def __init__(self, listeners: Listeners, since: float) -> None:
        """Begin unheard since `since`: whichever receiver there is may be the one to hear her."""
        self._listeners = listeners
        self._radios: dict[Radio, float] | None = None
        self._counted = 0.0
        self._counting_from: float | None = None
        self._deaf_from = self._heard_at = since

    def broken(self, sighting: Sighting) -> None:
        """She was heard."""
        at, radios = sighting.at, self._radios or {}
        newest = self._heard_at = max(self._heard_at, at)
        if sighting.silence_counts:
            radio = sighting.gateway, sighting.radio
            before = radios.get(radio, at)
            radios[radio] = max(before, at)
        if len(radios) > 1 or not sighting.silence_counts:
            radios = {radio: heard for radio, heard in radios.items() if heard > newest - LATELY_S}
        self._radios = radios
        self._counted = 0.0
        self._deaf_from = newest
        self._counting_from = newest if self._listeners.any_of(radios) else None

    def settle(self, at: float) -> None:
        """Add up what was counted so far: a receiver is about to change."""
        if self._counting_from is not None:
            self._counted += max(0.0, at - self._counting_from)
            self._counting_from = None
            self._deaf_from = max(at, self._heard_at)

    def resume(self, at: float) -> None:
        """Go on after `settle`, if somebody listens."""
        begins = max(at, self._heard_at)
        self._counting_from = begins if self._listeners.any_of(self._radios) else None

    def counted(self, at: float) -> float:
        """Give the silence that somebody listened through, up to `at`."""
        running = 0.0 if self._counting_from is None else max(0.0, at - self._counting_from)
        return self._counted + running

    def reaches(self, patience: float) -> float:
        """Give the time at which the silence will have lasted `patience`, if nothing changes."""
        if self._counting_from is None:
            return _NEVER
        return self._counting_from + max(0.0, patience - self._counted)

    def deaf_until(self, longest: float) -> float:
        """Give the time at which nobody will have listened for `longest`, if nothing changes."""
        return _NEVER if self._counting_from is not None else self._deaf_from + longest
