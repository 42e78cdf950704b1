"""What `render --dry-run` prints: the plan of a render."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audioreactive.errors import printable

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.patches.preset import Preset
    from audioreactive.pipeline.planning import Plan


def describe_plan(plan: Plan, output: Path) -> str:
    """Text for the user about the planned render."""
    features, canvas, preset = plan.features, plan.canvas, plan.preset
    seed = preset.made_with.seed if preset.made_with else None
    drawn = "given" if seed is None else f"seed {seed}"
    if plan.recipe.best_of is not None:
        drawn = f"the most audio-reactive of {plan.recipe.best_of} from {drawn} upwards, which begins with"
    if plan.recipe.evolve is not None:
        drawn = f"what evolves over {plan.recipe.evolve} presets from {drawn}, which begins with"
    height, width = plan.loaded.generator.img_size
    paints = "paints at any size" if plan.loaded.generator.families else f"{width}x{height}"
    fps = plan.encoding.settings.fps
    rows = {
        "song": f"{plan.song}, {float(features.duration):.2f} s, {features.tempo:.1f} bpm",
        "preset": f"{drawn}: {_contents(preset)}",
        "hears": ", ".join((*preset.feature_names(), *(f"sections of {n}" for n in preset.segmentation_names()))),
        "palette": "; ".join(f"{_vectors(len(p.seeds))}, truncation {p.truncation:g}" for p in preset.palettes()),
        "model": f"{plan.loaded.source.name}, {paints}",
        "picture": f"{canvas.size[0]}x{canvas.size[1]} from {canvas.frame_size[0]}x{canvas.frame_size[1]}",
        "frames": f"{plan.start} to {plan.stop - 1} at {fps} a second",
        "output": str(output),
    }
    return "\n".join(f"{key:8} {printable(value)}" for key, value in rows.items())


def _contents(preset: Preset) -> str:
    """Text about the contents of a preset."""
    patch, sections = preset.patch, len(preset.sections)
    counted = f"{len(patch.latents.sequences)} latent and {len(patch.noise.sequences)} noise sequences"
    return counted + (f", {sections} section{'s' * (sections > 1)}" if sections else "")


def _vectors(count: int) -> str:
    return "1 vector" if count == 1 else f"{count} vectors"
