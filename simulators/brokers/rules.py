"""Who may do what at the broker, in the words of each: `python -m simulators.brokers.rules NATS`.

A gateway writes and reads under its own root alone; a hub worker hears what gateways say, and says
what gateways hear. One table makes the rules of every broker, so that they cannot drift apart.

A gateway's user is `tenant/shard/store/gateway`, as in its topics, with `.` for `/` where the
broker wants it so.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from edge_agent.publish.topics import Topics, shard_of
from simulators.brokers.rabbitmq import definitions

__all__ = ["READS", "WRITES", "mosquitto_rules", "nats_rules", "rabbitmq_rules", "user_of"]

WRITES: Final = (
    "events",
    "state",
    "health",
    "snapshot",
    "config/reported",
    "command/+/result",
    "roster/ack",
    "roster/misses",
    "roster/request",
    "identity/request",
)
READS: Final = (
    "ack",
    "config/desired",
    "command/+",
    "roster/manifest/+",
    "roster/chunk/+/+/+",
    "roster/delta",
    "identity/certificate",
)
_OWN_STATE: Final = "state"  # which a gateway reads too, to see an older session's will
_OWN_ACK: Final = "ack"  # which the hub reads too, to see what an earlier incarnation said
_ANY: Final = "presence/v1/+/+/+/+"


def user_of(topics: Topics, between: str = "/") -> str:
    """Name a gateway as the broker knows it."""
    parts = (topics.tenant, shard_of(topics.store), topics.store, topics.gateway)
    return between.join(parts)


def mosquitto_rules(hub: str) -> str:
    """Write an `acl_file`: patterns for every gateway, by its user, and the hub's own lines."""
    own = "presence/v1/%u"
    lines = [
        "# Every gateway: %u is its user name, tenant/shard/store/gateway; with",
        "# `use_identity_as_username true` that is the common name of its certificate.",
        *(f"pattern write {own}/{leaf}" for leaf in WRITES),
        *(f"pattern read {own}/{leaf}" for leaf in (*READS, _OWN_STATE)),
        "",
        "# The hub's workers.",
        f"user {hub}",
        *(f"topic read {_ANY}/{leaf}" for leaf in (*WRITES, _OWN_ACK)),
        *(f"topic write {_ANY}/{leaf}" for leaf in READS),
    ]
    return "\n".join(lines) + "\n"


def nats_rules(gateways: Iterable[tuple[Topics, str]], hub: tuple[str, str]) -> str:
    """Write an `authorization` block; each gateway and the hub come with a password."""
    users = [
        _nats_user(
            user_of(topics, "."),
            password,
            writes=[f"{topics.root}/{leaf}" for leaf in WRITES],
            reads=[f"{topics.root}/{leaf}" for leaf in (*READS, _OWN_STATE)],
        )
        for topics, password in gateways
    ]
    users.append(
        _nats_user(
            *hub,
            writes=[f"{_ANY}/{leaf}" for leaf in READS],
            reads=[f"{_ANY}/{leaf}" for leaf in (*WRITES, _OWN_ACK)],
        )
    )
    return "authorization {\n  users: [\n" + "\n".join(users) + "\n  ]\n}\n"


def _nats_user(name: str, password: str, *, writes: list[str], reads: list[str]) -> str:
    # What arrives with QoS 1 is delivered on a subject of the session's own under $MQTT.sub.
    deliveries = "$MQTT.sub.>"
    publish = json.dumps([_subject(topic) for topic in writes])
    subscribe = json.dumps([*(_subject(topic) for topic in reads), deliveries])
    return (
        f"    {{ user: {json.dumps(name)}, password: {json.dumps(password)}, permissions: {{\n"
        f"        publish: {publish}\n        subscribe: {subscribe}\n    }} }}"
    )


def _subject(topic: str) -> str:
    return topic.replace("/", ".").replace("+", "*")


def rabbitmq_rules(
    gateways: Mapping[Topics, str], hub: tuple[str, str], hub_clients: str = "presence-hub.*"
) -> dict[str, Any]:
    """Write definitions to import; each gateway and the hub come with a password.

    Args:
        gateways: each with its password.
        hub: user and password of the hub's workers.
        hub_clients: a regular expression of the workers' client ids.
    """
    users, permissions, topic_permissions = dict([hub]), [], []

    def allow(
        user: str, clients: str, root: str, writes: Iterable[str], reads: Iterable[str]
    ) -> None:
        queue = f"mqtt-subscription-{clients}qos[01]"
        both = f"^({queue}|amq\\.topic)$"
        rights = {"configure": f"^{queue}$", "write": both, "read": both}
        permissions.append({"user": user, "vhost": "/", **rights})
        topic_permissions.append(
            {"user": user, "vhost": "/", "exchange": "amq.topic"}
            | {"write": _either(root, writes), "read": _either(root, reads)}
        )

    for topics, password in gateways.items():
        user = user_of(topics, ".")
        users[user] = password
        client = f"{topics.tenant}-{topics.store}-{topics.gateway}"
        allow(user, client, topics.root, WRITES, (*READS, _OWN_STATE))
    allow(hub[0], hub_clients, _ANY, READS, (*WRITES, _OWN_ACK))
    return definitions(users, permissions, topic_permissions)


def _either(root: str, leaves: Iterable[str]) -> str:
    """Write one regular expression for topics as RabbitMQ sees them: `.` for `/`, `*` for `+`."""
    keys = "|".join(_key(leaf) for leaf in leaves)
    return f"^{_key(root)}\\.({keys})$"


def _key(topic: str) -> str:
    # A level is anything but a dot; a subscription's own wildcard, `*`, is such a level.
    return r"\.".join(r"[^.#]+" if level == "+" else re.escape(level) for level in topic.split("/"))


_EXAMPLE: Final = (Topics("acme", "0042", "gw-1"), Topics("acme", "0043", "gw-1"))
_HUB: Final = ("hub-1", "change-me")


def example(broker: str) -> str:
    """Write the example of a broker: two gateways of two stores, and a hub."""
    match broker:
        case "mosquitto":
            return mosquitto_rules(_HUB[0])
        case "nats":
            return nats_rules([(topics, "change-me") for topics in _EXAMPLE], _HUB)
        case _:
            rules = rabbitmq_rules(dict.fromkeys(_EXAMPLE, "change-me"), _HUB)
            return json.dumps(rules, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(example(sys.argv[1]))
