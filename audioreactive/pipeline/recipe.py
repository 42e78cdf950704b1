"""The choice of a preset: a given or a randomly drawn one, with changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from audioreactive.errors import AudioReactiveError
from audioreactive.patches.knobs import Knobs

if TYPE_CHECKING:
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Synthesizer
    from audioreactive.patches.wild import Wild


@dataclass(frozen=True)
class Recipe:
    """The choice of a preset: a given or a randomly drawn one, with changes.

    Raises:
        AudioReactiveError: two of the fields exclude each other.
    """

    preset: Preset | None = None
    seed: int | None = None
    """Seed of a drawn preset. Without preset and seed it is computed from the song, so that a song gives one video."""
    palette: tuple[int | str, ...] | None = None
    truncation: float | None = None
    label: int | None = None
    overrides: tuple[str, ...] = field(default=())
    leads: bool = False
    """Whether hits move forms and sections change colours in a drawn preset, in addition to what is drawn."""
    best_of: int | None = None
    """Number of presets to draw, with seeds counting up from `seed`; the most audio-reactive one is used."""
    evolve: int | None = None
    """Number of presets to score while they evolve, from those that are drawn with `seed`."""
    synthesizer: Synthesizer | None = None
    """Synthesizer of the motion of a drawn preset; None: the sub-sequences of the Randomizer."""
    wild: Wild | None = None
    """What a drawn preset may have besides latents and noise; None: nothing."""
    knobs: Knobs = field(default_factory=Knobs)
    """Changes by knobs, applied last."""

    @property
    def needs_song(self) -> bool:
        """Whether the seed is computed from the song."""
        return self.preset is None and self.seed is None

    def __post_init__(self) -> None:
        drawn_by = {
            "--seed": self.seed,
            "--best-of": self.best_of,
            "--evolve": self.evolve,
            "--synthesizer": self.synthesizer,
            "--wild": self.wild,
        }
        for name, value in drawn_by.items():
            if self.preset is not None and value is not None:
                raise AudioReactiveError(
                    f"a preset says how everything moves, and {name} draws that: leave one of them out"
                )
        if self.evolve is not None and (self.best_of is not None or self.synthesizer is not None):
            other = "--best-of" if self.best_of is not None else "--synthesizer"
            raise AudioReactiveError(
                f"--evolve changes the Randomizer's presets until they react, and {other} makes the motion in another "
                "way: leave one of them out"
            )
        if self.best_of is not None and self.synthesizer is not None:
            raise AudioReactiveError(
                "--best-of draws the Randomizer's presets, and --synthesizer makes the motion: leave one of them out"
            )

    def make(self, song_seed: int = 0) -> Preset:
        """Make the preset with all changes.

        Raises:
            PresetError: a change does not fit the preset.
        """
        from audioreactive.patches.overrides import override
        from audioreactive.patches.preset import MadeWith, preset_of
        from audioreactive.patches.randomizer import draw_around, random_patch, with_lead

        preset = self.preset
        if preset is None:
            seed = song_seed if self.seed is None else self.seed
            patch = random_patch(seed) if self.synthesizer is None else draw_around(self.synthesizer, seed)
            patch = with_lead(patch, seed) if self.leads and self.synthesizer is None else patch
            patch = patch if self.wild is None else self.wild(patch, seed)
            preset = preset_of(patch, made_with=MadeWith(seed=seed))
        changes = {"seeds": self.palette, "truncation": self.truncation, "label": self.label}
        expressions = [
            f"palette.{key} = {list(value) if isinstance(value, tuple) else value}"
            for key, value in changes.items()
            if value is not None
        ]
        return override(preset, (*expressions, *self.overrides)).mapped(self.knobs)


def song_seed(digest: str) -> int:
    """Default seed of a song: the first 32 bits of the digest of its content."""
    return int(digest[:8], 16)
