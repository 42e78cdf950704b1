"""A video as its recipe and song, rendered again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from sounds import music

import audioreactive as ar
from audioreactive.codec.container import archive_bytes, open_archive
from audioreactive.codec.recipe import opened, pack_recipe, unpack_recipe
from audioreactive.errors import AudioReactiveError, CodecError
from audioreactive.video import read_frames

if TYPE_CHECKING:
    from pathlib import Path

RATE = 24_576


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A song of four seconds, and its video."""
    folder = tmp_path_factory.mktemp("recipe")
    soundfile.write(folder / "song.flac", music(4.0), RATE, subtype="PCM_16")
    ar.render(folder / "song.flac", folder / "song.mp4", preset="pulse", size="96x54", fps=12)
    return folder / "song.flac", folder / "song.mp4"


@pytest.fixture(scope="module")
def packed(made: tuple[Path, Path]) -> Path:
    song, video = made
    output = video.with_suffix(".arc")
    pack_recipe(video, output, song=song)
    return output


def test_a_recipe_takes_little_more_than_its_song(made: tuple[Path, Path], packed: Path) -> None:
    # Of three minutes of MP3 at 128 kbit/s, 28 000 bytes are a hundredth.
    assert packed.stat().st_size - made[0].stat().st_size < 15_000


def test_the_same_frames_are_rendered_again(made: tuple[Path, Path], packed: Path, tmp_path: Path) -> None:
    from audioreactive.commands.unpack import command

    again = tmp_path / "again.mp4"
    run = CliRunner().invoke(command, [str(packed), "-o", str(again), "-q"], catch_exceptions=False)
    assert run.exit_code == 0 and "the frames are the same: 8 of 8" in run.output
    first, second = (np.stack(list(read_frames(video))) for video in (made[1], again))
    assert np.array_equal(first, second)


def test_another_size_and_rate(packed: Path, tmp_path: Path) -> None:
    from fractions import Fraction

    again = unpack_recipe(open_archive(packed), tmp_path / "a.mp4", size=(64, 64), fps=Fraction(6))
    info = __import__("audioreactive.video", fromlist=["probe"]).probe(again.path)
    assert (info.width, info.height, info.fps, info.frames) == (64, 64, 6, 24)


def test_the_videos_own_sound_is_near_enough(made: tuple[Path, Path], tmp_path: Path) -> None:
    from audioreactive.commands.pack import command

    words = [str(made[1]), "--recipe", "-o", str(tmp_path / "a.arc")]
    run = CliRunner().invoke(command, words, catch_exceptions=False)
    assert run.exit_code == 0 and "--song FILE" in run.output
    assert open_archive(tmp_path / "a.arc").header["sound"] == {"suffix": ".mka"}


def test_opus_says_how_far_it_is(made: tuple[Path, Path], tmp_path: Path) -> None:
    song, video = made
    packed = pack_recipe(video, tmp_path / "a.arc", song=song, as_opus=True)
    again = unpack_recipe(open_archive(packed.path), tmp_path / "a.mkv")
    assert "dB apart" in again.verdict and "the sound was coded again" in again.verdict


def test_another_song_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "other.flac", music(4.0)[::-1], RATE, subtype="PCM_16")
    with pytest.raises(CodecError, match="not the song"):
        pack_recipe(made[1], tmp_path / "a.arc", song=tmp_path / "other.flac")


def test_a_start_must_be_told(made: tuple[Path, Path], tmp_path: Path) -> None:
    from fractions import Fraction

    song, _ = made
    ar.render(song, tmp_path / "late.mp4", preset="pulse", size="96x54", fps=12, start=1.5, duration=2)
    with pytest.raises(CodecError, match=r"give --song with the song's file, .* and --start"):
        pack_recipe(tmp_path / "late.mp4", tmp_path / "a.arc", song=song)
    pack_recipe(tmp_path / "late.mp4", tmp_path / "a.arc", song=song, start=Fraction(3, 2))
    assert "are the same" in unpack_recipe(open_archive(tmp_path / "a.arc"), tmp_path / "again.mp4").verdict


@pytest.mark.parametrize(("crf", "colours"), [(18, 3), (28, 3), (18, 1), (28, 1)])
def test_noise_that_an_encoder_lost_is_the_same_picture(tmp_path: Path, crf: int, colours: int) -> None:
    """Its finest part goes, above all in colours; other noise, and the same one elsewhere, is no likeness."""
    from fractions import Fraction

    from audioreactive.codec.metrics import psnr
    from audioreactive.codec.recipe import ALIKE, NEAR, likeness
    from audioreactive.video import VideoSettings, VideoWriter

    noise = np.random.RandomState(0).randint(0, 256, (4, 54, 96, colours), np.uint8).repeat(3 // colours, -1)
    settings = VideoSettings(fps=Fraction(12), size=(96, 54), crf=crf, threads=1)
    with VideoWriter(tmp_path / "a.mp4", settings, frame_size=(96, 54), sound=None) as writer:
        writer.write(noise)
    coded = list(read_frames(tmp_path / "a.mp4"))
    assert colours == 1 or max(psnr(one[None], two[None]) for one, two in zip(coded, noise, strict=True)) < NEAR
    assert min(likeness(one, two) for one, two in zip(coded, noise, strict=True)) > ALIKE
    for others in (np.roll(noise, 1, 0), np.roll(noise, 5, 2), noise[:, ::-1]):
        assert max(likeness(one, two) for one, two in zip(coded, others, strict=True)) < 15


def test_means_of_blocks_do_not_excuse_another_picture() -> None:
    """A scene with the same texture whose light differs a little has a likeness near its PSNR."""
    from audioreactive.codec.metrics import psnr
    from audioreactive.codec.recipe import likeness

    first = np.random.RandomState(0).randint(40, 200, (54, 96, 3)).astype(np.uint8)
    second = first + (20 + 20 * np.sin(np.arange(96) / 15)[:, None]).astype(np.uint8)
    assert likeness(second, first) <= psnr(second[None], first[None]) + 0.1
    assert likeness(first[:5, :5], first[:5, :5]) == likeness(first, first) == 150


def test_videos_without_a_recipe(clip_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CodecError, match="carries no recipe"):
        pack_recipe(clip_file, tmp_path / "a.arc")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recipe", None), ("recipe", {}), ("sound", {"suffix": ".exe"}), ("picture", {"frames": 0}),
        ("picture", {"frames": True}),
        ("start", "1/0"), ("start", "1e99"), ("frames", [10**12] * 8), ("frames", list(range(99))),
        ("sha256", []), ("model", {"name": 3, "sha256": ""}),
    ],
)  # fmt: skip
def test_headers_of_strangers(packed: Path, tmp_path: Path, key: str, value: object) -> None:
    archive = open_archive(packed)
    header = {name: told for name, told in archive.header.items() if name != "sections"}
    header = json.loads(json.dumps(header))
    (header if key in header else header["recipe"])[key] = value
    sections = {section.name: archive.read(section.name, 1 << 24) for section in archive.sections}
    (tmp_path / "a.arc").write_bytes(archive_bytes(header, sections))
    with pytest.raises(AudioReactiveError), opened(open_archive(tmp_path / "a.arc")):
        pass
