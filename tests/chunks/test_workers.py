"""Many make the chunks, and the frames are the same; whoever dies costs little."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from crews import FRAMES, LENGTH, Ears, die, leave
from crews import make_counting as make
from orphans import parent_of_a_worker

from audioreactive.chunks import workers
from audioreactive.chunks.folder import WorkFolder, work_folder
from audioreactive.chunks.workers import WorkerExecutor, WorkerPool
from audioreactive.errors import RenderError
from audioreactive.generators import ModelFile
from audioreactive.progress import Silent
from audioreactive.rendering import renderer as renderer_module
from audioreactive.video import read_frames

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.chunks.film import Film
    from audioreactive.chunks.plan import MadeChunk
    from audioreactive.chunks.scene import Scene


@pytest.mark.usefixtures("quick_workers")
def test_a_worker_that_is_killed_costs_what_it_had(
    scene: Scene, film: Film, expected: np.ndarray, tmp_path: Path
) -> None:
    out, ears = replace(film, output=tmp_path / "out.mkv"), Ears()
    killed = []

    class Hit(WorkerExecutor):
        """Kills a worker as soon as it has rendered something."""

        def make(self, chunks, folder, advance):
            def watch(frames: int) -> None:
                advance(frames)
                if not killed and frames > 0:
                    child = next(iter(workers.multiprocessing.active_children()))
                    killed.append(child.pid)
                    os.kill(child.pid, signal.SIGKILL)

            return super().make(chunks, folder, watch)

    counts = make(out, Hit(scene, film.encoding, 2, ears))
    assert any("died (killed by SIGKILL); another takes its place" in said for said in ears.said)
    np.testing.assert_array_equal(np.stack(list(read_frames(out.output))), expected)
    assert sum(counts) == FRAMES
    assert sum(count for count in counts if count > 0) - FRAMES <= LENGTH, "the chunk in its hands"
    assert list(tmp_path.iterdir()) == [out.output]


def test_a_worker_that_is_killed_at_its_start_holds_nothing_up(
    scene: Scene, film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is larger than a pipe that nobody reads any more."""
    large = replace(scene, motion=replace(scene.motion, latents=np.repeat(scene.motion.latents, 50, axis=0)))
    assert large.motion.latents.nbytes > 1 << 16
    started: list[int] = []
    spawn = workers.multiprocessing.get_context("spawn").Process.start

    def start(process) -> None:
        spawn(process)
        if not started:
            started.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)

    monkeypatch.setattr(workers.multiprocessing.get_context("spawn").Process, "start", start)
    ears, out = Ears(), replace(film, output=tmp_path / "out.mkv", chunks=film.chunks[:1], duration=Fraction(1, 2))
    make(out, WorkerExecutor(large, film.encoding, 1, ears))
    assert any("another takes its place" in said for said in ears.said)


@pytest.mark.usefixtures("quick_workers")
def test_workers_stay_for_the_next_film(scene: Scene, film: Film, expected: np.ndarray, tmp_path: Path) -> None:
    """With the network that they have: its file is gone meanwhile."""
    model = tmp_path / "model.safetensors"
    model.write_bytes(scene.source.path.read_bytes())
    copied, stayed = replace(scene, source=ModelFile(model, scene.source.sha256)), []
    with WorkerPool() as pool:
        for name in ("a.mkv", "b.mkv"):
            out = replace(film, output=tmp_path / name)
            make(out, WorkerExecutor(copied, film.encoding, 1, Silent(), pool))
            stayed += [worker.process.pid for worker in pool.waiting]
            model.unlink(missing_ok=True)
            np.testing.assert_array_equal(np.stack(list(read_frames(out.output))), expected)
        (last,) = pool.waiting
    assert len(stayed) == 2 and stayed[0] == stayed[1]
    assert last.process.exitcode == 0, "it left by itself"


@pytest.mark.usefixtures("quick_workers")
def test_workers_who_stay_share_the_cores_anew(
    scene: Scene, film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker of a short film has all cores; of the next film it is one of two."""
    told, send = [], workers._Dispatcher._send

    def heard(self, worker, message) -> None:
        if isinstance(message, tuple):
            told.append((worker.number, message[-1]))
        send(self, worker, message)

    monkeypatch.setattr(workers, "available_cores", lambda: 6)
    monkeypatch.setattr(workers._Dispatcher, "_send", heard)
    with WorkerPool() as pool:
        for name, chunks in (("a.mkv", film.chunks[:1]), ("b.mkv", film.chunks[:2])):
            out = replace(film, output=tmp_path / name, chunks=chunks, duration=Fraction(1))
            make(out, WorkerExecutor(scene, film.encoding, 2, Silent(), pool))
    # The second of the two may come when all is done.
    assert told[0] == (0, 6) and (0, 3) in told and {threads for _, threads in told[1:]} == {3}


@pytest.mark.usefixtures("quick_workers")
def test_workers_that_leave_without_a_word_are_given_up(
    scene: Scene, film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that ends its process ends it with exit code 0: nobody would be left, and nothing to wait for."""
    monkeypatch.setattr(workers, "_work", leave)
    monkeypatch.setattr(workers, "MOST_ATTEMPTS", 1)
    with pytest.raises(RenderError, match=r"die again and again \(exit code 0\)"):
        make(replace(film, output=tmp_path / "out.mkv"), WorkerExecutor(scene, film.encoding, 1, Silent()))


@pytest.mark.usefixtures("quick_workers")
def test_a_chunk_that_kills_every_worker_is_given_up(
    scene: Scene, film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = replace(film, output=tmp_path / "out.mkv")
    monkeypatch.setattr(workers, "_work", die)
    monkeypatch.setattr(workers, "MOST_ATTEMPTS", 1)
    with pytest.raises(RenderError, match=r"die again and again \(exit code 7\)"):
        make(out, WorkerExecutor(scene, film.encoding, 2, Silent()))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("quick_workers")
def test_a_workers_sentence_is_told(scene: Scene, film: Film, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(scene.source.path.read_bytes() + b" ")
    moved = replace(scene, source=ModelFile(model, scene.source.sha256))
    out = replace(film, output=tmp_path / "out.mkv")
    with pytest.raises(RenderError, match=r"model\.safetensors was changed while"):
        make(out, WorkerExecutor(moved, film.encoding, 1, Silent()))


@pytest.mark.usefixtures("quick_workers")
def test_an_interrupt_leaves_no_worker(
    scene: Scene, film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, accept, accepted = replace(film, output=tmp_path / "out.mkv"), WorkFolder.accept, []

    def interrupted(self: WorkFolder, made: MadeChunk) -> None:
        if accepted:
            raise KeyboardInterrupt
        accepted.append(made.name)
        accept(self, made)

    monkeypatch.setattr(WorkFolder, "accept", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(out, WorkerExecutor(scene, film.encoding, 2, Silent()))
    assert not workers.multiprocessing.active_children()
    names = {item.name for item in work_folder(out.output).iterdir()}
    assert accepted[0] in names and not [name for name in names if "partial" in name]


@pytest.mark.parametrize("count", [0, -1, 1000])
def test_there_is_a_number_of_workers(scene: Scene, film: Film, count: int) -> None:
    with pytest.raises(RenderError, match=f"{count} workers"):
        WorkerExecutor(scene, film.encoding, count, Silent())


def test_a_scene_travels_with_its_model(scene: Scene, expected: np.ndarray, tmp_path: Path) -> None:
    import pickle

    model = tmp_path / "small.safetensors"
    model.write_bytes(scene.source.path.read_bytes())
    carried = replace(scene, source=ModelFile(model, scene.source.sha256).carried())
    model.unlink()
    there = pickle.loads(pickle.dumps(carried)).renderer()
    ((_, frames),) = there.batches([8])
    np.testing.assert_array_equal(frames, expected[8:12])
    with pytest.raises(RenderError, match="was begun with others, which differ in a frame's last bits"):
        replace(scene, fingerprint="others").renderer()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_frame_does_not_depend_on_the_number_of_threads(
    scene: Scene, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is why workers, who share the cores, make the frames that one process makes."""
    monkeypatch.setattr(renderer_module, "useful_threads", lambda cost: 3)  # as if it were a large network
    renderer, threads, found = replace(scene, dtype=dtype).renderer(), torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(np.concatenate([frames for _, frames in renderer.batches([0, 40])]))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_workers_end_with_the_main_process() -> None:
    """A watcher thread; what it watches ends, and so does the process."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    parent = context.Process(target=parent_of_a_worker, args=(theirs,))
    parent.start()
    child = ours.recv()
    parent.kill()
    parent.join()
    deadline = time.monotonic() + 300  # only so that a failure ends
    while time.monotonic() < deadline:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if _is_zombie(child):
            return
        time.sleep(0.05)
    pytest.fail("the worker outlived its main process")


def _is_zombie(process: int) -> bool:
    """Of a container's first process that does not bury the dead."""
    from pathlib import Path

    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# --- which GPU a worker has


@pytest.mark.parametrize(
    ("device", "found", "given"),
    [("cuda", 2, [0, 1, 0]), ("cuda:1", 2, [1, 1, 1]), ("cuda:0", 3, [0, 0, 0]), ("cpu", 2, [None, None, None])],
)
def test_gpus_are_shared_out_unless_one_is_named(
    scene: Scene, film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, found: int, given: list[int]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    started = []

    class Process:
        def __init__(self, **options: object) -> None:
            started.append(options["args"][1])  # type: ignore[index]
            self.exitcode = 0

        def start(self) -> None:
            """Nothing runs."""

        def join(self, seconds: float | None = None) -> None:
            """Nothing runs."""

        terminate = start

        def is_alive(self) -> bool:
            return False

    executor = WorkerExecutor(replace(scene, device=device), film.encoding, 3, Silent())
    dispatcher = workers._Dispatcher(executor, film.chunks, tmp_path, 3, lambda frames: None)
    monkeypatch.setattr(type(dispatcher._context), "Process", Process)
    for number in range(3):
        dispatcher._start(number)
    assert started == given
    dispatcher.close()


@pytest.mark.parametrize(
    ("before", "gpu", "after"), [(None, 1, "1"), ("", 0, "0"), ("4,2, 7", 2, "7"), ("GPU-aa,GPU-bb", 1, "GPU-bb")]
)
def test_a_worker_sees_its_own_gpu_alone(
    monkeypatch: pytest.MonkeyPatch, before: str | None, gpu: int, after: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "to be restored")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    asked = []
    monkeypatch.setattr(workers, "_make_films", lambda pipe: asked.append(os.environ["CUDA_VISIBLE_DEVICES"]))
    monkeypatch.setattr(workers.signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(workers.threading, "Thread", lambda **options: Silence())
    workers._work(None, gpu)  # type: ignore[arg-type]
    assert asked == [after]


class Silence:
    def start(self) -> None:
        """Nothing runs."""
