"""Knobs: the most common adjustments of a preset, each a factor, as functions Patch -> Patch.

The result is an ordinary patch whose own values have changed. A factor of 1 changes nothing; values are limited to what
a preset allows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from pydantic import BaseModel

from audioreactive.errors import PresetError
from audioreactive.features.names import split_name
from audioreactive.patches.moves import identity
from audioreactive.patches.schema import LatentLoop, NoiseBlend, NoiseLoop, Patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from audioreactive.patches.fields import Envelope, Positions
    from audioreactive.patches.move_schema import Bend
    from audioreactive.patches.schema import LatentSequence, NoiseSequence

Model = TypeVar("Model", bound=BaseModel)

LARGEST_FACTOR: Final = 4.0
SPEEDS: Final = (0.1, 10.0)
"""Smallest and largest factor of `speed`."""

STRUCK: Final = ("onsets", "hits", "pulse", "drop_moment")
"""Features that tell of a moment."""

USUAL_BARS: Final = 8.0
USUAL_SECONDS: Final = 16.0
"""Lengths of a loop whose speed is called 1."""

MOST_REACH: Final = 4.0
MOST_INTENSITY: Final = 2.0
MOST_NOISE: Final = 10.0
MOST_AMOUNT: Final = 720.0
BARS: Final = (0.001, 1024.0)
PERIODS: Final = (0.001, 3600.0)
BLEND_PERIODS: Final = (0.001, 600.0)
MOST_KNOTS: Final = 256
"""Limits of the schema to which the adjusted values are cut."""


@dataclass(frozen=True)
class Knobs:
    """Factors of all knobs; 1 changes nothing.

    Raises:
        PresetError: a factor is out of range.
    """

    motion: float = 1.0
    """Factor on the size of all motion."""
    beat: float = 1.0
    """Factor on the response to hits and the pulse."""
    texture: float = 1.0
    """Factor on the amount of fine, random grain."""
    colour: float = 1.0
    """Factor on the motion of colours and fine details (the fine depth group)."""
    speed: float = 1.0
    """Factor on the speed of loops, blends and the slow base curves."""

    def __post_init__(self) -> None:
        for knob in fields(self):
            value = getattr(self, knob.name)
            low, high = SPEEDS if knob.name == "speed" else (0.0, LARGEST_FACTOR)
            if not low <= value <= high:
                raise PresetError(
                    f"{knob.name} {value:g} was asked for; it goes from {low:g} to {high:g}, and 1 is as it is"
                )

    @property
    def turned(self) -> dict[str, float]:
        """Names and factors of the knobs that are not at 1."""
        values = {knob.name: getattr(self, knob.name) for knob in fields(self)}
        return {name: value for name, value in values.items() if value != 1}

    def __call__(self, patch: Patch) -> Patch:
        """Apply all factors to a patch."""
        for name, factor in self.turned.items():
            patch = TURN[name](patch, factor)
        return patch

    def idle(self, patch: Patch) -> tuple[str, ...]:
        """List the knobs that are not at 1 but have no effect on this patch."""
        return tuple(name for name, factor in self.turned.items() if TURN[name](patch, factor) == patch)


def turn_motion(patch: Patch, factor: float) -> Patch:
    """Scale the motion of all depth groups, and of the noise, around their averages."""
    coarse, middle, fine = (min(reach * factor, MOST_REACH) for reach in patch.latents.reach)
    noise = _with(patch.noise, reach=min(patch.noise.reach * factor, MOST_REACH))
    camera = patch.camera
    if camera is not None:
        camera = _with(camera, reach=min(camera.reach * factor, MOST_REACH))
    bends = tuple(_bending_by(bend, factor) for bend in patch.bends)
    latents = _with(patch.latents, reach=(coarse, middle, fine))
    return _with(patch, latents=latents, noise=noise, camera=camera, bends=bends)


def _bending_by(bend: Bend, factor: float) -> Bend:
    """Scale what an envelope adds to a bend's amount."""
    if bend.envelope is None:
        return bend
    low = identity(bend.transform) if bend.low is None else bend.low
    return _with(bend, high=min(max(low + factor * (bend.high - low), -MOST_AMOUNT), MOST_AMOUNT))


def turn_colour(patch: Patch, factor: float) -> Patch:
    """Scale the motion of the fine depth group (colours and fine details) around its average."""
    coarse, middle, fine = patch.latents.reach
    return _with(patch, latents=_with(patch.latents, reach=(coarse, middle, min(fine * factor, MOST_REACH))))


def turn_texture(patch: Patch, factor: float) -> Patch:
    """Scale the strength of the noise."""
    return _with(patch, noise=_with(patch.noise, strength=min(patch.noise.strength * factor, MOST_NOISE)))


def turn_beat(patch: Patch, factor: float) -> Patch:
    """Scale the intensity of everything that uses onsets, the pulse or a percussive source; leave the rest."""

    def stronger(sequence: Any) -> Any:
        if not any(answers_hits(envelope) for envelope in _envelopes(sequence)):
            return sequence
        return _with(sequence, intensity=min(sequence.intensity * factor, MOST_INTENSITY))

    noise = _with(patch.noise, sequences=tuple(map(stronger, patch.noise.sequences)))
    amplitude = noise.amplitude
    if amplitude is not None and answers_hits(amplitude.envelope):
        high = amplitude.low + factor * (amplitude.high - amplitude.low)
        noise = _with(noise, amplitude=_with(amplitude, high=min(max(high, 0.0), MOST_NOISE)))
    latents = _with(patch.latents, sequences=tuple(map(stronger, patch.latents.sequences)))
    return _with(patch, latents=latents, noise=noise)


def reaction(patch: Patch) -> float | None:
    """Compute the mean intensity of the sequences that an envelope moves; None if there is none."""
    strengths = [s.intensity for s in (*patch.latents.sequences, *patch.noise.sequences) if _envelopes(s)]
    return sum(strengths) / len(strengths) if strengths else None


def with_reaction(patch: Patch, strength: float) -> Patch:
    """Scale the intensities of the sequences that an envelope moves, so that their mean is `strength`."""
    mean = reaction(patch)
    if mean is None:
        return patch

    def scaled(sequence: Any) -> Any:
        if not _envelopes(sequence):
            return sequence
        wanted = sequence.intensity * strength / mean if mean > 0 else strength
        return _with(sequence, intensity=round(_within(wanted, (0.0, MOST_INTENSITY)), 4))

    latents, noise = (
        _with(half, sequences=tuple(map(scaled, half.sequences))) for half in (patch.latents, patch.noise)
    )
    return _with(patch, latents=latents, noise=noise)


def tempo_of_loops(patch: Patch) -> float | None:
    """Compute how fast loops turn: the geometric mean of 8 bars, or 16 s, over their lengths; None without loops."""
    loops = [s for s in (*patch.latents.sequences, *patch.noise.sequences) if isinstance(s, LatentLoop | NoiseLoop)]
    speeds = [USUAL_BARS / s.bars if s.bars is not None else USUAL_SECONDS / (s.seconds or 1.0) for s in loops]
    return float(np.exp(np.mean(np.log(speeds)))) if speeds else None


def turn_speed(patch: Patch, factor: float) -> Patch:
    """Scale the speed of loops, blends and the base curves."""

    def faster(sequence: LatentSequence | NoiseSequence) -> Any:
        if isinstance(sequence, LatentLoop | NoiseLoop):
            if sequence.bars is not None:
                return _with(sequence, bars=_within(sequence.bars / factor, BARS))
            assert sequence.seconds is not None
            return _with(sequence, seconds=_within(sequence.seconds / factor, PERIODS))
        if isinstance(sequence, NoiseBlend):
            slow, fast = (_within(period / factor, BLEND_PERIODS) for period in (sequence.slow, sequence.fast))
            return _with(sequence, slow=slow, fast=fast)
        return sequence

    latents, noise = (
        _with(half, base=_longer(half.base, factor), sequences=tuple(map(faster, half.sequences)))
        for half in (patch.latents, patch.noise)
    )
    return _with(patch, latents=latents, noise=noise)


TURN: Final[dict[str, Callable[[Patch, float], Patch]]] = {
    "motion": turn_motion,
    "beat": turn_beat,
    "texture": turn_texture,
    "colour": turn_colour,
    "speed": turn_speed,
}
"""Name of a knob -> function that applies its factor to a patch."""


def answers_hits(envelope: Envelope) -> bool:
    """Whether an envelope listens to hits, drops or the pulse: of any source, or anything percussive."""
    source, feature = split_name(envelope.feature)
    return feature.name in STRUCK or source in ("percussive", "drums")


def _envelopes(sequence: LatentSequence | NoiseSequence) -> list[Envelope]:
    candidates = (getattr(sequence, "envelope", None), sequence.modulator)
    return [envelope for envelope in candidates if envelope is not None]


def _longer(base: Positions, factor: float) -> Positions:
    """Make a path through the base's pictures with `factor` times as many steps, to and fro, or only its first part.

    The number of steps is rounded.
    """
    steps = len(base) - 1
    if not steps:
        return base
    count = min(max(round(steps * factor), 1), MOST_KNOTS - 1)
    there_and_back = [*range(steps), *range(steps, 0, -1)]
    return tuple(base[there_and_back[i % (2 * steps)]] for i in range(count + 1))


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _with(part: Model, **changes: Any) -> Model:
    """Return a part with some values changed and validated; the same object if nothing changes."""
    if all(getattr(part, name) == value for name, value in changes.items()):
        return part
    return type(part).model_validate({**{name: getattr(part, name) for name in type(part).model_fields}, **changes})
