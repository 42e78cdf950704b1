"""The table of outputs: what each extension means and which arguments make it.

Conventions: incoming frames are sRGB, full range, or YUV 4:2:0 made from it by the matrix of BT.709, limited range.
Where a format stores luma and chroma, RGB is converted in the same way, and the file is tagged as such, so that every
player undoes exactly that.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

from audioreactive.errors import VideoError, did_you_mean
from audioreactive.generators.pixels import Layout
from audioreactive.media.ffmpeg import encoders

SPEEDS: Final = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
)  # fmt: skip
"""x264's presets, from the quickest to the smallest file."""

_VP9_SPEEDS: Final = dict(zip(SPEEDS, (8, 7, 6, 5, 4, 3, 2, 1, 0), strict=True))
GROUP_SECONDS: Final = Fraction(2)
"""Longest group of pictures: players find their place within it, and it is coded again or copied as a whole. Streaming
services take as much. In chunks of five seconds, x264's own choice would save a twentieth of a file."""

_BT709: Final = (
    "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv",
)  # fmt: skip


@dataclass(frozen=True)
class VideoSettings:
    """How the picture is made and coded.

    Raises:
        VideoError: a value is out of range.
    """

    fps: Fraction
    size: tuple[int, int]
    """(width, height) of the finished picture; even where the format halves the colour's resolution."""
    filters: str = ""
    """An ffmpeg filter chain from the generator's frames to the picture; written by the program, never by a person."""
    crf: int = 18
    """x264's constant rate factor: 1 is nearly lossless, 18 looks so, 51 is rubble."""
    speed: str = "medium"
    """One of `SPEEDS`."""
    layout: Layout = "rgb24"
    """Of the frames that come in."""
    threads: int | None = None
    """Of the encoder, which makes another file with another number of them; None: its choice."""

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise VideoError(f"{self.fps} frames a second were asked for; give a rate above 0 and up to 1000")
        if min(self.size) < 1 or max(self.size) > 16384:
            raise VideoError(f"a picture of {_by(self.size)} was asked for; sides go from 1 to 16384 pixels")
        if not 1 <= self.crf <= 51:
            raise VideoError(f"crf {self.crf} was asked for; it goes from 1 to 51 (a lossless video is an .mkv)")
        if self.speed not in SPEEDS:
            raise VideoError(f"there is no encoder speed {self.speed!r}; speeds are {', '.join(SPEEDS)}")
        if self.layout == "yuv420p" and (self.filters or self.size[0] % 2 or self.size[1] % 2):
            raise ValueError("frames in YUV 4:2:0 go to the encoder as they are: even sides, no filters")


@dataclass(frozen=True)
class Animation:
    """A moving picture without sound, which can only be coded as a whole."""

    encoder: str
    fastest: int
    """Frames a second; browsers show faster ones slowly."""
    remark: str
    """What it cannot hold, for a person."""


@dataclass(frozen=True)
class OutputFormat:
    """One kind of output."""

    extension: str
    """With its dot; empty for a folder of frames."""
    description: str
    video_encoder: str
    sound_encoder: str
    pixel_format: str
    video_options: Callable[[VideoSettings], list[str]]
    sound_options: tuple[str, ...]
    container_options: tuple[str, ...] = ()
    even: tuple[bool, bool] = (False, False)
    """Whether width and height must be even."""
    chunk_container: str = "mov"
    """ffmpeg's name of a container for a part of the video, whose clock counts frames exactly."""
    animation: Animation | None = None
    """What the whole is coded as at last, from lossless chunks, where it is a moving picture without sound."""

    @property
    def is_folder(self) -> bool:
        return not self.extension

    @property
    def is_isobmff(self) -> bool:
        """Whether it has the tables of an mp4 (ISO/IEC 14496-12), as its chunks have."""
        return self.extension in (".mp4", ".mov")

    @property
    def available(self) -> bool:
        """Whether this machine's ffmpeg can write it."""
        return self._needed <= encoders()

    @property
    def _needed(self) -> set[str]:
        return {self.video_encoder, self.animation.encoder if self.animation else self.sound_encoder}

    @property
    def is_rgb(self) -> bool:
        return self.pixel_format in ("gbrp", "rgb24")

    def best_layout(self, filters: str) -> Layout:
        """How frames should come in: as YUV where they are stored so, and nothing is to be done to them before."""
        return "yuv420p" if self.pixel_format == "yuv420p" and not filters else "rgb24"

    def check(self, settings: VideoSettings) -> None:
        """Raise VideoError if the picture's size is not possible, or ffmpeg lacks an encoder."""
        if any(even and side % 2 for even, side in zip(self.even, settings.size, strict=True)):
            raise VideoError(f"{self.description} needs even sides, not {_by(settings.size)}; round them to even ones")
        if self.animation and settings.fps > self.animation.fastest:
            raise VideoError(
                f"{float(settings.fps):g} frames a second are too many for {self.description}: browsers show at most "
                f"{self.animation.fastest}; give --fps {self.animation.fastest} or fewer"
            )
        missing = self._needed - encoders()
        if missing:
            raise VideoError(f"this ffmpeg cannot write {self.description}: it lacks {', '.join(sorted(missing))}")

    def picture_filters(self, settings: VideoSettings) -> str:
        """The filter chain from incoming frames to what the encoder takes."""
        convert = [f"format={self.pixel_format}"]
        if settings.layout == "yuv420p":
            # They are what the tags say; chroma stands on the left, where `scale` below puts it.
            convert.append("setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709")
        elif not self.is_rgb:
            # Every pixel's colour is averaged, and lands where H.264 and VP9 players look for it: on the left.
            accurate = "flags=bicubic+accurate_rnd+full_chroma_inp"
            convert.insert(0, f"scale=out_color_matrix=bt709:out_range=tv:out_h_chr_pos=0:out_v_chr_pos=128:{accurate}")
            convert.append("setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709")
        return ",".join(([settings.filters] if settings.filters else []) + convert)

    def arguments(self, settings: VideoSettings) -> list[str]:
        """Encoder arguments of the picture."""
        tags = [] if self.is_rgb else list(_BT709)
        threads = [] if settings.threads is None else ["-threads", str(settings.threads)]
        return ["-c:v", self.video_encoder, *self.video_options(settings), *threads, *tags]


def _group(settings: VideoSettings) -> list[str]:
    return ["-g", str(max(round(GROUP_SECONDS * settings.fps), 1))]


def _h264(settings: VideoSettings) -> list[str]:
    return ["-profile:v", "high", "-preset", settings.speed, "-crf", str(settings.crf), *_group(settings)]


def _h264_nvenc(settings: VideoSettings) -> list[str]:
    # Constant quality as near to x264's factor as NVENC has it: variable rate without a target, adaptive by area.
    quality = ["-rc", "vbr", "-cq", str(settings.crf), "-b:v", "0", "-spatial-aq", "1"]
    groups = ["-bf", "3", *_group(settings), "-strict_gop", "1"]
    return ["-profile:v", "high", "-preset", "p5", "-tune", "hq", *quality, *groups]


def _vp9(settings: VideoSettings) -> list[str]:
    # VP9 counts quality from 0 to 63 where x264 counts to 51; b:v 0 makes the factor rule alone.
    crf = round(settings.crf * 63 / 51)
    speed = _VP9_SPEEDS[settings.speed]
    deadline = "realtime" if speed > 5 else "good"
    quality = ["-crf", str(crf), "-b:v", "0"]
    return [*quality, "-deadline", deadline, "-cpu-used", str(speed), "-row-mt", "1", *_group(settings)]


def _prores(settings: VideoSettings) -> list[str]:
    return ["-profile:v", "hq", "-vendor", "apl0"]


def _ffv1(settings: VideoSettings) -> list[str]:
    # Version 3, every frame a key frame, with checksums: what archives use, and slices for threads.
    return ["-level", "3", "-g", "1", "-slices", "4", "-slicecrc", "1"]


def _png(settings: VideoSettings) -> list[str]:
    return ["-start_number", "0", "-f", "image2"]


FORMATS: Final[dict[str, OutputFormat]] = {
    row.extension: row
    for row in (
        OutputFormat(
            ".mp4", "H.264 and AAC", "libx264", "aac", "yuv420p", _h264, ("-b:a", "256k"),
            ("-movflags", "+faststart"), (True, True), "mp4",
        ),
        OutputFormat(
            ".webm", "VP9 and Opus", "libvpx-vp9", "libopus", "yuv420p", _vp9, ("-b:a", "192k"), (),
            (True, True), "mp4",
        ),
        # Plain .mov tags are limited to 64 KiB; the metadata table is not.
        OutputFormat(
            ".mov", "ProRes 422 HQ and PCM", "prores_ks", "pcm_s24le", "yuv422p10le", _prores, (),
            ("-movflags", "+faststart+use_metadata_tags"), (True, False),
        ),
        OutputFormat(".mkv", "FFV1 and FLAC, lossless", "ffv1", "flac", "gbrp", _ffv1, ()),
        OutputFormat(
            ".gif", "an animated GIF", "ffv1", "", "gbrp", _ffv1, (),
            animation=Animation("gif", 50, "a .gif has no sound and 256 colours; keep it short and small"),
        ),
        OutputFormat(
            ".webp", "an animated WebP", "ffv1", "", "gbrp", _ffv1, (),
            animation=Animation("libwebp_anim", 60, "a .webp has no sound; keep it short and small"),
        ),
        OutputFormat("", "a folder of numbered PNG", "png", "pcm_s24le", "rgb24", _png, ()),
    )
}  # fmt: skip


NVENC: Final = replace(
    FORMATS[".mp4"], description="H.264 by NVENC and AAC", video_encoder="h264_nvenc", video_options=_h264_nvenc
)
"""H.264 by the encoder of an NVIDIA GPU; data-centre GPUs have none."""


def frame_shape(layout: Layout, size: tuple[int, int]) -> tuple[int, ...]:
    """Of one frame of (width, height)."""
    width, height = size
    return (height, width, 3) if layout == "rgb24" else (height * width * 3 // 2,)


def raw_input(settings: VideoSettings, frame_size: tuple[int, int]) -> list[str]:
    """Input arguments of ffmpeg for frames of (width, height) that come through its standard input."""
    size = f"{frame_size[0]}x{frame_size[1]}"
    frames = ["-f", "rawvideo", "-pixel_format", settings.layout, "-video_size", size]
    return [*frames, "-framerate", str(settings.fps), "-i", "pipe:0"]


def output_formats() -> tuple[OutputFormat, ...]:
    """Every kind of output, in the order in which the documentation lists them."""
    return tuple(FORMATS.values())


def output_format(path: Path) -> OutputFormat:
    """The format that a name asks for: by its extension; a name without one, or a folder, is a folder of frames.

    Raises:
        VideoError: the extension is not known.
    """
    extension = "" if path.is_dir() else path.suffix.lower()
    if extension not in FORMATS:
        known = ", ".join(name for name in FORMATS if name)
        close = did_you_mean(extension, [name for name in FORMATS if name])
        raise VideoError(
            f"{path} ends in {extension!r}, which is no kind of video that can be written{close or ';'} "
            f"give a name that ends in {known}, or one without an extension for a folder of frames"
        )
    return FORMATS[extension]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
