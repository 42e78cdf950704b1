"""Chunks made by many machines, through Ray (https://docs.ray.io), which schedules and retries the tasks.

The scene, including the model's file, is put into Ray's object store once; Ray copies it to each node once. A task
makes one chunk and returns its file, a few megabytes; the process keeps the network for its next task. If a node dies,
Ray runs its tasks on another. Only the main process uses the work folder, so the nodes need no common disk.
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

from audioreactive.chunks.making import ChunkMaker, encoders_at_once
from audioreactive.chunks.workers import MOST_ATTEMPTS
from audioreactive.errors import AudioReactiveError, RenderError
from audioreactive.video.chunks import ENCODER_THREADS

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from audioreactive.chunks.plan import Chunk, MadeChunk
    from audioreactive.chunks.scene import Scene
    from audioreactive.progress import Advance
    from audioreactive.rendering.renderer import Renderer
    from audioreactive.video.chunks import Encoding

_AHEAD: Final = 3
"""Tasks submitted to Ray for each task that can run: enough that no node waits, and few enough that finished results do
not fill the memory."""


@dataclass(frozen=True)
class RayExecutor:
    """Makes chunks on a Ray cluster; see `film.Executor`."""

    scene: Scene
    encoding: Encoding
    address: str
    """Address of the cluster: ray://host:port, or auto for the one that this machine belongs to."""

    def __post_init__(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise RenderError("--cluster needs Ray: pip install 'audioreactive[cluster]', here and on every node")

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks and write them into the folder.

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
        # Inside a list, Ray passes the reference itself; a task fetches the scene only if its process lacks it.
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
        """(CPUs, GPUs) that a task reserves: enough CPUs for its encoders, and a GPU if the network runs on one."""
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
    """Number of tasks that can run at once on the nodes of the cluster as it is now."""
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
    """Check a chunk that came over the network, and write it to the disk under its final name."""
    if hashlib.sha256(content).hexdigest() != made.sha256:
        raise RenderError(f"chunk {made.index} was damaged on its way from the cluster; try again")
    partial = folder / f"{made.name}.partial-{secrets.token_hex(4)}"
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / made.name)


_renderers: dict[str, Renderer] = {}
"""Renderer of the last job in this process, by the key of the job; used in Ray's worker processes."""


def _make_chunk(key: str, scene: list[Any], encoding: Encoding, chunk: Chunk, cpus: int) -> tuple[MadeChunk, bytes]:
    """Make a chunk in a worker process of Ray; return it and the content of its file."""
    if key not in _renderers:
        import ray
        import torch

        from stylegan_ops import keep_freed_memory

        torch.set_num_threads(cpus)
        keep_freed_memory()
        _renderers.clear()
        _renderers[key] = _open(ray.get(scene[0]))
    renderer = _renderers[key]
    encoders = encoders_at_once(cpus, on_gpu=renderer.on_gpu, most=encoding.most_at_once)
    with tempfile.TemporaryDirectory(prefix="audioreactive-") as name:
        folder = Path(name)
        (made,) = ChunkMaker(renderer, encoding, folder, encoders=encoders).make([chunk], lambda frames: None)
        return made, (folder / made.name).read_bytes()


def _open(scene: Scene) -> Renderer:
    """The renderer, on the GPU that Ray assigned to this process if the scene needs one."""
    from stylegan_ops import StyleGANError

    try:
        return scene.renderer(device="cuda" if scene.torch_device.type == "cuda" else None)
    except StyleGANError as error:
        raise RenderError(str(error)) from None
