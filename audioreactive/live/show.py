"""One performance's state: what was heard, and the picture that belongs to now.

A `Show` takes sound and gives pictures; it knows neither where the sound comes from nor where pictures go. Its presets
and its generator can be exchanged at any moment.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.features.analysis import song_key
from audioreactive.features.names import split_name
from audioreactive.live.beats import BeatTracker
from audioreactive.live.hearing import STEP_RATE, Ear
from audioreactive.live.motion import LiveMotion, Moment, what_waits
from audioreactive.live.sections import AllSections
from audioreactive.live.sizing import Sizing
from audioreactive.patches.latents import Latents, make_palette
from audioreactive.patches.noise import NoiseSequence
from audioreactive.patches.schema import LatentSegmentation

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from numpy.typing import NDArray

    from audioreactive.generators import Canvas, Generator
    from audioreactive.live.beats import Foretold
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch

    FloatArray = NDArray[np.float32]

STROKES: Final = ("onsets", "hits", "drop_moment")
"""Features of which a picture gets the highest value since the one before it."""


@dataclass
class Parts:
    """Seconds that the parts of one picture took."""

    features: float = 0.0
    motion: float = 0.0
    generator: float = 0.0


@dataclass
class _Stage:
    """One preset on the generator."""

    preset: Preset
    motion: LiveMotion
    palette: torch.Tensor
    noise: NoiseSequence | None = None
    labels: set[tuple[str, int]] = field(default_factory=set)


class Show:
    """Hears, moves and paints.

    Args:
        generator: the generator, in its final size.
        canvas: from its pictures to the ones that are shown.
        preset: the first preset.
        names: features beyond those of the preset that any later preset may need.
        adapts: whether fewer pixels may be painted where a picture takes too long.
    """

    def __init__(
        self, generator: Generator, canvas: Canvas, preset: Preset, names: tuple[str, ...] = (), *,
        adapts: bool = False,
    ) -> None:  # fmt: skip
        self._generator, self._canvas = generator, canvas
        self.sizing = Sizing(generator, adapts=adapts)
        wanted = {*preset.patch.feature_names(), *preset.patch.segmentation_names(), *names}
        self.names = tuple(sorted(name for name in wanted if _can_be_heard(name)))
        self.ear = Ear([name for name in self.names if split_name(name)[1].name != "pulse"])
        self.beats = BeatTracker()
        self._sections = AllSections()
        self._features: dict[str, FloatArray] = {}
        self._peaks: dict[str, FloatArray] = {}
        self._seconds = 0.0
        self.parts = Parts()
        self._stage = self._staged(preset)

    @property
    def preset(self) -> Preset:
        """The preset that is played."""
        return self._stage.preset

    @property
    def foretold(self) -> Foretold:
        """Beat at this moment."""
        return self.beats.now

    @property
    def seconds(self) -> float:
        """Seconds of sound that were heard."""
        return self.ear.step / STEP_RATE

    @property
    def features(self) -> Mapping[str, FloatArray]:
        """Values of the features at the last picture."""
        return self._features

    def play(self, preset: Preset) -> tuple[str, ...]:
        """Go on with another preset; return sentences about what in it cannot be live."""
        before = self._stage
        patch, old = preset.patch, before.preset.patch
        if _same_but_for_numbers(patch, old):
            before.motion.patch = patch
            noise = before.noise if patch.noise.seeds == old.noise.seeds else None
            palette = before.palette if patch.palette == old.palette else make_palette(patch.palette, self._generator)
            self._stage = _Stage(preset, before.motion, palette, noise, before.labels)
        else:
            self._stage = self._staged(preset)
        missing = set(preset.patch.feature_names()) - set(self.names)
        if missing:
            self._hear_more(missing)
        return what_waits(preset)

    def hear(self, samples: FloatArray) -> float:
        """Take the next sound; return its loudest level (RMS of a step), 0 if it completes no step."""
        start = time.perf_counter()
        heard = self.ear.hear(samples)
        if len(heard):
            foretold = self.beats.follow(heard.flux)
            pulse = np.array([_pulse(now) for now in foretold], np.float32)
            for name in self.names:
                rows = heard.values[song_key(name)] if song_key(name) in heard.values else pulse[:, None]
                self._features[name] = rows[-1]
                if split_name(name)[1].name in STROKES:
                    before = self._peaks.get(name)
                    top = rows.max(axis=0)
                    self._peaks[name] = top if before is None else np.maximum(before, top)
        self.parts.features = time.perf_counter() - start
        return float(heard.level.max(initial=0.0))

    def paint(self, seconds: float) -> NDArray[np.uint8]:
        """Return the picture (H, W, 3) of this moment, in seconds since the start."""
        start = time.perf_counter()
        now = self._moment(seconds)
        stage = self._stage
        weights = stage.motion.step(now)
        moved = time.perf_counter()
        pixels = self._pixels(stage, weights.latents, weights.noise)
        self.parts.motion, self.parts.generator = moved - start, time.perf_counter() - moved
        return pixels

    def _moment(self, seconds: float) -> Moment:
        dt = max(seconds - self._seconds, 1e-4)
        self._seconds = seconds
        for name in self.names:
            if name not in self._features:
                self._features[name] = np.zeros(split_name(name)[1].channels, np.float32)
        features = {**self._features, **self._peaks}
        self._features.update(self._peaks)
        self._peaks.clear()
        labels = self._sections.step(self._stage.labels, features, dt)
        return Moment(seconds, dt, features, self.beats.now.bars, labels)

    def _pixels(self, stage: _Stage, latents: FloatArray, noise: object) -> NDArray[np.uint8]:
        import torch

        from audioreactive.patches.noise import NoiseMotion

        assert isinstance(noise, NoiseMotion)
        with torch.inference_mode():
            if stage.noise is None:
                stage.noise = NoiseSequence(noise, tuple(self._generator.noise_sizes), self._generator.device)
            ws = Latents(latents, stage.palette).frames(0, 1)
            frames = self.sizing.paint(ws, stage.noise.moving(noise).frames(0, 1))
        finished: NDArray[np.uint8] = self._canvas.finished(frames)[0]
        return finished

    def _staged(self, preset: Preset) -> _Stage:
        patch = preset.patch
        labels = {(s.feature, s.k) for s in patch.latents.sequences if isinstance(s, LatentSegmentation)}
        return _Stage(preset, LiveMotion(patch), make_palette(patch.palette, self._generator), None, labels)

    def _hear_more(self, missing: set[str]) -> None:
        """Begin to hear features that no preset needed before; what was learned of the others begins anew too."""
        self.names = tuple(sorted({*self.names, *(name for name in missing if _can_be_heard(name))}))
        self.ear = Ear([name for name in self.names if split_name(name)[1].name != "pulse"])


def _same_but_for_numbers(patch: Patch, other: Patch) -> bool:
    """Whether two patches have the same sequences in the same order, so that one can go on where the other was."""

    def shape(of: Patch) -> list[object]:
        sequences = [(s.strategy, s.muted) for s in (*of.latents.sequences, *of.noise.sequences)]
        return [*sequences, of.segmentation_names(), len(of.palette.seeds), len(of.noise.seeds)]

    return shape(patch) == shape(other)


def _pulse(now: Foretold) -> float:
    """Positive half of a cosine that peaks on each beat, as high as the beat is sure."""
    return float(max(np.cos(2 * np.pi * now.phase), 0.0) * now.confidence)


def _can_be_heard(name: str) -> bool:
    """Whether a feature is of the sound itself, and not of a stem."""
    from audioreactive.errors import FeatureError

    try:
        song_key(name)
    except FeatureError:
        return False
    return True


def check_patch(patch: Patch) -> None:
    """Raise LiveError if a patch needs stems, which live sound does not have."""
    from audioreactive.errors import LiveError

    for name in patch.feature_names():
        if not _can_be_heard(name):
            source = name.rpartition(".")[0]
            raise LiveError(
                f"the preset listens to the stem {source!r} ({name}), and live sound has no stems: take another "
                "preset, or change it with --set"
            )
