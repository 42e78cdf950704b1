"""Films keep to a size and a bit rate."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from crews import Ears, Player, tone
from flashes import videos
from flashes.checker import breaks_the_rules

from audioreactive.chunks import budget
from audioreactive.chunks.budget import Budget
from audioreactive.chunks.film import Film, make_film
from audioreactive.chunks.folder import work_folder
from audioreactive.chunks.making import LocalExecutor
from audioreactive.chunks.plan import plan_chunks
from audioreactive.chunks.safe_light import SafeLight
from audioreactive.errors import VideoError
from audioreactive.media.ffmpeg import run
from audioreactive.video import VideoSettings, output_format, read_frames
from audioreactive.video.chunks import ENCODER_THREADS, Encoding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FPS = Fraction(24)
SIZE = (96, 64)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone(tmp_path_factory.mktemp("song") / "song.wav", 9)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Nine seconds: calm, then wild, then calm; smooth waves with some noise."""
    random = np.random.RandomState(0)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] / 16
    made = []
    for i in range(208):
        wild = 1.0 if 72 <= i < 144 else 0.2
        waves = np.stack([np.sin(x * (1 + c) + y + i * wild * (0.3 + c / 5)) for c in range(3)], -1)
        made.append(90 + 50 * waves + wild * 25 * random.randn(*waves.shape))
    return np.clip(made, 0, 255).astype(np.uint8)


def make(output: Path, song: Path, frames: np.ndarray, *, length: int = 48, safe: bool = False, **limits) -> list[str]:
    """A film of the frames, in chunks of two seconds or so; what was said."""
    kind, ears = output_format(output), Ears()
    layout = kind.best_layout("")
    size, light = (frames.shape[2], frames.shape[1]), SafeLight(ears) if safe else None
    settings = VideoSettings(fps=FPS, size=size, layout=layout, threads=ENCODER_THREADS, speed="veryfast")
    film = Film(
        output=output,
        encoding=Encoding(kind, settings, size),
        chunks=plan_chunks(0, len(frames), length),
        job={},
        song=song,
        start=Fraction(0),
        duration=len(frames) / FPS,
        preset="a = 1",
        revise=light,
        fit=Budget(ears, **limits, look=light.look_again if light else None) if limits else None,
    )
    executor = LocalExecutor(lambda: Player(frames, layout), film.encoding)  # type: ignore[arg-type, return-value]
    make_film(film, executor, overwrite=True, fresh=False, progress=ears)
    return ears.said


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, song: Path, frames: np.ndarray) -> Callable[[str], Path]:
    """The film without limits, with this extension; made once."""
    folder = tmp_path_factory.mktemp("films")

    @cache
    def film(extension: str) -> Path:
        make(folder / f"plain{extension}", song, frames)
        return folder / f"plain{extension}"

    return film


@pytest.mark.parametrize(("share", "extension"), [(0.35, ".mp4"), (0.35, ".webm"), (0.9, ".webm")])
def test_the_size_is_kept(
    tmp_path: Path, song: Path, frames: np.ndarray, films: Callable[[str], Path], extension: str, share: float
) -> None:
    plain, small = films(extension), tmp_path / f"small{extension}"
    sound = 9 * 24_000
    most = int(sound + (plain.stat().st_size - sound) * share)
    said = make(small, song, frames, size=most)
    assert said[0].startswith(f"small{extension} has ") and "of the song" in said[0]
    assert 0.98 * most <= small.stat().st_size <= most
    shown, usual = (np.stack(list(read_frames(path))) for path in (small, plain))
    assert shown.shape == usual.shape
    assert np.abs(shown.astype(int) - usual).mean() < 30


def rates(path: Path, chunk: int) -> np.ndarray:
    """Bits a second of picture packets in each chunk of so many frames."""
    listing = run(["-v", "error", "-i", str(path), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"])
    packets = re.findall(r"^0, *-?\d+, *-?\d+, *-?\d+, *(\d+),", listing, re.M)
    counts = np.array(packets, int)
    starts = np.arange(0, len(counts), chunk)
    return 8 * np.add.reduceat(counts, starts) / (np.diff([*starts, len(counts)]) / float(FPS))


@pytest.mark.parametrize("extension", [".mp4", ".webm"])
def test_no_chunk_has_more_than_the_bit_rate(
    tmp_path: Path, song: Path, frames: np.ndarray, films: Callable[[str], Path], extension: str
) -> None:
    plain, small = films(extension), tmp_path / f"small{extension}"
    usual = rates(plain, 48)
    sound = 8 * plain.stat().st_size / (len(frames) / FPS) - usual @ [48, 48, 48, 48, 16] / 208
    most = int(sound + 0.6 * usual.max())
    said = make(small, song, frames, rate=most)
    assert "chunks stay as they were" in said[0]
    found = rates(small, 48)
    assert (found[:4] + sound <= 1.001 * most).all() and found.max() + sound > 0.95 * most
    assert 8 * small.stat().st_size / (len(frames) / FPS) <= most
    calm = usual[:4] + sound < most
    assert calm.any()
    np.testing.assert_allclose(found[:4][calm], usual[:4][calm], rtol=0.01)


def sound_of(path: Path) -> str:
    return run(["-v", "error", "-i", str(path), "-map", "0:a:0", "-c", "copy", "-f", "framecrc", "-"])


def test_a_video_that_is_small_enough_is_the_same_file(
    tmp_path: Path, song: Path, frames: np.ndarray, films: Callable[[str], Path]
) -> None:
    plain, small = films(".mp4"), tmp_path / "plain.mp4"
    said = make(small, song, frames, size=plain.stat().st_size, rate=10**8)
    assert said[0].endswith("nothing had to be given up") and small.read_bytes() == plain.read_bytes()
    said = make(small, song, frames, size=plain.stat().st_size - 1)
    assert 0.98 * plain.stat().st_size <= small.stat().st_size < plain.stat().st_size
    assert "instead of 18" in said[0] and sound_of(small) == sound_of(plain)


def test_the_same_settings_give_the_same_file(tmp_path: Path, song: Path, frames: np.ndarray, monkeypatch) -> None:
    """Also where it was cut short while chunks were coded again."""
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    limits = {"size": 300_000, "rate": 600_000}
    make(first, song, frames, **limits)
    code = budget._Coder._code

    def interrupted(self, part):
        if part[0] == 2:
            raise KeyboardInterrupt
        return code(self, part)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(budget._Coder, "_code", interrupted)
        make(second, song, frames, **limits)
    left = {path.name.partition("_")[0] for path in work_folder(second).iterdir()}
    assert left == {"chunk", "light", "chunks.jsonl", "job.json", "lock"}, "and nothing half-made"
    assert make(second, song, frames, **limits)[0] == "5 of 5 chunks are there from before"
    assert first.read_bytes() == second.read_bytes()
    assert sorted(tmp_path.iterdir()) == [first, second]


@pytest.mark.parametrize("extension", [".mp4", ".webm"])
def test_what_is_not_possible_says_what_is(
    tmp_path: Path, song: Path, frames: np.ndarray, films: Callable[[str], Path], extension: str
) -> None:
    plain, out = films(extension), tmp_path / f"out{extension}"
    pictures = run(["-v", "error", "-i", str(plain), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"])
    other = plain.stat().st_size - sum(map(int, re.findall(r"^0, *-?\d+, *-?\d+, *\d+, *(\d+),", pictures, re.M)))
    with pytest.raises(VideoError, match=r"--max-size is .* kB, and even at .*: \d+kB are possible") as told:
        make(out, song, frames, size=other + 3000)
    assert not out.exists()
    least = int(re.search(r"(\d+)kB are", str(told.value))[1]) * 1000  # type: ignore[index]
    make(out, song, frames, size=least)
    assert 0.96 * least <= out.stat().st_size <= least, "no quality is worse, so that it may be a little smaller"


def test_a_dimmed_film_stays_dimmed(tmp_path: Path, song: Path) -> None:
    frames = videos.texture_strobe(FPS)
    plain, small = tmp_path / "plain.mp4", tmp_path / "small.mp4"
    make(plain, song, frames, safe=True)
    most = plain.stat().st_size - 800
    said = make(small, song, frames, safe=True, size=most)
    assert said[0].startswith("flashes were limited") and said[1].startswith("small.mp4 has ") and len(said) == 2
    assert 0.98 * most <= small.stat().st_size <= most
    assert breaks_the_rules(frames, FPS) and not breaks_the_rules(np.stack(list(read_frames(small))), FPS)


def test_flashes_that_come_back_are_told(tmp_path: Path, song: Path, monkeypatch) -> None:
    """Here it looks at frames that were never dimmed."""
    frames, out = videos.texture_strobe(FPS), tmp_path / "out.mp4"
    monkeypatch.setattr(SafeLight, "__call__", lambda self, film, made, folder: iter(()))
    make(out, song, frames)
    said = make(out, song, frames, safe=True, size=out.stat().st_size - 800)
    assert any(one.startswith("the lower quality brought back flashes, first at ") for one in said)
