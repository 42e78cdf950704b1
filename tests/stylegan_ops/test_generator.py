"""Laws of the generator that hold for any weights."""

from __future__ import annotations

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F

from stylegan_ops import Architecture, Generator, StyleGANError, op_status
from stylegan_ops import generator as generator_module
from stylegan_ops.bending import IDENTITY, Bend, Transform
from stylegan_ops.initial import random_state

SMALL = Architecture(z_dim=16, w_dim=24, mapping_features=(20, 24), channels=(12, 8, 8, 4))


def make(architecture: Architecture = SMALL, **changes: object) -> Generator:
    architecture = dataclasses.replace(architecture, **changes)
    return Generator(architecture, random_state(architecture, seed=3))


def sample_ws(generator: Generator, batch: int = 3) -> torch.Tensor:
    stream = torch.Generator().manual_seed(5)
    return torch.randn(batch, generator.num_ws, generator.w_dim, generator=stream)


def noise_for(generator: Generator, batch: int) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(6)
    return [torch.randn(batch, 1, *size, generator=stream) for size in generator.noise_sizes]


def plain(architecture: Architecture, state: dict[str, torch.Tensor], ws: torch.Tensor) -> torch.Tensor:
    """An oracle that follows the paper's equations word by word: weights modulated sample by sample, in float64."""
    state = {name: values.double() for name, values in state.items()}
    taps = torch.tensor(architecture.resample_filter, dtype=torch.float64)
    kernel = 4 * torch.outer(taps, taps)

    def style(name: str, w: torch.Tensor) -> torch.Tensor:
        return w @ state[f"{name}.affine.weight"].T / math.sqrt(len(w)) + state[f"{name}.affine.bias"]

    def resample(x: torch.Tensor, pad: tuple[int, int, int, int]) -> torch.Tensor:
        count = x.shape[1]
        return F.conv2d(F.pad(x, pad), kernel.flip(0, 1).expand(count, 1, 4, 4), groups=count)

    def upsample(x: torch.Tensor) -> torch.Tensor:
        zeros = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        zeros[:, :, ::2, ::2] = x
        return resample(zeros, (2, 1, 2, 1))

    def convolve(name: str, x: torch.Tensor, w: torch.Tensor, gain: float) -> torch.Tensor:
        weight = state[f"{name}.weight"] * style(name, w)[None, :, None, None]
        weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        if name.endswith("conv0"):
            x = resample(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1, 1, 1))
        else:
            x = F.conv2d(x, weight, padding=1)
        x = x + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
        x = F.leaky_relu(x + state[f"{name}.bias"][:, None, None], 0.2) * math.sqrt(2) * gain
        clamp = architecture.conv_clamp
        return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)

    pictures = []
    for sample in ws.double():
        x, image, layer = state["synthesis.b4.const"][None], None, 0
        for resolution in architecture.blocks:
            block, residual = f"synthesis.b{resolution}", architecture.kind == "resnet" and resolution > 4
            if residual:
                skip = state[f"{block}.skip.weight"]
                shortcut = F.conv2d(upsample(x), skip / math.sqrt(skip.shape[1])) * math.sqrt(0.5)
            for part in ("conv0", "conv1") if resolution > 4 else ("conv1",):
                gain = math.sqrt(0.5) if residual and part == "conv1" else 1.0
                x = convolve(f"{block}.{part}", x, sample[layer], gain)
                layer += 1
            x = x + shortcut if residual else x
            image = None if image is None else upsample(image)
            if architecture.has_to_rgb(resolution):
                name = f"{block}.torgb"
                weight = state[f"{name}.weight"] * style(name, sample[layer])[None, :, None, None]
                painted = F.conv2d(x, weight / math.sqrt(x.shape[1])) + state[f"{name}.bias"][:, None, None]
                if architecture.conv_clamp is not None:
                    painted = painted.clamp(-architecture.conv_clamp, architecture.conv_clamp)
                image = painted if image is None else image + painted
        pictures.append(image)
    return torch.cat(pictures).float()


@pytest.mark.parametrize("kind", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("const_size", [(4, 4), (4, 2), (3, 5)])
def test_agrees_with_the_equations(kind: str, clamp: float | None, const_size: tuple[int, int]) -> None:
    architecture = dataclasses.replace(SMALL, kind=kind, conv_clamp=clamp, const_size=const_size)
    state = random_state(architecture, seed=3)
    for name in state:
        if name.endswith((".torgb.bias", "conv0.bias", "conv1.bias")):
            state[name] = torch.linspace(-0.5, 0.5, len(state[name]))
    generator = Generator(architecture, state)
    ws = sample_ws(generator)
    found, wanted = generator.synthesis(ws), plain(architecture, state, ws)
    assert found.shape == wanted.shape == (3, 3, const_size[0] * 8, const_size[1] * 8)
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_an_asymmetric_filter_is_not_turned_round() -> None:
    architecture = dataclasses.replace(SMALL, resample_filter=(0.1, 0.2, 0.3, 0.4))
    state = random_state(architecture, seed=3)
    generator = Generator(architecture, state)
    ws = sample_ws(generator)
    wanted = plain(architecture, state, ws)
    assert (generator.synthesis(ws) - wanted).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_inputs_give_identical_pictures(dtype: torch.dtype) -> None:
    generator = Generator(SMALL, random_state(SMALL, seed=3), dtype=dtype)
    ws, noise = sample_ws(generator), noise_for(generator, 3)
    assert torch.equal(generator.synthesis(ws, noise), generator.synthesis(ws, noise))


def test_inputs_are_left_alone() -> None:
    generator = make()
    ws, noise = sample_ws(generator), noise_for(generator, 1)
    before = ws.clone(), [values.clone() for values in noise]
    generator.synthesis(ws, noise)
    assert torch.equal(ws, before[0])
    assert all(torch.equal(now, then) for now, then in zip(noise, before[1], strict=True))


def test_samples_of_a_batch_do_not_mix() -> None:
    generator = make()
    ws, noise = sample_ws(generator, 4), noise_for(generator, 4)
    whole = generator.synthesis(ws, noise)
    for index in range(4):
        alone = generator.synthesis(ws[index : index + 1], [values[index : index + 1] for values in noise])
        assert (whole[index] - alone[0]).abs().max() < 1e-5 * whole.abs().max()


@pytest.mark.parametrize("kind", ["skip", "resnet"])
def test_parts_of_a_batch_give_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make(kind=kind)
    ws, noise = sample_ws(generator, 5), noise_for(generator, 5)
    whole = generator.synthesis(ws, noise)
    for working_set in (1, 4 * 8 * 8 * 8 * 2, 4 * 8 * 16 * 16 * 3):  # every block alone; from 8, from 16 in parts
        monkeypatch.setattr(generator_module, "CPU_WORKING_SET", working_set)
        assert (generator.synthesis(ws, noise) - whole).abs().max() < 1e-5 * whole.abs().max()


def test_noise_that_is_the_constant_gives_the_constant_picture() -> None:
    generator = make()
    state = random_state(SMALL, seed=3)
    maps = [state[f"{layer.name}.noise_const"][None, None] for layer in SMALL.convolutions()]
    ws = sample_ws(generator)
    difference = generator.synthesis(ws, maps) - generator.synthesis(ws, "const")
    assert difference.abs().max() < 1e-6
    zeros = [torch.zeros_like(values) for values in maps]
    assert torch.equal(generator.synthesis(ws, zeros), generator.synthesis(ws, "none"))
    assert not torch.allclose(generator.synthesis(ws, "none"), generator.synthesis(ws, "const"), atol=1e-3)


def test_every_latent_input_and_noise_map_counts() -> None:
    generator = make()
    ws, noise = sample_ws(generator, 1), noise_for(generator, 1)
    base = generator.synthesis(ws, noise)
    for index in range(generator.num_ws):
        other = ws.clone()
        other[:, index] += 1
        assert (generator.synthesis(other, noise) - base).abs().max() > 1e-3
    for index in range(len(noise)):
        changed = [values + (position == index) for position, values in enumerate(noise)]
        assert (generator.synthesis(ws, changed) - base).abs().max() > 1e-4


def test_truncation_is_a_straight_line_from_the_mean() -> None:
    state = random_state(SMALL, seed=3)
    state["mapping.w_avg"] = torch.linspace(-1, 1, SMALL.w_dim)
    generator = Generator(SMALL, state)
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    full = generator.mapping(z)
    assert torch.allclose(generator.mapping(z, truncation_psi=0), state["mapping.w_avg"].expand(2, 8, 24), atol=1e-6)
    half = generator.mapping(z, truncation_psi=0.5)
    assert torch.allclose(half, (full + state["mapping.w_avg"]) / 2, atol=1e-5)
    assert generator.mapping(3 * z).sub(full).abs().max() < 1e-4  # z's length does not count


def test_enlarged_keeps_the_middle_and_the_scale() -> None:
    generator = Generator.random(img_resolution=64, channel_base=256, channel_max=16, z_dim=8, w_dim=8, seed=1)
    wide = generator.enlarged(const_size=(4, 12))
    assert wide.img_size == (64, 192) and wide.img_resolution == 64 and generator.img_size == (64, 64)
    assert wide.noise_sizes == [(height, 3 * width) for height, width in generator.noise_sizes]
    assert wide.num_ws == generator.num_ws
    ws = sample_ws(generator, 2)
    picture = wide.synthesis(ws)
    assert picture.shape == (2, 3, 64, 192)
    assert wide.enlarged(const_size=(6, 12)).synthesis(ws).shape == (2, 3, 96, 192)
    assert torch.equal(generator.enlarged(const_size=(4, 4)).synthesis(ws), generator.synthesis(ws))


def test_enlarged_reflects_the_constant_and_the_noise_about_the_edges() -> None:
    generator = make()
    wide = generator.enlarged(const_size=(4, 9))
    columns = [2, 1, 0, 1, 2, 3, 2, 1, 0]
    assert torch.equal(wide._const, generator._const[..., columns])
    old, new = (g._blocks[1].layers[1].noise_const for g in (generator, wide))
    assert old is not None and new is not None and new.shape == (1, 1, 8, 18)
    assert torch.equal(new[..., 4:12], old)
    assert torch.equal(new[..., :4], old[..., 1:5].flip(-1))


def test_enlarged_cannot_shrink() -> None:
    with pytest.raises(StyleGANError, match=r"3 × 8 was asked for.*4 × 4.*crop"):
        make().enlarged(const_size=(3, 8))


def test_random_is_the_same_everywhere_and_its_size_is_as_asked() -> None:
    options = {"img_resolution": 32, "channel_base": 256, "channel_max": 24, "z_dim": 8, "w_dim": 12, "c_dim": 3}
    generator = Generator.random(**options, mapping_layers=2, seed=7)
    assert (generator.z_dim, generator.w_dim, generator.c_dim, generator.num_ws) == (8, 12, 3, 8)
    assert generator.noise_sizes == [(4, 4), (8, 8), (8, 8), (16, 16), (16, 16), (32, 32), (32, 32)]
    assert generator.architecture.channels == (24, 24, 16, 8)
    z, c = torch.linspace(-1, 1, 8)[None], torch.eye(3)[:1]
    pictures = [Generator.random(**options, mapping_layers=2, seed=seed) for seed in (7, 8)]
    first, second = (g.synthesis(g.mapping(z, c)) for g in pictures)
    assert torch.equal(first, generator.synthesis(generator.mapping(z, c)))
    assert not torch.allclose(first, second, atol=0.1)


@pytest.mark.parametrize("resolution", [4, 48, 8192])
def test_random_refuses_odd_resolutions(resolution: int) -> None:
    with pytest.raises(StyleGANError, match=f"resolution of {resolution} .*powers of two"):
        Generator.random(img_resolution=resolution, channel_base=64, seed=0)


def test_float16_does_not_overflow() -> None:
    state = random_state(SMALL, seed=3)
    for name in state:  # large styles and weights, whose product demodulation takes back
        if name.endswith("conv1.affine.bias"):
            state[name] *= 3e5
        elif name.endswith("conv1.weight"):
            state[name] *= 1e2
    ws = sample_ws(make())
    exact = Generator(SMALL, state).synthesis(ws)
    half = Generator(SMALL, state, dtype=torch.float16).synthesis(ws)
    assert (half - exact).abs().max() < 0.01 * exact.abs().max()


@pytest.mark.parametrize("kind", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("size", [(4, 4), (3, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_implementations_paint_the_same(kind: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    architecture = dataclasses.replace(SMALL, kind=kind, const_size=size, conv_clamp=2.0, channels=(20, 17, 8, 4))
    state = random_state(architecture, seed=3)
    reference = Generator(architecture, state, implementation="reference")
    fast = Generator(architecture, state, dtype=dtype)
    ws, noise = sample_ws(reference, 3), noise_for(reference, 3)
    exact = reference.synthesis(ws, noise)
    # As for the golden files: layers that each round to 2^-9 of their values.
    assert (fast.synthesis(ws, noise) - exact).abs().max() < (
        1e-5 if dtype == torch.float32 else 0.03
    ) * exact.abs().max()


def test_calls_from_several_threads_do_not_disturb_each_other() -> None:
    generator = make(channels=(32, 32, 16, 16))
    batches = [torch.randn(2, generator.num_ws, generator.w_dim) for _ in range(8)]
    alone = [generator.synthesis(ws) for ws in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(generator.synthesis, batches * 5))
    assert all(torch.equal(found, alone[index % 8]) for index, found in enumerate(together))


def test_pictures_stay_when_others_are_painted() -> None:
    generator = make()
    first = generator.synthesis(sample_ws(generator))
    before = first.clone()
    generator.synthesis(sample_ws(generator) + 1)
    assert torch.equal(first, before)


def test_wrong_inputs_are_told_apart() -> None:
    generator, conditional = make(), make(c_dim=3, embed_features=24)
    ws = sample_ws(generator)
    with pytest.raises(StyleGANError, match=r"z has the shape \(2, 17\).*\(batch, 16\)"):
        generator.mapping(torch.zeros(2, 17))
    with pytest.raises(StyleGANError, match="no label was given"):
        conditional.mapping(torch.zeros(2, 16))
    with pytest.raises(StyleGANError, match=r"the label has the shape \(1, 3\)"):
        conditional.mapping(torch.zeros(2, 16), torch.zeros(1, 3))
    with pytest.raises(StyleGANError, match="has no classes"):
        generator.mapping(torch.zeros(2, 16), torch.zeros(2, 3))
    with pytest.raises(StyleGANError, match=r"ws has the shape \(3, 7, 24\)"):
        generator.synthesis(ws[:, :7])
    with pytest.raises(StyleGANError, match="noise is 'random'"):
        generator.synthesis(ws, "random")  # type: ignore[arg-type]
    with pytest.raises(StyleGANError, match="6 noise maps were given; this model takes 7"):
        generator.synthesis(ws, noise_for(generator, 3)[:6])
    with pytest.raises(StyleGANError, match=r"noise map 0 has the shape \(2, 1, 4, 4\).*\(3 or 1, 1, 4, 4\)"):
        generator.synthesis(ws, noise_for(generator, 2))
    with pytest.raises(StyleGANError, match="float64 is not supported"):
        Generator(SMALL, random_state(SMALL, seed=0), dtype=torch.float64)


def test_op_status_names_every_operation() -> None:
    names = {entry.op for entry in op_status()}
    on_a_gpu = {"styled_conv2d_phases"}
    everywhere = {
        "styled_conv2d",
        "styled_conv2d_up",
        "filtered_lrelu",
        "conv2d",
        "to_rgb",
        "upsample2d",
        "rgb_to_yuv420",
    }
    assert everywhere == names - on_a_gpu


@pytest.mark.parametrize("kind", ["skip", "resnet"])
@pytest.mark.parametrize("transform", IDENTITY)
def test_samples_that_no_bend_changes_are_those_without_bends(kind: str, transform: Transform) -> None:
    """To the last bit, whichever layer is bent, and whatever happens to the others of the batch."""
    generator = make(kind=kind)
    ws, rest = sample_ws(generator, 4), IDENTITY[transform]
    without = generator.synthesis(ws)
    for layer in range(len(generator.layer_names)):
        found = generator.synthesis(ws, bends={layer: [Bend(transform, (rest, 0.6, rest, 0.05))]})
        assert torch.equal(found[[0, 2]], without[[0, 2]]), generator.layer_names[layer]
        all_bent = generator.synthesis(ws, bends={layer: [Bend(transform, (0.6, 0.6, 0.05, 0.05))]})
        assert torch.equal(found[[1, 3]], all_bent[[1, 3]]), generator.layer_names[layer]
        assert not torch.equal(all_bent[1], without[1]) or transform in ("translate", "erode", "dilate", "rotate")


@pytest.mark.parametrize("const_size", [(4, 100_000), (100_000, 4), (20_000, 20_000)])
def test_canvases_beyond_all_bounds_are_refused_before_memory_is_taken(const_size: tuple[int, int]) -> None:
    with pytest.raises(StyleGANError, match="smaller constant"):
        make().enlarged(const_size=const_size)
