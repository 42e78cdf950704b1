"""`audioreactive flashes` as a person calls it, on real files."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from flashes import videos
from flashes.checker import breaks_the_rules
from PIL import Image

from audioreactive.flashes import Thumbnails, measure, plan
from audioreactive.generators import stylegan2
from audioreactive.video import VideoSettings, VideoWriter, read_frames

if TYPE_CHECKING:
    from pathlib import Path

FPS = Fraction(24)


def write(path: Path, frames: np.ndarray, *, crf: int = 18) -> Path:
    size = (frames.shape[2], frames.shape[1])
    settings = VideoSettings(fps=FPS, size=size, crf=crf)
    with VideoWriter(path, settings, frame_size=size, sound=None, overwrite=True) as writer:
        writer.write(frames)
    return path


def limited(frames: np.ndarray) -> np.ndarray:
    return plan(Thumbnails([measure(frames)], (frames.shape[2], frames.shape[1])), FPS).apply(frames, 0)


def test_a_video_that_flashes(call, tmp_path) -> None:
    """One sentence, where it happens, exit code 1, a plot and all numbers."""
    video = write(tmp_path / "strobe.mp4", videos.strobe(FPS))
    done = call("flashes", video, "--plot", tmp_path / "flashes.png", "--json", tmp_path / "flashes.json", "-q")
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[0].startswith("strobe.mp4 flashes too often for photosensitive viewers: up to 10 general and 0 red")
    assert lines[1].split() == ["0:01.25", "to", "0:02.54", "general", "up", "to", "10", "in", "a", "second"]
    assert (tmp_path / "flashes.png").stat().st_size > 10_000
    numbers = json.loads((tmp_path / "flashes.json").read_text())
    assert not numbers["within"] and numbers["most"] == {"general": 10, "red": 0}
    assert len(numbers["times"]) == len(numbers["flashes"]["red"]) == len(numbers["brightness"]) == 90


@pytest.mark.parametrize("extension", [".gif", ".webp"])
def test_animated_pictures_are_watched_too(call, tmp_path, extension: str) -> None:
    """Written by another program; of the rate, hundredths of a second are kept in a GIF."""
    for name, frames, code in (("strobe", videos.strobe(FPS), 1), ("calm", videos.slow_fades(FPS), 0)):
        path = tmp_path / f"{name}{extension}"
        pictures = [Image.fromarray(frame) for frame in frames]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, lossless=True)
        done = call("flashes", path, "-q")
        assert done.code == code and path.name in done.out, done.err
    mute = call("score", tmp_path / f"strobe{extension}")
    assert mute.code == 2 and "no sound of its own; give the song with --audio FILE" in mute.err


def test_what_the_program_writes_as_a_loop_is_watched(call, song, model, tmp_path) -> None:
    for name in ("loop.gif", "loop.webp", "pictures"):
        out = tmp_path / name
        assert call("render", song, "--model", model, "--seed", 1, "--duration", 0.5, "-q", "-o", out).code == 0
        assert call("flashes", out, "-q").out.startswith(f"{name} keeps to 3 flashes")


def test_what_is_no_video_is_a_sentence_that_says_what_is(call, song) -> None:
    done = call("flashes", song)
    assert done.code == 2 and "gif, webp and folders of frames of this program are read" in done.err


@pytest.mark.parametrize("name", ["strobe", "checkerboard", "red and dark", "texture strobe"])
def test_limited_videos_are_safe_after_compression(call, tmp_path, name) -> None:
    """What a viewer's player decodes is within the rules, for the command and for the independent checker."""
    frames = videos.BAD[name][0](FPS)
    assert call("flashes", write(tmp_path / "before.mp4", frames), "-q").code == 1
    after = write(tmp_path / "after.mp4", limited(frames), crf=28)
    done = call("flashes", after, "-q")
    assert done.code == 0 and "after.mp4 keeps to 3 flashes a second" in done.out
    assert not breaks_the_rules(np.stack(list(read_frames(after))), FPS)


def test_a_render_that_flashes_is_limited_where_asked(call, song, model, tmp_path, monkeypatch) -> None:
    """Two frames of each four are white or black: six flashes a second."""
    to_pixels = stylegan2.to_pixels

    def flashing(images, layout, *, compiled):
        images = images.mean(dim=1, keepdim=True).repeat(1, 3, 1, 1)  # grey
        images[:2], images[2:] = images[:2] * 0.2 - 0.8, images[2:] * 0.2 + 0.8
        return to_pixels(images, layout, compiled=compiled)

    look = ("--model", model, "--seed", 3, "--size", "64x64", "--batch", 4, "--chunk", 1)
    with monkeypatch.context() as patch:
        patch.setattr(stylegan2, "to_pixels", flashing)
        assert call("render", song, *look, "-o", tmp_path / "wild.mp4", "-q").code == 0
        done = call("render", song, *look, "-o", tmp_path / "tame.mp4", "--flash-safe")
    assert done.code == 0
    assert "note: flashes were limited to three a second at 0:00-0:03: dimmed by up to" in done.err
    wild, tame = (np.stack(list(read_frames(tmp_path / name))) for name in ("wild.mp4", "tame.mp4"))
    assert len(tame) == len(wild) == 72
    assert breaks_the_rules(wild, FPS) == {"general"} and not breaks_the_rules(tame, FPS)
    assert call("flashes", tmp_path / "wild.mp4", "-q").code == 1
    assert call("flashes", tmp_path / "tame.mp4", "-q").code == 0


def test_a_render_within_the_rules_is_the_same_to_the_bit(call, song, model, tmp_path) -> None:
    look = ("--model", model, "--preset", "tides", "--size", "64x64", "--chunk", 1)
    (tmp_path / "safe").mkdir()
    assert call("render", song, *look, "-o", tmp_path / "out.mp4", "-q").code == 0
    done = call("render", song, *look, "-o", tmp_path / "safe" / "out.mp4", "--flash-safe")
    assert done.code == 0 and "nothing was changed" in done.err
    assert (tmp_path / "safe" / "out.mp4").read_bytes() == (tmp_path / "out.mp4").read_bytes()


def test_folders_of_frames_are_videos_too(call, tmp_path) -> None:
    assert call("flashes", write(tmp_path / "frames", videos.strobe(FPS)[:60]), "-q").code == 1


def test_what_cannot_be_watched(call, tmp_path) -> None:
    single = write(tmp_path / "single.mp4", videos.strobe(FPS)[:1])
    whole = write(tmp_path / "whole.mp4", videos.strobe(FPS)[:48])
    (tmp_path / "broken.mp4").write_bytes(whole.read_bytes()[:1500])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video")
    for arguments, sentence in (
        ((single,), "has 1 frame; a flash takes at least two"),
        ((tmp_path / "broken.mp4",), ""),
        ((tmp_path / "empty.mp4",), ""),
        ((tmp_path / "text.mp4",), ""),
        ((tmp_path / "none.mp4",), "there is no"),
        ((whole, "--plot", tmp_path / "plot.txt"), "should end in .png"),
        ((whole, "--json", single), "should end in .json"),
        ((whole, "--plot", tmp_path / "missing" / "plot.png"), "does not exist"),
    ):
        done = call("flashes", *arguments, "-q")
        assert done.code == 2 and done.err.startswith("error: ") and sentence in done.err, (arguments, done)
        assert not done.out
