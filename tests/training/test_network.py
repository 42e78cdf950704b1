"""The networks in training against the runtime's generator, plain PyTorch and one another."""

from __future__ import annotations

import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audioreactive.patches.fields import depth_slices
from stylegan_ops import Generator
from stylegan_ops.architecture import Architecture
from training import fused
from training.network import Discriminator, GeneratorNetwork, up_convolution, upsampled
from training.plan import plans

ARCHITECTURE = Architecture(z_dim=12, w_dim=24, mapping_features=(24, 24), channels=(16, 16, 8, 8), mapping_lr=0.1)
TAPS = torch.tensor([0.125, 0.375, 0.375, 0.125])


@pytest.fixture
def network() -> GeneratorNetwork:
    torch.manual_seed(1)
    network = GeneratorNetwork(ARCHITECTURE)
    for name, parameter in network.named_parameters():
        if name.endswith(("noise_strength", ".bias")):
            parameter.data.add_(0.1 * torch.randn(parameter.shape))
    network.mapping.w_avg.normal_()
    return network


def noise_for(network: GeneratorNetwork, count: int) -> list[Tensor]:
    return network.noise(count, 64, generator=torch.Generator().manual_seed(2))


def test_its_state_is_a_model(network: GeneratorNetwork) -> None:
    """The runtime's generator with this state paints the same pictures."""
    state = network.state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == ARCHITECTURE.shapes()
    runtime = Generator(ARCHITECTURE, state)
    z = torch.randn(3, 12)
    ws = runtime.mapping(z)
    torch.testing.assert_close(network.latents(z), ws[:, 0], atol=1e-5, rtol=1e-5)
    noise = noise_for(network, 3)
    with torch.no_grad():
        mine = network(ws, noise, 32)
    theirs = runtime.synthesis(ws, noise)
    assert (mine - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_up_convolution_is_transposed_convolution_and_filter() -> None:
    x, weight = torch.randn(2, 3, 5, 6, dtype=torch.float64), torch.randn(4, 3, 3, 3, dtype=torch.float64)
    kernel = 4 * torch.outer(TAPS, TAPS).double().expand(4, 1, 4, 4)
    wanted = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    wanted = F.conv2d(wanted, kernel.flip(2, 3), padding=1, groups=4)
    torch.testing.assert_close(up_convolution(x, weight, TAPS.double()), wanted)


def test_upsampling_keeps_constants_and_doubles() -> None:
    image = torch.full((1, 3, 8, 8), 2.0)
    doubled = upsampled(image, TAPS)
    assert doubled.shape == (1, 3, 16, 16)
    torch.testing.assert_close(doubled[..., 2:-2, 2:-2], torch.full((1, 3, 12, 12), 2.0))


def test_points_are_what_the_layers_make_of_even_activations(network: GeneratorNetwork) -> None:
    """Where nothing changes from place to place, filters reduced to their centres do what the layers do."""
    for name, parameter in network.named_parameters():
        if name.endswith(("conv0.weight", "conv1.weight")):
            centre = parameter.data[:, :, 1, 1].clone()
            parameter.data.zero_()[:, :, 1, 1] = centre
    for resolution in (4, 8):
        network.block(resolution).torgb.weight.data.zero_()
        network.block(resolution).torgb.bias.data.zero_()
    const = network.block(4).const
    const.data.copy_(const.data[:, :1, :1].expand_as(const))
    ws = network.latents(torch.randn(2, 12))[:, None].expand(-1, 8, -1)
    noise = [0.5 * torch.ones_like(values) for values in noise_for(network, 2)]
    with torch.no_grad():
        inner = network.activations(ws, noise, 8)
        # zeros beyond the border make 8 × 8 uneven near it: take its middle for the whole
        middle = inner[:, :, 3:5, 3:5].mean((2, 3), keepdim=True)
        points, layers = network.points(middle, ws, [values[:, :, :1, :1] for values in noise], 16)
        whole = network(ws, noise, 32)
    assert {size: len(inner) for size, inner in layers.items()} == {16: 2, 32: 2}
    torch.testing.assert_close(whole[:, :, 16:17, 16:17], points, atol=2e-3, rtol=2e-3)


def test_the_upper_part_goes_on_where_the_deep_part_ends(network: GeneratorNetwork) -> None:
    for resolution in (4, 8):  # whose painters are not part of the upper network
        network.block(resolution).torgb.weight.data.zero_()
        network.block(resolution).torgb.bias.data.zero_()
    ws = network.latents(torch.randn(2, 12))[:, None].expand(-1, 8, -1)
    noise = noise_for(network, 2)
    with torch.no_grad():
        inner = network.activations(ws, noise, 8)
        torch.testing.assert_close(network.upper(inner, ws, noise, 16), network(ws, noise, 32), atol=1e-4, rtol=1e-4)
        # a part of it, away from its border, is that part of the whole
        eighths = [n.shape[-1] // 8 for n in noise]
        parts = [n[..., at : 7 * at, at : 7 * at] for n, at in zip(noise, eighths, strict=True)]
        part = network.upper(inner[..., 1:7, 1:7], ws, parts, 16)
        whole = network(ws, noise, 32)[..., 4:28, 4:28]
    middle = slice(10, 14)
    torch.testing.assert_close(part[..., middle, middle], whole[..., middle, middle], atol=1e-4, rtol=1e-4)


def test_depths_begin_apart() -> None:
    """A noise vector's numbers reach the layers of their own depth alone."""
    plan = plans()["toy"]
    torch.manual_seed(3)
    network = GeneratorNetwork(plan.architecture)
    numbers = (slice(0, 40), slice(40, 64), slice(64, 88))
    groups = depth_slices(plan.architecture.num_ws)
    network.focus(list(zip(groups, numbers, strict=True)))
    z = torch.randn(1, 88)
    z = z / z.square().mean().sqrt()
    for own in range(3):
        other = z.clone()
        other[:, numbers[own]] *= -1  # as long as before
        before, after = network.latents(z), network.latents(other)
        at = 0
        for resolution in plan.architecture.blocks:
            block = network.synthesis.get_submodule(f"b{resolution}")
            for name in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
                change = (
                    (block.get_submodule(name).affine(after) - block.get_submodule(name).affine(before)).abs().max()
                )
                assert (change > 1e-2) == (groups[own].start <= at < groups[own].stop)
                at += 1


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="needs a C compiler")
@pytest.mark.parametrize("shape", [(3, 32, 17, 70), (1, 1, 1, 1), (2, 5, 33, 40)])
def test_fused_passes_are_the_plain_ones(shape: tuple[int, int, int, int]) -> None:
    random = torch.Generator().manual_seed(4)
    x = torch.randn(shape, generator=random).bfloat16().contiguous(memory_format=torch.channels_last)
    scale = torch.randn(shape[:2], generator=random)
    noise = torch.randn(shape[0], 1, *shape[2:], generator=random)
    bias = torch.randn(shape[1], generator=random)
    gradient = torch.randn(shape, generator=random).bfloat16()
    for function, arguments in ((fused.scaled, (x, scale)), (fused.activated, (x, scale, noise, bias))):
        mine = [values.clone().requires_grad_() for values in arguments]
        exact = [values.double().requires_grad_() for values in arguments]
        y, wanted = function(*mine), function(*exact, twice=True)
        torch.testing.assert_close(y.double(), wanted, atol=0.02, rtol=0.01)
        grads = torch.autograd.grad(y, mine, gradient.to(y.dtype))
        for got, want in zip(grads, torch.autograd.grad(wanted, exact, gradient.double()), strict=True):
            assert (got.double() - want).abs().max() <= 0.01 * want.abs().max() + 1e-6


def test_fused_passes_leave_tiny_numbers_alone() -> None:
    """A library linked with -ffast-math rounds them to 0 in all of the process."""
    fused._library()
    assert torch.tensor(1e-310, dtype=torch.float64).item() * 0.5 > 0


def test_the_discriminator_judges_every_resolution_and_sees_the_batch() -> None:
    torch.manual_seed(5)
    judge = Discriminator(ARCHITECTURE, (16, 16, 8, 8))
    for side in (8, 16, 32):
        assert judge(torch.randn(4, 3, side, side)).shape == (4,)
    one = torch.randn(1, 3, 32, 32)
    alone, among = judge(one.expand(4, -1, -1, -1)), judge(torch.cat([one, torch.randn(3, 3, 32, 32)]))
    assert (alone[0] - among[0]).abs() > 1e-4
    assert isinstance(judge, nn.Module)
