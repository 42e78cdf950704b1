"""Readings of a song's tempo: which of the tempi that fit its onsets is the beat, by what the drums do on each of them.

A reading is a tempo and a steady grid of beats. What speaks for it is measured where its beats are (`evidence`): kicks
on the beats, a snare on every second one, hi-hats that divide them, and a rhythm that repeats after two and four of
them. How much each of these counts is learned from songs of random patterns: benchmarks/tempo_weights.py writes the
table.

Conventions: envelopes are on the fine grid; periods and beats are in its frames.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter1d

from audioreactive.features import beats, rhythm, spectra
from audioreactive.features.blocks import ATTACK_STEP, pieces
from audioreactive.features.evidence import BANDS, HAT, KICK, SNARE, Heard, between, judge, measured
from audioreactive.features.grid import FINE_RATE
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.features.tempo import TempoLimits

    FloatArray = NDArray[np.float32]
    Doubles = NDArray[np.float64]

SPANS = {"kick": 4, "body": 5, "snare": 5, "hat": 3}
"""Frames over which power is averaged before and after a stroke, so that the short click of a kick is no snare."""
LOUDNESS_STEP = 20.0
"""A stroke 20 dB below the loud ones counts a tenth of them."""
CORRELATION_SECONDS = 8
BAND_STRIDE = 32
"""Fine frames between the windows on which the drums' periods are measured."""
MOST_CANDIDATES = 14
HEARD_SECONDS, HEARD_SPANS = 15, 8
"""Readings are compared on spans of about 15 s, for no longer is a band steady, and on eight of them at most."""
USUAL_BPM, USUAL_LOW, USUAL_HIGH = 144.0, 70.0, 182.0
TAKES_TURNS = 2.0
"""How much the logarithm of a probability falls where a snare plays half way between kicks, as loud as they are, and
twice the tempo is usual too. Set by hand over what the judge has learned, on the songs of benchmarks/tempo.py (both
sets) and tempo_random.py: at 1, house at 160 under a chord is read as 80; at 3, some at 70 to 87 as twice that."""
UNUSUAL = 40.0
"""How much the logarithm of a probability falls with each octave outside of the usual tempi."""
SAME_TEMPO = 0.04
"""Logarithm of the ratio of tempi below which two are one."""
RELATIVES = (1 / 2, 2, 3 / 2, 2 / 3, 3 / 4, 4 / 3)
"""Ratios at which a rhythm is easily misread."""
OFFSETS = np.array([0, 3, 6, 9, 4, 8]) / 12
"""Shares of a beat by which a path may have to be moved: onto the off-beat, a quarter or a triplet."""
GRID_STRENGTH = {KICK: 0.5, SNARE: 0.5, HAT: 0.25}
"""How much the drums count beside the flux when a steady grid is laid."""
GRID_POINTS = 1 << 18
"""Length of the spectrum from which a grid is read; the longest span is a fiftieth of it."""
GRID_REACH = 0.02
"""Share of a period within which it is refined."""
FEWEST_BEATS = 4
CLEARLY = 1.0
"""Logarithm of the ratio of probabilities by which a steady grid must be better than a path to be followed."""
JUMP = 4.0
"""The same for a beat that is not where the one before expects it, where two spans meet."""
GUIDE_STRENGTH = 1.0
"""Deviations of the flux by which a beat that is followed counts even where the flux has no onset."""
IN_STEP = 0.12
"""Share of a beat by which the beats of two spans may disagree where they meet."""


def hear(onsets: FloatArray, attack: NDArray[np.int16], *, stride: int) -> Heard:
    """What readings are compared on, from the flux and the mix's mel bands in decibels.

    Args:
        onsets: (frames,) flux.
        attack: (frames, mels) decibels in steps of ATTACK_STEP.
        stride: frames between the windows on which the flux' periods are measured.
    """
    drums, balance = drum_onsets(attack)
    lags = CORRELATION_SECONDS * FINE_RATE
    flux = beats.mean_autocorrelation(onsets, lags, stride)
    bands = [beats.mean_autocorrelation(drums[:, band], lags, BAND_STRIDE) for band in (KICK, SNARE, HAT)]
    return Heard(onsets, drums, balance, np.stack([flux, *bands], axis=1))


def drum_onsets(attack: NDArray[np.int16]) -> tuple[FloatArray, Doubles]:
    """(frames, 4) strokes of the bands of drums, about 1 for a loud one, and (4,) logarithms of how loud those are."""
    centres = spectra.mel_edges(ANALYSIS_RATE, rhythm.ONSET_MELS)[1:-1]
    inside = np.stack([(centres >= low) & (centres < high) for low, high in BANDS.values()], axis=1)
    power = np.empty((len(attack), len(BANDS)), np.float32)
    start = 0
    for piece in pieces(attack):
        linear = np.exp(piece * np.float32(ATTACK_STEP * np.log(10) / 10))
        power[start : start + len(piece)] = linear @ inside.astype(np.float32)
        start += len(piece)
    strokes = np.stack([_strokes(power[:, i], span) for i, span in enumerate(SPANS.values())], axis=1)
    # In step with the flux, which notes a gain about two frames after its middle.
    moved: FloatArray = np.pad(strokes, ((2, 0), (0, 0)))[: len(strokes)]
    scale = np.square(moved).sum(axis=0) / np.maximum(moved.sum(axis=0), 1e-9)
    loud = np.log10(np.percentile(power, 98, axis=0) + 1e-9)
    return np.asarray(moved / np.maximum(scale, 1e-9), np.float32), np.asarray(loud, np.float64)


def _strokes(power: FloatArray, span: int) -> FloatArray:
    """(frames,) by how much the power of the next frames exceeds that of the last ones, on a soft logarithmic scale."""
    sums = np.concatenate((np.zeros(span + 1), np.cumsum(power, dtype=np.float64)))
    sums = np.pad(sums, (0, span), mode="edge")
    mean = (sums[span:] - sums[:-span]) / span
    loud = np.percentile(mean, 98)
    level = np.log1p(LOUDNESS_STEP * mean / max(loud, 1e-12))
    return np.asarray(np.maximum(level[span:][: len(power)] - level[: len(power)], 0), np.float32)


@dataclass(frozen=True)
class Tempo:
    """What came of comparing readings."""

    period: float
    """Frames from beat to beat; 0 where there is none."""
    confidence: float
    """Probability in [0, 1] among all readings."""


def choose_tempo(heard: Heard, limits: TempoLimits) -> Tempo:
    """The tempo of a song among those that are allowed."""
    if limits.fixed:
        return Tempo(60 * FINE_RATE / limits.low, 1.0)
    periods = candidates(heard.correlation, limits)
    shares = _shares(periods, heard)
    if not shares.any():  # too short to compare: the clearest that repeats
        return Tempo(float(periods[0]) if len(periods) else 0.0, 0.0)
    best = int(shares.argmax())
    return Tempo(float(periods[best]), _share_near(periods[best], periods, shares))


def confidence_in(bpm: float, heard: Heard, limits: TempoLimits) -> float:
    """The probability of a tempo that somebody else found, among all readings."""
    if limits.fixed or not bpm > 0 or not heard.onsets.any():
        return float(limits.fixed)
    period = 60 * FINE_RATE / bpm
    periods = candidates(heard.correlation, limits)
    if not (np.abs(np.log(periods / period)) < SAME_TEMPO).any():
        periods = np.append(periods, period)
    return _share_near(period, periods, _shares(periods, heard))


def _shares(periods: Doubles, heard: Heard) -> Doubles:
    """(n,) probability of each period; zeros where the song is too short for any."""
    spans = _heard_spans(len(heard.onsets))
    totals = np.zeros(len(periods))
    for span in spans:
        part = heard.part(span)
        grids = SteadyGrids(part)
        totals += [_evidence(grids.readings(period), part) for period in periods]
    if not np.isfinite(totals).any():
        return np.zeros(len(periods))
    totals = totals / len(spans) + _usual(60 * FINE_RATE / periods)
    shares = np.exp(totals - totals.max())
    return np.asarray(shares / shares.sum())


def _usual(bpm: Doubles) -> Doubles:
    """(n,) logarithm of how usual tempi are: nearly the same inside of the usual range, and much less outside."""
    outside = np.maximum(np.log2(USUAL_LOW / bpm), 0) + np.maximum(np.log2(bpm / USUAL_HIGH), 0)
    return np.asarray(-(np.log2(bpm / USUAL_BPM) ** 2) - UNUSUAL * outside)


def _share_near(period: float, periods: Doubles, shares: Doubles) -> float:
    """Probability of all periods that are one tempo with this one."""
    return float(shares[np.abs(np.log(periods / period)) < SAME_TEMPO].sum())


def _heard_spans(frames: int) -> list[slice]:
    """Spans on which readings are compared: the whole of a short song, some parts of a long one."""
    length = HEARD_SECONDS * FINE_RATE
    if frames <= HEARD_SPANS * length:
        return _even_spans(frames)
    starts = np.linspace(0, frames - length, HEARD_SPANS + 2)[1:-1].astype(int)
    return [slice(start, start + length) for start in starts]


def _even_spans(frames: int) -> list[slice]:
    """Spans of equal length, about that of HEARD_SECONDS, that cover a whole song."""
    count = max(round(frames / (HEARD_SECONDS * FINE_RATE)), 1)
    return [slice(i * frames // count, (i + 1) * frames // count) for i in range(count)]


def candidates(correlation: Doubles, limits: TempoLimits) -> Doubles:
    """(n,) periods within the limits at which flux and drums repeat, the clearest first, and relatives of those."""
    lags = len(correlation)
    repeats = np.convolve(correlation @ np.array([1, *GRID_STRENGTH.values()]), [0.25, 0.5, 0.25], "same")
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
    """The place of a peak between grid points, by a parabola through its neighbours."""
    before, at, after = values[peak - 1 : peak + 2]
    bend = before - 2 * at + after
    return peak + float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else float(peak)


@dataclass(frozen=True)
class Readings:
    """A path of beats, and the shares of a beat by which it may be moved."""

    path: Doubles
    offsets: Doubles
    period: float

    def moved(self) -> list[Doubles]:
        """The beats of each reading."""
        return [self.path[:-1] + np.diff(self.path) * offset for offset in self.offsets]

    def evidence(self, heard: Heard) -> Doubles:
        """(readings, EVIDENCE) what speaks for each."""
        return measured(self.path, heard, self.period, self.offsets)

    def scores(self, heard: Heard) -> Doubles:
        """(readings,) logarithm of the probability of each, up to a constant."""
        return judge().scores(self.evidence(heard))


def _evidence(readings: Readings, heard: Heard) -> float:
    """Logarithm of how probable a period is, up to a constant, wherever in it the beats lie."""
    if len(readings.path) < FEWEST_BEATS:
        return -np.inf
    evidence = readings.evidence(heard)
    scores = judge().scores(evidence)
    if 2 * 60 * FINE_RATE / readings.period <= USUAL_HIGH:
        scores = scores - TAKES_TURNS * between(evidence)
    return float(np.logaddexp.reduce(scores))


class SteadyGrids:
    """Grids of even beats that a span of a song may be heard on.

    A rhythm of strokes on quarters of a beat has a line in its spectrum at four times the tempo, whose phase says where
    those quarters are, and at three times if it is in triplets: the beats are on one of the four, or of the three.
    """

    def __init__(self, heard: Heard) -> None:
        strength = heard.onsets / max(float(heard.onsets.std()), 1e-9)
        for band, share in GRID_STRENGTH.items():
            drum = heard.drums[:, band]
            strength = strength + share * drum / max(float(drum.std()), 1e-9)
        self._frames = len(strength)
        self._spectrum = scipy.fft.rfft(strength.astype(np.float64) - strength.mean(), GRID_POINTS)

    def readings(self, period: float) -> Readings:
        """The grids at the tempo near this one on which the strokes are clearest."""
        periods = period * (1 + np.linspace(-GRID_REACH, GRID_REACH, 81))
        lines = np.abs(self._line(np.arange(1, 5)[:, None], periods)).sum(axis=0)
        period = float(periods[lines.argmax()])
        quarter, third = (-np.angle(self._line(k, period)) / (2 * np.pi * k) for k in (4, 3))
        apart = (third - quarter + 0.5) % 1 - 0.5
        first = (quarter % 1 - 1) * period
        path = np.arange(first, self._frames - 1, period)
        offsets = np.array([0, 0.25, 0.5, 0.75, apart, apart + 1 / 3, apart + 2 / 3])
        return Readings(path[path >= 0], offsets, period)

    def _line(self, times: Any, period: Any) -> Any:
        """The spectrum at some times the tempo."""
        return self._spectrum[np.round(times * GRID_POINTS / period).astype(int)]


def place_beats(heard: Heard, period: float, *, tightness: float) -> NDArray[np.int64]:
    """Frames of the beats at a period: Ellis' path through the flux, moved to where the drums have the beat."""
    if not period > 0:
        return np.zeros(0, np.int64)
    onsets = heard.onsets
    usual = beats.likeliest_tempo(heard.correlation[:, 0], frame_rate=FINE_RATE)
    bpm = 60 * FINE_RATE / period
    if tightness == beats.TIGHTNESS and abs(np.log(usual / bpm)) < SAME_TEMPO:
        bpm = usual  # on the grid, as librosa has it
    path = beats.track_beats(onsets, frame_rate=FINE_RATE, bpm=bpm, tightness=tightness)
    if len(path) < FEWEST_BEATS:
        return path
    parts = [_span_readings(heard, path.astype(np.float64), span, period) for span in _even_spans(len(onsets))]
    chosen = _steadiest([part for part in parts if part], period)
    if not any(chosen):
        return path
    followed = np.concatenate([part[i][0] for part, i in zip([part for part in parts if part], chosen, strict=True)])
    if _same_beats(path, followed, period):
        return path
    guide = np.zeros(len(onsets))
    guide[np.round(followed).astype(int).clip(0, len(onsets) - 1)] = 1
    width = period / 24
    near = np.sqrt(2 * np.pi) * width * gaussian_filter1d(guide, width)
    # A kick alone is hardly heard in the flux: so the guide pulls by itself too.
    guided = onsets * (0.2 + near) + GUIDE_STRENGTH * float(onsets.std()) * near
    return beats.track_beats(guided.astype(np.float32), frame_rate=FINE_RATE, bpm=bpm, tightness=tightness)


def _same_beats(path: NDArray[np.int64], followed: Doubles, period: float) -> bool:
    """Whether nearly all beats of a path are where another has them."""
    places = np.sort(followed)
    after = np.searchsorted(places, path).clip(1, len(places) - 1)
    distance = np.minimum(np.abs(path - places[after - 1]), np.abs(places[after] - path))
    return bool(np.percentile(distance, 95) < IN_STEP * period)


def _span_readings(heard: Heard, path: Doubles, span: slice, period: float) -> list[tuple[Doubles, float]]:
    """(beats, score) of each reading of a span: first the path as it is, then moved, then steady grids."""
    part = heard.part(span)
    grid = SteadyGrids(part).readings(period)
    inside = path[(path >= span.start) & (path < span.stop)] - span.start
    if len(grid.path) < FEWEST_BEATS or len(inside) < FEWEST_BEATS:
        return []
    both = (Readings(inside, OFFSETS, period), 0.0), (grid, CLEARLY)
    return [
        (beats_of + span.start, float(score) - less)
        for readings, less in both
        for beats_of, score in zip(readings.moved(), readings.scores(part), strict=True)
    ]


def _steadiest(parts: list[list[tuple[Doubles, float]]], period: float) -> list[int]:
    """For each span the number of a reading, so that all are probable and few beats jump between the spans."""
    if not parts:
        return []
    total = np.array([score for _, score in parts[0]])
    came_from: list[NDArray[np.int64]] = []
    for before, after in itertools.pairwise(parts):
        gaps = np.array([[b[0] - a[-1] for b, _ in after] for a, _ in before]) / period
        ways = total[:, None] - JUMP * (np.abs(gaps - np.round(gaps)) > IN_STEP)
        came_from.append(ways.argmax(axis=0))
        total = ways.max(axis=0) + [score for _, score in after]
    chosen = [int(total.argmax())]
    for best in reversed(came_from):
        chosen.append(int(best[chosen[-1]]))
    return chosen[::-1]
