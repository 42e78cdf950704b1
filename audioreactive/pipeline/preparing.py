"""The production of a planned render: its preset is decided on, and its motion is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audioreactive.pipeline.deciding import decide
from audioreactive.pipeline.production import DRAFT_STEP, LOOP_SECONDS, Production, make_scene
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators import Generator
    from audioreactive.patches.motion import Motion
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch
    from audioreactive.pipeline.planning import Plan


def make_motion(
    recipe: Patch | Preset, features: Features, generator: Generator | None = None, progress: Progress | None = None
) -> Motion:
    """Motion of a recipe for a song, including its sections and synthesizers; see `patches.motion.motion`.

    A synthesizer that is fitted to what is seen needs the generator, with pictures of its own size.
    """
    from audioreactive.patches.motion import motion
    from audioreactive.patches.schema import Patch

    patch, sections = (recipe, ()) if isinstance(recipe, Patch) else (recipe.patch, recipe.sections)

    def made(patch: Patch, features: Features) -> dict[str, NDArray[np.float32]]:
        from audioreactive.learn.synthesize import synthesize  # few recipes need it

        return synthesize(patch, features, generator, progress)

    return motion(patch, features, made, sections=sections)


def prepare(plan: Plan, progress: Progress | None = None) -> Production:
    """Make the motion of the planned render, and with it everything that rendering needs."""
    progress = progress or Silent()
    features, canvas, generator = plan.features, plan.canvas, plan.loaded.generator
    preset, chosen = decide(plan, progress)
    moving = make_motion(preset, features, generator, progress)
    generator = generator.sketching() if plan.settings.draft else generator
    generator = generator.resized((canvas.frame_size[1], canvas.frame_size[0]))
    moving = moving.at(slice(None, None, DRAFT_STEP)) if plan.settings.draft else moving
    if plan.settings.loop:
        moving = moving.closed(plan.start, plan.stop, round(LOOP_SECONDS * plan.encoding.settings.fps))
    return Production(
        song=plan.song,
        features=features,
        preset=preset,
        generator=generator,
        scene=make_scene(
            moving,
            plan.loaded.source,
            generator,
            plan.encoding,
            plan.settings,
        ),
        encoding=plan.encoding,
        start=plan.start,
        stop=plan.stop,
        settings=plan.settings,
        chosen=chosen,
        begun=plan.begun,
    )
