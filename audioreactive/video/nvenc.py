"""Check whether this machine's GPU can encode video, by trying: the driver and the GPU's name do not tell."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from functools import cache
from typing import Final, Literal

from audioreactive.errors import VideoError
from audioreactive.media.ffmpeg import QUIET, ffmpeg_path
from audioreactive.video.formats import NVENC, OutputFormat, VideoSettings

VideoEncoder = Literal["auto", "x264", "nvenc"]
VIDEO_ENCODERS: Final[tuple[VideoEncoder, ...]] = ("auto", "x264", "nvenc")

_PROBE_SECONDS: Final = 30


def choose_encoder(kind: OutputFormat, encoder: VideoEncoder, *, on_gpu: bool) -> OutputFormat:
    """Return the output format with the requested encoder.

    Args:
        kind: the output format, with the encoder that works everywhere.
        encoder: "x264", "nvenc", or "auto", which uses NVENC if frames are made on a GPU that has it.
        on_gpu: whether frames are made on a GPU.

    Raises:
        VideoError: the format is not H.264, or NVENC is not available.
    """
    if kind.extension != NVENC.extension:
        if encoder != "auto":
            raise VideoError(
                f"--encoder {encoder} only makes H.264, but the output is {kind.description}: leave --encoder out"
            )
        return kind
    if encoder == "x264" or (encoder == "auto" and not on_gpu):
        return kind
    reason = why_no_nvenc()
    if reason is None:
        return NVENC
    if encoder == "nvenc":
        raise VideoError(f"--encoder nvenc cannot be used ({reason}); data-centre GPUs have none: take --encoder x264")
    return kind


@cache
def why_no_nvenc() -> str | None:
    """Try NVENC on a few frames, once per process; returns None if it works, else ffmpeg's reason."""
    frames = ["-f", "lavfi", "-i", "color=size=256x256:rate=24", "-frames:v", "8", "-pix_fmt", "yuv420p"]
    encoding = NVENC.arguments(VideoSettings(fps=Fraction(24), size=(256, 256)))
    command = [str(ffmpeg_path()), *QUIET, *frames, *encoding, "-f", "null", "-"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[0] if said else f"exit code {done.returncode}"
