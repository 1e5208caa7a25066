"""A scan by the unmodified bleak: starting it, stopping it, and telling what went wrong.

The only module that imports bleak. bleak keeps one D-Bus connection per event loop, shared by
every scan and adapter, and reconnects it at the next start when it has died.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable

import structlog
from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakDBusError, BleakError

from edge_agent.sources.source import SourceLostError

__all__ = ["AdvertisementData", "BLEDevice", "Scan", "namespace_patterns"]

_START_PATIENCE = 20.0  # seconds: bleak first reads every device that bluetoothd knows
_STOP_PATIENCE = 2.0  # seconds: on a dead bus bleak's stop would wait for ever
_TRIES = 3
_BETWEEN_TRIES = 0.5  # seconds, times the number of the try
_IN_PROGRESS = "org.bluez.Error.InProgress"

log = structlog.get_logger()


class _TemplatesOnly(logging.Handler):
    """Passes on what the libraries warn of, without the arguments, which may hold addresses."""

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("bluetooth library", library=record.name, template=str(record.msg))


def _muzzle(library: str) -> None:
    """Keep addresses out of every log, whatever level and handlers the process has.

    At DEBUG bleak prints every signal it receives, and both libraries log exceptions with
    tracebacks that quote object paths, which are addresses. So nothing of theirs reaches the root
    logger, and handlers already there (BLEAK_LOGGING=1 installs one) go.
    """
    logger = logging.getLogger(library)
    logger.handlers[:] = [_TemplatesOnly(logging.WARNING)]
    logger.setLevel(logging.WARNING)
    logger.propagate = False


# At import, so that there is no moment in which bleak is loaded and could print.
_muzzle("bleak")
_muzzle("dbus_fast")


def namespace_patterns(namespace: uuid.UUID) -> list[OrPattern]:
    """Give the advertisement monitor patterns that match the namespace's phones.

    UUIDs lie little-endian in the air: Android's service data (AD 0x21) begins with the whole
    namespace; the iOS service UUID `NS[0:8] || EID` (AD 0x07) ends with its first half.
    """
    return [
        OrPattern(0, AdvertisementDataType.SERVICE_DATA_UUID128, namespace.bytes[::-1]),
        OrPattern(8, AdvertisementDataType.COMPLETE_LIST_SERVICE_UUID128, namespace.bytes[7::-1]),
    ]


class Scan:
    """One adapter's scan, active, or passive when there are `patterns`."""

    def __init__(
        self,
        adapter: str,
        heard: Callable[[BLEDevice, AdvertisementData], None],
        patterns: list[OrPattern] | None,
    ) -> None:
        """Prepare a scan on `adapter` ("hci0") that calls `heard` in the event loop."""
        self._adapter = adapter
        self._heard = heard
        self._patterns = patterns
        self._scanner: BleakScanner | None = None

    async def start(self, reset: Callable[[], Awaitable[None]]) -> None:
        """Start scanning; an adapter that stays busy is `reset`, once.

        bluetoothd says InProgress while another program's request is under way, which passes, and
        for a discovery session of ours that it still holds (a stop it lost, a start we gave up
        on), which only a power cycle clears: bleak cannot stop what it did not start.

        Raises:
            SourceLostError: the scan did not start.
        """
        for attempt in range(1, _TRIES + 1):
            error = await self._try()
            if error != _IN_PROGRESS:
                break
            await asyncio.sleep(_BETWEEN_TRIES * attempt)
        else:
            log.warning("adapter stays busy, resetting it", adapter=self._adapter)
            await reset()
            error = await self._try()
        if error is not None:
            raise SourceLostError(self._explain(error))

    async def stop(self) -> None:
        """Stop scanning. Never fails: what cannot be stopped is gone, and its loss is known."""
        scanner, self._scanner = self._scanner, None
        if scanner is None:
            return
        try:
            async with asyncio.timeout(_STOP_PATIENCE):
                # bleak first drops its callbacks and only then speaks to bluetoothd, so nothing
                # is heard after this however it ends.
                await scanner.stop()
        except (BleakError, OSError, EOFError) as error:
            log.info("scan not stopped", adapter=self._adapter, error=type(error).__name__)

    async def _try(self) -> str | None:
        """Start a fresh scanner; give the D-Bus name, or the type, of the error."""
        bluez = BlueZScannerArgs(adapter=self._adapter)
        if self._patterns is not None:
            bluez["or_patterns"] = list(self._patterns)
        scanner = BleakScanner(
            self._heard,
            scanning_mode="active" if self._patterns is None else "passive",
            bluez=bluez,
        )
        try:
            async with asyncio.timeout(_START_PATIENCE):
                await scanner.start()
        except BleakDBusError as error:
            return error.dbus_error
        except (BleakError, OSError, EOFError) as error:
            return type(error).__name__
        self._scanner = scanner
        return None

    def _explain(self, error: str) -> str:
        """Say what a technician can do; never the error's own text, which may hold anything."""
        kind = error.rpartition(".")[2]
        if kind == "InProgress":
            cure = "another program is using it: stop that, or systemctl restart bluetooth"
        elif kind == "NotReady":
            cure = "it is powered off: rfkill unblock bluetooth, then bluetoothctl power on"
        elif kind in ("TimeoutError", "ServiceUnknown", "NoReply"):
            cure = "bluetoothd does not answer: systemctl restart bluetooth"
        elif self._patterns is not None:
            cure = (
                "passive scans need BlueZ 5.56 with --experimental and Linux 5.10: "
                'set them up, or set scanning = "active"'
            )
        else:
            cure = "see journalctl -u bluetooth, then unplug the adapter or power-cycle the gateway"
        return f"adapter {self._adapter} did not start to scan ({kind}): {cure}"
