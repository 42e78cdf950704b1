"""Features with known values, for every room's tests."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from audioreactive.features import DEFAULT_FEATURES, MOMENTS, SEGMENT_COUNTS, SEGMENTABLE, Features, split_name
from audioreactive.learn.dataset import Song
from stylegan_ops import Generator
from stylegan_ops.checkpoint import Checkpoint, save_checkpoint
from stylegan_ops.initial import random_state

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parent / "golden"


def make_features(
    seconds: float = 8, fps: Fraction = Fraction(24), *, tempo: float = 120, **envelopes: np.ndarray
) -> Features:
    """Random envelopes under every name, but for those given (`bass_rms` names `bass.rms`)."""
    duration = Fraction(seconds)
    frames = int(np.ceil(duration * fps))
    stream = np.random.RandomState(0)
    values = {
        name: stream.random_sample((frames, split_name(name)[1].channels)).astype(np.float32)
        for name in (*DEFAULT_FEATURES, *MOMENTS)
    }
    for name, envelope in envelopes.items():
        table = np.asarray(envelope, np.float32)
        values[name.replace("_rms", ".rms").replace("_onsets", ".onsets")] = table.reshape(frames, -1)
    labels = np.stack([np.arange(frames) * 2 * k // frames % k for k in SEGMENT_COUNTS], axis=1).astype(np.uint8)
    beats = np.arange(0, float(duration), 60 / tempo)
    return Features(
        fps=fps,
        frames=frames,
        duration=duration,
        tempo=tempo,
        beats=beats,
        downbeats=beats[::4],
        digest="5eed" * 16,
        envelopes=values,
        segmentations=dict.fromkeys(SEGMENTABLE, labels),
    )


def smooth_features(seconds: float = 12) -> Features:
    """Features that change slowly enough to be followed, with a stroke every half second."""
    features = make_features(seconds)
    stream, frames = np.random.RandomState(5), features.frames
    made = {}
    for name, table in features.items():
        noise = stream.randn(frames + 11, table.shape[1])
        smooth = np.stack([np.convolve(column, np.ones(12) / 12, "valid") for column in noise.T], 1)
        made[name] = (0.5 + 1.2 * smooth).clip(0, 1).astype(np.float32)
    made["onsets"] = np.zeros((frames, 1), np.float32)
    made["onsets"][6::12] = 1
    return make_features(seconds, **{name.replace(".", "_"): table for name, table in made.items() if "." not in name})


def make_song(name: str, seconds: float = 10, seed: int = 0) -> Song:
    """A song to learn from, of random features."""
    features = make_features(seconds)
    stream = np.random.RandomState(seed)
    envelopes = {key: stream.random_sample(table.shape).astype(np.float32) for key, table in features.items()}
    return Song.heard(name, replace(features, envelopes=envelopes, digest=f"{seed:08x}" * 8))


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch computes on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def save_small_model(path: Path, *, img_resolution: int = 32) -> None:
    """A model with random weights that renders hundreds of frames a second."""
    network = Generator.random(
        img_resolution=img_resolution, channel_base=512, z_dim=32, w_dim=32, mapping_layers=2, seed=1
    )
    state = random_state(network.architecture, seed=1)
    save_checkpoint(Checkpoint("random", network.architecture, state, None, ()), path)
