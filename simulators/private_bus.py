"""A D-Bus daemon of one's own, for peers of the radio stack: nothing of the host is touched."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["PrivateBus"]

# Everyone may own and send anything, as in no real system. The byte limits are those of dbus's own
# session.conf: the default for a system bus disconnects a receiver that lags behind a crowd.
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="signal"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow send_destination="*" eavesdrop="false"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
</busconfig>
"""
_PATIENCE = 5.0  # seconds for the daemon to listen or to end


class PrivateBus:
    """Runs `dbus-daemon` on a socket in a temporary directory, for the length of a `with`.

    `address` stays the same when the daemon is killed and started again. Whoever is to use it gets
    it as DBUS_SYSTEM_BUS_ADDRESS, which bleak and dbus-fast read at each connection.
    """

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="edge-agent-bus-"))
        self._socket = self._directory / "socket"
        self._daemon: subprocess.Popen[bytes] | None = None
        self.address = f"unix:path={self._socket}"

    @property
    def environment(self) -> dict[str, str]:
        """The process environment with this bus as its system bus."""
        return {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}

    @property
    def pid(self) -> int | None:
        """The daemon's process id, to account for its CPU; None while it is down."""
        return None if self._daemon is None else self._daemon.pid

    def start(self) -> None:
        """Start the daemon and wait until it listens.

        Raises:
            FileNotFoundError: there is no dbus-daemon; install the package dbus-daemon.
            TimeoutError: it did not listen in time.
        """
        program = shutil.which("dbus-daemon")
        if program is None:
            raise FileNotFoundError("no dbus-daemon: install the package dbus-daemon")
        self._socket.unlink(missing_ok=True)
        config = self._directory / "bus.conf"
        config.write_text(_CONFIG.format(socket=self._socket), encoding="utf-8")
        self._daemon = subprocess.Popen(  # noqa: S603 - our own arguments
            [program, f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog"],
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _PATIENCE
        while not self._listens():
            if time.monotonic() > deadline:
                raise TimeoutError("dbus-daemon does not listen")
            time.sleep(0.005)

    def _listens(self) -> bool:
        """Whether a connection is taken: the socket is there a moment before that."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._socket)) == 0

    def kill(self) -> None:
        """End the daemon at once, as a crash would; everybody on the bus is disconnected."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            daemon.send_signal(signal.SIGKILL)
            daemon.wait(_PATIENCE)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
