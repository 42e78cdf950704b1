"""Envelopes fitted to what is seen: the motion of one song, optimised through a generator's pictures (section 6.2).

Section 4.3 compares the song with the envelopes, but a viewer sees pictures. Here the loss looks at them:

1. Random motions of the song are rendered small, and the generator's `Response` to a motion is learnt from them.
2. Envelopes, mixtures of what is heard (`projection`), are optimised so that the predicted features of the picture fit
   the song better than the same song at other times (`aim`). Pictures that change faster than `LIVELY` are penalised.
3. Some frames of the fitted motion are rendered, the response is trained further with them, and the fit goes on.
4. Small pictures of the result are watched for flashes, and it is smoothed where there are too many (`calming`).

All random draws are named by the motion's seed, and all arithmetic runs on one thread, so that the result does not
depend on the number of threads.

Conventions: T frames at RATE, F frames of the video, E = 17 envelopes, D dimensions of what is heard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from audioreactive._support.streams import named_stream
from audioreactive._support.threads import at_most_threads
from audioreactive.correlation.files import SECTION_COUNT, SECTIONS
from audioreactive.learn.aim import Aim
from audioreactive.learn.calming import calmed, flashing
from audioreactive.learn.decoders import SWING, bounded, filling_gain, gliding
from audioreactive.learn.descent import Descent
from audioreactive.learn.legendre import Windows
from audioreactive.learn.losses import ENVELOPES, SEQUENCES
from audioreactive.learn.projection import Span
from audioreactive.learn.response import Response, Sample
from audioreactive.learn.tables import (
    RATE,
    at_several_scales,
    centred_targets,
    interpolated,
    target_tables,
    to_rate,
)
from audioreactive.patches.fields import DEPTHS
from audioreactive.patches.motion import motion as motion_of
from audioreactive.patches.schema import VECTORS_PER_DEPTH
from audioreactive.patches.tables import smooth
from audioreactive.progress import foretelling
from audioreactive.rendering.previews import pictures_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators import Generator
    from audioreactive.learn.aim import Passage
    from audioreactive.learn.response import Seen
    from audioreactive.patches.motion import Motion
    from audioreactive.patches.schema import Hippo, Patch
    from audioreactive.progress import Advance, Progress

    FloatArray = NDArray[np.float32]

MIXTURES = 8
"""Number of random motions from which the response is learnt first."""
MOST_PAIRS, FEWEST_PAIRS = 1200, 60
"""Pairs of neighbouring frames that are rendered for that: as many as MOST_RENDERING allows."""
MOST_RENDERING = 5 * 10**12
"""Multiplications that these renders may take; half a minute on two cores."""
MORE = 4
"""A quarter as many pairs are rendered before each further round, of the motion that was fitted so far."""
GLIDE_OF_FORMS, GLIDE_OF_LIGHT = 0.03, 0.06
"""Standard deviation in seconds of the Gaussian filter on the motion of forms and matter, and of light. It may be
shorter than for motion that is not fitted to what is seen: here the loss keeps the picture calm."""
RATE_OF_LEARNING = 0.05
"""First learning rate of each round; it falls along a cosine."""
PASSAGE = 60
"""Seconds of the song that are compared in a step; each step takes another passage."""
ROUNDS = 3
"""Rounds of the fit; between them the response is trained further."""
SHIFTS = 12
"""Number of shifts of the sound in each step."""
NEAREST = 2
"""Seconds of the smallest shift; the sound is similar to itself at smaller ones."""
LIVELY = 0.016
"""Mean change of a pixel from frame to frame, of its range, above which the picture tires the eye; and of the change of
this change, which is large where a picture trembles."""
DIMMED = 5000.0
"""Weight of the penalty on light that goes there and back as in a flash."""
CALM = 2.0
"""Weight of the penalty on larger changes."""
SURE, ENOUGH = 1.2, 10.0
"""Weight of the corrected score in standard deviations of chance, against 1 for the distance of the correlation from
chance; it counts as 1 - exp(-score / ENOUGH), so that where it is high the correlation itself becomes the aim."""
FITTING = 1.5
"""Further weight of the correlation itself."""
STRIKING = 0.2
"""Weight of the correlation of the picture's change with the strokes of the sound: they are what is missed first."""
LEAST_SPREAD = 0.003
"""Value that is added to the standard deviation of chance, which few shifts estimate badly."""
PLACES = 384
"""Frames all over the song from which the size of a motion is told, about."""
BORDER = 0.5
"""Standard deviation in seconds of the Gaussian filter on the change from one kind of section to another."""
STILLEST = 0.25
"""Smallest amplitude of a part of the motion; 1 is the largest."""
REST = 8
"""Most principal directions of what moves besides the synthesizer."""
LATENTS = len(DEPTHS) * VECTORS_PER_DEPTH
GLIDING = (
    (GLIDE_OF_FORMS, slice(0, 2 * VECTORS_PER_DEPTH)),
    (GLIDE_OF_LIGHT, slice(2 * VECTORS_PER_DEPTH, LATENTS)),
    (0.0, slice(LATENTS, ENVELOPES)),
)
"""Glide in seconds, and the envelopes that have it: forms and matter alike, light, noise."""

MARGIN = math.ceil(3 * GLIDE_OF_LIGHT * RATE)
"""Frames before and after a passage that its gliding motion depends on."""


@dataclass(frozen=True)
class Stage:
    """Everything around the envelopes that decides about the picture: the patch, the song and the generator."""

    patch: Patch
    features: Features
    generator: Generator
    rest: FloatArray
    """(F, k) what moves besides: principal directions of the latents with the synthesizer at rest."""

    @classmethod
    def of(cls, patch: Patch, features: Features, generator: Generator) -> Stage:
        """Set up the stage; small pictures are rendered."""
        still = np.zeros((features.frames, ENVELOPES), np.float32)
        at_rest = motion_of(patch, features, lambda patch, _: dict.fromkeys(_names(patch), 0.5 + still))
        return cls(patch, features, generator.sketching(), _principal(at_rest.latents))

    @property
    def groups(self) -> tuple[slice, ...]:
        """Columns of the state that act on the picture alike: each depth group, noise, the rest."""
        depths = [slice(k * VECTORS_PER_DEPTH, (k + 1) * VECTORS_PER_DEPTH) for k in range(len(DEPTHS))]
        end = ENVELOPES + self.rest.shape[1]
        return (*depths, slice(LATENTS, ENVELOPES), *([slice(ENVELOPES, end)] if end > ENVELOPES else []))

    def states(self, motion: Tensor) -> Tensor:
        """States (T, 17 + k) of a motion (T, 17) at RATE."""
        rest = torch.from_numpy(to_rate(self.rest, self.features))
        return torch.cat([motion, rest[: len(motion)]], 1)

    def motion(self, envelopes: FloatArray) -> Motion:
        """The video's motion with these envelopes (F, 17) in [-1, 1]."""
        made = np.clip(0.5 + 0.5 * envelopes, 0, 1)
        return motion_of(self.patch, self.features, lambda patch, _: dict.fromkeys(_names(patch), made))

    def sample(self, motion: Tensor, pairs: int, stream: np.random.RandomState) -> Sample:
        """Render pairs of successive frames of a motion (T, 17) at random times."""
        envelopes = interpolated(motion.numpy(), float(RATE), self.features.times)
        first = stream.randint(0, max(self.features.frames - 1, 1), pairs)
        frames = np.minimum(np.stack([first, first + 1], 1).ravel(), self.features.frames - 1)
        pictures = np.stack(list(pictures_at(self.motion(envelopes), self.generator, frames)))
        return Sample.measured(np.concatenate([envelopes, self.rest], 1)[frames], pictures)


def _names(patch: Patch) -> list[str]:
    return [synthesizer.name for synthesizer in patch.synthesizers]


def _principal(table: FloatArray) -> FloatArray:
    """Coordinates (F, k) of the rows of a table (F, ...) along its principal directions, in units of the first's."""
    rows = table.reshape(len(table), -1)
    some = rows[:: max(len(rows) // 4096, 1)].astype(np.float64)
    middle = some.mean(0)
    _, values, directions = np.linalg.svd(some - middle, full_matrices=False)
    size = values[0] / np.sqrt(len(some))
    kept = directions[: int((values[:REST] > 1e-2 * values[0]).sum())] if size > 1e-4 else directions[:0]
    along: FloatArray = ((rows - middle) @ kept.T / max(size, 1e-4)).astype(np.float32)
    return along


class Mixing:
    """Motions of a song as mixtures of what is heard in it: at several time scales, in all sections and each kind."""

    def __init__(self, features: Features, hippo: Hippo) -> None:
        """Project what is heard onto smooth curves.

        Features of weight 0 are left out; at least one other must change.
        """
        heard = {name: table for name, table in target_tables(features).items() if hippo.weights.get(name, 1.0) > 0}
        tables = centred_targets(at_several_scales(heard, features))
        windows = Windows.over(len(next(iter(tables.values()))), float(RATE))
        basis, _ = windows.orthonormal(hippo.coefficients)
        curves = torch.from_numpy(Span.of(tables, windows, basis).curves()) * windows.frames**0.5
        curves = torch.cat([curves, *(curves * gate[:, None] for gate in _kinds(features, windows.frames).T)], 1)
        self._curves = curves.float().contiguous()
        step = max(len(curves) // PLACES, 1)
        self._some = {
            seconds: (gliding(curves, seconds) if seconds else curves)[::step].float().contiguous()
            for seconds, _ in GLIDING
        }
        self.size = curves.shape[1]
        self.frames = windows.frames

    def motion(self, mixture: Tensor, amplitudes: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Motion of frames start to stop - 1, (stop - start, 17).

        Args:
            mixture: weights (D, 17) of what is heard in each envelope; their size does not matter.
            amplitudes: (7,) of each part of the motion, from -inf (`STILLEST`) to inf (1).
            start: first frame.
            stop: one past the last frame; None: to the end.
        """
        shares = STILLEST + (1 - STILLEST) * torch.sigmoid(amplitudes)
        some_parts = [self._some[seconds] @ mixture[:, columns] for seconds, columns in GLIDING]
        everywhere, within = (
            torch.cat(some_parts, 1),
            self._within(mixture, start, self.frames if stop is None else stop),
        )
        made = []
        for columns, share in zip(SEQUENCES, shares, strict=True):
            some, here = everywhere[:, list(columns)], within[:, list(columns)]
            if columns[0] >= LATENTS:
                size = some.square().mean(0).clamp_min(1e-12).sqrt()
                made.append(share * bounded((SWING * here / size)[..., None])[..., 0])
            else:
                size = some.square().sum(1).mean().clamp_min(1e-12).sqrt()
                gain = filling_gain((some / size).detach().square().sum(1))[0]
                made.append(share * bounded(gain * here / size))
        order = np.argsort([column for columns in SEQUENCES for column in columns])
        return torch.cat(made, 1)[:, torch.from_numpy(order)]

    def _within(self, mixture: Tensor, start: int, stop: int) -> Tensor:
        """Envelopes (stop - start, 17) of a mixture, each of which glides as long as its part of the motion does."""
        first, last = max(start - MARGIN, 0), min(stop + MARGIN, self.frames)
        made = self._curves[first:last] @ mixture
        parts = [gliding(made[:, columns], seconds) if seconds else made[:, columns] for seconds, columns in GLIDING]
        return torch.cat(parts, 1)[start - first : stop - first]


def _kinds(features: Features, frames: int) -> Tensor:
    """Shares (T, k) float64 of the kinds of sections: where a section returns, its mixture returns."""
    kinds = np.eye(SECTION_COUNT, dtype=np.float32)[features.segmentation(SECTIONS, SECTION_COUNT)]
    return torch.from_numpy(smooth(to_rate(kinds, features), BORDER * float(RATE))[:frames]).double()


@dataclass(frozen=True)
class Fitted:
    """Result of a fit."""

    motion: FloatArray
    """(T, 17) in [-1, 1] at RATE."""
    losses: tuple[float, ...]
    """Loss of each step."""


def fit(stage: Stage, hippo: Hippo, progress: Progress) -> Fitted:
    """Fit a motion to what is seen of it."""
    seed = f"sight {hippo.motion_seed}"
    mixing = Mixing(stage.features, hippo)
    aim = Aim(target_tables(stage.features), hippo.weights)
    length = min(round(PASSAGE * RATE), mixing.frames)
    losses: list[float] = []
    with at_most_threads(1):
        pairs = _pairs(stage.generator)
        fitting = Fitting(stage, hippo, mixing, aim, _response(stage, mixing, pairs, seed, progress))
        first = torch.from_numpy(named_stream(f"{seed} start").randn(mixing.size, ENVELOPES)).float()
        found = first, torch.ones(len(SEQUENCES))
        stream = named_stream(f"{seed} steps")
        with progress.track("fitting", hippo.steps, "step") as each:
            advance = foretelling(each, hippo.steps, progress, "fitting the motion to the song")
            for number in range(ROUNDS):
                if number:
                    more = named_stream(f"{seed} round {number}")
                    fitting.response.add(stage.sample(mixing.motion(*found), max(pairs // MORE, 1), more))
                steps = hippo.steps * (number + 1) // ROUNDS - hippo.steps * number // ROUNDS
                starts = stream.randint(0, mixing.frames - length + 1, steps)
                found = fitting.improved(
                    found, [range(at, at + length) for at in starts.tolist()], stream, losses, advance
                )
        motion = mixing.motion(*found)
        return Fitted(calmed(stage, motion, fitting.light(motion)).numpy(), tuple(losses))


@dataclass(frozen=True)
class Fitting:
    """Optimisation of mixtures for passages of a song."""

    stage: Stage
    hippo: Hippo
    mixing: Mixing
    aim: Aim
    response: Response

    def improved(
        self,
        found: tuple[Tensor, Tensor],
        passages: Sequence[range],
        stream: np.random.RandomState,
        losses: list[float],
        advance: Advance,
    ) -> tuple[Tensor, Tensor]:
        """Improve mixture (D, 17) and amplitudes (7,), one step for each passage in turn.

        The loss of each step is appended to `losses`.
        """
        if not passages:
            return found
        descent = Descent(found, rate=RATE_OF_LEARNING, steps=len(passages))
        fitted = descent.parameters
        rest = self.stage.states(torch.zeros(self.mixing.frames, ENVELOPES))[:, ENVELOPES:]
        heard: dict[range, Passage] = {}
        for frames in passages:
            if frames not in heard:
                heard = {frames: self.aim.passage(frames.start, frames.stop)}
            motion = self.mixing.motion(fitted[0], fitted[1], frames.start, frames.stop)
            seen = self.response.features(torch.cat([motion, rest[frames.start : frames.stop]], 1))
            loss = self._loss(heard[frames], seen, _shifts(len(frames), stream))
            losses.append(descent.step(loss))
            advance(1)
        mixture, amplitudes = descent.found()
        return mixture, amplitudes

    def light(self, motion: Tensor) -> Tensor:
        """Luminance (T, pixels) that is foretold for a motion (T, 17)."""
        with torch.no_grad():
            return self.response.light(self.stage.states(motion))

    def _loss(self, passage: Passage, seen: Seen, shifts: Sequence[int]) -> Tensor:
        """Loss () of what is seen in a passage."""
        raw, others = passage.fits(seen.tables, shifts)
        sure = (raw - others.mean()) / (others.std() + LEAST_SPREAD)
        stroked = passage.at_strokes(seen.tables["absolute_difference"])
        hurry = torch.stack([seen.tables["absolute_difference"].mean(), seen.bend]) / LIVELY
        unrest = CALM * (hurry - 1).clamp_min(0).square().sum() + DIMMED * flashing(seen.light)
        reward = (1 + FITTING) * raw + SURE * (1 - (-sure / ENOUGH).exp()) + STRIKING * stroked
        return self.hippo.correction * others.mean() - reward + self.hippo.calm * unrest


def _pairs(generator: Generator) -> int:
    """Number of pairs of frames from which the response is learnt."""
    return int(np.clip(MOST_RENDERING // (2 * generator.cost.multiplications), FEWEST_PAIRS, MOST_PAIRS))


def _response(stage: Stage, mixing: Mixing, pairs: int, seed: str, progress: Progress) -> Response:
    """Learn the generator's response from random motions of the song."""
    samples = []
    amplitudes = torch.full((len(SEQUENCES),), np.inf)
    with progress.track("looking", 2 * pairs, "picture") as advance:
        for number in range(MIXTURES):
            stream = named_stream(f"{seed} mixture {number}")
            mixture = torch.from_numpy(stream.randn(mixing.size, ENVELOPES)).float()
            count = max(pairs // MIXTURES, 1)
            samples.append(stage.sample(mixing.motion(mixture, amplitudes), count, stream))
            advance(2 * count)
        advance(2 * max(pairs - count * MIXTURES, 0))
    return Response(Sample.joined(samples), stage.groups, seed)


def _shifts(length: int, stream: np.random.RandomState) -> list[int]:
    """Random circular shifts in frames, none near 0."""
    nearest = max(min(round(NEAREST * RATE), length // 4), 1)
    return [int(shift) for shift in stream.randint(nearest, max(length - nearest, nearest + 1), SHIFTS)]
