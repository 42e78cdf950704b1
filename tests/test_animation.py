"""GIF and WebP: every frame at its time, coded as a whole from lossless chunks, by one process or several."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from crews import FRAMES, Ears, make_film_of, tone
from PIL import Image

from audioreactive.chunks.film import make_film
from audioreactive.chunks.folder import work_folder
from audioreactive.chunks.making import LocalExecutor
from audioreactive.errors import VideoError
from audioreactive.video import VideoSettings, VideoWriter, output_format
from audioreactive.video.animation import PALETTE_FRAMES, webp_milliseconds, webp_quality
from audioreactive.video.chunks import Encoding

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (48, 32)


def smooth_frames(count: int) -> np.ndarray:
    """Colours that glide, and a bar that moves 3 pixels a frame, so that no frame is like another."""
    t, y, x = np.ogrid[:count, : SIZE[1], : SIZE[0]]
    shade = np.broadcast_to(x * 2 + y, (count, *SIZE[::-1]))
    frames = np.stack([60 + shade, 200 - shade, 90 + shade // 2], axis=-1).astype(np.uint8)
    bar = np.broadcast_to((x - 3 * t) % SIZE[0] < 6, shade.shape)
    frames[bar] = (250, 240, 30)
    return frames


def decoded(path: Path) -> tuple[list[int], np.ndarray]:
    """Milliseconds of each picture, and the pictures."""
    with Image.open(path) as image:
        times, pictures = [], []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            times.append(round(image.info["duration"]))
            pictures.append(np.asarray(image.convert("RGB")))
        assert image.info["loop"] == 0  # for ever
    return times, np.stack(pictures)


def write(path: Path, frames: np.ndarray, fps: Fraction) -> Path:
    with VideoWriter(path, VideoSettings(fps=fps, size=SIZE), frame_size=SIZE, sound=None) as writer:
        for start in range(0, len(frames), 4):
            writer.write(frames[start : start + 4])
    return path


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(50)])
@pytest.mark.parametrize(("name", "tick", "error"), [("a.gif", 10, 8), ("a.webp", 1, 6)])
def test_every_frame_is_there_at_its_time(tmp_path: Path, name: str, tick: int, error: float, fps: Fraction) -> None:
    frames = smooth_frames(30)
    times, pictures = decoded(write(tmp_path / name, frames, fps))
    assert len(pictures) == len(frames)
    # Times are rounded one by one: nothing adds up.
    ends = np.cumsum(times[:-1])
    assert np.abs(ends - 1000 * np.arange(1, len(frames)) / float(fps)).max() <= tick
    assert np.abs(pictures.astype(int) - frames).mean() < error
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("name", "fastest"), [("a.gif", 50), ("a.webp", 60)])
def test_what_browsers_show_slowly_is_refused(tmp_path: Path, name: str, fastest: int) -> None:
    kind = output_format(tmp_path / name)
    kind.check(VideoSettings(fps=Fraction(fastest), size=SIZE))
    with pytest.raises(VideoError, match=f"give --fps {fastest} or fewer"):
        kind.check(VideoSettings(fps=Fraction(fastest + 1), size=SIZE))


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_a_film_that_is_cut_short_goes_on_and_is_the_same(tmp_path: Path, name: str) -> None:
    from crews import Painter

    song = tone(tmp_path / "song.wav", 4)
    films = [make_film_of(tmp_path / f"{who}{name}", song, frames=FRAMES) for who in ("whole", "cut")]
    for film in films:
        assert isinstance(film.encoding, Encoding)
    whole, cut = films
    make_film(whole, LocalExecutor(Painter, whole.encoding), overwrite=False, fresh=False, progress=Ears())
    with pytest.raises(KeyboardInterrupt):
        executor = LocalExecutor(lambda: Painter(fail_at=60), cut.encoding)
        make_film(cut, executor, overwrite=False, fresh=False, progress=Ears())
    assert not cut.output.exists() and work_folder(cut.output).is_dir()
    rest = Painter()
    make_film(cut, LocalExecutor(lambda: rest, cut.encoding), overwrite=False, fresh=False, progress=Ears())
    assert rest.rendered < FRAMES
    assert cut.output.read_bytes() == whole.output.read_bytes()
    assert not work_folder(cut.output).exists()
    times, pictures = decoded(whole.output)
    assert len(pictures) == FRAMES and abs(sum(times) - 1000 * FRAMES / 24) < 45


def test_a_palette_is_chosen_from_a_bounded_number_of_frames(tmp_path: Path) -> None:
    frames = smooth_frames(PALETTE_FRAMES + 7)
    _, pictures = decoded(write(tmp_path / "long.gif", frames, Fraction(50)))
    assert len(pictures) == len(frames) and np.abs(pictures.astype(int) - frames).mean() < 8


def test_the_quality_of_a_webp_follows_the_factor(tmp_path: Path) -> None:
    assert [webp_quality(crf) for crf in (1, 18, 51)] == [100, 80, 41]
    sizes = []
    for crf in (10, 40):
        path = tmp_path / f"{crf}.webp"
        look = VideoSettings(fps=Fraction(24), size=SIZE, crf=crf)
        with VideoWriter(path, look, frame_size=SIZE, sound=None) as writer:
            writer.write(np.random.RandomState(0).randint(0, 256, (12, *SIZE[::-1], 3), np.uint8))
        sizes.append(path.stat().st_size)
    assert sizes[0] > 1.3 * sizes[1]


def test_a_webp_that_is_not_whole_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webp", smooth_frames(24), Fraction(24))
    assert abs(webp_milliseconds(path) - 1000) < 45
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert webp_milliseconds(path) < 700


def test_a_picture_without_sound_says_so(tmp_path: Path) -> None:
    for name in ("a.gif", "a.webp"):
        kind = output_format(tmp_path / name)
        assert kind.animation is not None and "no sound" in kind.animation.remark
        assert kind.available
        with pytest.raises(VideoError, match="lacks"):
            replace(kind, animation=replace(kind.animation, encoder="nothing")).check(
                VideoSettings(fps=Fraction(24), size=SIZE)
            )
