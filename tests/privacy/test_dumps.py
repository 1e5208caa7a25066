"""No picture of the daemon's memory is left behind, however it dies."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from simulators.canary import Canary, Secret
from tests.publish.shop import environment_of

KEY = bytes.fromhex("7c91330e61dfea4606b5b3ecb4457d76")
CONFIG = """tenant = "acme"
store = "0042"
gateway = "gw-1"
mqtt = { url = "mqtt://127.0.0.1:9", allow_plaintext = true }
roster = { file = "roster.json", allow_unsigned = true }
ble = { adapters = [] }
"""
# Until the dump is forbidden a signal would dump: a process that forbids nothing is the control.
BARE = ("-c", "print('started', flush=True); import time; time.sleep(60)")


class Process:
    """A python of which the kernel's own verdict is read: WCOREDUMP of its wait status."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "log"
        shell = f'ulimit -c unlimited 2>/dev/null; cd "{folder}" && exec "$0" "$@" >log 2>&1'
        self.pid = os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", shell, sys.executable, *arguments],
            environment_of(dict(os.environ)) | {"PYTHONFAULTHANDLER": "1"},
        )
        self._status: int | None = None

    def until_started(self) -> None:
        """Wait until it has said so."""
        deadline = time.monotonic() + 30
        while not self.log.exists() or b"started" not in self.log.read_bytes():
            assert time.monotonic() < deadline, "it never started"
            os.sched_yield()

    def die(self, number: signal.Signals) -> int:
        """Kill it, and give the status it died with."""
        os.kill(self.pid, number)
        _, self._status = os.waitpid(self.pid, 0)
        return self._status

    def end(self) -> None:
        """Leave nothing behind."""
        if self._status is None:
            self.die(signal.SIGKILL)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start a python in a folder of its own, with core dumps allowed as far as may be."""
    begun: list[Process] = []

    def launch(*arguments: str) -> Process:
        folder = tmp_path / str(len(begun))
        folder.mkdir()
        (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
        roster = {"members": [{"visitor": "v-1", "ik": KEY.hex()}]}
        (folder / "roster.json").write_text(json.dumps(roster), encoding="utf-8")
        process = Process(folder, *arguments)
        begun.append(process)
        process.until_started()
        return process

    yield launch
    for process in begun:
        process.end()


AGENT = ("-m", "edge_agent", "run", "--log-level", "debug", "--config", "config.toml")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_an_agent_that_crashes_leaves_no_core(
    start: Callable[..., Process], number: signal.Signals
) -> None:
    """The kernel dumps nothing, although the same death of a bare python is dumped here."""
    control, agent = start(*BARE), start(*AGENT)
    if not os.WCOREDUMP(control.die(number)):
        pytest.skip("this machine dumps nobody: ulimit -c or core_pattern forbids it")
    with suppress(PermissionError):  # one who may lifts the limit: not dumpable holds alone
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(agent.pid, resource.RLIMIT_CORE, unlimited)
    assert not os.WCOREDUMP(agent.die(number))
    written = {file.name for file in agent.log.parent.iterdir()}
    assert written == {"config.toml", "roster.json", "state", "log"}


def test_the_limit_is_set_by_the_agent_itself(start: Callable[..., Process]) -> None:
    """Started by hand, with no unit file around it, its soft and hard limits are 0."""
    agent = start(*AGENT)
    limits = Path(f"/proc/{agent.pid}/limits").read_text(encoding="ascii")
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]


def test_its_memory_belongs_to_root_alone(start: Callable[..., Process]) -> None:
    """The kernel hands /proc/PID of a process that is not dumpable to root: nobody may trace it."""
    agent, bare = start(*AGENT), start(*BARE)
    with suppress(PermissionError):
        Path(f"/proc/{bare.pid}/mem").open("rb").close()
    assert Path(f"/proc/{agent.pid}/mem").stat().st_uid == 0
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            Path(f"/proc/{agent.pid}/mem").open("rb").close()


def test_the_traceback_of_a_crash_holds_no_key(start: Callable[..., Process]) -> None:
    """A crash writes where each thread was, and no value: no key of the roster is in it."""
    agent = start(*AGENT)
    agent.die(signal.SIGABRT)
    crash = agent.log.read_bytes()
    assert b"Fatal Python error: Aborted" in crash
    assert not list(Canary([Secret("key", KEY)]).find(crash))
