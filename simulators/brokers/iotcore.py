"""iotcore in a process of its own, so that it can be killed; it keeps nothing on disk.

python -m simulators.brokers.iotcore FOLDER PORT
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from simulators.broker import EmbeddedBroker
from simulators.brokers.nodes import Spawned, until_listening
from simulators.mosquitto import free_port

__all__ = ["Iotcore"]


class Iotcore:
    """The broker of the demo, alone: a kill loses sessions, queues and what is retained."""

    def __init__(self, folder: Path) -> None:
        self.ports = [free_port()]
        command = [sys.executable, "-m", __name__, str(folder), str(self.ports[0])]
        self._process = Spawned(command, folder / "iotcore.log")

    def start(self) -> None:
        """Start it."""
        self._process.start()
        until_listening(self.ports[0])

    def kill(self, _node: int) -> None:
        """End its only node."""
        self._process.kill()

    def restart(self, _node: int) -> None:
        """Start it, empty."""
        self.start()

    def stop(self) -> None:
        """End it."""
        self._process.kill()


def _serve(folder: Path, port: int) -> None:
    with EmbeddedBroker(folder, port):
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
