"""Whether two sounds are the same but for what coding loses: compared second by second, at a low rate.

Conventions: an outline holds means of successive samples, (n, channels) at about `OUTLINE_RATE`, in a temporary file:
an hour of stereo takes 29 MB of the disk, and no memory.
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
"""Hz."""
MOST_LENGTH: Final = 0.1
"""Seconds by which two sounds may differ in length: the padding of a packet or two."""
LEAST_CORRELATION: Final = 0.5
"""In a second; coders for music stay beyond 0.95, other sounds are near 0."""
MOST_LEVEL: Final = 2.0
"""Ratio of two levels in a second; 6 dB."""
AUDIBLE: Final = 1e-3
"""Root of the mean square of an outline below which a second is not compared: coders leave out what nobody hears."""
LOUD: Final = 0.03
"""The same beyond which a second is heard where silence should be."""


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
        """Begin anew."""
        self.channels = self.samples = 0
        self._rest = None
        self._file.seek(0)
        self._file.truncate()

    def add(self, block: NDArray[np.float32]) -> None:
        """The next samples, (n, channels)."""
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
        """Means in a second."""
        return max(round(self.rate / self.step), 1)

    def second(self, number: int) -> NDArray[np.float32]:
        """(n, channels) means of a second, counted from 0; fewer at the end."""
        size = 4 * self.channels * self.per_second
        self._file.seek(number * size)
        return np.frombuffer(self._file.read(size), np.float32).reshape(-1, self.channels)


def difference(played: Outline, coded: Outline) -> str | None:
    """A sentence if the coded sound is not the one that should be played."""
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
    if count < len(played) // 2 or count < 100:  # the last bit of a second says little
        return False
    # Without a constant offset, which coders take out: nobody hears it.
    one, other = ((part[:count] - part[:count].mean(axis=0, dtype=np.float64)).ravel() for part in (played, coded))
    level, coded_level = np.sqrt((one**2).mean()), np.sqrt((other**2).mean())
    if level < AUDIBLE:
        return bool(coded_level > LOUD)
    if not level / MOST_LEVEL < coded_level < level * MOST_LEVEL:
        return True
    return bool((one * other).mean() < LEAST_CORRELATION * level * coded_level)
