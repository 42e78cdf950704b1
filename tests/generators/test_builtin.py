"""The built-in model: its pictures have contrast and colour, and everything moves it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from compilers import needs_compiler
from support import threads

from audioreactive.generators.builtin import TRUNCATION, builtin_generator
from audioreactive.generators.pixels import to_uint8
from audioreactive.patches.fields import DEPTHS, depth_slices

if TYPE_CHECKING:
    from audioreactive.generators.stylegan2 import StyleGAN2


@pytest.fixture(scope="module")
def generator() -> StyleGAN2:
    return builtin_generator()


@pytest.fixture(scope="module")
def ws(generator: StyleGAN2) -> torch.Tensor:
    z = np.concatenate([np.random.RandomState(seed).randn(1, generator.z_dim) for seed in range(12)])
    return generator.mapping(torch.from_numpy(z.astype(np.float32)), truncation_psi=TRUNCATION)


@pytest.fixture(scope="module")
def pictures(generator: StyleGAN2, ws: torch.Tensor) -> torch.Tensor:
    """What it paints of these latents, without noise."""
    return generator.synthesis(ws)


def difference(first: torch.Tensor, second: torch.Tensor) -> float:
    """Mean change of a pixel's colour values, of 255."""
    return float((first.clamp(-1, 1) - second.clamp(-1, 1)).abs().mean()) * 127.5


def test_its_size() -> None:
    generator = builtin_generator()
    assert generator.img_size == (256, 256) and generator.num_ws == 14 and generator.c_dim == 0


def test_its_card_lies_beside_it_and_says_what_was_measured() -> None:
    assets = files("audioreactive") / "assets"
    assert len((assets / "builtin.safetensors").read_bytes()) < 30e6
    card = (assets / "builtin.md").read_text("utf-8")
    results = Path(__file__).parents[2] / "benchmarks" / "results" / "builtin_model.json"
    figures = json.loads(results.read_text())
    assert "CC0" in card
    for name in ("diversity", "frechet", "largest_step"):
        assert any(f"| {figures[name]:.{digits}f} |" in card for digits in (1, 2))
    assert figures["diversity"] >= 0.8
    assert figures["frechet"] < 0.2 * figures["frechet_untrained"]


def test_pictures_have_contrast_and_colour(pictures: torch.Tensor) -> None:
    assert pictures.std() > 0.4
    assert pictures.clamp(-1, 1).std((1, 2, 3)).min() > 0.15  # no picture is flat
    assert (pictures.abs() > 1).float().mean() < 0.25  # and few places are burnt out
    shown = pictures.clamp(-1, 1)
    saturation = (shown.amax(1) - shown.amin(1)).mean((1, 2))
    assert saturation.median() > 0.3
    colours = shown.mean((2, 3))
    assert torch.pdist(colours).median() > 0.3  # palettes differ


def test_every_depth_moves_the_picture_in_its_own_way(
    generator: StyleGAN2, ws: torch.Tensor, pictures: torch.Tensor
) -> None:
    """Deep latents move the drawing, fine ones its colours, each of them clearly."""
    before = pictures.clamp(-1, 1)
    drawing, colour = {}, {}
    for depth, layers in zip(DEPTHS, depth_slices(generator.num_ws), strict=True):
        other = ws.clone()
        other[:, layers] = ws.roll(1, 0)[:, layers]
        after = generator.synthesis(other).clamp(-1, 1)
        assert difference(after, before) > 15
        light = torch.stack([before.mean(1).flatten(1), after.mean(1).flatten(1)])
        light = light - light.mean(2, keepdim=True)
        drawing[depth] = float((light[0] * light[1]).sum(1).div(light[0].norm(dim=1) * light[1].norm(dim=1)).mean())
        change = after - before
        colour[depth] = float((change - change.mean(1, keepdim=True)).square().mean() / change.square().mean())
    assert drawing["coarse"] < drawing["fine"]
    assert drawing["fine"] > 0.6
    assert colour["fine"] > max(colour["coarse"], colour["middle"])


def test_noise_moves_the_picture_but_does_not_hide_it(
    generator: StyleGAN2, ws: torch.Tensor, pictures: torch.Tensor
) -> None:
    stream = torch.Generator().manual_seed(1)
    noise = [torch.randn(1, 1, *size, generator=stream) for size in generator.noise_sizes]
    before, after = pictures.clamp(-1, 1), generator.synthesis(ws, noise).clamp(-1, 1)
    assert 5 < difference(after, before) < 40
    change = after - before
    coarse = F.avg_pool2d(change, 32).square().mean() / change.square().mean()
    assert coarse < 0.25, "it moves texture, not the drawing"


def test_latents_nearby_give_pictures_nearby(generator: StyleGAN2, ws: torch.Tensor, pictures: torch.Tensor) -> None:
    step = ws.lerp(ws.roll(1, 0), 1 / 48)  # two seconds from one latent to the next, at 24 frames a second
    assert difference(generator.synthesis(step), pictures) < 10


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
def test_half_precision_looks_the_same(generator: StyleGAN2, ws: torch.Tensor, compiled: bool) -> None:
    """Noise and styles included: mean absolute error below 0.01 of [-1, 1], PSNR above 40 dB."""
    stream = torch.Generator().manual_seed(2)
    noise = [torch.randn(2, 1, *size, generator=stream) for size in generator.noise_sizes]
    mixed = torch.cat([ws[:, :5], ws.roll(1, 0)[:, 5:]], 1)[:2]
    half = builtin_generator(dtype=torch.bfloat16)
    half.network.compiled = compiled and half.network.compiled
    error = half.synthesis(mixed, noise).float() - generator.synthesis(mixed, noise)
    assert error.abs().mean() < 0.01
    assert 10 * torch.log10(4 / error.square().mean()) > 40


def mixed_batch(generator: StyleGAN2, ws: torch.Tensor, samples: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Latents of two pictures each, and noise."""
    stream = torch.Generator().manual_seed(3)
    noise = [torch.randn(samples, 1, *size, generator=stream) for size in generator.noise_sizes]
    return torch.cat([ws[:, :5], ws.roll(1, 0)[:, 5:]], 1)[:samples], noise


def test_compiled_kernels_paint_what_plain_pytorch_paints(generator: StyleGAN2, ws: torch.Tensor) -> None:
    """In float32 within 1e-4 of the largest value, noise and styles included."""
    needs_compiler()
    assert generator.network.compiled
    plain = builtin_generator()
    plain.network.compiled = False
    inputs = mixed_batch(generator, ws, 4)
    wanted = plain.synthesis(*inputs)
    assert (generator.synthesis(*inputs) - wanted).abs().max() < 1e-4 * wanted.abs().max()


# Processors without bfloat16 take seconds for such a picture.
@pytest.mark.parametrize(
    ("dtype", "samples", "most", "usual"), [(torch.float32, 4, 1, 0.01), (torch.bfloat16, 2, 8, 0.5)]
)
def test_the_same_batch_gives_the_same_bits_and_others_nearly_the_same_levels(
    ws: torch.Tensor, dtype: torch.dtype, samples: int, most: int, usual: float
) -> None:
    """A convolution may sum in another order in another batch; bfloat16 keeps 8 bits, as a picture's levels have."""
    first, second = builtin_generator(dtype=dtype), builtin_generator(dtype=dtype)
    inputs, noise = mixed_batch(first, ws, samples)
    whole = first.synthesis(inputs, noise)
    with threads(2):
        assert torch.equal(second.synthesis(inputs, noise), whole)
        assert torch.equal(first.synthesis(inputs, noise), whole)
    for batch in range(1, samples):
        parts = [slice(at, at + batch) for at in range(0, samples, batch)]
        pictures = torch.cat([first.synthesis(inputs[part], [maps[part] for maps in noise]) for part in parts])
        difference = (to_uint8(pictures).int() - to_uint8(whole).int()).abs()
        assert difference.max() <= most and difference.float().mean() < usual
