"""Directions in the latent space of a network along which its pictures change, found without looking at pictures.

sefa: the directions to which the layers' styles answer most, from the weights alone.
ganspace: the directions in which latents vary most, from many of them.

Source: Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs" (arXiv:2007.06600); Härkönen et al.
2020, "GANSpace: Discovering Interpretable GAN Controls" (arXiv:2004.02546).

Conventions: W is the width of a latent. A direction is as long as one standard deviation of latents along it, and its
largest number is positive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np

from audioreactive.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

Method = Literal["sefa", "ganspace"]

SAMPLES: Final = 4096
"""Latents from which deviations, and GANSpace's directions, are found."""
BLOCK: Final = 512
"""Latents that are mapped at once."""


class Directed(Protocol):
    """Generator whose latents are known to have directions."""

    device: torch.device
    z_dim: int
    c_dim: int
    w_dim: int
    num_ws: int

    def mapping(self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0) -> torch.Tensor:
        """Map noise vectors and classes to latents (B, L, W)."""
        ...

    def style_weights(self, inputs: Sequence[int]) -> torch.Tensor:
        """Weights (R, W) with which styles depend on these latent inputs."""
        ...


def find_directions(generator: Directed, method: Method, inputs: Sequence[int], count: int) -> torch.Tensor:
    """Find the first directions (count, W) float32 of a generator, on the CPU.

    Args:
        generator: the generator.
        method: way to find them.
        inputs: latent inputs whose styles count, for sefa.
        count: number of directions, at most W.

    Raises:
        RenderError: there are not as many.
    """
    import torch

    if count > generator.w_dim:
        raise RenderError(f"direction {count - 1} was asked for; this model has directions 0 to {generator.w_dim - 1}")
    latents = _latents(generator)
    latents = latents - latents.mean(0)
    if method == "ganspace":
        _, _, rows = np.linalg.svd(latents, full_matrices=False)
        if count > len(rows):
            raise RenderError(f"direction {count - 1} was asked for; ganspace finds {len(rows)} in this model")
        directions = rows[:count]
    else:
        weights = generator.style_weights(inputs).double().cpu().numpy()
        weights = weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-12)
        _, vectors = np.linalg.eigh(weights.T @ weights)
        directions = vectors[:, ::-1][:, :count].T
    largest = np.abs(directions).argmax(1)
    directions = directions * np.sign(directions[np.arange(count), largest])[:, None]
    deviations = (latents @ directions.T).std(0)
    return torch.from_numpy((directions * deviations[:, None]).astype(np.float32))


def _latents(generator: Directed) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Map fixed noise vectors to latents (SAMPLES, W)."""
    import torch

    draw = np.random.RandomState(0)
    found = []
    for first in range(0, SAMPLES, BLOCK):
        z = torch.from_numpy(draw.standard_normal((BLOCK, generator.z_dim)).astype(np.float32)).to(generator.device)
        c = None
        if generator.c_dim:
            classes = torch.arange(first, first + BLOCK) % generator.c_dim
            c = torch.nn.functional.one_hot(classes, generator.c_dim).float().to(generator.device)
        found.append(generator.mapping(z, c)[:, 0].double().cpu().numpy())
    return np.concatenate(found)
