"""The unit file, judged by systemd's own analysis, without booting anything."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "systemd" / "edge-agent.service"


def test_the_daemon_is_exposed_by_no_more_than_promised() -> None:
    """The unit's exposure is rated at 1.5 or less, as DESIGN section 10 promises."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.fail("systemd-analyze is missing: apt install systemd")
    told = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-400:] + told.stderr
