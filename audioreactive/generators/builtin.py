"""The model that ships with the program, for songs whose maker brings none."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

    from audioreactive.generators.stylegan2 import StyleGAN2

BUILTIN_NAME: Final = "built-in"
"""What presets and messages call it."""

TRUNCATION = 1.0
"""The ψ that its latents are made for: they are bounded, none lies far out."""


def builtin_generator(device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> StyleGAN2:
    """The built-in model, ready to run: 256 × 256, 14 latent inputs, no classes; `assets/builtin.md` is its card.

    Args:
        device: where to compute.
        dtype: precision of the convolutions; float32 if not given.
    """
    import torch

    from audioreactive.generators.stylegan2 import StyleGAN2
    from stylegan_ops import load_generator

    with as_file(files("audioreactive") / "assets" / "builtin.safetensors") as path:
        return StyleGAN2(load_generator(path, device=device, dtype=torch.float32 if dtype is None else dtype))


@functools.cache
def builtin_digest() -> str:
    """The SHA-256 of the built-in model's file, in hexadecimal."""
    data = (files("audioreactive") / "assets" / "builtin.safetensors").read_bytes()
    return hashlib.sha256(data).hexdigest()
