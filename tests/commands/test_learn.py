"""`render --synthesizer` and `train`, end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from audioreactive.patches.presets import load_preset
from audioreactive.video import read_frames

if TYPE_CHECKING:
    from pathlib import Path

RATE = 22_050


def frames_of(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one song of nine seconds, below."""
    t = np.arange(9 * RATE) / RATE
    drum = np.exp(-(t % 0.5) * 40) * np.random.RandomState(0).randn(len(t)) * 0.3
    chord = sum(np.sin(2 * np.pi * pitch * (1 + (t > 4) / 8) * t) for pitch in (220, 277.2, 329.6)) / 12
    folder = tmp_path_factory.mktemp("music")
    (folder / "album").mkdir()
    soundfile.write(folder / "album" / "song.wav", drum + chord, RATE)
    return folder


@pytest.mark.usefixtures("little_learning")
def test_hippo_ends_in_a_preset_that_gives_the_same_video(call, song, model, tmp_path) -> None:
    out, again, other = (tmp_path / f"{name}.mkv" for name in ("out", "again", "other"))
    common = ("--model", model, "--quiet", "--set", "synthesizers.*.steps = 40")
    made = call("render", song, *common, "--synthesizer", "hippo", "--weight", "onsets=10", "-o", out)
    assert made.code == 0, made.err
    preset = load_preset(str(out))
    assert preset.patch.synthesizers[0].weights == {"onsets": 10}
    assert call("render", song, "--model", model, "--quiet", "--preset", out, "-o", again).code == 0
    assert call("render", song, *common, "--preset", out, "--motion-seed", 1, "-o", other).code == 0
    expected = frames_of(out)
    assert expected.std(axis=0).mean() > 2  # it moves
    np.testing.assert_array_equal(frames_of(again), expected)
    assert np.abs(frames_of(other).astype(int) - expected).mean() > 1
    assert load_preset(str(other)).patch.synthesizers[0].motion_seed == 1


def test_a_trained_synthesizer_renders_and_travels_with_the_video(call, song, model, music, tmp_path) -> None:
    file, out, again = tmp_path / "mine.safetensors", tmp_path / "out.mkv", tmp_path / "again.mkv"
    made = call("train", "--music", music, "-o", file, "--examples", 8, "--batch", 4, "--depth", 1, "--quiet")
    assert made.code == 0, made.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.png", "mine.safetensors"]
    common = ("--model", model, "--quiet")
    made = call("render", song, *common, "--synthesizer", file, "--motion-seed", 7, "-o", out)
    assert made.code == 0, made.err
    file.unlink()
    assert call("render", song, *common, "--preset", out, "-o", again).code == 0
    np.testing.assert_array_equal(frames_of(again), frames_of(out))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--synthesizer", "none.safetensors"), "cannot be read"),
        (("--synthesizer", "hippo", "--best-of", "4"), "leave one of them out"),
        (("--synthesizer", "hippo", "--preset", "pulse"), "give one of them"),
        (("--motion-seed", "7"), "--motion-seed is for a synthesizer"),
        (("--weight", "onsets=10"), "--weight is for a synthesizer"),
        (("--synthesizer", "hippo", "--weight", "onset=10"), "no feature 'onset'"),
        (("--synthesizer", "hippo", "--weight", "onsets=-1"), "weight from 0 to 1000"),
        (("--preset", "pulse", "--motion-seed", "7"), "and the preset 'pulse' has none"),
    ],
)
def test_mistakes_are_sentences(call, song, model, tmp_path, options, message) -> None:
    result = call("render", song, "--model", model, "-o", tmp_path / "out.mp4", *options)
    assert result.code == 2
    assert message in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "x.pkl"), "should end in .safetensors"),
        (("-o", "x.safetensors"), "no music in"),
    ],
)
def test_training_needs_music_and_a_name(call, tmp_path, options, message) -> None:
    result = call("train", "--music", tmp_path, *options)
    assert result.code == 2
    assert message in result.err


def test_songs_without_change_are_refused(call, tmp_path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(10 * RATE), RATE)
    result = call("train", "--music", tmp_path, "-o", tmp_path / "x.safetensors", "--quiet")
    assert result.code == 2
    assert "silent" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["silence.wav"]


def test_training_on_too_few_songs_says_that_none_is_held_out(call, music, tmp_path) -> None:
    short = ("--examples", 4, "--batch", 4, "--depth", 1)
    made = call("train", "--music", music, "-o", tmp_path / "one.safetensors", *short)
    assert made.code == 0 and "note: one song to learn from, and none is held out" in made.err
    made = call("train", "--music", music, "-o", tmp_path / "two.safetensors", *short, "--quiet")
    assert made.code == 0 and "held out" not in made.err


def test_songs_are_held_out_from_five_on() -> None:
    from types import SimpleNamespace
    from typing import cast

    from audioreactive.learn.dataset import Song, why_none_is_held_out

    songs = [cast("Song", SimpleNamespace(digest=f"{i}")) for i in range(5)]
    assert why_none_is_held_out(songs) is None
    assert "4 songs to learn from" in str(why_none_is_held_out(songs[:4]))
