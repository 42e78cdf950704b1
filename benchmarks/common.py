"""What several benchmarks need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stylegan_ops import Generator
from stylegan_ops.checkpoint import Checkpoint, save_checkpoint
from stylegan_ops.initial import random_state

if TYPE_CHECKING:
    from pathlib import Path


def save_small_model(path: Path, *, img_resolution: int, channel_base: int = 256) -> None:
    """Write a model with random weights; by default so small that it renders hundreds of frames a second."""
    network = Generator.random(
        img_resolution=img_resolution, channel_base=channel_base, z_dim=64, w_dim=64, mapping_layers=2, seed=0
    )
    _save(network, path)


def save_model(path: Path, *, img_resolution: int, channel_base: int) -> None:
    """Write a model with random weights, as large as those that people train."""
    _save(Generator.random(img_resolution=img_resolution, channel_base=channel_base, seed=0), path)


def _save(network: Generator, path: Path) -> None:
    state = random_state(network.architecture, seed=0)
    save_checkpoint(Checkpoint("random", network.architecture, state, None, ()), path)
