"""A StyleGAN2 as a generator: what the protocol asks of it, and how it paints wider pictures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import stylegan_ops
from audioreactive.errors import RenderError
from audioreactive.generators import plan_canvas, to_pixels
from audioreactive.generators.networks import sources_digest
from audioreactive.generators.stylegan2 import WIDEST, StyleGAN2


def network(resolution: int = 32, **choices) -> stylegan_ops.Generator:
    small = {"channel_base": 128, "z_dim": 8, "w_dim": 8, "mapping_layers": 1, "seed": 0}
    return stylegan_ops.Generator.random(img_resolution=resolution, **small | choices)


def shaped(const_size: tuple[int, int], img_size: tuple[int, int]) -> StyleGAN2:
    """StyleGAN2 around a network that has a shape and nothing else."""

    @dataclasses.dataclass
    class Architecture:
        const_size: tuple[int, int]

    @dataclasses.dataclass
    class Network:
        architecture: Architecture
        img_size: tuple[int, int]

    return StyleGAN2(Network(Architecture(const_size), img_size))  # type: ignore[arg-type]


SQUARE, LARGE, BODY = shaped((4, 4), (256, 256)), shaped((4, 4), (1024, 1024)), shaped((4, 2), (256, 128))


def constant(generator: StyleGAN2, width: int, height: int) -> tuple[int, int]:
    """(rows, columns) of the constant for a picture of that aspect ratio."""
    rows, columns = generator.widened((height, width))
    step = generator.img_size[0] // generator.network.architecture.const_size[0]
    assert rows % step == columns % step == 0
    return rows // step, columns // step


def test_it_paints_the_aspect_ratio() -> None:
    assert LARGE.widened((1080, 1920)) == (1024, 1792) and constant(LARGE, 1920, 1080) == (4, 7)
    assert constant(LARGE, 1080, 1920) == (7, 4)
    canvas = plan_canvas(LARGE, size=(1920, 1080))
    assert canvas.frame_size == (1792, 1024)
    assert canvas.filters.startswith("scale=1920:1097")
    assert canvas.filters.endswith(",crop=1920:1080")


def test_a_non_square_model_is_widened_from_its_own_shape() -> None:
    assert constant(BODY, 128, 256) == (4, 2)
    assert constant(BODY, 256, 256) == (4, 4)
    assert constant(BODY, 64, 256) == (8, 2)


@given(width=st.integers(2, 4000), height=st.integers(2, 4000))
def test_it_never_shrinks_the_constant_and_loses_at_most_an_eighth(width: int, height: int) -> None:
    if max(width, height) > 7 * min(width, height):
        return  # too far from the model's own shape
    canvas = plan_canvas(SQUARE, size=(width, height))
    across, down = canvas.frame_size
    assert min(across, down) == 256
    size = canvas.size
    scale = max(size[0] / across, size[1] / down)
    assert size[0] * size[1] / (across * down * scale * scale) > 7 / 8


@pytest.mark.parametrize("size", [(16384, 2), (2, 4000), (2400, 256)])
def test_it_is_not_widened_beyond_memory(size: tuple[int, int]) -> None:
    """256 high and 8192 times as wide: two million pixels of width for a ribbon that nobody sees."""
    with pytest.raises(RenderError, match=r"the model would paint \d+x\d+: choose --fit crop"):
        plan_canvas(SQUARE, size=size)
    assert plan_canvas(SQUARE, size=size, fit="crop").frame_size == (256, 256)
    assert SQUARE.widened((256, 256 * WIDEST)) == (256, 256 * WIDEST)


@pytest.mark.parametrize("size", [(32, 56), (48, 32), (32, 32)])
def test_resized_it_is_the_network_with_a_larger_constant(size: tuple[int, int]) -> None:
    own = StyleGAN2(network())
    wide = own.resized(size)
    assert wide.img_size == size and isinstance(wide, StyleGAN2)
    assert wide.network.architecture.const_size == (size[0] // 8, size[1] // 8)
    assert (wide is own) == (size == (32, 32))
    again = StyleGAN2(network().enlarged(const_size=(size[0] // 8, size[1] // 8)))
    ws = torch.randn(2, own.num_ws, 8, generator=torch.Generator().manual_seed(1))
    assert wide.synthesis(ws).shape == (2, 3, *size)
    torch.testing.assert_close(wide.synthesis(ws), again.synthesis(ws), rtol=0, atol=0)
    assert own.resized(own.widened((2 * size[0], 2 * size[1]))).img_size == size


def test_what_a_picture_costs() -> None:
    generator = StyleGAN2(network(64, channel_base=1024))
    # Four copies of 16 · 64² float32 activations, and four pictures of 3 · 64² float32.
    assert generator.cost.bytes == 4 * 16 * 64 * 64 * 4 + 4 * 3 * 64 * 64 * 4
    # 8 -> 8 channels at 4², 8 -> 4 and 4 -> 4 at 8², by 3 × 3.
    assert StyleGAN2(network(8, channel_base=32)).cost.multiplications == 9 * (8 * 8 * 16 + 8 * 4 * 64 + 4 * 4 * 64)
    wide = generator.resized((64, 128))
    assert wide.cost.bytes == 2 * generator.cost.bytes
    assert wide.cost.multiplications == 2 * generator.cost.multiplications


def test_without_noise_it_takes_its_own_and_with_noise_that() -> None:
    generator = StyleGAN2(network())
    ws = torch.randn(2, generator.num_ws, 8, generator=torch.Generator().manual_seed(1))
    maps = [torch.randn(2, 1, *size) for size in generator.noise_sizes]
    torch.testing.assert_close(generator.synthesis(ws), generator.network.synthesis(ws, "const"), rtol=0, atol=0)
    torch.testing.assert_close(generator.synthesis(ws, maps), generator.network.synthesis(ws, maps), rtol=0, atol=0)


@pytest.mark.parametrize("layout", ["rgb24", "yuv420p"])
def test_frames_are_the_pictures_as_pixels(layout: str) -> None:
    generator = StyleGAN2(network())
    ws = torch.randn(2, generator.num_ws, 8, generator=torch.Generator().manual_seed(1))
    maps = [torch.randn(2, 1, *size) for size in generator.noise_sizes]
    make = generator.frame_function(layout)
    expected = to_pixels(generator.synthesis(ws, maps), layout, compiled=generator.network.compiled)
    for _ in range(2):
        np.testing.assert_array_equal(make(ws, maps).numpy(), expected.numpy())
        make.release()


def test_the_fingerprint_tells_kernels_and_sources(monkeypatch) -> None:
    generator = StyleGAN2(network())
    seen = {generator.fingerprint}
    generator.network.compiled = not generator.network.compiled
    seen.add(generator.fingerprint)
    assert {text.split()[0] for text in seen} == {"compiled", "plain"}
    assert len({text.split()[-1] for text in seen}) == 1
    assert len(sources_digest()) == 16


def test_the_digest_is_that_of_every_source(tmp_path, monkeypatch) -> None:
    """The digest covers Python, C++ and CUDA sources and their names, not what a compiler leaves beside them."""
    package = tmp_path / "stylegan_ops"
    package.mkdir()
    (package / "__init__.py").write_text("a = 1\n")
    monkeypatch.setattr(stylegan_ops, "__file__", str(package / "__init__.py"))
    digest = sources_digest.__wrapped__
    seen = [digest()]
    for name, text in (("__init__.py", "a = 2\n"), ("ops.cu", "x"), ("ops.cpp", "x"), ("ops.h", "x")):
        (package / name).write_text(text)
        seen.append(digest())
    (package / "ops.h").rename(package / "other.h")
    seen.append(digest())
    (package / "ops.o").write_text("x")
    assert len(set(seen)) == len(seen) == 6 and digest() == seen[-1]
