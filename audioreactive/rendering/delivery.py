"""Finished pixels, from the device to the computer's memory, while the device goes on.

Conventions: pixels are (B, H, W, 3) uint8 RGB, or (B, H · W · 3 / 2) uint8 in YUV 4:2:0 (see `video.formats.Layout`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

CUDA_LOOKAHEAD: Final = 2
"""Batches that a GPU has been given before the oldest is waited for: one being computed, one being copied."""


class Delivery(Protocol):
    """How pixels come to the computer's memory."""

    lookahead: int
    """Batches that may be under way."""

    def send(self, pixels: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        """Begin to copy; what is returned waits for the end and gives the copy."""
        ...


class HostDelivery:
    """For pixels that are in the computer's memory already."""

    lookahead = 0

    def send(self, pixels: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        """They are there."""
        return pixels.numpy


class CudaDelivery:
    """Through pinned memory, on a stream of its own: the generator's stream never waits for a copy.

    Each batch has a pinned block of its own, out of PyTorch's cache of them, to which it goes back when the encoder
    has let go of the array.
    """

    lookahead = CUDA_LOOKAHEAD

    def __init__(self, device: torch.device) -> None:
        import torch

        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(self, pixels: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        """Copy behind what the generator's stream has been given so far."""
        import torch

        self._copies.wait_stream(torch.cuda.current_stream(pixels.device))
        with torch.cuda.stream(self._copies):
            copy = torch.empty(pixels.shape, dtype=pixels.dtype, pin_memory=True)
            copy.copy_(pixels, non_blocking=True)
            # Waits asleep: the cores are for the encoders.
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record(self._copies)
        return _Copy(pixels, copy, done).wait


@dataclass(frozen=True)
class _Copy:
    """A copy under way."""

    pixels: torch.Tensor
    """Held until they are read: their block must not be given to another tensor before."""
    copy: torch.Tensor
    done: torch.cuda.Event

    def wait(self) -> NDArray[np.uint8]:
        self.done.synchronize()
        return self.copy.numpy()


def delivery_for(device: torch.device) -> Delivery:
    """The way from this device."""
    return CudaDelivery(device) if device.type == "cuda" else HostDelivery()
