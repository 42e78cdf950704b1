"""`Analysis`: what is known of one sound, on the analysis' own grids, whatever the frame rate of a video.

Conventions: an envelope's key names its part and feature in full, such as `percussive.onsets` or `mix.rms`; which
part a bare name means is decided here. Light: read from the cache without any of the analysis being imported.
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
"""Where a feature of the full mix is heard, if not in the mix itself (Table 3.1)."""
STROKES = frozenset({"onsets", "hits", "drop_moment"})
"""Features that last no longer than a moment: a frame shows the highest value while it is shown."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """Envelopes, beats and sections of one sound."""

    duration: Fraction
    """Seconds."""
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
    """Feature name -> (m, 15) labels of the steps."""
    tempo_confidence: float = 0.0

    def fits(self, more: Analysis) -> bool:
        """Whether both are of the same sound, heard in the same steps."""
        return self.digest == more.digest and np.array_equal(self.steps, more.steps)

    def merged(self, more: Analysis) -> Analysis:
        """With the envelopes and labels of another analysis of the same sound."""
        envelopes, labels = {**self.envelopes, **more.envelopes}, {**self.labels, **more.labels}
        return replace(self, envelopes=envelopes, labels=labels)


def song_key(name: str) -> str:
    """The envelope that a name without a stem means.

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
    """The envelope of a stem's own analysis that a name with a stem means: a stem is heard as it is, not separated."""
    return f"{MIX}.{split_name(name)[1].name}"


def check_stems(stems: Collection[str]) -> None:
    """Refuse names of stems that would hide a source, or could not be written before a feature."""
    for stem in stems:
        if stem in SOURCES or not stem or "." in stem:
            raise FeatureError(
                f"a stem cannot be called {stem!r}; choose a name without dots, and none of {', '.join(SOURCES)}"
            )


def check_segmentations(names: Collection[str]) -> None:
    """Refuse features on which no segmentation stands."""
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
    """The features of a song, on video frames."""
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
