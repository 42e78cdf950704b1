"""`audioreactive score` and `render --best-of` as a person calls them."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from audioreactive.features import analyze_file
from audioreactive.patches.presets import load_preset
from audioreactive.video import VideoSettings, VideoWriter, ffmpeg_path

if TYPE_CHECKING:
    from pathlib import Path

RATE, SECONDS, FPS = 22_050, 12, Fraction(24)
FRAMES = int(SECONDS * FPS)


def write_song(path: Path, seconds: float = SECONDS, delay: float = 0.0) -> None:
    """Drum strokes at uneven times over a chord."""
    t = np.arange(round(seconds * RATE)) / RATE
    sound = sum(np.sin(2 * np.pi * pitch * t) for pitch in (220, 277.2, 329.6)) / 30
    for time in np.cumsum(np.random.RandomState(3).uniform(0.25, 0.8, 60)) + delay:
        first = round(time * RATE)
        stroke = np.exp(-np.arange(3000) / 500) * np.random.RandomState(1).randn(3000) * 0.3
        sound[first : first + 3000] += stroke[: max(len(sound) - first, 0)]
    soundfile.write(path, sound.astype(np.float32), RATE)


def write_video(path: Path, frames: np.ndarray, sound: Path | None) -> None:
    settings = VideoSettings(fps=FPS, size=(32, 32), crf=1)
    duration = len(frames) / FPS if sound else None
    with VideoWriter(path, settings, frame_size=(32, 32), sound=sound, duration=duration, overwrite=True) as writer:
        writer.write(frames)


def ffmpeg(*arguments: object) -> None:
    subprocess.run([str(ffmpeg_path()), "-v", "error", "-y", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    path = tmp_path_factory.mktemp("score") / "song.wav"
    write_song(path)
    return path


@pytest.fixture(scope="module")
def reactive(song, own_cache):
    """(FRAMES, 32, 32, 3): a texture as bright as the drums are loud, over smooth random colours."""
    onsets = analyze_file(song, fps=FPS)["onsets"][:FRAMES]
    rng = np.random.default_rng(0)
    texture = rng.random((32, 32, 3))
    colour = np.repeat(rng.random((FRAMES // 24 + 1, 3)), 24, axis=0)[:FRAMES]
    brightness = 0.3 + 0.5 * onsets[:, :, None, None]
    return (255 * np.clip(brightness * texture[None] + 0.15 * colour[:, None, None], 0, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def video(song, reactive, tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    write_video(path, reactive, song)
    return path


def test_a_reactive_video(call, video, tmp_path):
    plot, numbers = tmp_path / "score.png", tmp_path / "score.json"
    done = call("score", video, "--plot", plot, "--json", numbers, "-q")
    assert done.code == 0
    assert "a strong reaction" in done.out and "in step" in done.out
    card = json.loads(numbers.read_text())
    assert card["z"] > 4 and card["lag"] == 0 and card["frames"] == FRAMES
    assert len(card["shifts"]) >= 200
    cells = {(cell["heard"], cell["seen"]): cell["z"] for cell in card["cells"]}
    assert cells["onsets", "visual_variance"] > 4
    strongest = max(cells, key=cells.get)
    assert done.out.partition("what moves what\n")[2].split()[1:3] == list(strongest)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert call("score", video, "--plot", plot).code == 2  # the name is taken


def test_a_longer_song_beside_the_video_and_late(call, video, tmp_path):
    late = tmp_path / "late.wav"
    write_song(late, 14, delay=10 / 24)
    done = call("score", video, "--audio", late, "--json", tmp_path / "late.json")
    assert done.code == 0 and "the 12.0 s that they share are scored" in done.err
    card = json.loads((tmp_path / "late.json").read_text())
    assert abs(card["lag"] - 10) <= 1 and card["z"] < 4
    assert f"the sound comes {card['lag']} frames after what it moves" in done.out


def test_a_render_is_in_step_with_its_sound(call, model, tmp_path):
    """And where the sound comes ten frames later, this is what is said."""
    song, late, video = (tmp_path / name for name in ("song.wav", "late.wav", "video.mp4"))
    write_song(song, 12)
    samples, rate = soundfile.read(song)
    soundfile.write(late, np.concatenate([np.zeros(round(10 / FPS * rate)), samples]), rate)
    assert call("render", song, "--model", model, "--preset", "sparks", "--size", "64x64", "-o", video, "-q").code == 0
    in_step = call("score", video, "--json", tmp_path / "in-step.json", "-q")
    card = json.loads((tmp_path / "in-step.json").read_text())
    assert card["z"] > 6 and abs(card["lag"]) <= 1 and card["lag_p"] < 1e-6
    assert "0 frames: sound and picture are in step" in in_step.out
    delayed = call("score", video, "--audio", late, "-q")
    assert "the sound comes 10 frames after what it moves" in delayed.out


def test_a_video_that_does_not_listen(call, song, tmp_path):
    """No pair of features is named that is not beyond what the best of so many has by chance."""
    walk = np.cumsum(np.random.default_rng(1).normal(size=(FRAMES, 3)), axis=0) * 4 + 128
    frames = np.random.default_rng(2).random((32, 32, 1)) * walk[:, None, None].clip(0, 255)
    write_video(tmp_path / "deaf.mp4", frames.astype(np.uint8), song)
    done = call("score", tmp_path / "deaf.mp4", "-q")
    assert done.code == 0 and "no more than chance" in done.out and "no clear peak" in done.out
    assert "pairs is beyond what chance gives" in done.out


def test_a_shorter_song_beside_the_video_and_in_step(call, video, tmp_path):
    write_song(tmp_path / "short.wav", 10.5)
    short = call("score", video, "--audio", tmp_path / "short.wav", "--json", tmp_path / "short.json")
    assert short.code == 0 and "the 10.5 s that they share are scored" in short.err
    assert json.loads((tmp_path / "short.json").read_text())["lag"] == 0


def test_a_variable_frame_rate(call, reactive, song, video, tmp_path):
    """Every third frame of the first third is missing: time stamps say when the others are shown."""
    uneven = tmp_path / "uneven.mkv"
    drop = f"select='not(lt(n,{FRAMES // 3})*not(mod(n,3)))'"
    ffmpeg("-i", video, "-vf", drop, "-fps_mode", "vfr", "-c:v", "ffv1", "-c:a", "copy", uneven)
    done = call("score", uneven, "--json", tmp_path / "uneven.json")
    assert done.code == 0 and "no constant frame rate" in done.err
    card = json.loads((tmp_path / "uneven.json").read_text())
    assert abs(card["lag"]) <= 1 and card["z"] > 3


def test_what_cannot_be_scored(call, song, reactive, video, tmp_path):
    silent, black, single = (tmp_path / name for name in ("silent.mp4", "black.mp4", "single.mp4"))
    write_video(silent, reactive, None)
    write_video(black, np.zeros_like(reactive), song)
    write_video(single, reactive[:1], song)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:2000])
    (tmp_path / "text.mp4").write_text("not a video")
    for arguments, sentence in (
        ((silent,), "give the song with --audio"),
        ((black,), "nothing changes in the picture"),
        ((single,), "at least 240"),
        ((broken,), "cannot be read as a video"),
        ((tmp_path / "text.mp4",), "cannot be read as a video"),
        ((tmp_path / "none.mp4",), "there is no"),
        ((video, "--audio", tmp_path / "none.wav"), "there is no file"),
        ((video, "--audio", tmp_path / "text.mp4"), "no sound"),
    ):
        done = call("score", *arguments, "-q", "--json", tmp_path / "none.json", "--plot", tmp_path / "none.png")
        assert done.code == 2, arguments
        assert sentence in done.err and done.err.startswith("error: ") and done.err.count("\n") == 1, done.err
    done = call("score", video, "--audio", tmp_path / "none.wav")
    assert done.err.count("\n") == 1, "no bar has begun"
    assert not list(tmp_path.glob("*none.json")) and not list(tmp_path.glob("*none.png"))


def test_best_of(call, song, model, tmp_path):
    """Ends in the preset of one of the seeds, and says which."""
    preset = tmp_path / "best.toml"
    write_song(tmp_path / "long.wav", 21)
    options = ("--model", model, "--seed", 5, "--best-of", 3, "--save-preset", preset, "--dry-run")
    done = call("render", tmp_path / "long.wav", *options)
    assert done.code == 0, done.err
    assert "of 3 presets, number" in done.err and "deviations above chance" in done.err
    chosen = load_preset(str(preset))
    assert chosen.made_with.seed in (5, 6, 7) and f"its seed is {chosen.made_with.seed}" in done.err
    both = call("render", song, "--best-of", 3, "--preset", "pulse", "-o", tmp_path / "x.mp4")
    assert both.code == 2 and "leave one of them out" in both.err
    short = call("render", song, "--best-of", 3, "--model", model, "-o", tmp_path / "x.mp4", "-q")
    assert short.code == 2 and "choose one with --seed" in short.err


def test_the_sound_inside_a_lossless_video_is_the_song(song, reactive, tmp_path):
    """And that inside an mp4 is the song but for its coding: no delay, no other length."""
    lossless, coded = tmp_path / "video.mkv", tmp_path / "video.mp4"
    for path in (lossless, coded):
        write_video(path, reactive, song)
    given = analyze_file(song, fps=FPS)  # as it is kept; the others are heard anew
    inside, lossy = (analyze_file(path, fps=FPS, use_cache=False) for path in (lossless, coded))
    assert given.duration == inside.duration == lossy.duration
    for name in given:
        np.testing.assert_array_equal(inside[name], given[name], err_msg=name)
    for name in ("onsets", "hits", "rms", "chroma", "harmonic.rms"):
        assert np.abs(lossy[name] - given[name]).mean() < 0.02, name
