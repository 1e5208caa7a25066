"""The README drifts from the program only as far as these tests let it."""

from __future__ import annotations

import re
from pathlib import Path

import typer
from typer.main import get_command

from edge_agent.cli import app
from edge_agent.config import Config, read_config
from simulators.__main__ import app as simulators

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(application: typer.Typer) -> set[str]:
    """List an application's commands."""
    return set(get_command(application).commands)  # type: ignore[attr-defined]


def test_every_command_of_the_agent_is_in_the_readme() -> None:
    """Each command has its line, and no line names a command that there is not."""
    told = set(re.findall(r"^\| `edge-agent (\w+)", README, re.MULTILINE))
    assert told == commands(app)


def test_every_simulator_is_in_the_readme() -> None:
    """Likewise for `python -m simulators`."""
    told = set(re.findall(r"^\| `python -m simulators ([\w-]+)", README, re.MULTILINE))
    assert told == commands(simulators)


def test_every_file_that_the_readme_sends_you_to_is_there() -> None:
    """A path in backticks is a path of the tree."""
    paths = re.findall(
        r"`((?:edge_agent|simulators|tests|systemd|firmware_notes)/[\w./]*)`", README
    )
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert paths
    assert not missing


def test_every_make_target_of_the_readme_exists() -> None:
    """`make X` in the README is a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = set(re.findall(r"make (demo|test|lint|bench|faults|\w+)\b {2,}#", README))
    assert told >= {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in told)


def test_the_readmes_configuration_is_a_configuration(tmp_path: Path) -> None:
    """The example loads once its placeholder key is a key."""
    block = README.split("## Configuration")[1].split("Every option")[0]
    text = "\n".join(line.removeprefix("    ") for line in block.splitlines())
    text = text.replace('public_key = "…"', f'public_key = "{"00" * 32}"')
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    assert isinstance(read_config(path), Config)
