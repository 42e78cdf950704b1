"""Check whether this machine's GPU can encode video, by trying: the driver and the GPU's name do not tell."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from functools import cache
from typing import Final, Literal

from audioreactive.errors import VideoError
from audioreactive.media.ffmpeg import QUIET, ffmpeg_path
from audioreactive.video.formats import FORMATS, NVENC, OutputFormat, VideoSettings

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


def encoder_for(kind: OutputFormat, settings: VideoSettings, encoder: VideoEncoder) -> tuple[OutputFormat, str | None]:
    """Return the format to take for these settings: x264 where NVENC was chosen and cannot encode such a video.

    Returns:
        The format, and why it is not NVENC if NVENC was chosen.

    Raises:
        VideoError: NVENC was asked for by name.
    """
    reason = why_no_nvenc(settings) if kind.video_encoder == NVENC.video_encoder else None
    if reason is None:
        return kind, None
    if encoder == "nvenc":
        width, height = settings.size
        raise VideoError(
            f"--encoder nvenc cannot encode {width}x{height} at {float(settings.fps):g} frames a second ({reason}); "
            "take --encoder x264"
        )
    return FORMATS[kind.extension], reason


_TRIAL: Final = VideoSettings(fps=Fraction(24), size=(256, 256))


@cache
def why_no_nvenc(settings: VideoSettings = _TRIAL) -> str | None:
    """Try NVENC on a few frames of a video with these settings, once per process; None if it works, else the reason."""
    source = f"color=size={settings.size[0]}x{settings.size[1]}:rate={settings.fps}"
    frames = ["-f", "lavfi", "-i", source, "-frames:v", "8", "-pix_fmt", "yuv420p"]
    encoding = NVENC.arguments(settings)
    command = [str(ffmpeg_path()), *QUIET, *frames, *encoding, "-f", "null", "-"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[0] if said else f"exit code {done.returncode}"
