"""Which Wi-Fi station is whose, for the length of a visit.

A MAC is never an identity (DESIGN section 3): a binding is made by the portal or by a per-visitor
credential, lives in RAM, and expires. Unbound stations are strangers, of whom nothing is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from edge_agent.model import RadioAddress, StationEvent

__all__ = ["Bindings"]

_MOST: Final = 4096  # stations; the longest unheard goes first
_LIFETIME_S: Final = 12 * 3600.0


@dataclass(slots=True, repr=False)
class _Binding:
    visitor: str
    heard_at: float
    access_point: str | None  # the gateway she is associated with, None when she is not


class Bindings:
    """Stations of visitors, and which access point each is with."""

    def __init__(self) -> None:
        self._stations: OrderedDict[RadioAddress, _Binding] = OrderedDict()

    def __len__(self) -> int:
        return len(self._stations)

    @property
    def visitors(self) -> set[str]:
        """Whose stations are bound."""
        return {binding.visitor for binding in self._stations.values()}

    def bind(self, address: RadioAddress, visitor: str, gateway: str, at: float) -> None:
        """Tie a station that is associated now to a visitor; a station has one owner."""
        self._stations[address] = _Binding(visitor, at, gateway)
        self._stations.move_to_end(address)
        while len(self._stations) > _MOST:
            self._stations.popitem(last=False)

    def unbind(self, address: RadioAddress) -> str | None:
        """Untie a station, and say whose it was."""
        binding = self._stations.pop(address, None)
        return binding.visitor if binding else None

    def forget(self, visitor: str) -> None:
        """Drop every station of a visitor whose consent ended."""
        for address in [a for a, b in self._stations.items() if b.visitor == visitor]:
            del self._stations[address]

    def clear(self) -> None:
        """Drop everything: the roster's lease ended."""
        self._stations.clear()

    def heard(
        self, address: RadioAddress, event: StationEvent, gateway: str, at: float
    ) -> str | None:
        """Say whose station an event concerns, or None where it says nothing of a visitor.

        An access point that a station has since left for another one reports its going late: such
        news is no news. Nor does a visitor leave with the first of her two devices.
        """
        binding = self._stations.get(address)
        if binding is None:
            return None
        if at - binding.heard_at > _LIFETIME_S:
            del self._stations[address]
            return None
        if event in (StationEvent.ASSOCIATED, StationEvent.HEARD):
            binding.heard_at = max(at, binding.heard_at)
            binding.access_point = gateway
            self._stations.move_to_end(address)
            return binding.visitor
        if binding.access_point not in (gateway, None):
            return None
        binding.access_point = None
        return None if self._elsewhere(binding.visitor) else binding.visitor

    def _elsewhere(self, visitor: str) -> bool:
        return any(b.visitor == visitor and b.access_point for b in self._stations.values())
