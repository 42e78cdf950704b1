"""Fields that the parts of a preset have in common: names, depths, seeds, times, and envelopes.

`Part` is the base of all parts: what it does not know is refused with the name that was probably meant.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from audioreactive.errors import FeatureError, shown
from audioreactive.features.names import FEATURES, SEGMENTABLE, is_univariate, split_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Depth = Literal["coarse", "middle", "fine"]
DEPTHS: tuple[Depth, ...] = ("coarse", "middle", "fine")
"""Depth groups, named as in StyleGAN's papers."""
OWN_PICTURE: Final = re.compile(r"w:([0-9a-f]{16})(?:/(0|[1-9][0-9]{0,3}))?")
"""A user's own picture in a palette: digits of the digest of a sidecar, and the picture's number in it; see
`patches.own_pictures`."""
PLAIN_FILE: Final = re.compile(r"[^\x00-\x20\x7f/\\:.\-][^\x00-\x1f\x7f/\\:]{0,127}")
"""Name of a file without any folder: a preset never says where on a computer a file lies."""
_OLDER_DEPTHS: Final = {"deep": "coarse", "shallow": "fine"}
"""Names of depth groups in older presets -> today's."""


def depth_slices(layers: int) -> tuple[slice, ...]:
    """Divide a model's layers in thirds, coarse to fine: one slice for each of `DEPTHS`.

    Depth is relative, so that a patch made for one model works with another. `layers` is the number of latent inputs or
    of noise maps.
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


def _segmentable(name: str) -> str:
    if name not in SEGMENTABLE:
        raise ValueError(f"a segmentation needs one of {', '.join(SEGMENTABLE)}")
    return name


def _depths_of_today(depths: object) -> object:
    """Older names replaced by today's; anything else is left to be checked."""
    if not isinstance(depths, list | tuple):
        return depths
    return tuple(_OLDER_DEPTHS.get(depth, depth) if isinstance(depth, str) else depth for depth in depths)


def _distinct_depths(depths: tuple[Depth, ...]) -> tuple[Depth, ...]:
    if len(set(depths)) != len(depths):
        raise ValueError("the same depth is given twice")
    return tuple(depth for depth in DEPTHS if depth in depths)


def _tempo_factor(factor: float) -> float:
    if factor not in (0.5, 1, 2):
        raise ValueError("a tempo is halved, kept or doubled: give 0.5, 1 or 2")
    return factor


SCORED = (*FEATURES, "sections")
"""Names with which a synthesizer's motion is compared: the features of Table 3.1, and the sections."""
ScoredName = Annotated[str, Field(max_length=100), AfterValidator(_scored)]
SynthesizerName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
FeatureName = Annotated[str, Field(max_length=100), AfterValidator(_known_feature)]
SegmentableName = Annotated[str, Field(max_length=100), AfterValidator(_segmentable)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""Seed of `numpy.random.RandomState`; the latent of seed s is RandomState(s).randn(1, z_dim), as StyleGAN users do."""
Position = Annotated[int, Field(ge=0, le=4095)]
Positions = Annotated[tuple[Position, ...], Field(min_length=1, max_length=256)]
Depths = Annotated[
    tuple[Depth, ...],
    Field(min_length=1, max_length=3),
    BeforeValidator(_depths_of_today),
    AfterValidator(_distinct_depths),
]
Seconds = Annotated[float, Field(ge=0, le=600)]
Period = Annotated[float, Field(ge=0.001, le=3600)]
"""Period in seconds; a shorter one would turn more than once in each frame."""
TempoFactor = Annotated[float, AfterValidator(_tempo_factor)]
Intensity = Annotated[float, Field(ge=0, le=2)]


class Part(BaseModel):
    """Base of all parts of a patch: immutable, and strict about unknown keys and invalid values."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, data: object) -> object:
        """List the allowed keys if one is mistyped; pydantic alone only says that it is forbidden."""
        if isinstance(data, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            check_keys([key for key in data if key not in cls.model_fields], known)
        return data


def check_keys(keys: Iterable[object], known: Sequence[str]) -> None:
    """Raise ValueError at the first unknown key, with the most similar known one."""
    for key in keys:
        if key not in known:
            close = get_close_matches(str(key)[:100], known, 1)
            guess = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"unknown key {shown(key)}{guess}; the keys here are {', '.join(known)}")


class Envelope(Part):
    """Feature with its shaping, applied in this order: contrast, release, attack, smooth."""

    feature: FeatureName
    contrast: Annotated[float, Field(ge=0.1, le=16)] = 1.0
    """Exponent on the feature's value in [0, 1]: above 1, peaks stand out."""
    release: Seconds = 0.0
    """Seconds in which a peak decays to 1/e; 0 changes nothing."""
    attack: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Seconds of a linear rise before each peak, so that a stroke moves the picture instead of cutting it. The peak
    keeps its time and height. 0 changes nothing."""
    smooth: Seconds = 0.0
    """Standard deviation in seconds of a Gaussian filter."""


def check_univariate(envelope: Envelope, what: str) -> None:
    if not is_univariate(envelope.feature):
        raise ValueError(f"{what} needs one envelope, and {envelope.feature} has several channels")


Reach = Annotated[float, Field(ge=0, le=4)]
