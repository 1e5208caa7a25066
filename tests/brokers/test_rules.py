"""The example rules, on the brokers themselves: no store touches another's topics."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_agent.publish.topics import Topics
from simulators.brokers import rules
from simulators.brokers.nats import NatsCluster
from simulators.brokers.rabbitmq import RabbitCluster
from simulators.mosquitto import Mosquitto
from tests.brokers.intruder import Client, until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

OURS, THEIRS = Topics("acme", "0042", "gw-1"), Topics("acme", "0043", "gw-1")
HUB = "hub-1"
ANY = "presence/v1/+/+/+/+"
EXAMPLES = Path(__file__).parents[2] / "firmware_notes" / "brokers"
FILES = {"mosquitto": "mosquitto.acl", "nats": "nats.conf", "rabbitmq": "rabbitmq.json"}


def filled(leaf: str) -> str:
    """Give a topic of a filter."""
    return leaf.replace("+", "7")


def gateway_id(topics: Topics) -> str:
    """Give the client id that the agent takes."""
    return f"{topics.tenant}-{topics.store}-{topics.gateway}"


@dataclass(frozen=True)
class Guarded:
    """A broker with the example rules."""

    name: str
    port: int
    between: str  # the levels of a user's name
    v5: bool

    def gateway(self, topics: Topics, will: tuple[str, bytes] | None = None) -> Client:
        """Connect as a gateway."""
        user = rules.user_of(topics, self.between)
        return Client(self.port, user, gateway_id(topics), v5=self.v5, will=will)

    def hub(self, worker: int = 1) -> Client:
        """Connect as a worker of the hub."""
        clients: list[Client] = []

        def accepted() -> bool:
            # A RabbitMQ that has just started may refuse the first: it is electing.
            clients.append(Client(self.port, HUB, f"presence-hub-{worker}", v5=self.v5))
            return clients[-1].open

        until(accepted, "the broker accepts the hub")
        return clients[-1]


def mosquitto(folder: Path, stack: ExitStack) -> int:
    """Start mosquitto with the example."""
    passwords = folder / "passwords"
    users = (*(rules.user_of(topics) for topics in (OURS, THEIRS)), HUB)
    passwords.write_text("".join(password_line(user) for user in users), encoding="ascii")
    broker = Mosquitto(folder)
    with (folder / "mosquitto.conf").open("a", encoding="utf-8") as config:
        config.write(f"password_file {passwords}\nacl_file {EXAMPLES / FILES['mosquitto']}\n")
    text = (folder / "mosquitto.conf").read_text().replace("allow_anonymous true", "")
    (folder / "mosquitto.conf").write_text(text)
    return stack.enter_context(broker).port


def password_line(user: str) -> str:
    """Write a line of mosquitto's password file (PBKDF2, its format 7)."""
    salt = os.urandom(12)
    derived = hashlib.pbkdf2_hmac("sha512", b"change-me", salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}\n"


def nats(folder: Path, stack: ExitStack) -> int:
    """Start NATS with the example."""
    cluster = NatsCluster(folder, (EXAMPLES / FILES["nats"]).read_text(encoding="utf-8"))
    stack.callback(cluster.stop)
    cluster.start()
    return cluster.ports[0]


def rabbitmq(folder: Path, stack: ExitStack) -> int:
    """Start RabbitMQ with the example."""
    rule_file = EXAMPLES / FILES["rabbitmq"]
    cluster = RabbitCluster(folder, rule_file, nodes=1)
    stack.callback(cluster.stop)
    cluster.start()
    return cluster.ports[0]


START: dict[str, tuple[Callable[[Path, ExitStack], int], str, bool]] = {
    "mosquitto-5": (mosquitto, "/", True),
    "mosquitto-3.1.1": (mosquitto, "/", False),
    "nats": (nats, ".", False),
    "rabbitmq": (rabbitmq, ".", False),
}


# RabbitMQ, with Erlang, is what `make brokers` installs.
SITES = [pytest.param(n, marks=pytest.mark.proof if n == "rabbitmq" else ()) for n in START]


@pytest.fixture(scope="module", params=SITES)
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """Each broker with its example rules."""
    start, between, v5 = START[request.param]
    with ExitStack() as stack:
        port = start(tmp_path_factory.mktemp(request.param), stack)
        yield Guarded(request.param, port, between, v5)


@pytest.mark.parametrize("broker", list(FILES))
def test_the_examples_are_what_the_table_makes(broker: str) -> None:
    """Each file is the output of `python -m simulators.brokers.rules`."""
    assert (EXAMPLES / FILES[broker]).read_text(encoding="utf-8") == rules.example(broker)


def test_what_a_gateway_and_the_hub_need_passes(guarded: Guarded) -> None:
    """Every leaf a gateway writes reaches the hub, and every leaf that it reads reaches it."""
    with guarded.hub() as hub, guarded.gateway(OURS) as gateway:
        for leaf in rules.WRITES:
            hub.subscribe(f"{ANY}/{leaf}")
        for leaf in (*rules.READS, "state"):
            gateway.subscribe(OURS.leaf(leaf))
        assert hub.refused == gateway.refused == []
        for leaf in rules.WRITES:
            gateway.publish(OURS.leaf(filled(leaf)), b"up")
        for leaf in rules.READS:
            hub.publish(OURS.leaf(filled(leaf)), b"down")
        up = {(OURS.leaf(filled(leaf)), b"up") for leaf in rules.WRITES}
        down = {(OURS.leaf(filled(leaf)), b"down") for leaf in rules.READS}
        until(lambda: up <= set(hub.heard), "the hub hears all")
        until(lambda: down | {(OURS.state, b"up")} <= set(gateway.heard), "the gateway hears all")


def test_a_gateway_can_write_nothing_of_another_store(guarded: Guarded) -> None:
    """Each topic of theirs is tried, retained and not: nobody hears it, then or later."""
    leaves = sorted({filled(leaf) for leaf in (*rules.WRITES, *rules.READS)})
    own_hubs = [OURS.leaf(filled(leaf)) for leaf in rules.READS]
    with guarded.hub() as hub, guarded.gateway(THEIRS) as victim:
        for leaf in rules.WRITES:
            hub.subscribe(f"{ANY}/{leaf}")
        for leaf in (*rules.READS, "state"):
            victim.subscribe(THEIRS.leaf(leaf))
        for retain in (False, True):
            for topic in (*map(THEIRS.leaf, leaves), *own_hubs):
                with guarded.gateway(OURS) as intruder:
                    intruder.publish(topic, b"forged", retain=retain)
        with guarded.gateway(OURS) as honest, guarded.hub(2) as teller:
            honest.publish(OURS.events, b"last")
            teller.publish(THEIRS.ack, b"last")
        until(lambda: (OURS.events, b"last") in hub.heard, "the hub hears the last")
        until(lambda: (THEIRS.ack, b"last") in victim.heard, "the victim hears the last")
        assert [t for t, p in (*hub.heard, *victim.heard) if p == b"forged"] == []
    with guarded.gateway(THEIRS) as later, guarded.gateway(OURS) as own:
        for leaf in (*rules.READS, "state"):
            later.subscribe(THEIRS.leaf(leaf))
            own.subscribe(OURS.leaf(leaf))
        with guarded.hub(2) as teller:
            teller.publish(THEIRS.ack, b"later")
            teller.publish(OURS.ack, b"later")
        until(lambda: (THEIRS.ack, b"later") in later.heard, "the victim hears the next")
        until(lambda: (OURS.ack, b"later") in own.heard, "the intruder hears the next")
        assert [t for t, p in (*later.heard, *own.heard) if p == b"forged"] == []


def test_a_gateway_can_read_nothing_of_another_store(guarded: Guarded) -> None:
    """Each topic of theirs is subscribed to, and every wildcard above: nothing comes."""
    leaves = sorted({*rules.WRITES, *rules.READS})
    wide = ["#", "+/#", "presence/#", "presence/v1/#", "presence/v1/acme/#", f"{ANY}/#"]
    wide += [f"{ANY}/events", f"{ANY}/ack", "presence/v1/acme/+/0043/gw-1/events"]
    wide += [f"$share/g/{topic}" for topic in ("presence/v1/#", THEIRS.events)]
    wide += [f"{THEIRS.root}/#", f"{THEIRS.root}/+", "presence/v1/+/+/+/gw-1/#"]
    heard: list[tuple[str, str]] = []  # by what filter, and on what topic
    for topic in (*map(THEIRS.leaf, leaves), *wide):
        with guarded.gateway(OURS) as intruder:
            intruder.subscribe(OURS.ack)
            intruder.subscribe(topic)
            thrown_out = intruder.over.is_set()
            with guarded.gateway(THEIRS) as gateway, guarded.hub() as hub:
                for leaf in rules.WRITES:
                    gateway.publish(THEIRS.leaf(filled(leaf)), b"secret")
                for leaf in rules.READS:
                    hub.publish(THEIRS.leaf(filled(leaf)), b"secret")
                hub.publish(OURS.ack, b"last")
            if not thrown_out:
                until(lambda: (OURS.ack, b"last") in intruder.heard, "the intruder hears the last")
            heard += [(topic, t) for t, p in intruder.heard if p == b"secret"]
    assert heard == []


def test_a_will_on_a_foreign_topic_is_not_published(guarded: Guarded) -> None:
    """An intruder dies with a will for their state: they stay as they are; its own will works."""
    with guarded.hub() as hub:
        hub.subscribe(f"{ANY}/state")
        foreign = guarded.gateway(OURS, will=(THEIRS.state, b"forged"))
        foreign.vanish()
        with guarded.gateway(OURS, will=(OURS.state, b"gone")) as own:
            own.vanish()
        until(lambda: (OURS.state, b"gone") in hub.heard, "the hub hears the will that is allowed")
        assert (THEIRS.state, b"forged") not in hub.heard
    with guarded.gateway(THEIRS) as later:
        later.subscribe(THEIRS.state)
        later.publish(THEIRS.state, b"alive")
        until(lambda: (THEIRS.state, b"alive") in later.heard, "they hear themselves")
        assert (THEIRS.state, b"forged") not in later.heard
