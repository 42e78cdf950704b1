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
from crews import die, parent_of_a_worker, tone
from support import make_features, save_small_model

from audioreactive.chunks import workers
from audioreactive.chunks.film import Film, make_film
from audioreactive.chunks.folder import work_folder
from audioreactive.chunks.making import LocalCrew
from audioreactive.chunks.plan import plan_chunks
from audioreactive.chunks.scene import ModelFile, Scene, file_digest
from audioreactive.chunks.workers import WorkerCrew
from audioreactive.errors import RenderError
from audioreactive.patches.latents import latent_weights, make_palette
from audioreactive.patches.noise import noise_motion
from audioreactive.patches.schema import Patch
from audioreactive.progress import Silent
from audioreactive.video import VideoSettings, output_format, read_frames
from audioreactive.video.chunks import ENCODER_THREADS, Encoding
from stylegan_ops import load_generator

if TYPE_CHECKING:
    from pathlib import Path

FRAMES, LENGTH = 90, 12


class Ears(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_small_model(path)
    generator, features, patch = load_generator(path), make_features(4), Patch.random(5)
    palette = make_palette(patch.palette, generator)
    return Scene(
        model=ModelFile(path, file_digest(path)),
        const_size=(4, 6),
        device="cpu",
        dtype=torch.float32,
        compiled=generator.compiled,
        weights=latent_weights(patch.latents, features, len(palette)),
        palette=palette.numpy(),
        noise_motion=noise_motion(patch.noise, features),
        batch=4,
        layout="rgb24",
    )


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    folder = tmp_path_factory.mktemp("film")
    settings = VideoSettings(fps=Fraction(24), size=(48, 32), threads=ENCODER_THREADS)
    return Film(
        output=folder / "alone.mkv",
        encoding=Encoding(output_format(folder / "alone.mkv"), settings, (48, 32)),
        chunks=plan_chunks(0, FRAMES, LENGTH),
        job={},
        song=tone(folder / "song.wav", 4),
        start=Fraction(0),
        duration=Fraction(FRAMES, 24),
        preset="",
    )


@pytest.fixture(scope="module")
def expected(scene: Scene, film: Film) -> np.ndarray:
    """The frames that one process makes."""
    make(film, LocalCrew(scene.renderer, film.encoding))
    frames = np.stack(list(read_frames(film.output)))
    assert frames.std(axis=0).mean() > 2
    return frames


def make(film: Film, crew) -> list[int]:
    """Make a film; the changes of its progress."""
    counts: list[int] = []

    class Counting(Silent):
        def track(self, stage, total, unit):
            import contextlib

            return contextlib.nullcontext(counts.append)

    make_film(film, crew, overwrite=False, fresh=False, progress=Counting())
    return counts


def test_workers_make_the_same_frames(scene: Scene, film: Film, expected: np.ndarray, tmp_path: Path) -> None:
    out = replace(film, output=tmp_path / "out.mkv")
    counts = make(out, WorkerCrew(scene, film.encoding, 2, Silent()))
    np.testing.assert_array_equal(np.stack(list(read_frames(out.output))), expected)
    assert sum(counts) == FRAMES and list(tmp_path.iterdir()) == [out.output]


def test_a_worker_that_is_killed_costs_what_it_had(
    scene: Scene, film: Film, expected: np.ndarray, tmp_path: Path
) -> None:
    out, ears = replace(film, output=tmp_path / "out.mkv"), Ears()
    killed = []

    class Hit(WorkerCrew):
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
    # The chunk in its hands, and one whose encoder was about to end.
    assert sum(count for count in counts if count > 0) - FRAMES <= 2 * LENGTH
    assert list(tmp_path.iterdir()) == [out.output]


def test_a_chunk_that_kills_every_worker_is_given_up(
    scene: Scene, film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = replace(film, output=tmp_path / "out.mkv")
    monkeypatch.setattr(workers, "_work", die)
    with pytest.raises(RenderError, match=r"die again and again \(exit code 7\)"):
        make(out, WorkerCrew(scene, film.encoding, 2, Silent()))
    assert not list(tmp_path.iterdir())


def test_a_workers_sentence_is_told(scene: Scene, film: Film, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(scene.model.path.read_bytes() + b" ")
    moved = replace(scene, model=ModelFile(model, scene.model.sha256))
    out = replace(film, output=tmp_path / "out.mkv")
    with pytest.raises(RenderError, match=r"model\.safetensors was changed while"):
        make(out, WorkerCrew(moved, film.encoding, 1, Silent()))


def test_an_interrupt_leaves_no_worker(scene: Scene, film: Film, tmp_path: Path) -> None:
    out = replace(film, output=tmp_path / "out.mkv")

    class Interrupted(WorkerCrew):
        def make(self, chunks, folder, advance):
            for made in super().make(chunks, folder, advance):
                yield made
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(out, Interrupted(scene, film.encoding, 2, Silent()))
    assert not workers.multiprocessing.active_children()
    assert not [item for item in work_folder(out.output).iterdir() if "partial" in item.name]


@pytest.mark.parametrize("count", [0, -1, 1000])
def test_there_is_a_number_of_workers(scene: Scene, film: Film, count: int) -> None:
    with pytest.raises(RenderError, match=f"{count} workers"):
        WorkerCrew(scene, film.encoding, count, Silent())


def test_a_scene_travels_with_its_model(scene: Scene, expected: np.ndarray) -> None:
    import pickle

    carried = replace(scene, model=scene.model.carried())
    there = pickle.loads(pickle.dumps(carried)).renderer()
    ((_, frames),) = there.batches([8])
    np.testing.assert_array_equal(frames, expected[8:12])
    assert carried.model.path is None and replace(scene, compiled=not scene.compiled)
    with pytest.raises(RenderError, match="differ in the last bits"):
        replace(scene, compiled=not scene.compiled).renderer()


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
    deadline = time.monotonic() + 20
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
