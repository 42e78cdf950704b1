"""Memory that the C library keeps between two pictures instead of giving it back.

A network on a CPU asks for the same large blocks again and again. glibc gives every freed block above 32 MiB back to
the system, which hands it out again page by page, each cleared first: for a large batch that costs a third to half of
the time. A program that renders says once that it would rather keep what it has.
"""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`M_TRIM_THRESHOLD`, `M_MMAP_THRESHOLD` of malloc.h."""

_LARGE = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Let this process keep freed blocks of any size for its next request; for programs, at their start.

    Returns:
        Whether the C library took it: glibc does, others need no such thing or do not offer it.
    """
    if platform.system() != "Linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return all(mallopt(ctypes.c_int(option), ctypes.c_int(_LARGE)) for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
