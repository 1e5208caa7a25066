"""From an observation to a sighting, or to nothing: the boundary no radio address crosses.

    Advertisement --namespace filter--> claim --roster--> Sighting
    Station, PortalAction --bindings--> Sighting

Nothing resolves without a roster in force and a synchronised clock. A stranger costs one look-up
per field and leaves only a count.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from edge_agent.identify.advertisement import (
    APPLE,
    EDDYSTONE,
    UnsupportedVersionError,
    app_claim,
    eddystone_uid_claim,
    ibeacon_claim,
    ios_eids,
)
from edge_agent.identify.bindings import Bindings
from edge_agent.identify.eid import (
    WINDOW_S,
    WindowTable,
    accepted_windows,
    epoch_of,
    window_of,
)
from edge_agent.identify.misses import Misses
from edge_agent.identify.roster import Roster
from edge_agent.identify.rpa import is_resolvable, resolve
from edge_agent.model import (
    Advertisement,
    Evidence,
    Method,
    Observation,
    PortalAction,
    PortalEvent,
    RadioAddress,
    RadioState,
    Sighting,
    Sign,
    Station,
    StationEvent,
)

__all__ = ["Directory", "Identifier"]

_K = TypeVar("_K")
_V = TypeVar("_V")

_RSSI_ABSENT: Final = 127  # Core Specification Vol 4 Part E section 7.7.65.2
_RSSI_LEAST: Final = -126  # -127 is BlueZ's "out of range"; positive readings are corrupted packets
_REMEMBERED: Final = 4096  # EIDs and resolvable addresses whose answer is kept
_SIGNS: Final = {
    StationEvent.ASSOCIATED: Sign.ASSOCIATED,
    StationEvent.DISASSOCIATED: Sign.DISASSOCIATED,
    StationEvent.HEARD: Sign.HEARD,
    StationEvent.SILENT: Sign.SILENT,
}
_PORTAL_SIGNS: Final = {
    PortalEvent.BOUND: Sign.ASSOCIATED,
    PortalEvent.CHECKED_IN: Sign.CHECKED_IN,
    PortalEvent.UNBOUND: Sign.UNBOUND,
}


class Directory:
    """One roster with the tables made from it; replaced whole when the roster is.

    `missing` and `build` may run off the event loop, `install` belongs to it.
    """

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self._tables: dict[int, WindowTable] = {}
        self._eids: OrderedDict[bytes, tuple[tuple[int, ...], int | None, int]] = OrderedDict()
        self._addresses: OrderedDict[RadioAddress, int | None] = OrderedDict()
        self._second = -1  # for which what is accepted was worked out: every packet asks
        self._accepted: tuple[int, ...] = ()

    def missing(self, unix: float) -> list[int]:
        """List the windows without a table that are accepted now or next, most urgent first."""
        accepted = accepted_windows(unix)
        wanted = dict.fromkeys((*accepted, window_of(unix) + 1))
        return [window for window in wanted if window not in self._tables]

    def build(self, window: int) -> WindowTable:
        """Compute one window's table: 100,000 members take some 0.05 s."""
        keys, members = self.roster.keys_of_epoch(epoch_of(window * WINDOW_S))
        return WindowTable.build(window, keys, members)

    def install(self, table: WindowTable) -> None:
        """Put a table to use, and drop those of windows long gone."""
        self._tables[table.window] = table
        for window in [w for w in self._tables if w < table.window - 2]:
            del self._tables[window]

    def ensure(self, unix: float) -> None:
        """Build and install what is missing now: for a replay, which has no event loop to spare."""
        for window in self.missing(unix):
            self.install(self.build(window))

    def owner_of_eid(self, eid: bytes, unix: float) -> int | None:
        """Give the member who advertises `eid` (8 octets) at a Unix time, or None."""
        if int(unix) != self._second:  # the rules are to the second
            self._second, self._accepted = int(unix), accepted_windows(int(unix))
        accepted = self._accepted
        known = self._eids.get(eid)
        if known is not None:
            windows, member, window = known
            if window in accepted if member is not None else windows == accepted:
                self._eids.move_to_end(eid)
                return member
        number = int.from_bytes(eid)
        complete = True
        for window in accepted:
            table = self._tables.get(window)
            complete = complete and table is not None
            member = None if table is None else table.find(number)
            if member is not None:
                _remember(self._eids, eid, (accepted, member, window))
                return member
        if complete:
            _remember(self._eids, eid, (accepted, None, -1))
        return None

    def owner_of_address(self, address: RadioAddress) -> int | None:
        """Give the member whose IRK made a resolvable private address, or None.

        Only the answer for an address of that kind is remembered: no other is ever held.
        """
        if not is_resolvable(address):
            return None
        if address in self._addresses:
            self._addresses.move_to_end(address)
            return self._addresses[address]
        irks, owners = self.roster.irks
        row = resolve(address, irks)
        member = None if row is None else int(owners[row])
        _remember(self._addresses, address, member)
        return member


def _remember(memory: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)


@dataclass(frozen=True, slots=True, repr=False)
class _Claim:
    """What the first known field of an advertisement says: a member, or EIDs to look up."""

    method: Method
    tx: int | None
    owner: int | None = None
    eids: Sequence[bytes] = ()


class Identifier:
    """Decides whose an observation is. `counts` says how many were dropped, by reason."""

    def __init__(
        self,
        directory: Directory,
        namespace: UUID | None,
        unix: Callable[[float], float | None],
    ) -> None:
        """Prepare to identify.

        Args:
            directory: the roster in force.
            namespace: the retailer's UUID; without one only tags, IRKs and Wi-Fi are known.
            unix: Unix time of a boot-time instant, None until the clock is synchronised.
        """
        self._directory = directory
        self.bindings = Bindings()
        self.counts: Counter[str] = Counter()
        self.misses = Misses()
        self._namespace = str(namespace) if namespace else ""
        self._ios_prefix = self._namespace[:19] if namespace else "-"
        self._unix = unix

    @property
    def directory(self) -> Directory:
        """The roster in force; a new one unties the stations of whoever is no longer on it."""
        return self._directory

    @directory.setter
    def directory(self, directory: Directory) -> None:
        self._directory = directory
        for visitor in directory.roster.visitors.absent(self.bindings.visitors):
            self.bindings.forget(visitor)

    def wants(
        self,
        address: str,
        service_data: Mapping[str, bytes],
        manufacturer_data: Mapping[int, bytes],
        service_uuids: Sequence[str],
    ) -> bool:
        """Filter by namespace: whether an advertisement may be a visitor's, before it is one."""
        roster = self._directory.roster
        if service_data and (
            self._namespace in service_data or (roster.eddystone_uids and EDDYSTONE in service_data)
        ):
            return True
        if roster.ibeacons:
            apple = manufacturer_data.get(APPLE)
            if apple is not None and apple[2:22] in roster.ibeacons:
                return True
        for uuid in service_uuids:
            if uuid.startswith(self._ios_prefix):
                return True
        # The two top bits of a resolvable private address are 01: its first digit is 4 to 7.
        return len(roster.irks[0]) > 0 and address[:1] in "4567"

    def identify(self, observation: Observation) -> Evidence | None:
        """Turn an observation into what the tracker may know of it, or None."""
        match observation:
            case RadioState():
                return observation
            case Advertisement():
                return self._advertisement(observation)
            case Station():
                return self._station(observation)
            case PortalAction():
                return self._portal(observation)

    def in_force(self, at: float) -> float | None:
        """Give Unix time where anything may resolve at all; None fails closed, and is counted."""
        unix = self._unix(at)
        not_after = self._directory.roster.not_after
        if unix is None:
            self.counts["unsynchronised"] += 1
        elif not_after is not None and unix >= not_after:
            self.counts["lease_expired"] += 1
            return None
        return unix

    def _advertisement(self, heard: Advertisement) -> Sighting | None:
        claim = self._app(heard) or self._tag(heard) or self._private_address(heard)
        if claim is None:
            self.counts["stranger"] += 1
            return None
        rssi = None if heard.rssi == _RSSI_ABSENT else heard.rssi
        if rssi is not None and not _RSSI_LEAST <= rssi < 0:
            self.counts["implausible_rssi"] += 1
            return None
        unix = self.in_force(heard.at)
        if unix is None:
            return None
        member = claim.owner
        for eid in claim.eids:
            member = self._directory.owner_of_eid(eid, unix)
            if member is not None:
                break
        visitor = None if member is None else self._visitor(member)
        if visitor is None:
            if member is None:
                self.counts["unknown"] += 1
                for eid in claim.eids:
                    self.misses.heard(eid, unix)
            return None
        return Sighting(
            heard.at,
            visitor,
            heard.gateway,
            heard.radio,
            claim.method,
            rssi,
            claim.tx,
            silence_counts=heard.backend.silence_counts,
        )

    def _app(self, heard: Advertisement) -> _Claim | None:
        ours = heard.service_data.get(self._namespace) if self._namespace else None
        if ours is not None:
            try:
                app = app_claim(ours)
            except UnsupportedVersionError:
                self.counts["unsupported_version"] += 1
                return None
            if app is not None:
                return _Claim(Method.APP, app.tx, eids=(app.eid,))
        if heard.service_uuids and self._namespace:
            eids = ios_eids(heard.service_uuids, self._ios_prefix)
            if eids:
                return _Claim(Method.APP_IOS, None, eids=eids)
        return None

    def _tag(self, heard: Advertisement) -> _Claim | None:
        roster = self._directory.roster
        if roster.ibeacons and (apple := heard.manufacturer_data.get(APPLE)) is not None:
            tag = ibeacon_claim(apple)
            if tag is not None and (owner := roster.ibeacons.get(tag.key)) is not None:
                return _Claim(Method.TAG, tag.tx, owner)
        if roster.eddystone_uids and (data := heard.service_data.get(EDDYSTONE)) is not None:
            tag = eddystone_uid_claim(data)
            if tag is not None and (owner := roster.eddystone_uids.get(tag.key)) is not None:
                return _Claim(Method.TAG, tag.tx, owner)
        return None

    def _private_address(self, heard: Advertisement) -> _Claim | None:
        if not len(self._directory.roster.irks[0]):
            return None
        owner = self._directory.owner_of_address(heard.address)
        return None if owner is None else _Claim(Method.IRK, None, owner)

    def _visitor(self, member: int) -> str | None:
        """Give a member's pseudonym, unless she works here: staff make no visits."""
        roster = self._directory.roster
        if member in roster.staff:
            self.counts["staff"] += 1
            return None
        return roster.visitors[member]

    def _station(self, heard: Station) -> Sighting | None:
        if self.in_force(heard.at) is None:
            return None
        roster = self._directory.roster
        if heard.keyid is not None and heard.event is StationEvent.ASSOCIATED:
            member = roster.wifi_keyids.get(heard.keyid)
            owner = None if member is None else self._visitor(member)
            if owner is not None:
                self.bindings.bind(heard.address, owner, heard.gateway, heard.at)
        visitor = self.bindings.heard(heard.address, heard.event, heard.gateway, heard.at)
        if visitor is None:
            self.counts["unbound_station"] += 1
            return None
        return self._on_wifi(heard, visitor, Method.WIFI, _SIGNS[heard.event])

    def _portal(self, action: PortalAction) -> Sighting | None:
        if self.in_force(action.at) is None:
            return None
        if action.event is PortalEvent.UNBOUND:
            visitor = self.bindings.unbind(action.address)
        else:
            visitor = self._consenting(action.visitor)
        if visitor is None:
            return None
        if action.event is PortalEvent.BOUND:
            self.bindings.bind(action.address, visitor, action.gateway, action.at)
        return self._on_wifi(action, visitor, Method.PORTAL, _PORTAL_SIGNS[action.event])

    def _consenting(self, visitor: str | None) -> str | None:
        """Let only members through who are on the roster, and do not work here."""
        roster = self._directory.roster
        if visitor is None or visitor not in roster.visitors:
            self.counts["not_on_roster"] += 1
            return None
        if roster.is_staff(visitor):
            self.counts["staff"] += 1
            return None
        return visitor

    @staticmethod
    def _on_wifi(
        heard: Station | PortalAction, visitor: str, method: Method, sign: Sign
    ) -> Sighting:
        return Sighting(heard.at, visitor, heard.gateway, "wifi", method, sign=sign)
