"""How to come by a preset: a given one, or a drawn one, and what to change in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from audioreactive.errors import AudioReactiveError
from audioreactive.patches.knobs import Knobs

if TYPE_CHECKING:
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Synthesizer


@dataclass(frozen=True)
class Recipe:
    """How to come by a preset: a given one, or a drawn one, and what to change in it.

    Raises:
        AudioReactiveError: two of its parts exclude one another.
    """

    preset: Preset | None = None
    seed: int | None = None
    """Without a preset and a seed, the seed comes from the song's content: the same song, the same video."""
    palette: tuple[int, ...] | None = None
    truncation: float | None = None
    label: int | None = None
    overrides: tuple[str, ...] = field(default=())
    best_of: int | None = None
    """Draw so many, from the seed upwards, and keep the most audio-reactive one."""
    synthesizer: Synthesizer | None = None
    """What makes the motion of a drawn recipe; None: the Randomizer's sub-sequences."""
    knobs: Knobs = field(default_factory=Knobs)
    """What is turned at last."""

    @property
    def needs_song(self) -> bool:
        """Whether the seed is the song's to give."""
        return self.preset is None and self.seed is None

    def __post_init__(self) -> None:
        drawn_by = {"seed": self.seed, "best_of": self.best_of, "synthesizer": self.synthesizer}
        for name, value in drawn_by.items():
            if self.preset is not None and value is not None:
                raise AudioReactiveError(
                    f"a preset says how everything moves, and {name} draws that: leave one of them out"
                )
        if self.best_of is not None and self.synthesizer is not None:
            raise AudioReactiveError(
                "best_of draws the Randomizer's presets, and synthesizer makes the motion: leave one of them out"
            )

    def make(self, song_seed: int = 0) -> Preset:
        """The preset, all changes made.

        Raises:
            PresetError: a change does not fit.
        """
        from audioreactive.patches.overrides import override
        from audioreactive.patches.preset import MadeWith, preset_of
        from audioreactive.patches.randomizer import draw_around, random_patch

        preset = self.preset
        if preset is None:
            seed = song_seed if self.seed is None else self.seed
            patch = random_patch(seed) if self.synthesizer is None else draw_around(self.synthesizer, seed)
            preset = preset_of(patch, made_with=MadeWith(seed=seed))
        changes = {"seeds": self.palette, "truncation": self.truncation, "label": self.label}
        expressions = [
            f"palette.{key} = {list(value) if isinstance(value, tuple) else value}"
            for key, value in changes.items()
            if value is not None
        ]
        return override(preset, (*expressions, *self.overrides)).mapped(self.knobs)


def song_seed(digest: str) -> int:
    """The seed of a song that nobody gave one: the first 32 bits of its content's digest."""
    return int(digest[:8], 16)
