"""Causal features: what the offline analysis hears, from the sound up to now alone.

Conventions: the sound is mono at ANALYSIS_RATE; a step is a hop of FINE_HOP samples (1/96 s). Windows end at the newest
sample, where the offline analysis centres them: a feature is as late as half of its window. `DELAYS` says by how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import scipy.fft

from audioreactive.features import rhythm, separation, spectra, timbre
from audioreactive.features.analysis import MIX, song_key
from audioreactive.features.blocks import COARSE_FFT, COARSE_HOP, FINE_HOP, LOUDEST_SILENCE, RMS_FRAME
from audioreactive.features.names import FEATURES, split_name
from audioreactive.live.calibration import PARTS_OF_LOUDNESS, USUAL_LOUDNESS, USUAL_ONSETS, Scale
from audioreactive.live.changes import Moments
from audioreactive.live.notes import Notes
from audioreactive.live.parts import Separator
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

STEP_RATE: Final = ANALYSIS_RATE // FINE_HOP
"""Steps a second: 96."""
SETTLE_STEPS: Final = 24
"""Steps between two changes of the scales: a quarter of a second."""
COARSE_STEPS: Final = COARSE_HOP // FINE_HOP
LOUDNESS_STEPS: Final = 4
"""Steps whose energy is averaged for the loudness of a separated part."""
ONSET_STEPS: Final = 2
"""Steps over which the onsets of a separated part are averaged."""
ONSET_DB: Final = 60.0
"""Decibels below the loudest spectrum at which onset spectra are cut off, as offline."""
FLOOR_FALL: Final = 0.2
"""Decibels a second by which the loudest spectrum is forgotten."""
TOP_DB: Final = 80.0
CLIPPED: Final = 4.0
"""Largest sample that is believed; larger ones, and what is not a number, are taken for a broken device."""

LOUDNESS: Final = f"{MIX}.rms"
USUAL_SCALES: Final = {LOUDNESS: USUAL_LOUDNESS, "percussive.onsets": USUAL_ONSETS}
"""Key -> scale that songs usually reach."""

DELAYS: Final[Mapping[str, float]] = {
    "rms": 0.042,
    "bass.rms": 0.021,
    "mid.rms": 0.021,
    "high.rms": 0.021,
    "harmonic.rms": 0.062,
    "percussive.rms": 0.062,
    "onsets": 0.021,
    "bass.onsets": 0.0,
    "mid.onsets": 0.0,
    "high.onsets": 0.0,
    "hits": 0.0,
    "mfcc": 0.042,
    "spectral_contrast": 0.042,
    "spectral_flatness": 0.042,
    "chroma": 0.31,
    "tonnetz": 0.2,
    "drop_weight": 0.5,
    "drop_level": 0.5,
    "drop_moment": 0.3,
    "build": 0.5,
    "pulse": 0.0,
}
"""Feature (of the full mix if no source is named) -> seconds by which it is later than offline."""


@dataclass(frozen=True)
class Heard:
    """Features of some steps."""

    first: int
    """Number of the first step; step s ends (s + 1) / STEP_RATE seconds after the start."""
    values: Mapping[str, FloatArray]
    """Key (`part.feature`) -> (n, C) in [0, 1]."""
    flux: FloatArray
    """(n, mels) increase of the mix's mel bands in decibels."""
    level: FloatArray
    """(n,) RMS of the mix."""

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.flux)


class Ear:
    """Turns samples into features, step by step; the result does not depend on how the samples are cut.

    Args:
        names: features that are wanted, as in presets.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.keys = tuple(sorted({song_key(name) for name in names}))
        self._parts = sorted({key.partition(".")[0] for key in self.keys})
        self._wanted = {
            part: {k.partition(".")[2] for k in self.keys if k.startswith(f"{part}.")} for part in self._parts
        }
        self.step = 0
        """Number of steps so far."""
        self._rest = np.zeros(0, np.float32)
        self._tail = np.zeros(COARSE_FFT, np.float32)
        self._separator = Separator(COARSE_FFT // 2 + 1)
        self._fine_before = np.zeros((1, rhythm.ONSET_FFT // 2 + 1), np.float32)
        self._strokes: dict[str, FloatArray] = {}
        self._floors: dict[str, float] = {}
        self._mels_before: dict[str, FloatArray] = {}
        self._energy: dict[str, FloatArray] = {}
        self._held: dict[str, FloatArray] = {}
        self._notes = {part: Notes() for part in self._parts if self._wanted[part] & {"chroma", "tonnetz"}}
        self._moments = {
            part: Moments(part)
            for part in self._parts
            if self._wanted[part] & {"hits", "drop_moment", "drop_level", "drop_weight", "build"}
        }
        self.scales = {
            key: Scale(
                key.partition(".")[2],
                split_name(key.removeprefix(f"{MIX}."))[1].channels,
                STEP_RATE,
                USUAL_SCALES.get(key),
            )
            for key in {*self.keys, LOUDNESS}
        }

    def freeze(self, frozen: bool) -> None:
        """Keep the scales as they are, or let them follow again."""
        for scale in self.scales.values():
            scale.frozen = frozen

    def reset(self) -> None:
        """Begin the scales anew, as for another evening."""
        for scale in self.scales.values():
            scale.reset()
        for moments in self._moments.values():
            moments.reset()
        self._floors.clear()

    def hear(self, samples: FloatArray) -> Heard:
        """Take the next samples, of any number, and return the features of the steps that they complete."""
        sound = np.concatenate((self._rest, sane(samples)))
        steps = len(sound) // FINE_HOP
        self._rest = sound[steps * FINE_HOP :].copy()
        first, pieces = self.step, []
        while self.step < first + steps:
            done = self.step - first
            count = min(steps - done, SETTLE_STEPS - self.step % SETTLE_STEPS)
            pieces.append(self._hear(sound[done * FINE_HOP : (done + count) * FINE_HOP]))
            if self.step % SETTLE_STEPS == 0:
                self._settle()
        if len(pieces) == 1:
            return pieces[0]
        keys = self.keys if pieces else ()
        return Heard(
            first,
            {key: np.concatenate([piece.values[key] for piece in pieces]) for key in keys},
            np.concatenate([np.zeros((0, rhythm.ONSET_MELS), np.float32), *(piece.flux for piece in pieces)]),
            np.concatenate([np.zeros(0, np.float32), *(piece.level for piece in pieces)]),
        )

    def _settle(self) -> None:
        """Take the scales from what was counted; parts keep at least as much room for their loudness as the mix."""
        whole = self.scales[LOUDNESS]
        room = whole.settle()
        for key, scale in self.scales.items():
            if key != LOUDNESS:
                share = PARTS_OF_LOUDNESS[key.partition(".")[0]] if scale.kind == "rms" else None
                scale.settle(room, None if share is None else share * whole.reach)

    def _hear(self, sound: FloatArray) -> Heard:
        """Analyse whole steps between two changes of the scales."""
        line = np.concatenate((self._tail, sound))
        self._tail = line[-COARSE_FFT:]
        count = len(sound) // FINE_HOP
        first, self.step = self.step, self.step + count
        fine, coarse = self._powers(line, first, count)
        loudness = _loudness(line, count)
        raw: dict[str, FloatArray] = {LOUDNESS: loudness[:, None]}
        flux = self._flux(MIX, fine[MIX])
        for part in self._parts:
            raw |= self._fine_values(part, fine, flux, loudness)
            raw |= self._coarse_values(part, coarse, count, first)
        for part, notes in self._notes.items():
            notes_now = notes.follow(sound, first)
            raw |= {f"{part}.{name}": notes_now[name] for name in self._wanted[part] & {"chroma", "tonnetz"}}
        values = {
            key: scale.scaled(raw[key]) if key in raw else np.zeros((count, scale.channels), np.float32)
            for key, scale in self.scales.items()
        }
        level = np.sqrt(np.square(sound.reshape(count, FINE_HOP)).mean(axis=1))
        return Heard(first, {key: values[key] for key in self.keys}, flux, level)

    def _powers(self, line: FloatArray, first: int, count: int) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Power spectra of the mix and its parts: of each step's newest 42 ms, and of every fourth's newest 83 ms."""
        separated = "harmonic" in self._parts or "percussive" in self._parts
        ends = np.flatnonzero((first + 1 + np.arange(count)) % COARSE_STEPS == 0)
        fine = {MIX: _power(line, rhythm.ONSET_FFT, np.arange(count))}
        coarse = {MIX: _power(line, COARSE_FFT, np.arange(count) if separated else ends)}
        if separated:
            masks = self._separator.masks(np.sqrt(coarse[MIX]))
            coarse[MIX] = coarse[MIX][ends]
            # The windows of the masks are twice as long, and so later: they belong to the spectra of the step before.
            before = np.concatenate((self._fine_before, fine[MIX]))
            self._fine_before = before[-1:].copy()
            for part, mask in zip(("harmonic", "percussive"), masks, strict=True):
                fine[part] = before[:-1] * mask[:, ::2]
                coarse[part] = coarse[MIX] * mask[ends]
        return fine, coarse

    def _flux(self, part: str, power: FloatArray) -> FloatArray:
        """Increase (n, mels) of each mel band in decibels."""
        n_fft = rhythm.ONSET_FFT
        decibels = spectra.power_to_db(
            power @ spectra.mel_filters(ANALYSIS_RATE, n_fft, rhythm.ONSET_MELS).T, top_db=None
        )
        loudest = np.concatenate(([self._floors.get(part, -100.0)], decibels.max(axis=1)))
        ramp = np.arange(len(loudest)) * (FLOOR_FALL / STEP_RATE)
        loudest = np.maximum.accumulate(loudest + ramp) - ramp
        self._floors[part] = float(loudest[-1])
        floor = np.maximum(loudest[1:] - ONSET_DB, -100.0).astype(np.float32)[:, None]
        before = self._mels_before.get(part, np.full((1, decibels.shape[1]), -100.0, np.float32))
        rows = np.concatenate((before, decibels))
        self._mels_before[part] = decibels[-1:].copy()
        return np.asarray(np.maximum(np.maximum(rows[1:], floor) - np.maximum(rows[:-1], floor), 0), np.float32)

    def _fine_values(
        self, part: str, fine: Mapping[str, FloatArray], flux: FloatArray, loudness: FloatArray
    ) -> dict[str, FloatArray]:
        wanted, band = self._wanted[part], part in separation.BANDS
        raw: dict[str, FloatArray] = {}
        power = fine[MIX] if band else fine[part]
        energy = None
        if wanted & _LOUD:
            energy = loudness if part == MIX else self._loudness(part, power)
        if "rms" in wanted and energy is not None:
            raw[f"{part}.rms"] = energy[:, None]
        if "onsets" in wanted:
            rises = flux if part == MIX or band else self._flux(part, power)
            raw[f"{part}.onsets"] = self._onsets(part, (rises[:, _mels_of(part)] if band else rises).mean(axis=1))
        if part in self._moments:
            mels = power if part == MIX or not band else fine[MIX]
            assert energy is not None
            moments = self._moments[part].follow(mels, energy)
            raw |= {f"{part}.{name}": moments[name][:, None] for name in wanted & set(moments)}
        return raw

    def _onsets(self, part: str, rises: FloatArray) -> FloatArray:
        """Onsets (n, 1) from the mean rises; of a separated part, whose masks are restless, over some steps."""
        if part not in ("harmonic", "percussive"):
            return rises[:, None]
        rows = np.concatenate((self._strokes.get(part, np.zeros(ONSET_STEPS - 1, np.float32)), rises))
        self._strokes[part] = rows[len(rows) - ONSET_STEPS + 1 :]
        mean: FloatArray = np.lib.stride_tricks.sliding_window_view(rows, ONSET_STEPS).mean(axis=1, keepdims=True)
        return mean

    def _loudness(self, part: str, power: FloatArray) -> FloatArray:
        """RMS (n,) of a part by Parseval's theorem; of a separated one over some steps more."""
        n_fft = rhythm.ONSET_FFT
        parseval = np.float32(2 / (n_fft * np.square(spectra.hann(n_fft)).sum()))
        if part in separation.BANDS:
            energy = power @ separation.band_weights(part, ANALYSIS_RATE, n_fft)
            return np.asarray(np.sqrt(energy * parseval), np.float32)
        now = power.sum(axis=1) * parseval
        rows = np.concatenate((self._energy.get(part, np.zeros(LOUDNESS_STEPS - 1, np.float32)), now))
        self._energy[part] = rows[len(rows) - LOUDNESS_STEPS + 1 :]
        windows = np.lib.stride_tricks.sliding_window_view(rows, LOUDNESS_STEPS)
        return np.asarray(np.sqrt(windows.mean(axis=1)), np.float32)

    def _coarse_values(
        self, part: str, coarse: Mapping[str, FloatArray], count: int, first: int
    ) -> dict[str, FloatArray]:
        """Timbre of every fourth step, held in between."""
        wanted = self._wanted[part] & _COARSE
        if not wanted:
            return {}
        band = part in separation.BANDS
        found: dict[str, FloatArray] = {}
        whole = coarse.get(MIX if band else part, np.zeros((0, COARSE_FFT // 2 + 1), np.float32))
        weights = separation.band_weights(part, ANALYSIS_RATE, COARSE_FFT) if band else np.ones(1, np.float32)
        power: FloatArray = whole * weights
        if len(power):
            if "mfcc" in wanted:
                found["mfcc"] = self._mfcc(part, power)
            if "spectral_flatness" in wanted:
                flat = timbre.spectral_flatness(power[:, weights > 0] if band else power)
                found["spectral_flatness"] = (flat * (power.mean(axis=1) > LOUDEST_SILENCE))[:, None]
            if "spectral_contrast" in wanted:
                hz = spectra.bin_frequencies(ANALYSIS_RATE, COARSE_FFT)
                valleys, peaks = timbre.contrast_extremes(np.sqrt(power), hz)
                found["spectral_contrast"] = self._cut_off(f"{part} peaks", peaks) - self._cut_off(
                    f"{part} valleys", valleys
                )
        held = {}
        for name in wanted:
            key = f"{part}.{name}"
            before = self._held.get(key, np.zeros((1, FEATURES[name].channels), np.float32))
            rows = np.concatenate((before, found.get(name, before[:0])))
            held[key] = rows[(first + np.arange(1, count + 1)) // COARSE_STEPS - first // COARSE_STEPS]
            self._held[key] = rows[-1:]
        return held

    def _mfcc(self, part: str, power: FloatArray) -> FloatArray:
        mel = power @ spectra.mel_filters(ANALYSIS_RATE, COARSE_FFT, timbre.MELS).T
        return timbre.mfcc(self._cut_off(f"{part} colour", mel))

    def _cut_off(self, name: str, power: FloatArray) -> FloatArray:
        """Decibels, cut off TOP_DB below the loudest so far."""
        decibels = spectra.power_to_db(power, top_db=None)
        loudest = np.maximum.accumulate(np.concatenate(([self._floors.get(name, -100.0)], decibels.max(axis=1))))
        self._floors[name] = float(loudest[-1])
        return np.asarray(np.maximum(decibels, (loudest[1:, None] - TOP_DB)), np.float32)


_COARSE: Final = frozenset({"mfcc", "spectral_contrast", "spectral_flatness"})
_LOUD: Final = frozenset({"rms", "drop_weight", "drop_level", "drop_moment", "hits", "build"})


def _power(line: FloatArray, n_fft: int, steps: NDArray[np.int64]) -> FloatArray:
    """Power spectra (n, bins) of the windows that end with these steps of a line that begins COARSE_FFT before them."""
    windows = np.lib.stride_tricks.sliding_window_view(line[COARSE_FFT - n_fft + FINE_HOP :], n_fft)
    return spectra.power_spectrum(scipy.fft.rfft(windows[steps * FINE_HOP] * spectra.hann(n_fft), axis=1))


def _loudness(line: FloatArray, count: int) -> FloatArray:
    """RMS (count,) of the RMS_FRAME samples that end with each step of a line that begins COARSE_FFT before them."""
    sums = np.concatenate(([0.0], np.cumsum(np.square(line, dtype=np.float64))))
    ends = COARSE_FFT + FINE_HOP * np.arange(1, count + 1)
    return np.asarray(np.sqrt(np.maximum(sums[ends] - sums[ends - RMS_FRAME], 0) / RMS_FRAME), np.float32)


def _mels_of(band: str) -> NDArray[np.bool_]:
    limits, centres = separation.BANDS[band], spectra.mel_edges(ANALYSIS_RATE, rhythm.ONSET_MELS)[1:-1]
    inside: NDArray[np.bool_] = (centres >= limits.low) & (centres < limits.high)
    return inside


def sane(samples: FloatArray) -> FloatArray:
    """Samples with what is no sound replaced by silence, and impossible peaks cut off."""
    sound = np.nan_to_num(np.asarray(samples, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(sound, -CLIPPED, CLIPPED)
