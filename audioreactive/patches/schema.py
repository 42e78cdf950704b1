"""`Patch`: every choice that makes a video, named. Exactly what a preset file holds.

Conventions:
    Times are seconds or bars, never frames, so that a patch moves alike at every frame rate and tempo.
    `vectors` and `fields` are positions in the palette and in the noise seeds; they wrap around, so that a patch works
    with a palette of any size.
    `depth` is relative to the model: thirds of its layers, from coarse to fine.
"""

from __future__ import annotations

from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from audioreactive.errors import FeatureError, shown
from audioreactive.features.names import (
    DEFAULT_FEATURES,
    FEATURES,
    SEGMENT_COUNTS,
    SEGMENTABLE,
    is_univariate,
    split_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Depth = Literal["deep", "middle", "shallow"]
DEPTHS: tuple[Depth, ...] = ("deep", "middle", "shallow")

VECTORS_PER_DEPTH = 3
"""Palette vectors that a synthesizer moves between in each depth group (appendix A.2)."""
NOISE_OCTAVES = 4
"""Sizes of noise maps that a synthesizer plays, from 4² to 32² pixels (appendix A.2)."""

LOOP_BARS = (4, 8, 16, 32)
"""Lengths of the randomizer's loops (section 4.1.1); a preset may hold others."""


def depth_slices(layers: int) -> tuple[slice, ...]:
    """Thirds of a model's layers, coarse to fine, one slice for each of `DEPTHS`: depth is relative, so that a patch
    made on one model works on another. `layers` counts the latent inputs, or the noise maps.
    """
    edges = [round(layers * third / 3) for third in range(4)]
    return tuple(slice(start, stop) for start, stop in pairwise(edges))


def _known_feature(name: str) -> str:
    try:
        split_name(name)
    except FeatureError as error:
        raise ValueError(str(error)) from None
    return name


def _scored(name: str) -> str:
    if name not in SCORED:
        close = get_close_matches(name, SCORED, 1)
        guess = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"there is no {name!r} to weigh{guess}; there are {', '.join(SCORED)}")
    return name


def _few_weights(weights: object) -> object:
    """Refuse a table of more names than there are, before a similar name is sought for each."""
    if isinstance(weights, dict) and len(weights) > len(SCORED):
        raise ValueError(f"names {len(weights)} features, where there are {len(SCORED)}")
    return weights


def _segmentable(name: str) -> str:
    if name not in SEGMENTABLE:
        raise ValueError(f"a segmentation needs one of {', '.join(SEGMENTABLE)}")
    return name


def _distinct_depths(depths: tuple[Depth, ...]) -> tuple[Depth, ...]:
    if len(set(depths)) != len(depths):
        raise ValueError("names a depth twice")
    return tuple(depth for depth in DEPTHS if depth in depths)


def _tempo_factor(factor: float) -> float:
    if factor not in (0.5, 1, 2):
        raise ValueError("a tempo is halved, kept or doubled: give 0.5, 1 or 2")
    return factor


SCORED = (*FEATURES, "sections")
"""What a synthesizer's motion is held against: the features of Table 3.1, and the sections."""

ScoredName = Annotated[str, Field(max_length=100), AfterValidator(_scored)]
SynthesizerName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
FeatureName = Annotated[str, Field(max_length=100), AfterValidator(_known_feature)]
SegmentableName = Annotated[str, Field(max_length=100), AfterValidator(_segmentable)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""What `numpy.random.RandomState` takes: latent for seed s is RandomState(s).randn(1, z_dim), as users share it."""
Position = Annotated[int, Field(ge=0, le=4095)]
Positions = Annotated[tuple[Position, ...], Field(min_length=1, max_length=256)]
Depths = Annotated[tuple[Depth, ...], Field(min_length=1, max_length=3), AfterValidator(_distinct_depths)]
Seconds = Annotated[float, Field(ge=0, le=600)]
Period = Annotated[float, Field(ge=0.001, le=3600)]
"""Seconds; a shorter one would turn more than once in every frame."""
TempoFactor = Annotated[float, AfterValidator(_tempo_factor)]
Intensity = Annotated[float, Field(ge=0, le=2)]


class Part(BaseModel):
    """Base of all parts of a patch: immutable, and strict about what a person writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, data: object) -> object:
        """Name what is allowed when a person mistypes a key; pydantic alone says only that it is forbidden."""
        if isinstance(data, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            check_keys([key for key in data if key not in cls.model_fields], known)
        return data


def check_keys(keys: Iterable[object], known: Sequence[str]) -> None:
    """Raise ValueError at the first key that is not known, with the one that may have been meant."""
    for key in keys:
        if key not in known:
            close = get_close_matches(str(key)[:100], known, 1)
            guess = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"unknown key {shown(key)}{guess}; the keys here are {', '.join(known)}")


class Envelope(Part):
    """A feature, shaped for the eye. In order: contrast, then release, then attack, then smooth."""

    feature: FeatureName
    contrast: Annotated[float, Field(ge=0.1, le=16)] = 1.0
    """Exponent on the feature's [0, 1]: above 1 only peaks count."""
    release: Seconds = 0.0
    """Time in which a peak dies away to 1/e. 0 leaves the feature as it is."""
    attack: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Seconds over which a peak is approached in a straight line, so that a stroke is a motion and no cut: the peak
    itself stays on time and as high as it is. 0 is instant."""
    smooth: Seconds = 0.0
    """Standard deviation of a Gaussian filter."""


class _Sequence(Part):
    """What every sub-sequence has: where it goes, and how it joins the main sequence."""

    depth: Depths = DEPTHS
    merge: Literal["average", "modulate"] = "average"
    """average: main · (1 - intensity/2) + this · intensity/2.
    modulate: main · (1 - intensity · modulator) + this · intensity · modulator."""
    modulator: Envelope | None = None
    intensity: Intensity = 1.0
    """1 as in the thesis, 0 switches the sequence off, up to 2 replaces or overshoots."""

    @model_validator(mode="after")
    def _modulator_belongs_to_modulate(self) -> _Sequence:
        if self.merge == "modulate" and self.modulator is None:
            raise ValueError('merge = "modulate" needs a modulator, such as modulator = { feature = "rms" }')
        if self.merge == "average" and self.modulator is not None:
            raise ValueError('a modulator needs merge = "modulate"')
        if self.modulator is not None and not is_univariate(self.modulator.feature):
            raise ValueError(f"a modulator is one envelope, and {self.modulator.feature} has several channels")
        return self


class _Loop(_Sequence):
    """A sub-sequence that comes back every so many bars, or seconds."""

    strategy: Literal["loop"]
    bars: Annotated[float, Field(ge=0.001, le=1024)] | None = None
    seconds: Period | None = None

    @model_validator(mode="after")
    def _one_length(self) -> _Loop:
        if (self.bars is None) == (self.seconds is None):
            raise ValueError("a loop needs either bars or seconds")
        return self


class LatentSegmentation(_Sequence):
    """One palette vector for each kind of section (section 4.1.1, "segmentation")."""

    strategy: Literal["segmentation"]
    feature: SegmentableName
    k: Annotated[int, Field(ge=SEGMENT_COUNTS[0], le=SEGMENT_COUNTS[-1])]
    vectors: Positions
    smooth: Seconds = 0.5
    """Standard deviation of the transition between sections."""


class LatentFeature(_Sequence):
    """Average of palette vectors, weighted by a feature's channels; a single envelope blends between two vectors."""

    strategy: Literal["feature"]
    envelope: Envelope
    vectors: Positions


class LatentLoop(_Loop):
    """A closed spline through palette vectors, once every so many bars."""

    vectors: Positions


class LatentSynthesizer(_Sequence):
    """A synthesizer's motion: each of its envelopes pulls the main sequence towards a vector, or pushes it away.

    The main sequence gives way as far as the motion reaches, so that latents keep the distance from the model's mean
    that single pictures have: with r the three envelopes of a depth group times the merge's share, main's weight is
    sqrt(1 - |r|²).
    """

    strategy: Literal["synthesizer"]
    synthesizer: SynthesizerName
    vectors: Positions
    """Three for each depth group, deep to shallow."""


LatentSequence = Annotated[
    LatentSegmentation | LatentFeature | LatentLoop | LatentSynthesizer, Field(discriminator="strategy")
]


Reach = Annotated[float, Field(ge=0, le=4)]


class LatentPatch(Part):
    """The latents' half of a patch: a base spline, and the sub-sequences merged into it one by one."""

    base: Positions
    """Palette vectors that a cubic spline passes through, equally spaced over the song."""
    vividness: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Averages of many vectors drift towards the palette's mean, and pictures grow alike. 0 leaves the thesis' averages
    as they are, 1 restores the spread of single vectors."""
    reach: tuple[Reach, Reach, Reach] = (1.0, 1.0, 1.0)
    """How far each depth group, deep to shallow, moves about its average over the song, at last: 0 holds it still, 2
    moves it twice as far."""
    sequences: Annotated[tuple[LatentSequence, ...], Field(max_length=64)] = ()


class NoiseFeature(_Sequence):
    """Average of fixed noise fields, weighted by a feature's channels."""

    strategy: Literal["feature"]
    envelope: Envelope
    fields: Positions


class NoiseBlend(_Sequence):
    """Blends from a slow interpolation to a fast one where the envelope is high: it squirms with the sound."""

    strategy: Literal["blend"]
    envelope: Envelope
    fields: Positions
    slow: Annotated[Period, Field(le=600)] = 8.0
    """Seconds from one field to the next."""
    fast: Annotated[Period, Field(le=600)] = 0.5


class NoiseLoop(_Loop):
    """The periodic function of section 4.1.2, seeded by three fields."""

    fields: Annotated[tuple[Position, ...], Field(min_length=3, max_length=3)]
    sigma: Annotated[float, Field(ge=0.001, le=10000)] = 20.0
    """Smoothness, as the standard deviation of a Gaussian process: larger moves less."""


NoiseSequence = Annotated[NoiseFeature | NoiseBlend | NoiseLoop, Field(discriminator="strategy")]


class Amplitude(Part):
    """Lets the sound play the amount of noise: from `low` in its quiet frames to `high` at its peaks."""

    envelope: Envelope
    low: Annotated[float, Field(ge=0, le=10)] = 0.5
    high: Annotated[float, Field(ge=0, le=10)] = 1.5

    @model_validator(mode="after")
    def _one_envelope(self) -> Amplitude:
        if not is_univariate(self.envelope.feature):
            raise ValueError(f"an amplitude needs one envelope, and {self.envelope.feature} has several channels")
        return self


class NoiseLevels(Part):
    """Lets a synthesizer play mean and deviation of the coarse noise maps, 4² to 32² pixels."""

    synthesizer: SynthesizerName
    intensity: Intensity = 1.0


class NoisePatch(Part):
    """The noise's half of a patch: fixed fields from seeds, and what moves between them."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=64)]
    """One fixed Gaussian field a seed, for every noise map of the model."""
    base: Positions
    """Fields that a cubic spline passes through, equally spaced over the song."""
    strength: Annotated[float, Field(ge=0, le=10)] = 1.0
    """1 is what the model was trained with."""
    amplitude: Amplitude | None = None
    levels: NoiseLevels | None = None
    sequences: Annotated[tuple[NoiseSequence, ...], Field(max_length=64)] = ()


class Palette(Part):
    """The content: which latents of the model the motion moves between."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=1024)]
    truncation: Annotated[float, Field(ge=-2, le=2)] = 1.0
    """psi: 1 the model's whole variety, 0 its average picture."""
    label: Annotated[int, Field(ge=0, le=2**31)] | None = None
    """Class of a conditional model; absent: each vector takes a class from its seed."""


class Hippo(Part):
    """A synthesizer that is fitted to the song itself: section 4.3 of the thesis."""

    kind: Literal["hippo"]
    name: SynthesizerName
    motion_seed: Seed = 0
    """Another seed, another motion to the same song."""
    coefficients: Annotated[int, Field(ge=2, le=512)] = 256
    """Legendre coefficients of each envelope in each window of some seconds: fewer are smoother."""
    steps: Annotated[int, Field(ge=1, le=65_536)] = 2048
    """Of the optimiser, at most; it stops earlier where nothing is gained any more."""
    correction: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How much of what the motion would score on the same sound at other times is held against it; 0 as in the
    thesis."""
    calm: Annotated[float, Field(ge=0, le=100)] = 1.0
    """How much the way that the motion goes counts against it; 0 as in the thesis."""
    weights: Annotated[dict[ScoredName, Annotated[float, Field(ge=0, le=1000)]], BeforeValidator(_few_weights)] = Field(
        default_factory=dict
    )
    """How much more than others a feature counts. Without any, all are compared at once; else pair by pair."""


class Trained(Part):
    """A synthesizer that was trained before, whole: the file that `audioreactive train` wrote."""

    kind: Literal["trained"]
    name: SynthesizerName
    motion_seed: Seed = 0
    """Another seed, another motion to the same song; 0 as trained."""
    model: Annotated[str, Field(max_length=300_000, pattern=r"^[A-Za-z0-9+/]*={0,2}$", repr=False)]
    """The safetensors file in base64, so that a preset needs nothing beside it."""


Synthesizer = Annotated[Hippo | Trained, Field(discriminator="kind")]


class Patch(Part):
    """A complete recipe: equal patches give equal videos of a song on a model."""

    palette: Palette
    latents: LatentPatch
    noise: NoisePatch
    tempo_factor: TempoFactor = 1.0
    """What the heard tempo is multiplied by: loops in bars and `pulse` follow; 0.5 and 2 for another reading."""
    synthesizers: Annotated[tuple[Synthesizer, ...], Field(max_length=4)] = ()
    """Makers of motion, which sequences call by their names."""

    @model_validator(mode="after")
    def _synthesizers_are_there(self) -> Patch:
        names = [synthesizer.name for synthesizer in self.synthesizers]
        if len(set(names)) != len(names):
            raise ValueError("two synthesizers have the same name")
        called = [s.synthesizer for s in self.latents.sequences if isinstance(s, LatentSynthesizer)]
        if self.noise.levels is not None:
            called.append(self.noise.levels.synthesizer)
        for name in called:
            if name not in names:
                known = f"there are {', '.join(names)}" if names else "the patch has none"
                raise ValueError(f"a sequence calls the synthesizer {name!r}, and {known}: add [[synthesizers]]")
        return self

    def envelopes(self) -> list[Envelope]:
        """Every envelope in use, in order."""
        found: list[Envelope] = []
        for sequence in (*self.latents.sequences, *self.noise.sequences):
            found += [e for e in (getattr(sequence, "envelope", None), sequence.modulator) if e is not None]
        if self.noise.amplitude is not None:
            found.append(self.noise.amplitude.envelope)
        return found

    def feature_names(self) -> tuple[str, ...]:
        """Names of the features that must be heard for this patch, sorted."""
        heard = DEFAULT_FEATURES if self.synthesizers else ()
        return tuple(sorted({*heard, *(envelope.feature for envelope in self.envelopes())}))

    def segmentation_names(self) -> tuple[str, ...]:
        """Names of the features that must be segmented for this patch, sorted."""
        return tuple(sorted({s.feature for s in self.latents.sequences if isinstance(s, LatentSegmentation)}))
