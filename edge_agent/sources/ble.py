"""The BLE source: bleak's advertisements, filtered, stamped and held back a moment.

A life, from `listen()` to SourceLostError:

    watch the adapter -> start the scan -> RadioState(listening=True)
      every 0.2 s:  lost?  ------------> drop what is held, SourceLostError
                    held 0.25 s -------> the advertisement is yielded
                    watchdog due ------> RadioState(listening=False) if deaf; restart or reset
                    heard again -------> RadioState(listening=True) if it was deaf

Why advertisements are held back: when an adapter is unplugged or switched off, bluetoothd changes
properties of every device it knows, and bleak calls back for each as if it had been heard. Where
the RSSI was withdrawn bleak says -127; where something else changed, the old RSSI and payload
stand there and nothing tells the callback from a reception. Nor is the order fixed: these signals
may come before the one that says the adapter is gone. So what is heard waits a quarter of a
second, and a loss discards what waits. Times are stamped at reception: nobody is dated later.
"""

from __future__ import annotations

import asyncio
import traceback
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from typing import Literal

import structlog

from edge_agent.model import Advertisement, Backend, Observation, RadioAddress, RadioState
from edge_agent.sources.ble_adapter import Adapter, watch_adapter
from edge_agent.sources.ble_scan import AdvertisementData, BLEDevice, Scan, namespace_patterns
from edge_agent.sources.ble_watchdog import Step, Watchdog
from edge_agent.sources.source import Health, SourceLostError

__all__ = ["BleSource", "Wanted"]

Wanted = Callable[[str, Mapping[str, bytes], Mapping[int, bytes], Sequence[str]], bool]
"""Address text, service data, manufacturer data, service UUIDs: could this be a member?"""

_BEAT = 0.2  # seconds
_HOLD = 0.25  # seconds; bluetoothd's burst and its news of the loss lie within one loop turn of it

# Core specification, Vol 4 Part E 7.7.65.2: -127 to +20 dBm, 127 is absent. -127 itself is what
# bleak and BlueZ put where an RSSI was withdrawn.
_WEAKEST, _STRONGEST, _ABSENT = -126, 20, 127

# A passive scan that hears nothing is normal for as long as phones lie still.
_PASSIVE_PATIENCE = 1800.0  # seconds

log = structlog.get_logger()


class BleSource:
    """One Bluetooth adapter, heard through bluetoothd. One life at a time.

    `wanted` runs in the receiver's callback before anything of an advertisement is kept, so a
    stranger costs it and a count. A queue of `bound` advertisements stands between the radio and
    the consumer; when full, the newest are dropped and counted in `health`.
    """

    def __init__(
        self,
        *,
        gateway: str,
        wanted: Wanted,
        now: Callable[[], float],
        adapter: str = "hci0",
        name: str = "ble",
        scanning: Literal["active", "passive"] = "active",
        namespace: uuid.UUID | None = None,
        bound: int = 10_000,
    ) -> None:
        """Prepare to hear on `adapter`; `now` is in seconds. Nothing is touched before `listen`.

        Raises:
            ValueError: a passive scan was asked for without the namespace it filters by.
        """
        passive = scanning == "passive"
        if passive and namespace is None:
            raise ValueError("a passive scan needs the namespace: set [ble] namespace")
        self._patterns = namespace_patterns(namespace) if passive and namespace else None
        self._backend = Backend.BLUEZ_PASSIVE if passive else Backend.BLUEZ_ACTIVE
        self._gateway = gateway
        self._name = name
        self._adapter = adapter
        self._wanted = wanted
        self._now = now
        self._bound = bound
        self._held: deque[Advertisement] = deque()
        self._watchdog = self._new_watchdog()
        self._bug: str | None = None
        self._count = 0
        self._noted = 0  # how many of the count the watchdog has been told of
        self._address = ""  # of the last one heard, until the next beat
        self._dropped = 0
        self._last_heard_at: float | None = None
        self._said: bool | None = None  # the last RadioState of this life
        self._detail = "not started yet"

    def __repr__(self) -> str:
        return f"BleSource({self._name!r}, adapter={self._adapter!r}, {self._backend.value})"

    @property
    def name(self) -> str:
        """The radio's and the task's name."""
        return self._name

    @property
    def gateway(self) -> str:
        """The gateway the adapter is plugged into."""
        return self._gateway

    @property
    def health(self) -> Health:
        """How the receiver is doing now."""
        detail = self._detail
        if self._dropped:
            detail += (
                f"; {self._dropped} advertisements of members dropped since the start, because the "
                "gateway was too busy to take them"
            )
        return Health(
            listening=self._said is True,
            heard=self._count,
            last_heard_at=self._last_heard_at,
            detail=detail,
        )

    async def listen(self) -> AsyncGenerator[Observation, None]:
        """Live one life of the receiver; `RadioState(listening=True)` comes first.

        Raises:
            SourceLostError: adapter, bluetoothd or D-Bus are gone, or the scan does not start.
            RuntimeError: `wanted` or this class has a bug; the text says where.
        """
        self._held.clear()
        self._bug = None
        scan = Scan(self._adapter, self._heard, self._patterns)
        try:
            async with watch_adapter(self._adapter) as adapter:
                try:
                    self._watchdog = self._new_watchdog()
                    await scan.start(adapter.power_cycle)
                    yield self._say(self._now(), listening=True)
                    while True:
                        await asyncio.sleep(_BEAT)
                        self._check(adapter)
                        for observation in self._harvest():
                            yield observation
                        step = self._watchdog.due(self._now())
                        if step is not None:
                            if self._watchdog.deaf and self._said:
                                yield self._say(self._now(), listening=False)
                            await self._shake(step, adapter, scan)
                finally:
                    await scan.stop()
        except SourceLostError as lost:
            self._detail = str(lost)
            raise
        finally:
            self._said = None
            self._address = ""
            self._held.clear()

    def _heard(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        """Take one callback of bleak's: a reception, or a stale one, which is dropped.

        A thousand strangers a second come through here, each to a cold cache, so that every call
        and attribute costs four times what a loop would measure.
        """
        try:
            rssi = advertisement.rssi
            if not _WEAKEST <= rssi <= _STRONGEST and rssi != _ABSENT:
                return
            self._last_heard_at = at = self._now()
            self._address = address = device.address
            self._count += 1
            if self._wanted(
                address,
                advertisement.service_data,
                advertisement.manufacturer_data,
                advertisement.service_uuids,
            ):
                self._hold(at, device, advertisement)
        except BaseException as bug:
            # dbus_fast logs whatever a callback raises and goes on, so the life raises it instead:
            # where and what, but not the message, which may quote a stranger's address.
            self._bug = "".join(traceback.format_tb(bug.__traceback__)) + type(bug).__name__
            raise

    def _hold(self, at: float, device: BLEDevice, advertisement: AdvertisementData) -> None:
        if len(self._held) >= self._bound:
            self._dropped += 1
            return
        rssi = advertisement.rssi
        self._held.append(
            Advertisement(
                at=at,
                gateway=self._gateway,
                radio=self._name,
                backend=self._backend,
                address=RadioAddress.parse(device.address),
                rssi=None if rssi == _ABSENT else rssi,
                service_data={k.lower(): v for k, v in advertisement.service_data.items()},
                manufacturer_data=advertisement.manufacturer_data,
                service_uuids=tuple(u.lower() for u in advertisement.service_uuids),
            )
        )

    def _check(self, adapter: Adapter) -> None:
        """Raise what has gone wrong since the last beat, and tell the watchdog if all is well.

        It hears of one address a beat, which finds a crowd within seconds.
        """
        if self._bug is not None:
            raise RuntimeError(f"the advertisement callback failed:\n{self._bug}")
        if adapter.lost is not None:
            raise SourceLostError(adapter.lost)
        if self._count != self._noted and self._last_heard_at is not None:
            self._noted = self._count
            self._watchdog.heard(self._last_heard_at, self._address)
            self._address = ""

    def _harvest(self) -> Iterator[Observation]:
        """Give what has been held long enough, after the news that the radio hears again."""
        if not self._said and not self._watchdog.deaf:
            since = self._watchdog.hearing_since
            yield self._say(min(since, self._held[0].at) if self._held else since, listening=True)
        ripe = self._now() - _HOLD
        while self._held and self._held[0].at <= ripe:
            yield self._held.popleft()

    async def _shake(self, step: Step, adapter: Adapter, scan: Scan) -> None:
        """Do what the watchdog asks for, to a receiver that may be silent or in a quiet room."""
        log.warning("nothing heard, shaking the receiver", radio=self._name, step=step.name)
        await scan.stop()
        if step is Step.RESET_ADAPTER:
            await adapter.power_cycle()
        await scan.start(adapter.power_cycle)

    def _say(self, at: float, *, listening: bool) -> RadioState:
        self._said = listening
        mode = "passively" if self._patterns else "actively"
        self._detail = (
            f"adapter {self._adapter} is scanning {mode}"
            if listening
            else f"adapter {self._adapter} has gone silent in a busy place: it is being restarted; "
            "if this goes on, replace it"
        )
        return RadioState(at, self._gateway, self._name, listening=listening)

    def _new_watchdog(self) -> Watchdog:
        if self._backend.silence_counts:
            return Watchdog(self._now())
        return Watchdog(self._now(), patience=_PASSIVE_PATIENCE, silence_counts=False)
