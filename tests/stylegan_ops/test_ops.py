"""Compiled operations against their plain references in float64, on shapes drawn at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from compilers import needs_compiler

from stylegan_ops import StyleGANError, cpu_ops, kernels, ops
from stylegan_ops.fused import Finish, ToRGB
from stylegan_ops.memory import Workspace

needs_kernels = pytest.mark.skipif(
    kernels.cpu_kernels().library is None, reason=f"no kernels: {kernels.cpu_kernels().reason}"
)


def test_kernels_are_there_where_a_compiler_is() -> None:
    """Without this, a build that fails would only leave out the tests of what was to be built."""
    needs_compiler()
    assert kernels.cpu_kernels().library is not None, kernels.cpu_kernels().reason


# Sums of up to 360 products in another order; in 16 bits the convolution and the result are rounded to 2^-9 each, and
# an up-sampling convolution's nine products too.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-6}


class Draw:
    """Shapes, values and options of one case."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.RandomState(seed)
        self.torch = torch.Generator().manual_seed(seed)
        self.batch = self.choice(1, 2, 3)
        self.inputs, self.outputs = self.choice(1, 3, 16, 40), self.choice(1, 2, 15, 16, 17, 32, 40)
        self.height, self.width = int(self.random.randint(1, 14)), int(self.random.randint(1, 14))
        self.dtype = self.choice(torch.float32, torch.bfloat16)

    def choice(self, *options: object) -> object:
        return options[self.random.randint(len(options))]

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.torch)

    def activations(self, *shape: int) -> torch.Tensor:
        """In any layout: channels-last, planar, or a part of something larger."""
        x = self.normal(shape[0], shape[1] + 1, *shape[2:]).to(self.dtype)
        layout = self.choice("channels-last", "planar", "part")
        if layout == "part":
            return x[:, 1:]
        x = x[:, 1:].contiguous()
        return x.contiguous(memory_format=torch.channels_last) if layout == "channels-last" else x

    def finish(self, height: int, width: int) -> Finish:
        noise_samples = self.choice(0, 1, self.batch)
        return Finish(
            scale=self.normal(self.batch, self.outputs).abs() / (3 * self.inputs**0.5),
            bias=self.normal(self.outputs),
            noise=self.normal(noise_samples, 1, height, width) if noise_samples else None,
            noise_gain=0.7,
            clamp=self.choice(None, 1.5),
            style=self.choice(None, self.normal(self.batch, self.outputs)),
        )

    def rgb(self, height: int, width: int) -> ToRGB | None:
        if self.choice(True, False):
            return None
        doubled = height % 2 == width % 2 == 0 and self.choice(True, True, False)
        return ToRGB(
            weight=self.normal(self.batch, 3, self.outputs) / self.outputs**0.5,
            bias=self.normal(3),
            clamp=self.choice(None, 1.5),
            skip=self.normal(self.batch, 3, height // 2, width // 2) if doubled else None,
            taps=torch.tensor([0.1, 0.4, 0.9, 0.6]),
            image=torch.full((self.batch, 3, height, width), torch.nan),
        )


def exact(finish: Finish, rgb: ToRGB | None = None) -> tuple[Finish, ToRGB | None]:
    """Both in float64."""

    def convert(part: object) -> object:
        changes = {name: value.double() for name, value in vars(part).items() if isinstance(value, torch.Tensor)}
        return replace(part, **changes)  # type: ignore[type-var]

    return convert(finish), None if rgb is None else convert(rgb)  # type: ignore[return-value]


def assert_close(found: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> None:
    """Within a share of the largest value, or of one, since a clamp cuts values but not their errors."""
    assert found.shape == wanted.shape
    difference = (found.double() - wanted).abs().max()
    assert difference <= TOLERANCE[dtype] * max(float(wanted.abs().max()), 1), f"off by {difference}"


@needs_kernels
@pytest.mark.parametrize("seed", range(60))
def test_styled_conv2d(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Draw(seed)
    monkeypatch.setattr(cpu_ops, "BAND_BYTES", draw.choice(1, 2000, 4 << 20))  # a few rows at a time, or all
    height, width = draw.choice((draw.height, draw.width), (2 * draw.height, 2 * draw.width))
    x = draw.activations(draw.batch, draw.inputs, height, width)
    kernel = draw.choice(1, 3)
    weight = draw.normal(draw.outputs, draw.inputs, kernel, kernel).to(draw.dtype)
    finish, rgb = draw.finish(height, width), draw.rgb(height, width)
    keep = rgb is None or draw.choice(True, False)
    found = ops.styled_conv2d(x, weight, finish, rgb, keep=keep, workspace=Workspace(), name="y")
    exact_finish, exact_rgb = exact(finish, rgb)
    wanted = ops.styled_conv2d(x.double(), weight.double(), exact_finish, exact_rgb)
    assert wanted is not None
    if keep:
        assert found is not None and found.dtype == draw.dtype
        assert_close(found, wanted, draw.dtype)
    else:
        assert found is None
    if rgb is not None and exact_rgb is not None:
        assert_close(rgb.image, exact_rgb.image, draw.dtype)


@needs_kernels
@pytest.mark.parametrize("seed", range(60))
def test_styled_conv2d_up(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Draw(seed)
    monkeypatch.setattr(cpu_ops, "BAND_BYTES", draw.choice(1, 9000, 4 << 20))
    x = draw.activations(draw.batch, draw.inputs, draw.height, draw.width)
    weight = draw.normal(draw.inputs, draw.outputs, 3, 3).to(draw.dtype)
    taps = torch.tensor([0.1, 0.4, 0.9, 0.6])
    finish = draw.finish(2 * draw.height, 2 * draw.width)
    found = ops.styled_conv2d_up(x, weight, taps, finish, workspace=Workspace(), name="y")
    wanted = ops.styled_conv2d_up(x.double(), weight.double(), taps.double(), exact(finish)[0])
    assert found.dtype == draw.dtype
    assert_close(found, wanted, draw.dtype)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_not_a_number_and_infinity_pass_through(dtype: torch.dtype) -> None:
    x = torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0]).view(1, 4, 1, 1).to(dtype)
    y = torch.empty_like(x)
    ones = torch.ones(1, 4)
    kernels.finish(x, y, 0, 1, ones, torch.zeros(4), None, 0.0, torch.inf, *[None] * 3, torch.inf, *[None] * 3)
    assert torch.isnan(y[0, 0]) and y[0, 1:].flatten().tolist() == [torch.inf, -torch.inf, 1.0]


@needs_kernels
def test_rounding_to_bfloat16_is_to_nearest_even() -> None:
    values = torch.cat([torch.randn(4000), torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3.39e38])])
    x = torch.zeros(1, len(values), 1, 1, dtype=torch.bfloat16)
    y = torch.empty_like(x)
    ones = torch.ones(1, len(values))
    kernels.finish(x, y, 0, 1, ones, values.abs(), None, 0.0, torch.inf, *[None] * 3, torch.inf, *[None] * 3)
    assert torch.equal(y.flatten(), values.abs().bfloat16())


@needs_kernels
def test_the_number_of_threads_does_not_matter() -> None:
    draw = Draw(7)
    draw.batch, draw.outputs, draw.dtype = 2, 24, torch.float32
    products, y = draw.normal(2, 9, 7, 9, 24), torch.empty(2, 18, 14, 24).permute(0, 3, 1, 2)
    finish, rgb = draw.finish(18, 14), None
    while rgb is None or rgb.skip is None:
        rgb = draw.rgb(18, 14)
    results = []
    threads = torch.get_num_threads()
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        cpu_ops._columns(products, y, 0, 0, 9, torch.rand(4, generator=torch.manual_seed(0)), finish)
        cpu_ops._finish(y, y, 0, 18, finish, rgb)
        results.append((y.clone(), rgb.image.clone()))
    torch.set_num_threads(threads)
    assert all(torch.equal(y, results[0][0]) and torch.equal(image, results[0][1]) for y, image in results)


@needs_kernels
def test_kernels_refuse_what_they_would_misread() -> None:
    x, ones = torch.zeros(2, 4, 3, 3).contiguous(memory_format=torch.channels_last), torch.ones(2, 4)
    rest = (torch.zeros(4), None, 0.0, torch.inf, *[None] * 3, torch.inf, *[None] * 3)
    kernels.finish(x, x, 0, 3, ones, *rest)
    with pytest.raises(ValueError, match="channels-last"):
        kernels.finish(torch.zeros(2, 4, 3, 3), x, 0, 3, ones, *rest)
    with pytest.raises(ValueError, match=r"contiguous float32 tensor of \(2, 4\)"):
        kernels.finish(x, x, 0, 3, ones[:1], *rest)
    with pytest.raises(ValueError, match=r"rows 1 to 4 of 3"):
        kernels.finish(x, x, 1, 3, ones, *rest)
    with pytest.raises(ValueError, match="the output is"):
        kernels.finish(x, x[:, :, :2], 0, 3, ones, *rest)
    y = torch.empty(1, 6, 6, 4).permute(0, 3, 1, 2)
    with pytest.raises(ValueError, match="need their neighbours"):
        kernels.columns(torch.zeros(1, 2, 3, 9, 4), y, 0, 0, 2, torch.ones(4), ones[:1], *rest[:5])


COLOURS = {  # ITU-R BT.709-6, 8 bit: E'Y of the primaries, and chroma at the ends of its range
    (1, 1, 1): (235, 128, 128),
    (-1, -1, -1): (16, 128, 128),
    (1, -1, -1): (63, 102, 240),
    (-1, 1, -1): (173, 42, 26),
    (-1, -1, 1): (32, 240, 118),
    (9, 9, 9): (235, 128, 128),
}


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=needs_kernels)])
def test_rgb_to_yuv420_knows_the_colours(compiled: bool) -> None:
    for colour, (luma, blue, red) in COLOURS.items():
        image = torch.tensor(colour, dtype=torch.float32).view(1, 3, 1, 1).expand(2, 3, 4, 6)
        found = ops.rgb_to_yuv420(image, compiled=compiled)
        assert found.tolist() == [[luma] * 24 + [blue] * 6 + [red] * 6] * 2, colour


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=needs_kernels)])
@pytest.mark.parametrize("size", [(2, 2), (6, 34), (20, 10)])
def test_rgb_to_yuv420(size: tuple[int, int], compiled: bool) -> None:
    height, width = size
    image = torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(1))
    found = ops.rgb_to_yuv420(image, compiled=compiled).numpy()
    r, g, b = np.moveaxis(np.clip(image.double().numpy() / 2 + 0.5, 0, 1), 1, 0)
    luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
    chroma = []
    for difference in ((b - luma) / 1.8556, (r - luma) / 1.5748):
        padded = np.pad(difference, ((0, 0), (0, 0), (1, 0)), mode="edge")
        columns = sum(weight * padded[:, :, at : at + width : 2] for at, weight in enumerate((0.25, 0.5, 0.25)))
        chroma.append(128 + 224 * columns.reshape(3, height // 2, 2, width // 2).mean(2))
    wanted = np.concatenate([plane.reshape(3, -1) for plane in (16 + 219 * luma, *chroma)], axis=1)
    assert np.abs(found - wanted).max() <= 0.5 + 1e-3  # the nearest level, but for float32's rounding


def test_rgb_to_yuv420_takes_even_sizes() -> None:
    with pytest.raises(StyleGANError, match=r"\(1, 3, 3, 4\).*even"):
        ops.rgb_to_yuv420(torch.zeros(1, 3, 3, 4))


@needs_kernels
def test_ops_know_their_shapes_without_running() -> None:
    image = torch.empty(2, 3, 4, 6, device="meta")
    assert torch.ops.stylegan_ops.rgb_to_yuv420(image).shape == (2, 36)
