"""Animated GIF and WebP, which have no sound and are encoded as a whole from lossless pictures.

Conventions: frame i is shown at i / fps, rounded to the format's unit (1/100 or 1/1000 s). Each time stamp is rounded
separately, so that errors do not add up.
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
"""Most frames, spread over the video, from which a GIF's 256 colours are chosen; ffmpeg keeps every colour that it sees
in memory."""
PALETTE_SIDE: Final = 128
"""Pixels of the longer side to which the frames are shrunk before a GIF's colours are chosen."""
LONGEST_WEBP: Final = (1 << 24) - 1
"""Milliseconds for which a picture of an animated WebP can be shown."""
_PALETTE_FILE: Final = "palette.png"


def animate(
    kind: OutputFormat,
    settings: VideoSettings,
    source: Sequence[str],
    frames: int,
    made: Path,
    run: Callable[[Sequence[str]], bytes],
) -> None:
    """Encode an animated picture.

    Args:
        kind: a format with an `animation`.
        settings: settings of the video.
        source: ffmpeg's input arguments for the lossless pictures.
        frames: number of frames.
        made: the file to write, in ffmpeg's working folder.
        run: runs ffmpeg with arguments and returns its standard output.

    Raises:
        VideoError: not all frames were encoded.
    """
    assert kind.animation is not None
    exact = ["-fps_mode", "passthrough", "-fflags", "+bitexact", "-flags", "+bitexact", "-loop", "0"]
    if kind.animation.encoder == "gif":
        every = -(-frames // PALETTE_FRAMES)
        small = f"scale={PALETTE_SIDE}:{PALETTE_SIDE}:force_original_aspect_ratio=decrease:flags=area"
        chosen = f"select=not(mod(n\\,{every})),{small},palettegen=stats_mode=full:reserve_transparent=0"
        run([*QUIET, "-y", *source, "-map", "0:v:0", "-vf", chosen, "-frames:v", "1", "-update", "1", _PALETTE_FILE])
        # Ordered dither does not flicker where the picture stands still.
        mapped = "[0:v:0][1:v:0]paletteuse=dither=bayer:bayer_scale=3:diff_mode=rectangle"
        coded = ["-i", _PALETTE_FILE, "-filter_complex", mapped, "-c:v", "gif"]
    else:
        quality = ["-lossless", "0", "-quality", str(webp_quality(settings.crf)), "-compression_level", "4"]
        coded = ["-map", "0:v:0", "-vf", "format=bgra", "-c:v", kind.animation.encoder, *quality]
    report = run([*QUIET, "-y", *source, *coded, *exact, *REPORT, made.name])
    if kind.animation.encoder == "gif":
        if (written := frames_reported(report)) != frames:
            raise VideoError(f"{written} of {frames} frames were coded; the video is not whole")
        return
    if frames > 1 and not webp_milliseconds(made):  # all frames are equal: the encoder has written one picture
        show_for(made, settings.size, round(1000 * frames / settings.fps))
    if abs((told := webp_milliseconds(made)) - 1000 * frames / settings.fps) > 1000 / settings.fps:
        raise VideoError(f"{told} ms of {float(1000 * frames / settings.fps):.0f} were coded; the video is not whole")


def webp_milliseconds(path: Path) -> int:
    """Sum the durations of an animated WebP's pictures; equal successive frames may be stored as one."""
    told = 0
    with path.open("rb") as file:
        file.seek(12)  # RIFF, its size, WEBP
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            frame = file.read(16) if head[:4] == b"ANMF" and size >= 16 else b""
            told += int.from_bytes(frame[12:15], "little")
            file.seek(size + size % 2 - len(frame), os.SEEK_CUR)
    return told


def show_for(path: Path, size: tuple[int, int], milliseconds: int) -> None:
    """Turn a WebP of one picture into an animation that shows it for so long, again and again."""
    data, parts, at = path.read_bytes(), [], 12  # RIFF, its size, WEBP
    while len(head := data[at : at + 8]) == 8:
        length = int.from_bytes(head[4:], "little")
        length += length % 2
        if head[:4] in (b"ALPH", b"VP8 ", b"VP8L"):
            parts.append(data[at : at + 8 + length])
        at += 8 + length
    canvas = b"".join((side - 1).to_bytes(3, "little") for side in size)
    shown = bytes(6) + canvas + min(milliseconds, LONGEST_WEBP).to_bytes(3, "little") + b"\2"
    body = [
        b"WEBP",
        _chunk(b"VP8X", b"\x12\0\0\0" + canvas),  # with transparency, as all frames that are coded here, and moving
        _chunk(b"ANIM", bytes(6)),
        _chunk(b"ANMF", shown + b"".join(parts)),
    ]
    path.write_bytes(_chunk(b"RIFF", b"".join(body)))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def webp_quality(crf: float) -> int:
    """Convert x264's CRF, 1 to 51, to WebP's quality, 0 to 100; 18, which looks lossless, becomes 80."""
    return round(100 - (crf - 1) * 20 / 17)
