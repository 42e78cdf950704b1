"""Chunks made by many machines, through Ray (https://docs.ray.io), which does the scheduling and the repeating.

The scene, with the model's file inside, is put into Ray's object store once; Ray brings it to each node once. A task
makes one chunk and returns its file, a few megabytes; a process that has made one keeps the network for the next. Tasks
of a node that dies are run again elsewhere by Ray. Only the main process touches the work folder: nodes need not share
a disk.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import secrets
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audioreactive.chunks.making import ChunkMaker, MadeChunk, encoders_at_once
from audioreactive.chunks.workers import MOST_ATTEMPTS
from audioreactive.errors import AudioReactiveError, RenderError
from audioreactive.video.chunks import ENCODER_THREADS

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from audioreactive.chunks.plan import Chunk
    from audioreactive.chunks.scene import Scene
    from audioreactive.progress import Advance
    from audioreactive.rendering.renderer import Renderer
    from audioreactive.video.chunks import Encoding

_AHEAD: Final = 3
"""Tasks that are handed to Ray for each that can run: enough that no node waits, few enough that results do not pile
up."""


@dataclass(frozen=True)
class RayCrew:
    """A Ray cluster; see `film.Crew`."""

    scene: Scene
    encoding: Encoding
    address: str
    """auto, the cluster that this machine belongs to; or ray://host:port."""

    def __post_init__(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise RenderError("--cluster needs Ray: pip install 'audioreactive[cluster]', here and on every node")

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks, and bring them into the folder.

        Raises:
            RenderError: no cluster answers, or a task failed for good.
        """
        if not chunks:
            return
        import ray

        ours = not ray.is_initialized()
        try:
            if ours:
                ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise RenderError(
                f"no Ray cluster answers at {self.address!r} ({reason}); start one with `ray start --head`, "
                "or render with --workers"
            ) from None
        try:
            yield from self._results(chunks, folder, advance)
        finally:
            if ours:
                ray.shutdown()

    def _results(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        import ray

        cpus, gpus = self._share()
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=MOST_ATTEMPTS)(_make_chunk)
        # In a list, a reference is not resolved before the task begins, but by the task, where it is news.
        scene = [ray.put(replace(self.scene, source=self.scene.source.carried()))]
        key, waiting = secrets.token_hex(8), list(reversed(chunks))
        running: dict[Any, Chunk] = {}
        try:
            while waiting or running:
                while waiting and len(running) < _AHEAD * _slots(cpus, gpus):
                    chunk = waiting.pop()
                    running[task.remote(key, scene, self.encoding, chunk, cpus)] = chunk
                (done, *_), _ = ray.wait(list(running), num_returns=1)
                chunk = running.pop(done)
                made, content = _result(done)
                _keep(made, content, folder)
                advance(len(chunk))
                yield made
        finally:
            for left in running:
                ray.cancel(left, force=True)

    def _share(self) -> tuple[int, int]:
        """(processors, GPUs) of a task: what an encoder is busy with, and the network's GPU where it has one."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if self.scene.torch_device.type != "cuda":
            most = max((int(node.get("CPU", 0)) for node in nodes), default=1)
            return max(min(ENCODER_THREADS, most), 1), 0
        with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
        if not with_gpu:
            raise RenderError("the cluster has no GPU, and the render is for one; give --device cpu")
        return max(min(int(node.get("CPU", 1) // node["GPU"]) for node in with_gpu), 1), 1


def _slots(cpus: int, gpus: int) -> int:
    """Tasks that can run at once, on the nodes that are there now."""
    import ray

    there = ray.cluster_resources()
    by_cpu = int(there.get("CPU", 0)) // cpus
    return max(min(by_cpu, int(there.get("GPU", 0)) // gpus) if gpus else by_cpu, 1)


def _result(done: Any) -> tuple[MadeChunk, bytes]:
    import ray

    try:
        made, content = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, AudioReactiveError):
            raise RenderError(str(error.cause)) from None
        raise RenderError(f"a worker of the cluster failed: {error.cause!r}") from error
    except ray.exceptions.RayError as error:
        reason = str(error).partition("\n")[0]
        raise RenderError(f"the cluster could not make a chunk in {MOST_ATTEMPTS + 1} attempts: {reason}") from error
    return made, content


def _keep(made: MadeChunk, content: bytes, folder: Path) -> None:
    """A chunk that came over the network: checked, on the disk, under its name."""
    if hashlib.sha256(content).hexdigest() != made.sha256:
        raise RenderError(f"chunk {made.index} was damaged on its way from the cluster; try again")
    partial = folder / f"{made.name}.partial-{secrets.token_hex(4)}"
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / made.name)


_renderers: dict[str, Renderer] = {}
"""In a process of a node: the renderer of the render that it last worked for."""


def _make_chunk(key: str, scene: list[Any], encoding: Encoding, chunk: Chunk, cpus: int) -> tuple[MadeChunk, bytes]:
    """A chunk and the content of its file, made in a process of some node."""
    if key not in _renderers:
        import ray
        import torch

        from stylegan_ops import keep_freed_memory

        torch.set_num_threads(cpus)
        keep_freed_memory()
        _renderers.clear()
        _renderers[key] = _open(ray.get(scene[0]))
    renderer = _renderers[key]
    encoders = encoders_at_once(cpus, on_gpu=renderer.on_gpu)
    with tempfile.TemporaryDirectory(prefix="audioreactive-") as name:
        folder = Path(name)
        (made,) = ChunkMaker(renderer, encoding, folder, encoders=encoders).make([chunk], lambda frames: None)
        return made, (folder / made.name).read_bytes()


def _open(scene: Scene) -> Renderer:
    """The renderer, on the GPU that Ray has given to this process where there is one."""
    from stylegan_ops import StyleGANError

    try:
        return scene.renderer(device="cuda" if scene.torch_device.type == "cuda" else None)
    except StyleGANError as error:
        raise RenderError(str(error)) from None
