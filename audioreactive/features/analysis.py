"""`Analysis`: results for one sound on the analysis' own time grids, independent of a video's frame rate.

Conventions: an envelope's key is its part and feature, such as `percussive.onsets` or `mix.rms`; this module decides
which part a bare feature name means. It imports none of the signal processing, so that cached results load quickly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from audioreactive.errors import FeatureError
from audioreactive.features.grid import FLUX_LATE, frame_count, grid_rate, hold_peaks, interpolate, step_labels
from audioreactive.features.names import SEGMENTABLE, SOURCES, split_name
from audioreactive.features.types import Features

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from fractions import Fraction

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

_Array = TypeVar("_Array", bound="NDArray[np.generic]")

MIX = "mix"
PART_OF_FEATURE = {"onsets": "percussive", "chroma": "harmonic", "tonnetz": "harmonic"}
"""Feature -> separated part on which it is computed when no source is named; others use the mix (Table 3.1)."""
STROKES = frozenset({"onsets", "hits", "drop_moment"})
"""Features with short peaks: each video frame gets the highest value within its duration."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """Envelopes, beats and sections of one sound."""

    duration: Fraction
    """Length in seconds."""
    digest: str
    notes: tuple[str, ...]
    tempo: float
    beats: NDArray[np.float64]
    downbeats: NDArray[np.float64]
    envelopes: Mapping[str, FloatArray]
    """Key -> (n, C) in [0, 1] on the feature's grid."""
    steps: NDArray[np.int64]
    """(m,) points of the fine grid at which the steps of the segmentations start."""
    labels: Mapping[str, NDArray[np.uint8]]
    """Feature name -> (m, 15) section labels of the steps, one column per number of section kinds."""
    tempo_confidence: float = 0.0

    def fits(self, more: Analysis) -> bool:
        """Whether both analyse the same sound, divided into the same steps."""
        return self.digest == more.digest and np.array_equal(self.steps, more.steps)

    def merged(self, more: Analysis) -> Analysis:
        """Return this analysis with the envelopes and labels of another one of the same sound added."""
        envelopes, labels = {**self.envelopes, **more.envelopes}, {**self.labels, **more.labels}
        return replace(self, envelopes=envelopes, labels=labels)


def song_key(name: str) -> str:
    """Return the envelope key for a feature of the song (not of a stem).

    Raises:
        FeatureError: there is no such feature, or its source is a stem.
    """
    source, feature = split_name(name)
    if source and source not in SOURCES:
        raise FeatureError(
            f"the feature {name!r} is of the stem {source!r}, which was not given; give it with --stem {source}=FILE, "
            f"or take one of the sources {', '.join(SOURCES)}"
        )
    return f"{source or PART_OF_FEATURE.get(feature.name, MIX)}.{feature.name}"


def stem_key(name: str) -> str:
    """Return the key for a feature of a stem, within the stem's own analysis; stems are not separated further."""
    return f"{MIX}.{split_name(name)[1].name}"


def check_stems(stems: Collection[str]) -> None:
    """Refuse stem names that are the name of a source, are empty or contain a dot."""
    for stem in stems:
        if stem in SOURCES or not stem or "." in stem:
            raise FeatureError(
                f"a stem cannot be called {stem!r}; choose a name without dots, and none of {', '.join(SOURCES)}"
            )


def check_segmentations(names: Collection[str]) -> None:
    """Refuse features that cannot be segmented."""
    for name in names:
        if name not in SEGMENTABLE:
            raise FeatureError(f"there is no segmentation of {name!r}; choose among {', '.join(SEGMENTABLE)}")


def on_frames(
    analysis: Analysis,
    *,
    fps: Fraction,
    names: Collection[str],
    stems: Mapping[str, Analysis],
    segmentations: Collection[str],
) -> Features:
    """Sample an analysis at video frames."""
    frames = frame_count(analysis.duration, fps)
    envelopes = {}
    for name in names:
        source, feature = split_name(name)
        heard = stems[source].envelopes[stem_key(name)] if source in stems else analysis.envelopes[song_key(name)]
        envelopes[name] = _read_only(_sampled(feature.name, heard, analysis, fps, frames))
    labels = {
        name: _read_only(step_labels(analysis.labels[name], analysis.steps, fps=fps, frames=frames))
        for name in segmentations
    }
    return Features(
        fps=fps,
        frames=frames,
        duration=analysis.duration,
        tempo=analysis.tempo,
        beats=_read_only(analysis.beats),
        downbeats=_read_only(analysis.downbeats),
        digest=analysis.digest,
        envelopes=envelopes,
        segmentations=labels,
        tempo_confidence=analysis.tempo_confidence,
    )


def _sampled(feature: str, envelope: FloatArray, song: Analysis, fps: Fraction, frames: int) -> FloatArray:
    rate = grid_rate(feature)
    # A stem that ends early is silent until the song's end.
    missing = int(song.duration * rate) + 2 - len(envelope)
    if missing > 2:
        envelope = np.pad(envelope, ((0, missing), (0, 0)))
    if feature in STROKES:
        return hold_peaks(envelope, rate=rate, fps=fps, frames=frames, late=FLUX_LATE)
    return interpolate(envelope, rate=rate, fps=fps, frames=frames)


def _read_only(array: _Array) -> _Array:
    array.flags.writeable = False
    return array
