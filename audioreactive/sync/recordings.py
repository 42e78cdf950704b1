"""Offset and drift between two recordings of the same sound: a camera's and the master, or two encodings of one mix.

First the onsets of both, over all positions, tell roughly where one begins in the other. Then windows of the waveforms
are
correlated with their spectra whitened (PHAT: Knapp and Carter, "The generalized correlation method for estimation of
time
delay", 1976): the peak is a sample wide, and reverberation or another microphone do not move it. Windows that agree on
a line
are kept, the others rejected: a recorder's clock drifts by some parts per million, and its sound may fail in places.

Conventions: `a` is the reference. Second t of `a` is heard at t + lag(t) in `b`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.media.audio import ANALYSIS_RATE
from audioreactive.sync.heard import HEARD_RATE, heard_changes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

WINDOW_SECONDS: Final = 8.0
"""Length of a window: drift within it (1.6 ms at 200 ppm) blurs its peak by less than a period of 500 Hz."""
MOST_WINDOWS: Final = 120
FEW_WINDOWS: Final = 5
"""Windows that are compared to tell whether a lag is the right one, and fewest of all: two always agree."""
CANDIDATES: Final = 6
"""Most lags by the onsets that are tried: those of a few seconds hardly stand out from a whole song's."""
LEAST_ROUGH: Final = 3.0
"""Height of such a lag's peak in deviations from which on it is tried."""
SEARCH_SECONDS: Final = 0.25
"""Time around the rough offset in which the peak of a window is sought."""
LEAST_PEAK: Final = 8.0
"""Height of a window's peak, in deviations of its correlation, from which on it counts: chance gives 5 in 12,000."""
AGREES: Final = 0.002
"""Seconds from the line within which a window agrees with it."""
LEAST_SHARE: Final = 0.6
"""Share of the windows that must agree on one line."""
FEW_SHARE: Final = 0.8
"""The same of only `FEW_WINDOWS`: steady sounds of other songs have peaks, too."""
NARROW: Final = ANALYSIS_RATE // 1000
"""Samples on both sides of a window's peak that belong to it."""
CLOSEST_OTHER: Final = 0.8
"""Height of another peak of a window, relative to the first, from which on it tells nothing."""
STEEPEST: Final = 0.003
"""Largest drift between two recordings of one sound: 3000 ppm. More is another speed, and a matter for `takes`."""


@dataclass(frozen=True, eq=False)
class SameSound:
    """How one recording lies in another: the lag is a line through time."""

    lag: float
    """Lag in seconds at second 0 of the reference."""
    slope: float
    """Growth of the lag, seconds a second."""
    lag_deviation: float
    """Uncertainty of the lag in the middle of what both share, one standard deviation in seconds."""
    slope_deviation: float
    times: NDArray[np.float64]
    """(n,) seconds of the reference in the middle of each window that was compared."""
    lags: NDArray[np.float64]
    """(n,) lag of each window."""
    agree: NDArray[np.bool_]
    """(n,) whether the window agrees with the line."""

    @property
    def jitter(self) -> float:
        """Root mean square of what the line leaves of the windows that agree, in seconds."""
        rest = (self.lags - self.lag - self.slope * self.times)[self.agree]
        return float(np.sqrt(np.mean(np.square(rest)))) if len(rest) else 0.0


def same_sound(a: Samples, b: Samples) -> SameSound | None:
    """Find one recording in another; both mono at `ANALYSIS_RATE`. None if they are not of the same sound."""
    rough = next((lag for lag in _rough_lags(a, b) if _seems_right(a, b, lag)), None)
    if rough is None:
        return None
    times, lags, tried = _window_lags(a, b, rough)
    if len(times) < 2:
        return None
    line = _robust_line(times, lags)
    if line is None:
        return None
    lag, slope, agree = line
    # Songs that are made of the same samples agree in strokes, and not throughout.
    if agree.sum() < (LEAST_SHARE if tried > FEW_WINDOWS else FEW_SHARE) * tried or abs(slope) > STEEPEST:
        return None
    rest = (lags - lag - slope * times)[agree]
    count = int(agree.sum())
    noise = max(float(np.sqrt(np.square(rest).sum() / max(count - 2, 1))), 0.5 / ANALYSIS_RATE)
    spread = max(float(times[agree].std()), 1e-9) * count**0.5
    return SameSound(lag, slope, noise / count**0.5, noise / spread, times, lags, agree)


def _seems_right(a: Samples, b: Samples, lag: float) -> bool:
    """Whether some windows show the same sound at about this lag."""
    times, lags, tried = _window_lags(a, b, lag, most=FEW_WINDOWS)
    return len(times) >= 2 and _robust_line(times, lags) is not None and len(times) >= LEAST_SHARE * tried


def _rough_lags(a: Samples, b: Samples) -> list[float]:
    """Lags by the onsets, the likeliest first, over all positions in which the two overlap."""
    first, second = (heard_changes(samples)[:, :4] for samples in (a, b))
    size = 1 << (len(first) + len(second) - 1).bit_length()
    total = np.zeros(size)
    for x, y in zip(first.T, second.T, strict=True):
        total += np.fft.irfft(np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size), size)
    deviation, found = float(total.std()), list[float]()
    apart = round(SEARCH_SECONDS * HEARD_RATE)
    while deviation > 0 and len(found) < CANDIDATES and total.max() > LEAST_ROUGH * deviation:
        at = int(total.argmax())
        found.append((at if at <= len(second) else at - size) / HEARD_RATE)
        total[np.arange(at - apart, at + apart + 1) % size] = 0
    return found


def _window_lags(
    a: Samples, b: Samples, rough: float, *, most: int = MOST_WINDOWS
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Middle (seconds of `a`) and lag of each window whose peak is clear, and the number of windows that were tried."""
    size = round(WINDOW_SECONDS * ANALYSIS_RATE)
    first, last = max(0.0, -rough), min(len(a) / ANALYSIS_RATE, len(b) / ANALYSIS_RATE - rough)
    shared = last - first
    if shared <= 0.5:
        return np.zeros(0), np.zeros(0), 0
    size = min(size, int(shared * ANALYSIS_RATE / 2))
    count = int(min(max(shared / (size / ANALYSIS_RATE), FEW_WINDOWS), most))
    starts = np.linspace(first, last - size / ANALYSIS_RATE, count)
    times, lags = [], []
    guess = rough
    for start in starts:
        i, j = round(start * ANALYSIS_RATE), round((start + guess) * ANALYSIS_RATE)
        found = _phat(a[i : i + size], b[max(j, 0) : max(j, 0) + size])
        if found is None:
            continue
        lag = (max(j, 0) - i + found) / ANALYSIS_RATE
        times.append(start + size / 2 / ANALYSIS_RATE)
        lags.append(lag)
        guess = lag  # drift accumulates: the next window is looked for where this one was
    return np.array(times), np.array(lags), len(starts)


def _phat(x: Samples, y: Samples) -> float | None:
    """Lag of `y` behind `x` in samples; None without a clear peak."""
    count = min(len(x), len(y))
    if count < ANALYSIS_RATE // 4:
        return None
    size = 1 << (2 * count - 1).bit_length()
    cross = np.conj(np.fft.rfft(x[:count], size)) * np.fft.rfft(y[:count], size)
    weight = np.abs(cross)
    if not weight.max() > 0:
        return None
    frequencies = np.fft.rfftfreq(size, 1 / ANALYSIS_RATE)
    band = (frequencies > 100) & (frequencies < 8000) & (weight > 1e-4 * weight.mean())
    white = np.where(band, cross / np.maximum(weight, 1e-30), 0)
    correlation = np.fft.irfft(white, size)
    reach = min(round(SEARCH_SECONDS * ANALYSIS_RATE), count - 1)
    around = np.concatenate([correlation[-reach:], correlation[: reach + 1]])
    at = int(around.argmax())
    if around[at] < LEAST_PEAK * around.std() or not 0 < at < len(around) - 1:
        return None
    others = np.concatenate([around[: max(at - NARROW, 0)], around[at + NARROW + 1 :]])
    if others.max(initial=0.0) > CLOSEST_OTHER * around[at]:
        return None  # a steady tone fits a period later as well
    left, middle, right = around[at - 1 : at + 2]
    bend = left - 2 * middle + right
    return at - reach + (float(0.5 * (left - right) / bend) if bend < 0 else 0.0)


def _robust_line(
    times: NDArray[np.float64], lags: NDArray[np.float64]
) -> tuple[float, float, NDArray[np.bool_]] | None:
    """(lag at 0, slope, windows that agree) of the line on which most windows agree; None if few do."""
    i, j = np.triu_indices(len(times), 1)
    apart = times[j] - times[i] > 0
    slopes = ((lags[j] - lags[i])[apart]) / (times[j] - times[i])[apart]
    best: tuple[int, float, float] = (0, 0.0, 0.0)
    for slope in np.quantile(slopes, np.linspace(0, 1, min(201, len(slopes)))):
        lag = float(np.median(lags - slope * times))
        count = int((np.abs(lags - lag - slope * times) < AGREES).sum())
        if count > best[0]:
            best = count, lag, float(slope)
    count, lag, slope = best
    if count < max(LEAST_SHARE * len(times), 2):
        return None
    for _ in range(3):
        agree = np.abs(lags - lag - slope * times) < AGREES
        if agree.sum() < 2 or np.ptp(times[agree]) <= 0:
            return None
        slope, lag = (float(value) for value in np.polyfit(times[agree], lags[agree], 1))
    return lag, slope, agree
