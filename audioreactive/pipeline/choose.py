"""Choice of the most audio-reactive of many presets for a song.

The motion of every candidate is scored, that is the weights of its latents and noise, without rendering (section 4.2.2
of the thesis). But the effect of a weight on the picture depends on the model, so candidates are compared by short
rendered previews: all of them where previews take no time, else those whose motions are best.
"""

from __future__ import annotations

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from audioreactive._support.threads import at_most_threads
from audioreactive.correlation import score_total, sound_tables, watch
from audioreactive.correlation.chance import FEWEST_FRAMES
from audioreactive.errors import ScoreError
from audioreactive.flashes import FLASHES
from audioreactive.flashes.definition import CHANGE, luminance, to_light
from audioreactive.flashes.detect import most_flashes
from audioreactive.generators.devices import default_batch
from audioreactive.learn.scoring import motion_score
from audioreactive.patches.motion import motion
from audioreactive.pipeline.recipe import song_seed
from audioreactive.progress import Progress, Silent, in_words
from audioreactive.rendering.previews import pictures_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from audioreactive.correlation.sides import FloatArray
    from audioreactive.features import Features
    from audioreactive.generators import Generator
    from audioreactive.patches.motion import Motion
    from audioreactive.patches.schema import Patch
    from audioreactive.pipeline.recipe import Recipe

Item = TypeVar("Item")
Made = TypeVar("Made")

CANDIDATES = 12
"""Number of presets that are drawn for a song if none is asked for; the painter's are compared within some ten seconds
on two cores, those of a network within two."""
CANDIDATE_SECONDS = 45
"""Length of the passage in which they are compared."""
TRIED = 4
"""Number of candidates whose picture is looked at."""
MOST_LOOKING = 3 * 10**11
"""Multiplications that looking may take, some two seconds on two cores. A model that takes more for the first candidate
alone, as one of 512² pixels does, is not looked at: the candidate whose motion reacts most is taken."""
STROKES = 8
"""Number of strokes at which a candidate's picture is looked at."""
STROKE_RISE = 0.125
"""Seconds before a stroke at which the picture is compared with that of the stroke."""
LEAST_CHANGE = 3.0
"""Mean change of a picture at strokes, in levels of 255, below which it seems to stand still."""
MOST_FLASHING = 0.13
"""Mean share of a picture that may change its luminance at strokes as much as a flash does. Of 36 recipes for three
songs, those with a larger share had up to 7 flashes a second."""
PREVIEWS = 2
"""Number of candidates that are rendered."""
PREVIEW_STEP = 2
"""Step between rendered frames of a preview, for a longer passage at the same cost."""
PREVIEW_FRAMES = FEWEST_FRAMES
"""Number of rendered frames of a preview, the fewest that can be scored."""
LONG_PREVIEW = (420, 3)
"""Frames of a preview and the step between them for a generator whose pictures take no time."""
SHORT_PREVIEW = (PREVIEW_FRAMES, 4)
"""The same of one that only tells which candidates are worth a longer one."""
MOST_THREADS = 4
"""Most previews of such a generator that are made side by side."""
QUICK = 10**8
"""Most multiplications for a picture of such a generator."""
WATCHED, WATCHED_AT_ONCE = 2400, 240
"""Frames in which a motion is watched for flashes, in passages of so many spread over the song."""
WATCHED_CLOSELY, WATCHED_ROWS = 2, 180
"""Passages that are watched again in sketches of so many rows, as many as the rule sees (`flashes.watched_size`)."""
MISSED = 0.5
"""Flashes a second that are added to those of sketches, in which thin lines have less light than in the pictures."""
MOST_PREVIEWING = 2 * 10**12
"""Multiplications up to which the previews of all candidates are rendered, not only of the best `PREVIEWS`."""


@dataclass(frozen=True)
class Choice:
    """The chosen candidate, and the scores of all."""

    index: int
    motions: tuple[float, ...]
    """Corrected score of each candidate's motion."""
    previews: dict[int, float]
    """Candidate -> corrected score of its rendered preview."""

    @property
    def sentence(self) -> str:
        """Sentence for the user about the choice."""
        motion, median = self.motions[self.index], float(np.median(self.motions))
        return (
            f"of {len(self.motions)} presets, number {self.index + 1} reacts most: its motion lies "
            f"{motion:+.1f} deviations above chance, the median preset's {median:+.1f}; "
            f"its rendered preview {self.previews[self.index]:+.1f}"
        )


def choose(
    patches: Sequence[Patch],
    features: Features,
    generator: Generator,
    *,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Score all motions, render previews of the best few, and take the one whose preview reacts most.

    Raises:
        ScoreError: the song is too short to tell a reaction from chance, or silent.
    """
    progress = progress or Silent()
    least = (PREVIEW_FRAMES - 1) * PREVIEW_STEP + 1
    if features.frames < least:
        raise ScoreError(
            f"the song has {features.frames} frames; to compare presets, at least {least} are needed "
            f"({float(least / features.fps):.1f} s): choose one with --seed instead"
        )
    heard, _ = sound_tables(features)
    motions = []
    sketch = generator.sketching()
    frames, _ = preview_frames(sketch, features)
    all_of_them = len(patches) * frames * sketch.cost.multiplications <= MOST_PREVIEWING
    count = len(patches) if all_of_them else min(len(patches), PREVIEWS)
    with progress.track("choosing", len(patches), "preset") as advance:
        for patch in patches:
            begun = time.perf_counter()
            moving = motion(patch, features)
            motions.append(motion_score(moving, heard, features.fps))
            if len(motions) == min(len(patches), 2):  # the first also loads what all of them need
                each = time.perf_counter() - begun
                preview = _preview_seconds(moving, generator, batch)
                left = (len(patches) - 1) * each + count * preview
                progress.say(f"choosing the best of {len(patches)} presets takes {in_words(left)}")
            advance(1)
    best = sorted(range(len(patches)), key=lambda i: -motions[i])[:count]
    previews = {}
    with progress.track("previewing", len(best) * frames, "frame") as advance:
        for index in best:
            moving = motion(patches[index], features)
            previews[index] = preview_score(moving, features, heard, generator, batch=batch)
            advance(frames)
    return Choice(max(best, key=lambda i: previews[i]), tuple(motions), previews)


def chosen_seed(recipe: Recipe, features: Features, generator: Generator) -> int:
    """Choose the seed of a drawn preset for a song: of a few seeds that follow from the song's content, the one whose
    picture reacts most in a passage in the middle of the song, if it moves at strokes, does not flash there, and keeps
    the rule for flashes in small pictures of the song.

    Of a slow generator no or few pictures are looked at (`MOST_LOOKING`), and the motion is scored instead. A song too
    short to tell has the first seed.
    """
    first = song_seed(features.digest)
    seeds = [(first + k) % 2**32 for k in range(CANDIDATES)]
    motions = [motion(replace(recipe, seed=seed).make().patch, features) for seed in seeds]
    heard, _ = sound_tables(features)
    sketch = generator.sketching()
    if features.frames < PREVIEW_FRAMES:
        return first
    quick = CANDIDATES * LONG_PREVIEW[0] * sketch.cost.multiplications <= MOST_LOOKING
    if quick:
        scores = list(
            side_by_side(lambda moving: preview_score(moving, features, heard, generator), motions, generator)
        )
    else:
        scores = [_passage_score(moving, features, heard) for moving in motions]
    if not any(scores):  # nothing changes
        return first
    order = np.argsort(-np.array(scores), kind="stable")
    looks = MOST_LOOKING // (2 * STROKES * sketch.cost.multiplications)
    if looks < 1:
        return seeds[int(order[0])]
    flashing, flashes = {}, {}
    for index in order[: CANDIDATES if quick else min(TRIED, looks)]:
        change, flashing[index] = change_at_strokes(motions[index], features, generator)
        if change >= LEAST_CHANGE and flashing[index] <= MOST_FLASHING:
            flashes[index] = most_flashes_of(motions[index], features, generator) if quick else 0.0
            if flashes[index] <= FLASHES:
                return seeds[int(index)]
        if len(flashes) == TRIED:
            break
    least = flashes or flashing
    return seeds[int(min(least, key=lambda index: least[index]))]


def _passage_score(moving: Motion, features: Features, heard: dict[str, FloatArray]) -> float:
    """Corrected score of a motion in a passage in the middle of the song."""
    length = min(round(CANDIDATE_SECONDS * features.fps), features.frames)
    start = (features.frames - length) // 2
    sound = {name: table[start : start + length] for name, table in heard.items()}
    passage = {name: table[start : start + length] for name, table in moving.tables().items()}
    try:
        return score_total(sound, passage, fps=features.fps).z
    except ScoreError:
        return 0.0


def stroke_frames(features: Features) -> NDArray[np.int64]:
    """Find the frames of the strongest strokes of a song, at most `STROKES`, in order of time."""
    strokes = features["hits" if "hits" in features else "onsets"][:, 0]
    inner = strokes[1:-1]
    peaks = 1 + np.flatnonzero((inner > 0) & (inner >= strokes[:-2]) & (inner > strokes[2:]))
    return np.sort(peaks[np.argsort(-strokes[peaks], kind="stable")][:STROKES])


def change_at_strokes(motion: Motion, features: Features, generator: Generator) -> tuple[float, float]:
    """Measure how much the picture changes at a song's strongest strokes, in small previews.

    Returns:
        The mean change in levels of 255, and the mean share of the picture whose luminance changes by as much as a
        flash does. Both are 0 without strokes.
    """
    frames = stroke_frames(features)
    if not len(frames):
        return 0.0, 0.0
    rise = max(round(STROKE_RISE * features.fps), 1)
    shown = np.stack([np.maximum(frames - rise, 0), frames], 1).ravel()
    pictures = np.stack(list(pictures_at(motion, generator.sketching(), shown)))
    light = luminance(to_light(pictures))
    flashing = np.abs(light[1::2] - light[::2]) >= CHANGE
    return float(np.abs(pictures[1::2].astype(np.float32) - pictures[::2]).mean()), float(flashing.mean())


def preview_score(
    motion: Motion,
    features: Features,
    heard: dict[str, FloatArray],
    generator: Generator,
    *,
    batch: int | None = None,
    place: float = 0.5,
    short: bool = False,
) -> float:
    """Corrected score of a passage, rendered small with every few frames; 0 if picture or sound do not change there.

    `place` is its position in the song, from 0 (beginning) to 1 (end). A short one takes half of the time.
    """
    sketch = generator.sketching()
    frames, step = preview_frames(sketch, features, short=short)
    start = round((features.frames - ((frames - 1) * step + 1)) * place)
    shown = start + step * np.arange(frames)
    # A frame reacts to all sound since the frame before.
    since = np.maximum(shown[:, None] - np.arange(step), 0)
    passage = {name: table[since].max(axis=1) for name, table in heard.items()}
    seen = watch(pictures_at(motion, sketch, shown, batch=batch), expected=frames)
    try:
        return score_total(passage, seen, fps=features.fps / step).z
    except ScoreError:
        return 0.0


def most_flashes_of(moving: Motion, features: Features, generator: Generator) -> float:
    """Count the most flashes in a second, in sketches of some passages; those after one that breaks the rule are not
    watched. The passages that flash most are watched again in larger sketches.
    """
    sketch = generator.sketching()
    passages = max(min(features.frames, WATCHED) // WATCHED_AT_ONCE, 1)
    starts = np.linspace(0, max(features.frames - WATCHED_AT_ONCE, 0), passages).astype(int)
    counts = _counted(moving, features, sketch, starts)
    most = max(counts)
    if most > FLASHES or sketch.img_size == generator.img_size:
        return most
    times = max(min(WATCHED_ROWS, *generator.img_size) // min(sketch.img_size), 1)
    larger = sketch.resized((sketch.img_size[0] * times, sketch.img_size[1] * times))
    order = np.argsort(-np.array(counts), kind="stable")
    return max(_counted(moving, features, larger, starts[order[:WATCHED_CLOSELY]], missed=MISSED))


def _counted(
    moving: Motion, features: Features, sketch: Generator, starts: NDArray[np.int64], *, missed: float = 0.0
) -> list[float]:
    """The most flashes in a second of each passage, and `missed`; up to the first that breaks the rule."""
    counts: list[float] = []
    for start in starts:
        shown = np.arange(start, min(start + WATCHED_AT_ONCE, features.frames))
        pictures = pictures_at(moving, sketch, shown, height=None)
        counts.append(most_flashes(pictures, float(features.fps)) + missed)
        if counts[-1] > FLASHES:
            break
    return counts


def preview_frames(sketch: Generator, features: Features, *, short: bool = False) -> tuple[int, int]:
    """Number of frames of a preview, and the step between them: more where they are made in no time."""
    if sketch.cost.multiplications > QUICK:
        return PREVIEW_FRAMES, PREVIEW_STEP
    frames, step = SHORT_PREVIEW if short else LONG_PREVIEW
    step = min(step, max((features.frames - 1) // (PREVIEW_FRAMES - 1), 1))
    return min(frames, (features.frames - 1) // step + 1), step


def side_by_side(make: Callable[[Item], Made], items: Iterable[Item], generator: Generator) -> Iterator[Made]:
    """Yield what is made of each item, in order; several at once where the generator's pictures take no time.

    The first is made alone, and with it what all of them need. Each takes one thread, so that results do not depend on
    their number.
    """
    threads = MOST_THREADS if generator.sketching().cost.multiplications <= QUICK else 1
    with (
        at_most_threads(1) if threads > 1 else nullcontext(),
        ThreadPoolExecutor(min(os.cpu_count() or 1, threads)) as pool,
    ):
        left = iter(items)
        for first in islice(left, 1):
            yield make(first)
        yield from pool.map(make, left)


def _preview_seconds(motion: Motion, generator: Generator, batch: int | None) -> float:
    """Estimated duration of a preview in seconds, from its first two batches."""
    sketch = generator.sketching()
    batch = batch or default_batch(sketch.device, sketch.cost)
    frames = pictures_at(motion, sketch, np.arange(PREVIEW_FRAMES) * PREVIEW_STEP, batch=batch)
    times = [time.perf_counter()]
    for _ in range(2):  # the first one also makes the palette and the noise
        next(islice(frames, batch - 1, None), None)
        times.append(time.perf_counter())
    return times[1] - times[0] + (math.ceil(PREVIEW_FRAMES / batch) - 1) * (times[2] - times[1])
