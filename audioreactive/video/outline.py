"""Check whether two sounds are the same except for coding losses: second by second, at a low sample rate.

Conventions: an outline has means of successive samples, (n, channels) at about `OUTLINE_RATE`, in a temporary file; an
hour of stereo takes 29 MB on disk, and no memory.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Final, Self

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

OUTLINE_RATE: Final = 1000
"""Approximate number of means per second of an outline."""
MOST_LENGTH: Final = 0.1
"""Largest allowed difference in length, in seconds: the padding of a packet or two."""
LEAST_CORRELATION: Final = 0.5
"""Lowest correlation within a second at which sounds count as the same; lossy coding keeps 0.95, different sounds are
near 0."""
MOST_LEVEL: Final = 2.0
"""Largest ratio of two levels within a second (6 dB) at which sounds count as the same."""
AUDIBLE: Final = 1e-3
"""RMS of an outline below which a second counts as silent: lossy coding drops inaudible sounds."""
LOUD: Final = 0.03
"""RMS of an outline above which a second that should be silent is wrong."""


class Outline:
    """Means of successive samples of one sound."""

    def __init__(self, folder: Path, rate: int) -> None:
        self.rate, self.step = rate, max(rate // OUTLINE_RATE, 1)
        self.channels = self.samples = 0
        self._rest: NDArray[np.float32] | None = None
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def clear(self) -> None:
        """Remove all samples."""
        self.channels = self.samples = 0
        self._rest = None
        self._file.seek(0)
        self._file.truncate()

    def add(self, block: NDArray[np.float32]) -> None:
        """Append samples (n, channels)."""
        self.samples += len(block)
        self.channels = block.shape[1]
        if self._rest is not None and len(self._rest):
            block = np.concatenate([self._rest, block])
        whole = len(block) - len(block) % self.step
        means = block[:whole].reshape(-1, self.step, self.channels).mean(axis=1)
        self._rest = block[whole:].copy()
        self._file.write(means.astype(np.float32).tobytes())

    @property
    def per_second(self) -> int:
        """Number of means per second."""
        return max(round(self.rate / self.step), 1)

    def second(self, number: int) -> NDArray[np.float32]:
        """Return the means (n, channels) of a second, numbered from 0; fewer at the end."""
        size = 4 * self.channels * self.per_second
        self._file.seek(number * size)
        return np.frombuffer(self._file.read(size), np.float32).reshape(-1, self.channels)


def difference(played: Outline, coded: Outline) -> str | None:
    """Describe the difference if the encoded sound is not the one that should be played; else None."""
    remedy = "convert the song to WAV or FLAC, and render it again"
    lasts, should = coded.samples / coded.rate, played.samples / played.rate
    if abs(lasts - should) > MOST_LENGTH:
        return f"the video's sound lasts {lasts:.2f} s, and what was analysed {should:.2f} s: {remedy}"
    if coded.channels != played.channels:
        return f"the video's sound has {coded.channels} channels, and what was analysed {played.channels}: {remedy}"
    seconds = played.samples // played.rate + 1
    wrong = [number for number in range(seconds) if _differ(played.second(number), coded.second(number))]
    if not wrong:
        return None
    return (
        f"the video's sound is not what was analysed in {len(wrong)} of {seconds} seconds, "
        f"the first {wrong[0]} s after its start: {remedy}"
    )


def _differ(played: NDArray[np.float32], coded: NDArray[np.float32]) -> bool:
    count = min(len(played), len(coded))
    if count < len(played) // 2 or count < 100:  # too little of a second to compare
        return False
    # Remove the DC offset, because encoders do.
    one, other = ((part[:count] - part[:count].mean(axis=0, dtype=np.float64)).ravel() for part in (played, coded))
    level, coded_level = np.sqrt((one**2).mean()), np.sqrt((other**2).mean())
    if level < AUDIBLE:
        return bool(coded_level > LOUD)
    if not level / MOST_LEVEL < coded_level < level * MOST_LEVEL:
        return True
    return bool((one * other).mean() < LEAST_CORRELATION * level * coded_level)
