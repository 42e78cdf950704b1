"""Films that flash too often are brought within the rules, and no others are touched."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from crews import Ears, Player, packed, tone
from flashes import videos
from flashes.checker import breaks_the_rules

from audioreactive.chunks import safe_light
from audioreactive.chunks.film import Film, make_film
from audioreactive.chunks.folder import work_folder
from audioreactive.chunks.making import LocalExecutor
from audioreactive.chunks.plan import plan_chunks
from audioreactive.chunks.safe_light import SafeLight
from audioreactive.chunks.workers import WorkerExecutor
from audioreactive.errors import VideoError
from audioreactive.flashes import Thumbnails, measure, watched_size
from audioreactive.flashes.definition import Geometry
from audioreactive.video import VideoSettings, output_format, read_frames
from audioreactive.video.chunks import ENCODER_THREADS, Encoding, read_chunks
from audioreactive.video.colour import yuv420_to_rgb
from audioreactive.video.formats import frame_shape
from audioreactive.video.groups import closed_groups, cut

if TYPE_CHECKING:
    from audioreactive.chunks.scene import Scene

FPS = Fraction(24)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone(tmp_path_factory.mktemp("song") / "song.wav", 9)


def make(
    output: Path, song: Path, frames: np.ndarray, *, safe: bool = True, start: int = 0, length: int = 24, **look
) -> list[str]:
    """A film of the frames from `start` on, in chunks of a second or so; what was said."""
    kind, ears, stop = output_format(output), Ears(), len(frames)
    size = (frames.shape[2], frames.shape[1])
    layout = kind.best_layout(look.get("filters", ""))
    settings = replace(VideoSettings(fps=FPS, size=size, layout=layout, threads=ENCODER_THREADS), **look)
    encoding = Encoding(kind, settings, size)
    film = Film(
        output=output,
        encoding=encoding,
        chunks=plan_chunks(start, stop, length),
        job={},
        song=song,
        start=start / FPS,
        duration=(stop - start) / FPS,
        preset="a = 1",
        revise=SafeLight(ears) if safe else None,
    )
    executor = LocalExecutor(lambda: Player(frames, layout), encoding)  # type: ignore[arg-type, return-value]
    make_film(film, executor, overwrite=True, fresh=False, progress=ears)
    return ears.said


def frames_of(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


@pytest.mark.parametrize(("name", "extension"), [("red and dark", ".mkv"), ("texture strobe", ".mp4")])
def test_what_flashes_too_often_is_dimmed_and_told(tmp_path: Path, song: Path, name: str, extension: str) -> None:
    frames, out = videos.BAD[name][0](FPS), tmp_path / f"out{extension}"
    said = make(out, song, frames)
    assert len(said) == 1 and said[0].startswith("flashes were limited to three a second at 0:00-0:04: dimmed by up to")
    found = frames_of(out)
    assert not breaks_the_rules(found, FPS) and breaks_the_rules(frames, FPS)
    assert list(tmp_path.iterdir()) == [out], "no stray files"
    if extension == ".mkv":
        touched = (found != frames).any(axis=(1, 2, 3))
        assert touched.any() and not touched[:20].any() and (found <= frames.max()).all()


@pytest.mark.parametrize("extension", [".mkv", ".mp4"])
def test_what_is_within_the_rules_is_the_same_file(tmp_path: Path, song: Path, extension: str) -> None:
    frames = videos.moving_stripes(FPS)
    plain, safe = tmp_path / f"plain{extension}", tmp_path / f"safe{extension}"
    make(plain, song, frames, safe=False)
    assert make(safe, song, frames) == ["no second has more than three flashes: nothing was changed"]
    assert plain.with_suffix(extension).read_bytes().replace(b"plain", b"") == safe.read_bytes().replace(b"safe", b"")


def test_a_part_of_a_song_and_a_picture_that_is_cropped(tmp_path: Path, song: Path) -> None:
    """Frames are counted from the video's beginning, and looked at as they are shown."""
    frames = videos.strobe(FPS)
    out = tmp_path / "out.mkv"
    make(out, song, frames, start=13, filters="crop=32:48", size=(32, 48))
    found = frames_of(out)
    assert found.shape == (len(frames) - 13, 48, 32, 3)
    assert not breaks_the_rules(found, FPS) and breaks_the_rules(frames[13:, :, :32], FPS)


@pytest.mark.usefixtures("quick_workers")
def test_workers_make_the_same(tmp_path: Path, scene: Scene, film: Film) -> None:
    """A network that is thrown to and fro between two pictures, in two processes and in one."""
    weights = np.zeros_like(scene.motion.latents)
    weights[np.arange(len(weights)) // 2 % 2 == 0, :, 0] = 1
    weights[np.arange(len(weights)) // 2 % 2 == 1, :, 1] = 1
    wild = replace(scene, motion=replace(scene.motion, latents=weights), palette=6 * scene.palette)
    ears = Ears()
    found = []
    for name, executor in (
        ("workers.mkv", WorkerExecutor(wild, film.encoding, 2, Ears())),
        ("alone.mkv", LocalExecutor(wild.renderer, film.encoding)),
    ):
        mine = replace(film, output=tmp_path / name, revise=SafeLight(ears))
        make_film(mine, executor, overwrite=False, fresh=False, progress=ears)
        found.append(frames_of(mine.output))
    plain = replace(film, output=tmp_path / "plain.mkv")
    make_film(plain, LocalExecutor(wild.renderer, film.encoding), overwrite=False, fresh=False, progress=ears)
    assert breaks_the_rules(frames_of(plain.output), FPS)
    workers, alone, watched = ears.said
    assert workers == alone and workers.startswith("flashes were limited")
    assert watched.startswith("this video flashes more than 3 times in a second"), "of the one that is not dimmed"
    np.testing.assert_array_equal(*found)
    assert not breaks_the_rules(found[0], FPS)


def test_only_frames_that_change_are_other_numbers(tmp_path: Path) -> None:
    """A chunk of packed pictures, of which some are corrected: the others are the same numbers."""
    frames = videos.texture_strobe(FPS)
    source = packed(frames)
    size = (frames.shape[2], frames.shape[1])
    settings = VideoSettings(fps=FPS, size=size, layout="yuv420p", threads=ENCODER_THREADS)
    film = Film(
        output=tmp_path / "x.mp4", encoding=Encoding(output_format(Path("x.mp4")), settings, size),
        chunks=plan_chunks(0, len(frames), 24), job={}, song=tmp_path, start=Fraction(0), duration=Fraction(5),
        preset="",
    )  # fmt: skip
    shared = safe_light._Shared(film, {}, tmp_path)
    made = safe_light.plan(Thumbnails([measure(frames)], size), FPS)
    changed = 0
    for index in range(len(frames)):
        (after,) = shared._corrected(index, source[index : index + 1], (made,))
        if made.changes(index, index + 1):
            changed += (after != source[index]).any()
        else:
            np.testing.assert_array_equal(after, source[index])
    assert 24 < changed < len(frames) - 20


@pytest.mark.parametrize("extension", [".mp4", ".webm"])
def test_only_groups_in_which_something_changes_are_coded_again(
    tmp_path: Path, song: Path, monkeypatch, extension: str
) -> None:
    """A second of flashes in nine, in two chunks: what lies outside the groups concerned is the same, to the bit."""
    still = videos.texture_strobe(FPS)[:1, :32, :32]
    frames = np.concatenate([np.roll(still, shift, axis=2) for shift in range(216)])
    flashing = slice(108, 132)
    frames[flashing] = np.where((np.arange(24) // 2 % 2 == 0)[:, None, None, None], frames[flashing], 0)
    plain, safe, plans = tmp_path / f"plain{extension}", tmp_path / f"safe{extension}", []
    kept, plan = [], safe_light.plan
    monkeypatch.setattr(safe_light, "plan", lambda *given: plans.append(plan(*given)) or plans[-1])
    monkeypatch.setattr(safe_light, "cut", lambda *given: kept.append(given[4]) or cut(*given))
    make(plain, song, frames, safe=False, length=120)
    make(safe, song, frames, length=120)
    starts = closed_groups(tmp_path, plain.name).starts
    assert len(starts) >= 5 and kept, "parts of chunks are kept"
    changed = np.array([any(made.changes(i, i + 1) for made in plans) for i in range(216)])
    concerned = np.zeros(216, bool)
    for first, stop in pairwise([*starts, 216]):
        concerned[first:stop] = changed[first:stop].any()
    assert 24 < changed.sum() <= concerned.sum() < 190
    before, after = frames_of(plain), frames_of(safe)
    np.testing.assert_array_equal(before[~concerned], after[~concerned])
    assert (before[concerned] != after[concerned]).any() and not breaks_the_rules(after, FPS)


@pytest.mark.parametrize("extension", [".mkv", ".mp4"])
def test_cut_short_while_it_dims_it_goes_on_to_the_same_frames(
    tmp_path: Path, song: Path, monkeypatch, extension: str
) -> None:
    frames, out, whole = videos.strobe(FPS), tmp_path / f"out{extension}", tmp_path / f"whole{extension}"
    make(whole, song, frames)
    correct, done = safe_light._Shared.correct, []

    def interrupted(self, chunks, plans):
        if done:
            raise KeyboardInterrupt
        done.append(correct(self, chunks, plans))
        return done[-1]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(safe_light._Shared, "correct", interrupted)
        make(out, song, frames)
    left = {path.name.partition("_")[0] for path in work_folder(out).iterdir()}
    assert left == {"chunk", "light", "chunks.jsonl", "job.json", "lock"}, "and nothing half-made"
    assert make(out, song, frames)[0] == "4 of 4 chunks are there from before"
    np.testing.assert_array_equal(frames_of(out), frames_of(whole))


def test_a_chunk_that_cannot_be_watched_is_a_sentence(tmp_path: Path, song: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        safe_light, "read_chunks", lambda *where, **how: (frame for frame in np.zeros((3, 48, 48, 3), np.uint8))
    )
    with pytest.raises(VideoError, match=r"3 of \d+ frames of .*chunk.* can be decoded"):
        make(tmp_path / "out.mkv", song, videos.one_cut(FPS))


def test_what_compression_brings_back_is_taken_in_another_round(tmp_path: Path, song: Path, monkeypatch) -> None:
    """The first plan leaves a third of the dimming away; what is left is found, and a second one comes on top."""
    plan, rounds = safe_light.plan, []

    def weak(thumbnails, fps):
        made = plan(thumbnails, fps)
        rounds.append(len(made.passages))
        if len(rounds) > 1:
            return made
        return replace(made, passages=tuple(replace(p, gain=np.maximum(p.gain, 0.5)) for p in made.passages))

    monkeypatch.setattr(safe_light, "plan", weak)
    out = tmp_path / "out.mkv"
    assert "still" not in make(out, song, videos.strobe(FPS))[0]
    assert rounds == [1, 1, 0] and not breaks_the_rules(frames_of(out), FPS)


@pytest.mark.parametrize("size", [(1024, 1024), (1366, 768), (512, 512), (256, 256), (48, 32)])
def test_shrunk_frames_are_measured_as_whole_ones(size: tuple[int, int]) -> None:
    width, height = size
    y, x = np.mgrid[:height, :width] / height
    paint = np.stack([0.5 + 0.4 * np.sin(9 * x + 5 * y), 0.5 + 0.4 * np.cos(7 * x * y + 3), 0.4 + 0.3 * x % 1], -1)
    frame = videos.code(paint)
    small = watched_size(size)
    if small == size:
        assert min(size) < 500
        return
    assert min(small) >= 5 * Geometry.of(*size).cells[0] - 5
    across, down = (np.arange(side + 1) * whole // side for whole, side in zip(size, small, strict=True))
    sums = np.add.reduceat(np.add.reduceat(frame.astype(float), down[:-1], axis=0), across[:-1], axis=1)
    shrunk = sums / np.multiply.outer(np.diff(down), np.diff(across))[..., None]
    whole, seen = measure(frame[None]), measure(np.rint(shrunk).astype(np.uint8)[None], Geometry.of(*size))
    assert whole.shape == seen.shape
    assert np.abs(whole.astype(int) - seen).max() <= 2


def test_packed_pictures_are_unpacked_as_players_do(tmp_path: Path) -> None:
    frames = videos.texture_strobe(FPS)[40:42]
    size = (frames.shape[2], frames.shape[1])
    settings = VideoSettings(fps=FPS, size=size, layout="yuv420p", threads=ENCODER_THREADS, crf=1)
    encoding = Encoding(output_format(Path("x.mp4")), settings, size)
    encoder = encoding.open(tmp_path, "x.mov")
    encoder.write(packed(frames))
    encoder.close()
    encoder.finish()
    encoder.abandon()
    coded = np.stack(list(read_chunks(encoding, tmp_path, ["x.mov"], layout="yuv420p")))
    assert coded.shape[1:] == frame_shape("yuv420p", size)
    shown = np.stack(list(read_chunks(encoding, tmp_path, ["x.mov"])))
    mine = yuv420_to_rgb(coded, size)
    off, theirs = (np.abs(pictures.astype(int) - frames).mean() for pictures in (mine, shown))
    assert off < theirs < 1.5
    assert np.abs(packed(mine).astype(int) - coded).max() <= 2
