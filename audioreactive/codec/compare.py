"""A clip's picture in this codec and in H.264, H.265 and AV1, at equal bytes.

The others are ffmpeg's encoders at their middle speed, 4:2:0 as everybody sends it, with one key frame: the constant
quality is sought whose stream has at most as many bytes. Sizes are of the coded picture alone, without a container.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.codec.container import open_archive
from audioreactive.codec.metrics import psnr, ssim
from audioreactive.codec.packing import PackSettings, pack, read_player
from audioreactive.errors import CodecError
from audioreactive.media import ffmpeg
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from audioreactive.codec.clip import Clip

SEARCHES: Final = 7
"""Encodings that are tried for each codec."""


@dataclass(frozen=True)
class Encoder:
    """An encoder of ffmpeg's."""

    name: str
    arguments: tuple[str, ...]
    container: str
    qualities: range
    """Values of its constant quality, the best first; SVT-AV1 takes 0 for none."""


ENCODERS: Final = (
    Encoder("H.264", ("-c:v", "libx264", "-preset", "medium"), "h264", range(52)),
    Encoder("H.265", ("-c:v", "libx265", "-preset", "medium", "-x265-params", "log-level=none"), "hevc", range(52)),
    Encoder("AV1", ("-c:v", "libsvtav1", "-preset", "6"), "ivf", range(1, 64)),
)


@dataclass(frozen=True)
class Row:
    """One codec."""

    name: str
    bytes: int
    psnr: float
    ssim: float
    encode_seconds: float
    decode_seconds: float


def compare(
    clip: Clip, settings: PackSettings = PackSettings(), *, epochs: int | None = None, progress: Progress | None = None
) -> list[Row]:
    """Pack a clip, and code its picture with others in as many bytes.

    Args:
        clip: the clip.
        settings: settings of the fit.
        epochs: epochs of the thesis' teacher; None: its codec is left out.
        progress: receives the progress.
    """
    progress = progress or Silent()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.arc"
        start = time.perf_counter()
        pack(clip, path, settings, progress)
        took = time.perf_counter() - start
        archive = open_archive(path)
        size = sum(section.size for section in archive.sections if section.name != "sound")
        start = time.perf_counter()
        made = np.stack(list(read_player(archive).pictures(clip.size, clip.fps)))
        rows = [_row("grids (this)", size, clip, made[: len(clip.frames)], took, time.perf_counter() - start)]
        if epochs is not None:
            rows.append(_seed(clip, epochs, path.with_name("seed.arc"), progress))
        available = ffmpeg.encoders()
        chosen = [one for one in ENCODERS if one.arguments[1] in available]
        with progress.track("comparing", len(chosen), "codec") as advance:
            for encoder in chosen:
                rows.append(_sought(encoder, clip, size, Path(folder)))
                advance(1)
    return rows


def coded(encoder: Encoder, clip: Clip, quality: int, folder: Path) -> tuple[int, NDArray[np.uint8], float, float]:
    """Code a clip's picture at a constant quality: bytes, the decoded frames, seconds there and back."""
    width, height = clip.size
    even = width + width % 2, height + height % 2
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(clip.fps), "-i", "pipe:0"]
    to = f"pad={even[0]}:{even[1]},scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp"
    path = folder / f"stream.{encoder.container}"
    write = [*encoder.arguments, "-crf", str(quality), "-g", "9999", "-pix_fmt", "yuv420p", "-f", encoder.container]
    start = time.perf_counter()
    _run([*ffmpeg.QUIET, "-y", *raw, "-vf", to, *write, str(path)], np.ascontiguousarray(clip.frames).tobytes())
    middle = time.perf_counter()
    back = "scale=in_color_matrix=bt709:in_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24"
    data = _run([*ffmpeg.QUIET, "-i", str(path), "-vf", back, "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"])
    frames = np.frombuffer(data, np.uint8).reshape(-1, even[1], even[0], 3)[: len(clip.frames), :height, :width]
    return path.stat().st_size, frames, middle - start, time.perf_counter() - middle


def table(rows: Sequence[Row]) -> str:
    """Text for the user."""
    lines = ["codec             bytes     PSNR    SSIM    coding  decoding"]
    lines += [
        f"{row.name:14} {row.bytes:8}  {row.psnr:5.2f} dB  {row.ssim:.4f}  {row.encode_seconds:6.1f} s  "
        f"{row.decode_seconds:6.2f} s"
        for row in rows
    ]
    best, own = max(rows, key=lambda row: row.psnr), rows[0]
    if best is own:
        return "\n".join([*lines, "At these bytes the grids are the closest to the clip."])
    far = best.psnr - own.psnr
    return "\n".join([*lines, f"At these bytes {best.name} is {far:.1f} dB closer to the clip than the grids."])


def _sought(encoder: Encoder, clip: Clip, size: int, folder: Path) -> Row:
    """The best quality of an encoder that has at most `size` bytes; the worst one if none has."""
    low, high = encoder.qualities[0], encoder.qualities[-1]
    best = None
    for _ in range(SEARCHES):
        if low > high:
            break
        middle = (low + high) // 2
        found = coded(encoder, clip, middle, folder)
        if found[0] <= size:
            best, high = found, middle - 1
        else:
            low = middle + 1
    best = best or coded(encoder, clip, encoder.qualities[-1], folder)
    count, frames, there, back = best
    if len(frames) != len(clip.frames):
        raise CodecError(f"ffmpeg gave {len(frames)} of {len(clip.frames)} frames back from {encoder.name}")
    return _row(encoder.name, count, clip, frames, there, back)


def _seed(clip: Clip, epochs: int, path: Path, progress: Progress) -> Row:
    from audioreactive.codec.seed import pack_seed, read_student

    start = time.perf_counter()
    pack_seed(clip, path, epochs=epochs, progress=progress)
    took = time.perf_counter() - start
    player = read_student(open_archive(path))
    start = time.perf_counter()
    frames = player.frames()
    spent = time.perf_counter() - start
    return _row(f"seed, {epochs} ep.", path.stat().st_size, clip, frames, took, spent)


def _row(name: str, size: int, clip: Clip, frames: NDArray[np.uint8], there: float, back: float) -> Row:
    return Row(name, size, psnr(clip.frames, frames), ssim(clip.frames, frames), there, back)


def _run(arguments: Sequence[str], data: bytes = b"") -> bytes:
    process = ffmpeg.spawn(arguments, stdin=-1)
    try:
        made, said = process.communicate(data)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise CodecError(f"ffmpeg cannot code the clip: {said.decode(errors='replace').strip()[-300:]}")
    return bytes(made)
