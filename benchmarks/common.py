"""What several benchmarks need."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from stylegan_ops import Architecture, Generator
from stylegan_ops.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from stylegan_ops.initial import random_state

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def save_small_model(path: Path, *, img_resolution: int, channel_base: int = 256) -> None:
    """Write a model with random weights; by default so small that it renders hundreds of frames a second."""
    network = Generator.random(
        img_resolution=img_resolution, channel_base=channel_base, z_dim=64, w_dim=64, mapping_layers=2, seed=0
    )
    _save(network, path)


def save_small_builtin_model(path: Path) -> None:
    """Write the built-in model with the middle of its learned constant alone: all its layers, and pictures of 64²."""
    with as_file(files("audioreactive") / "assets" / "builtin.safetensors") as builtin:
        checkpoint = read_checkpoint(builtin)
    assert isinstance(checkpoint.architecture, Architecture)
    architecture = replace(checkpoint.architecture, const_size=(1, 1))
    shapes = architecture.shapes()
    state = {name: _middle(tensor, shapes[name]) for name, tensor in checkpoint.state.items()}
    save_checkpoint(Checkpoint("small", architecture, state, None, ()), path)


def _middle(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The middle of a table that should have this shape."""
    if tuple(tensor.shape) == shape:
        return tensor
    height, width = shape[-2:]
    top, left = (tensor.shape[-2] - height) // 2, (tensor.shape[-1] - width) // 2
    return tensor[..., top : top + height, left : left + width].contiguous()


def save_model(path: Path, *, img_resolution: int, channel_base: int) -> None:
    """Write a model with random weights, as large as those that people train."""
    _save(Generator.random(img_resolution=img_resolution, channel_base=channel_base, seed=0), path)


def save_flashing_model(path: Path, *, img_resolution: int, contrast: float = 30.0) -> None:
    """Write a small model with random weights and pictures of such contrast that a lively recipe makes them flash."""
    network = Generator.random(
        img_resolution=img_resolution, channel_base=256, z_dim=64, w_dim=64, mapping_layers=2, seed=0
    )
    state = random_state(network.architecture, seed=0)
    state = {name: contrast * tensor if name.endswith("torgb.weight") else tensor for name, tensor in state.items()}
    save_checkpoint(Checkpoint("flashing", network.architecture, state, None, ()), path)


def _save(network: Generator, path: Path) -> None:
    state = random_state(network.architecture, seed=0)
    save_checkpoint(Checkpoint("random", network.architecture, state, None, ()), path)
