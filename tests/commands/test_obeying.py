"""Whole stories of commands: a real broker, the daemon as a process, kill -9 in the middle."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from simulators.mosquitto import Mosquitto
from tests.commands.headquarters import KEY, MEMBER, OTHER, Gateway, Headquarters
from tests.publish.hub import until

pytestmark = [pytest.mark.broker]

ERASE = {"visitor": MEMBER}


async def test_a_signed_command_is_executed_and_nothing_else(
    hub: Headquarters, production: Gateway
) -> None:
    """In production: signed is done; unsigned, another's, and plaintext are refused by name."""
    await production.start()
    hub.command("status", key=KEY, ident="signed")
    hub.command("status", ident="unsigned")
    hub.command("status", key=Ed25519PrivateKey.generate(), ident="forged")
    hub.command("status", key=KEY, ident="astray", gateway="gw-2")
    hub.say("plain", b'{"action": "status"}')
    done = await hub.result("signed")
    assert (done["status"], done["executed"]) == ("done", "once")
    assert done["value"]["version"]
    for ident, reason in {
        "unsigned": "unsigned",
        "forged": "wrong-key",
        "astray": "wrong-gateway",
        "plain": "unsigned",
    }.items():
        result = await hub.result(ident)
        assert (result["status"], result["executed"]) == ("refused", "never")
        assert result["detail"].startswith(reason)


async def test_a_command_said_again_is_answered_again_and_not_executed(
    hub: Headquarters, development: Gateway
) -> None:
    """An erasure, three times in two lives: one tombstone, and thrice the same answer."""
    development.remember(MEMBER, OTHER)
    await development.start()
    payload = hub.command("erase", ERASE, ident="c-1")
    first = await hub.result("c-1")
    assert first["status"] == "done"
    assert first["value"] == {"on_roster": True}
    hub.say("c-1", payload)
    await hub.result("c-1", 2)
    assert await development.end(signal.SIGTERM) == 0
    await development.start()
    hub.say("c-1", payload)
    assert await hub.result("c-1", 3) == hub.results["c-1"][1] == first
    assert development.erasures() == 1
    assert MEMBER.encode() not in stored(development)
    assert OTHER.encode() in stored(development)


@pytest.mark.faults
async def test_killed_before_the_deed_it_is_never_done(
    hub: Headquarters, development: Gateway
) -> None:
    """Killed after `started`, before the effect: interrupted, and no life does it after that."""
    development.remember(MEMBER)
    await development.start()
    await until(lambda: len(hub.events) == 2 and development.told())
    with closing(sqlite3.connect(development.state / "outbox.db", timeout=20)) as lock:
        lock.execute("BEGIN IMMEDIATE")  # the deed waits for the outbox
        payload = hub.command("erase", ERASE, ident="c-1")
        await until(lambda: development.started("c-1"))
        await development.end(signal.SIGKILL)
    await development.start()
    result = await hub.result("c-1")
    assert (result["status"], result["executed"]) == ("interrupted", "perhaps")
    hub.say("c-1", payload)
    assert await hub.result("c-1", 2) == result
    hub.command("status", ident="later")
    await hub.result("later")
    assert development.erasures() == 0


@pytest.mark.faults
async def test_killed_after_the_deed_it_is_not_done_again(
    hub: Headquarters, development: Gateway
) -> None:
    """Killed between the effect and its result: interrupted, and the effect stays at one."""
    development.remember(MEMBER)
    await development.start()
    await until(lambda: len(hub.events) == 2 and development.told())
    with closing(sqlite3.connect(development.state / "outbox.db", timeout=20)) as outbox:
        outbox.execute("BEGIN IMMEDIATE")
        payload = hub.command("erase", ERASE, ident="c-1")
        await until(lambda: development.started("c-1"))
        with closing(sqlite3.connect(development.journal, timeout=20)) as journal:
            journal.execute("BEGIN IMMEDIATE")  # the result cannot be stored
            outbox.rollback()
            await until(lambda: development.erasures() == 1)
            assert not hub.results["c-1"]
            await development.end(signal.SIGKILL)
    await development.start()
    result = await hub.result("c-1")
    assert (result["status"], result["executed"]) == ("interrupted", "perhaps")
    hub.say("c-1", payload)
    assert await hub.result("c-1", 2) == result
    assert development.erasures() == 1


async def test_a_command_kept_by_mistake_is_executed_once(
    hub: Headquarters, development: Gateway
) -> None:
    """Retained, so it comes with every connection: three lives, one tombstone."""
    development.remember(MEMBER)
    await development.start()
    hub.command("erase", ERASE, ident="kept", retain=True)
    first = await hub.result("kept")
    for life in (2, 3):
        await development.end(signal.SIGKILL)
        await development.start()
        assert await hub.result("kept", life) == first
    assert development.erasures() == 1


async def test_a_command_kept_by_mistake_does_not_outlive_a_lost_journal(
    hub: Headquarters, development: Gateway
) -> None:
    """The journal is damaged: what was issued before is refused, what is issued now is done."""
    await development.start()
    hub.command("status", ident="kept", retain=True)
    assert (await hub.result("kept"))["status"] == "done"
    await development.end(signal.SIGTERM)
    development.journal.write_bytes(b"no database" * 1_000)
    await development.start()
    again = await hub.result("kept", 2)
    assert (again["status"], again["executed"]) == ("refused", "never")
    assert again["detail"].startswith("no-memory")
    hub.command("status", ident="new")
    assert (await hub.result("new"))["status"] == "done"


async def test_what_has_expired_is_not_executed(hub: Headquarters, development: Gateway) -> None:
    """Issued ten minutes ago for five: expired, and nothing happens, however often it is said."""
    development.remember(MEMBER)
    await development.start()
    ago = datetime.now(UTC) - timedelta(minutes=10)
    payload = hub.command("erase", ERASE, ident="late", issued=ago)
    assert (await hub.result("late"))["status"] == "expired"
    hub.say("late", payload)
    assert (await hub.result("late", 2))["status"] == "expired"
    assert development.erasures() == 0


async def test_a_restart_is_commanded_once_and_told_first(
    hub: Headquarters, development: Gateway
) -> None:
    """The result comes, then the process ends with 3; kept by mistake, it restarts nothing more."""
    await development.start()
    hub.command("restart", ident="kept", retain=True)
    assert await development.ended() == 3
    assert (await hub.result("kept"))["status"] == "done"
    await development.start()
    await hub.result("kept", 2)
    hub.command("status", ident="alive")
    assert (await hub.result("alive"))["status"] == "done"


async def test_a_flood_is_bounded_and_the_gateway_lives(
    hub: Headquarters, development: Gateway
) -> None:
    """10,000 at once and some too large: a minute's worth is done, the others busy or dropped."""
    await development.start()
    for number in range(10_000):
        hub.command("status", ident=f"c-{number}")
    hub.say("large", b'{"command": "' + b"x" * 20_000 + b'"}')
    await until(lambda: statuses(hub, "done") >= 20 and statuses(hub, "busy") >= 100, 60)

    def admitted() -> bool:
        hub.command("status", ident=f"later-{len(hub.results)}")
        return any(
            result["status"] == "done"
            for ident, results in hub.results.items()
            if ident.startswith("later")
            for result in results
        )

    await until(admitted, 60)
    assert statuses(hub, "done") < 1_000  # at one a second, that would take a quarter of an hour
    assert "large" not in hub.results
    assert statuses(hub, "failed") == 0


async def test_nothing_that_came_in_is_written_to_the_log(
    hub: Headquarters, development: Gateway
) -> None:
    """Canaries in every place of a command: the log has none, the disk none, and no answer has."""
    canary = "c0ffee11c0ffee11c0ffee11c0ffee11"
    await development.start()
    hub.command("erase", {"visitor": canary}, ident="c-1")
    hub.command("erase", {canary: canary}, ident="c-2")
    hub.command(canary, ident="c-3")
    hub.say("c-4", canary.encode())
    for number in range(1, 5):
        await hub.result(f"c-{number}")
    assert await development.end(signal.SIGTERM) == 0
    assert canary.encode() not in stored(development) + development.log.read_bytes()
    assert canary not in json.dumps(hub.results)


async def test_the_hubs_command_line_sends_and_waits(
    broker: Mosquitto, production: Gateway, folder: Path
) -> None:
    """`simulators command`: the result as JSON on stdout; 0 when done, 1 when not."""
    await production.start()
    key = folder / "hub.pem"
    key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    whole = ("--broker", broker.url, "--tenant", "acme", "--store", "0042", "--gateway", "gw-1")

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "simulators", "command", *whole, *words]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)

    done = command(
        "log_level", "--argument", "level=debug", "--argument", "for=1min", "--key", str(key)
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "done"
    refused = command("status")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["status"] == "refused"


def statuses(hub: Headquarters, status: str) -> int:
    """Count the results of a kind."""
    return sum(
        result["status"] == status for found in list(hub.results.values()) for result in found
    )


def stored(gateway: Gateway) -> bytes:
    """Give every byte of the state directory."""
    return b"".join(file.read_bytes() for file in sorted(gateway.state.iterdir()))
