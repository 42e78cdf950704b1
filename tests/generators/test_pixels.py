"""From a generator's values to levels, in RGB and in the encoder's own layout."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from audioreactive.generators import to_pixels, to_uint8
from audioreactive.video import VideoSettings, VideoWriter, ffmpeg_path, output_format
from audioreactive.video.formats import raw_input


def test_levels_are_rounded_and_clamped() -> None:
    values = torch.tensor([-9.0, -1.0, -0.996, 0.0, 0.5, 1.0, 9.0]).view(1, 1, 1, 7).expand(1, 3, 1, 7)
    levels = to_uint8(values)
    assert levels.shape == (1, 1, 7, 3)
    assert levels[0, 0, :, 0].tolist() == [0, 0, 1, 128, 191, 255, 255]


def test_yuv_frames_are_half_as_many_bytes_and_the_same_colours() -> None:
    image = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(2, 3, 4, 6)
    assert to_pixels(image, "rgb24", compiled=False).shape == (2, 4, 6, 3)
    planes = to_pixels(image, "yuv420p", compiled=False)
    assert planes.tolist() == [[63] * 24 + [102] * 6 + [240] * 6] * 2  # BT.709's red


SIZE = (128, 96)
LUMA = SIZE[0] * SIZE[1]


def soft_pictures() -> torch.Tensor:
    """(2, 3, H, W): as smooth as what networks paint."""
    noise = torch.randn(2, 3, 12, 16, generator=torch.Generator().manual_seed(0)) * 0.4
    return torch.nn.functional.interpolate(noise, SIZE[::-1], mode="bicubic").clamp(-1, 1)


def yuv_of(*source: str | Path, data: bytes | None = None) -> np.ndarray:
    """(n, H · W · 3 / 2) int: what ffmpeg makes of an input."""
    command = [str(ffmpeg_path()), "-v", "error", *map(str, source), "-f", "rawvideo", "-"]
    raw = subprocess.run(command, check=True, capture_output=True, input=data).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, LUMA * 3 // 2).astype(int)


def test_our_yuv_is_ffmpegs() -> None:
    """The same matrix, the same range, and chroma in the same place."""
    images, look = soft_pictures(), VideoSettings(fps=Fraction(24), size=SIZE)
    rgb = to_pixels(images, "rgb24", compiled=False).numpy().tobytes()
    filters = output_format(Path("x.mp4")).picture_filters(look)
    theirs = yuv_of(*raw_input(look, SIZE), "-vf", filters, data=rgb)
    ours = to_pixels(images, "yuv420p", compiled=False).numpy().astype(int)
    assert np.abs(ours - theirs)[:, :LUMA].max() <= 1  # each rounds once
    # ffmpeg's filter for chroma is a little sharper than ours.
    assert np.abs(ours - theirs)[:, LUMA:].mean() < 0.5
    assert np.percentile(np.abs(ours - theirs)[:, LUMA:], 99) <= 2
    shifted = to_pixels(torch.roll(images, 1, dims=3), "yuv420p", compiled=False).numpy().astype(int)
    assert np.abs(shifted - theirs)[:, LUMA:].mean() > 4, "half a chroma sample to the right would be seen"


@pytest.mark.parametrize("extension", [".mp4", ".webm"])
def test_yuv_frames_go_into_the_file_as_they_are(tmp_path: Path, extension: str) -> None:
    images, told = soft_pictures(), []
    for layout in ("rgb24", "yuv420p"):
        path = tmp_path / f"{layout}{extension}"
        frames = to_pixels(images, layout, compiled=False).numpy()
        settings = VideoSettings(fps=Fraction(24), size=SIZE, crf=1, layout=layout)
        with VideoWriter(path, settings, frame_size=SIZE, sound=None) as writer:
            writer.write(frames)
        command = [str(ffmpeg_path()), "-hide_banner", "-i", str(path)]
        said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stderr
        told.append(re.search(r"yuv420p\([^)]*\)", said)[0])
    assert told[0] == told[1] and "tv" in told[0] and "bt709" in told[0]
    # The codec's own loss, at its best.
    assert np.abs(yuv_of("-i", path) - frames.astype(int)).mean() < 0.7
