"""The unit file, judged by systemd's own analysis, without booting anything."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "systemd" / "edge-agent.service"


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("systemd-analyze is missing: apt install systemd")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


def settings() -> dict[str, list[str]]:
    """Read what the unit sets; an option may be given more than once."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_the_daemon_is_exposed_by_no_more_than_promised() -> None:
    """The unit's exposure is rated at 1.5 or less, as DESIGN section 10 promises."""
    told = analyze("security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT))
    assert told.returncode == 0, told.stdout[-400:] + told.stderr


def test_systemd_knows_every_option_of_the_unit() -> None:
    """A misspelt option is ignored by systemd with a word in the journal, and protects nobody."""
    told = analyze("verify", "--man=no", "--recursive-errors=no", str(UNIT))
    assert "Unknown" not in told.stderr
    assert "Failed to parse" not in told.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("LimitCORE", "0"),  # no key in a core file
        ("MemorySwapMax", "0"),  # no key on the swap partition
        ("RuntimeDirectoryMode", "0700"),  # status and roster: for nobody else on the gateway
        ("StateDirectoryMode", "0700"),
        ("UMask", "0077"),
    ],
)
def test_what_the_daemon_knows_stays_with_it(option: str, value: str) -> None:
    """Memory reaches no file, and its folders are readable by its own user alone."""
    assert settings()[option] == [value]


def test_the_daemon_has_no_log_file() -> None:
    """What it says goes to the journal, whose retention is the operator's: no folder is its own."""
    assert settings().keys().isdisjoint({"LogsDirectory", "CacheDirectory", "StandardOutput"})
    assert settings().keys().isdisjoint({"StandardError", "CoredumpFilter"})
