"""Tables of all features and sources.

Conventions: a feature name is `source.feature` (`bass.rms`, `harmonic.chroma`); without a source it means the full mix.
The analysis, the randomizer, the schema, the documentation and the command line all use these tables, so this module
imports nothing heavy.
"""

from dataclasses import dataclass
from typing import Literal

from audioreactive.errors import FeatureError, did_you_mean, shown

Kind = Literal["rhythmic", "note-based", "timbral", "sectional"]

BeatTracker = Literal["librosa", "madmom"]


@dataclass(frozen=True)
class Feature:
    """One row of Table 3.1 of the thesis."""

    name: str
    channels: int
    kind: Kind
    description: str


FEATURES: dict[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature("mfcc", 20, "timbral", "mel-frequency cepstral coefficients: the colour of the sound"),
        Feature("spectral_contrast", 7, "timbral", "peaks against valleys in each octave: clear or dense"),
        Feature("spectral_flatness", 1, "timbral", "noise against tone: 0 a pure tone, 1 white noise"),
        Feature("chroma", 12, "note-based", "energy in each of the twelve notes, of the harmonic part (CENS)"),
        Feature("tonnetz", 6, "note-based", "fifths, minor and major thirds: the mood of the harmony"),
        Feature("rms", 1, "rhythmic", "loudness"),
        Feature("drop_weight", 1, "sectional", "0 in quiet passages, 1 in loud ones, over some seconds"),
        Feature("onsets", 1, "rhythmic", "starts of sounds, of the percussive part"),
        Feature("pulse", 1, "rhythmic", "predominant local pulse: the beat, as a smooth wave"),
    )
}

MOMENTS: dict[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature("hits", 1, "rhythmic", "strokes, each against the strongest of its band: a kick counts like a snare"),
        Feature("drop_moment", 1, "sectional", "1 at the moment at which the music opens up"),
        Feature("drop_level", 1, "sectional", "0 in quiet passages, 1 in loud ones, at once where they change"),
        Feature("build", 1, "sectional", "rises from 0 to 1 before a drop, and is 0 from the drop on"),
    )
}
"""Further features that the thesis does not have: presets can use them, but scores and synthesizers do not."""

EVERY_FEATURE: dict[str, Feature] = {**FEATURES, **MOMENTS}

SOURCES: dict[str, str] = {
    "harmonic": "what sustains: voices, strings, pads",
    "percussive": "what strikes: drums, plucks, consonants",
    "bass": "below 200 Hz",
    "mid": "200 Hz to 2 kHz",
    "high": "above 2 kHz",
}
"""Sources that are separated from every song, besides the full mix; a user's stem adds its own name."""

DEFAULT_FEATURES: tuple[str, ...] = (
    *FEATURES,
    *(f"{source}.rms" for source in SOURCES),
    *(f"{source}.onsets" for source in ("bass", "mid", "high")),
)
"""Features from which the randomizer draws, and that trained synthesizers hear."""

USUAL_FEATURES: tuple[str, ...] = (*DEFAULT_FEATURES, *MOMENTS)
"""Features that are analysed when nobody names any: the default ones, and the moments that presets react to."""

SEGMENTABLE: tuple[str, ...] = ("chroma", "mfcc", "spectral_contrast", "tonnetz")
"""Features of the full mix for which there is a Laplacian segmentation (McFee & Ellis 2014)."""

SEGMENT_COUNTS = range(2, 17)
"""Numbers k of section kinds of the segmentations, as in the thesis (section 4.1.1)."""


def split_name(name: str) -> tuple[str, Feature]:
    """Split `source.feature` into the source ("" for the full mix) and its row of the table.

    Raises:
        FeatureError: the feature is not in the table, or the name has more than one dot.
    """
    source, _, feature = name.rpartition(".")
    if feature not in EVERY_FEATURE or "." in source or name.startswith("."):
        close = did_you_mean(feature, EVERY_FEATURE)
        raise FeatureError(
            f"there is no feature {shown(name)}{close or ';'} features are {', '.join(EVERY_FEATURE)}, "
            f"each alone or after a source ({', '.join(SOURCES)}, or the name of a stem), such as bass.rms"
        )
    return source, EVERY_FEATURE[feature]


def is_univariate(name: str) -> bool:
    """Whether the named feature is a single envelope."""
    return split_name(name)[1].channels == 1
