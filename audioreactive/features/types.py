"""`Features`: results of the analysis at video frames."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from audioreactive.errors import FeatureError
from audioreactive.features.names import SEGMENT_COUNTS

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Features(Mapping[str, FloatArray]):
    """Named envelopes, beats and sections of a song; frame i is at exactly i / fps seconds.

    It is a mapping of feature name -> (T, C) float32 in [0, 1]. Arrays are read-only.
    """

    fps: Fraction
    frames: int
    """T, the number of video frames: ceil(duration · fps)."""
    duration: Fraction
    """Length of the song in seconds."""
    tempo: float
    """Beats per minute; 0 if there is no beat."""
    beats: NDArray[np.float64]
    """(n,) times of the beats, in seconds."""
    downbeats: NDArray[np.float64]
    """(m,) times of the first beat of each bar, in seconds."""
    digest: str
    """Hexadecimal SHA-256 of the decoded sound, which identifies the song."""
    envelopes: Mapping[str, FloatArray]
    segmentations: Mapping[str, NDArray[np.uint8]]
    """Feature name -> (T, 15): column j holds each frame's label among k = j + 2 sections."""
    tempo_confidence: float = 0.0
    """Probability of the tempo among those that fit, in [0, 1]; 1 if the user gave it."""

    def __getitem__(self, name: str) -> FloatArray:
        """Return the envelope (T, C) of a feature, float32 in [0, 1].

        Raises:
            FeatureError: the feature was not analysed, or belongs to a stem that was not given.
        """
        try:
            return self.envelopes[name]
        except KeyError:
            source = name.rpartition(".")[0]
            remedy = f"if {source!r} is a stem, give it with --stem {source}=FILE" if source else "analyse it first"
            known = ", ".join(sorted(self.envelopes))
            raise FeatureError(f"the feature {name!r} was not analysed ({remedy}); available are {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.envelopes)

    def __len__(self) -> int:
        return len(self.envelopes)

    @property
    def times(self) -> NDArray[np.float64]:
        """Start times of the frames in seconds, (T,)."""
        return np.arange(self.frames) * self.fps.denominator / self.fps.numerator

    def frame_at(self, seconds: Fraction) -> int:
        """Return the first frame at or after this time."""
        return math.ceil(seconds * self.fps)

    def segmentation(self, name: str, k: int) -> NDArray[np.uint8]:
        """Return the labels (T,), in 0..k-1, of a feature's Laplacian segmentation into k kinds of section."""
        if name not in self.segmentations:
            raise FeatureError(f"there is no segmentation of {name!r}; there are {', '.join(self.segmentations)}")
        if k not in SEGMENT_COUNTS:
            low, high = SEGMENT_COUNTS[0], SEGMENT_COUNTS[-1]
            raise FeatureError(f"a segmentation into {k} sections was asked for; k goes from {low} to {high}")
        return self.segmentations[name][:, k - SEGMENT_COUNTS[0]]
