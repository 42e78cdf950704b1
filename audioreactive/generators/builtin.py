"""The model that is included in the package, used when no other is given."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

    from audioreactive.generators.stylegan2 import StyleGAN2

BUILTIN_NAME: Final = "built-in"
"""Name of the model in presets and messages."""

TRUNCATION = 1.0
"""Truncation ψ that suits the model: 1, because its latents are bounded and need none."""


def builtin_generator(device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> StyleGAN2:
    """Load the built-in model: 256 × 256, 14 latent inputs, no classes; `assets/builtin.md` is its model card.

    Args:
        device: device on which it computes.
        dtype: precision of the convolutions; float32 if not given.
    """
    import torch

    from audioreactive.generators.stylegan2 import StyleGAN2
    from stylegan_ops import Generator, load_generator

    with as_file(files("audioreactive") / "assets" / "builtin.safetensors") as path:
        network = load_generator(path, device=device, dtype=torch.float32 if dtype is None else dtype)
    assert isinstance(network, Generator)
    return StyleGAN2(network)


@functools.cache
def builtin_digest() -> str:
    """Return the SHA-256 of the built-in model's file, in hexadecimal."""
    data = (files("audioreactive") / "assets" / "builtin.safetensors").read_bytes()
    return hashlib.sha256(data).hexdigest()
