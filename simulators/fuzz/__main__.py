"""`python -m simulators.fuzz --seconds N [--target T] [--seed S]`: coverage-guided, with atheris.

Each door is fuzzed in a process of its own, which libFuzzer ends at the first input that raises
anything but the door's refusal, takes more than a second, or lets memory grow; the input is then
kept, and belongs into `tests/fuzz/corpus/DOOR/`. Exit codes: 0 nothing found, 1 something found.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

MEMORY_MB: Final = 512
_RUNS: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_PEAK: Final = re.compile(r"stat::peak_rss_mb:\s*(\d+)")
# Named rather than imported: the doors are imported by the children, instrumented.
TARGETS: Final = (
    *("advertising-data", "bluez-properties", "unsigned-roster", "signed-bundle"),
    *("signed-snapshot", "trace-lines", "trace", "acknowledgement", "state", "configuration"),
)


def fuzz_here(target: str, options: list[str]) -> None:
    """Fuzz one door in this process; does not return."""
    atheris = importlib.import_module("atheris")  # has no types, and no wheel but for x86-64
    with atheris.instrument_imports(include=["edge_agent"]):
        doors = importlib.import_module("simulators.fuzz.doors")
    door = doors.DOORS[target]
    atheris.Setup([sys.argv[0], *options], lambda octets: door(octets) and None)
    atheris.Fuzz()


def fuzz(target: str, seconds: int, seed: int, found: Path) -> bool:
    """Fuzz one door in a process of its own, and say how it went; True when nothing was found."""
    doors = importlib.import_module("simulators.fuzz.doors")
    with tempfile.TemporaryDirectory() as corpus:
        for number, octets in enumerate(doors.DOORS[target].seeds):
            (Path(corpus) / f"seed-{number}").write_bytes(octets)
        command = [
            *(sys.executable, "-m", "simulators.fuzz", "--here", target),
            *(f"-max_total_time={seconds}", f"-max_len={doors.LONGEST}", "-timeout=1"),
            *(f"-rss_limit_mb={MEMORY_MB}", f"-seed={seed}", "-print_final_stats=1"),
            *(f"-artifact_prefix={found}/{target}-", corpus),
        ]
        told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    runs, peak = _RUNS.search(told.stderr), _PEAK.search(told.stderr)
    count = int(runs[1]) if runs else 0
    sys.stdout.write(
        f"{target:<18} {count:>9,} executions  {count / seconds:>8,.0f}/s"
        f"  {peak[1] if peak else '?':>4} MB  {'ok' if told.returncode == 0 else 'FOUND'}\n"
    )
    sys.stdout.flush()
    if told.returncode != 0:
        sys.stderr.write(told.stdout[-3000:] + told.stderr[-3000:])
    return told.returncode == 0


def main() -> int:
    """Fuzz the doors that were asked for."""
    if sys.argv[1:2] == ["--here"]:
        fuzz_here(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(prog="python -m simulators.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--target", choices=TARGETS, help="one alone; default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", type=Path, default=Path("build/fuzz"), help="where inputs go")
    asked = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write(
            "atheris is not installed (it has wheels for x86-64 alone): nothing was fuzzed here;"
            " the suite's hypothesis tests knock at the same doors (pytest tests/fuzz)\n"
        )
        return 0
    asked.found.mkdir(parents=True, exist_ok=True)
    targets = (asked.target,) if asked.target else TARGETS
    results = [fuzz(target, asked.seconds, asked.seed, asked.found) for target in targets]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
