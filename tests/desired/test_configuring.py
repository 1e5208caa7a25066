"""Whole stories of a configuration from the hub: a real broker, the daemon as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulators.mosquitto import Mosquitto
from tests.commands.headquarters import KEY, Gateway, Headquarters
from tests.publish.hub import until

pytestmark = [pytest.mark.broker]

SURER = {"presence": {"enter_confidence": 0.95}, "log_level": "debug"}


@pytest.fixture
async def hasty(folder: Path, broker: Mosquitto, hub: Headquarters) -> AsyncIterator[Gateway]:
    """A gateway, not started yet, on which a probation is soon over."""
    gateway = Gateway(folder, broker.port, hub, probation="8s")
    yield gateway
    await gateway.end()


@pytest.fixture
async def patient(folder: Path, broker: Mosquitto, hub: Headquarters) -> AsyncIterator[Gateway]:
    """A gateway, not started yet, on which a probation takes an hour."""
    gateway = Gateway(folder, broker.port, hub, probation="1h")
    yield gateway
    await gateway.end()


async def test_a_signed_configuration_proves_itself_and_stays(
    hub: Headquarters, production: Gateway
) -> None:
    """On probation, applied, and after a restart still in force; `status` says so."""
    await production.start()
    alone = await hub.report("applied", 0)
    assert alone["effective"]["presence"]["enter_confidence"] == 0.9
    hub.configure(7, SURER, key=KEY)
    applied = await hub.report("applied", 7)
    assert "probation" in [report["state"] for report in hub.reports]
    assert applied["effective"]["presence"]["enter_confidence"] == 0.95
    assert applied["effective"]["log_level"] == "debug"
    assert (applied["in_force"], applied["faults"]) == (7, [])
    await until(lambda: "configuration 7 of the hub in force (applied)" in status(production), 40)
    assert await production.end(signal.SIGTERM) == 0
    hub.reports.clear()
    await production.start()
    assert await hub.report("applied", 7) == applied


async def test_what_may_not_be_or_is_not_the_hubs_is_refused_and_explained(
    hub: Headquarters, production: Gateway
) -> None:
    """Each fault by its path; what is in force stays, and an older version is a rollback."""
    await production.start()
    hub.configure(5, {"presence": {"resume_within": "3min"}}, key=KEY)
    await hub.report("applied", 5)
    for version, values, paths in (
        (6, {"presence": {"enter_confidence": 7}}, ["presence.enter_confidence"]),
        (7, {"mqtt": {"url": "mqtt://elsewhere"}, "store": "1"}, ["mqtt", "store"]),
        (8, {"ble": {"namespace": None}}, ["ble.namespace"]),
        (4, {}, ["version"]),
    ):
        hub.configure(version, values, key=KEY)
        refused = await hub.report("refused", version)
        assert [fault["path"] for fault in refused["faults"]] == paths
        assert refused["in_force"] == 5
    for changes in ({"key": Ed25519PrivateKey.generate()}, {}, {"key": KEY, "gateway": "gw-2"}):
        hub.reports.clear()
        hub.configure(9, SURER, **changes)
        refused = await hub.report("refused", None)
        assert refused["effective"]["presence"]["enter_confidence"] == 0.9
        assert refused["effective"]["presence"]["resume_within"] == "180s"


@pytest.mark.faults
async def test_without_a_broker_it_is_reverted(
    hub: Headquarters, hasty: Gateway, broker: Mosquitto
) -> None:
    """The broker dies on probation: when it is back, the file is in force, and why is told."""
    await hasty.start()
    await hub.report("applied", 0)
    hub.configure(7, SURER)
    await hub.report("probation", 7)
    broker.kill()
    await hasty.until_logged("desired_config_reverted")
    broker.start()
    reverted = await hub.report("reverted", 7, 90)
    assert "broker" in reverted["faults"][0]["advice"]
    assert reverted["in_force"] == 0
    assert reverted["effective"]["presence"]["enter_confidence"] == 0.9


@pytest.mark.faults
async def test_a_crash_loop_on_probation_reverts_and_is_not_tried_again(
    hub: Headquarters, patient: Gateway
) -> None:
    """Killed again and again before there is proof: the file is in force, for all the hub says."""
    await patient.start()
    hub.configure(7, SURER)
    await hub.report("probation", 7)
    for _ in range(4):
        await patient.end(signal.SIGKILL)
        await patient.start()
    reverted = await hub.report("reverted", 7)
    assert "without proof" in reverted["faults"][0]["advice"]
    hub.configure(7, SURER)
    hub.command("status", ident="c-1")
    health = (await hub.result("c-1"))["value"]
    assert health["config"] == {"version": 0, "state": "reverted"}


async def test_a_damaged_ledger_is_the_file_alone(hub: Headquarters, development: Gateway) -> None:
    """It starts, with what the technician wrote; and takes the retained word up anew."""
    await development.start()
    hub.configure(7, SURER)
    await hub.report("applied", 7)
    await development.end(signal.SIGTERM)
    (development.state / "desired.json").write_text('{"newest": 7, "good": "no')
    hub.reports.clear()
    await development.start()
    await hub.report("applied", 7)
    assert hub.reports[0]["version"] == 0


async def test_the_hub_takes_its_configuration_back(
    hub: Headquarters, development: Gateway
) -> None:
    """`revert_config`: the one before is in force again, and 8 is told to be reverted."""
    await development.start()
    hub.configure(7, {"presence": {"resume_within": "3min"}})
    await hub.report("applied", 7)
    hub.configure(8, SURER)
    await hub.report("applied", 8)
    hub.command("revert_config", ident="c-1")
    assert (await hub.result("c-1"))["status"] == "done"
    reverted = await hub.report("reverted", 8)
    assert reverted["in_force"] == 7
    assert reverted["effective"]["presence"]["resume_within"] == "180s"


async def test_the_hubs_command_line_waits_for_the_proof(
    broker: Mosquitto, development: Gateway, folder: Path
) -> None:
    """`simulators configure`: the report as JSON; 0 when applied, 1 when refused."""
    await development.start()
    values = folder / "values.json"
    told: list[dict[str, Any]] = []
    for version, text in ((1, json.dumps(SURER)), (2, '{"tenant": "other"}')):
        values.write_text(text)
        run = configure(broker, version, values)
        told.append(json.loads(run.stdout) | {"code": run.returncode})
    assert [(report["state"], report["code"]) for report in told] == [
        ("applied", 0),
        ("refused", 1),
    ]


def configure(broker: Mosquitto, version: int, values: Path) -> subprocess.CompletedProcess[str]:
    """Ask the hub's command line to desire something."""
    line = [
        *(sys.executable, "-m", "simulators", "configure", str(values)),
        *("--broker", broker.url, "--version", str(version)),
        *("--tenant", "acme", "--store", "0042", "--gateway", "gw-1"),
    ]
    return subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)


def status(gateway: Gateway) -> str:
    """Ask the command line how the agent is."""
    line = [sys.executable, "-m", "edge_agent", "status", "--config", str(gateway.config)]
    return subprocess.run(line, capture_output=True, text=True, check=False).stderr
