"""Tempo, beats and bars from the onset envelope (Ellis 2007, "Beat tracking by dynamic programming").

Conventions: an onset envelope is (frames,) at `frame_rate` frames per second; beats are frame numbers, and become
seconds only in the final result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.features.spectra import hann

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    Frames = NDArray[np.int64]

BEATS_PER_BAR = 4
TIGHTNESS = 100.0
"""Penalty on deviations from the tempo, relative to onset strength; librosa's default."""


@dataclass(frozen=True)
class Beats:
    """Tempo, beats and downbeats of a song."""

    tempo: float
    """Beats per minute; 0 if there is no beat."""
    beats: NDArray[np.float64]
    """(n,) times of the beats, in seconds."""
    downbeats: NDArray[np.float64]
    """(m,) times of the first beat of each bar, in seconds."""
    confidence: float = 0.0
    """Confidence in the tempo, in [0, 1]."""


def estimate_tempo(
    envelope: FloatArray,
    *,
    frame_rate: float,
    start_bpm: float = 120.0,
    max_bpm: float = 320.0,
    seconds: float = 8.0,
    stride: int = 1,
) -> float:
    """Estimate the tempo in beats per minute; agrees with `librosa.feature.tempo`.

    The autocorrelation of windows of `seconds` is averaged over every `stride`-th frame, and weighted by a log-normal
    prior around `start_bpm` with a standard deviation of one octave.
    """
    correlation = mean_autocorrelation(envelope, int(seconds * frame_rate), stride)
    return likeliest_tempo(correlation, frame_rate=frame_rate, start_bpm=start_bpm, max_bpm=max_bpm)


def likeliest_tempo(
    correlation: NDArray[np.float64], *, frame_rate: float, start_bpm: float = 120.0, max_bpm: float = 320.0
) -> float:
    """Pick the tempo in beats per minute from a mean autocorrelation of the envelope, with librosa's prior."""
    bpm = 60 * frame_rate / np.arange(1, len(correlation))
    prior = -0.5 * np.log2(bpm / start_bpm) ** 2
    prior[bpm >= max_bpm] = -np.inf
    return float(bpm[np.argmax(np.log1p(1e6 * correlation[1:]) + prior)])


def mean_autocorrelation(envelope: FloatArray, length: int, stride: int) -> NDArray[np.float64]:
    """Average the autocorrelations (length,) of Hann windows around the frames, each divided by its largest value."""
    import scipy.fft  # only songs that are analysed need it

    half = length // 2
    # Beyond both ends, the envelope fades out over half a window.
    padded = np.pad(np.asarray(envelope, np.float64), half, mode="linear_ramp")
    spans = np.lib.stride_tricks.sliding_window_view(padded, length)[: len(envelope) : stride]
    fast = scipy.fft.next_fast_len(2 * length - 1, real=True)
    total = np.zeros(length)
    for start in range(0, len(spans), 512):
        spectrum = scipy.fft.rfft(spans[start : start + 512] * hann(length), n=fast, axis=1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        correlation = scipy.fft.irfft(power, n=fast, axis=1)[:, :length]
        largest = np.abs(correlation).max(axis=1, keepdims=True)
        total += np.divide(correlation, largest, out=np.zeros_like(correlation), where=largest > 1e-300).sum(axis=0)
    return total / len(spans)


def track_beats(
    envelope: FloatArray, *, frame_rate: float, bpm: float, tightness: float = TIGHTNESS, trim: bool = True
) -> Frames:
    """Find the frames of the beats; agrees with `librosa.beat.beat_track` at the same tempo."""
    deviation = envelope.std(ddof=1) if len(envelope) > 1 else 0.0
    if not deviation > 0 or not bpm > 0:
        return np.zeros(0, np.int64)
    period = max(round(frame_rate * 60 / bpm), 1)
    score = _local_score(envelope / deviation, period)
    links, cumulative = _best_predecessors(score, period, tightness)
    path = _follow(links, _last_beat(cumulative))
    return _trimmed(score, path) if trim else path


def _local_score(envelope: NDArray[np.floating], period: int) -> NDArray[np.float64]:
    """Smooth the envelope with a Gaussian whose standard deviation is 1/32 of a beat."""
    window = np.exp(-0.5 * (np.arange(-period, period + 1) * 32.0 / period) ** 2)
    return np.convolve(np.asarray(envelope, np.float64), window, mode="full")[period : period + len(envelope)]


def _best_predecessors(score: NDArray[np.float64], period: int, tightness: float) -> tuple[Frames, NDArray[np.float64]]:
    """For each frame, find its best previous beat if it were a beat (-1: none), and the score of the path up to it.

    A beat is between half a period and two periods after the previous one. So all frames within half a period depend
    only on earlier frames, and are solved at once.
    """
    nearest, farthest = round(period / 2), 2 * period
    if nearest < 1:
        nearest = 1
    distances = np.arange(nearest, farthest + 1)
    penalty = tightness * (np.log(distances) - np.log(period)) ** 2
    frames = len(score)
    # Frames before the first cannot be chosen.
    cumulative = np.concatenate((np.full(farthest, -np.inf), score))
    links = np.full(frames, -1, np.int64)
    for start in range(0, frames, nearest):
        stop = min(start + nearest, frames)
        places = np.arange(start, stop)[:, None] - distances
        candidates = cumulative[places + farthest] - penalty
        best = candidates.argmax(axis=1)
        value = candidates[np.arange(stop - start), best]
        found = np.isfinite(value)
        links[start:stop] = np.where(found, places[np.arange(stop - start), best], -1)
        cumulative[farthest + start : farthest + stop] += np.where(found, value, 0)
    # Frames before the first audible onset get no predecessor, so that the first beat is not forced.
    audible = np.flatnonzero(score >= 0.01 * score.max())
    links[: audible[0] if len(audible) else frames] = -1
    return links, cumulative[farthest:]


def _last_beat(cumulative: NDArray[np.float64]) -> int:
    """Find the last peak of the score that is at least half as high as the median peak."""
    before, after = np.roll(cumulative, 1), np.roll(cumulative, -1)
    before[0], after[-1] = cumulative[0], -np.inf
    peak = (cumulative > before) & (cumulative >= after)
    peak[0] = False
    if not peak.any():
        return len(cumulative) - 1
    high = np.flatnonzero(peak & (cumulative >= 0.5 * np.median(cumulative[peak])))
    return int(high[-1]) if len(high) else len(cumulative) - 1


def _follow(links: Frames, last: int) -> Frames:
    path = []
    while last >= 0:
        path.append(last)
        last = int(links[last])
    return np.array(path[::-1], np.int64)


def _trimmed(score: NDArray[np.float64], path: Frames) -> Frames:
    """Remove weak beats at both ends of the path."""
    smooth = np.convolve(score[path], np.hanning(5))[2 : 2 + len(score)]
    strong = np.flatnonzero(score > 0.5 * np.sqrt(np.mean(smooth**2)))
    if not len(strong):
        return path[:0]
    kept: Frames = path[(path >= strong[0]) & (path <= strong[-1])]
    return kept


def tempo_of(beats: NDArray[np.float64], fallback: float) -> float:
    """Compute beats per minute from beat times in seconds, over spans of up to 16 beats: finer than the grid."""
    span = min(16, len(beats) - 1)
    if span < 2:
        return fallback
    return float(60 * span / np.median(beats[span:] - beats[:-span]))


def find_downbeats(accents: NDArray[np.floating], *, slip: float = 4.0) -> NDArray[np.bool_]:
    """Mark the beats (beats,) that begin a four-beat bar, from the accent of each beat.

    Finds the path through the bar's four positions that collects the most accent on the first position. Jumping to
    another than the next position costs `slip` standard deviations of the accents, so that a cut or a fill can move
    the bar line, but noise cannot.
    """
    deviation = accents.std() if len(accents) else 0.0
    strength = (accents - accents.mean()) / deviation if deviation > 0 else np.zeros(len(accents))
    total = np.zeros(BEATS_PER_BAR)
    came_from = np.zeros((len(strength), BEATS_PER_BAR), np.int64)
    for i, accent in enumerate(strength):
        straight, best = np.roll(total, 1), int(total.argmax())
        slips = total[best] - slip > straight
        came_from[i] = np.where(slips, best, np.roll(np.arange(BEATS_PER_BAR), 1))
        total = np.where(slips, total[best] - slip, straight)
        total[0] += accent
    first = np.zeros(len(strength), bool)
    position = int(total.argmax())
    for i in range(len(strength) - 1, -1, -1):
        first[i] = position == 0
        position = int(came_from[i, position])
    return first
