"""`edge-agent outbox`: what lies in the outbox, beside a running agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge_agent.cli import app
from edge_agent.publish.contract import Acknowledgement
from edge_agent.publish.outbox import Outbox
from tests.publish.stories import ANNA, BERTA, composer, drafted, dwell, enter, leave

WRITER = composer()
CONFIG = """tenant = "acme"
store = "0042"
gateway = "gw-1"
[mqtt]
url = "mqtts://broker.example"
[roster]
public_key = "{key}"
[delivery]
max_bytes = "2MiB"
max_age = "48h"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway's configuration."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(key="00" * 32), encoding="utf-8")
    return path


def look(config: Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, ["outbox", "--config", str(config)])


def test_it_tells_what_waits_and_what_was_declared_beside_a_running_agent(config: Path) -> None:
    """Of Anna's 1 and Berta's 2 to 4, 2 is confirmed and Anna erased: counts, no pseudonym."""
    with Outbox.open(config.parent / "state" / "outbox.db") as outbox:
        pairs = drafted(WRITER, enter(), enter(BERTA), dwell(BERTA), leave(BERTA))
        outbox.commit([draft for draft, _ in pairs], WRITER.number, [v for _, v in pairs])
        outbox.erase(ANNA, WRITER.gap)
        outbox.acknowledge(Acknowledgement(epoch=outbox.epoch, seq=2, hub=7))
        result = look(config)
        epoch = outbox.epoch
    assert result.exit_code == 0
    whole, gap = (json.loads(line) for line in result.stdout.splitlines())
    assert (whole["epoch"], whole["highest"], whole["watermark"]) == (epoch, 4, 2)
    assert whole["waiting"] == {"presence.dwell.v1": 1, "presence.exit.v1": 1}
    assert whole["tail"] == {"presence.gap.v1": 1, "presence.enter.v1": 1}
    assert whole["oldest"] == "2026-11-01T09:01:03.500Z"
    assert whole["budget"] == {"max_bytes": 2 << 20, "max_age_s": 48 * 3600}
    assert gap == {
        "tombstone": {"from": 1, "to": 1, "reason": "erased", "counts": {"presence.enter.v1": 1}}
    }
    assert "2 of 4 numbers wait for the hub" in result.stderr
    assert BERTA not in result.output


def test_without_an_outbox_it_says_so(config: Path) -> None:
    """The agent has never run here: exit 1, and why."""
    result = look(config)
    assert result.exit_code == 1
    assert "has the agent ever run here?" in result.stderr


def test_a_damaged_outbox_is_no_traceback(config: Path) -> None:
    """Garbage where the file should be: exit 1, and what the agent will do about it."""
    (config.parent / "state").mkdir()
    (config.parent / "state" / "outbox.db").write_bytes(b"garbage" * 1_000)
    result = look(config)
    assert result.exit_code == 1
    assert "sets a damaged one aside" in result.stderr


@pytest.mark.parametrize("size", ["256", "lots", "10KiB", "1.5MiB"])
def test_a_wrong_size_is_explained(config: Path, size: str) -> None:
    """A size without unit, in words, too small or broken: exit 2, by its path."""
    config.write_text(config.read_text().replace("2MiB", size), encoding="utf-8")
    result = look(config)
    assert result.exit_code == 2
    assert "delivery.max_bytes" in result.stderr
