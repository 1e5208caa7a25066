"""What a fault run starts and kills: the agent and the hub as processes, and a tap on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from simulators.credentials import NAMESPACE
from simulators.crowd import EXIT_S, MILESTONES_S

__all__ = ["Process", "Tap", "agent_command", "hub_command_line", "write_agent_files"]

_GOODBYE_S: Final = 10.0
_AGENT: Final = """tenant = "acme"
store = "0042"
gateway = "gw-1"
[mqtt]
url = "{broker}"
allow_plaintext = true
keepalive = "5s"
[roster]
file = "roster.json"
allow_unsigned = true
[ble]
namespace = "{namespace}"
[presence]
dwell_milestones = [{milestones}]
enter_confidence = 0.5
exit_after_at_most = "{exit}s"
resume_within = "0s"
[state]
directory = "state"
"""


def write_agent_files(folder: Path, broker: str, roster: Mapping[str, Any]) -> list[Path]:
    """Write what an operator gives the agent; gives the files."""
    config, members = folder / "agent.toml", folder / "roster.json"
    text = _AGENT.format(
        broker=broker,
        namespace=NAMESPACE,
        milestones=", ".join(f'"{seconds}s"' for seconds in MILESTONES_S),
        exit=EXIT_S,
    )
    config.write_text(text, encoding="utf-8")
    members.write_text(json.dumps(roster), encoding="utf-8")
    return [config, members]


def agent_command(folder: Path) -> list[str]:
    """Give the command line of the real agent, which logs all it can."""
    config = str(folder / "agent.toml")
    return [sys.executable, "-m", "edge_agent", "run", "--config", config, "--log-level", "debug"]


def hub_command_line(folder: Path, broker: str) -> list[str]:
    """Give the command line of the reference hub."""
    store = str(folder / "hub.db")
    return [sys.executable, "-m", "simulators.hub", "--broker", broker, "--store", store]


class Process:
    """One process, whose stdout and stderr are appended to `NAME.out` and `NAME.log`."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        """Prepare; `start` starts it."""
        self.name = name
        self.output = folder / f"{name}.out"
        self.log = folder / f"{name}.log"
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ended(self) -> int | None:
        """The exit code of one that ended by itself; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it."""
        with self.output.open("ab") as out, self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=self._environment,
            )

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        try:
            self._end(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_GOODBYE_S)
            self._process = None


class Tap:
    """A TCP relay to `port` of loopback that keeps every octet that passes.

    Each direction of each connection has a file of its own, so that nothing is torn apart.
    """

    def __init__(self, port: int, folder: Path) -> None:
        """Prepare to write into `folder`."""
        self._upstream = port
        self._folder = folder
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        with contextlib.closing(writer):
            try:
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            except OSError:  # the broker is down: the caller is hung up on
                return
            with contextlib.closing(up_writer):
                ways = {
                    asyncio.create_task(self._carry(*way), name=f"tap {number}")
                    for way in (
                        (reader, up_writer, self._folder / f"{number:04}-to-broker"),
                        (up_reader, writer, self._folder / f"{number:04}-from-broker"),
                    )
                }
                _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for task in left:
                    task.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    @staticmethod
    async def _carry(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: Path
    ) -> None:
        with record.open("ab") as file:
            while octets := await reader.read(1 << 16):
                file.write(octets)
                writer.write(octets)
                await writer.drain()
