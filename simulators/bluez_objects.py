"""What bluetoothd knows: its adapters and devices as D-Bus properties, and when it says so.

Pure state: methods give the signals to send. Written after bluetoothd's src/adapter.c, device.c
and adv_monitor.c (5.66), as far as bleak can tell the difference.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dbus_fast import Message, Variant

__all__ = [
    "ADAPTER",
    "DEVICE",
    "MONITOR_MANAGER",
    "OBJECT_MANAGER",
    "PROPERTIES",
    "Adapter",
    "Advert",
    "added",
    "changed",
    "removed",
]

ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
MONITOR_MANAGER = "org.bluez.AdvertisementMonitorManager1"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"

Properties = dict[str, Variant]
Pattern = tuple[int, int, bytes]  # offset, AD type, content

_RSSI_STEP = 8  # dB; device_set_rssi's RSSI_THRESHOLD
_BASE_UUID = "-0000-1000-8000-00805f9b34fb"


@dataclass(frozen=True, slots=True)
class Advert:
    """One packet in the air; UUIDs are lower-case and 128-bit."""

    address: str
    rssi: int
    service_data: Mapping[str, bytes] = field(default_factory=dict)
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    service_uuids: Sequence[str] = ()

    def structures(self) -> Iterable[tuple[int, bytes]]:
        """Give the AD structures (type, content) that a monitor's patterns are matched against."""
        for name, data in self.service_data.items():
            if name.endswith(_BASE_UUID) and name.startswith("0000"):
                yield 0x16, bytes.fromhex(name[4:8])[::-1] + data
            else:
                yield 0x21, uuid.UUID(name).bytes[::-1] + data
        for company, data in self.manufacturer_data.items():
            yield 0xFF, company.to_bytes(2, "little") + data
        for name in self.service_uuids:
            yield 0x07, uuid.UUID(name).bytes[::-1]

    def matches(self, patterns: Iterable[Pattern]) -> bool:
        """Say whether a monitor with `patterns` would report the packet."""
        return any(
            kind == wanted and content[offset : offset + len(piece)] == piece
            for kind, content in self.structures()
            for offset, wanted, piece in patterns
        )

    def payload(self) -> Properties:
        """Give the packet's content as Device1 properties."""
        properties: Properties = {}
        if self.manufacturer_data:
            properties["ManufacturerData"] = Variant(
                "a{qv}", {k: Variant("ay", v) for k, v in self.manufacturer_data.items()}
            )
        if self.service_data:
            properties["ServiceData"] = Variant(
                "a{sv}", {k: Variant("ay", v) for k, v in self.service_data.items()}
            )
        if self.service_uuids:
            properties["UUIDs"] = Variant("as", list(self.service_uuids))
        return properties


@dataclass(slots=True)
class _Device:
    properties: Properties
    reported_rssi: int
    reported_at: float


@dataclass(slots=True)
class Adapter:
    """One hciN: what it is, who scans with it, what it has seen, and what is to go wrong.

    `refusals` are D-Bus error names, consumed one by one by StartDiscovery. `duplicate_filter` is
    how long, in seconds, the controller hides a device whose payload has not changed from an
    active scan (a scan cycle is 10.24 s); 0 is a controller without the filter.
    """

    name: str
    powered: bool = True
    monitors_supported: bool = True
    duplicate_filter: float = 0.0
    refusals: list[str] = field(default_factory=list)
    deaf: bool = False  # the firmware fault: all seems well, and nothing is reported
    present: bool = True
    discovering: set[str] = field(default_factory=set)  # clients' bus names
    monitors: dict[tuple[str, str], list[Pattern]] = field(default_factory=dict)
    devices: dict[str, _Device] = field(default_factory=dict)  # by object path
    power_cycles: int = 0

    @property
    def path(self) -> str:
        """The adapter's object path."""
        return f"/org/bluez/{self.name}"

    @property
    def scanning(self) -> bool:
        """Whether anybody would hear an advertisement now."""
        return self.present and self.powered and bool(self.discovering or self.monitors)

    def interfaces(self) -> dict[str, Properties]:
        """Give all interfaces of the adapter's object."""
        index = int(self.name.removeprefix("hci"))
        interfaces: dict[str, Properties] = {
            ADAPTER: {
                "Address": Variant("s", f"00:AA:01:00:00:{index:02X}"),
                "AddressType": Variant("s", "public"),
                "Name": Variant("s", "simulated"),
                "Alias": Variant("s", "simulated"),
                "Powered": Variant("b", self.powered),
                "Discovering": Variant("b", bool(self.discovering)),
                "UUIDs": Variant("as", []),
                "Roles": Variant("as", ["central", "peripheral"]),
            }
        }
        if self.monitors_supported:
            interfaces[MONITOR_MANAGER] = {
                "SupportedMonitorTypes": Variant("as", ["or_patterns"]),
                "SupportedFeatures": Variant("as", []),
            }
        return interfaces

    def device_path(self, address: str) -> str:
        """Give the object path bluetoothd uses for an address."""
        return f"{self.path}/dev_{address.replace(':', '_')}"

    def hear(self, advert: Advert, at: float) -> Message | None:
        """Receive a packet at `at` (seconds) and give the signal for it, if bluetoothd sends one.

        First sight is InterfacesAdded with everything, later a PropertiesChanged with what
        changed: the RSSI of every report while somebody discovers, and only steps of 8 dB or new
        payload while there are but monitors.
        """
        if not self.scanning or self.deaf:
            return None
        active = bool(self.discovering)
        if not active and not any(advert.matches(p) for p in self.monitors.values()):
            return None
        path = self.device_path(advert.address)
        device = self.devices.get(path)
        if device is None:
            return self._first_sight(path, advert, at)
        fresh = {k: v for k, v in advert.payload().items() if device.properties.get(k) != v}
        hidden = at - device.reported_at < self.duplicate_filter
        if not fresh and active and hidden:
            return None
        if active or abs(advert.rssi - device.reported_rssi) >= _RSSI_STEP:
            device.reported_rssi = advert.rssi
            fresh["RSSI"] = Variant("n", advert.rssi)
        if not fresh:
            return None
        device.reported_at = at
        device.properties.update(fresh)
        return changed(path, DEVICE, fresh)

    def forget(self, address: str) -> list[Message]:
        """Lose a temporary device: its RSSI is withdrawn, then the object goes."""
        path = self.device_path(address)
        if self.devices.pop(path, None) is None:
            return []
        return [changed(path, DEVICE, {}, ["RSSI"]), removed(path, [DEVICE])]

    def last_words(self) -> list[Message]:
        """Give what bluetoothd says of each device as the scan ends under it.

        For every other one the RSSI is withdrawn; for the rest another property changes while the
        old RSSI stands, which bleak cannot tell from a reception.
        """
        return [
            changed(path, DEVICE, {}, ["RSSI", "TxPower"])
            if index % 2
            else changed(path, DEVICE, {"ServicesResolved": Variant("b", False)})  # noqa: FBT003
            for index, path in enumerate(self.devices)
        ]

    def drop_clients(self) -> None:
        """Forget every scan, as powering off does."""
        self.discovering.clear()
        self.monitors.clear()

    def drop_client(self, owner: str) -> bool:
        """Forget a client that left the bus; say whether the adapter stopped discovering."""
        was = bool(self.discovering)
        self.discovering.discard(owner)
        for key in [key for key in self.monitors if key[0] == owner]:
            del self.monitors[key]
        return was and not self.discovering

    def _first_sight(self, path: str, advert: Advert, at: float) -> Message:
        properties: Properties = {
            "Address": Variant("s", advert.address),
            "AddressType": Variant("s", "random"),
            "Alias": Variant("s", advert.address.replace(":", "-")),
            "Adapter": Variant("o", self.path),
            "Paired": Variant("b", False),  # noqa: FBT003 - D-Bus's, not a flag of ours
            "Connected": Variant("b", False),  # noqa: FBT003
            "ServicesResolved": Variant("b", False),  # noqa: FBT003
            "AdvertisingFlags": Variant("ay", b"\x06"),
            "UUIDs": Variant("as", []),
            **advert.payload(),
            "RSSI": Variant("n", advert.rssi),
        }
        self.devices[path] = _Device(properties, advert.rssi, at)
        return added(path, {DEVICE: properties})


def added(path: str, interfaces: dict[str, Properties]) -> Message:
    """Give the signal of a new object."""
    return Message.new_signal(
        "/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces]
    )


def removed(path: str, interfaces: list[str]) -> Message:
    """Give the signal of an object that goes."""
    return Message.new_signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [path, interfaces])


def changed(
    path: str, interface: str, properties: Properties, invalidated: Sequence[str] = ()
) -> Message:
    """Give the signal of changed, and of withdrawn, properties."""
    return Message.new_signal(
        path,
        PROPERTIES,
        "PropertiesChanged",
        "sa{sv}as",
        [interface, properties, list(invalidated)],
    )
