from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from simulators.fault_matrix.command import AT_ONCE, Line, run_alone
from simulators.fault_matrix.families import FAMILIES
from simulators.fault_matrix.scenario import Length

pytestmark = [
    pytest.mark.proof,
    pytest.mark.faults,
    pytest.mark.broker,
    pytest.mark.bluez,
    pytest.mark.timeout(900),  # the first one waits for the whole matrix
]


@pytest.fixture(scope="module")
def lines(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Line]:
    """The short form of every scenario that this session asks for, two at a time."""
    folder = tmp_path_factory.mktemp("matrix")
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module
        if hasattr(item, "callspec")
    }
    places = asyncio.Semaphore(AT_ONCE)

    async def run(number: int) -> Line:
        home = folder / str(number)
        home.mkdir()
        async with places:
            return await run_alone(FAMILIES[number], Length.SHORT, 1, home)

    async def run_all() -> list[Line]:
        chosen = [n for n, named in enumerate(FAMILIES) if named.name in asked]
        return await asyncio.gather(*map(run, chosen))

    return {line.name: line for line in asyncio.run(run_all())}


@pytest.mark.parametrize("name", [named.name for named in FAMILIES])
def test_every_promise_is_kept_under(name: str, lines: dict[str, Line]) -> None:
    """The fault was made, and the hub has what was committed less what a tombstone declares."""
    line = lines[name]
    assert line.injected > 0
    assert line.kept, line.wrong


def test_names_are_told_apart() -> None:
    """`--only NAME` means one scenario."""
    names = [named.name for named in FAMILIES]
    assert len(set(names)) == len(names)


def test_a_scenario_that_dies_breaks_its_line(tmp_path: Path) -> None:
    """Where its folder cannot be made there is no verdict, and the line says which log to read."""
    (tmp_path / "run").write_text("in the way", encoding="utf-8")
    line = asyncio.run(run_alone(FAMILIES[0], Length.SHORT, 1, tmp_path))
    assert not line.kept
    assert "log.txt" in line.wrong[0]
