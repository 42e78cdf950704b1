"""Chunks made by several processes of this machine.

Each worker gets the scene once, loads the model once, and asks for one chunk after another. Workers share nothing: if
one dies, its unfinished chunks go to another. Only the main process writes the journal. Each worker has a pipe for
messages; the operating system reports when it ends.

A `WorkerPool` keeps workers, with the network that they loaded, from one film to the next.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Final, Self

from audioreactive._support.interrupts import held_back
from audioreactive.chunks.making import ChunkMaker, available_cores, encoders_at_once
from audioreactive.errors import AudioReactiveError, RenderError
from audioreactive.video.encoder import ending

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from multiprocessing.process import BaseProcess
    from pathlib import Path
    from types import FrameType

    from audioreactive.chunks.plan import Chunk, MadeChunk
    from audioreactive.chunks.scene import Scene
    from audioreactive.generators import Generator as Network
    from audioreactive.progress import Advance, Progress
    from audioreactive.video.chunks import Encoding

MOST_ATTEMPTS: Final = 3
"""Attempts at one chunk. A frame that kills every worker, usually for lack of memory, must not be tried forever."""

MOST_WORKERS: Final = 256
"""Most worker processes of one render."""

_EXIT_SECONDS: Final = 5.0
"""Seconds that a worker has to end by itself before it is killed."""


@dataclass(frozen=True)
class _Ready:
    """A worker has started, or has finished a film, and waits for the next film.

    The film is not an argument of the process: `multiprocessing` sends arguments through a pipe that holds 64 KiB, and
    waits forever if the process is killed before it has read them. So large values are sent when the worker is ready.
    """


@dataclass(frozen=True)
class _WantsChunk:
    """A worker wants a chunk."""


@dataclass(frozen=True)
class _Rendered:
    """A worker has rendered frames, which are on their way to the encoder."""

    frames: int


@dataclass(frozen=True)
class _Failed:
    """A worker cannot go on: an error to show to the user, or None and the traceback of a bug."""

    error: AudioReactiveError | None
    trace: str


@dataclass(frozen=True)
class _Remark:
    """A worker has a message for the user."""

    message: str


@dataclass(eq=False)
class _Worker:
    """State of a worker, as the main process knows it."""

    number: int
    process: BaseProcess
    pipe: Connection[Any, Any]
    gpu: int | None
    """The only GPU that it sees; None: it computes on something else."""
    chunks: dict[int, Chunk] = field(default_factory=dict)
    """Unfinished chunks that were given to it, by index."""
    frames: int = 0
    """Frames of these chunks that it has rendered so far."""
    at_work: bool = False
    """Whether it was told of the current film and has not finished it."""
    dismissed: bool = False
    """Whether it was told that no chunk of the film is left."""

    @property
    def is_idle(self) -> bool:
        """Whether it waits for another film."""
        return self.dismissed and not self.at_work

    def stop(self) -> None:
        """Tell the worker that no chunk and no film is left; terminate it if it is busy and would not read that."""
        if self.chunks or not (self.at_work or self.dismissed):
            self.process.terminate()
        with contextlib.suppress(OSError):
            self.pipe.send(None)
            self.pipe.send(None)

    def join(self) -> None:
        """Wait until the process has ended; kill it after `_EXIT_SECONDS`."""
        self.process.join(_EXIT_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


class WorkerPool:
    """Workers that stay for several films; a context manager that stops them at its end."""

    def __init__(self) -> None:
        self.waiting: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        _stop_all(self.waiting)
        self.waiting = []


@dataclass(frozen=True)
class WorkerExecutor:
    """Processes of this machine that make chunks; see `film.Executor`.

    GPUs are assigned to them in turn, unless the scene names one: `cuda` means all, `cuda:1` means that one. A worker
    sees its own GPU alone, because a context takes half a gigabyte of every GPU that a process sees and touches.
    """

    scene: Scene
    encoding: Encoding
    workers: int
    progress: Progress
    pool: WorkerPool | None = None
    """Pool from which workers are taken and to which they return; None: workers that stop after this film."""

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise RenderError(f"{self.workers} workers were asked for; there can be 1 to {MOST_WORKERS}")

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks in the folder.

        Raises:
            RenderError: a chunk killed its worker `MOST_ATTEMPTS` times.
            AudioReactiveError: a worker failed with this error.
        """
        count = min(self.workers, len(chunks))
        if not count:
            return
        with contextlib.closing(_Dispatcher(self, chunks, folder, count, advance)) as dispatcher:
            yield from dispatcher.results()


class _Dispatcher:
    """Gives chunks to workers and collects the results."""

    def __init__(
        self, executor: WorkerExecutor, chunks: Sequence[Chunk], folder: Path, count: int, advance: Advance
    ) -> None:
        self._executor, self._folder, self._count, self._advance = executor, folder, count, advance
        self._threads = max(available_cores() // count, 1)
        """Threads of PyTorch in each worker; workers from the pool may have had more in the film before."""
        self._todo = deque(chunks)
        self._missing = len(chunks)
        self._attempts: dict[int, int] = {}
        self._deaths_in_a_row = 0
        self._workers: list[_Worker] = []
        self._gpus = gpus_of(executor.scene.device)
        # A fork would inherit threads' locks and a GPU's context, both of no use in a child.
        self._context = multiprocessing.get_context("spawn")

    def results(self) -> Iterator[MadeChunk]:
        """Chunks in the order in which they are finished."""
        for number in range(self._count):
            self._start(number)
        while self._missing:
            ready = set(wait([event for worker in self._workers for event in (worker.pipe, worker.process.sentinel)]))
            for worker in list(self._workers):
                if worker.process.sentinel in ready:
                    yield from self._listen(worker)  # messages that it sent before it ended
                    self._drop(worker)
                elif worker.pipe in ready:
                    yield from self._listen(worker)

    def close(self) -> None:
        """Return idle workers to the pool and stop all others."""
        pool = self._executor.pool
        stay = [worker for worker in self._workers if pool and not self._missing and self._is_idle_soon(worker)]
        if pool:
            pool.waiting += stay
        _stop_all([worker for worker in self._workers if worker not in stay])
        self._workers = []

    def _is_idle_soon(self, worker: _Worker) -> bool:
        """Whether the worker is ready for another film once its remaining messages are read."""
        with contextlib.suppress(EOFError, OSError, AudioReactiveError, RuntimeError):
            while not worker.is_idle and worker.pipe.poll(_EXIT_SECONDS):
                for _ in self._take(worker, worker.pipe.recv()):
                    pass
        return worker.is_idle

    def _start(self, number: int) -> None:
        gpu = self._gpus[number % len(self._gpus)] if self._gpus else None
        waiting = self._executor.pool.waiting if self._executor.pool else []
        if worker := next((one for one in waiting if (one.number, one.gpu) == (number, gpu)), None):
            waiting.remove(worker)
            self._workers.append(worker)
            self._assign(worker)
            return
        with held_back():  # an interrupt before the worker is listed would leave it running forever
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_work, args=(theirs, gpu), name=f"worker {number}", daemon=True)
            process.start()
            theirs.close()
            self._workers.append(_Worker(number, process, ours, gpu))

    def _listen(self, worker: _Worker) -> Iterator[MadeChunk]:
        """Handle all messages that a worker has sent."""
        with contextlib.suppress(EOFError, OSError):
            while worker.pipe.poll():
                yield from self._take(worker, worker.pipe.recv())

    def _take(self, worker: _Worker, message: Any) -> Iterator[MadeChunk]:
        match message:
            case _Ready() if worker.dismissed:
                worker.at_work = False
            case _Ready():
                self._assign(worker)
            case _WantsChunk():
                self._give(worker)
            case _Rendered(frames):
                worker.frames += frames
                self._advance(frames)
            case _Remark(text):
                self._executor.progress.say(text)
            case _Failed(error, trace):
                raise error or RuntimeError(f"worker {worker.number} failed:\n{trace}")
            case made:
                worker.frames -= len(worker.chunks.pop(made.index))
                self._missing -= 1
                self._deaths_in_a_row = 0
                yield made

    def _assign(self, worker: _Worker) -> None:
        """Send the film to a worker."""
        worker.at_work, worker.dismissed = True, False
        self._send(worker, (self._executor.scene, self._executor.encoding, self._folder, self._threads))

    def _give(self, worker: _Worker) -> None:
        """Send the next chunk, or None if there is none."""
        chunk = self._todo.popleft() if self._todo else None
        worker.dismissed = chunk is None
        if chunk is not None:
            worker.chunks[chunk.index] = chunk
        self._send(worker, chunk)

    def _send(self, worker: _Worker, message: object) -> None:
        with contextlib.suppress(OSError):  # it has just died; its sentinel will report that
            worker.pipe.send(message)

    def _drop(self, worker: _Worker) -> None:
        """Remove a worker that has ended; if it died early, start another and give its chunks out again."""
        self._workers.remove(worker)
        worker.process.join()
        worker.pipe.close()
        if worker.dismissed and not worker.chunks:
            return
        how = ending(worker.process.exitcode)
        self._deaths_in_a_row += 1
        for index in worker.chunks:
            self._attempts[index] = self._attempts.get(index, 0) + 1
        tried = max((self._attempts[index] for index in worker.chunks), default=0)
        if tried >= MOST_ATTEMPTS or self._deaths_in_a_row > MOST_ATTEMPTS * self._count:
            raise RenderError(
                f"workers die again and again ({how}); is there too little memory for {self._count} of them? "
                "Take fewer --workers, or a smaller --batch"
            )
        self._executor.progress.say(f"worker {worker.number} died ({how}); another takes its place")
        self._advance(-worker.frames)
        self._todo.extendleft(reversed(worker.chunks.values()))
        self._start(worker.number)


def _stop_all(workers: Sequence[_Worker]) -> None:
    """Stop these workers and wait until they have ended."""
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join()


def gpus_of(device: str) -> list[int]:
    """Numbers of the GPUs that workers share: the one that is named, or all; none for another kind of device."""
    import torch

    if torch.device(device).type != "cuda":
        return []
    _, colon, number = device.partition(":")
    return [int(number)] if colon else list(range(torch.cuda.device_count()))


def see_only(gpu: int) -> None:
    """Hide all GPUs but one from this process, which has not used any so far; it is `cuda` from then on."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    os.environ["CUDA_VISIBLE_DEVICES"] = visible[gpu] if gpu < len(visible) else str(gpu)


def _work(pipe: Connection[Any, Any], gpu: int | None) -> None:
    """Main function of a worker process."""
    if gpu is not None:
        see_only(gpu)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the main process
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from stylegan_ops import keep_freed_memory

        keep_freed_memory()
        _make_films(pipe)
    except (EOFError, BrokenPipeError):
        pass  # the main process is gone
    except Exception as error:
        from stylegan_ops import StyleGANError

        if isinstance(error, StyleGANError):
            error = RenderError(str(error))
        pipe.send(_Failed(error if isinstance(error, AudioReactiveError) else None, traceback.format_exc()))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to clean up


def _make_films(pipe: Connection[Any, Any]) -> None:
    """Make the chunks of one film after another until there are no more films."""
    import torch

    network: Network | None = None
    key: tuple[object, ...] = ()
    while True:
        pipe.send(_Ready())
        job: tuple[Scene, Encoding, Path, int] | None = pipe.recv()
        if job is None:
            return
        scene, encoding, folder, threads = job
        torch.set_num_threads(threads)
        if network is None or key != scene.generator_key():
            own = "cuda" if scene.torch_device.type == "cuda" else None  # the one that this process sees
            network, key = scene.load(device=own), scene.generator_key()
        renderer = scene.renderer_with(network, say=lambda text: pipe.send(_Remark(text)))
        cores = threads if renderer.on_gpu else 1
        encoders = encoders_at_once(cores, on_gpu=renderer.on_gpu, most=encoding.most_at_once)
        maker = ChunkMaker(renderer, encoding, folder, encoders=encoders, say=lambda text: pipe.send(_Remark(text)))
        for made in maker.make(_orders(pipe), lambda frames: pipe.send(_Rendered(frames))):
            pipe.send(made)


def _orders(pipe: Connection[Any, Any]) -> Iterator[Chunk]:
    """Ask the main process for chunks, one at a time, until there are no more."""
    while True:
        pipe.send(_WantsChunk())
        if (chunk := pipe.recv()) is None:
            return
        yield chunk


def _end_with_parent() -> None:
    """End this process when the main process ends; its encoders end when their input closes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _leave(signum: int, frame: FrameType | None) -> None:
    """Exit by an exception, so that `finally` blocks stop the encoders and remove partial files."""
    sys.exit(128 + signum)
