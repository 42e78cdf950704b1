"""`Patch`: all settings that determine the motion of a video, as they are written in a preset file.

Conventions:
    Times are seconds or bars, never frames, so that a patch moves in the same way at every frame rate and tempo.
    `vectors` and `fields` are positions in the palette and in the noise seeds. They wrap around, so that a patch works
    with a palette of any size.
    `depth` is relative to the model: thirds of its layers, from coarse to fine.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from audioreactive.errors import shown
from audioreactive.features.names import DEFAULT_FEATURES, SEGMENT_COUNTS, is_univariate
from audioreactive.patches.fields import (
    DEPTHS,
    OWN_PICTURE,
    SCORED,
    Depth,
    Depths,
    Envelope,
    Intensity,
    Part,
    Period,
    Position,
    Positions,
    Reach,
    ScoredName,
    Seconds,
    Seed,
    SegmentableName,
    SynthesizerName,
    TempoFactor,
    check_univariate,
)
from audioreactive.patches.move_schema import Bend, Camera, WeightChange

VECTORS_PER_DEPTH = 3
"""Number of palette vectors between which a synthesizer moves in each depth group (appendix A.2)."""
NOISE_OCTAVES = 4
"""Number of sizes of noise maps that a synthesizer controls, from 4² to 32² pixels (appendix A.2)."""
LOOP_BARS = (4, 8, 16, 32)
"""Lengths in bars of the randomizer's loops (section 4.1.1); a preset may have others."""


def _few_weights(weights: object) -> object:
    """Refuse a table with more names than exist, before a similar name is searched for each unknown one."""
    if isinstance(weights, dict) and len(weights) > len(SCORED):
        raise ValueError(f"names {len(weights)} features, where there are {len(SCORED)}")
    return weights


def _own_pictures(seeds: object) -> object:
    """Refuse entries of a palette that are neither seeds nor own pictures in one sentence instead of two."""
    if isinstance(seeds, list | tuple):
        for entry in seeds:
            if isinstance(entry, str) and not OWN_PICTURE.fullmatch(entry):
                raise ValueError(
                    f"{shown(entry)} is neither a seed nor an own picture, such as 'w:0123456789abcdef/0' from "
                    "audioreactive palette import"
                )
    return seeds


class _Sequence(Part):
    """Base of all sub-sequences: the depth groups on which it acts, and its merge into the main sequence."""

    depth: Depths = DEPTHS
    merge: Literal["average", "modulate"] = "average"
    """average: main · (1 - intensity/2) + this · intensity/2.
    modulate: main · (1 - intensity · modulator) + this · intensity · modulator."""
    modulator: Envelope | None = None
    intensity: Intensity = 1.0
    """Strength of the merge: 1 as in the thesis; 0 switches the sequence off; 2 replaces the main sequence (average) or
    overshoots (modulate)."""
    muted: bool = False
    """Whether the sequence is switched off, for a while: its intensity stays as it is."""

    @model_serializer(mode="wrap")
    def _without_what_says_nothing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write `muted` only where it is true."""
        data: dict[str, Any] = write(self)
        if not self.muted:
            data.pop("muted", None)
        return data

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
    """Sub-sequence that repeats after a number of bars or seconds."""

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
    """Standard deviation in seconds of the Gaussian that smooths transitions between sections."""


class LatentFeature(_Sequence):
    """Average of palette vectors, weighted by a feature's channels; a single envelope blends between two vectors."""

    strategy: Literal["feature"]
    envelope: Envelope
    vectors: Positions


class LatentLoop(_Loop):
    """Closed spline through palette vectors, once per period of the loop."""

    vectors: Positions


class LatentSynthesizer(_Sequence):
    """Motion of a synthesizer: each of its envelopes pulls the main sequence towards a vector, or pushes it away.

    The main sequence is scaled down so that latents keep the distance from the model's mean that single pictures have.
    If r is the three envelopes of a depth group times the share of the merge, its weight is sqrt(1 - |r|²).
    """

    strategy: Literal["synthesizer"]
    synthesizer: SynthesizerName
    vectors: Positions
    """Positions of the vectors, three for each depth group, coarse to fine."""


class LatentDirection(_Sequence):
    """Motion along a direction of the model's latent space, added to the main sequence after all merges.

    Its `intensity` is a factor; it is neither averaged nor modulated.
    """

    strategy: Literal["direction"]
    method: Literal["sefa", "ganspace"] = "sefa"
    """Way to find directions: sefa, those to which the layers answer most; ganspace, those in which latents vary most.
    """
    index: Annotated[int, Field(ge=0, le=511)] = 0
    """Number of the direction, the strongest first."""
    envelope: Envelope
    reach: Annotated[float, Field(ge=-20, le=20)] = 2.0
    """Place on the direction where the envelope is 1, in standard deviations of latents; it is 0 where that is 0."""

    @model_validator(mode="after")
    def _one_envelope(self) -> LatentDirection:
        check_univariate(self.envelope, "a direction")
        if self.merge != "average":
            raise ValueError("a direction is added to the main sequence: leave merge out")
        return self


LatentSequence = Annotated[
    LatentSegmentation | LatentFeature | LatentLoop | LatentSynthesizer | LatentDirection,
    Field(discriminator="strategy"),
]


class LatentPatch(Part):
    """Part of a patch for the latents: a base spline, and sub-sequences that are merged into it one by one."""

    base: Positions
    """Palette vectors that a cubic spline passes through, equally spaced over the song."""
    vividness: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Correction of averaging, which pulls vectors towards the palette's mean and makes pictures alike: 0 for none, as
    in the thesis; 1 restores the spread of single vectors."""
    reach: tuple[Reach, Reach, Reach] = (1.0, 1.0, 1.0)
    """Final factor on the motion of each depth group, coarse to fine, around its average over the song: 0 stops it, 2
    doubles it."""
    sequences: Annotated[tuple[LatentSequence, ...], Field(max_length=64)] = ()


class NoiseFeature(_Sequence):
    """Average of fixed noise fields, weighted by a feature's channels."""

    strategy: Literal["feature"]
    envelope: Envelope
    fields: Positions


class NoiseBlend(_Sequence):
    """Blend between a slow and a fast interpolation of fields, by an envelope: the noise moves faster at its peaks."""

    strategy: Literal["blend"]
    envelope: Envelope
    fields: Positions
    slow: Annotated[Period, Field(le=600)] = 8.0
    """Seconds from one field to the next where the envelope is 0."""
    fast: Annotated[Period, Field(le=600)] = 0.5
    """Seconds from one field to the next where the envelope is 1."""


class NoiseLoop(_Loop):
    """Periodic function of section 4.1.2, with three fields as its parameters."""

    fields: Annotated[tuple[Position, ...], Field(min_length=3, max_length=3)]
    sigma: Annotated[float, Field(ge=0.001, le=10000)] = 20.0
    """Smoothness of the motion, as the standard deviation of a Gaussian process: larger values move less."""


NoiseSequence = Annotated[NoiseFeature | NoiseBlend | NoiseLoop, Field(discriminator="strategy")]


class Amplitude(Part):
    """Control of the amount of noise by an envelope: factor `low` where it is 0, `high` where it is 1."""

    envelope: Envelope
    low: Annotated[float, Field(ge=0, le=10)] = 0.5
    high: Annotated[float, Field(ge=0, le=10)] = 1.5

    @model_validator(mode="after")
    def _one_envelope(self) -> Amplitude:
        if not is_univariate(self.envelope.feature):
            raise ValueError(f"an amplitude needs one envelope, and {self.envelope.feature} has several channels")
        return self


class NoiseLevels(Part):
    """Control of the mean and deviation of the coarse noise maps (4² to 32² pixels) by a synthesizer."""

    synthesizer: SynthesizerName
    intensity: Intensity = 1.0


class NoisePatch(Part):
    """Part of a patch for the noise: fixed fields from seeds, and the motion between them."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=64)]
    """Seeds of the fixed Gaussian fields; each seed gives one field for each noise map of the model."""
    base: Positions
    """Fields that a cubic spline passes through, equally spaced over the song."""
    strength: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Standard deviation of the noise; 1 is the value in training."""
    amplitude: Amplitude | None = None
    levels: NoiseLevels | None = None
    reach: Reach = 1.0
    """Final factor on the motion of the noise, and of its amount, around their averages over the song: 0 stops it."""
    sequences: Annotated[tuple[NoiseSequence, ...], Field(max_length=64)] = ()


PaletteEntry = Seed | Annotated[str, Field(pattern=f"^{OWN_PICTURE.pattern}$")]
"""Seed of a random vector, or a user's own picture."""
PaletteSeeds = Annotated[tuple[PaletteEntry, ...], BeforeValidator(_own_pictures), Field(min_length=1, max_length=1024)]


def seed_number(entry: int | str) -> int:
    """Return a palette's entry as a seed: a number that stands for an own picture where a random choice is needed."""
    return entry if isinstance(entry, int) else int(entry[2:10], 16)


class Palette(Part):
    """Content of the pictures: the latents of the model between which the motion moves."""

    seeds: PaletteSeeds
    truncation: Annotated[float, Field(ge=-2, le=2)] = 1.0
    """Truncation psi: 1 for the model's whole variety, 0 for its average picture."""
    label: Annotated[int, Field(ge=0, le=2**31)] | None = None
    """Class of a conditional model; None: each vector's class is chosen by its seed."""
    family: Annotated[str, Field(pattern=r"^[a-z]{1,32}$")] | None = None
    """Family of pictures, for a generator that has it, such as the painter; others ignore it. None: the first seed
    chooses."""
    coarse: PaletteSeeds | None = None
    """Seeds of the vectors' coarse layers, as many as `seeds`; None: those of `seeds`."""
    middle: PaletteSeeds | None = None
    """Seeds of the vectors' middle layers."""
    fine: PaletteSeeds | None = None
    """Seeds of the vectors' fine layers: other colours for the same forms."""

    @model_validator(mode="after")
    def _as_many_in_each_depth(self) -> Palette:
        for depth in DEPTHS:
            seeds = self.of_depth(depth)
            if len(seeds) != len(self.seeds):
                raise ValueError(f"{depth} has {len(seeds)} seeds, and the palette {len(self.seeds)}: give as many")
        return self

    def of_depth(self, depth: Depth) -> tuple[PaletteEntry, ...]:
        """Return the seeds of a depth group."""
        own: dict[Depth, tuple[PaletteEntry, ...] | None] = {
            "coarse": self.coarse,
            "middle": self.middle,
            "fine": self.fine,
        }
        return own[depth] or self.seeds


class Hippo(Part):
    """Synthesizer that is fitted to the song itself (sections 4.3 and 6.2 of the thesis)."""

    kind: Literal["hippo"]
    name: SynthesizerName
    motion_seed: Seed = 0
    """Seed of the starting point; another seed gives another motion for the same song."""
    aim: Literal["seen", "inputs"] = "inputs"
    """Side that is compared with the sound: seen, the features of the picture; inputs, the envelopes, as in the
    thesis."""
    coefficients: Annotated[int, Field(ge=2, le=512)] = 256
    """Number of Legendre coefficients of each envelope, in each window of some seconds; fewer are smoother."""
    steps: Annotated[int, Field(ge=1, le=65_536)] = 2048
    """Most steps of the optimiser, which stops earlier if the result no longer improves."""
    correction: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of the penalty on the correlation that chance alone would give, measured on the same sound shifted in
    time; 0 as in the thesis."""
    calm: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Weight of the penalty on motion that tires the eye: on the total length of the envelopes, or on fast changes of
    the picture; 0 as in the thesis."""
    weights: Annotated[dict[ScoredName, Annotated[float, Field(ge=0, le=1000)]], BeforeValidator(_few_weights)] = Field(
        default_factory=dict
    )
    """Weights of single features against the others. If empty, all features are compared at once; else pair by pair."""


class Trained(Part):
    """Trained synthesizer, with the complete file that `audioreactive train` wrote."""

    kind: Literal["trained"]
    name: SynthesizerName
    motion_seed: Seed = 0
    """Seed of the variation; another seed gives another motion for the same song, 0 the trained one."""
    model: Annotated[str, Field(max_length=300_000, pattern=r"^[A-Za-z0-9+/]*={0,2}$", repr=False)]
    """Content of the safetensors file in base64, so that a preset needs no other file."""


Synthesizer = Annotated[Hippo | Trained, Field(discriminator="kind")]


class Patch(Part):
    """Complete recipe of the motion: equal patches give equal videos for the same song and model."""

    palette: Palette
    latents: LatentPatch
    noise: NoisePatch
    tempo_factor: TempoFactor = 1.0
    """Factor on the estimated tempo, 0.5, 1 or 2, if it is wrong by an octave; loops in bars and `pulse` follow it."""
    synthesizers: Annotated[tuple[Synthesizer, ...], Field(max_length=4)] = ()
    """Synthesizers, to which sequences refer by name."""
    camera: Camera | None = None
    """Movement of the picture's plane, for StyleGAN3."""
    bends: Annotated[tuple[Bend, ...], Field(max_length=32)] = ()
    """Transforms of activations, for networks."""
    weights: Annotated[tuple[WeightChange, ...], Field(max_length=8)] = ()
    """Changes of a network's weights, one after the other."""

    @model_serializer(mode="wrap")
    def _without_what_says_nothing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write bends and weights only where there are any."""
        data: dict[str, Any] = write(self)
        if not self.bends:
            data.pop("bends", None)
        if not self.weights:
            data.pop("weights", None)
        if self.camera is None:
            data.pop("camera", None)
        return data

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
        """Return all envelopes that the patch uses, in order."""
        found: list[Envelope] = []
        for sequence in (*self.latents.sequences, *self.noise.sequences):
            found += [e for e in (getattr(sequence, "envelope", None), sequence.modulator) if e is not None]
        if self.noise.amplitude is not None:
            found.append(self.noise.amplitude.envelope)
        moving = (*(self.camera.moves if self.camera is not None else ()), *self.bends, *self.weights)
        found += [e for part in moving if (e := getattr(part, "envelope", None)) is not None]
        return found

    def feature_names(self) -> tuple[str, ...]:
        """Return the sorted names of all features that the patch uses."""
        heard = DEFAULT_FEATURES if self.synthesizers else ()
        return tuple(sorted({*heard, *(envelope.feature for envelope in self.envelopes())}))

    def segmentation_names(self) -> tuple[str, ...]:
        """Return the sorted names of all features whose segmentation the patch uses."""
        return tuple(sorted({s.feature for s in self.latents.sequences if isinstance(s, LatentSegmentation)}))
