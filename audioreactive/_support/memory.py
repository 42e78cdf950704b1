"""Return freed memory to the operating system."""

from __future__ import annotations

import ctypes
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _malloc_trim() -> Callable[[int], int] | None:
    """Find glibc's `malloc_trim`. Called at import, because the decoder of untrusted files may load no libraries."""
    if platform.system() != "Linux":
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    return found


_TRIM = _malloc_trim()


def give_back() -> None:
    """Return freed memory to the system on glibc, which otherwise keeps free blocks between those still in use."""
    if _TRIM is not None:
        _TRIM(0)
