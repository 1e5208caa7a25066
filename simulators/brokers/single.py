"""mosquitto as the suite sees it: one node, whose sessions and retained messages lie on disk."""

from __future__ import annotations

from pathlib import Path

from simulators.brokers.nodes import NotInstalledError
from simulators.mosquitto import Mosquitto

__all__ = ["SingleMosquitto"]


class SingleMosquitto:
    """A kill leaves it with what it saved some seconds ago."""

    def __init__(self, folder: Path) -> None:
        self._mosquitto = Mosquitto(folder)
        self.ports = [self._mosquitto.port]

    def start(self) -> None:
        """Start it."""
        try:
            self._mosquitto.start()
        except FileNotFoundError as missing:
            raise NotInstalledError(str(missing)) from None

    def kill(self, _node: int) -> None:
        """End its only node."""
        self._mosquitto.kill()

    def restart(self, _node: int) -> None:
        """Start it with what it had saved."""
        self._mosquitto.start()

    def stop(self) -> None:
        """End it."""
        self._mosquitto.stop()
