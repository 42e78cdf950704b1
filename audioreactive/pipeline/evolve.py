"""Evolution of a random preset for a song (section 6.2 of the thesis).

Patches over one palette are a population. The first generation is drawn; then the best are mutated in their
sub-sequences, and what reacts more takes the place of what reacts less. A patch is scored by a short small preview, and
the best few by longer ones; or, where the generator takes long for pictures, by its response (`learn.foresight`). The
result is an ordinary preset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audioreactive._support.streams import named_stream
from audioreactive.correlation import sound_tables
from audioreactive.errors import ScoreError
from audioreactive.flashes import FLASHES
from audioreactive.learn.foresight import Foresight
from audioreactive.patches.motion import motion
from audioreactive.patches.mutation import mutated
from audioreactive.patches.randomizer import random_patch, with_lead
from audioreactive.pipeline.choose import (
    LEAST_CHANGE,
    MOST_FLASHING,
    PREVIEW_FRAMES,
    QUICK,
    change_at_strokes,
    most_flashes_of,
    preview_score,
    side_by_side,
)
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from audioreactive.features import Features
    from audioreactive.generators import Generator
    from audioreactive.patches.motion import Motion
    from audioreactive.patches.schema import Patch

FOUNDERS = 16
"""Most patches of the first generation; of few patches, a third."""
PARENTS, GENERATION = 5, 6
"""Number of the best that are mutated, and of children that are scored before parents are chosen anew."""
FINALISTS = 8
"""Number of the best that are looked at for longer in the end."""
PAIRS = 240
"""Most pairs of frames from which a slow generator's response is learnt."""
FEWEST_PAIRS = 60
"""Fewest of them, whatever they cost."""
MOST_LEARNING = 2 * 10**12
"""Multiplications that the pictures of a response may take, beyond the fewest."""
UNSEEN = 3.0
"""Deviations that are taken off the score of a patch that hardly moves at strokes, or flashes there."""


@dataclass(frozen=True)
class Evolution:
    """Result of an evolution."""

    patch: Patch
    score: float
    """Corrected score of its preview."""
    founders: float
    """Median of the scores of the first generation, in shorter previews."""
    scored: int
    """Number of patches that were scored."""

    @property
    def sentence(self) -> str:
        """Sentence for the user about the result."""
        return (
            f"of {self.scored} presets that evolved, the best reacts {self.score:+.1f} deviations above chance; "
            f"the median of those that were drawn {self.founders:+.1f}, in a shorter look"
        )


def evolve(
    patch: Patch,
    features: Features,
    generator: Generator,
    *,
    count: int,
    seed: int,
    progress: Progress | None = None,
) -> Evolution:
    """Evolve a patch for a song.

    Args:
        patch: the drawn patch with whose palette all are drawn; it is one of the first.
        features: features of the song.
        generator: the generator.
        count: number of patches that are scored.
        seed: seed of the drawn patches and of all changes.
        progress: receives the progress.

    Raises:
        ScoreError: the song is too short to tell a reaction from chance.
    """
    progress = progress or Silent()
    if features.frames < PREVIEW_FRAMES:
        raise ScoreError(
            f"the song has {features.frames} frames; to let presets evolve, at least {PREVIEW_FRAMES} are needed "
            f"({float(PREVIEW_FRAMES / features.fps):.1f} s): choose one with --seed instead"
        )
    drawn = [patch, *(_founder(patch, seed, number) for number in range(1, max(min(FOUNDERS, count // 3), 1)))]
    scored = _scorer(drawn, features, generator, seed, progress)
    with progress.track("evolving", count, "preset") as advance:

        def together(patches: list[Patch]) -> list[tuple[float, Patch]]:
            members = []
            found = side_by_side(lambda one: scored(motion(one, features)), patches, generator)
            for score, one in zip(found, patches, strict=True):
                members.append((score, one))
                advance(1)
            return members

        population = together(drawn)
        founders = float(np.median([score for score, _ in population]))
        for number in range(len(drawn), count, GENERATION):
            population = sorted(population, key=lambda member: -member[0])[:FOUNDERS]
            names = [f"audioreactive evolution {seed} {k}" for k in range(number, min(number + GENERATION, count))]
            parents = [named_stream(name).randint(min(PARENTS, len(population))) for name in names]
            population += together(
                [mutated(population[parent][1], f"{name} changes") for parent, name in zip(parents, names, strict=True)]
            )
    population = _finalists(population, features, generator)
    score, best = _safest(sorted(population, key=lambda member: -member[0]), features, generator)
    return Evolution(best, score, founders, count)


def _finalists(
    population: list[tuple[float, Patch]], features: Features, generator: Generator
) -> list[tuple[float, Patch]]:
    """The best of the population, scored by longer previews and by what is seen of strokes; of a slow one, all."""
    if generator.sketching().cost.multiplications > QUICK:
        return population
    heard, _ = sound_tables(features)

    def score(patch: Patch) -> float:
        moving = motion(patch, features)
        change, flashing = change_at_strokes(moving, features, generator)
        fine = change >= LEAST_CHANGE and flashing <= MOST_FLASHING
        return preview_score(moving, features, heard, generator) - (0 if fine else UNSEEN)

    best = [patch for _, patch in sorted(population, key=lambda member: -member[0])[:FINALISTS]]
    return list(zip(side_by_side(score, best, generator), best, strict=True))


def _safest(population: list[tuple[float, Patch]], features: Features, generator: Generator) -> tuple[float, Patch]:
    """The best of the population (best first) that keeps the rule for flashes, or of the best few the one that comes
    nearest to it; of a slow generator, the best.
    """
    if generator.sketching().cost.multiplications > QUICK:
        return population[0]
    worst = []
    for member in population[:PARENTS]:
        worst.append(most_flashes_of(motion(member[1], features), features, generator))
        if worst[-1] <= FLASHES:
            return member
    return population[int(np.argmin(worst))]


def _founder(patch: Patch, seed: int, number: int) -> Patch:
    """Draw another patch over the same palette."""
    own = int(named_stream(f"audioreactive evolution {seed} founder {number}").randint(2**32))
    return with_lead(random_patch(own), own).model_copy(update={"palette": patch.palette})


def _scorer(
    drawn: list[Patch], features: Features, generator: Generator, seed: int, progress: Progress
) -> Callable[[Motion], float]:
    """Make the function that scores a motion."""
    heard, _ = sound_tables(features)
    sketch = generator.sketching()
    if sketch.cost.multiplications <= QUICK:
        return lambda moving: preview_score(moving, features, heard, generator, short=True)
    foresight = learnt_response([motion(one, features) for one in drawn], generator, seed, progress)
    return lambda moving: foresight.score(moving, heard, features.fps)


def learnt_response(motions: list[Motion], generator: Generator, seed: int, progress: Progress) -> Foresight:
    """Learn a generator's response from pictures of motions over one palette."""
    sketch = generator.sketching()
    pairs = int(np.clip(MOST_LEARNING // (2 * sketch.cost.multiplications), FEWEST_PAIRS, PAIRS))
    return Foresight.learnt(motions, sketch, pairs, f"evolution {seed}", progress)
