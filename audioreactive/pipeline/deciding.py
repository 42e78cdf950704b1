"""The decision about the preset of a planned render, where several are tried on the song."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from audioreactive.patches.knobs import Knobs
from audioreactive.pipeline.weights import with_digests
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from audioreactive.patches.preset import Preset
    from audioreactive.pipeline.planning import Plan


def decide(plan: Plan, progress: Progress | None = None) -> tuple[Preset, str | None]:
    """The preset to render, with the settings to embed in it; with `best_of` the most audio-reactive candidate, with
    `evolve` what evolved, of a motion that is fitted to pictures and what is drawn the better, and a sentence about the
    choice.
    """
    from audioreactive.patches.randomizer import is_seen

    if is_seen(plan.recipe.synthesizer):
        from audioreactive.pipeline.fitted import better

        preset, sentence = better(plan.recipe, plan.features, plan.loaded.generator, progress or Silent())
        return _signed(preset, plan), sentence
    if plan.recipe.evolve is not None:
        preset, sentence = _evolved(plan, plan.recipe.evolve, progress or Silent())
        return _signed(preset, plan), sentence
    if plan.recipe.best_of is None:
        return _signed(plan.preset, plan), None
    preset, sentence = _most_reactive(plan, progress or Silent())
    return _signed(preset, plan), sentence


def _most_reactive(plan: Plan, progress: Progress) -> tuple[Preset, str]:
    """The most audio-reactive preset, and a sentence about the choice."""
    from audioreactive.pipeline.choose import choose

    first = plan.recipe.seed or 0
    seeds = [(first + i) % 2**32 for i in range(plan.recipe.best_of or 1)]
    presets = [replace(plan.recipe, seed=seed).make() for seed in seeds]
    choice = choose(
        [preset.patch for preset in presets],
        plan.features,
        plan.loaded.generator,
        batch=plan.settings.batch,
        progress=progress,
    )
    progress.say(f"{choice.sentence}; its seed is {seeds[choice.index]}")
    score = f"{choice.previews[choice.index]:+.1f} deviations above chance"
    return presets[choice.index], f"the best of {len(seeds)} was seed {seeds[choice.index]}, with a score of {score}"


def _evolved(plan: Plan, count: int, progress: Progress) -> tuple[Preset, str]:
    """The preset that evolved, and a sentence about it."""
    from audioreactive.pipeline.evolve import evolve

    recipe, seed = plan.recipe, plan.recipe.seed or 0
    drawn = replace(recipe, overrides=(), knobs=Knobs()).make()
    result = evolve(drawn.patch, plan.features, plan.loaded.generator, count=count, seed=seed, progress=progress)
    evolved = drawn.model_copy(update={"patch": result.patch})
    preset = replace(recipe, preset=evolved, seed=None, evolve=None, leads=False).make()
    return preset, f"{result.sentence}; they began with seed {seed}"


def _signed(preset: Preset, plan: Plan) -> Preset:
    """The preset with the settings of the render, so that the preset in a video gives the same video again."""
    from audioreactive.generators import ModelFile, WeightedSource
    from audioreactive.patches.preset import MadeWith, RenderDefaults

    source, size = plan.loaded.source, plan.size
    if isinstance(source, WeightedSource):
        preset, source = with_digests(preset, source.files), source.base
    made_with = MadeWith(
        program=f"audioreactive {version('audioreactive')}",
        model=source.name,
        model_sha256=source.sha256 if isinstance(source, ModelFile) else None,
        song_sha256=plan.features.digest,
        seed=preset.made_with.seed if preset.made_with else None,
    )
    fit = plan.settings.fit or preset.render.fit
    render = RenderDefaults(fps=str(plan.features.fps), size=f"{size[0]}x{size[1]}", fit=fit)
    return preset.model_copy(update={"made_with": made_with, "render": render})
