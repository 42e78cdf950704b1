"""Random weights for an untrained network."""

import numpy as np
import torch
from torch import Tensor

from stylegan_ops.architecture import Architecture

NOISE_STRENGTH = 0.1
"""Noise strength. New networks have 0; with a small value tests and benchmarks do the same work as trained networks."""


def random_state(architecture: Architecture, *, seed: int) -> dict[str, Tensor]:
    """Weights as before training (Karras et al. 2020): normal, biases 0, those of styles 1; the same on every machine.

    Drawn from NumPy's frozen `RandomState`, in the order of `architecture.shapes()`.
    """
    draw = np.random.RandomState(seed)
    state: dict[str, Tensor] = {}
    for name, shape in architecture.shapes().items():
        if name.endswith(".affine.bias"):
            values = np.ones(shape, np.float32)
        elif name.endswith((".bias", ".w_avg")):
            values = np.zeros(shape, np.float32)
        elif name.endswith(".noise_strength"):
            values = np.full(shape, NOISE_STRENGTH, np.float32)
        else:
            values = np.asarray(draw.standard_normal(shape), np.float32)
            if name.startswith("mapping.fc"):
                values /= architecture.mapping_lr  # the multiplier shrinks the stored weight back to unit variance
        state[name] = torch.from_numpy(values)
    return state
