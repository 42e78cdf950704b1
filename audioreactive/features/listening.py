"""Analyse a whole sound: envelopes, beats and sections, from the measurements of its blocks."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from audioreactive.errors import AudioError
from audioreactive.features import beats, metre, moments, pitch, rhythm, scaling, separation, spectra, structure, timbre
from audioreactive.features.analysis import MIX, PART_OF_FEATURE, Analysis
from audioreactive.features.blocks import ATTACK_STEP, FINE_HOP, Measured, Wanted, measure, pieces
from audioreactive.features.grid import COARSE_RATE, FINE_RATE, FLUX_LATE, grid_rate
from audioreactive.features.tempo import ANY_TEMPO, TempoLimits
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from audioreactive.features.names import BeatTracker
    from audioreactive.media.audio import Audio

    FloatArray = NDArray[np.float32]

TOP_DB = 80.0
"""Decibels below the song's loudest spectrum at which spectra are cut off."""
ONSET_DB = 60.0
"""Decibels below the loudest spectrum at which onset spectra are cut off: lower values are pre-echo of the separation,
whose long windows smear an attack."""
SILENCE_DB = 10 * np.log10(spectra.SMALLEST_POWER)
GAIN_LATE = 2
"""Fine frames by which a window contains a stroke before its centre reaches it."""
PULSE_SECONDS = 8
CENS_SMOOTHING = 23
"""Coarse frames over which CENS is smoothed: as long in seconds as librosa's default."""
TEMPO_STRIDE = 8
"""Fine frames between the windows on which the tempo is estimated; the windows are about a hundred times as long."""
FIXED_TIGHTNESS = 400.0
"""Tightness of beats when the user gave the tempo: four times librosa's default."""
MOST_STEPS = 8192
STEP_SECONDS = 0.5
"""Length in seconds of a segmentation's steps if there are no beats."""


def listen(
    audio: Audio,
    *,
    keys: Collection[str],
    segmentations: Collection[str],
    beat_tracker: BeatTracker = "librosa",
    limits: TempoLimits = ANY_TEMPO,
    report: Callable[[str, float], None] = lambda stage, share: None,
) -> Analysis:
    """Compute envelopes, beats and sections of a sound.

    Raises:
        AudioError: the sound is not at ANALYSIS_RATE, or is empty.
        FeatureError: madmom is requested and not installed.
    """
    if audio.sample_rate != ANALYSIS_RATE or not len(audio.samples):
        raise AudioError(
            f"{audio.source!r} has {len(audio.samples)} samples at {audio.sample_rate} Hz; "
            f"make it with audioreactive.media.audio.from_samples, which resamples to {ANALYSIS_RATE} Hz"
        )
    needed = {f"{PART_OF_FEATURE.get(name, MIX)}.{name}" for name in segmentations}
    wanted = Wanted(frozenset({*keys, *needed, *((f"{MIX}.mfcc",) if segmentations else ())}))
    # Blocks are measured in parallel, so BLAS threads inside their small matrix products would only slow it down.
    with threadpool_limits(1, user_api="blas"):
        measured = measure(audio.samples, wanted, lambda share: report("listening", 0.85 * share))
        found = find_beats(audio, measured, beat_tracker, limits)
        duration, digest, notes = audio.duration, audio.digest, audio.notes
        del audio  # An hour of samples takes 350 MB; free them if the caller does not hold them.
        report("beats", 0.9)
        raw = {key: _finish(key, measured, limits) for key in sorted(wanted.keys)}
        del measured
        steps = step_starts(found, float(duration))
        labels = _sections(raw, steps, segmentations)
        report("sections", 1.0)
    return Analysis(
        duration=duration,
        digest=digest,
        notes=notes,
        tempo=found.tempo,
        beats=found.beats,
        downbeats=found.downbeats,
        envelopes={key: scaling.scaled(key.partition(".")[2], raw[key]) for key in sorted(keys)},
        steps=steps,
        labels=labels,
        tempo_confidence=found.confidence,
    )


def _finish(key: str, measured: Measured, limits: TempoLimits) -> FloatArray:
    """Compute the raw values (n, C) of a feature on its grid."""
    part, _, feature = key.partition(".")
    match feature:
        case "rms":
            return measured[f"{part}.loudness"]
        case "drop_weight":
            weight = rhythm.drop_weight(measured[f"{part}.loudness"][:, 0], frame_rate=FINE_RATE)
            return weight[:: FINE_RATE // COARSE_RATE, None]
        case "onsets":
            return _onsets(part, measured, np.mean)[:, None]
        case "pulse":
            return _pulse(_onsets(part, measured, np.median), limits)[:, None]
        case "hits" | "drop_moment" | "drop_level" | "build":
            return _moments(part, feature, measured)[:, None]
        case "mfcc":
            return _mfcc(measured[f"{part}.colour"])
        case "spectral_flatness":
            return measured[f"{part}.flatness"]
        case "spectral_contrast":
            valleys, peaks = np.hsplit(measured[f"{part}.extremes"], 2)
            return timbre.spectral_contrast(valleys, peaks)
        case "chroma":
            return pitch.cens(measured[f"{part}.notes"], smoothing=CENS_SMOOTHING)
        case "tonnetz":
            return pitch.tonnetz(measured[f"{part}.notes"])
    raise AssertionError(f"no way to hear {key}")


def _mfcc(colour: FloatArray) -> FloatArray:
    """Compute cepstral coefficients (n, 20) from mel bands in decibels."""
    floor = max(rows.max() for rows in pieces(colour)) - np.float32(TOP_DB)
    return np.concatenate([timbre.mfcc(np.maximum(rows, floor)) for rows in pieces(colour)])


def _onsets(part: str, measured: Measured, aggregate: Callable[..., NDArray[np.floating]]) -> FloatArray:
    """Compute the spectral flux (n,) over a part's mel bands; for a frequency band, over the mix's bands within it."""
    band = separation.BANDS.get(part)
    attack = measured[f"{MIX if band else part}.attack"]
    floor = _onset_floor(attack)
    inside: slice | NDArray[np.bool_] = slice(None)
    if band:
        inside = _mels_of(band)
    envelope = np.empty(len(attack), np.float32)
    before, start = None, 0
    for piece in pieces(attack):
        decibels = np.maximum(piece[:, inside] * np.float32(ATTACK_STEP), floor)
        rows = np.concatenate((np.full_like(decibels[:1], floor) if before is None else before, decibels))
        envelope[start : start + len(piece)] = aggregate(rhythm.flux(rows), axis=1)
        before, start = rows[-1:].copy(), start + len(piece)
    onsets = rhythm.delayed(envelope[1:], n_fft=rhythm.ONSET_FFT, hop_length=FINE_HOP)
    # librosa starts at the second spectrum and so misses an onset at the very start of a song.
    onsets[0] = envelope[0]
    return onsets


def _onset_floor(attack: NDArray[np.int16]) -> np.float32:
    loudest = max(int(rows.max()) for rows in pieces(attack))
    return np.float32(max(loudest * ATTACK_STEP - ONSET_DB, SILENCE_DB))


def _mels_of(band: separation.Band) -> NDArray[np.bool_]:
    centres = spectra.mel_edges(ANALYSIS_RATE, rhythm.ONSET_MELS)[1:-1]
    inside: NDArray[np.bool_] = (centres >= band.low) & (centres < band.high)
    return inside


def _moments(part: str, feature: str, measured: Measured) -> FloatArray:
    """Compute a feature (n,) of the module `moments`, for all bands of a part or for one band of the mix."""
    levels, gains = _loudness(part, measured)
    hits = moments.hits_of(gains, levels, rate=FINE_RATE)
    if feature == "hits":
        strongest: FloatArray = hits.max(axis=1)
        return strongest
    changes = moments.changes_of(levels, gains, rate=FINE_RATE)
    match feature:
        case "drop_moment":
            return moments.drop_moment(changes, len(levels))
        case "drop_level":
            return moments.drop_level(measured[f"{part}.loudness"][:, 0], changes, rate=FINE_RATE)
        case _:
            return moments.build(levels, hits, changes, rate=FINE_RATE)


def _loudness(part: str, measured: Measured) -> tuple[FloatArray, FloatArray]:
    """Compute the loudness (n, bands) of a part in each frequency band, and its increase in each step.

    If the part is itself a band of the mix, there is only this one band.
    """
    bands = [separation.BANDS[part]] if part in separation.BANDS else [*separation.BANDS.values()]
    attack = measured[f"{MIX if part in separation.BANDS else part}.attack"]
    floor = _onset_floor(attack)
    quietest = moments.loudness_of(np.full((1, attack.shape[1]), floor, np.float32))
    levels, gains = (np.empty((len(attack), len(bands)), np.float32) for _ in range(2))
    before, start = quietest, 0
    for piece in pieces(attack):
        loudness = moments.loudness_of(np.maximum(piece * np.float32(ATTACK_STEP), floor))
        rows = np.concatenate((before, loudness))
        gain, stop = rhythm.flux(rows), start + len(piece)
        for i, band in enumerate(bands):
            inside = _mels_of(band)
            levels[start:stop, i] = (loudness - quietest)[:, inside].mean(axis=1)
            gains[start:stop, i] = gain[:, inside].mean(axis=1)
        before, start = loudness[-1:], stop
    late = GAIN_LATE
    gains = np.pad(gains, ((late, 0), (0, 0)))[: len(levels)]
    gains[:late] = 0
    return levels, gains


def _pulse(onsets: FloatArray, limits: TempoLimits) -> FloatArray:
    """Compute the predominant local pulse among the allowed tempi, on a grid of half the fine rate."""
    neighbours = np.pad(onsets, 1)
    half_rate = (0.25 * neighbours[:-2] + 0.5 * onsets + 0.25 * neighbours[2:])[::2]
    rate = grid_rate("pulse")
    if limits == ANY_TEMPO:
        return rhythm.plp(half_rate, frame_rate=rate, win_length=PULSE_SECONDS * rate)
    near = 30 / PULSE_SECONDS  # half the tempo resolution of the window
    low, high = limits.low - near, limits.high + near
    return rhythm.plp(half_rate, frame_rate=rate, win_length=PULSE_SECONDS * rate, tempo_min=low, tempo_max=high)


def mix_onsets(measured: Measured) -> FloatArray:
    """Compute the onset envelope (frames,) for beat tracking: the median flux over the mix's bands.

    If the median is 0 throughout, because most bands are silent, it is the mean.
    """
    onsets = _onsets(MIX, measured, np.median)
    return onsets if onsets.any() else _onsets(MIX, measured, np.mean)


def find_beats(audio: Audio, measured: Measured, tracker: BeatTracker, limits: TempoLimits = ANY_TEMPO) -> beats.Beats:
    """Find tempo, beats and downbeats, by `metre` and Ellis' tracker as in librosa, or by madmom's networks."""
    onsets = mix_onsets(measured)
    if not onsets.any() and tracker == "librosa":
        return beats.Beats(0.0, np.zeros(0), np.zeros(0))
    heard = metre.hear(onsets, measured[f"{MIX}.attack"], stride=TEMPO_STRIDE)
    if tracker == "madmom":
        from audioreactive.features.neural_beats import track

        found = track(audio, limits)
        sure = metre.confidence_in(found.tempo, heard, limits)
        return replace(found, confidence=sure)
    tempo = metre.choose_tempo(heard, limits)
    frames = metre.place_beats(heard, tempo.period, tightness=_tightness(limits))
    first = beats.find_downbeats(_accents(frames, measured))
    seconds = np.maximum(frames - float(FLUX_LATE), 0) / FINE_RATE
    bpm = 60 * FINE_RATE / tempo.period if tempo.period and len(frames) else 0.0
    exact = limits.low if limits.fixed and len(frames) else beats.tempo_of(seconds, bpm)
    return beats.Beats(exact, seconds, seconds[first], tempo.confidence if exact else 0.0)


def _tightness(limits: TempoLimits) -> float:
    """Return the penalty on deviations from the tempo, which is higher if the user gave the tempo."""
    return FIXED_TIGHTNESS if limits.fixed else beats.TIGHTNESS


def _accents(frames: NDArray[np.int64], measured: Measured) -> NDArray[np.float64]:
    """Score how likely each beat begins a bar, (beats,): by a stroke in the bass and a change of harmony."""
    if len(frames) < 2:
        return np.zeros(len(frames))
    reach = FINE_RATE // 20
    bass = np.pad(_onsets("bass", measured, np.mean), reach)
    stroke = np.lib.stride_tricks.sliding_window_view(bass, 2 * reach + 1)[frames].max(axis=1).astype(np.float64)
    harmony = measured[f"{MIX}.harmony"]
    edges = np.concatenate((frames * COARSE_RATE // FINE_RATE, [len(harmony)]))
    edges = np.maximum.accumulate(np.minimum(edges, len(harmony) - 1))
    edges[-1] = max(edges[-1], edges[-2] + 1)
    spans = np.add.reduceat(np.sqrt(harmony), edges[:-1], axis=0)
    unit = pitch.normalized(spans, order=2)
    change = np.concatenate(([0.0], 1 - (unit[1:] * unit[:-1]).sum(axis=1)))
    return _standardised(stroke) + _standardised(change)


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = values.std()
    standard: NDArray[np.float64] = (values - values.mean()) / (deviation if deviation > 0 else 1)
    return standard


def step_starts(found: beats.Beats, seconds: float) -> NDArray[np.int64]:
    """Find the fine-grid points (m,) at which the segmentations' steps start.

    They are the beats; gaps without beats are divided into steps of about a beat's period.
    """
    period = 60 / found.tempo if found.tempo else STEP_SECONDS
    marks = np.concatenate(([0.0], found.beats, [seconds]))
    starts = [0.0]
    for before, after in itertools.pairwise(marks):
        extra = max(round((after - before) / period), 1)
        starts.extend(before + (after - before) * (np.arange(extra) + 1) / extra)
    # The last start is the end; a step shorter than a coarse frame would be empty.
    grid = np.round(np.array(starts[:-1]) * FINE_RATE).astype(np.int64)
    grid = grid[np.concatenate(([True], np.diff(grid // (FINE_RATE // COARSE_RATE)) > 0))]
    return grid[:: -(-len(grid) // MOST_STEPS)]


def _sections(
    raw: dict[str, FloatArray], steps: NDArray[np.int64], names: Collection[str]
) -> dict[str, NDArray[np.uint8]]:
    """Segment the song by each feature: feature name -> (m, 15) labels of the steps."""
    if not names:
        return {}
    edges = np.append(steps * COARSE_RATE // FINE_RATE, len(raw[f"{MIX}.mfcc"]))
    colour = structure.per_step(raw[f"{MIX}.mfcc"], edges)
    labels = {}
    for name in names:
        values = structure.per_step(raw[f"{PART_OF_FEATURE.get(name, MIX)}.{name}"], edges)
        labels[name] = structure.segment(values, colour)
    return labels
