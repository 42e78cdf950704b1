"""Synthesis as one launch: a CUDA graph for each shape of batch.

A batch is some 70 operations. Started one by one from Python they take longer to start than a GPU takes to run them at
low resolutions and small batches; recorded once, they start together. Noise maps that are made for each batch take some
hundred more, and are recorded too.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from stylegan_ops.checkpoint import AnyGenerator
from stylegan_ops.deferred import Deferred, Maker
from stylegan_ops.errors import StyleGANError
from stylegan_ops.generator import Noise
from stylegan_ops.memory import moved
from stylegan_ops.stylegan3.generator import AliasFreeGenerator

log = logging.getLogger(__name__)

MOST_GRAPHS = 4
"""Most graphs that are kept. Each keeps the memory of its batch, 3 GB for 8 pictures of 1024²; a video needs one."""

MOST_MAKERS = 32
"""Most recorded ways to make the noise of a batch, which differ by what moves in it; they share its graph's memory."""

MOST_SEEN = 256
"""Most things that are remembered for having come once."""

WARM_UPS = 2
"""Runs before a graph is recorded, in which cuDNN and cuBLAS choose algorithms and allocate memory."""

CLEANS_UP_FROM = (2, 12)
"""First version of PyTorch whose allocator knows when a recording has failed. In an earlier one it stays as during a
recording: it gives no memory back, and does not try again where memory runs out."""

_one_at_a_time = threading.Lock()
"""Held while something is recorded: PyTorch allows one recording in a process."""

_failed = threading.Event()
"""Set when a recording has failed in this process, and PyTorch does not clean up."""


Result = TypeVar("Result")


@dataclass(frozen=True)
class _Making:
    """A recorded way to make noise maps, which it leaves in the memory of a `_Graph`."""

    graph: torch.cuda.CUDAGraph
    tables: Tensor


@dataclass(frozen=True)
class _Graph:
    """A recorded batch, and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    pool: Any
    """Where its intermediate results lie, none of which is needed between two replays."""
    ws: Tensor
    noise: list[Tensor]
    transform: Tensor | None
    """Matrices that move a StyleGAN3's plane."""
    found: Tensor
    makings: dict[Maker, _Making | None] = field(default_factory=dict)
    """Recorded ways to make the noise; None: one that cannot be recorded."""


class GraphSynthesis:
    """`Generator.synthesis`, and what is done with the pictures, as a CUDA graph.

    A renderer calls it in place of `generator.synthesis`, on the thread and the stream on which it would call that:

        synthesise = GraphSynthesis(generator)
        for first in range(0, frames, batch):
            pictures = synthesise(latents.frames(first, first + batch), noise.frames(first, first + batch))

    and where frames leave the GPU as YUV, the conversion is recorded too, and the pictures themselves are never copied:

        synthesise = GraphSynthesis(generator, functools.partial(ops.rgb_to_yuv420, compiled=generator.compiled))

    The first batch of a shape is computed as ever, the second recorded, and from there on all are replayed; the pixels
    are the same. Noise that is given as `Deferred` is made by a second graph, of which there may be several, for what
    moves in one batch and not in another. Inputs are copied into the graph's memory and the result out of it: both
    belong to the caller. What cannot be recorded (no GPU, more than `MOST_GRAPHS` shapes, too little memory, an
    operation that CUDA does not record) is computed as ever, and the log says why at level DEBUG. For one thread at a
    time.
    """

    def __init__(self, generator: AnyGenerator, then: Callable[[Tensor], Tensor] | None = None) -> None:
        """Record nothing yet.

        Args:
            generator: what to call.
            then: what is done with its pictures (B, 3, H, W): in PyTorch's operations alone, none of which waits for
                the GPU or takes values from the computer's memory.
        """
        self._generator = generator
        self._then = then
        self._seen: set[object] = set()
        self._graphs: dict[object, _Graph | None] = {}
        self._side: torch.cuda.Stream | None = None
        """Stream on which a batch runs before it is recorded; one for all, because cuBLAS keeps memory for each."""
        self._said = False

    @torch.no_grad()
    def __call__(self, ws: Tensor, noise: Noise = "const", *, transform: Tensor | None = None) -> Tensor:
        """As `Generator.synthesis`; or what `then` makes of it. Only a StyleGAN3 takes a transform."""
        if not _on_gpu(self._generator):
            self._say_once("the generator is not on a GPU")
            return self._compute(ws, noise, transform)
        moved_by = None if transform is None else transform.shape
        shape = (ws.shape, noise if isinstance(noise, str) else _shapes_of(noise), moved_by)
        if shape not in self._graphs and shape not in self._seen:  # what does not come again is not worth recording
            found = self._compute(ws, noise, transform)  # a wrong shape is told here
            self._remember(shape)
            if isinstance(noise, Deferred):
                self._remember(noise.make)
            return found
        if shape not in self._graphs and len(self._graphs) < MOST_GRAPHS and not _failed.is_set():
            self._graphs[shape] = self._record(ws, noise, transform)
        graph = self._graphs.get(shape)
        if graph is None:
            self._say_once(
                "an earlier recording failed" if _failed.is_set() else f"there are {MOST_GRAPHS} graphs already"
            )
            return self._compute(ws, noise, transform)
        graph.ws.copy_(moved(ws, graph.ws.device))
        if not isinstance(noise, str):
            self._bring(graph, noise)
        if graph.transform is not None and transform is not None:
            graph.transform.copy_(moved(transform, graph.transform.device))
        graph.graph.replay()
        return graph.found.clone()

    def forget(self) -> None:
        """Drop all graphs and their memory."""
        if any(self._graphs.values()):
            torch.cuda.synchronize(self._generator.device)  # the last of them may still run
        self._graphs.clear()
        self._seen.clear()

    def _compute(self, ws: Tensor, noise: Noise, transform: Tensor | None = None) -> Tensor:
        if transform is None:
            pictures = self._generator.synthesis(ws, noise)
        elif isinstance(self._generator, AliasFreeGenerator):
            pictures = self._generator.synthesis(ws, noise, transform=transform)
        else:
            raise StyleGANError("a transform was given, and this network has no plane that it could move")
        return pictures if self._then is None else self._then(pictures)

    def _remember(self, key: object) -> None:
        if len(self._seen) >= MOST_SEEN:
            self._seen.clear()
        self._seen.add(key)

    def _bring(self, graph: _Graph, noise: Sequence[Tensor]) -> None:
        """Fill a graph's memory for noise maps; a way to make them is recorded when it comes for the second time."""
        if isinstance(noise, Deferred):
            making = self._making(graph, noise)
            if making is not None:
                making.tables.copy_(moved(noise.tables, making.tables.device))
                making.graph.replay()
                return
            self._remember(noise.make)
        torch._foreach_copy_(graph.noise, [moved(given, graph.ws.device) for given in noise])

    def _making(self, graph: _Graph, noise: Deferred) -> _Making | None:
        if noise.make not in graph.makings:
            if noise.make not in self._seen or len(graph.makings) >= MOST_MAKERS or _failed.is_set():
                return None
            graph.makings[noise.make] = self._record_making(graph, noise)
        return graph.makings[noise.make]

    def _record(self, ws: Tensor, noise: Noise, transform: Tensor | None) -> _Graph | None:
        maps = [] if isinstance(noise, str) else list(noise)
        matrices = [] if transform is None else [transform]
        pool, last = torch.cuda.graph_pool_handle(), 1 + len(maps)

        def compute(own: list[Tensor]) -> Tensor:
            own_noise = noise if isinstance(noise, str) else own[1:last]
            return self._compute(own[0], own_noise, own[last] if matrices else None)

        recorded = self._recorded([ws, *maps, *matrices], compute, pool)
        if recorded is None:
            return None
        graph, own, found = recorded
        return _Graph(graph, pool, own[0], own[1:last], own[last] if matrices else None, found)

    def _record_making(self, graph: _Graph, noise: Deferred) -> _Making | None:
        def make(own: list[Tensor]) -> None:
            torch._foreach_copy_(graph.noise, noise.make(own[0]))

        recorded = self._recorded([noise.tables], make, graph.pool)
        return None if recorded is None else _Making(recorded[0], recorded[1][0])

    @torch.inference_mode(False)  # what is recorded in that mode could not be replayed outside of it
    @torch.no_grad()
    def _recorded(
        self, inputs: Sequence[Tensor], compute: Callable[[list[Tensor]], Result], pool: Any
    ) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Result] | None:
        """Record a computation: the graph, its own memory for the inputs, and its result; None if it cannot be done."""
        device = self._generator.device
        self._side = stream = self._side or torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        recording = False
        try:
            own = [given.to(device, torch.float32, copy=True) for given in inputs]
            stream.wait_stream(torch.cuda.current_stream(device))
            graph = torch.cuda.CUDAGraph()
            # This brings the caller's stream back where recording fails; `torch.cuda.graph` alone does not.
            with _one_at_a_time, torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    compute(own)
                # Other threads may go on using CUDA in the meantime.
                recording = True
                with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                    found = compute(own)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            if recording and not _pytorch_cleans_up():
                _end_recording(device, pool, reason)
            self._say_once(reason)
            torch.cuda.synchronize(device)  # the stream may still read what is given back now
            return None
        torch.cuda.current_stream(device).wait_stream(stream)
        return graph, own, found

    def _say_once(self, reason: str) -> None:
        if not self._said:
            log.debug("synthesis is not recorded as a CUDA graph: %s", reason)
        self._said = True


def _pytorch_cleans_up() -> bool:
    """Whether this version of PyTorch brings its allocator back to normal after a recording that failed."""
    major, minor = torch.__version__.split(".")[:2]
    return (int(major), int(minor)) >= CLEANS_UP_FROM


def _end_recording(device: torch.device, pool: object, reason: str) -> None:
    """Tell the allocator that the recording is over, which PyTorch forgets; and record nothing more in this process."""
    with contextlib.suppress(AttributeError, RuntimeError, TypeError):
        index = torch.cuda.current_device() if device.index is None else device.index
        torch._C._cuda_endAllocateToPool(index, pool)  # type: ignore[arg-type]
    if not _failed.is_set():
        log.warning(
            "a CUDA graph could not be recorded (%s), after which PyTorch before %d.%d should record no other: batches "
            "are started kernel by kernel from here on, which is slower below 256 × 256",
            reason,
            *CLEANS_UP_FROM,
        )
    _failed.set()


def _shapes_of(noise: Sequence[Tensor]) -> tuple[tuple[int, ...], ...]:
    """Shapes of noise maps, none of which is made for that."""
    return noise.shapes if isinstance(noise, Deferred) else tuple(tuple(values.shape) for values in noise)


def _on_gpu(generator: AnyGenerator) -> bool:
    return generator.device.type == "cuda"
