"""A real broker on loopback, in a folder of its own, that can be killed and started again."""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

__all__ = ["Mosquitto", "free_port"]

# Saved this often and not at each change: killed, it comes back with sessions, queues and retained
# watermarks that are some seconds old, which is worse for its clients than with none.
_AUTOSAVE_S: Final = 5
_CONFIG: Final = """listener {port} 127.0.0.1
allow_anonymous true
user {user}
persistence true
persistence_location {folder}/
autosave_interval {autosave}
log_dest file {folder}/mosquitto.log
log_type all
"""
_PATIENCE_S: Final = 10.0


def free_port() -> int:
    """Find a TCP port of loopback that nobody listens on now.

    Below the range that the kernel gives to outgoing connections: a client that keeps calling a
    broker that is down would sooner or later be given the broker's own port, and reach itself.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Mosquitto:
    """Runs mosquitto for the length of a `with`; port and folder stay the same across kills."""

    def __init__(self, folder: Path) -> None:
        """Write its configuration into `folder`, which also takes its database and its log."""
        self.port = free_port()
        self._database = folder / "mosquitto.db"
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            _CONFIG.format(
                port=self.port, user=getpass.getuser(), folder=folder, autosave=_AUTOSAVE_S
            ),
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program() -> str | None:
        """Find mosquitto, which lies outside the PATH of most users."""
        return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

    @property
    def url(self) -> str:
        """The broker's URL."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def ended(self) -> int | None:
        """The exit code of a broker that ended by itself; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it and wait until it accepts connections.

        Raises:
            FileNotFoundError: there is no mosquitto; install the package mosquitto.
            TimeoutError: it did not listen in time.
        """
        program = self.program()
        if program is None:
            raise FileNotFoundError("no mosquitto: install the package mosquitto")
        self._process = subprocess.Popen(  # noqa: S603 - our own arguments
            [program, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise TimeoutError("mosquitto does not listen") from None
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order: it saves its sessions."""
        self._end(signal.SIGTERM)

    def lose_database(self) -> None:
        """Let it come back with no session, no queue and nothing retained; while it is down."""
        self._database.unlink(missing_ok=True)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(_PATIENCE_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
