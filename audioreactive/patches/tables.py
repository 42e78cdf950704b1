"""Tables of weights that latents and noise share: envelopes, curves and merges.

All strategies and merges are linear in the palette vectors or noise fields that they mix. So a sequence is a table of
weights (T, P) for T frames and P vectors, and merging two sequences means merging their tables.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from audioreactive.features.beats import BEATS_PER_BAR
from audioreactive.patches.fields import DEPTHS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from audioreactive.features import Features
    from audioreactive.patches.fields import Depth, Envelope
    from audioreactive.patches.schema import LatentLoop, LatentSequence, NoiseLoop, NoiseSequence

FloatArray = NDArray[np.float32]
Scalar = TypeVar("Scalar", np.float32, np.float64)

NO_ENVELOPES: Final[Mapping[str, FloatArray]] = MappingProxyType({})
"""Empty envelopes, for patches without synthesizers."""

WHOLE_SONG: Final = slice(None)
"""Slice of all frames."""


SHORTEST_RELEASE = 1e-4
"""Release in seconds below which an envelope is left unchanged: it would decay within 1/40 of the shortest frame, and
much shorter times would overflow floating-point numbers."""


def shape_envelope(envelope: Envelope, features: Features) -> FloatArray:
    """Apply contrast, release, attack and smoothing to a feature: (T, C) float32 in [0, 1]."""
    values = np.array(features[envelope.feature], np.float32)
    if envelope.contrast != 1:
        np.power(values, np.float32(envelope.contrast), out=values)
    if envelope.release > SHORTEST_RELEASE:
        values = hold_and_release(values, float(envelope.release * features.fps))
    if envelope.attack > 0:
        values = approach(values, float(envelope.attack * features.fps))
    if envelope.smooth > 0:
        values = smooth(values, float(envelope.smooth * features.fps))
    return np.clip(values, 0, 1)


def hold_and_release(values: FloatArray, decay: float) -> FloatArray:
    """Add an exponential release: y[t] = max over s <= t of x[s] · exp(-(t - s) / decay), decay in frames.

    In the logarithm this is a running maximum, so it needs no loop over the frames.
    """
    ramp = (np.arange(len(values)) / decay)[:, None]
    with np.errstate(divide="ignore"):
        levels = np.log(values.astype(np.float64)) + ramp
    released = np.exp(np.maximum.accumulate(levels, axis=0) - ramp)
    return released.astype(np.float32)


def approach(values: FloatArray, rise: float) -> FloatArray:
    """Add a linear rise before each peak, `rise` frames long, without changing the decay.

    y[t] = max over s in [t, t + rise) of x[s] · (1 - (s - t) / rise).
    """
    risen = values.copy()
    for ahead in range(1, min(math.ceil(rise), len(values))):
        np.maximum(risen[:-ahead], values[ahead:] * np.float32(1 - ahead / rise), out=risen[:-ahead])
    return risen


def smooth(values: FloatArray, sigma: float) -> FloatArray:
    """Apply a Gaussian filter along time, sigma in frames, mirrored at both ends; rows that sum to one keep their sum.

    The cosine transform is the spectrum of the mirrored sequence, so the filter is a multiplication there: exact for
    any sigma and length, in tens of milliseconds for an hour of frames.
    """
    from scipy import fft

    frequency = np.pi * np.arange(len(values)) / len(values)  # radians a frame
    response = np.exp(-np.square(sigma * frequency) / 2).astype(np.float32)
    filtered: FloatArray = fft.idct(fft.dct(values, axis=0) * response[:, None], axis=0)
    return filtered


def feature_weights(values: FloatArray) -> FloatArray:
    """Turn envelopes (T, C) into weights (T, C') whose rows sum to one: the feature-weighted average of section 4.1.1.

    A single envelope x becomes two weights, (1 - x, x). In silent frames all channels have equal weights.
    """
    if values.shape[1] == 1:
        return np.concatenate([1 - values, values], axis=1)
    floor = np.float32(1e-4)  # for frames in which every channel is silent
    raised = values + floor
    normalised: FloatArray = raised / raised.sum(axis=1, keepdims=True)
    return normalised


def spline_weights(position: NDArray[np.float64], knots: int, *, closed: bool) -> FloatArray:
    """Compute the weights (T, knots) of a cubic spline at `position`, in units of knots; rows sum to one.

    closed: a periodic spline of period `knots`; else a not-a-knot spline over [0, knots - 1].
    """
    from scipy.interpolate import CubicSpline

    if knots == 1:
        return np.ones((len(position), 1), np.float32)
    if closed:
        values = np.vstack([np.eye(knots), np.eye(1, knots)])
        curve = CubicSpline(np.arange(knots + 1), values, bc_type="periodic")
        return curve(position).astype(np.float32)  # type: ignore[no-any-return]
    curve = CubicSpline(np.arange(knots), np.eye(knots))
    return curve(position).astype(np.float32)  # type: ignore[no-any-return]


def base_weights(frames: int, knots: int) -> FloatArray:
    """Compute the weights (T, knots) of the base: a spline through its vectors, equally spaced over the song."""
    return spline_weights(np.linspace(0, knots - 1, frames), knots, closed=False)


def loop_phase(loop: LatentLoop | NoiseLoop, features: Features) -> NDArray[np.float64]:
    """Compute the phase of a loop in turns, (T,): 0 at the first downbeat, or at 0 s for a loop in seconds."""
    if loop.seconds is not None:
        return features.times / loop.seconds
    assert loop.bars is not None
    return bar_position(features) / loop.bars


def bar_position(features: Features) -> NDArray[np.float64]:
    """Compute the position in bars, (T,), 0 at the first downbeat.

    It follows the found beats, so that loops stay with a band whose tempo drifts, and continues at the estimated tempo
    before the first and after the last beat.
    """
    tempo = features.tempo if features.tempo > 0 else 120.0
    beats = features.beats if len(features.beats) else np.zeros(1)
    first_downbeat = features.downbeats[0] if len(features.downbeats) else beats[0]
    anchors = np.arange(len(beats), dtype=np.float64)
    offset = float(np.interp(first_downbeat, beats, anchors))
    times = features.times
    position = np.interp(times, beats, anchors)
    position += np.minimum(times - beats[0], 0) * tempo / 60
    position += np.maximum(times - beats[-1], 0) * tempo / 60
    return (position - offset) / BEATS_PER_BAR


def gather(weights: FloatArray, positions: Sequence[int], size: int) -> FloatArray:
    """Expand weights over chosen vectors (T, C) to the whole palette (T, size).

    Positions wrap around, and repeat if there are more channels than positions.
    """
    table = np.zeros((len(weights), size), np.float32)
    for channel in range(weights.shape[1]):
        table[:, positions[channel % len(positions)] % size] += weights[:, channel]
    return table


def merge_amount(sequence: LatentSequence | NoiseSequence, features: Features) -> FloatArray:
    """Compute the share (T, 1) of a sub-sequence in the main sequence, for the merges of section 4.1.1."""
    if sequence.muted:
        return np.zeros((features.frames, 1), np.float32)
    if sequence.modulator is None:
        return np.full((features.frames, 1), sequence.intensity / 2, np.float32)
    return np.float32(sequence.intensity) * shape_envelope(sequence.modulator, features)


def depth_indices(depths: Sequence[Depth]) -> list[int]:
    """Return the indices of depth groups in a table of weights."""
    return [DEPTHS.index(depth) for depth in depths]


def held(table: NDArray[Scalar], start: int, stop: int) -> NDArray[Scalar]:
    """Return rows start to stop - 1 of a table over time; after its end the last row is repeated, to fill a batch."""
    rows = table[start:stop]
    missing = stop - start - len(rows)
    return np.concatenate([rows, np.repeat(table[-1:], missing, axis=0)]) if missing else rows


def on_device(table: FloatArray, device: torch.device) -> torch.Tensor:
    """Move a table to the generator's device, without waiting for a GPU; on a CPU it is not copied."""
    import torch

    from stylegan_ops.memory import moved

    return moved(torch.from_numpy(table), device)
