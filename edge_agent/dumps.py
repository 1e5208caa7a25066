"""No picture of the daemon's memory is ever taken: it holds keys, addresses and who is here.

`LimitCORE=0` in the unit file is not enough: where `core_pattern` names a program
(systemd-coredump, apport) the kernel runs it whatever the limit is, and an agent started by hand
has no unit. A process that is not dumpable (prctl(2), PR_SET_DUMPABLE) leaves no core however it
dies, and no other process of its user may read its memory through /proc or ptrace. Elsewhere than
on Linux there is no such thing, and the limit alone is set.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

__all__ = ["forbid_dumps"]

_PR_SET_DUMPABLE: Final = 4


def forbid_dumps() -> None:
    """Forbid core dumps and the reading of this process's memory; call before keys are read.

    Raises:
        OSError: the kernel refuses; the agent must not run with keys then.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None and prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"core dumps cannot be forbidden: {os.strerror(number)}")
