"""Table of output formats, with ffmpeg's arguments for each.

Conventions: incoming frames are full-range sRGB, or limited-range YUV 4:2:0 made from it by the BT.709 matrix. For a
format that stores luma and chroma, RGB is converted in the same way and the file is tagged accordingly, so that every
player converts it back correctly.
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
"""x264's presets, from fastest encoding to smallest file."""

BEST_CRF: Final = 1
WORST_CRF: Final = 51

_REFERENCES: Final = dict(zip(SPEEDS, (1, 1, 1, 2, 2, 3, 5, 8, 16), strict=True))
"""Speed of x264 -> pictures that it refers to, which stand in the header."""
_VP9_SPEEDS: Final = dict(zip(SPEEDS, (8, 7, 6, 5, 4, 3, 2, 1, 0), strict=True))
VP9_STEP: Final = 51 / 63
"""Finest step of VP9's quality in x264's CRF: VP9's own goes from 0 to 63 in whole numbers, x264's to 51."""
GROUP_SECONDS: Final = Fraction(2)
"""Longest group of pictures, in seconds, as streaming services use. Players seek to groups, and flashes are repaired by
encoding whole groups again. With chunks of five seconds, x264's default would save 5 % of a file."""

_BT709: Final = (
    "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv",
)  # fmt: skip


@dataclass(frozen=True)
class VideoSettings:
    """Settings of the picture and its encoder.

    Raises:
        VideoError: a value is out of range.
    """

    fps: Fraction
    size: tuple[int, int]
    """(width, height) of the finished picture; even if the format halves the resolution of colours."""
    filters: str = ""
    """ffmpeg filter chain from the generator's frames to the picture; made by the program, never by the user."""
    crf: float = 18
    """x264's constant rate factor: 1 is nearly lossless, 18 looks lossless, 51 is the worst."""
    speed: str = "medium"
    """Speed of the encoder, one of `SPEEDS`."""
    hurried: bool = False
    """Whether to encode faster than `speed`, though with the same header, so that both can be joined."""
    layout: Layout = "rgb24"
    """Layout of the incoming frames."""
    threads: int | None = None
    """Threads of the encoder; its output depends on the number. None: its own choice."""

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise VideoError(f"{self.fps} frames a second were asked for; give a rate above 0 and up to 1000")
        if min(self.size) < 1 or max(self.size) > 16384:
            raise VideoError(f"a picture of {_by(self.size)} was asked for; sides go from 1 to 16384 pixels")
        if not BEST_CRF <= self.crf <= WORST_CRF:
            raise VideoError(f"crf {self.crf:g} was asked for; it goes from 1 to 51 (a lossless video is an .mkv)")
        if self.speed not in SPEEDS:
            raise VideoError(f"there is no encoder speed {self.speed!r}; speeds are {', '.join(SPEEDS)}")
        if self.layout == "yuv420p" and (self.filters or self.size[0] % 2 or self.size[1] % 2):
            raise ValueError("frames in YUV 4:2:0 go to the encoder as they are: even sides, no filters")


@dataclass(frozen=True)
class Animation:
    """Animated picture format without sound, which can only be encoded as a whole."""

    encoder: str
    fastest: int
    """Most frames per second; browsers slow down faster ones."""
    remark: str
    """Sentence for the user about the limits of the format."""


@dataclass(frozen=True)
class OutputFormat:
    """Output format: containers, encoders and their options."""

    extension: str
    """File extension with its dot; empty for a folder of frames."""
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
    """ffmpeg's name of the container for chunks, whose time base counts frames exactly."""
    crf_step: float | None = None
    """Finest step of the quality; None if the format has no choice of it, so that its size cannot be chosen either."""
    animation: Animation | None = None
    """Final encoding of an animated picture, made from lossless chunks; None for videos with sound."""

    @property
    def is_folder(self) -> bool:
        return not self.extension

    @property
    def is_isobmff(self) -> bool:
        """Whether the container is an ISO base media file (ISO/IEC 14496-12), as its chunks are."""
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
        """Choose the layout for incoming frames: YUV if it is stored as it arrives and no filter needs RGB."""
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
            # The frames match these tags already; chroma is sited on the left, as by `scale` below.
            convert.append("setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709")
        elif not self.is_rgb:
            # Average all pixels' colours, sited on the left, as H.264 and VP9 players expect.
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
    # The smallest search for motion takes two thirds of that preset's time, for files that are a tenth larger.
    search = ":me=dia:subme=1" if settings.speed == "veryfast" else ""
    if settings.hurried:
        # Speeds from `fast` on weigh what the eye sees (psy-rd), and shift the quality of colours to make up for it.
        shift = -2 if SPEEDS.index(settings.speed) >= SPEEDS.index("fast") else 0
        between = 8 if settings.speed == "veryslow" else 3
        search = f":ref={_REFERENCES[settings.speed]}:bframes={between}:weightp=1:chroma-qp-offset={shift}"
        settings = replace(settings, speed="superfast")
    # The header stays the same whatever the quality, so that chunks of several qualities can be joined.
    further = ["-x264-params", f"stitchable=1{search}"]
    return ["-profile:v", "high", "-preset", settings.speed, *further, "-crf", f"{settings.crf:g}", *_group(settings)]


def _h264_nvenc(settings: VideoSettings) -> list[str]:
    # NVENC's closest mode to x264's CRF: variable rate without a target, with spatial adaptive quantisation.
    quality = ["-rc", "vbr", "-cq", f"{settings.crf:g}", "-b:v", "0", "-spatial-aq", "1"]
    # NVENC refuses groups of pictures that are not longer than a run of bidirectional ones and its two neighbours.
    group = _group(settings)
    groups = ["-bf", str(min(max(int(group[1]) - 2, 0), 3)), *group, "-strict_gop", "1"]
    return ["-profile:v", "high", "-preset", "p5", "-tune", "hq", *quality, *groups]


def _vp9(settings: VideoSettings) -> list[str]:
    # With b:v 0 only the CRF counts.
    crf = round(settings.crf / VP9_STEP)
    speed = 8 if settings.hurried else _VP9_SPEEDS[settings.speed]
    deadline = "realtime" if speed > 5 else "good"
    quality = ["-crf", str(crf), "-b:v", "0"]
    return [*quality, "-deadline", deadline, "-cpu-used", str(speed), "-row-mt", "1", *_group(settings)]


def _prores(settings: VideoSettings) -> list[str]:
    return ["-profile:v", "hq", "-vendor", "apl0"]


def _ffv1(settings: VideoSettings) -> list[str]:
    # As archives use it: version 3, all key frames, checksums; slices allow threads. They are two by two.
    slices = "4" if min(settings.size) > 1 else "1"
    return ["-level", "3", "-g", "1", "-slices", slices, "-slicecrc", "1"]


def _png(settings: VideoSettings) -> list[str]:
    return ["-start_number", "0", "-f", "image2"]


FORMATS: Final[dict[str, OutputFormat]] = {
    row.extension: row
    for row in (
        OutputFormat(
            ".mp4", "H.264 and AAC", "libx264", "aac", "yuv420p", _h264, ("-b:a", "256k"),
            ("-movflags", "+faststart"), (True, True), "mp4", 0.01,
        ),
        OutputFormat(
            ".webm", "VP9 and Opus", "libvpx-vp9", "libopus", "yuv420p", _vp9, ("-b:a", "192k"), (),
            (True, True), "mp4", VP9_STEP,
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
"""Format .mp4 with the H.264 encoder of an NVIDIA GPU; data-centre GPUs have none."""


def frame_shape(layout: Layout, size: tuple[int, int]) -> tuple[int, ...]:
    """Return the array shape of one frame of (width, height)."""
    width, height = size
    return (height, width, 3) if layout == "rgb24" else (height * width * 3 // 2,)


def raw_input(settings: VideoSettings, frame_size: tuple[int, int]) -> list[str]:
    """Build ffmpeg's input arguments for raw frames of (width, height) from its standard input."""
    size = f"{frame_size[0]}x{frame_size[1]}"
    frames = ["-f", "rawvideo", "-pixel_format", settings.layout, "-video_size", size]
    return [*frames, "-framerate", str(settings.fps), "-i", "pipe:0"]


def output_formats() -> tuple[OutputFormat, ...]:
    """List all output formats, in the order of the documentation."""
    return tuple(FORMATS.values())


def output_format(path: Path) -> OutputFormat:
    """Choose the format by the extension of a path; one without an extension, or a folder, means a folder of frames.

    Raises:
        VideoError: the extension is not known.
    """
    extension = "" if path.is_dir() else path.suffix.lower()
    if extension not in FORMATS:
        known = ", ".join(name for name in FORMATS if name)
        close = did_you_mean(extension, [name for name in FORMATS if name])
        raise VideoError(
            f"{path} ends in {extension!r}, which is not a known kind of video{close or ';'} "
            f"give a name that ends in {known}, or one without an extension for a folder of frames"
        )
    return FORMATS[extension]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
