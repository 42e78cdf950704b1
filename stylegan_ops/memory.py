"""Memory that is kept between pictures instead of being freed.

A network on a CPU asks for the same large blocks again and again. glibc gives every freed block above 32 MiB back to
the system, which hands it out again page by page, each cleared first: for a large batch that costs a third to half of
the time. Compiled kernels work in a `Workspace`; and a program that renders says once that it would rather keep what
it has.
"""

import contextlib
import ctypes
import math
import mmap
import platform
from collections.abc import Sequence

import torch
from torch import Tensor

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`M_TRIM_THRESHOLD`, `M_MMAP_THRESHOLD` of malloc.h."""

_LARGE = (1 << 31) - 1

_HUGE_PAGE = 2 << 20
"""Bytes of a huge page on x86-64 and most ARM systems."""


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


class Workspace:
    """Memory by name, kept for the next request of the same name; for one thread at a time.

    On a GPU PyTorch's own allocator does the keeping: it knows which stream still works in a block, and which blocks
    belong to a CUDA graph.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        self._blocks: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A contiguous tensor with undefined values; the earlier tensor of this name is overwritten."""
        if self._device.type != "cpu":
            return torch.empty(tuple(shape), dtype=dtype, device=self._device)
        size = math.prod(shape) * dtype.itemsize
        block = self._blocks.get(name)
        if block is None or len(block) < size:
            self._blocks.pop(name, None)  # before the larger one is asked for
            block = self._blocks[name] = large_block(size)
        return block[:size].view(dtype).view(*shape)

    def activations(self, name: str, shape: tuple[int, int, int, int], dtype: torch.dtype) -> Tensor:
        """A channels-last tensor (B, C, h, w) with undefined values; see `take`."""
        batch, channels, height, width = shape
        return self.take(name, (batch, height, width, channels), dtype).permute(0, 3, 1, 2)


def moved(values: Tensor, device: torch.device) -> Tensor:
    """Move values to a device in float32. A copy to a GPU does not wait for the work that is queued there."""
    if device.type == "cuda" and values.device.type == "cpu" and not values.is_pinned():
        # CUDA copies from ordinary memory only after the queued work. PyTorch owns the pinned copy and knows when it is
        # free again; pinned memory of the caller is copied at once below, because the caller may write into it.
        with contextlib.suppress(RuntimeError):  # no page-locked memory is left: the copy waits, and is the same
            return values.to(torch.float32).pin_memory().to(device, non_blocking=True)
    return values.to(device, torch.float32)


def large_block(size: int) -> Tensor:
    """Bytes (size,) in huge pages where the system has them: the first touch of 64 MB takes 8 ms instead of 120."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux
    if advice is None or size < 2 * _HUGE_PAGE:
        return torch.empty(size, dtype=torch.uint8)
    block = torch.empty(size + _HUGE_PAGE, dtype=torch.uint8)
    block = block[-block.data_ptr() % _HUGE_PAGE :][:size]
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).madvise(ctypes.c_void_p(block.data_ptr()), ctypes.c_size_t(size), ctypes.c_int(advice))
    return block
