"""Chunks made by several processes of this machine.

Each worker gets the scene once, loads the model once, and asks for one chunk after the other. It shares nothing
with the others: a worker that dies costs the chunks in its hands, which another gets. The main process alone writes
the journal. Messages go over one pipe for each worker; the operating system tells of deaths.

A `Staff` keeps workers from one film to the next, with the network that they have.
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

    from audioreactive.chunks.making import MadeChunk
    from audioreactive.chunks.plan import Chunk
    from audioreactive.chunks.scene import Scene
    from audioreactive.generators import Generator as Network
    from audioreactive.progress import Advance, Progress
    from audioreactive.video.chunks import Encoding

MOST_ATTEMPTS: Final = 3
"""At one chunk: a frame that kills every worker (too little memory, as a rule) shall not be tried for ever."""

MOST_WORKERS: Final = 256

_GOODBYE: Final = 5.0
"""Seconds that workers have to leave, before they are made to."""


@dataclass(frozen=True)
class _Arrived:
    """A worker is awake, or done with a film, and wants to know what it is all about.

    What goes to a process at its start goes through a pipe that holds 64 KiB, and if the process is killed before it
    has read that, `multiprocessing` waits for ever. So all that is large is sent when the worker listens.
    """


@dataclass(frozen=True)
class _Asks:
    """A worker wants a chunk."""


@dataclass(frozen=True)
class _Rendered:
    """Frames of a chunk are on their way to the encoder."""

    frames: int


@dataclass(frozen=True)
class _Failed:
    """A worker cannot go on: the sentence for a person, or the trace of our own mistake."""

    error: AudioReactiveError | None
    trace: str


@dataclass(frozen=True)
class _Says:
    """A remark for a person."""

    message: str


@dataclass(eq=False)
class _Worker:
    """What the main process knows of a worker."""

    number: int
    process: BaseProcess
    pipe: Connection[Any, Any]
    chunks: dict[int, Chunk] = field(default_factory=dict)
    """In its hands, by index."""
    frames: int = 0
    """Of those, rendered."""
    at_work: bool = False
    """Knows what it is all about."""
    dismissed: bool = False
    """Told that no chunk is left."""

    @property
    def is_idle(self) -> bool:
        """Waits for another film."""
        return self.dismissed and not self.at_work

    def let_go(self) -> None:
        """Say that nothing is left to do, neither chunk nor film; make it stop where it would not hear that."""
        if self.chunks or not (self.at_work or self.dismissed):
            self.process.terminate()
        with contextlib.suppress(OSError):
            self.pipe.send(None)
            self.pipe.send(None)

    def see_off(self) -> None:
        """Wait until it is gone, by force if need be."""
        self.process.join(_GOODBYE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


class Staff:
    """Workers who stay for several films; a context manager, which sees them off in the end."""

    def __init__(self) -> None:
        self.waiting: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        _part_from(self.waiting)
        self.waiting = []


@dataclass(frozen=True)
class WorkerCrew:
    """So many processes of this machine; see `film.Crew`. On GPUs they take turns, each gets one."""

    scene: Scene
    encoding: Encoding
    workers: int
    progress: Progress
    staff: Staff | None = None
    """Where workers come from, and where they go; None: they are new, and leave."""

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise RenderError(f"{self.workers} workers were asked for; there can be 1 to {MOST_WORKERS}")

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks in the folder.

        Raises:
            RenderError: a chunk killed its worker time and again.
            AudioReactiveError: what a worker could not go on for.
        """
        count = min(self.workers, len(chunks))
        if not count:
            return
        with contextlib.closing(_Office(self, chunks, folder, count, advance)) as office:
            yield from office.results()


class _Office:
    """Hands out chunks, and takes in what comes back."""

    def __init__(self, crew: WorkerCrew, chunks: Sequence[Chunk], folder: Path, count: int, advance: Advance) -> None:
        self._crew, self._folder, self._count, self._advance = crew, folder, count, advance
        self._threads = max(available_cores() // count, 1)
        """Of each worker: those who stay from a film with fewer workers get fewer now."""
        self._todo = deque(chunks)
        self._missing = len(chunks)
        self._attempts: dict[int, int] = {}
        self._deaths_in_a_row = 0
        self._workers: list[_Worker] = []
        # A fork would inherit threads' locks and a GPU's context, both of no use in a child.
        self._context = multiprocessing.get_context("spawn")

    def results(self) -> Iterator[MadeChunk]:
        """Chunks as they come in, until there are all."""
        for number in range(self._count):
            self._hire(number)
        while self._missing:
            ready = set(wait([event for worker in self._workers for event in (worker.pipe, worker.process.sentinel)]))
            for worker in list(self._workers):
                if worker.process.sentinel in ready:
                    yield from self._listen(worker)  # what it said before
                    self._part_with(worker)
                elif worker.pipe in ready:
                    yield from self._listen(worker)

    def close(self) -> None:
        """Leave no worker, but those that the staff keeps."""
        staff = self._crew.staff
        stay = [worker for worker in self._workers if staff and not self._missing and self._is_idle_soon(worker)]
        if staff:
            staff.waiting += stay
        _part_from([worker for worker in self._workers if worker not in stay])
        self._workers = []

    def _is_idle_soon(self, worker: _Worker) -> bool:
        """Whether a worker comes to wait for the next film, when it is told that nothing is left of this one."""
        with contextlib.suppress(EOFError, OSError, AudioReactiveError, RuntimeError):
            while not worker.is_idle and worker.pipe.poll(_GOODBYE):
                for _ in self._take(worker, worker.pipe.recv()):
                    pass
        return worker.is_idle

    def _hire(self, number: int) -> None:
        waiting = self._crew.staff.waiting if self._crew.staff else []
        if worker := next((worker for worker in waiting if worker.number == number), None):
            waiting.remove(worker)
            self._workers.append(worker)
            self._employ(worker)
            return
        with held_back():  # a worker that nobody knew of would wait for ever
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_work, args=(theirs, number), name=f"worker {number}", daemon=True)
            process.start()
            theirs.close()
            self._workers.append(_Worker(number, process, ours))

    def _listen(self, worker: _Worker) -> Iterator[MadeChunk]:
        """All that a worker has said."""
        with contextlib.suppress(EOFError, OSError):
            while worker.pipe.poll():
                yield from self._take(worker, worker.pipe.recv())

    def _take(self, worker: _Worker, message: Any) -> Iterator[MadeChunk]:
        match message:
            case _Arrived() if worker.dismissed:
                worker.at_work = False
            case _Arrived():
                self._employ(worker)
            case _Asks():
                self._give(worker)
            case _Rendered(frames):
                worker.frames += frames
                self._advance(frames)
            case _Says(text):
                self._crew.progress.say(text)
            case _Failed(error, trace):
                raise error or RuntimeError(f"worker {worker.number} failed:\n{trace}")
            case made:
                worker.frames -= len(worker.chunks.pop(made.index))
                self._missing -= 1
                self._deaths_in_a_row = 0
                yield made

    def _employ(self, worker: _Worker) -> None:
        """Tell a worker what the film is."""
        worker.at_work, worker.dismissed = True, False
        self._send(worker, (self._crew.scene, self._crew.encoding, self._folder, self._threads))

    def _give(self, worker: _Worker) -> None:
        """The next chunk, or word that there is none."""
        chunk = self._todo.popleft() if self._todo else None
        worker.dismissed = chunk is None
        if chunk is not None:
            worker.chunks[chunk.index] = chunk
        self._send(worker, chunk)

    def _send(self, worker: _Worker, message: object) -> None:
        with contextlib.suppress(OSError):  # it has just died: its end is about to be heard of
            worker.pipe.send(message)

    def _part_with(self, worker: _Worker) -> None:
        """A worker has gone: because there is nothing left to do, or another takes its place and its chunks."""
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
        self._crew.progress.say(f"worker {worker.number} died ({how}); another takes its place")
        self._advance(-worker.frames)
        self._todo.extendleft(reversed(worker.chunks.values()))
        self._hire(worker.number)


def _part_from(workers: Sequence[_Worker]) -> None:
    """Leave none of them."""
    for worker in workers:
        worker.let_go()
    for worker in workers:
        worker.see_off()


def _work(pipe: Connection[Any, Any], number: int) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the main process
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from stylegan_ops import keep_freed_memory

        keep_freed_memory()
        _make_films(pipe, number)
    except (EOFError, BrokenPipeError):
        pass  # the main process is gone
    except Exception as error:
        from stylegan_ops import StyleGANError

        if isinstance(error, StyleGANError):
            error = RenderError(str(error))
        pipe.send(_Failed(error if isinstance(error, AudioReactiveError) else None, traceback.format_exc()))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # there is nothing left that must be put away


def _make_films(pipe: Connection[Any, Any], number: int) -> None:
    """Chunks of one film after the other, until there are no more."""
    import torch

    network: Network | None = None
    key: tuple[object, ...] = ()
    while True:
        pipe.send(_Arrived())
        job: tuple[Scene, Encoding, Path, int] | None = pipe.recv()
        if job is None:
            return
        scene, encoding, folder, threads = job
        torch.set_num_threads(threads)
        if network is None or key != scene.generator_key():
            network, key = scene.load(device=_device(scene.device, number)), scene.generator_key()
        renderer = scene.renderer_with(network, say=lambda text: pipe.send(_Says(text)))
        cores = threads if renderer.on_gpu else 1
        maker = ChunkMaker(renderer, encoding, folder, encoders=encoders_at_once(cores, on_gpu=renderer.on_gpu))
        for made in maker.make(_orders(pipe), lambda frames: pipe.send(_Rendered(frames))):
            pipe.send(made)


def _orders(pipe: Connection[Any, Any]) -> Iterator[Chunk]:
    """Chunks as the main process hands them out, one when it is asked for, until there are no more."""
    while True:
        pipe.send(_Asks())
        if (chunk := pipe.recv()) is None:
            return
        yield chunk


def _device(device: str, number: int) -> str:
    """The worker's own of the machine's GPUs."""
    import torch

    if torch.device(device).type != "cuda":
        return device
    return f"cuda:{number % torch.cuda.device_count()}"


def _end_with_parent() -> None:
    """A worker whose main process was killed would render on for nobody; its encoder ends when its input does."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _leave(signum: int, frame: FrameType | None) -> None:
    """Through the doors that leave no encoder and no half file behind."""
    sys.exit(128 + signum)
