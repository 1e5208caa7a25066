"""A real PostgreSQL for tests: a private cluster on a Unix socket, that can be killed."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final, Self

import psutil

__all__ = ["PostgreSQL"]

_USER: Final = "postgres"  # whom Debian's package creates; the server refuses to run as root
_PATIENCE_S: Final = 60


class PostgreSQL:
    """Runs a cluster for the length of a `with`; `database` makes a fresh one in it."""

    def __init__(self) -> None:
        """Lay out the cluster, in a folder whose name is short enough for a socket's.

        Raises:
            FileNotFoundError: there is no PostgreSQL; install the package postgresql.
        """
        programs = self.programs()
        if programs is None:
            raise FileNotFoundError("no PostgreSQL: install the package postgresql")
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_USER)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self._owner = _USER if self._as else getpass.getuser()
        self._numbers = iter(range(1, 10_000))
        self._data = self._folder / "data"
        self._run("initdb", "-D", self._data, "-A", "trust", "-E", "UTF8", "--no-locale", "-N")

    @staticmethod
    def programs() -> Path | None:
        """Find the newest version's programs, which Debian keeps out of the PATH."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if found:
            return found[-1].parent
        initdb = shutil.which("initdb")
        return None if initdb is None else Path(initdb).parent

    def database(self) -> str:
        """Create a database; gives its URL."""
        name = f"hub{next(self._numbers)}"
        self._run("createdb", "-h", self._folder, name)
        return f"postgresql://{self._owner}@/{name}?host={self._folder}"

    def start(self) -> None:
        """Start the server, on its socket alone, and wait until it answers."""
        # What a killed process has written survives it in the kernel: only a power cut needs fsync.
        options = f"-c fsync=off -c listen_addresses= -c unix_socket_directories={self._folder}"
        log = self._folder / "log"
        self._run(
            "pg_ctl",
            "start",
            "-w",
            "-t",
            str(_PATIENCE_S),
            "-D",
            self._data,
            "-l",
            log,
            "-o",
            options,
        )

    def kill(self) -> None:
        """End it at once, as a crash would."""
        pid = int((self._data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        server = psutil.Process(pid)
        backends = server.children()
        server.kill()
        # They end when they notice, and until then nothing can start in their place.
        psutil.wait_procs([server, *backends], _PATIENCE_S)

    def stop(self) -> None:
        """End it, in order and without waiting for clients."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", self._data)

    def _run(self, program: str, *words: str | Path) -> None:
        subprocess.run(  # noqa: S603 - our own arguments
            [self._programs / program, *words],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd="/",
            **self._as,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)
