"""Transfer of finished pixels from the device to main memory, while the device computes the next batch.

Conventions: pixels are (B, H, W, 3) uint8 RGB, or (B, H · W · 3 / 2) uint8 in YUV 4:2:0 (see `video.formats.Layout`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

CUDA_LOOKAHEAD: Final = 2
"""Batches that are queued on a GPU before the oldest is awaited: one being computed, one being copied."""


class Delivery(Protocol):
    """Transfers pixels to main memory."""

    lookahead: int
    """Number of batches that may be in transfer."""

    def send(self, pixels: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        """Start to copy; the returned function waits for the end and returns the copy."""
        ...


class HostDelivery:
    """Transfer of pixels that are already in main memory."""

    lookahead = 0

    def send(self, pixels: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        """Return the pixels without a copy."""
        return pixels.numpy


class CudaDelivery:
    """Transfer through pinned memory on a separate stream, so that the generator's stream never waits for a copy.

    Each batch has its own pinned block from PyTorch's cache. The block returns there when the encoder has released the
    array.
    """

    lookahead = CUDA_LOOKAHEAD

    def __init__(self, device: torch.device) -> None:
        import torch

        self._pinning = True
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(self, pixels: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        """Queue a copy after the work that the generator's stream has so far."""
        import torch

        self._copies.wait_stream(torch.cuda.current_stream(pixels.device))
        with torch.cuda.stream(self._copies):
            copy = self._block(pixels)
            if not copy.is_pinned():
                return pixels.cpu().numpy  # waits for the batch here: slower, and the same pixels
            copy.copy_(pixels, non_blocking=True)
            # Waits without polling, because the encoders need the cores.
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record(self._copies)
        return _Copy(pixels, copy, done).wait

    def _block(self, pixels: torch.Tensor) -> torch.Tensor:
        """Page-locked memory for these pixels; ordinary memory once the system has refused that.

        PyTorch rounds such blocks up to a power of two, so that they may take twice the memory of the pixels.
        """
        import torch

        if self._pinning:
            try:
                return torch.empty(pixels.shape, dtype=pixels.dtype, pin_memory=True)
            except RuntimeError as error:  # of CUDA: "out of memory", whatever it is that lacks
                self._pinning = False
                reason = str(error).partition("\n")[0]
                log.warning("no page-locked memory is left (%s): pixels are copied more slowly from here on", reason)
        return torch.empty(0, dtype=pixels.dtype)


@dataclass(frozen=True)
class _Copy:
    """A copy in progress."""

    pixels: torch.Tensor
    """The source, referenced until the copy is done so that PyTorch does not reuse its memory."""
    copy: torch.Tensor
    done: torch.cuda.Event

    def wait(self) -> NDArray[np.uint8]:
        self.done.synchronize()
        return self.copy.numpy()


def delivery_for(device: torch.device) -> Delivery:
    """The kind of transfer that this device needs."""
    return CudaDelivery(device) if device.type == "cuda" else HostDelivery()
