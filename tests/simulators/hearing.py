"""Whom a simulated day's gateways heard, worked out from the trace and the roster alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from simulators.credentials import NAMESPACE, WINDOW_S, ephemeral_id
from simulators.day import Day

HEARD = {"associated", "heard"}  # of a station


def identifiers(day: Day) -> dict[str, str]:
    """Map what can be seen in the air, in hex, to visitors."""
    first = int(day.started_at.timestamp()) // WINDOW_S
    windows = range(first - 1, first + int(day.truth.duration) // WINDOW_S + 2)
    known: dict[str, str] = {}
    for record in day.roster["members"]:
        member: dict[str, Any] = record
        if "ibeacon" in member:
            tag = member["ibeacon"]
            identifier = f"{tag['uuid'].replace('-', '')}{tag['major']:04x}{tag['minor']:04x}"
            known[f"0215{identifier}c5"] = member["visitor"]
        elif "eddystone_uid" in member:
            known[member["eddystone_uid"]] = member["visitor"]
        else:
            key = bytes.fromhex(member["ik"])
            for window in windows:
                known[ephemeral_id(key, window * WINDOW_S).hex()] = member["visitor"]
    return known


def shown(ble: Mapping[str, Any]) -> str | None:
    """Give the identifier in an advertisement in hex, or None for what is not ours."""
    for uuid, data in ble["service_data"].items():
        if uuid == str(NAMESPACE):
            return str(data[4:])
        if data.startswith("00"):
            return str(data[4:36])
    for uuid in ble["service_uuids"]:
        if uuid.startswith(str(NAMESPACE)[:18]):
            return str(uuid.replace("-", "")[16:])
    payload: str | None = ble["manufacturer_data"].get("76")
    return payload


def levels(day: Day) -> dict[str, list[tuple[float, int]]]:
    """List when each visitor was heard by BLE, by whatever gateway, and how loud in dBm."""
    known, heard = identifiers(day), day.receptions
    owners = [known.get(shown(advert) or "") for advert in heard.adverts]
    found = defaultdict(list)
    for at, advert, rssi in zip(
        heard.at.tolist(), heard.advert.tolist(), heard.rssi.tolist(), strict=True
    ):
        if owner := owners[advert]:
            found[owner].append((at, rssi))
    return found


def ble_sightings(day: Day) -> dict[str, list[float]]:
    """List when each visitor was heard by BLE."""
    return {visitor: [at for at, _ in heard] for visitor, heard in levels(day).items()}


def sightings(day: Day) -> dict[str, list[float]]:
    """List when each visitor was heard by BLE, on the Wi-Fi, or by the portal, by time."""
    found = defaultdict(list, ble_sightings(day))
    bound: dict[str, str] = {}
    for at, line in day.stations:
        record: Any = line.get("wifi") or line.get("portal") or {}
        if "portal" in line:
            bound[record["address"]] = record["visitor"]
        visitor = bound.get(record.get("address", ""))
        if visitor and ("portal" in line or record["event"] in HEARD):
            found[visitor].append(at)
    return {visitor: sorted(times) for visitor, times in found.items()}
