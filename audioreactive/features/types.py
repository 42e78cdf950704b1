"""`Features`: what was heard, on the frame grid."""

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
    """Named envelopes of a song on exact frame times: frame i is the sound at i / fps seconds.

    As a mapping, name -> (T, C) float32 in [0, 1]. Arrays are read-only. Knows nothing of files.
    """

    fps: Fraction
    frames: int
    """T, the number of video frames: ceil(duration · fps)."""
    duration: Fraction
    """Seconds."""
    tempo: float
    """Beats per minute."""
    beats: NDArray[np.float64]
    """(n,) seconds."""
    downbeats: NDArray[np.float64]
    """(m,) seconds: the first beat of each bar."""
    digest: str
    """Hexadecimal SHA-256 of the decoded sound: the same song, the same digest."""
    envelopes: Mapping[str, FloatArray]
    segmentations: Mapping[str, NDArray[np.uint8]]
    """Feature name -> (T, 15): column j holds each frame's label among k = j + 2 sections."""
    tempo_confidence: float = 0.0
    """How sure the tempo is, in [0, 1]: its probability among the tempi that fit; 1 where a person gave it."""

    def __getitem__(self, name: str) -> FloatArray:
        """(T, C) float32 in [0, 1].

        Raises:
            FeatureError: the feature was not analysed, or belongs to a stem that was not given.
        """
        try:
            return self.envelopes[name]
        except KeyError:
            source = name.rpartition(".")[0]
            remedy = f"if {source!r} is a stem, give it with --stem {source}=FILE" if source else "analyse it first"
            known = ", ".join(sorted(self.envelopes))
            raise FeatureError(f"the feature {name!r} was not heard ({remedy}); at hand are {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.envelopes)

    def __len__(self) -> int:
        return len(self.envelopes)

    @property
    def times(self) -> NDArray[np.float64]:
        """(T,) seconds at which each frame listens."""
        return np.arange(self.frames) * self.fps.denominator / self.fps.numerator

    def frame_at(self, seconds: Fraction) -> int:
        """The first frame at or after this time."""
        return math.ceil(seconds * self.fps)

    def segmentation(self, name: str, k: int) -> NDArray[np.uint8]:
        """(T,) labels in 0..k-1 of the Laplacian segmentation of the named feature into k kinds of section."""
        if name not in self.segmentations:
            raise FeatureError(f"there is no segmentation of {name!r}; there are {', '.join(self.segmentations)}")
        if k not in SEGMENT_COUNTS:
            low, high = SEGMENT_COUNTS[0], SEGMENT_COUNTS[-1]
            raise FeatureError(f"a segmentation into {k} sections was asked for; k goes from {low} to {high}")
        return self.segmentations[name][:, k - SEGMENT_COUNTS[0]]
