"""Keep the daemon small on a gateway of 1 GB: have glibc give back what a large load has freed.

Reading a roster of 100,000 frees some 10 MB that malloc would otherwise keep, and every thread
would keep a heap of its own. Elsewhere than on glibc nothing happens.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

__all__ = ["give_back", "keep_little"]

# Parameters of mallopt(3).
_M_ARENA_MAX: Final = -8
_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 128 * 1024  # octets; fixed, else it grows with the largest block ever freed


def keep_little() -> None:
    """Share one heap among all threads, and map large blocks; call before there are threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Return freed memory to the kernel (malloc_trim(3))."""
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
