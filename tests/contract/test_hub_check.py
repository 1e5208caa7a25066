"""The conformance kit passes the reference hub and finds each fault in a broken one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.config import Mqtt
from edge_agent.publish.topics import Topics
from simulators.hub_check.command import check_hub
from simulators.hub_check.rule import Restart
from simulators.hub_check.rules import RULES, STEADY
from simulators.mosquitto import Mosquitto, free_port
from simulators.postgres import PostgreSQL
from tests.contract import broken_hub as hubs
from tests.test_hub import until

pytestmark = pytest.mark.broker

EVERY_RULE = {rule.name for rule in (*RULES, *STEADY)}
# A rule that resends waits for the repeated cursor, so a hub that never repeats fails many.
BROKEN: list[tuple[hubs.BrokenHub, set[str]]] = [
    (hubs.NoHub, {"answers"}),
    (hubs.CountingHub, {"ack lost", "duplicate", "go-back-n", "restored card"}),
    (
        hubs.GapBlindHub,
        {"tombstone", "tombstone first", "tombstone overlapping", "tombstone beyond"}
        | {"foreign source"},
    ),
    (
        hubs.MaximumHub,
        {"gap holds", "gap told", "reordered", "tombstone beyond"}
        | {"new epoch ahead", "two gateways"},
    ),
    (
        hubs.TaciturnHub,
        {"ack lost", "duplicate", "gap told", "tombstone old", "new epoch ahead"}
        | {"restored card", "restart"},
    ),
    (hubs.OneEpochHub, {"new epoch", "new epoch ahead", "restored card"}),
    (hubs.OneGatewayHub, {"two gateways"}),
    (
        hubs.EachByEachHub,
        {"duplicate", "tombstone old", "restored card", "watermarks never fall"},
    ),
    (hubs.YoungerHub, {"incarnation"}),
    (hubs.ForgettingBrokerHub, {"ack retained"}),
    (hubs.MemoryHub, {"restart", "watermarks never fall"}),
    (hubs.ClockHub, {"lying clock"}),
    (hubs.FragileHub, {"malformed", "unknown type", "oversize", "foreign source", "restart"}),
    (hubs.CredulousHub, {"unknown type", "oversize"}),
]


async def failed(
    url: str, restart: Restart, *, tenant: str = "hub-check", patience_s: float = 15.0
) -> dict[str, str]:
    """Play everything to a hub; give the rules broken, with what was found."""
    found = {}
    judged = set()
    async for result in check_hub(
        Mqtt(url=url, allow_plaintext=True),
        Topics(tenant, "0001", "hc"),
        patience_s=patience_s,
        settle_s=0.1,
        restart=restart,
    ):
        judged.add(result.rule.name)
        if result.verdict == "fail":
            found[result.rule.name] = result.found
    assert judged == EVERY_RULE
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What is found in each hub, by its name; they are judged side by side, a tenant each."""

    async def one(broker: Mosquitto, kind: hubs.BrokenHub) -> dict[str, str]:
        tenant = kind.__name__.lower()
        with kind(broker.port, tenant) as hub:

            async def restart() -> None:
                hub.restarted()

            return await failed(broker.url, restart, tenant=tenant, patience_s=4.0)

    async def every(broker: Mosquitto) -> dict[str, dict[str, str]]:
        kinds: list[hubs.BrokenHub] = [hubs.SoundHub, *(kind for kind, _ in BROKEN)]
        results = await asyncio.gather(*(one(broker, kind) for kind in kinds))
        return {kind.__name__: result for kind, result in zip(kinds, results, strict=True)}

    with Mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        return asyncio.run(every(broker))


def test_a_sound_hub_keeps_every_rule(found: dict[str, dict[str, str]]) -> None:
    """Nothing is asked that a hub of forty lines cannot give."""
    assert found["SoundHub"] == {}


@pytest.mark.parametrize(("kind", "broken"), BROKEN, ids=lambda it: getattr(it, "__name__", ""))
def test_a_broken_hub_breaks_its_rules_and_no_other(
    found: dict[str, dict[str, str]], kind: hubs.BrokenHub, broken: set[str]
) -> None:
    """Each fault is found by the rules that it breaks."""
    assert found[kind.__name__].keys() == broken, found[kind.__name__]


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_the_reference_hub_keeps_every_rule(
    broker: Mosquitto, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """On either database, and killed with SIGKILL in the middle."""
    store = str(tmp_path / "hub.db")
    if kind == "postgresql":
        cluster: PostgreSQL = request.getfixturevalue("postgres")
        store = cluster.database()
    words = ("--broker", broker.url, "--store", store, "--quiet")
    log = (tmp_path / "hub.log").open("wb")

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "simulators.hub", *words), stderr=log
        )

    running = [await start()]

    async def restart() -> None:
        running[0].kill()
        await running[0].wait()
        running[0] = await start()

    try:
        await until(lambda: (tmp_path / "hub.log").stat().st_size > 0, 30)
        assert await failed(broker.url, restart) == {}
    finally:
        running[0].terminate()
        await running[0].wait()
        log.close()


def checked(url: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a hub team does."""
    words = ("hub-check", "--broker", url, "--patience", "1", "--settle", "0.1")
    return subprocess.run(
        [sys.executable, "-m", "simulators", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_says_rule_by_rule_what_to_fix(broker: Mosquitto) -> None:
    """A line of JSON a rule; the broken one with what was found and what to do; exit code 1."""
    with hubs.YoungerHub(broker.port):
        said = checked(broker.url)
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert said.returncode == 1
    assert {line["rule"] for line in lines} == EVERY_RULE
    (broken,) = [line for line in lines if line["verdict"] == "fail"]
    assert broken["rule"] == "incarnation"
    assert broken.keys() == {"rule", "verdict", "sent", "required", "found", "fix"}
    assert "of 27 kept" in said.stderr


def test_the_command_is_content_with_a_sound_hub(broker: Mosquitto) -> None:
    """Without --restart durability is not judged, which is said; exit code 0."""
    with hubs.SoundHub(broker.port):
        said = checked(broker.url)
    verdicts = {line["rule"]: line["verdict"] for line in map(json.loads, said.stdout.splitlines())}
    assert said.returncode == 0
    assert [rule for rule, verdict in verdicts.items() if verdict != "pass"] == ["restart"]


@pytest.mark.parametrize("url", ["http://broker", f"mqtt://127.0.0.1:{free_port()}"])
def test_no_broker_is_bad_input(url: str) -> None:
    """Neither a wrong URL nor a broker that is not there says anything of a hub; exit code 2."""
    said = checked(url)
    assert (said.returncode, said.stdout) == (2, "")
    assert "broker" in said.stderr
    assert "Traceback" not in said.stderr
