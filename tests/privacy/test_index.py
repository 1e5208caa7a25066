"""The index names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).parent
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_every_test_of_the_index_exists() -> None:
    """A test that is renamed or dropped takes its promise to counsel with it: this says so."""
    named = NAMED.findall((FOLDER / "README.md").read_text(encoding="utf-8"))
    assert len(named) > 25
    missing = [f"{file}::{test}" for file, test in named if test not in defined_in(file)]
    assert missing == []


def test_every_test_here_is_in_the_index() -> None:
    """Each module of this folder has a fact to show."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in FOLDER.glob("test_*.py") if path.name not in text] == []


def defined_in(file: str) -> set[str]:
    """Name the tests of a file."""
    tree = ast.parse((FOLDER.parent / file).read_text(encoding="utf-8"))
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
