"""The built-in model: it loads fast, its pictures have contrast and colour, and everything moves it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from audioreactive.builtin import TRUNCATION, builtin_generator

if TYPE_CHECKING:
    from stylegan_ops import Generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    return builtin_generator()


@pytest.fixture(scope="module")
def ws(generator: Generator) -> torch.Tensor:
    z = np.concatenate([np.random.RandomState(seed).randn(1, 512) for seed in range(12)])
    return generator.mapping(torch.from_numpy(z.astype(np.float32)), truncation_psi=TRUNCATION)


def difference(first: torch.Tensor, second: torch.Tensor) -> float:
    """Mean change of a pixel's colour values, of 255."""
    return float((first.clamp(-1, 1) - second.clamp(-1, 1)).abs().mean()) * 127.5


def test_size_and_speed_of_loading() -> None:
    start = time.process_time()
    generator = builtin_generator()
    assert time.process_time() - start < 2
    assert generator.img_size == (256, 256) and generator.num_ws == 14 and generator.c_dim == 0


def test_pictures_have_contrast_and_colour(generator: Generator, ws: torch.Tensor) -> None:
    pictures = generator.synthesis(ws)
    assert pictures.std() > 0.4
    assert pictures.clamp(-1, 1).std((1, 2, 3)).min() > 0.15  # no picture is flat
    assert (pictures.abs() > 1).float().mean() < 0.25  # and few places are burnt out
    shown = pictures.clamp(-1, 1)
    saturation = (shown.amax(1) - shown.amin(1)).mean((1, 2))
    assert saturation.median() > 0.3
    colours = shown.mean((2, 3))
    assert torch.pdist(colours).median() > 0.3  # palettes differ


@pytest.mark.parametrize("group", [range(0, 5), range(5, 10), range(10, 14)], ids=["deep", "middle", "shallow"])
def test_every_depth_moves_the_picture(generator: Generator, ws: torch.Tensor, group: range) -> None:
    other = ws.clone()
    other[:, list(group)] = ws.roll(1, 0)[:, list(group)]
    assert difference(generator.synthesis(other), generator.synthesis(ws)) > 25


def test_noise_moves_the_picture_but_does_not_hide_it(generator: Generator, ws: torch.Tensor) -> None:
    stream = torch.Generator().manual_seed(1)
    noise = [torch.randn(1, 1, *size, generator=stream) for size in generator.noise_sizes]
    change = difference(generator.synthesis(ws, noise), generator.synthesis(ws))
    assert 8 < change < 40


def test_latents_nearby_give_pictures_nearby(generator: Generator, ws: torch.Tensor) -> None:
    step = ws.lerp(ws.roll(1, 0), 1 / 48)  # two seconds from one latent to the next, at 24 frames a second
    assert difference(generator.synthesis(step), generator.synthesis(ws)) < 10


def test_half_precision_looks_the_same(generator: Generator, ws: torch.Tensor) -> None:
    half = builtin_generator(dtype=torch.bfloat16)
    assert difference(half.synthesis(ws[:4]), generator.synthesis(ws[:4])) < 3
