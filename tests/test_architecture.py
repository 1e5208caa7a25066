"""The tree reads as the data flows: who may import what, and what the core may not do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edge_agent"
MODULES = sorted(PACKAGE.rglob("*.py"))
CORE = [
    PACKAGE / "model.py",
    *sorted((PACKAGE / "identify").glob("*.py")),
    *sorted((PACKAGE / "track").glob("*.py")),
    PACKAGE / "publish" / "delivery.py",
]

# Vocabulary rather than machinery, used wherever its kind of thing is: arrays in the core's tables,
# models at every door, log lines in every adapter. Replacing one would be a change of language.
EVERYWHERE = {"numpy", "pydantic", "structlog"}
# Each of these is imported in exactly one module, so that it can be replaced there.
IN_ONE_PLACE = {
    "bleak",
    "cryptography",
    "dbus_fast",
    "iotcore",
    "paho",
    "pydantic_settings",
    "rfc8785",
    "rich",
    "sqlite3",
    "typer",
}
# But for X.509, some 7 MB of it, which is loaded only where a certificate is configured.
APART = {"cryptography": {"edge_agent/publish/signing_request.py"}}


def imports(module: Path) -> Iterator[str]:
    """Give every module that a file imports, wherever in it, with what it takes from there."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_go_one_way() -> None:
    """Sources, identify, track, publish: the contract of pyproject.toml holds."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_library_is_imported_in_one_module() -> None:
    """And none that is not spoken of here."""
    users: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        for name in imports(module):
            users[name.split(".")[0]].add(module.relative_to(ROOT).as_posix())
    ours = {"edge_agent", "simulators"}
    foreign = users.keys() - sys.stdlib_module_names - ours - EVERYWHERE
    assert foreign <= IN_ONE_PLACE
    places = {name: users[name] - APART.get(name, set()) for name in IN_ONE_PLACE}
    crowded = {name: modules for name, modules in places.items() if len(modules) > 1}
    assert crowded == {}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_fits_in_a_head(module: Path) -> None:
    """400 lines; more is two nouns in one room."""
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 400


CLOCKS = {"time", "asyncio", "sched", "threading", "signal", "select"}
NOW = {"now", "utcnow", "today", "sleep", "monotonic", "perf_counter", "clock_gettime"}


@pytest.mark.parametrize("module", CORE, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_core_reads_no_clock(module: Path) -> None:
    """Time is an argument: nothing is imported that tells it, and no `datetime.now` is called."""
    assert CLOCKS.isdisjoint(name.split(".")[0] for name in imports(module))
    tree = ast.parse(module.read_text(encoding="utf-8"))
    calls = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("datetime", "date")
    }
    assert calls.isdisjoint(NOW)


DECIDING = [path for path in CORE if path.stem not in ("roster_file", "roster_signed")]


@pytest.mark.parametrize("module", DECIDING, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_code_that_decides_does_no_io(module: Path) -> None:
    """Files, sockets and processes belong to adapters; the rosters' two doors read a file."""
    outside = {"io", "os", "pathlib", "socket", "subprocess", "sqlite3", "random", "secrets"}
    assert outside.isdisjoint(name.split(".")[0] for name in imports(module))


def test_the_model_imports_nothing_of_ours() -> None:
    """It is what everything else is said in."""
    assert not [name for name in imports(PACKAGE / "model.py") if name.startswith("edge_agent")]
