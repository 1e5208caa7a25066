"""The peer of bleak: an `org.bluez` on a private bus, with adapters, devices, and faults to order.

    with PrivateBus() as bus:
        async with BlueZPeer(bus.address) as peer:
            await peer.until_scanning()
            peer.advertise("C0:00:00:00:00:01", -60, service_data={…})

What bluetoothd says when is in `bluez_objects`; this is who it says it to.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Literal, Self

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from simulators.bluez_objects import (
    ADAPTER,
    DEVICE,
    MONITOR_MANAGER,
    OBJECT_MANAGER,
    PROPERTIES,
    Adapter,
    Advert,
    added,
    changed,
    removed,
)
from simulators.private_bus import PrivateBus

__all__ = ["BlueZPeer", "PrivateBus"]

_MONITOR = "org.bluez.AdvertisementMonitor1"
_DBUS = "org.freedesktop.DBus"
_OUTBOX = 100_000  # signals; some ten seconds of what a receiver can take
_RETRY = 0.002  # seconds


class BlueZPeer:
    """bluetoothd, as far as a scanner can see, on the bus at `address`.

    Its adapters outlive the process it plays: `leave` and `join` are bluetoothd stopping and
    starting, `vanish` and `plug_in` the hardware. Read and set an adapter's fields through
    `adapter(name)` to order refusals, a duplicate filter or deaf firmware.
    """

    def __init__(self, address: str, adapters: Iterable[str] = ("hci0",)) -> None:
        """Prepare the adapters; `async with`, or `join`, puts them on the bus."""
        self._address = address
        self._adapters = {name: Adapter(name) for name in adapters}
        self._bus: MessageBus | None = None
        self._outbox: deque[Message] = deque()
        self.overruns = 0  # advertisements not sent because the bus did not take so many
        self._expected: dict[tuple[str, str], Adapter] = {}  # monitors yet to be exported

    async def __aenter__(self) -> Self:
        await self.join()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.leave()

    def adapter(self, name: str = "hci0") -> Adapter:
        """Give an adapter, to look at it or to break it."""
        return self._adapters[name]

    async def join(self) -> None:
        """Be started: own the name and show the adapters, which know nobody yet."""
        bus = self._bus = await MessageBus(bus_address=self._address).connect()
        bus.add_message_handler(self._answer)
        rule = f"type='signal',sender='{_DBUS}',member='NameOwnerChanged'"
        await bus.call(_call(_DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", rule))
        await bus.request_name("org.bluez")
        for adapter in self._adapters.values():
            adapter.devices.clear()
            adapter.drop_clients()
            if adapter.present:
                self._send(added(adapter.path, adapter.interfaces()))

    async def leave(self, *, crash: bool = False) -> None:
        """Be stopped: take every object off the bus first, unless it is a crash."""
        bus = self._bus
        if bus is None:
            return
        if not crash and bus.connected:
            for adapter in self._adapters.values():
                for message in (*adapter.last_words(), *self._removals(adapter)):
                    self._send(message)
        self._bus = None
        self._expected.clear()
        self._outbox.clear()
        bus.disconnect()
        # The bus may have been killed under the peer, which then is the scenario, not a fault.
        await asyncio.gather(
            bus.wait_for_disconnect(),  # type: ignore[no-untyped-call] # dbus-fast's omission
            return_exceptions=True,
        )

    def advertise(
        self,
        address: str,
        rssi: int,
        *,
        service_data: Mapping[str, bytes] | None = None,
        manufacturer_data: Mapping[int, bytes] | None = None,
        service_uuids: Sequence[str] = (),
        adapter: str = "hci0",
    ) -> bool:
        """Put one packet into the air near `adapter`; say whether bluetoothd told anybody."""
        advert = Advert(address, rssi, service_data or {}, manufacturer_data or {}, service_uuids)
        if self._bus is None:
            return False
        if len(self._outbox) >= _OUTBOX:
            self.overruns += 1
            return False
        message = self._adapters[adapter].hear(advert, asyncio.get_running_loop().time())
        if message is None:
            return False
        self._send(message)
        return True

    def forget(self, address: str, adapter: str = "hci0") -> None:
        """Let bluetoothd drop a device that it has not heard for a while."""
        for message in self._adapters[adapter].forget(address):
            self._send(message)

    def speak_last_words(self, name: str = "hci0") -> None:
        """Change a property of every device, as bluetoothd does when a scan ends under it."""
        for message in self._adapters[name].last_words():
            self._send(message)

    def vanish(self, name: str = "hci0", first: Literal["devices", "adapter"] = "devices") -> None:
        """Unplug an adapter. `first` says whether the last words on its devices, or its own
        switching off, are signalled first: bluetoothd does not promise an order.
        """  # noqa: D205 - one sentence needs two lines
        adapter = self._adapters[name]
        off = changed(adapter.path, ADAPTER, {"Powered": Variant("b", False)})  # noqa: FBT003
        words = adapter.last_words()
        for message in (*words, off) if first == "devices" else (off, *words):
            self._send(message)
        for message in self._removals(adapter):
            self._send(message)
        adapter.present = False
        adapter.devices.clear()
        adapter.drop_clients()

    def plug_in(self, name: str = "hci0") -> None:
        """Plug the adapter in again; bluetoothd powers it on and knows no devices."""
        adapter = self._adapters[name]
        adapter.present = adapter.powered = True
        self._send(added(adapter.path, adapter.interfaces()))

    def power(self, name: str = "hci0", *, on: bool) -> None:
        """Switch an adapter on or off, as rfkill or another program would."""
        adapter = self._adapters[name]
        if adapter.powered == on:
            return
        adapter.powered = on
        properties = {"Powered": Variant("b", on)}
        if not on:
            adapter.drop_clients()
            properties["Discovering"] = Variant("b", False)  # noqa: FBT003
            self.speak_last_words(name)
        else:
            adapter.power_cycles += 1
        self._send(changed(adapter.path, ADAPTER, properties))

    async def until_scanning(self, name: str = "hci0", patience: float = 10.0) -> None:
        """Wait until somebody scans with the adapter.

        Raises:
            TimeoutError: nobody did for `patience` seconds.
        """
        async with asyncio.timeout(patience):
            while not self._adapters[name].scanning:  # noqa: ASYNC110 - a simulator may poll
                await asyncio.sleep(0.005)

    def _send(self, message: Message) -> None:
        self._outbox.append(message)
        if len(self._outbox) == 1:
            self._drain()

    def _drain(self) -> None:
        """Write what the socket takes and come back for the rest.

        dbus-fast closes its connection when the socket's buffer is full (it takes EAGAIN for a
        failure), so each message is written only when there is certainly room.
        """
        bus = self._bus
        socket = None if bus is None else bus._sock  # noqa: SLF001 - it has no public name
        if bus is None or socket is None or not bus.connected:
            self._outbox.clear()
            return
        while self._outbox:
            if not select.select((), (socket,), (), 0)[1]:
                asyncio.get_running_loop().call_later(_RETRY, self._drain)
                return
            bus.send(self._outbox.popleft())

    def _removals(self, adapter: Adapter) -> Iterable[Message]:
        for path in adapter.devices:
            yield removed(path, [DEVICE])
        if adapter.present:
            yield removed(adapter.path, [ADAPTER, MONITOR_MANAGER])

    def _answer(self, message: Message) -> bool:
        """Answer in line with the signals; False leaves it to dbus-fast: UnknownMethod."""
        reply = self._reply(message)
        if reply is not None:
            self._send(reply)
        return reply is not None

    def _reply(self, message: Message) -> Message | None:
        if message.message_type is MessageType.SIGNAL:
            if message.member == "NameOwnerChanged" and not message.body[2]:
                self._client_left(message.body[0])
            elif message.member == "InterfacesAdded" and _MONITOR in message.body[1]:
                path, interfaces = message.body
                self._monitor_exported(str(message.sender), path, interfaces[_MONITOR])
            return None
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if (message.interface, message.member) == (OBJECT_MANAGER, "GetManagedObjects"):
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self._objects()])
        for adapter in self._adapters.values():
            if adapter.present and adapter.path == message.path:
                return self._answer_adapter(adapter, message)
        return None

    def _objects(self) -> dict[str, dict[str, dict[str, Variant]]]:
        objects: dict[str, dict[str, dict[str, Variant]]] = {"/org/bluez": {}}
        for adapter in self._adapters.values():
            if adapter.present:
                objects[adapter.path] = adapter.interfaces()
                for path, device in adapter.devices.items():
                    objects[path] = {DEVICE: device.properties}
        return objects

    def _answer_adapter(self, adapter: Adapter, message: Message) -> Message | None:
        answers = {
            (ADAPTER, "SetDiscoveryFilter"): self._set_filter,
            (ADAPTER, "StartDiscovery"): self._start_discovery,
            (ADAPTER, "StopDiscovery"): self._stop_discovery,
            (PROPERTIES, "Get"): self._get,
            (PROPERTIES, "Set"): self._set,
        }
        if adapter.monitors_supported:
            answers[MONITOR_MANAGER, "RegisterMonitor"] = self._register_monitor
            answers[MONITOR_MANAGER, "UnregisterMonitor"] = self._unregister_monitor
        answer = answers.get((str(message.interface), str(message.member)))
        return None if answer is None else answer(adapter, message)

    def _get(self, adapter: Adapter, message: Message) -> Message:
        interface, name = message.body
        return Message.new_method_return(message, "v", [adapter.interfaces()[interface][name]])

    def _set(self, adapter: Adapter, message: Message) -> Message:
        self.power(adapter.name, on=message.body[2].value)
        return Message.new_method_return(message)

    def _set_filter(self, adapter: Adapter, message: Message) -> Message:
        if not adapter.powered:
            return _error(message, "org.bluez.Error.NotReady")
        return Message.new_method_return(message)

    def _start_discovery(self, adapter: Adapter, message: Message) -> Message:
        if adapter.refusals:
            return _error(message, adapter.refusals.pop(0))
        if not adapter.powered:
            return _error(message, "org.bluez.Error.NotReady")
        client = str(message.sender)
        if client in adapter.discovering:
            return _error(message, "org.bluez.Error.InProgress")
        adapter.discovering.add(client)
        self._tell_discovering(adapter)
        return Message.new_method_return(message)

    def _stop_discovery(self, adapter: Adapter, message: Message) -> Message:
        if not adapter.powered:
            return _error(message, "org.bluez.Error.NotReady")
        if str(message.sender) not in adapter.discovering:
            return _error(message, "org.bluez.Error.Failed")
        adapter.discovering.discard(str(message.sender))
        self._tell_discovering(adapter)
        return Message.new_method_return(message)

    def _unregister_monitor(self, adapter: Adapter, message: Message) -> Message:
        if adapter.monitors.pop((str(message.sender), message.body[0]), None) is None:
            return _error(message, "org.bluez.Error.DoesNotExist")
        return Message.new_method_return(message)

    def _register_monitor(self, adapter: Adapter, message: Message) -> Message:
        """Accept a monitor, which counts from when its owner exports it (`_monitor_exported`).

        As in bluetoothd, whose object manager client learns of the monitor by InterfacesAdded.
        """
        if adapter.refusals:
            return _error(message, adapter.refusals.pop(0))
        owner = str(message.sender)
        self._expected[owner, message.body[0]] = adapter
        rule = f"type='signal',sender='{owner}',interface='{OBJECT_MANAGER}'"
        self._send(_call(_DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", rule))
        return Message.new_method_return(message)

    def _monitor_exported(self, owner: str, path: str, properties: dict[str, Variant]) -> None:
        adapter = self._expected.pop((owner, path), None)
        if adapter is not None:
            adapter.monitors[owner, path] = [
                (offset, kind, bytes(content))
                for offset, kind, content in properties["Patterns"].value
            ]
            self._send(_call(owner, path, _MONITOR, "Activate"))

    def _client_left(self, client: str) -> None:
        for adapter in self._adapters.values():
            if adapter.drop_client(client) and adapter.present:
                self._tell_discovering(adapter)

    def _tell_discovering(self, adapter: Adapter) -> None:
        discovering = Variant("b", bool(adapter.discovering))
        self._send(changed(adapter.path, ADAPTER, {"Discovering": discovering}))


def _error(message: Message, name: str) -> Message:
    return Message.new_error(message, name, "refused by the simulator")


def _call(to: str, path: str, interface: str, member: str, *arguments: str) -> Message:
    return Message(
        destination=to,
        path=path,
        interface=interface,
        member=member,
        signature="s" * len(arguments),
        body=list(arguments),
    )
