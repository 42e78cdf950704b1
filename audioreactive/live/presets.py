"""Presets of a performance: those that were named, or a few that show well without knowing the song."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audioreactive.patches.preset import Preset

USUAL_PRESETS: Final = ("pulse", "drop", "ember", "sparks", "tides", "carousel", "grove", "orbit", "warehouse")
"""Presets on the keys 1 to 9 if none are named."""


def opening_presets(names: Sequence[str], overrides: Sequence[str] = ()) -> tuple[Preset, ...]:
    """Load presets by name or file, with changes.

    Raises:
        PresetError: one of them cannot be found, read or changed.
    """
    from audioreactive.patches.overrides import override
    from audioreactive.patches.presets import load_preset

    return tuple(override(load_preset(name), overrides) for name in names or USUAL_PRESETS)


def rerolled(preset: Preset, number: int) -> Preset:
    """Return a preset with other forms and colours: the next seeds of its palette, with the same motion."""
    palette = preset.patch.palette
    seeds = tuple(seed if isinstance(seed, str) else (seed + 7919 * number) % 2**32 for seed in palette.seeds)
    other = palette.model_copy(update={"seeds": seeds, "coarse": None, "middle": None, "fine": None})
    patch = preset.patch.model_copy(update={"palette": other})
    return preset.model_copy(update={"patch": patch})
