"""Frames from a generator and its inputs, in batches.

Batches have a fixed size and start at frame 0; the last one is padded. So a frame is computed the same way wherever a
render starts and however long it is.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from audioreactive._support.threads import at_most_threads
from audioreactive.errors import RenderError
from audioreactive.generators.devices import default_batch, useful_threads
from audioreactive.rendering.delivery import Delivery, delivery_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from audioreactive.generators import Generator, Layout
    from audioreactive.generators.moves import Moves

CUDA_LACKS_MEMORY: Final = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine to execute this computation",  # cuDNN, if no plan of a convolution fits
)
"""Texts in errors of CUDA's libraries that mean too little memory."""


class InputSource(Protocol):
    """Inputs of a generator for each frame, usually a `patches.motion.Inputs`."""

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def frames(
        self, start: int, stop: int
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor]] | tuple[torch.Tensor, Sequence[torch.Tensor], Moves]:
        """Latents (B, L, W), noise maps (B, 1, h, w), and other moves; after the end the last frame is repeated."""
        ...


class Renderer:
    """Renders frames of one song in batches, in any order; a frame depends only on its index.

    If memory runs out, batches are computed in halves from then on. No frame is lost, and no pixel changes by more than
    one level of 255.

    Args:
        generator: makes the pictures, in its own size.
        inputs: inputs of the generator.
        batch: frames in a batch.
        layout: layout of the returned pixels; YUV 4:2:0 needs even sides.
        say: function that is called with a message if memory runs out.
        delivery: transfer of pixels from the device; by default the one that the device needs.
    """

    def __init__(
        self,
        generator: Generator,
        inputs: InputSource,
        *,
        batch: int,
        layout: Layout = "rgb24",
        say: Callable[[str], None] | None = None,
        delivery: Delivery | None = None,
    ) -> None:
        self.batch = batch
        self.layout: Layout = layout
        self.computed_at_once = batch
        """Number of frames that are computed together."""
        self._inputs, self._say = inputs, say
        self._make = generator.frame_function(layout)
        self._device = generator.device
        self._threads = useful_threads(generator.cost)
        self._delivery = delivery_for(generator.device) if delivery is None else delivery
        self._refusals = refused_allocations(generator.device)
        self._warned = False

    def __len__(self) -> int:
        """Number of frames of the song."""
        return len(self._inputs)

    @property
    def on_gpu(self) -> bool:
        """Whether frames are computed on a GPU, so that the processor's cores are free."""
        return self._device.type != "cpu"

    def batches(self, firsts: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (first, pixels of frames first to first + batch - 1) for each of `firsts`, multiples of the batch.

        After the end of the song its last frame is repeated. The next batches are queued on the device before the
        oldest is awaited, so a lazy `firsts` is read ahead by that many.

        Raises:
            RenderError: not even one frame fits into memory.
        """
        under_way: deque[tuple[int, Callable[[], NDArray[np.uint8]]]] = deque()
        with contextlib.nullcontext() if self.on_gpu else at_most_threads(self._threads):
            for first in firsts:
                under_way.append((first, self._delivery.send(self._pixels(first))))
                while len(under_way) > self._delivery.lookahead:
                    done, wait = under_way.popleft()
                    yield done, wait()
            for done, wait in under_way:
                yield done, wait()

    def _pixels(self, first: int) -> torch.Tensor:
        """A batch on the device, computed in parts if memory requires it."""
        import torch

        while True:
            try:
                with torch.inference_mode():
                    size = self.computed_at_once
                    parts = [self._compute(at, at + size) for at in range(first, first + self.batch, size)]
                    pixels = torch.cat(parts)[: self.batch] if len(parts) > 1 else parts[0]
                self._tell_of_other_plans()
                return pixels
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                if self.computed_at_once == 1:
                    reason = str(error).partition("\n")[0]
                    raise RenderError(
                        f"there is not enough memory for one frame ({reason}); close other programs, or take a smaller "
                        "--size or --device cpu"
                    ) from error
            self._halve()  # outside the handler, because the error keeps the memory of the batch alive

    def _tell_of_other_plans(self) -> None:
        """Say so if cuDNN was refused memory and went on in another way, which is remembered for the whole process."""
        refusals = refused_allocations(self._device)
        if refusals > self._refusals and self._say and not self._warned:
            self._warned = True
            self._say(
                "the GPU's memory is nearly full, so a slower way of computing was taken that needs less: the last "
                "bits of the pixels may differ from those of a render with more free memory; close other programs on "
                "the GPU, or take a smaller --batch"
            )
        self._refusals = refusals

    def _compute(self, start: int, stop: int) -> torch.Tensor:
        return self._make(*self._inputs.frames(start, stop))

    def _halve(self) -> None:
        import torch

        self.computed_at_once = -(-self.computed_at_once // 2)
        self._make.release()
        self._refusals = refused_allocations(self._device)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._say:
            self._say(f"memory ran out: from here on {self.computed_at_once} frames are computed at once")


def iter_frames(
    generator: Generator, inputs: InputSource, start: int = 0, stop: int | None = None, *, batch: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield frames start to stop - 1 as (n, h, w, 3) uint8 RGB, n <= batch; pixels do not depend on the range.

    Args:
        generator: makes the pictures, in its own size.
        inputs: inputs of the generator.
        start: first frame.
        stop: one past the last frame; None: to the end.
        batch: frames computed at once; None: a size that suits the generator.
    """
    stop = len(inputs) if stop is None else stop
    batch = default_batch(generator.device, generator.cost) if batch is None else batch
    renderer = Renderer(generator, inputs, batch=batch)
    for first, frames in renderer.batches(range(start - start % batch, stop, batch)):
        yield frames[max(start - first, 0) : stop - first]


def refused_allocations(device: torch.device) -> int:
    """Count the requests for memory that a GPU has refused to PyTorch so far; 0 on other devices.

    cuDNN catches what it is refused, and tries a plan that needs less, so that no error is seen.
    """
    import torch

    if device.type != "cuda":
        return 0
    return int(torch.cuda.memory_stats(device).get("num_ooms", 0))


def _is_out_of_memory(error: Exception) -> bool:
    """Whether an error means too little memory. PyTorch has a class for that only on a GPU; other errors need their
    text.
    """
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in ("DefaultCPUAllocator", "not enough memory", *CUDA_LACKS_MEMORY))
