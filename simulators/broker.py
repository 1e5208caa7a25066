"""An MQTT broker that installs with pip: iotcore, bound to loopback, speaking 5 and 3.1.1."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final, Self

from iotcore import Broker

__all__ = ["EmbeddedBroker"]

# Without a file iotcore binds every interface and speaks 3.1.1 alone.
_CONFIGURATION: Final = """\
id = 0

[router]
id = 0
max_connections = 64
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
"""
_LISTENER: Final = """
[{version}.1]
name = "{version}"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[{version}.1.connections]
connection_timeout_ms = 5000
max_payload_size = 262144
max_inflight_count = 100
dynamic_filters = true
"""


class EmbeddedBroker:
    """A broker for the length of a `with` block; `url` speaks MQTT 5, `url_311` 3.1.1."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        """Write the broker's configuration into `folder`; `port` is for MQTT 5, else a free one."""
        port_5, port_311 = port or _free_port(), _free_port()
        path = folder / "broker.toml"
        path.write_text(
            _CONFIGURATION
            + _LISTENER.format(version="v5", port=port_5)
            + _LISTENER.format(version="v4", port=port_311),
            encoding="utf-8",
        )
        self._broker = Broker(config_path=str(path))
        self.url = f"mqtt://127.0.0.1:{port_5}"
        self.url_311 = f"mqtt://127.0.0.1:{port_311}"

    def __enter__(self) -> Self:
        self._broker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._broker.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
