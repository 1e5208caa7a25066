"""Three RabbitMQ nodes with the MQTT plugin on one host, whose queues are mirrored on all.

Of RabbitMQ 3.10 (Debian 12): the queue of an MQTT session is a classic queue on the node that its
client was on, so without the policy `ha-all` a killed node takes it along. Retained messages are
never mirrored: each node keeps those that were published through it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

from simulators.brokers.nodes import NotInstalledError, Spawned, program, until_listening
from simulators.mosquitto import free_port

__all__ = ["RabbitCluster", "definitions"]

NODES: Final = 3
_PACKAGE: Final = "rabbitmq-server"
_CONFIG: Final = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
mqtt.listeners.tcp.1 = 127.0.0.1:{mqtt}
mqtt.allow_anonymous = {anonymous}
mqtt.subscription_ttl = 86400000
mqtt.prefetch = 100
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.discovery_retry_limit = 2
{peers}
load_definitions = {definitions}
log.file.level = info
"""
_SALT: Final = b"salt"  # of a password that everybody knows


def definitions(
    users: dict[str, str], permissions: list[dict[str, Any]], topics: list[dict[str, Any]]
) -> dict[str, Any]:
    """Write what RabbitMQ imports at its start: users with passwords, rights, and the mirroring."""
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": name,
                "password_hash": base64.b64encode(
                    _SALT + hashlib.sha256(_SALT + password.encode()).digest()
                ).decode(),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "",
            }
            for name, password in users.items()
        ],
        "permissions": permissions,
        "topic_permissions": topics,
        "policies": [
            {
                "vhost": "/",
                "name": "mirrored-sessions",
                "pattern": "^mqtt-subscription-",
                "apply-to": "queues",
                "priority": 0,
                "definition": {"ha-mode": "all", "ha-sync-mode": "automatic"},
            }
        ],
    }


_OPEN: Final = definitions(
    {"guest": "guest"},
    [{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
    [],
)


class RabbitCluster:
    """A cluster in a folder, with an epmd and a cookie of its own."""

    def __init__(self, folder: Path, defined: Path | None = None, nodes: int = NODES) -> None:
        """Write the configuration; `defined` are definitions that replace the anonymous access."""
        script = _script()
        self.ports = [free_port() for _ in range(nodes)]
        cookie = folder / ".erlang.cookie"
        cookie.write_text("brokers", encoding="ascii")
        cookie.chmod(0o400)
        known = defined or folder / "definitions.json"
        if defined is None:
            known.write_text(json.dumps(_OPEN), encoding="utf-8")
        plugins = folder / "enabled_plugins"
        plugins.write_text("[rabbitmq_mqtt].\n", encoding="ascii")
        names = [f"rabbit-{node}@localhost" for node in range(nodes)]
        epmd = free_port()
        common = os.environ | {"HOME": str(folder), "ERL_EPMD_PORT": str(epmd)}
        self._epmd = Spawned(
            [program("epmd", _PACKAGE), "-port", str(epmd)], folder / "epmd.log", common
        )
        self._epmd_port = epmd
        self._nodes = []
        for node, name in enumerate(names):
            amqp = free_port()
            config = folder / f"rabbit-{node}.conf"
            config.write_text(
                _CONFIG.format(
                    amqp=amqp,
                    mqtt=self.ports[node],
                    anonymous="true" if defined is None else "false",
                    peers="\n".join(
                        f"cluster_formation.classic_config.nodes.{n} = {peer}"
                        for n, peer in enumerate(names, start=1)
                    ),
                    definitions=known,
                ),
                encoding="utf-8",
            )
            environment = common | {
                "RABBITMQ_NODENAME": name,
                "RABBITMQ_NODE_PORT": str(amqp),
                "RABBITMQ_DIST_PORT": str(free_port()),
                "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
                "RABBITMQ_LOG_BASE": str(folder / "log"),
                "RABBITMQ_CONFIG_FILE": str(config),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
            }
            self._nodes.append(Spawned([script], folder / f"rabbit-{node}.log", environment))

    def start(self) -> None:
        """Start all, and wait until they listen as one cluster."""
        self._epmd.start()
        until_listening(self._epmd_port)
        # One after another: started together, two of them sometimes waited for each other for ever,
        # each about to join the other's election of who knows the client ids.
        for node, port in zip(self._nodes, self.ports, strict=True):
            node.start()
            until_listening(port)

    def kill(self, node: int) -> None:
        """End a node at once."""
        self._nodes[node].kill()

    def restart(self, node: int) -> None:
        """Start a killed node, and wait until it listens, which it does once it has rejoined."""
        self._nodes[node].start()
        until_listening(self.ports[node])

    def stop(self) -> None:
        """End all."""
        for node in self._nodes:
            node.kill()
        self._epmd.kill()


def _script() -> str:
    """Find the server's own script: Debian's wrapper in PATH insists on a user of its own."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server"))
    if not found:
        raise NotInstalledError(f"no RabbitMQ: install the package {_PACKAGE}")
    return str(found[-1])
