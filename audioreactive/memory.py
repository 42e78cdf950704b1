"""Memory that was needed for a while, given back to the system."""

import ctypes
import platform


def give_back() -> None:
    """Let the C library hand freed memory back, where it can: glibc keeps it scattered among what is still in use."""
    if platform.system() == "Linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # musl has none
            trim(0)
