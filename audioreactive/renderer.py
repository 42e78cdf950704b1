"""Generator + Latents + Noise -> frames, in batches, in order.

Batches have a fixed size and are anchored at frame 0, the last one padded: a frame's arithmetic is the same wherever
a render starts and whatever its length.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, Protocol

from audioreactive.delivery import Delivery, delivery_for
from audioreactive.errors import RenderError, printable, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from audioreactive.video.formats import Layout
    from stylegan_ops import Generator

Precision = Literal["auto", "fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16", "fp16")

CPU_BATCH = 4
CUDA_BATCH = 8
MEMORY_SHARE: Final = 0.25
"""Of all memory, what a batch may take: other programs, the weights and the encoders need theirs."""

WORK_OF_A_THREAD: Final = 5 * 10**8
"""Multiplications of a picture's convolutions for each thread on the CPU: with less, threads wait for one another, and
keep the encoder from its core, for longer than they share the work. Measured on two cores."""

CUDA_LACKS_MEMORY: Final = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


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
    if re.fullmatch(r"cpu(:0)?|(cuda|mps|xpu)(:[0-9]{1,2})?", name) is None:
        raise RenderError(f"the device {shown(name)} cannot be used; try --device auto, cpu, cuda or cuda:1")
    try:
        device = torch.device(name.removesuffix(":0") if name.startswith("cpu") else name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ValueError, AttributeError, ImportError) as error:
        reason = printable(str(error).partition("\n")[0], 300)
        raise RenderError(f"the device {shown(name)} cannot be used ({reason}); try --device auto or cpu") from None
    return device


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """auto: float16 on an NVIDIA GPU, bfloat16 on a CPU that computes in it, float32 elsewhere."""
    import torch

    if precision == "auto":
        precision = "fp16" if device.type == "cuda" else "bf16" if _cpu_has_bf16() else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _cpu_has_bf16() -> bool:
    """Whether the CPU multiplies matrices in bfloat16: by AMX or AVX-512. PyTorch before 2.10 does not tell."""
    import torch

    told: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(told.get("amx_bf16") or told.get("avx512_bf16"))


def default_batch(device: torch.device, generator: Generator | None = None) -> int:
    """Frames in a batch where nobody asks for a number: 4 on a CPU, 8 on a GPU, halved until they fit.

    What fits is reckoned from all the memory there is, not from what happens to be free, and from the model's largest
    activations: a frame's last bits depend on its batch, and the same machine shall give the same video.
    """
    batch = CUDA_BATCH if device.type == "cuda" else CPU_BATCH
    if generator is not None:
        room = total_memory(device) * MEMORY_SHARE
        while batch > 1 and batch * picture_bytes(generator) > room:
            batch //= 2
    return batch


def total_memory(device: torch.device) -> int:
    """Bytes of memory of a GPU, or of the computer."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows does not tell in this way
        return 8 << 30


def picture_bytes(generator: Generator) -> int:
    """About the memory that one picture of a batch takes: four copies of the largest activations, and pictures."""
    architecture = generator.architecture
    pixels = [math.prod(architecture.block_size(resolution)) for resolution in architecture.blocks]
    largest = max(size * channels for size, channels in zip(pixels, architecture.channels, strict=True))
    return 4 * largest * generator.dtype.itemsize + 4 * pixels[-1] * 3 * 4


def useful_threads(generator: Generator) -> int:
    """On how many threads of a CPU the network is faster than on fewer, as far as its size tells; 1 at least."""
    convolutions = generator.architecture.convolutions()
    work = sum(9 * each.in_channels * each.out_channels * math.prod(each.size) for each in convolutions)
    return max(work // WORK_OF_A_THREAD, 1)


class Renderer:
    """Frames of one song, in batches, in whatever order they are asked for: a frame is a function of its index.

    Where memory runs out, a batch is computed in halves from then on: no frame is lost, and none moves by more than a
    level of 255.

    Args:
        generator: the network.
        latents: what it is fed.
        noise: likewise.
        batch: frames in a batch.
        layout: of the pixels that come out; YUV 4:2:0 needs even sides.
        say: told when memory runs out.
        delivery: how pixels come from the device; by default as the device needs it.
    """

    def __init__(
        self,
        generator: Generator,
        latents: LatentSource,
        noise: NoiseSource,
        *,
        batch: int,
        layout: Layout = "rgb24",
        say: Callable[[str], None] | None = None,
        delivery: Delivery | None = None,
    ) -> None:
        from stylegan_ops import GraphSynthesis

        self.batch = batch
        self.layout: Layout = layout
        self.computed_at_once = batch
        """Frames that go through the network together."""
        self._latents, self._noise, self._say = latents, noise, say
        finish = functools.partial(to_pixels, layout=layout, compiled=generator.compiled)
        self._paint = GraphSynthesis(generator, finish)
        self._device = generator.device
        self._threads = useful_threads(generator)
        self._delivery = delivery_for(generator.device) if delivery is None else delivery

    def __len__(self) -> int:
        """Frames of the song."""
        return len(self._latents)

    @property
    def on_gpu(self) -> bool:
        """Whether the computer's cores are free while frames are computed."""
        return self._device.type != "cpu"

    def batches(self, firsts: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(first, pixels of frames first to first + batch - 1) for each of `firsts`, multiples of the batch, in order.

        Past the end the song's last frame is held. The device is given the next batches before the oldest is waited
        for; `firsts` may be lazy, and is asked that far ahead.

        Raises:
            RenderError: not even one frame fits into memory.
        """
        under_way: deque[tuple[int, Callable[[], NDArray[np.uint8]]]] = deque()
        with contextlib.nullcontext() if self.on_gpu else _at_most_threads(self._threads):
            for first in firsts:
                under_way.append((first, self._delivery.send(self._pixels(first))))
                while len(under_way) > self._delivery.lookahead:
                    done, wait = under_way.popleft()
                    yield done, wait()
            for done, wait in under_way:
                yield done, wait()

    def _pixels(self, first: int) -> torch.Tensor:
        """A batch on the device, in parts where memory asks for it."""
        import torch

        while True:
            try:
                with torch.inference_mode():
                    size = self.computed_at_once
                    parts = [self._compute(at, at + size) for at in range(first, first + self.batch, size)]
                    return torch.cat(parts)[: self.batch] if len(parts) > 1 else parts[0]
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                if self.computed_at_once == 1:
                    reason = str(error).partition("\n")[0]
                    raise RenderError(
                        f"there is not enough memory for one frame ({reason}); close other programs, or take a smaller "
                        "--size or --device cpu"
                    ) from error
            self._halve()  # out here: the error holds on to what the batch had got of the memory

    def _compute(self, start: int, stop: int) -> torch.Tensor:
        return self._paint(self._latents.frames(start, stop), self._noise.frames(start, stop))

    def _halve(self) -> None:
        import torch

        self.computed_at_once = -(-self.computed_at_once // 2)
        self._paint.forget()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._say:
            self._say(f"memory ran out: from here on {self.computed_at_once} frames are computed at once")


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
    renderer = Renderer(generator, latents, noise, batch=batch)
    for first, frames in renderer.batches(range(start - start % batch, stop, batch)):
        yield frames[max(start - first, 0) : stop - first]


def to_pixels(images: torch.Tensor, layout: Layout, *, compiled: bool) -> torch.Tensor:
    """(B, 3, H, W) nominally in [-1, 1] -> (B, H, W, 3) uint8, or (B, H · W · 3 / 2) uint8 in YUV 4:2:0."""
    if layout == "rgb24":
        return to_uint8(images)
    from stylegan_ops.ops import rgb_to_yuv420

    return rgb_to_yuv420(images, compiled=compiled)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) nominally in [-1, 1] -> (B, H, W, 3) uint8, clamped, rounded to the nearest level."""
    import torch

    levels = images.float().mul(127.5).add_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@contextlib.contextmanager
def _at_most_threads(count: int) -> Iterator[None]:
    """PyTorch computes with so many, or with fewer where that was said before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _is_out_of_memory(error: Exception) -> bool:
    """PyTorch has a class for it on a GPU; on a CPU, and where one of CUDA's libraries lacks it, it is in the words."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in ("DefaultCPUAllocator", "not enough memory", *CUDA_LACKS_MEMORY))
