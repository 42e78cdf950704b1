"""Generator + Inputs -> frames, in batches, in order.

Batches have a fixed size and are anchored at frame 0, the last one padded: a frame's arithmetic is the same wherever
a render starts and whatever its length.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from audioreactive.errors import RenderError
from audioreactive.generators.devices import default_batch, useful_threads
from audioreactive.rendering.delivery import Delivery, delivery_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from audioreactive.generators import Generator, Layout

CUDA_LACKS_MEMORY: Final = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


class InputSource(Protocol):
    """What a generator is fed, frame by frame: `patches.motion.Inputs`, as a rule."""

    def __len__(self) -> int:
        """Frames."""
        ...

    def frames(self, start: int, stop: int) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        """Latents (B, L, W), and (B, 1, h, w) for each noise map; past the end the last frame is held."""
        ...


class Renderer:
    """Frames of one song, in batches, in whatever order they are asked for: a frame is a function of its index.

    Where memory runs out, a batch is computed in halves from then on: no frame is lost, and none moves by more than a
    level of 255.

    Args:
        generator: makes the pictures, in the size of its own.
        inputs: what it is fed.
        batch: frames in a batch.
        layout: of the pixels that come out; YUV 4:2:0 needs even sides.
        say: told when memory runs out.
        delivery: how pixels come from the device; by default as the device needs it.
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
        """Frames that are computed together."""
        self._inputs, self._say = inputs, say
        self._make = generator.frame_function(layout)
        self._device = generator.device
        self._threads = useful_threads(generator.cost)
        self._delivery = delivery_for(generator.device) if delivery is None else delivery

    def __len__(self) -> int:
        """Frames of the song."""
        return len(self._inputs)

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
        return self._make(*self._inputs.frames(start, stop))

    def _halve(self) -> None:
        import torch

        self.computed_at_once = -(-self.computed_at_once // 2)
        self._make.release()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._say:
            self._say(f"memory ran out: from here on {self.computed_at_once} frames are computed at once")


def iter_frames(
    generator: Generator, inputs: InputSource, start: int = 0, stop: int | None = None, *, batch: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Frames start to stop - 1 as (n, h, w, 3) uint8 RGB, n <= batch; the same pixels whatever the range.

    Args:
        generator: makes the pictures, in the size of its own.
        inputs: what it is fed.
        start: first frame.
        stop: one past the last; None: to the end.
        batch: frames computed at once; None: what suits the generator.
    """
    stop = len(inputs) if stop is None else stop
    batch = default_batch(generator.device, generator.cost) if batch is None else batch
    renderer = Renderer(generator, inputs, batch=batch)
    for first, frames in renderer.batches(range(start - start % batch, stop, batch)):
        yield frames[max(start - first, 0) : stop - first]


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
