"""Generator + Latents + Noise -> frames, in batches, in order.

Batches have a fixed size and are anchored at frame 0, the last one padded: a frame's arithmetic is the same wherever
a render starts and whatever its length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from audioreactive.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from stylegan_ops import Generator

Precision = Literal["auto", "fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16", "fp16")

CPU_BATCH = 4
CUDA_BATCH = 8


class LatentSource(Protocol):
    """What the renderer needs of latents."""

    def __len__(self) -> int:
        """Frames."""
        ...

    def frames(self, start: int, stop: int) -> torch.Tensor:
        """(B, L, W); past the end the last frame is held."""
        ...


class NoiseSource(Protocol):
    """What the renderer needs of noise."""

    def frames(self, start: int, stop: int) -> list[torch.Tensor]:
        """(B, 1, h, w) for each noise map; past the end the last frame is held."""
        ...


def choose_device(name: str) -> torch.device:
    """auto: the first GPU if there is one, else the CPU. Raises RenderError where the named one is not at hand."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise RenderError(f"the device {name!r} cannot be used ({reason}); try --device auto or cpu") from None
    return device


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """auto: float16 on an NVIDIA GPU, float32 elsewhere."""
    import torch

    if precision == "auto":
        precision = "fp16" if device.type == "cuda" else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def default_batch(device: torch.device) -> int:
    """Frames in a batch where nobody asks for a number."""
    return CUDA_BATCH if device.type == "cuda" else CPU_BATCH


def render_frames(
    generator: Generator,
    latents: LatentSource,
    noise: NoiseSource,
    *,
    batch: int,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Frames start to stop - 1 as (n, H, W, 3) uint8 RGB, n <= batch; the same pixels whatever the range."""
    stop = len(latents) if stop is None else stop
    for first in range(start - start % batch, stop, batch):
        frames = render_batch(generator, latents, noise, first, batch)
        yield frames[max(start - first, 0) : stop - first]


def render_batch(
    generator: Generator, latents: LatentSource, noise: NoiseSource, first: int, batch: int
) -> NDArray[np.uint8]:
    """(batch, H, W, 3) uint8 RGB: the frames from `first` on; past the end the last one again."""
    import torch

    with torch.inference_mode():
        images = generator.synthesis(latents.frames(first, first + batch), noise.frames(first, first + batch))
        return to_uint8(images).cpu().numpy()


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) nominally in [-1, 1] -> (B, H, W, 3) uint8, clamped, rounded to the nearest level."""
    import torch

    levels = images.float().mul(127.5).add_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
