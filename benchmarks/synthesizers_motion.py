"""Motion as it is fed, for `synthesizers.py`: of chance, of HiPPO, of what was trained; and songs of any length."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audioreactive.features import Features
from audioreactive.learn.decoders import residual_motion
from audioreactive.learn.losses import SEQUENCES
from audioreactive.learn.synthesize import synthesize
from audioreactive.patches.randomizer import draw_around
from audioreactive.patches.schema import Hippo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.learn.dataset import Song
    from audioreactive.learn.model_file import SynthesizerModel

    FloatArray = NDArray[np.float32]

RANDOM_SIGMA = 12.0
"""Frames: standard deviation of the filter that makes random motion smooth."""


def random_envelopes(frames: int, seed: int) -> FloatArray:
    """(T, 17) in [0, 1]: smooth, and of nothing that is heard."""
    from scipy.ndimage import gaussian_filter1d

    noise = gaussian_filter1d(np.random.RandomState(seed).randn(frames, 17), RANDOM_SIGMA, axis=0)
    motion = residual_motion(torch.from_numpy(noise)[None], filled=True)[0].numpy()
    table: FloatArray = (0.5 + 0.5 * motion).astype(np.float32)
    return table


def repeated(features: Features, seconds: int) -> Features:
    """A song of this length: its middle, over and over again."""
    fps = features.fps
    frames, period = int(seconds * fps), min(features.frames, int(180 * fps))
    rows = (features.frames - period) // 2 + np.arange(frames) % period
    beats = np.arange(0, seconds, 60 / features.tempo)
    return Features(
        fps=fps, frames=frames, duration=Fraction(seconds), tempo=features.tempo, beats=beats, downbeats=beats[::4],
        digest="0" * 64,
        envelopes={name: np.ascontiguousarray(table[rows]) for name, table in features.items()},
        segmentations={name: table[rows] for name, table in features.segmentations.items()},
    )  # fmt: skip


def by_sequence(motion: FloatArray) -> dict[str, FloatArray]:
    """(T, 17) -> the seven sequences."""
    return {f"sequence {i}": motion[:, list(columns)] for i, columns in enumerate(SEQUENCES)}


def made_by(model: SynthesizerModel, inputs: FloatArray) -> dict[str, FloatArray]:
    """The sequences that a synthesizer makes of features, by either decoder."""
    decoder = model.network.decoder
    if decoder is None:
        return by_sequence(model.motion(inputs, 0))
    with torch.inference_mode():
        envelopes = model.network.envelopes(torch.from_numpy(inputs)[None])
        decoded = decoder(envelopes, residual=model.configuration.residual)
        return {f"sequence {i}": part[0].numpy() for i, part in enumerate(decoder.score_columns(decoded))}


def hippo_tables(song: Song, **choices: Any) -> dict[str, FloatArray]:
    """The sequences that HiPPO makes of a song."""
    hippo = Hippo(kind="hippo", name="it", **choices)
    table = synthesize(draw_around(hippo, 0), song.features)["it"]
    return by_sequence(2 * table - 1)
