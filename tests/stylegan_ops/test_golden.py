"""The network agrees with the original implementations, whichever file it comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_ops import Generator, load_generator

GOLDEN = Path(__file__).parent.parent / "golden"
NVIDIA = ("nvidia_skip64", "nvidia_cond32", "nvidia_resnet32", "tf_legacy32")


def load(name: str) -> tuple[Generator, dict[str, torch.Tensor]]:
    suffix = ".pt" if name.startswith("rosinality") else ".pkl"
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        vectors = {key: torch.from_numpy(values) for key, values in arrays.items()}
    return load_generator(GOLDEN / f"{name}{suffix}"), vectors


def explicit_noise(generator: Generator, vectors: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return [vectors[f"noise_{index}"][None, None] for index in range(len(generator.noise_sizes))]


def assert_close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> None:
    """Within a share of the largest value."""
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.mark.parametrize("name", NVIDIA)
def test_mapping(name: str) -> None:
    generator, vectors = load(name)
    labels = vectors.get("c")
    assert_close(generator.mapping(vectors["z"], labels), vectors["ws_psi1"], 1e-5)
    assert_close(generator.mapping(vectors["z"], labels, truncation_psi=0.7), vectors["ws_psi07"], 1e-5)


@pytest.mark.parametrize("noise", ["const", "none", "noise"])
@pytest.mark.parametrize("name", NVIDIA)
def test_pictures(name: str, noise: str) -> None:
    generator, vectors = load(name)
    given = explicit_noise(generator, vectors) if noise == "noise" else noise
    assert_close(generator.synthesis(vectors["mixed"], given), vectors[f"img_{noise}"], 1e-4)


def test_rosinality() -> None:
    generator, vectors = load("rosinality32")
    ws = generator.mapping(vectors["z"])
    assert_close(ws[:, 0], vectors["w"], 1e-5)
    assert_close(generator.synthesis(ws), vectors["img_const"], 1e-4)
    truncated = generator.mapping(vectors["z"], truncation_psi=0.7)
    noise = explicit_noise(generator, vectors)
    assert_close(generator.synthesis(truncated, noise), vectors["img_noise_psi07"], 1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["nvidia_skip64", "nvidia_resnet32"])
def test_half_precision_is_close(name: str, dtype: torch.dtype) -> None:
    generator = load_generator(GOLDEN / f"{name}.pkl", dtype=dtype)
    _, vectors = load(name)
    picture = generator.synthesis(vectors["mixed"])
    assert picture.dtype == torch.float32
    # Ten layers, each rounded to 2^-9 or 2^-12 of its values; errors add up as a random walk.
    assert_close(picture, vectors["img_const"], 0.03 if dtype == torch.bfloat16 else 0.004)
