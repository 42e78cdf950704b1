"""The sound of a song as a player needs it: any passage at once, and its outline for a picture of the waveform.

The samples are those that a video gets (`decoding`), as 16-bit integers in a temporary file.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from audioreactive.errors import AudioError
from audioreactive.media.decoding import Decoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.media.decoding import Recording

PEAKS_PER_SECOND: Final = 100
"""Columns of the outline; a pixel of a waveform on a screen is a hundredth of a second or more."""
_FULL_SCALE: Final = 32767


class Playback:
    """Decoded sound of a recording.

    Args:
        recording: the song, as `audio.load` found it.

    Raises:
        AudioError: it cannot be decoded, or the disk is full.
    """

    def __init__(self, recording: Recording) -> None:
        self.rate = recording.rate
        self.channels = 1
        self.length = 0
        """Samples of each channel."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        outline = _Outline(recording.rate)
        try:
            with contextlib.closing(Decoder(recording, is_for_two_ears=True).blocks()) as blocks:
                for block in blocks:
                    self.channels = block.shape[1]
                    sound = np.clip(block * np.float32(recording.gain), -1, 1)
                    outline.add(sound)
                    self._file.write(np.round(sound * _FULL_SCALE).astype("<i2").data)
                    self.length += len(sound)
            self._file.flush()
        except OSError as error:
            self.close()
            raise AudioError(f"the sound cannot be kept in the temporary folder: {error.strerror}") from error
        except BaseException:
            self.close()
            raise
        self.peaks = outline.finish()
        """(n, 2) int8 lowest and highest value of each hundredth of a second, over all channels."""

    def passage(self, start: int, stop: int) -> bytes:
        """Return samples start to stop - 1 of all channels, interleaved, 16 bits each, lowest byte first."""
        start, stop = max(start, 0), min(stop, self.length)
        if stop <= start:
            return b""
        size = 2 * self.channels
        table = np.memmap(self._file, np.uint8, "r", offset=0, shape=(self.length * size,))
        return table[start * size : stop * size].tobytes()

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Outline:
    """Lowest and highest values of each hundredth of a second."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._count = 0  # columns that are complete
        self._start = 0  # first sample of `_rest`
        self._rest = np.zeros((0, 2), np.float32)
        self._parts: list[NDArray[np.int8]] = []

    def add(self, block: NDArray[np.float32]) -> None:
        extremes = np.stack([block.min(axis=1), block.max(axis=1)], axis=1)
        self._rest = np.concatenate([self._rest, extremes])
        last = (self._start + len(self._rest)) * PEAKS_PER_SECOND // self._rate
        edges = np.arange(self._count, last + 1) * self._rate // PEAKS_PER_SECOND - self._start
        if len(edges) < 2:
            return
        self._reduce(self._rest[: edges[-1]], edges[:-1])
        self._rest = self._rest[edges[-1] :]
        self._start += int(edges[-1])
        self._count = last

    def finish(self) -> NDArray[np.int8]:
        if len(self._rest):
            self._reduce(self._rest, np.zeros(1, np.int64))
        return np.concatenate(self._parts) if self._parts else np.zeros((0, 2), np.int8)

    def _reduce(self, extremes: NDArray[np.float32], starts: NDArray[np.int64]) -> None:
        low = np.minimum.reduceat(extremes[:, 0], starts)
        high = np.maximum.reduceat(extremes[:, 1], starts)
        self._parts.append(np.round(127 * np.stack([low, high], axis=1)).astype(np.int8))
