"""Chunks are taken apart between closed groups of pictures, and come out as they went in."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from audioreactive.errors import VideoError
from audioreactive.media.ffmpeg import run
from audioreactive.video import VideoSettings, output_format
from audioreactive.video.chunks import ENCODER_THREADS, Encoding, read_chunks
from audioreactive.video.groups import Groups, closed_groups, cut

SIZE = (64, 48)
SETTINGS = VideoSettings(fps=Fraction(24), size=SIZE, threads=ENCODER_THREADS)


def encoded(folder: Path, extension: str, *options: str, frames: int = 100) -> tuple[Encoding, str]:
    """A chunk of a picture that moves."""
    encoding = Encoding(output_format(Path(f"x{extension}")), SETTINGS, SIZE)
    name = f"chunk{encoding.suffix}"
    arguments = ["-v", "error", "-f", "lavfi", "-i", f"testsrc2=s={SIZE[0]}x{SIZE[1]}:r=24", "-frames:v", str(frames)]
    arguments += ["-vf", encoding.kind.picture_filters(SETTINGS), *encoding.kind.arguments(SETTINGS), *options]
    run([*arguments, "-f", encoding.kind.chunk_container, str(folder / name)])
    return encoding, name


@pytest.mark.parametrize("extension", [".mp4", ".webm", ".mov", ".mkv", ""])
def test_parts_hold_the_very_pictures(tmp_path: Path, extension: str) -> None:
    encoding, name = encoded(tmp_path, extension)
    groups = closed_groups(tmp_path, name)
    assert groups.stop == 100
    # Two seconds each, or one picture.
    assert groups.starts == ((0, 48, 96) if extension in (".mp4", ".webm") else tuple(range(100)))
    parts = [range(48), range(48, 96), range(96, 100)]
    names = [f"part{i}{encoding.suffix}" for i in range(3)]
    cut(encoding, tmp_path, name, groups, list(zip(parts, names, strict=True)))
    whole = list(read_chunks(encoding, tmp_path, [name]))
    for part, file in zip(parts, names, strict=True):
        np.testing.assert_array_equal(list(read_chunks(encoding, tmp_path, [file])), whole[part.start : part.stop])
    np.testing.assert_array_equal(list(read_chunks(encoding, tmp_path, names)), whole)


def test_a_group_that_leans_on_the_one_before_is_none(tmp_path: Path) -> None:
    """Open groups: key frames after which pictures come that are shown before them."""
    _, name = encoded(tmp_path, ".mp4", "-x264-params", "open-gop=1:scenecut=0:b-adapt=0:bframes=3", "-g", "24")
    listing = run(["-v", "error", "-i", str(tmp_path / name), "-c", "copy", "-f", "framecrc", "-"])
    keys = [line for line in listing.splitlines() if line.startswith("0,") and "F=0x0" not in line]
    assert len(keys) == 5 and len(closed_groups(tmp_path, name).starts) < 5


def test_parts_change_as_whole_groups() -> None:
    groups = Groups((0, 10, 20, 30), 35, (0, 0, 0, 0))

    def parts(*changed: int) -> list[tuple[range, bool]]:
        return groups.parts([i in changed for i in range(35)])

    assert parts() == [(range(35), False)]
    assert parts(0, 34) == [(range(10), True), (range(10, 30), False), (range(30, 35), True)]
    assert parts(12, 29) == [(range(10), False), (range(10, 30), True), (range(30, 35), False)]
    assert parts(5, 15, 25, 34) == [(range(35), True)]


def test_what_is_no_chunk_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "chunk.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"chunk\.mp4 cannot be taken apart"):
        closed_groups(tmp_path, "chunk.mp4")
