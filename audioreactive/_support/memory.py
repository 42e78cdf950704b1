"""Memory that was needed for a while, given back to the system."""

from __future__ import annotations

import ctypes
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _malloc_trim() -> Callable[[int], int] | None:
    """Of the C library, found once and when this is imported: what reads a stranger's file loads nothing meanwhile."""
    if platform.system() != "Linux":
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    return found


_TRIM = _malloc_trim()


def give_back() -> None:
    """Let the C library hand freed memory back, where it can: glibc keeps it scattered among what is still in use."""
    if _TRIM is not None:
        _TRIM(0)
