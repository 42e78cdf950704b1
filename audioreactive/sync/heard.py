"""Changes in a sound, on a fine grid of time: what a picture in step with it would answer.

Onsets are gains of the logarithm of bands over a short span, measured from the loudest that the band was shortly before
(Böck and Widmer, "Maximum filter vibrato suppression for onset detection", 2013): reverberation falls, and so adds
none. Short windows keep the time of a stroke: half of its gain is there when half of the window has heard it.

Conventions: N samples at `ANALYSIS_RATE`; row n of a table is the change around n / HEARD_RATE seconds. An hour is read
piece by piece, and its table takes 18 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.media.audio import ANALYSIS_RATE, let_go

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

HOP: Final = 96
"""Samples between two rows."""
HEARD_RATE: Final = ANALYSIS_RATE // HOP
"""Rows a second: 256. A row is 3.9 ms, an eighth of a frame at 30 a second."""
WINDOW: Final = 512
"""Samples of a window, 21 ms: long enough for a band at 150 Hz, short against a frame."""
EDGES: Final = (60.0, 150.0, 400.0, 1000.0, 2500.0, 6000.0, 12000.0)
"""Borders of the bands in Hz."""
SPAN: Final = 3
"""Rows over which a gain is measured, 12 ms."""
BEFORE: Final = 5
"""Rows whose maximum a gain is measured from, 20 ms: a rough tone, whose loudness trembles, makes no onsets."""
LOUDNESS_SPAN: Final = 26
"""Rows over which the swelling of the loudness is measured, 0.1 s."""
FLOOR: Final = 1e-3
"""Energy of a band, relative to its mean over the sound, below which it counts as silent."""
LEAD: Final = 1
"""Rows by which the gains of a click come before it: its logarithm rises as soon as a window touches it. Measured."""
HEARD: Final = ("low", "middle", "high", "onsets", "offsets", "swell")
"""Names of the columns: onsets below 400 Hz, up to 2500 Hz, and above; all onsets; all ends; growth of the loudness."""
_ROWS: Final = 1 << 13
"""Rows that are computed at a time."""


def heard_changes(samples: NDArray[np.float32]) -> FloatArray:
    """Changes of a mono sound at `ANALYSIS_RATE`: (rows, 6) float32, of the columns `HEARD`; rows = N / HOP, rounded
    up.
    """
    return level_changes(band_levels(samples))


def band_levels(samples: NDArray[np.float32]) -> FloatArray:
    """Logarithm of the energy of each band above its floor, (rows, bands); rows = N / HOP, rounded up."""
    rows = -(-len(samples) // HOP)
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    frequencies = np.fft.rfftfreq(WINDOW, 1 / ANALYSIS_RATE)
    band = np.searchsorted(EDGES, frequencies, side="right") - 1
    gather = np.stack([band == b for b in range(len(EDGES) - 1)], axis=1).astype(np.float32)
    energy = np.empty((rows, gather.shape[1]), np.float32)
    half = WINDOW // 2
    for first in range(0, rows, _ROWS):
        count = min(_ROWS, rows - first)
        start, stop = first * HOP - half, (first + count - 1) * HOP + half
        piece = np.zeros(stop - start, np.float32)
        inside = samples[max(start, 0) : min(stop, len(samples))]
        piece[max(-start, 0) : max(-start, 0) + len(inside)] = inside
        frames = np.lib.stride_tricks.sliding_window_view(piece, WINDOW)[::HOP]
        spectrum = np.fft.rfft(frames * window, axis=1).astype(np.complex64)
        energy[first : first + count] = (spectrum.real**2 + spectrum.imag**2) @ gather
        let_go(samples)
    floor = np.maximum(FLOOR * energy.mean(0, dtype=np.float64), 1e-9).astype(np.float32)
    return np.asarray(np.log1p(energy / floor), np.float32)


def level_changes(levels: FloatArray) -> FloatArray:
    """Levels (rows, bands) -> changes (rows, 6), each of mean 0 and deviation 1 unless it is constant."""
    rows, bands = levels.shape
    gains = band_gains(levels)
    losses = band_gains(-levels)
    loudness = levels.mean(1)
    swell = np.zeros(rows, np.float32)
    if rows > 2 * LOUDNESS_SPAN:
        total = np.concatenate([[0.0], np.cumsum(loudness, dtype=np.float64)])
        means = (total[LOUDNESS_SPAN:] - total[:-LOUDNESS_SPAN]) / LOUDNESS_SPAN
        swell[LOUDNESS_SPAN : len(means)] = means[LOUDNESS_SPAN:] - means[:-LOUDNESS_SPAN]
    third = bands // 3
    columns = [gains[:, :third], gains[:, third : 2 * third], gains[:, 2 * third :], gains, losses]
    table = np.stack([*(column.mean(1) for column in columns), swell], axis=1)
    return standardized(table)


def band_gains(levels: FloatArray) -> FloatArray:
    """Growth of each band over `SPAN` rows, from the loudest of the `BEFORE` rows before, (rows, bands)."""
    rows, gains = len(levels), np.zeros_like(levels)
    if rows > SPAN + BEFORE:
        most = np.lib.stride_tricks.sliding_window_view(levels, BEFORE, axis=0).max(-1)
        late = SPAN + BEFORE - 1
        gains[late:] = np.maximum(levels[late:] - most[: rows - late], 0)
        gains[LEAD:] = gains[:-LEAD].copy()
    return gains


def standardized(table: FloatArray, most: float = 4.0) -> FloatArray:
    """Columns of mean 0 and deviation 1 in which nothing is further than `most` deviations above; constant ones are 0.

    A square root before that keeps one loud stroke from counting as much as all others together.
    """
    rooted = np.sign(table) * np.sqrt(np.abs(table))
    for _ in range(2):  # the deviation is measured again without what was cut
        mean, deviation = rooted.mean(0, dtype=np.float64), rooted.std(0, dtype=np.float64)
        rooted = np.minimum(rooted, (mean + most * deviation).astype(np.float32))
    scale = np.where(deviation > 1e-7, 1 / np.maximum(deviation, 1e-7), 0.0)
    return np.asarray((rooted - mean) * scale, np.float32)
