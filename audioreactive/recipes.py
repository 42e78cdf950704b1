"""How to come by a preset: a given one, or one drawn from a seed, and what to change in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audioreactive.presets import Preset


@dataclass(frozen=True)
class Recipe:
    """How to come by a preset: a given one, or a drawn one, and what to change in it."""

    preset: Preset | None = None
    seed: int | None = None
    """Without a preset and a seed, the seed comes from the song's content: the same song, the same video."""
    palette: tuple[int, ...] | None = None
    truncation: float | None = None
    label: int | None = None
    overrides: tuple[str, ...] = field(default=())
    best_of: int | None = None
    """Draw so many, from the seed upwards, and keep the most audio-reactive one."""

    @property
    def needs_song(self) -> bool:
        """Whether the seed is the song's to give."""
        return self.preset is None and self.seed is None

    def make(self, song_seed: int = 0) -> Preset:
        """The preset, all changes made.

        Raises:
            PresetError: a change does not fit.
        """
        from audioreactive.patches.schema import Patch
        from audioreactive.presets import MadeWith, override, preset_of

        preset = self.preset
        if preset is None:
            seed = song_seed if self.seed is None else self.seed
            preset = preset_of(Patch.random(seed), made_with=MadeWith(seed=seed))
        changes = {"seeds": self.palette, "truncation": self.truncation, "label": self.label}
        expressions = [
            f"palette.{key} = {list(value) if isinstance(value, tuple) else value}"
            for key, value in changes.items()
            if value is not None
        ]
        return override(preset, (*expressions, *self.overrides))


def song_seed(digest: str) -> int:
    """The seed of a song that nobody gave one: the first 32 bits of its content's digest."""
    return int(digest[:8], 16)
