"""`python -m simulators.fault_matrix NAME LENGTH SEED FOLDER`: one scenario, in this process."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from simulators.fault_matrix.families import FAMILIES
from simulators.fault_matrix.scenario import Length, Scenario, Verdict


def _values(verdict: Verdict) -> dict[str, object]:
    counts = verdict.findings.counts
    wrong = [f"{count} {name}" for name, count in counts.items() if count]
    if not verdict.injected:
        wrong.append("the fault never happened")
    return {
        "injected": verdict.injected,
        "committed": verdict.committed,
        "declared": verdict.declared,
        "applied": verdict.applied,
        "lost": counts["lost"],
        "doubled": counts["doubled"],
        "disordered": counts["out of order"],
        "note": verdict.note,
        "kept": verdict.kept,
        "wrong": [*wrong, *verdict.broken, *verdict.findings.stories],
    }


async def _run(scenario: Scenario, folder: Path, length: Length, seed: int) -> Verdict:
    return await scenario.run(folder, length, seed)


def main() -> None:
    """Run it, and print its verdict as one line of JSON."""
    name, length, seed, folder = sys.argv[1:]
    (scenario,) = (named.scenario for named in FAMILIES if named.name == name)
    home = Path(folder)
    home.mkdir()
    verdict = asyncio.run(_run(scenario, home, Length(length), int(seed)))
    print(json.dumps(_values(verdict)))  # noqa: T201 - what this process is for


if __name__ == "__main__":
    main()
