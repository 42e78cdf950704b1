"""Song of a project: the samples to play, the features on the frames of the video, and curves to look at."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive.media.audio import load
from audioreactive.media.playback import PEAKS_PER_SECOND, Playback
from audioreactive.pipeline.listening import listen
from audioreactive.pipeline.production import RenderSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.progress import Progress

CURVES: Final = ("rms", "onsets")
"""Curves over the waveform: loudness and onsets."""
CURVES_PER_SECOND: Final = 24


@dataclass
class Song:
    """A song that is open in the studio."""

    path: Path
    track: int | None
    stems: dict[str, Path]
    features: Features
    decoded: Future[Playback]
    """The sound, which is decoded while the rest is made ready."""

    @property
    def playback(self) -> Playback:
        """The sound to play; raises AudioError if it cannot be decoded."""
        return self.decoded.result()

    def described(self) -> dict[str, Any]:
        """Return what the page needs to know about the song."""
        features = self.features
        return {
            "name": self.path.stem,
            "duration": float(features.duration),
            "frames": features.frames,
            "fps": float(features.fps),
            "tempo": round(features.tempo, 1),
            "beats": np.round(features.beats, 3).tolist(),
            "bars": np.round(features.downbeats, 3).tolist(),
            "rate": self.playback.rate,
            "channels": self.playback.channels,
            "samples": self.playback.length,
            "peaksPerSecond": PEAKS_PER_SECOND,
            "curvesPerSecond": CURVES_PER_SECOND,
            "features": sorted(features),
            "stems": sorted(self.stems),
        }

    def curves(self) -> NDArray[np.uint8]:
        """Return the curves (n, 2) to draw over the waveform, 0 to 255: the highest value of each column."""
        return np.stack(
            [reduced(self.features[name][:, 0], self.features.fps, CURVES_PER_SECOND) for name in CURVES], 1
        )


def reduced(values: NDArray[np.float32], fps: Fraction, rate: int) -> NDArray[np.uint8]:
    """Reduce a curve (T,) in [0, 1] to `rate` values a second, 0 to 255: the highest of each."""
    count = max(int(len(values) * rate / fps), 1)
    starts = np.minimum((np.arange(count) * float(fps / rate)).astype(np.int64), len(values) - 1)
    return np.round(255 * np.maximum.reduceat(np.clip(values, 0, 1), starts)).astype(np.uint8)


def hear(
    path: Path,
    fps: Fraction,
    *,
    names: tuple[str, ...] = (),
    stems: Mapping[str, Path] | None = None,
    track: int | None = None,
    progress: Progress | None = None,
) -> Song:
    """Open a song.

    Raises:
        AudioError: the song or a stem cannot be used.
    """
    features = listen_again(path, fps, names=names, stems=stems, track=track, progress=progress)
    pool = ThreadPoolExecutor(1, "decoding")
    decoded = pool.submit(_decoded, path, track)
    pool.shutdown(wait=False)
    return Song(path, track, dict(stems or {}), features, decoded)


def _decoded(path: Path, track: int | None) -> Playback:
    recording = load(path, track=track).recording
    assert recording is not None
    return Playback(recording)


def listen_again(
    path: Path,
    fps: Fraction,
    *,
    names: tuple[str, ...] = (),
    stems: Mapping[str, Path] | None = None,
    track: int | None = None,
    progress: Progress | None = None,
) -> Features:
    """Compute the features of a song at a frame rate, from the cache if possible."""
    wanted = tuple(dict.fromkeys((*names, *(f"{stem}.{name}" for stem in stems or {} for name in CURVES))))
    settings = RenderSettings(track=track)
    return listen(path, fps=fps, stems=stems, settings=settings, progress=progress, names=wanted)
