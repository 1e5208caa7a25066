"""Every door refuses by name or lets in, whatever comes: a corpus, and hypothesis at each."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulators.fuzz.__main__ import TARGETS
from simulators.fuzz.doors import DOORS, LONGEST, Door

CORPUS = Path(__file__).parent / "corpus"
FOUND = sorted(path for path in CORPUS.glob("*/*") if path.is_file())

DOOR = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


def test_the_command_fuzzes_every_door() -> None:
    """The names it knows without importing a door are those of the doors."""
    assert set(TARGETS) == set(DOORS)


@DOOR
def test_what_is_sound_is_let_in(door: Door) -> None:
    """Of each door the first seed opens it, so that fuzzing reaches what is behind the lock.

    But for the bundle, whose signature no seed can have.
    """
    assert door(door.seeds[0]) == (door.name != "signed-bundle")


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_broke_a_door_is_refused_or_let_in(path: Path) -> None:
    """Each input was found by fuzzing, or belongs to a kind that was: no exception gets out."""
    assert DOORS[path.parent.name](path.read_bytes()) in (True, False)


@st.composite
def mangled(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Give a sound input with a piece cut out, put in or repeated."""
    octets = draw(st.sampled_from(seeds))
    begin = draw(st.integers(0, len(octets)))
    end = draw(st.integers(begin, len(octets)))
    piece = draw(st.one_of(st.binary(max_size=32), st.sampled_from([b"[", b"9" * 400, b'"', b"-"])))
    return octets[:begin] + piece * draw(st.sampled_from([1, 1, 1, 50])) + octets[end:]


@DOOR
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_octets_break_a_door(door: Door, data: st.DataObject) -> None:
    """Random octets, and sound inputs mangled: a refusal by name, and nothing else."""
    octets = data.draw(st.one_of(mangled(door.seeds), st.binary(max_size=2_000)))
    assert door(octets) in (True, False)
    assert len(octets) < LONGEST


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has wheels for x86-64 alone")
def test_the_command_finds_nothing_in_a_second(tmp_path: Path) -> None:
    """One door, as CI fuzzes them all for longer: it says how many inputs it tried."""
    command = ["-m", "simulators.fuzz", "--seconds", "1", "--target", "state"]
    told = subprocess.run(
        [sys.executable, *command, "--found", str(tmp_path / "found")],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "executions" in told.stdout
    assert told.stdout.rstrip().endswith("ok")
