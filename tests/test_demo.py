"""The demo and the live store, as a newcomer starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE_S = 60.0


def started(output: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a module of this interpreter, with its stdout in a file."""
    with output.open("wb") as out, output.with_suffix(".err").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            stdout=out,
            stderr=err,
            env={**os.environ, **environment},
        )


def until(condition: Callable[[], object]) -> None:
    """Wait for other processes; raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


def test_the_demo_ends_by_itself_with_a_truthful_summary(tmp_path: Path) -> None:
    """Visits come and go at the hub, nothing is lost or doubled, and the exit code says so."""
    output = tmp_path / "demo"
    process = started(output, "edge_agent", "demo", DEMO_SECONDS="16")
    assert process.wait(PATIENCE_S) == 0, output.with_suffix(".err").read_text()
    text = output.read_text(encoding="utf-8")
    assert {"enter", "dwell", "exit"} <= set(text.split())
    (summary,) = [line for line in text.splitlines() if "lost, doubled" in line]
    assert [word for word in summary.split() if word.strip("│,").isdigit()] == ["0,", "0"]


@pytest.mark.bluez
def test_a_simulated_store_is_heard_over_the_air(tmp_path: Path) -> None:
    """`simulators live` says how to start the agent, which then hears the store by Bluetooth."""
    output, status = tmp_path / "live", tmp_path / "state" / "status.json"
    live = started(
        output, "simulators", "live", "--out", str(tmp_path), "--hours", "0.1", "--speed", "30"
    )
    until(lambda: output.read_text().endswith("\n"))
    invitation = output.read_text().split()
    name, _, bus = invitation[0].partition("=")
    agent = started(
        tmp_path / "agent", "edge_agent", "run", "--config", invitation[-1], **{name: bus}
    )

    def heard() -> bool:
        if not status.exists():
            return False
        sources = json.loads(status.read_text())["sources"]
        return any(source["heard"] > 50 for source in sources.values())

    try:
        until(heard)
        assert heard()
    finally:
        for process in (agent, live):
            process.terminate()
            process.wait(PATIENCE_S)
