"""Moving pictures without sound, GIF and WebP, coded as a whole from lossless pictures.

Conventions: time stamps are rounded to what the format can tell, hundredths or thousandths of a second, each on
its own: frame i comes at i / fps, and nothing adds up.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from audioreactive.errors import VideoError
from audioreactive.media.ffmpeg import QUIET
from audioreactive.video.encoder import REPORT, frames_reported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from audioreactive.video.formats import OutputFormat, VideoSettings

PALETTE_FRAMES: Final = 200
"""Frames from which a GIF's 256 colours are chosen, at most, spread over the video: the choice keeps every colour
that it sees in memory."""
PALETTE_SIDE: Final = 128
"""Pixels to which those frames are shrunk."""
_PALETTE_FILE: Final = "palette.png"


def animate(
    kind: OutputFormat,
    settings: VideoSettings,
    source: Sequence[str],
    frames: int,
    made: Path,
    run: Callable[[Sequence[str]], bytes],
) -> None:
    """Code a moving picture.

    Args:
        kind: a format with an `animation`.
        settings: of the video.
        source: ffmpeg's input arguments of the lossless pictures.
        frames: their number.
        made: the file to write, in the folder in which ffmpeg runs.
        run: runs ffmpeg with arguments, and gives back what it says on standard output.

    Raises:
        VideoError: not all frames were coded.
    """
    assert kind.animation is not None
    exact = ["-fps_mode", "passthrough", "-fflags", "+bitexact", "-flags", "+bitexact", "-loop", "0"]
    if kind.animation.encoder == "gif":
        every = -(-frames // PALETTE_FRAMES)
        small = f"scale={PALETTE_SIDE}:{PALETTE_SIDE}:force_original_aspect_ratio=decrease:flags=area"
        chosen = f"select=not(mod(n\\,{every})),{small},palettegen=stats_mode=full:reserve_transparent=0"
        run([*QUIET, "-y", *source, "-map", "0:v:0", "-vf", chosen, "-frames:v", "1", "-update", "1", _PALETTE_FILE])
        # An ordered dither stands still where the picture does.
        mapped = "[0:v:0][1:v:0]paletteuse=dither=bayer:bayer_scale=3:diff_mode=rectangle"
        coded = ["-i", _PALETTE_FILE, "-filter_complex", mapped, "-c:v", "gif"]
    else:
        quality = ["-lossless", "0", "-quality", str(webp_quality(settings.crf)), "-compression_level", "4"]
        coded = ["-map", "0:v:0", "-vf", "format=bgra", "-c:v", kind.animation.encoder, *quality]
    report = run([*QUIET, "-y", *source, *coded, *exact, *REPORT, made.name])
    if kind.animation.encoder == "gif":
        if (written := frames_reported(report)) != frames:
            raise VideoError(f"{written} of {frames} frames were coded; the video is not whole")
    elif abs((told := webp_milliseconds(made)) - 1000 * frames / settings.fps) > 1000 / settings.fps:
        raise VideoError(f"{told} ms of {float(1000 * frames / settings.fps):.0f} were coded; the video is not whole")


def webp_milliseconds(path: Path) -> int:
    """How long an animated WebP lasts: the sum over its pictures, of which equal ones in a row may be one."""
    told = 0
    with path.open("rb") as file:
        file.seek(12)  # RIFF, its size, WEBP
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            frame = file.read(16) if head[:4] == b"ANMF" and size >= 16 else b""
            told += int.from_bytes(frame[12:15], "little")
            file.seek(size + size % 2 - len(frame), os.SEEK_CUR)
    return told


def webp_quality(crf: int) -> int:
    """WebP's quality, from 0 to 100, for x264's factor from 1 to 51: 18, which looks lossless, is 80."""
    return round(100 - (crf - 1) * 20 / 17)
