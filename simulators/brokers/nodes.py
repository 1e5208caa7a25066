"""What a broker is to the suite: nodes that can be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

__all__ = ["Nodes", "NotInstalledError", "Spawned", "program", "until", "until_listening"]

PATIENCE_S: Final = 90.0
_GOODBYE_S: Final = 15.0


class NotInstalledError(Exception):
    """The broker is not on this machine; says which package has it."""


class Nodes(Protocol):
    """A broker of one node or several. Methods block: call them in a thread."""

    @property
    def ports(self) -> Sequence[int]:
        """Where each node speaks MQTT on loopback."""

    def start(self) -> None:
        """Start all nodes; returns once they are of use.

        Raises:
            NotInstalledError: it is not installed.
            TimeoutError: it was of no use in time.
        """

    def kill(self, node: int, /) -> None:
        """End a node at once, as a crash would."""

    def restart(self, node: int, /) -> None:
        """Start a killed node; returns once it could stand in for any other.

        Raises:
            TimeoutError: it could not in time.
        """

    def stop(self) -> None:
        """End all nodes, in whatever state they are."""


def program(name: str, package: str, *further: str) -> str:
    """Find a program, in places outside the PATH of most users too.

    Raises:
        NotInstalledError: there is none.
    """
    path = ":".join((os.environ.get("PATH", ""), "/usr/sbin", *further))
    found = shutil.which(name, path=path)
    if found is None:
        raise NotInstalledError(f"no {name}: install the package {package}")
    return found


def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE_S) -> None:
    """Wait for a condition of another process's; raises TimeoutError, which says `what`."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} within {patience:.0f} s: it is not so")
        time.sleep(0.05)


def until_listening(port: int) -> None:
    """Wait until somebody accepts connections on a port of loopback."""

    def accepts() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            return False
        return True

    until(accepts, f"port {port} listens")


class Spawned:
    """One process, with all it starts; what it says is appended to a log."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Prepare; `start` starts it."""
        self._command = command
        self._log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it at once; nothing happens when it has ended."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(_GOODBYE_S)
