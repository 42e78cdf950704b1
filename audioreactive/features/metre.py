"""Choose the tempo of a song among those that fit its onsets, by the drum pattern that each of them implies.

A reading is a tempo with a path of beats through the song. Its evidence is measured at its beats: kicks on the beats, a
snare on every second beat, hi-hats that divide them, and a rhythm that repeats after two and four beats. The weights of
the evidence were fitted to songs with random drum patterns, by benchmarks/tempo_weights.py.

Conventions: envelopes are on the fine grid; periods and beats are in its frames. The bands of the drums are in the
order of `BANDS`: kick, snare, hat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from audioreactive.features import beats, rhythm, spectra
from audioreactive.features.blocks import ATTACK_STEP, pieces
from audioreactive.features.grid import FINE_RATE
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from audioreactive.features.tempo import TempoLimits

    FloatArray = NDArray[np.float32]
    Doubles = NDArray[np.float64]

BANDS = {"kick": (0.0, 130.0), "snare": (800.0, 4000.0), "hat": (6000.0, ANALYSIS_RATE / 2)}
"""Frequency range in Hz of each drum."""
SPANS = {"kick": 4, "snare": 5, "hat": 3}
"""Frames over which power is averaged before and after a stroke, so that a kick's short click is not taken for a snare.
"""
LOUDNESS_STEP = 20.0
"""Factor before the logarithm of power; with 20, a stroke 20 dB below the loud ones counts a tenth of them."""
CORRELATION_SECONDS = 8
BAND_STRIDE = 32
"""Fine frames between the windows in which the drums' periods are measured."""
MOST_CANDIDATES = 14
HEARD_SECONDS, HEARD_SPANS = 40, 3
"""Length in seconds and largest number of the spans of a song on which readings are compared."""
SAME_TEMPO = 0.04
"""Logarithm of the ratio of two tempi below which they count as the same."""
RELATIVES = (1 / 2, 2, 3 / 2, 2 / 3, 3 / 4, 4 / 3)
"""Tempo ratios that are easily confused."""
OFFSETS = (0, 3, 6, 9, 4, 8)
"""Shifts of a path of beats that are tried, in twelfths of a beat: to the off-beat, quarters and thirds of a beat."""
FEWEST_BEATS = 4
CLEARLY = 1.0
"""Log-probability by which a path found at half the grid rate must be better to replace the usual one."""


def drum_onsets(attack: NDArray[np.int16]) -> FloatArray:
    """Detect strokes of kick, snare and hat, (frames, 3), from the mix's mel bands; a loud stroke is about 1."""
    centres = spectra.mel_edges(ANALYSIS_RATE, rhythm.ONSET_MELS)[1:-1]
    inside = np.stack([(centres >= low) & (centres < high) for low, high in BANDS.values()], axis=1)
    power = np.empty((len(attack), len(BANDS)), np.float32)
    start = 0
    for piece in pieces(attack):
        linear = np.exp(piece * np.float32(ATTACK_STEP * np.log(10) / 10))
        power[start : start + len(piece)] = linear @ inside.astype(np.float32)
        start += len(piece)
    strokes = np.stack([_strokes(power[:, i], span) for i, span in enumerate(SPANS.values())], axis=1)
    # Align with the flux, which marks an increase about two frames after its middle.
    moved: FloatArray = np.pad(strokes, ((2, 0), (0, 0)))[: len(strokes)]
    scale = np.square(moved).sum(axis=0) / np.maximum(moved.sum(axis=0), 1e-9)
    return np.asarray(moved / np.maximum(scale, 1e-9), np.float32)


def correlations(onsets: FloatArray, drums: FloatArray, stride: int) -> Doubles:
    """Compute the mean autocorrelations (lags, 4) of the flux, kick, snare and hat."""
    lags = CORRELATION_SECONDS * FINE_RATE
    flux = beats.mean_autocorrelation(onsets, lags, stride)
    return np.stack([flux, *(beats.mean_autocorrelation(drum, lags, BAND_STRIDE) for drum in drums.T)], axis=1)


def _strokes(power: FloatArray, span: int) -> FloatArray:
    """Compute by how much the power after each frame exceeds the power before it, (frames,), on a log(1 + x) scale."""
    sums = np.concatenate((np.zeros(span + 1), np.cumsum(power, dtype=np.float64)))
    sums = np.pad(sums, (0, span), mode="edge")
    mean = (sums[span:] - sums[:-span]) / span
    loud = np.percentile(mean, 98)
    level = np.log1p(LOUDNESS_STEP * mean / max(loud, 1e-12))
    return np.asarray(np.maximum(level[span:][: len(power)] - level[: len(power)], 0), np.float32)


@dataclass(frozen=True)
class Tempo:
    """Tempo that was chosen among the readings."""

    period: float
    """Frames from beat to beat; 0 if there is no beat."""
    confidence: float
    """Probability of this tempo among all readings, in [0, 1]."""


def choose_tempo(onsets: FloatArray, drums: FloatArray, correlation: Doubles, limits: TempoLimits) -> Tempo:
    """Choose the tempo of a song.

    Args:
        onsets: (frames,) spectral flux.
        drums: (frames, 3) strokes from `drum_onsets`.
        correlation: (lags, 4) autocorrelations from `correlations`.
        limits: allowed tempi.
    """
    if limits.fixed:
        return Tempo(60 * FINE_RATE / limits.low, 1.0)
    periods = candidates(correlation, limits)
    shares = _shares(periods, onsets, drums, correlation)
    if not shares.any():  # too short to compare: take the clearest period
        return Tempo(float(periods[0]) if len(periods) else 0.0, 0.0)
    best = int(shares.argmax())
    return Tempo(float(periods[best]), _share_near(periods[best], periods, shares))


def confidence_in(
    bpm: float, onsets: FloatArray, drums: FloatArray, correlation: Doubles, limits: TempoLimits
) -> float:
    """Compute the probability of a tempo from another beat tracker, among all readings."""
    if limits.fixed or not bpm > 0 or not onsets.any():
        return float(limits.fixed)
    period = 60 * FINE_RATE / bpm
    periods = candidates(correlation, limits)
    if not (np.abs(np.log(periods / period)) < SAME_TEMPO).any():
        periods = np.append(periods, period)
    return _share_near(period, periods, _shares(periods, onsets, drums, correlation))


def _shares(periods: Doubles, onsets: FloatArray, drums: FloatArray, correlation: Doubles) -> Doubles:
    """Compute the probability of each period, (n,); zeros if the song is too short."""
    spans = _heard_spans(len(onsets))
    totals = np.zeros(len(periods))
    for span in spans:
        totals += [_evidence(onsets[span], drums[span], correlation, period) for period in periods]
    if not np.isfinite(totals).any():
        return np.zeros(len(periods))
    shares = np.exp((totals - totals.max()) / len(spans))
    return np.asarray(shares / shares.sum())


def _share_near(period: float, periods: Doubles, shares: Doubles) -> float:
    """Sum the probabilities of all periods that count as the same tempo as this one."""
    return float(shares[np.abs(np.log(periods / period)) < SAME_TEMPO].sum())


def place_beats(
    onsets: FloatArray, drums: FloatArray, correlation: Doubles, period: float, *, tightness: float
) -> NDArray[np.int64]:
    """Find the frames of the beats at a period: Ellis' path through the flux, shifted to the drums' beat."""
    if not period > 0:
        return np.zeros(0, np.int64)
    usual = beats.likeliest_tempo(correlation[:, 0], frame_rate=FINE_RATE)
    bpm = 60 * FINE_RATE / period
    if tightness == beats.TIGHTNESS and abs(np.log(usual / bpm)) < SAME_TEMPO:
        bpm = usual  # librosa's value, on the grid of lags
    path = beats.track_beats(onsets, frame_rate=FINE_RATE, bpm=bpm, tightness=tightness)
    if len(path) < FEWEST_BEATS:
        return path
    moved = [
        (p, float(e @ WEIGHT_VECTOR)) for p, e in measured_path(path.astype(np.float64), drums, correlation, period)
    ]
    moved += [(p, score - CLEARLY) for p, score in readings(onsets, drums, correlation, period)]
    best = int(np.argmax([score for _, score in moved]))
    if best == 0:
        return path
    guide = np.zeros(len(onsets))
    guide[np.round(moved[best][0]).astype(int)] = 1
    width = period / 24
    guided = onsets * (0.2 + np.sqrt(2 * np.pi) * width * gaussian_filter1d(guide, width))
    return beats.track_beats(guided.astype(np.float32), frame_rate=FINE_RATE, bpm=bpm, tightness=tightness)


def _heard_spans(frames: int) -> list[slice]:
    """Choose the spans on which readings are compared: all of a short song, three parts of a long one."""
    length = HEARD_SECONDS * FINE_RATE
    if frames <= HEARD_SPANS * length:
        return [slice(0, frames)]
    starts = np.linspace(0, frames - length, HEARD_SPANS + 2)[1:-1].astype(int)
    return [slice(start, start + length) for start in starts]


def candidates(correlation: Doubles, limits: TempoLimits) -> Doubles:
    """Find periods (n,) within the limits at which flux and drums repeat, the clearest first, and related ones."""
    lags = len(correlation)
    repeats = np.convolve(correlation @ np.array([1, 0.5, 0.5, 0.25]), [0.25, 0.5, 0.25], "same")
    bpm = 60 * FINE_RATE / np.maximum(np.arange(lags), 1)
    allowed = (bpm >= limits.low) & (bpm <= limits.high)
    allowed[[0, 1, -1]] = False
    before, after = np.roll(repeats, 1), np.roll(repeats, -1)
    peaks = np.flatnonzero(allowed & (repeats > before) & (repeats >= after))
    if not len(peaks):
        peaks = np.flatnonzero(allowed)[[np.argmax(repeats[allowed])]] if allowed.any() else peaks
    clear = repeats[peaks] - 0.15 * np.abs(np.log2(bpm[peaks] / 120))
    found = [_refined(repeats, int(lag)) for lag in peaks[np.argsort(-clear)][:8]]
    for period in found[:3]:
        for ratio in RELATIVES:
            other = period * ratio
            apart = np.abs(np.log(other / np.array(found))).min() > SAME_TEMPO
            if apart and limits.contains(60 * FINE_RATE / other) and len(found) < MOST_CANDIDATES:
                found.append(other)
    return np.array(found)


def _refined(values: Doubles, peak: int) -> float:
    """Locate a peak between grid points, by a parabola through its neighbours."""
    before, at, after = values[peak - 1 : peak + 2]
    bend = before - 2 * at + after
    return peak + float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else float(peak)


def _evidence(onsets: FloatArray, drums: FloatArray, correlation: Doubles, period: float) -> float:
    """Compute the log-probability of a period, up to a constant, summed over all shifts of its beats."""
    found = [score for _, score in readings(onsets, drums, correlation, period)]
    return float(np.logaddexp.reduce(found)) if found else -np.inf


def readings(
    onsets: FloatArray, drums: FloatArray, correlation: Doubles, period: float
) -> Iterator[tuple[Doubles, float]]:
    """Yield (beats, score) of a period, for each of OFFSETS of its path through the onsets at half the rate."""
    for path, evidence in measured_readings(onsets, drums, correlation, period):
        yield path, float(evidence @ WEIGHT_VECTOR)


def measured_readings(
    onsets: FloatArray, drums: FloatArray, correlation: Doubles, period: float
) -> list[tuple[Doubles, Doubles]]:
    """Measure the evidence for a period: (beats, values of EVIDENCE) for each of OFFSETS."""
    pairs = onsets[: len(onsets) // 2 * 2].reshape(-1, 2).max(axis=1)
    slow = beats.track_beats(pairs, frame_rate=FINE_RATE / 2, bpm=60 * FINE_RATE / period, trim=False)
    path = 2 * slow.astype(np.float64) + 0.5
    if len(path) < FEWEST_BEATS:
        return []
    return list(measured_path(path, drums, correlation, period))


def measured_path(
    path: Doubles, drums: FloatArray, correlation: Doubles, period: float
) -> Iterator[tuple[Doubles, Doubles]]:
    """Measure the evidence for a path of beats shifted by each of OFFSETS: yields (beats, values of EVIDENCE)."""
    strength = np.minimum(maximum_filter1d(drums, 5, axis=0), 1.5)
    places = np.arange(np.ceil(path[0]), path[-1])
    turns = np.interp(places, path, np.arange(len(path)))
    weights = np.power(drums[places.astype(int)], 1.5)
    weights = weights / np.maximum(weights.sum(axis=0), 1e-9)
    wave = np.exp(2j * np.pi * turns)
    on_grid = np.stack([weights.T @ wave**k for k in (1, 2, 3, 4)])  # (4, 3)
    in_bars = [np.abs(weights[:, :2].T @ np.exp(2j * np.pi * turns / n)) for n in (2, 3, 4)]
    gaps = np.diff(path)
    fixed = np.concatenate((*in_bars, _repetition(correlation[:, 0], period), [min(np.log(gaps / period).std(), 0.3)]))
    fixed = np.concatenate((fixed, _pace(period)))
    for offset in OFFSETS:
        share = offset / 12
        moved = path[:-1] + gaps * share
        grid = np.real(on_grid * np.exp(-2j * np.pi * np.arange(1, 5) * share)[:, None])
        yield moved, np.concatenate((grid.ravel(), _strokes_on(moved, strength), fixed))


def _strokes_on(path: Doubles, strength: FloatArray) -> Doubles:
    """Measure mean strokes on the beats, half way between them, and of kicks on with snares between the beats."""
    halves = 0.5 * (path[:-1] + path[1:])
    on = strength[np.round(path).astype(int).clip(0, len(strength) - 1)]
    off = strength[np.round(halves).astype(int).clip(0, len(strength) - 1)]
    return np.array(
        [on[:, :2].max(axis=1).mean(), off[:, :2].max(axis=1).mean(), min(off[:, 1].mean(), on[:, 0].mean())]
    )


def _repetition(flux: Doubles, period: float) -> Doubles:
    """Measure how well the flux repeats after one, two and four beats."""
    one, two, four = np.interp(np.array([1, 2, 4]) * period, np.arange(len(flux)), flux)
    largest = flux[FINE_RATE // 4 :].max(initial=1e-9)
    return np.array([np.log(max(one / largest, 0.02)), two, four])


def _pace(period: float) -> Doubles:
    """Compute the tempo in octaves above 120 bpm, and the squared octaves above 170 bpm and below 85 bpm."""
    octaves = float(np.log2(60 * FINE_RATE / period / 120))
    return np.array([octaves, max(octaves - 0.5, 0.0) ** 2, max(-octaves - 0.5, 0.0) ** 2])


WEIGHTS = {
    "kick on the beat": 1.40,
    "snare on the beat": 2.28,
    "hat on the beat": -0.47,
    "kick on the beat or half way": 1.06,
    "snare on the beat or half way": 0.79,
    "hat on the beat or half way": 0.57,
    "kick on thirds": -0.06,
    "snare on thirds": 0.84,
    "hat on thirds": -0.23,
    "kick on quarters": 1.58,
    "snare on quarters": 1.66,
    "hat on quarters": 1.19,
    "strokes on beats": 1.37,
    "strokes half way": 0.60,
    "snare half way and kick on beats": 1.52,
    "kick every second beat": -0.13,
    "snare every second beat": 1.27,
    "kick every third beat": -0.18,
    "snare every third beat": 0.62,
    "kick every fourth beat": 1.24,
    "snare every fourth beat": -3.49,
    "repeats after a beat": 0.57,
    "repeats after two beats": 3.66,
    "repeats after four beats": 4.58,
    "unsteadiness": -8.48,
    "octaves above 120 bpm": -0.05,
    "too fast": -20.37,
    "too slow": -1.65,
}
EVIDENCE: Sequence[str] = tuple(WEIGHTS)
WEIGHT_VECTOR = np.array(list(WEIGHTS.values()))
