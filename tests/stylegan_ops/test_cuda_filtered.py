"""The filtered activation's kernel for GPUs against the plain form, on a GPU that the CPU plays and on a real one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from stylegan_ops import AliasFreeGenerator, load_generator, selfcheck
from stylegan_ops.memory import Workspace
from stylegan_ops.stylegan3 import cuda_kernels, filtered
from stylegan_ops.stylegan3.design import Plan, lowpass
from stylegan_ops.stylegan3.filtered import Resampling, filtered_lrelu
from stylegan_ops.stylegan3.initial import planned

if TYPE_CHECKING:
    from emulated_gpu import Machine

    from stylegan_ops.stylegan3.architecture import Layer

GOLDEN = Path(__file__).parent.parent / "golden"
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2**-10, torch.bfloat16: 2**-7}
DTYPES = tuple(TOLERANCE)


def published() -> list[Layer]:
    """A layer of each kind of NVIDIA's networks, T and R, 256 to 1024: all factors, filters and paddings."""
    found = {}
    for resolution in (256, 512, 1024):
        for radial in (False, True):
            plan = Plan(resolution, conv_kernel=1 if radial else 3, use_radial_filters=radial)
            for layer in planned(plan, z_dim=8, w_dim=8, c_dim=0, mapping_layers=1).layers[:-1]:
                kind = (layer.up, layer.up_taps, layer.down, layer.down_taps, layer.down_radial, layer.padding)
                found.setdefault(kind, layer)
    return list(found.values())


LAYERS = published()


def values(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def row(taps: int, seed: int, gain: float = 1.0) -> torch.Tensor:
    """A filter that is not symmetric, of the sum `gain`."""
    found = values(seed, taps).abs() + 0.1
    return gain * found / found.sum()


def resampling(
    size: tuple[int, int], up: torch.Tensor | None, down: torch.Tensor | None, factors: tuple[int, int],
    padding: tuple[int, int, int, int], clamp: float | None,
) -> Resampling:  # fmt: skip
    """A resampling of activations of (h, w) with whatever size follows from it."""
    cut = sum(0 if taps is None else len(taps) - 1 for taps in (up, down))
    (height, width), (left, right, top, bottom) = size, padding
    out = [
        (length * factors[0] + before + after - cut - 1) // factors[1] + 1
        for length, before, after in ((width, left, right), (height, top, bottom))
    ]
    return Resampling(up, down, *factors, padding, (out[0], out[1]), clamp)


def assert_same(
    machine: Machine, x: torch.Tensor, around: Resampling, dtype: torch.dtype, *, style: bool = True
) -> torch.Tensor:
    """Compare the kernel's result with that of the plain form in float64; return it."""
    batch, channels = x.shape[:2]
    scale, bias = values(2, batch, channels).abs() + 0.2, values(3, channels)
    styles = values(4, batch, channels) if style else None
    x = x.to(dtype)
    on = [None if one is None else one.to(machine.device) for one in (x, scale, bias, styles)]
    here = moved(around, machine.device)
    assert filtered._has_kernel(on[0], here)
    found = filtered_lrelu(*on, here, Workspace(machine.device), "y")  # type: ignore[arg-type]
    exact = moved(around, torch.device("cpu"), torch.float64)
    double = [None if one is None else one.double() for one in (x, scale, bias, styles)]
    wanted = filtered_lrelu(*double, exact)  # type: ignore[arg-type]
    assert found.dtype == dtype and found.shape == wanted.shape == (batch, channels, *around.out_size[::-1])
    assert found.is_contiguous(memory_format=torch.channels_last)
    difference = (found.cpu().double() - wanted).abs().max()
    assert difference <= TOLERANCE[dtype] * wanted.abs().max().clamp_min(1), f"off by {difference}"
    return found


def moved(around: Resampling, device: torch.device, dtype: torch.dtype = torch.float32) -> Resampling:
    """The resampling with its filters on a device."""
    changed: dict[str, Any] = dict(vars(around))
    for name in ("up_filter", "down_filter"):
        if changed[name] is not None:
            changed[name] = changed[name].to(device, dtype)
    return Resampling(**changed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("at", range(len(LAYERS)))
def test_layers_of_published_networks(machine: Machine, at: int, dtype: torch.dtype) -> None:
    """The real filters, factors and paddings on a small plane that is not square; channels that fill no four."""
    layer = LAYERS[at]
    up = torch.from_numpy(lowpass(layer.up_taps, 2.0, 1.0, 16 * layer.up)) * layer.up
    down = torch.from_numpy(lowpass(layer.down_taps, 2.0, 1.0, 16, radial=layer.down_radial))
    around = resampling((27, 33), up, down, (layer.up, layer.down), layer.padding, layer.clamp)
    channels = (5, 8, 3)[at % 3]
    assert_same(machine, values(at, 1 + at % 2, channels, 27, 33) * 3, around, dtype)


@pytest.mark.parametrize("factors", [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (1, 4), (4, 2), (2, 4), (4, 4), (3, 2)])
@pytest.mark.parametrize("kind", ["row", "square"])
def test_any_factors_and_filters(machine: Machine, factors: tuple[int, int], kind: str) -> None:
    """Filters of any length that are not symmetric, uneven paddings that add and crop, planes of a few samples."""
    up, down = factors
    for at, (up_taps, down_taps) in enumerate([(6 * up, 6 * down), (5, 3), (1, 2)]):
        down_filter = row(down_taps, 11)
        if kind == "square":
            down_filter = torch.outer(down_filter, row(down_taps, 12))
        up_filter = row(up_taps, 10, up) if at < 2 else None
        size = (8 + 24 * down // up, 9 + 18 * down // up)
        padding = ((3, -4, 11, 2), (-1, 2, -2, 0), (5, 6, 3, 8))[at]
        around = resampling(size, up_filter, down_filter, factors, padding, (None, 1.5)[at % 2])
        assert_same(machine, values(at, 1, 3, *size), around, torch.float32, style=at != 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_clamps_batches_and_single_pixels(machine: Machine, dtype: torch.dtype) -> None:
    for size, batch, channels, clamp in (((1, 1), 3, 1, 0.5), ((1, 40), 1, 16, 0.25), ((40, 1), 2, 7, None)):
        around = resampling(size, row(12, 10, 2), row(12, 11), (2, 2), (11, 10, 11, 10), clamp)
        found = assert_same(machine, values(1, batch, channels, *size) * 5, around, dtype, style=False)
        assert clamp is None or found.abs().max() <= clamp * (1 + 2**-7)


def test_addresses_that_are_no_multiples_of_four_numbers(machine: Machine) -> None:
    """Activations in the middle of other memory are read one by one."""
    around = resampling((9, 12), row(12, 10, 2), row(12, 11), (2, 2), (9, 8, 9, 8), None)
    memory = torch.zeros(9 * 12 * 8 + 1, dtype=torch.float16, device=machine.device)
    x = memory[1:].view(1, 9, 12, 8).permute(0, 3, 1, 2)
    x.copy_(values(1, 1, 8, 9, 12))
    ones = torch.ones(1, 8, device=machine.device)
    here = moved(around, machine.device)
    found = filtered_lrelu(x, ones, ones[0].contiguous(), None, here, Workspace(machine.device), "y")
    again = filtered_lrelu(x.clone(), ones, ones[0].contiguous(), None, here, Workspace(machine.device), "y")
    assert torch.equal(found, again)


def test_not_a_number_stays_where_it_is(machine: Machine) -> None:
    x = values(1, 1, 4, 30, 30)
    x[0, 1, 3, 4] = torch.nan
    around = moved(resampling((30, 30), row(12, 10, 2), row(12, 11), (2, 2), (9, 8, 9, 8), 1.0), machine.device)
    ones = torch.ones(1, 4, device=machine.device)
    arguments = (x.to(machine.device), ones, ones[0].contiguous(), None, around)
    found, wanted = filtered_lrelu(*arguments, Workspace(machine.device), "y"), filtered_lrelu(*arguments)
    assert wanted.isnan().any() and torch.equal(found.isnan(), wanted.isnan())


def test_what_does_not_fit_is_left_to_plain_pytorch(machine: Machine) -> None:
    ones = torch.ones(1, 3, device=machine.device)
    for up_filter, down_filter, factors in ((row(160, 10, 4), row(120, 11), (4, 2)), (None, row(90, 11), (1, 16))):
        around = moved(resampling((90, 100), up_filter, down_filter, factors, (9, 8, 9, 8), 1.0), machine.device)
        x = values(1, 1, 3, 90, 100).to(machine.device)
        assert not filtered._has_kernel(x, around)
        found = filtered_lrelu(x, ones, ones[0].contiguous(), None, around, Workspace(machine.device), "y")
        assert torch.equal(found, filtered_lrelu(x, ones, ones[0].contiguous(), None, around))
    down = row(12, 11)
    assert not cuda_kernels.fits((1 << 16, 1, 9, 9), (9, 9), down, down, 2, 2)
    assert not cuda_kernels.fits((1, 1 << 17, 20000, 20000), (20000, 20000), down, down, 2, 2)


def test_a_tile_suits_the_plane_and_the_memory() -> None:
    filters = cuda_kernels.Filters(2, 12, 2, 12, square=False)
    sizes = {size: cuda_kernels.best_tile(filters, (size, size)) for size in (1, 36, 52, 276, 1044)}
    assert all(tile is not None and tile.size <= cuda_kernels.FOURS for tile in sizes.values())
    tile = sizes[1]
    assert tile is not None and (tile.height, tile.width) == (1, 4)
    assert cuda_kernels.best_tile(cuda_kernels.Filters(16, 256, 16, 256, square=False), (99, 99)) is None


def test_kernels_refuse_what_they_would_misread(machine: Machine) -> None:
    def new(*shape: int) -> torch.Tensor:
        return torch.zeros(*shape, device=machine.device)

    x = new(2, 4, 9, 9).contiguous(memory_format=torch.channels_last)
    y = new(2, 4, 5, 5).contiguous(memory_format=torch.channels_last)
    rest: dict[str, Any] = {
        "scale": new(2, 4), "bias": new(4), "style": None, "up_filter": new(2), "down_filter": new(2), "up": 1,
        "down": 1, "left": 0, "top": 0, "gain": 1.0, "slope": 0.2, "clamp": torch.inf,
    }  # fmt: skip
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"x": new(2, 4, 9, 9)}, "channels-last"),
        ({"y": y[:1]}, "the output is"),
        ({"y": y.half()}, "the output is"),
        ({"scale": new(1, 4)}, r"float32 \(2, 4\) on"),
        ({"style": new(2, 8)[:, ::2]}, "rows without gaps"),
        ({"bias": new(3)}, r"float32 \(4,\) on"),
        ({"up_filter": new(4)[::2]}, "a contiguous tensor"),
        ({"up_filter": new(2, 2)}, "is beyond the kernel"),
        ({"up": 0}, "is beyond the kernel"),
        ({"down_filter": new(2, 3)}, "neither a row nor a square"),
        ({"down_filter": new(4000)}, "are beyond the kernel"),
        ({"left": 1 << 40}, "a padding of"),
    ]
    for change, words in wrong:
        with pytest.raises(ValueError, match=words):
            cuda_kernels._filtered_lrelu(**({"x": x, "y": y} | rest | change))


def test_golden_pictures(machine: Machine) -> None:
    """A whole network: the kernel runs for every layer."""
    names = ("xl_stem16",) if machine.device.type == "cpu" else ("xl_stem16", "sg3_t32", "sg3_r32", "sg3_alt64")
    for name in names:
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            ws, wanted = (torch.from_numpy(arrays[key])[:1] for key in ("mixed", "img"))
        generator = load_generator(GOLDEN / f"{name}.pkl", device=machine.device, implementation="reference")
        assert isinstance(generator, AliasFreeGenerator)
        plain = generator.synthesis(ws)
        generator.compiled = True
        found = generator.synthesis(ws)
        assert not torch.equal(found, plain), "another form has run"
        assert (found.cpu() - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("radial", [False, True])
def test_half_precision_of_a_network_on_another_canvas(machine: Machine, radial: bool) -> None:
    plan = Plan(16, 128, 8, num_layers=4, margin_size=4, conv_kernel=1 if radial else 3, use_radial_filters=radial)
    options: dict[str, Any] = {"z_dim": 16, "w_dim": 16, "seed": 1, "device": machine.device}
    exact = AliasFreeGenerator.random(plan, **options, implementation="reference").resized((21, 30))
    half = AliasFreeGenerator.random(plan, **options, implementation="reference", dtype=torch.float16)
    half.compiled = True
    ws = values(1, 2, exact.num_ws, 16).to(machine.device)
    wanted, found = exact.synthesis(ws), half.resized((21, 30)).synthesis(ws)
    assert found.shape == (2, 3, 21, 30) and (found - wanted).abs().max() <= 0.005 * wanted.abs().max()


@pytest.mark.cuda
def test_a_gpu_takes_the_kernel_by_itself(gpu: Machine) -> None:
    generator = load_generator(GOLDEN / "sg3_t32.pkl", device=gpu.device, implementation="compiled")
    assert generator.compiled and selfcheck.wrong(gpu.device, torch.float32) == []
