"""A clip's sound beside its network: Opus, at the lowest rate that keeps it close to the original.

An ordinary codec carries the sound because it is better at it: see `docs/codec.md` for sine networks measured against
it.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.codec.clip import Sound, read_sound
from audioreactive.codec.metrics import sound_psnr
from audioreactive.errors import CodecError
from audioreactive.media import ffmpeg

if TYPE_CHECKING:
    from collections.abc import Sequence

RATES: Final = (16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 72, 80, 96, 112, 128, 160, 192, 256)
"""Rates of Opus to choose from, in kbit/s."""
GOOD: Final = 35.0
"""Peak signal-to-noise ratio in dB from which a rate is good enough."""
_WAV: Final = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact")


def opus(sound: Sound, kilobits: int) -> bytes:
    """Code a sound as Opus in Ogg."""
    rate = str(sound.rate)
    raw = ["-f", "f32le", "-ar", rate, "-ac", str(sound.samples.shape[1]), "-i", "pipe:0"]
    # 20 ms frames and a fixed serial number: the same sound gives the same bytes.
    coded = ["-c:a", "libopus", "-b:a", f"{kilobits}k", "-serial_offset", "1", *_WAV, "-f", "ogg", "pipe:1"]
    return _through([*ffmpeg.QUIET, *raw, *coded], np.ascontiguousarray(sound.samples, "<f4").tobytes())


def good_opus(sound: Sound, *, least: float = GOOD, most_bytes: int | None = None) -> tuple[bytes, float]:
    """Code a sound at the lowest rate that reaches `least` dB and stays within `most_bytes`; also returns the dB.

    If none reaches it, the highest rate that has room is taken; if none has room, the lowest.
    """
    best: tuple[bytes, float] | None = None
    for kilobits in RATES:
        data = opus(sound, kilobits)
        if best is not None and most_bytes is not None and len(data) > most_bytes:
            break
        best = data, sound_psnr(sound, decoded(data))
        if best[1] >= least:
            break
    assert best is not None
    return best


def decoded(data: bytes, suffix: str = ".opus") -> Sound:
    """Decode the content of a sound file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sound{suffix}"
        path.write_bytes(data)
        return read_sound(path)


def _through(arguments: Sequence[str], data: bytes) -> bytes:
    process = ffmpeg.spawn(arguments, stdin=-1)
    with contextlib.ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.kill)
        made, said = process.communicate(data)
    if process.returncode:
        cause = ffmpeg.plain_cause(said.decode(errors="replace"), "ffmpeg stopped")
        raise CodecError(f"the sound cannot be coded as Opus: {cause}")
    return bytes(made)
