"""Every render is watched for flashes from what was made anyway, and one line says how to mend them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from crews import Ears, Player, tone
from flashes import videos
from flashes.checker import breaks_the_rules
from second_backend import Discs

from audioreactive.chunks import light
from audioreactive.chunks.film import Film, make_film
from audioreactive.chunks.folder import work_folder
from audioreactive.chunks.light import FlashWatch, LightRecorder, light_name
from audioreactive.chunks.making import ChunkMaker, LocalExecutor
from audioreactive.chunks.plan import plan_chunks
from audioreactive.chunks.workers import WorkerExecutor
from audioreactive.flashes import find_flashes, measure, watched_size
from audioreactive.flashes.definition import Geometry
from audioreactive.generators import plan_canvas
from audioreactive.video import VideoSettings, output_format
from audioreactive.video.chunks import ENCODER_THREADS, Encoding, read_chunks

if TYPE_CHECKING:
    from pathlib import Path

FPS = Fraction(24)


def film_of(output: Path, frames: np.ndarray, size: tuple[int, int] | None = None, filters: str = "") -> Film:
    kind, own = output_format(output), (frames.shape[2], frames.shape[1])
    look = VideoSettings(
        fps=FPS, size=size or own, filters=filters, layout=kind.best_layout(filters), threads=ENCODER_THREADS
    )
    return Film(
        output=output, encoding=Encoding(kind, look, own), chunks=plan_chunks(0, len(frames), 24), job={},
        song=tone(output.with_suffix(".wav"), 4), start=Fraction(0), duration=len(frames) / FPS, preset="",
    )  # fmt: skip


def said(film: Film, frames: np.ndarray) -> list[str]:
    ears = Ears()
    executor = LocalExecutor(lambda: Player(frames, film.encoding.settings.layout), film.encoding)
    make_film(film, executor, overwrite=False, fresh=False, progress=ears)
    return [line for line in ears.said if "flash" in line]


def flicker(size: tuple[int, int] = (96, 64), seconds: float = 3, period: int = 4) -> np.ndarray:
    """Grey, but a rectangle in the middle that is light and dark in turn, `period` frames each time."""
    width, height = size
    frames = np.full((round(seconds * FPS), height, width, 3), 60, np.uint8)
    lit = np.arange(len(frames)) % period < period // 2
    frames[lit, height // 8 : -height // 8, width // 8 : -width // 8] = 230
    return frames


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.gif"])
def test_a_video_that_flashes_is_told_in_one_line_with_the_remedy(tmp_path, name: str) -> None:
    frames = flicker()
    assert breaks_the_rules(frames, FPS)
    (line,) = said(film_of(tmp_path / name, frames), frames)
    assert "more than 3 times in a second, first at 0:00" in line
    assert "--flash-safe" in line


def test_a_render_tells_the_stretches_that_the_command_lists(tmp_path) -> None:
    calm = np.full((48, 64, 96, 3), 60, np.uint8)
    frames = np.concatenate([calm, flicker(), calm, flicker(seconds=1)])
    (line,) = said(film_of(tmp_path / "a.mkv", frames), frames)
    stretches = find_flashes(tmp_path / "a.mkv").stretches
    lasting = sum(one.stop - one.start for one in stretches if one.kind == "general")
    assert len(stretches) == 2 and lasting > 3
    assert f"first at 0:0{int(stretches[0].start)} and for {lasting:.1f} s in all" in line


@pytest.mark.parametrize("make", [videos.three_a_second, videos.slow_fades, videos.moving_stripes, videos.one_cut])
def test_a_video_within_the_rules_is_not_spoken_of(tmp_path, make) -> None:
    frames = make(FPS)
    assert not breaks_the_rules(frames, FPS)
    assert said(film_of(tmp_path / "a.mkv", frames), frames) == []


@pytest.mark.parametrize("make", [videos.strobe, videos.red_strobe, videos.checkerboard, videos.four_unaligned])
def test_every_kind_of_flash_is_seen(tmp_path, make) -> None:
    frames = make(FPS)
    assert len(said(film_of(tmp_path / "a.mkv", frames), frames)) == 1


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(192, 64), (64, 160), (96, 64)])
def test_what_is_measured_is_what_a_viewer_sees(tmp_path, fit, size) -> None:
    coarse = np.random.RandomState(3).randint(0, 256, (8, 4, 6, 3), np.uint8)
    frames = np.stack([cv2.resize(frame, (96, 64), interpolation=cv2.INTER_LINEAR) for frame in coarse])
    canvas = plan_canvas(Discs(img_size=(64, 96)), size=size, fit=fit)
    film = film_of(tmp_path / "a.mkv", frames, canvas.size, canvas.filters)
    maker = ChunkMaker(Player(frames, "rgb24"), film.encoding, tmp_path)
    (made,) = maker.make(film.chunks, lambda count: None)
    kept = np.load(tmp_path / light_name(0))
    geometry = Geometry.of(*size)
    decoded = read_chunks(film.encoding, tmp_path, [made.name], size=watched_size(size))
    seen = np.concatenate([measure(frame[None], geometry) for frame in decoded])
    assert kept.shape == seen.shape
    # A shift by half a cell moves such a picture by as much; another part of it, by ten times as much.
    assert np.abs(kept.astype(int) - seen).mean() < 3


def test_packed_frames_are_measured_as_they_are_decoded(tmp_path) -> None:
    frames = videos.moving_stripes(FPS)[:24]
    film = film_of(tmp_path / "a.mp4", frames)
    maker = ChunkMaker(Player(frames, "yuv420p"), film.encoding, tmp_path)
    (made, *_) = maker.make(film.chunks[:1], lambda count: None)
    decoded = np.stack(list(read_chunks(film.encoding, tmp_path, [made.name])))
    kept = np.load(tmp_path / light_name(0))
    assert np.abs(kept.astype(int) - measure(decoded)).mean() < 4


def test_what_was_not_measured_is_decoded(tmp_path, monkeypatch) -> None:
    """Chunks of other machines, and those whose measurement was damaged."""
    frames = flicker()
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"nonsense")):
        output = tmp_path / f"{len(list(tmp_path.iterdir()))}.mp4"
        film = film_of(output, frames)
        save = LightRecorder.save
        monkeypatch.setattr(LightRecorder, "save", lambda self, path, s=save, d=damage: (s(self, path), d(path)))
        assert len(said(film, frames)) == 1
        monkeypatch.setattr(LightRecorder, "save", save)


def test_a_render_that_goes_on_is_judged_as_a_whole(tmp_path) -> None:
    """A flash in the first chunk, which was made before, is told when the last one is made."""
    frames = np.concatenate([flicker(seconds=1.5), flicker(seconds=2.5, period=1000)])
    film = film_of(tmp_path / "a.mkv", frames)

    class Stops(Player):
        def batches(self, firsts):
            for first, batch in super().batches(firsts):
                if first >= 60:
                    raise KeyboardInterrupt
                yield first, batch

    with pytest.raises(KeyboardInterrupt):
        executor = LocalExecutor(lambda: Stops(frames, "rgb24"), film.encoding)
        make_film(film, executor, overwrite=False, fresh=False, progress=Ears())
    left = {path.name for path in work_folder(film.output).iterdir()}
    assert light_name(0) in left and light_name(2) not in left
    (line,) = said(film, frames)
    assert "first at 0:00" in line


def test_workers_measure_as_one_process_does(scene, film, tmp_path, quick_workers) -> None:
    crews = {
        "alone": LocalExecutor(scene.renderer, film.encoding),
        "two": WorkerExecutor(scene, film.encoding, 2, Ears()),
    }
    found = []
    for name, executor in crews.items():
        (folder := tmp_path / name).mkdir()
        list(executor.make(film.chunks[:4], folder, lambda count: None))
        found.append([(folder / light_name(chunk.index)).read_bytes() for chunk in film.chunks[:4]])
    assert found[0] == found[1]


def test_chunks_may_come_in_any_order(tmp_path) -> None:
    frames = flicker(seconds=4)
    film = film_of(tmp_path / "a.mkv", frames)
    maker = ChunkMaker(Player(frames, "rgb24"), film.encoding, tmp_path)
    made = list(maker.make(film.chunks, lambda count: None))
    sentences = []
    for order in (made, made[::-1], made[2:] + made[:2]):
        watch = FlashWatch(film.encoding, list(film.chunks), tmp_path)
        for chunk in order:
            watch.accept(chunk)
        sentences.append(watch.sentence())
    assert sentences[0] is not None and len(set(sentences)) == 1


def test_the_whole_is_never_in_memory(tmp_path) -> None:
    """Thumbnails that were kept are read in blocks."""
    frames = flicker(seconds=3)
    film = film_of(tmp_path / "a.mkv", frames)
    list(ChunkMaker(Player(frames, "rgb24"), film.encoding, tmp_path).make(film.chunks, lambda count: None))
    watch = FlashWatch(film.encoding, list(film.chunks), tmp_path)
    parts = list(watch._thumbnails(film.chunks[0], None))
    assert max(map(len, parts)) <= light.BLOCK < len(film.chunks[0])
