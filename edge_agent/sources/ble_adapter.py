"""One Bluetooth adapter as bluetoothd shows it: is it there, is it on, and switching it off and on.

The only module that imports dbus_fast. bleak does not say when its adapter, bluetoothd or the bus
goes away, so the adapter is watched over a connection of our own. Its match rules name the
adapter's object and the bus name alone: no advertisement and no address ever arrives here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dbus_fast import AuthError, BusType, InvalidAddressError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from edge_agent.sources.source import SourceLostError

__all__ = ["Adapter", "watch_adapter"]

_BLUEZ = "org.bluez"
_ADAPTER = "org.bluez.Adapter1"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_DBUS = "org.freedesktop.DBus"

_PATIENCE = 10.0  # seconds; bluetoothd answers in milliseconds, or hangs
_REST = 1.0  # seconds between power off and on, for firmware that needs to notice

_NO_DBUS = (
    "the system D-Bus cannot be reached: see that dbus.service runs and that "
    "DBUS_SYSTEM_BUS_ADDRESS, if it is set, is right"
)
_NO_BLUETOOTHD = (
    "bluetoothd is not running: start it (systemctl start bluetooth) and read its log "
    "(journalctl -u bluetooth)"
)
_HUNG = "bluetoothd does not answer: restart it (systemctl restart bluetooth)"


class Adapter:
    """An adapter that was there and powered when the watch began.

    `lost` is None while all is well, and then the sentence for a technician; it is set once.
    """

    def __init__(self, bus: MessageBus, name: str) -> None:
        """Watch `name` ("hci0") over a connected `bus`."""
        self.name = name
        self.lost: str | None = None
        self._bus = bus
        self._path = f"/org/bluez/{name}"
        self._resetting = False

    def __repr__(self) -> str:
        return f"Adapter({self.name!r}, lost={self.lost!r})"

    async def power_cycle(self) -> None:
        """Switch the adapter off and on: the reset for firmware that went silent.

        bluetoothd forgets every discovery session of the adapter, other programs' too.

        Raises:
            SourceLostError: bluetoothd refused, or the adapter did not come back.
        """
        self._resetting = True
        try:
            await self._set_powered(on=False)
            await asyncio.sleep(_REST)
            await self._set_powered(on=True)
        finally:
            self._resetting = False

    async def begin(self) -> None:
        """Subscribe to what tells of a loss, then make sure that there is none yet.

        Raises:
            SourceLostError: no bluetoothd, no such adapter, or it is powered off.
        """
        self._bus.add_message_handler(self._on_message)
        for rule in (
            f"type='signal',sender='{_BLUEZ}',interface='{_PROPERTIES}',path='{self._path}'",
            f"type='signal',sender='{_BLUEZ}',member='InterfacesRemoved',arg0path='{self._path}'",
            f"type='signal',sender='{_DBUS}',member='NameOwnerChanged',arg0='{_BLUEZ}'",
        ):
            await self._call(
                Message(
                    destination=_DBUS,
                    path="/org/freedesktop/DBus",
                    interface=_DBUS,
                    member="AddMatch",
                    signature="s",
                    body=[rule],
                )
            )
        reply = await self._call(self._properties("Get", "ss", [_ADAPTER, "Powered"]))
        if not reply.body[0].value:
            raise SourceLostError(self._powered_off())

    def bus_ended(self, _ended: asyncio.Future[None]) -> None:
        """Note that the connection to D-Bus closed, from whichever end."""
        self._lose(_NO_DBUS)

    def _on_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "NameOwnerChanged" and message.body[0] == _BLUEZ:
            self._lose(_NO_BLUETOOTHD)
        elif message.member == "InterfacesRemoved" and message.body[0] == self._path:
            if _ADAPTER in message.body[1]:
                self._lose(self._gone())
        elif message.member == "PropertiesChanged" and message.path == self._path:
            # Discovering is not looked at: it falls in every LE scan cycle (10 s) of a healthy
            # scan, and is never true in a passive one.
            powered = message.body[1].get("Powered")
            if powered is not None and not powered.value and not self._resetting:
                self._lose(self._powered_off())

    def _lose(self, reason: str) -> None:
        if self.lost is None:
            self.lost = reason

    async def _set_powered(self, *, on: bool) -> None:
        await self._call(self._properties("Set", "ssv", [_ADAPTER, "Powered", Variant("b", on)]))

    def _properties(self, member: str, signature: str, body: list[object]) -> Message:
        return Message(
            destination=_BLUEZ,
            path=self._path,
            interface=_PROPERTIES,
            member=member,
            signature=signature,
            body=body,
        )

    async def _call(self, message: Message) -> Message:
        """Call and translate failure; dbus-fast itself would wait for ever."""
        try:
            async with asyncio.timeout(_PATIENCE):
                reply = await self._bus.call(message)
        except TimeoutError:
            raise SourceLostError(_HUNG) from None
        except (OSError, EOFError):
            raise SourceLostError(_NO_DBUS) from None
        if reply is None:
            raise SourceLostError(_NO_DBUS)
        if reply.message_type is MessageType.ERROR:
            raise SourceLostError(self._explain(reply.error_name or "an unnamed error"))
        return reply

    def _explain(self, error: str) -> str:
        kind = error.rpartition(".")[2]
        if kind in ("ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected", "SpawnFailed"):
            return _NO_BLUETOOTHD
        if kind in ("UnknownObject", "UnknownMethod", "UnknownInterface"):
            return self._gone()
        if kind == "AccessDenied":
            return (
                "D-Bus refuses this user access to bluetoothd: add it to the group bluetooth, "
                "or install the D-Bus policy of the package"
            )
        # Only the error's name: its text is bluetoothd's, and may hold anything.
        return f"bluetoothd refused to switch or read adapter {self.name} ({error}): reset it"

    def _gone(self) -> str:
        return (
            f"adapter {self.name} is not there: see that it is plugged in and that the kernel "
            "finds it (bluetoothctl list, dmesg)"
        )

    def _powered_off(self) -> str:
        return (
            f"adapter {self.name} is powered off: rfkill unblock bluetooth, "
            "then bluetoothctl power on"
        )


@asynccontextmanager
async def watch_adapter(name: str) -> AsyncGenerator[Adapter, None]:
    """Watch adapter `name` ("hci0") for the length of the block.

    Raises:
        SourceLostError: no D-Bus, no bluetoothd, no such adapter, or it is powered off.
    """
    try:
        bus = MessageBus(bus_type=BusType.SYSTEM)
        async with asyncio.timeout(_PATIENCE):
            await bus.connect()
    except (OSError, EOFError, AuthError, InvalidAddressError):
        raise SourceLostError(_NO_DBUS) from None
    adapter = Adapter(bus, name)
    ended: asyncio.Task[None] = asyncio.create_task(
        bus.wait_for_disconnect(),  # type: ignore[no-untyped-call] # dbus-fast omits its "-> None"
        name=f"{name} D-Bus",
    )
    ended.add_done_callback(adapter.bus_ended)
    try:
        await adapter.begin()
        yield adapter
    finally:
        ended.remove_done_callback(adapter.bus_ended)
        bus.disconnect()
        # Closing is asynchronous; waiting for it frees the socket inside this block. It ends in
        # an error when the bus died first, which is what is being cleaned up after.
        await asyncio.wait({ended}, timeout=1.0)
        if not ended.cancelled() and ended.done():
            ended.exception()
        ended.cancel()
