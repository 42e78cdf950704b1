"""Draw a random patch from a seed: the Randomizer of section 4.1 of the thesis.

All choices are made here and stored in the patch. Each part has its own random stream, named after it, so that a later
version can add a choice in one part without changing the others. Streams are `numpy.random.RandomState`, whose output
NumPy guarantees not to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from audioreactive._support.streams import named_stream
from audioreactive.features.names import (
    DEFAULT_FEATURES,
    FEATURES,
    SEGMENT_COUNTS,
    SEGMENTABLE,
    is_univariate,
    split_name,
)
from audioreactive.patches.fields import DEPTHS
from audioreactive.patches.schema import LOOP_BARS, VECTORS_PER_DEPTH, Hippo, Patch
from audioreactive.patches.sections import Section, changes_between

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from audioreactive.features.form import FormSection
    from audioreactive.patches.fields import Depth
    from audioreactive.patches.schema import Synthesizer

Choice = TypeVar("Choice")

PALETTE_SIZE = 24
"""Number of vectors in a random palette: enough for the channels of any feature."""
NOISE_FIELDS = 12
VIVIDNESS = 0.6
"""Vividness of random patches: enough that pictures differ, without exaggerating every small motion."""
SECTION_PICTURES = 4
"""Number of section kinds, each with its own picture, in a patch whose motion a synthesizer makes."""
SECTION_SMOOTH = 1.0
"""Smoothing in seconds of the changes between sections' pictures: sudden changes would hide a synthesizer's motion."""
SYNTHESIZER_INTENSITY = 1.5
"""Intensity of a synthesizer's motion (2 is all of it): three quarters correlate as well, and move a fifth less far."""
LEAD_COLOURS = 1.2
"""Intensity of the sections' colours in a patch with a lead."""
LEAD_FAMILIES = (
    "aurora", "coral", "crystals", "glass", "ink", "metal", "nebula", "neon", "ribbons", "scales", "silk", "threads",
)  # fmt: skip
"""Families of the painter that a patch with a lead or a synthesizer has: those with forms that are seen to move, and
calm light."""
LEAD_REACH = (0.25, 0.45, 0.75)
"""Reach of coarse, middle and fine latents in a patch with a lead. Forms that swing from one palette vector to another
with every stroke flash: more than three times a second on most songs. At a quarter they do not, and score higher."""
LEAD_FORMS = 0.4
"""Intensity of the hits' movement of forms in a patch with a lead."""
SECTION_FADE = 0.5
"""Length in bars of the cross-fade into a random section: two beats, centred on the bar line."""
SEQUENCES = range(5, 16)
"""Numbers of sub-sequences that are drawn: 5 to 15, as in the thesis."""

UNIVARIATE = tuple(name for name in DEFAULT_FEATURES if is_univariate(name))
LATENT_STRATEGIES = ("segmentation", "feature", "loop")
NOISE_STRATEGIES = ("feature", "blend", "loop")


@dataclass(frozen=True)
class Draws:
    """Random choices from one named stream."""

    stream: np.random.RandomState

    @classmethod
    def named(cls, seed: int, name: str) -> Draws:
        """Open the stream for a seed and a name."""
        return cls(named_stream(f"audioreactive patch {seed} {name}"))

    def integer(self, low: int, high: int) -> int:
        """Draw an integer from low to high, both included."""
        return int(self.stream.randint(low, high + 1))

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        """Draw one of the choices, all equally likely."""
        return choices[self.integer(0, len(choices) - 1)]

    def between(self, low: float, high: float) -> float:
        """Draw a uniform number, rounded to 3 digits so that presets are readable."""
        return round(float(low + (high - low) * self.stream.random_sample()), 3)

    def log_between(self, low: float, high: float) -> float:
        """Draw a log-uniform number, rounded to 3 digits so that presets are readable."""
        return round(float(np.exp(self.between(np.log(low), np.log(high)))), 3)

    def some(self, size: int, count: int) -> tuple[int, ...]:
        """Draw `count` of `size` positions in random order; they repeat if `count` is larger than `size`."""
        order = self.stream.permutation(size)
        return tuple(int(order[i % size]) for i in range(count))


def random_patch(seed: int) -> Patch:
    """Draw the random patch of a seed, any non-negative integer."""
    return Patch.model_validate({"palette": _palette(seed), "latents": _latents(seed), "noise": _noise(seed)})


def with_lead(patch: Patch, seed: int) -> Patch:
    """Add to a random patch what a first video should always show: hits move forms, sections and notes change colours,
    loudness changes the light, and timbre the textures.
    """
    draws = Draws.named(seed, "lead")
    colours = {
        "strategy": "segmentation",
        "feature": "mfcc",
        "k": SECTION_PICTURES,
        "vectors": draws.some(PALETTE_SIZE, SECTION_PICTURES),
        "smooth": 0.4,
        "depth": ("fine",),
        "intensity": LEAD_COLOURS,
    }
    forms = {
        "strategy": "loop",
        "bars": draws.one_of(LOOP_BARS),
        "vectors": draws.some(PALETTE_SIZE, 4),
        "depth": ("coarse",),
        "merge": "modulate",
        "modulator": {"feature": "hits", "release": 0.35, "attack": 0.06, "smooth": 0.03},
        "intensity": LEAD_FORMS,
    }
    family = draws.one_of(LEAD_FAMILIES)
    textures = _lead(draws, "spectral_contrast", ("middle",), 1.0, contrast=4.0, smooth=0.12)
    light = _lead(draws, "rms", ("fine",), 0.6, release=0.12, attack=0.05, smooth=0.03)
    harmony = _lead(draws, "chroma", ("middle", "fine"), 1.3, contrast=4.0, smooth=0.15)
    changed = patch.model_dump(mode="json", exclude_none=True)
    changed["latents"]["reach"] = LEAD_REACH
    changed["palette"]["family"] = family
    changed["latents"]["sequences"] += [forms, colours, textures, light, harmony]
    return Patch.model_validate(changed)


def _lead(draws: Draws, feature: str, depth: tuple[Depth, ...], intensity: float, **shape: float) -> dict[str, Any]:
    """Make a sequence in which a feature blends palette vectors."""
    return {
        "strategy": "feature",
        "envelope": {"feature": feature, **shape},
        "vectors": draws.some(PALETTE_SIZE, _weights_needed(feature)),
        "depth": depth,
        "intensity": intensity,
    }


def draw_sections(patch: Patch, form: Sequence[FormSection], fps: Fraction, *, seed: int) -> tuple[Section, ...]:
    """Draw sections for a song's form: the first kind of part keeps the patch, each other kind gets a random one.

    Args:
        patch: the preset's patch.
        form: the song's parts, from `features.form.song_form`.
        fps: frame rate of the form.
        seed: seed of the random patches, together with each part's label.
    """
    base = patch.model_dump(mode="json", exclude_none=True)
    times: dict[str, int] = {}
    sections: list[Section] = []
    for part in form:
        times[part.label] = times.get(part.label, 0) + 1
        first = times[part.label] == 1
        changes = {}
        if first and part.label != form[0].label:
            own = random_patch(int(named_stream(f"audioreactive section {seed} {part.label}").randint(2**32)))
            changes = changes_between(base, own.model_dump(mode="json", exclude_none=True))
        sections.append(
            Section(
                name=part.label if first else f"{part.label}{times[part.label]}",
                label=part.label,
                start=round(float(part.start / fps), 3),
                crossfade_bars=SECTION_FADE if sections else None,
                patch=changes,
            )
        )
    return tuple(sections)


def draw_around(synthesizer: Synthesizer, seed: int) -> Patch:
    """Draw the patch of a seed in which a synthesizer makes the motion.

    Only the change of sections does not come from it: each kind of section has a picture, around which it moves. What
    is fitted to pictures has the palette of the drawn patch of the same seed, so that the two can be compared.
    """
    draws = Draws.named(seed, f"around a synthesizer {synthesizer.kind}")
    pictures = draws.some(PALETTE_SIZE, SECTION_PICTURES + len(DEPTHS) * VECTORS_PER_DEPTH)
    sections = {
        "strategy": "segmentation",
        "feature": "chroma",
        "k": SECTION_PICTURES,
        "vectors": pictures[:SECTION_PICTURES],
        "smooth": SECTION_SMOOTH,
        "intensity": 2.0,
    }
    motion = {
        "strategy": "synthesizer",
        "synthesizer": synthesizer.name,
        "vectors": pictures[SECTION_PICTURES:],
        "intensity": SYNTHESIZER_INTENSITY,
    }
    noise = {
        "seeds": tuple(draws.integer(0, 99_999) for _ in range(SECTION_PICTURES)),
        "base": tuple(range(SECTION_PICTURES)),
        "levels": {"synthesizer": synthesizer.name},
    }
    palette = {**_palette(seed), "family": draws.one_of(LEAD_FAMILIES)}
    if is_seen(synthesizer):
        palette = with_lead(random_patch(seed), seed).palette.model_dump(exclude_none=True)
    return Patch.model_validate(
        {
            "palette": palette,
            "latents": {"base": pictures[:1], "vividness": VIVIDNESS, "sequences": [sections, motion]},
            "noise": noise,
            "synthesizers": [synthesizer.model_dump()],
        }
    )


def is_seen(synthesizer: Synthesizer | None) -> bool:
    """Whether a synthesizer's motion is fitted to pictures."""
    return isinstance(synthesizer, Hippo) and synthesizer.aim == "seen"


def with_synthesizer(patch: Patch, synthesizer: Synthesizer) -> Patch:
    """Add a synthesizer as the last latent sequence of a patch, with vectors that its motion seed chooses.

    An earlier one of the same name is replaced.
    """
    name, seed = synthesizer.name, synthesizer.motion_seed
    data = patch.model_dump(mode="json", exclude_none=True)
    others = [one for one in data.get("synthesizers", ()) if one["name"] != name]
    data["synthesizers"] = [*others, synthesizer.model_dump(mode="json")]
    kept = [one for one in data["latents"]["sequences"] if one.get("synthesizer") != name]
    vectors = Draws.named(seed, "added synthesizer").some(len(patch.palette.seeds), len(DEPTHS) * VECTORS_PER_DEPTH)
    motion = {"strategy": "synthesizer", "synthesizer": name, "vectors": vectors, "intensity": 1.0}
    data["latents"]["sequences"] = [*kept, motion]
    return Patch.model_validate(data)


def without_idle_synthesizers(patch: Patch) -> Patch:
    """Remove synthesizers that nothing calls, which would be fitted for nothing."""
    called = {getattr(sequence, "synthesizer", None) for sequence in patch.latents.sequences}
    called.add(patch.noise.levels and patch.noise.levels.synthesizer)
    kept = tuple(one for one in patch.synthesizers if one.name in called)
    return patch if kept == patch.synthesizers else patch.model_copy(update={"synthesizers": kept})


def _palette(seed: int) -> dict[str, Any]:
    draws = Draws.named(seed, "palette")
    seeds = tuple(draws.integer(0, 99_999) for _ in range(PALETTE_SIZE))
    return {"seeds": seeds, "truncation": 1.0}


def _latents(seed: int) -> dict[str, Any]:
    draws = Draws.named(seed, "latents")
    count = draws.integer(SEQUENCES[0], SEQUENCES[-1])
    return {
        "base": draws.some(PALETTE_SIZE, draws.integer(4, 12)),
        "vividness": VIVIDNESS,
        "sequences": [latent_sequence(Draws.named(seed, f"latents {i}")) for i in range(count)],
    }


def latent_sequence(draws: Draws) -> dict[str, Any]:
    """Draw a sub-sequence of latents."""
    common = _common(draws)
    match draws.one_of(LATENT_STRATEGIES):
        case "segmentation":
            k = draws.integer(SEGMENT_COUNTS[0], SEGMENT_COUNTS[-1])
            return {
                "strategy": "segmentation",
                "feature": draws.one_of(SEGMENTABLE),
                "k": k,
                "vectors": draws.some(PALETTE_SIZE, k),
                "smooth": draws.log_between(0.1, 2.0),
                **common,
            }
        case "feature":
            envelope = draw_envelope(draws, draws.one_of(DEFAULT_FEATURES))
            vectors = draws.some(PALETTE_SIZE, _weights_needed(envelope["feature"]))
            return {"strategy": "feature", "envelope": envelope, "vectors": vectors, **common}
        case _:
            bars = draws.one_of(LOOP_BARS)
            vectors = draws.some(PALETTE_SIZE, draws.integer(3, 8))
            return {"strategy": "loop", "bars": bars, "vectors": vectors, **common}


def _noise(seed: int) -> dict[str, Any]:
    draws = Draws.named(seed, "noise")
    count = draws.integer(SEQUENCES[0], SEQUENCES[-1])
    return {
        "seeds": tuple(draws.integer(0, 99_999) for _ in range(NOISE_FIELDS)),
        "base": draws.some(NOISE_FIELDS, draws.integer(3, 8)),
        "sequences": [noise_sequence(Draws.named(seed, f"noise {i}")) for i in range(count)],
    }


def noise_sequence(draws: Draws) -> dict[str, Any]:
    """Draw a sub-sequence of noise."""
    common = _common(draws)
    match draws.one_of(NOISE_STRATEGIES):
        case "feature":
            envelope = draw_envelope(draws, draws.one_of(DEFAULT_FEATURES))
            fields = draws.some(NOISE_FIELDS, _weights_needed(envelope["feature"]))
            return {"strategy": "feature", "envelope": envelope, "fields": fields, **common}
        case "blend":
            return {
                "strategy": "blend",
                "envelope": draw_envelope(draws, draws.one_of(DEFAULT_FEATURES)),
                "fields": draws.some(NOISE_FIELDS, draws.integer(3, 8)),
                "slow": draws.log_between(4, 16),
                "fast": draws.log_between(0.25, 1),
                **common,
            }
        case _:
            return {
                "strategy": "loop",
                "bars": draws.one_of(LOOP_BARS),
                "fields": draws.some(NOISE_FIELDS, 3),
                "sigma": draws.log_between(2, 50),
                **common,
            }


def _common(draws: Draws) -> dict[str, Any]:
    """Draw depth and merge, which latent and noise sequences both have."""
    depth = _depth(draws)
    if draws.one_of(("average", "modulate")) == "average":
        return {"depth": depth, "merge": "average"}
    modulator = draw_envelope(draws, draws.one_of(UNIVARIATE))
    # Full intensity on every drum hit would flash.
    return {"depth": depth, "merge": "modulate", "modulator": modulator, "intensity": draws.between(0.3, 0.8)}


def _depth(draws: Draws) -> tuple[Depth, ...]:
    """Draw one, two or all of the three depth groups."""
    count = draws.integer(1, len(DEPTHS))
    return tuple(DEPTHS[i] for i in sorted(draws.some(len(DEPTHS), count)))


def _weights_needed(feature: str) -> int:
    """Return the number of vectors that a feature weights: one per channel, two for a single envelope."""
    return max(split_name(feature)[1].channels, 2)


def draw_envelope(draws: Draws, feature: str) -> dict[str, Any]:
    """Draw the shape of a feature's envelope by its kind: onsets decay, notes and timbres are smoothed.

    The channels of notes and timbres have similar values; contrast prevents their weighted average from being the same
    mixture all the time.
    """
    kind = FEATURES[split_name(feature)[1].name].kind
    if feature.endswith("onsets"):
        return {"feature": feature, "release": draws.log_between(0.15, 0.6)}
    if kind in ("rhythmic", "sectional"):
        return {"feature": feature, "smooth": draws.log_between(0.05, 0.4)}
    contrast = 1.0 if is_univariate(feature) else draws.log_between(1.5, 4)
    return {"feature": feature, "contrast": contrast, "smooth": draws.log_between(0.2, 1)}
