"""The roster over a real broker: a hub that signs and seals, an agent in this process."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.agent import Agent
from edge_agent.config import read_config
from edge_agent.identify.roster import Member
from edge_agent.publish.outbox import Outbox
from simulators.mosquitto import Mosquitto
from simulators.roster_hub import RosterHub, acknowledged_by
from tests.publish.hub import until
from tests.publish.stories import composer, drafted, enter, leave

pytestmark = pytest.mark.broker

SEED = bytes(range(32))
KEY = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
ANNA, BEA, CARA = "a1" * 16, "b2" * 16, "c3" * 16
ANNAS_IK = bytes(range(16))

Running = Callable[[], AbstractAsyncContextManager[Agent]]


def hub_of(broker: Mosquitto, *visitors: str, seq: int = 1, seed: bytes = SEED) -> RosterHub:
    """Give a hub with these members."""
    members = [Member(visitor, identity_key=ANNAS_IK) for visitor in visitors]
    return RosterHub(
        broker.url, seed, members, tenant="acme", store="0042", gateways=["gw-1"], seq=seq
    )


@pytest.fixture
def folder(tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway that has the hub's key and no file."""
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config.toml").write_text(
        f"""tenant = "acme"
store = "0042"
gateway = "gw-1"
mqtt = {{ url = "{broker.url}", allow_plaintext = true }}
roster = {{ public_key = "{KEY.hex()}" }}
ble = {{ adapters = [] }}
""",
        encoding="utf-8",
    )
    return tmp_path


@pytest.fixture
def running(folder: Path) -> Running:
    """Run an agent until the end of the block, and stop it cleanly."""

    @asynccontextmanager
    async def run() -> AsyncIterator[Agent]:
        agent = Agent(read_config(folder / "config.toml"))
        task = asyncio.create_task(agent.run(), name="agent")
        try:
            yield agent
        finally:
            agent.stop()
            await asyncio.wait_for(task, 20)

    return run


async def in_force(agent: Agent, note: str) -> None:
    """Wait until a roster is in force."""
    await until(lambda: agent.health()["roster"] == note, 60)


def on_roster(agent: Agent, visitor: str) -> bool:
    """Tell whether a visitor is on the roster in force."""
    return visitor in agent.pipeline.identifier.directory.roster.visitors


def stored(folder: Path) -> bytes:
    """Give every byte of the state directory."""
    return b"".join(file.read_bytes() for file in sorted((folder / "state").iterdir()))


async def test_a_roster_comes_over_mqtt(broker: Mosquitto, running: Running) -> None:
    """Asked for with the gateway's key, sent sealed, in force; the broker has seen no key."""
    with hub_of(broker, ANNA, BEA) as hub:
        async with running() as agent:
            await in_force(agent, "2 members, seq 1")
            await until(lambda: hub.acknowledged)
    assert hub.acknowledged[0]["seq"] == 1


async def test_a_withdrawal_erases_her_to_the_byte_and_is_acknowledged(
    broker: Mosquitto, folder: Path, running: Running
) -> None:
    """Her earlier visit is in the outbox; after the signed word of it no file holds her."""
    writer = composer()
    with Outbox.open(folder / "state" / "outbox.db") as outbox:
        for visitor in (ANNA, BEA):
            pairs = drafted(writer, enter(visitor), leave(visitor))
            outbox.commit([draft for draft, _ in pairs], writer.number, [])
    with hub_of(broker, ANNA, BEA) as hub:
        async with running() as agent:
            await in_force(agent, "2 members, seq 1")
            assert ANNA.encode() in stored(folder)
            seq = hub.withdraw(ANNA)
            await until(lambda: any(ack["seq"] == seq for ack in hub.acknowledged), 60)
            assert ANNA.encode() not in stored(folder)
            assert BEA.encode() in stored(folder)
            assert (on_roster(agent, ANNA), on_roster(agent, BEA)) == (False, True)
            keys = agent.membership.describe()["keys"]
    ack = hub.acknowledged[-1]
    assert ack["removed"] == [ANNA]
    assert isinstance(keys, dict)
    assert acknowledged_by(ack, base64.b64decode(keys["sign"]))
    assert not acknowledged_by(ack | {"seq": 9}, base64.b64decode(keys["sign"]))


async def test_who_opts_in_is_known_without_a_new_snapshot(
    broker: Mosquitto, running: Running
) -> None:
    """A delta adds her; nothing is asked for again."""
    with hub_of(broker, ANNA) as hub:
        async with running() as agent:
            await in_force(agent, "1 members, seq 1")
            asked = len(hub.requests)
            hub.admit(Member(CARA, identity_key=bytes(16)))
            await in_force(agent, "2 members, seq 2")
            assert on_roster(agent, CARA)
    assert len(hub.requests) == asked


async def test_a_gap_asks_for_a_snapshot(broker: Mosquitto, running: Running) -> None:
    """A delta was lost: the next one does not fit, and the whole content comes."""
    with hub_of(broker, ANNA, BEA) as hub:
        async with running() as agent:
            await in_force(agent, "2 members, seq 1")
            hub.seq += 1  # of a delta that nobody sent
            hub.withdraw(ANNA)
            await in_force(agent, "1 members, seq 3")
            assert not on_roster(agent, ANNA)


async def test_an_older_roster_is_refused_across_a_restart(
    broker: Mosquitto, running: Running
) -> None:
    """Seq 5 was accepted by the last life; seq 4, well signed, brings nobody back."""
    with hub_of(broker, ANNA, seq=5):
        async with running() as agent:
            await in_force(agent, "1 members, seq 5")
    with hub_of(broker, ANNA, BEA, seq=4):
        async with running() as agent:
            await until(lambda: agent.membership.describe()["last_refusal"], 60)
            assert "older-seq" in str(agent.membership.describe()["last_refusal"])
            assert not on_roster(agent, BEA)


async def test_what_another_hub_signed_is_refused(broker: Mosquitto, running: Running) -> None:
    """The roster in force stays, and health says why."""
    with hub_of(broker, ANNA) as hub, hub_of(broker, BEA, seq=2, seed=bytes(32)) as other:
        async with running() as agent:
            epoch = hub.epochs[0]
            hub.publish_manifests()
            await in_force(agent, "1 members, seq 1")
            forged = other.manifest(epoch).model_dump_json().encode()
            other.say("gw-1", f"roster/manifest/{epoch}", forged)
            await until(lambda: agent.membership.describe()["last_refusal"], 60)
            assert "wrong-key" in str(agent.membership.describe()["last_refusal"])
            assert on_roster(agent, ANNA)


async def test_noise_on_the_rosters_topics_harms_nothing(
    broker: Mosquitto, running: Running
) -> None:
    """Chunks nobody asked for, deltas that are none, manifests of nonsense: it goes on."""
    with hub_of(broker, ANNA) as hub:
        async with running() as agent:
            await in_force(agent, "1 members, seq 1")
            for leaf in ("delta", "manifest/9", "chunk/1/2/3", "chunk/x/y/z", "chunk/1/2/99"):
                hub.say("gw-1", f"roster/{leaf}", os.urandom(100))
            hub.admit(Member(CARA))
            await in_force(agent, "2 members, seq 2")


async def test_the_gateways_keys_are_its_owners_alone(
    broker: Mosquitto, folder: Path, running: Running
) -> None:
    """Mode 0600, the same after a restart, and only their public halves are told."""
    told = []
    for _ in range(2):
        with hub_of(broker, ANNA):
            async with running() as agent:
                await in_force(agent, "1 members, seq 1")
                told.append(agent.membership.describe()["keys"])
                health = json.dumps(agent.health())
    path = folder / "state" / "roster.keys"
    octets = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert told[0] == told[1]
    for private in (octets[:32], octets[32:]):
        assert base64.b64encode(private).decode() not in health
        assert private.hex() not in health
    assert ANNA not in health
