"""Motion of a patch without knowledge of the future: weights over the palette and the noise, one moment at a time.

What the offline motion (`patches.latents`, `patches.noise`) takes from the whole song is replaced: base curves are
endless walks, averages and spreads run along, loops follow the foretold beat, smoothing is one-sided. What is left,
strategies and merges, is the same: with features that need no future, both give the same weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.live.shaping import Low, Shaper, averaged, on_circle, scattered
from audioreactive.patches.fields import DEPTHS
from audioreactive.patches.noise import SIGMA_SCALE, LoopMotion, NoiseMotion
from audioreactive.patches.schema import (
    LatentDirection,
    LatentFeature,
    LatentLoop,
    LatentSegmentation,
    LatentSynthesizer,
    NoiseBlend,
    NoiseFeature,
    NoiseLoop,
)
from audioreactive.patches.tables import depth_indices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from audioreactive.patches.fields import Envelope
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import NoisePatch, Patch

    FloatArray = NDArray[np.float32]

USUAL_SONG: Final = 210.0
"""Seconds in which a base curve passes its vectors once: the length of a usual song."""
MEMORY: Final = 45.0
"""Seconds in which running averages of the motion forget to 1/e."""


Sequence = LatentFeature | LatentLoop | LatentSegmentation | NoiseFeature | NoiseBlend | NoiseLoop
"""Sub-sequences that can be live."""


@dataclass(frozen=True)
class Moment:
    """Features, beat and sections at one moment, from which the motion is made."""

    seconds: float
    """Time since the start."""
    dt: float
    """Time since the moment before."""
    features: Mapping[str, FloatArray]
    """Feature name -> (C,) in [0, 1]; peaks are the highest since the moment before."""
    bars: float
    """Position in bars, by the foretold beats; it never goes back."""
    labels: Mapping[tuple[str, int], int]
    """(feature, k) -> section label, in 0..k-1."""


@dataclass(frozen=True)
class Weights:
    """Inputs of a generator at one moment."""

    latents: FloatArray
    """(1, G, P) weights over the palette."""
    noise: NoiseMotion
    """Motion of the noise, for one frame."""


class Running:
    """Running average that begins as the plain mean of what was seen, and then forgets."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self.value: FloatArray | None = None

    def step(self, value: FloatArray, dt: float) -> FloatArray:
        """Add a value; return the average."""
        self._seconds += max(dt, 1e-6)
        share = np.float32(min(max(dt, 1e-6) / min(self._seconds, MEMORY), 1.0))
        self.value = value.copy() if self.value is None else self.value + share * (value - self.value)
        return self.value


class LiveMotion:
    """Motion of one patch; it may be replaced at any moment by that of another."""

    def __init__(self, patch: Patch) -> None:
        self.patch = patch
        """The patch; one with other numbers may take its place while it plays."""
        self._shapers: dict[str, Shaper] = {}
        self._lows: dict[int, Low] = {}
        self._spreads = [Running() for _ in DEPTHS]
        self._means = [Running() for _ in DEPTHS]
        self._noise_means = (Running(), Running())

    def step(self, now: Moment) -> Weights:
        """Compute the weights of the next moment."""
        return Weights(self._latents(now), self._noise(now))

    def _latents(self, now: Moment) -> FloatArray:
        patch, size = self.patch.latents, len(self.patch.palette.seeds)
        main = np.repeat(_walk(patch.base, size, now.seconds)[None], len(DEPTHS), axis=0)
        for number, sequence in enumerate(patch.sequences):
            if isinstance(sequence, LatentSynthesizer | LatentDirection) or sequence.muted:
                continue
            weights = scattered(self._strategy(number, sequence, now), sequence.vectors, size)
            amount = self._amount(number, sequence, now)
            for group in depth_indices(sequence.depth):
                main[group] += amount * (weights - main[group])
        for group in range(len(DEPTHS)):
            if patch.vividness > 0:
                self._restore_spread(main[group], self._spreads[group], patch.vividness, now.dt)
            average = self._means[group].step(main[group], now.dt)
            if patch.reach[group] != 1:
                main[group] = average + np.float32(patch.reach[group]) * (main[group] - average)
        return main[None]

    def _strategy(
        self, number: int, sequence: LatentSegmentation | LatentFeature | LatentLoop, now: Moment
    ) -> FloatArray:
        match sequence:
            case LatentSegmentation():
                label = now.labels.get((sequence.feature, sequence.k), 0)
                kind = np.eye(sequence.k, dtype=np.float32)[label]
                return self._lows.setdefault(number, Low(sequence.smooth)).step(kind, now.dt)[None]
            case LatentFeature():
                return averaged(self._shaped(f"{number} envelope", sequence.envelope, now))
            case LatentLoop():
                return on_circle(_turns(sequence, now, self.patch.tempo_factor), len(sequence.vectors))

    def _amount(self, number: int, sequence: Sequence, now: Moment) -> np.float32:
        if sequence.muted:
            return np.float32(0)
        if sequence.modulator is None:
            return np.float32(sequence.intensity / 2)
        return np.float32(sequence.intensity * float(self._shaped(f"{number} modulator", sequence.modulator, now)[0]))

    def _shaped(self, place: str, envelope: Envelope, now: Moment) -> FloatArray:
        shaper = self._shapers.get(place)
        if shaper is None:
            shaper = self._shapers[place] = Shaper(envelope)
        shaper.follow(envelope)
        return shaper.step(now.features[envelope.feature], now.dt)

    @staticmethod
    def _restore_spread(weights: FloatArray, spread: Running, vividness: float, dt: float) -> None:
        size = len(weights)
        centred = weights - 1 / size
        usual = float(spread.step(np.sqrt(np.square(centred).sum(keepdims=True)), dt)[0])
        if usual > 0:
            factor = 1 + vividness * (max(math.sqrt(1 - 1 / size) / usual, 1) - 1)
            weights += np.float32(factor - 1) * centred

    def _noise(self, now: Moment) -> NoiseMotion:
        patch = self.patch.noise
        size = len(patch.seeds)
        base = _unit(_walk(patch.base, size, now.seconds))
        main = np.repeat(base[None], len(DEPTHS), axis=0)
        loops: list[tuple[NoiseLoop, FloatArray]] = []
        for number, sequence in enumerate(patch.sequences, len(self.patch.latents.sequences)):
            amount = self._amount(number, sequence, now)
            groups = depth_indices(sequence.depth)
            if isinstance(sequence, NoiseLoop):
                loops.append((sequence, np.zeros(len(DEPTHS), np.float32)))
                weights: FloatArray | float = 0.0
            else:
                weights = self._fields(number, sequence, now, size)
            for group in groups:
                main[group] += amount * (weights - main[group])
                for _, share in loops:
                    share[group] *= 1 - amount
                if isinstance(sequence, NoiseLoop):
                    loops[-1][1][group] = amount
        gain = np.full(1, patch.strength, np.float32)
        if patch.amplitude is not None:
            shaped = self._shaped("amplitude", patch.amplitude.envelope, now)[0]
            gain *= np.float32(patch.amplitude.low + (patch.amplitude.high - patch.amplitude.low) * shaped)
        return self._reached(patch, now, main, loops, gain)

    def _reached(
        self, patch: NoisePatch, now: Moment, main: FloatArray, loops: list[tuple[NoiseLoop, FloatArray]],
        gain: FloatArray,
    ) -> NoiseMotion:  # fmt: skip
        """Scale the motion of the noise around its running average."""
        if patch.reach != 1:
            reach = np.float32(patch.reach)
            average = self._noise_means[0].step(main, now.dt)
            main = average + reach * (main - average)
            average = self._noise_means[1].step(gain, now.dt)
            gain = np.maximum(average + reach * (gain - average), 0)
        return NoiseMotion(
            weights=main[None],
            loops=tuple(
                LoopMotion(
                    np.array([_turns(loop, now, self.patch.tempo_factor)]),
                    share[None],
                    _three(loop, len(patch.seeds)),
                    SIGMA_SCALE / loop.sigma * patch.reach,
                )
                for loop, share in loops
            ),
            gain=gain,
            seeds=patch.seeds,
        )

    def _fields(self, number: int, sequence: NoiseFeature | NoiseBlend, now: Moment, size: int) -> FloatArray:
        shaped = self._shaped(f"{number} envelope", sequence.envelope, now)
        if isinstance(sequence, NoiseFeature):
            return _unit(scattered(averaged(shaped), sequence.fields, size))
        knots = len(sequence.fields)
        slow, fast = (
            _unit(scattered(on_circle(now.seconds / period / knots, knots), sequence.fields, size))
            for period in (sequence.slow, sequence.fast)
        )
        return _unit(slow + np.float32(shaped.mean()) * (fast - slow))


def what_waits(preset: Preset) -> tuple[str, ...]:
    """Sentences for people about what a preset has that cannot be live."""
    told = []
    patch = preset.patch
    if preset.sections:
        told.append(f"the preset's {len(preset.sections)} sections belong to one song: it is played without them")
    if patch.synthesizers:
        names = ", ".join(synthesizer.name for synthesizer in patch.synthesizers)
        told.append(f"the synthesizers {names} are made for a whole song, and rest")
    others = {
        "camera": patch.camera is not None,
        "bends": bool(patch.bends),
        "weights": bool(patch.weights),
        "directions": any(isinstance(sequence, LatentDirection) for sequence in patch.latents.sequences),
    }
    if resting := [name for name, there in others.items() if there]:
        verb = "is" if resting == ["camera"] else "are"
        told.append(f"the preset is played without its {' and '.join(resting)}, which {verb} not live")
    if any(isinstance(sequence, LatentSegmentation) for sequence in patch.latents.sequences):
        told.append("sections are known by what was heard before: a new one shows after some seconds")
    return tuple(told)


def _walk(base: tuple[int, ...], size: int, seconds: float) -> FloatArray:
    """Weights (size,) of the endless walk through the vectors of a base curve."""
    pace = max(len(base) - 1, 1) / USUAL_SONG / len(base)
    return scattered(on_circle(seconds * pace, len(base)), base, size)


def _turns(loop: LatentLoop | NoiseLoop, now: Moment, factor: float) -> float:
    if loop.seconds is not None:
        return now.seconds / loop.seconds
    assert loop.bars is not None
    return now.bars * factor / loop.bars


def _three(loop: NoiseLoop, size: int) -> tuple[int, int, int]:
    first, second, third = (position % size for position in loop.fields)
    return first, second, third


def _unit(weights: FloatArray) -> FloatArray:
    norm = np.float32(max(math.sqrt(float(np.square(weights).sum())), 1e-6))
    scaled: FloatArray = weights / norm
    return scaled
