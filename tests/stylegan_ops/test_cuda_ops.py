"""The operations' form for GPUs against their plain references in float64, on shapes drawn at random.

The kernels run twice: on a GPU that the CPU plays (`emulation`), which checks every access of memory, and on a real one
where there is one.
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import torch
from depth import examples
from emulated_gpu import allow, emulated, loaded, use_default_stream
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stylegan_ops import build, cuda_build, cuda_kernels, kernels, ops
from stylegan_ops.driver import DriverError
from stylegan_ops.fused import Finish, ToRGB
from stylegan_ops.memory import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from emulated_gpu import Machine

some = settings(max_examples=examples(25, 100), deadline=None, suppress_health_check=[HealthCheck.too_slow])

TAPS = torch.tensor([0.1, 0.4, 0.9, 0.6])


@dataclass(frozen=True)
class Case:
    """Shapes, and what there is and is not."""

    seed: int
    batch: int
    inputs: int
    outputs: int
    height: int
    width: int
    dtype: torch.dtype
    noise: int | None
    clamp: float | None
    style: bool
    gap: int
    """How much further apart the rows of scale and style lie than they need to."""


@st.composite
def cases(draw: st.DrawFn) -> Case:
    batch = draw(st.integers(1, 3))
    return Case(
        seed=draw(st.integers(0, 1000)),
        batch=batch,
        inputs=draw(st.sampled_from([1, 3, 8, 16])),
        outputs=draw(st.sampled_from([1, 2, 3, 4, 7, 8, 12, 16, 24, 32, 40, 64])),
        height=draw(st.integers(1, 9)),
        width=draw(st.integers(1, 9)),
        dtype=draw(st.sampled_from([torch.float32, torch.float16, torch.bfloat16])),
        noise=draw(st.sampled_from([None, 1, batch])),
        clamp=draw(st.sampled_from([None, 1.5])),
        style=draw(st.booleans()),
        gap=draw(st.sampled_from([0, 0, 4, 5])),
    )


class Draw:
    """The values of a case, on a device."""

    def __init__(self, case: Case, device: torch.device) -> None:
        self.case, self.device = case, device
        self.stream = torch.Generator().manual_seed(case.seed)

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.stream).to(self.device)

    def rows(self, *shape: int) -> torch.Tensor:
        return self.normal(*shape[:-1], shape[-1] + self.case.gap)[..., : shape[-1]]

    def finish(self, height: int, width: int) -> Finish:
        case = self.case
        return Finish(
            scale=self.rows(case.batch, case.outputs).abs_().div_(3 * case.inputs**0.5),
            bias=self.normal(case.outputs),
            noise=None if case.noise is None else self.normal(case.noise, 1, height, width),
            noise_gain=0.7,
            clamp=case.clamp,
            style=self.rows(case.batch, case.outputs) if case.style else None,
        )

    def rgb(self, height: int, width: int, *, doubled: bool) -> ToRGB:
        case = self.case
        return ToRGB(
            weight=self.rows(case.batch, 3, case.outputs) / case.outputs**0.5,
            bias=self.normal(3),
            clamp=case.clamp,
            skip=self.normal(case.batch, 3, height // 2, width // 2) if doubled else None,
            taps=TAPS.to(self.device),
            image=torch.full((case.batch, 3, height, width), torch.nan, device=self.device),
        )


def exact(part: object) -> object:
    """In float64, on the CPU."""
    changes = {name: value.cpu().double() for name, value in vars(part).items() if isinstance(value, torch.Tensor)}
    return replace(part, **changes)  # type: ignore[type-var]


def assert_close(
    found: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype, machine: Machine, unclamped: torch.Tensor
) -> None:
    """Within a share of the largest value, or of one, before the clamp, which cuts values but not their errors.

    In 16 bits the convolution and the result are rounded to 2^-9 (bfloat16) or 2^-12 each.
    """
    tolerance = {torch.float32: machine.float32_tolerance, torch.bfloat16: 2**-6, torch.float16: 2**-9}[dtype]
    assert found.shape == wanted.shape
    difference = (found.cpu().double() - wanted).abs().max()
    assert difference <= tolerance * max(float(unclamped.abs().max()), 1), f"off by {difference}"


@some
@given(case=cases(), kernel=st.sampled_from([1, 3]), painted=st.sampled_from(["not", "alone", "too", "doubled"]))
def test_styled_conv2d(machine: Machine, case: Case, kernel: int, painted: str) -> None:
    draw = Draw(case, machine.device)
    height, width = (2 * case.height, 2 * case.width) if painted == "doubled" else (case.height, case.width)
    x = draw.normal(case.batch, case.inputs, height, width).to(case.dtype)
    weight = draw.normal(case.outputs, case.inputs, kernel, kernel).to(case.dtype)
    finish = draw.finish(height, width)
    rgb = None if painted == "not" else draw.rgb(height, width, doubled=painted == "doubled")
    found = ops.styled_conv2d(x, weight, finish, rgb, keep=painted != "alone", workspace=Workspace(machine.device))
    exact_rgb = None if rgb is None else exact(rgb)
    wanted = ops.styled_conv2d(x.cpu().double(), weight.cpu().double(), exact(finish), exact_rgb)  # type: ignore[arg-type]
    free, free_rgb = replace(exact(finish), clamp=None), None if rgb is None else replace(exact(rgb), clamp=None)
    unclamped = ops.styled_conv2d(x.cpu().double(), weight.cpu().double(), free, free_rgb)
    if painted == "alone":
        assert found is None
    else:
        assert found is not None and wanted is not None and found.dtype == case.dtype
        assert_close(found, wanted, case.dtype, machine, unclamped)
    if rgb is not None:
        assert_close(rgb.image, exact_rgb.image, case.dtype, machine, free_rgb.image)  # type: ignore[union-attr]


@some
@example(case=Case(4, 3, 1, 64, 2, 9, torch.float16, None, 1.5, False, 0), phases=False)  # 4.9 before the clamp
@given(case=cases(), phases=st.booleans())
def test_styled_conv2d_up(machine: Machine, case: Case, phases: bool) -> None:
    draw = Draw(case, machine.device)
    x = draw.normal(case.batch, case.inputs, case.height, case.width).to(case.dtype)
    weight = draw.normal(case.inputs, case.outputs, 3, 3).to(case.dtype)
    finish, workspace = draw.finish(2 * case.height, 2 * case.width), Workspace(machine.device)
    if phases:
        filters = ops.phases(weight.float().transpose(0, 1), TAPS.to(machine.device)).to(case.dtype)
        found = ops.styled_conv2d_phases(x, filters, finish, workspace=workspace, name="y")
    else:
        found = ops.styled_conv2d_up(x, weight, TAPS.to(machine.device), finish, workspace=workspace, name="y")
    wanted, unclamped = (
        ops.styled_conv2d_up(
            x.cpu().double(), weight.cpu().double(), TAPS.double(), replace(exact(finish), clamp=clamp)
        )
        for clamp in (case.clamp, None)
    )
    assert found.dtype == case.dtype
    assert_close(found, wanted, case.dtype, machine, unclamped)


def test_a_picture_may_come_in_parts(machine: Machine) -> None:
    case = Case(3, 1, 8, 24, 8, 6, torch.float16, 1, 1.5, True, 0)
    results = []
    for parts in ((0, 8), (0, 3, 8)):
        draw = Draw(case, machine.device)
        finish, rgb = draw.finish(8, 6), draw.rgb(8, 6, doubled=True)
        x = draw.normal(1, 24, 8, 6).half().contiguous(memory_format=torch.channels_last)
        for row, end in itertools.pairwise(parts):
            own = x[:, :, row:end]
            kernels.finish(
                own, own, row, 8, finish.scale, finish.bias, finish.noise, finish.noise_gain, 1.5, finish.style,
                rgb.weight, rgb.bias, 1.5, rgb.skip, rgb.taps, rgb.image,
            )  # fmt: skip
        results.append((x, rgb.image))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])


@settings(max_examples=examples(10, 25), deadline=None)
@given(st.integers(1, 3), st.integers(1, 8), st.integers(1, 40), st.integers(0, 99))
def test_rgb_to_yuv420(machine: Machine, batch: int, rows: int, columns: int, seed: int) -> None:
    image = torch.randn(batch, 3, 2 * rows, 2 * columns, generator=torch.Generator().manual_seed(seed))
    image[0, 0, 0, 0] = torch.nan
    found = ops.rgb_to_yuv420(image.to(machine.device), compiled=True).cpu()
    difference = (found.int() - ops.rgb_to_yuv420(image).int()).abs()
    assert difference.max() <= 1 and difference.float().mean() < 1e-3  # a sum that is nearly half way


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [3, 32])
def test_not_a_number_and_infinity_pass_through(machine: Machine, channels: int, dtype: torch.dtype) -> None:
    values = torch.tensor([torch.nan, torch.inf, -torch.inf], device=machine.device)
    x = values.to(dtype).view(1, 1, 1, 3).expand(1, channels, 1, 3).contiguous(memory_format=torch.channels_last)
    ones = torch.ones(1, channels, device=machine.device)
    zeros = torch.zeros(channels, device=machine.device)
    kernels.finish(x, x, 0, 1, ones, zeros, None, 0.0, torch.inf, *[None] * 3, torch.inf, *[None] * 3)
    assert torch.isnan(x[..., 0]).all()
    assert (x[..., 1] == torch.inf).all() and (x[..., 2] == -torch.inf).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounding_is_to_nearest_even(machine: Machine, dtype: torch.dtype) -> None:
    bits = 11 if dtype == torch.float16 else 8
    ties = [1 + 2**-bits, 1 + 3 * 2**-bits, 1 + 2**-bits + 2**-20, 1e-7, 3e-5, 6e4, 7e4, 3.39e38]
    values = torch.cat([torch.randn(4000).abs(), torch.tensor(ties)]).to(machine.device)
    x = torch.zeros(1, len(values), 1, 1, dtype=dtype, device=machine.device)
    ones = torch.ones(1, len(values), device=machine.device)
    kernels.finish(x, x, 0, 1, ones, values, None, 0.0, torch.inf, *[None] * 3, torch.inf, *[None] * 3)
    assert torch.equal(x.flatten(), values.to(dtype))


def test_kernels_refuse_what_they_would_misread(machine: Machine) -> None:
    def new(*shape: int) -> torch.Tensor:
        return torch.zeros(*shape, device=machine.device)

    x = new(2, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    ones, rest = new(2, 4), (new(4), None, 0.0, torch.inf, *[None] * 3, torch.inf, *[None] * 3)
    with pytest.raises(ValueError, match="channels-last"):
        cuda_kernels._finish(new(2, 4, 3, 3), x, 0, 3, ones, *rest)
    with pytest.raises(ValueError, match=r"float32 \(2, 4\) on .* was expected, not torch.float32 \(1, 4\)"):
        cuda_kernels._finish(x, x, 0, 3, ones[:1], *rest)
    with pytest.raises(ValueError, match=r"rows without gaps"):
        cuda_kernels._finish(x, x, 0, 3, new(2, 8)[:, ::2], *rest)
    with pytest.raises(ValueError, match=r"rows 1 to 4 of 3"):
        cuda_kernels._finish(x, x, 1, 3, ones, *rest)
    with pytest.raises(ValueError, match="the output is"):
        cuda_kernels._finish(x, x[:, :, :2].contiguous(memory_format=torch.channels_last), 0, 3, ones, *rest)
    with pytest.raises(ValueError, match="the output is"):
        cuda_kernels._smooth(x, x, TAPS.to(machine.device), ones, *rest[:5])
    with pytest.raises(ValueError, match="the output is"):
        cuda_kernels._finish_phases(x, x, ones, *rest[:5])


FAULTS = """
#include "device.h"
KERNEL(misaligned, 1, (float *y, int)) { __stwb((float4 *)(y + 1), float4{}); }
KERNEL(outside, 1, (float *y, int count)) { __stwb(y + count + threadIdx.x, 0.0f); }
KERNEL(unread, 1, (float *y, int count)) { __stwb(y + threadIdx.x, __ldg(y + count)); }
KERNEL(race, 1, (float *y, int)) { if (threadIdx.x < 32) __stwb(y + threadIdx.x / 2, 0.0f); }
KERNEL(hazard, 1, (float *y, int)) { if (threadIdx.x < 31) __stwb(y + threadIdx.x, __ldca(y + threadIdx.x + 1)); }
KERNEL(missed, 1, (float *y, int)) {
    if (threadIdx.x != 7) __stwb(y + threadIdx.x, __shfl_xor_sync(0xffffffffu, 1.0f, 4));
}
KERNEL(hurried, 1, (float *y, int)) {
    SHARED(float, memory, 256);
    store_shared(memory + threadIdx.x, 1.0f);
    __stwb(y + threadIdx.x, load_shared(memory + (threadIdx.x + 1) % 256));
}
KERNEL(overtaken, 1, (float *y, int)) {
    SHARED(float, memory, 256);
    for (int i = 0; i < 2; i++) {
        store_shared(memory + threadIdx.x, 1.0f);
        __syncthreads();
        __stwb(y + threadIdx.x, load_shared(memory + 255 - threadIdx.x));
    }
}
KERNEL(empty, 1, (float *y, int)) {
    SHARED(float, memory, 256);
    if (threadIdx.x) store_shared(memory + threadIdx.x, 1.0f);
    __syncthreads();
    __stwb(y + threadIdx.x, load_shared(memory + threadIdx.x));
}
KERNEL(beyond, 1, (float *, int)) {
    SHARED(float, memory, 256);
    store_shared(memory + threadIdx.x + 1, 1.0f);
}
KERNEL(crooked, 1, (float *, int)) {
    SHARED(float4, memory, 256);
    store_shared((float4 *)((float *)(memory + threadIdx.x) + 1), float4{});
}
KERNEL(large, 1, (float *, int)) { SHARED(float4, memory, 3073); }
KERNEL(unmet, 1, (float *, int)) { if (threadIdx.x != 7) __syncthreads(); }
KERNEL(met, 1, (float *y, int)) {
    SHARED(float, memory, 256);
    for (int i = 0; i < 3; i++) {
        store_shared(memory + threadIdx.x, __ldca(y + threadIdx.x));
        __syncthreads();
        __stwb(y + threadIdx.x, load_shared(memory + 255 - threadIdx.x));
        __syncthreads();
    }
}
KERNEL(sound, 1, (float *y, int)) {
    __stwb(y + threadIdx.x, __shfl_xor_sync(0xffffffffu, __ldca(y + threadIdx.x), 4));
}
"""


def test_the_emulation_tells_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = cuda_build.program_of(FAULTS, [build.SOURCES], name="faults")
    library = emulated([program], tmp_path / "faults.so")
    use_default_stream(monkeypatch)
    gpu = loaded(library, [program])
    y = torch.arange(256, dtype=torch.float32)

    def run(name: str, blocks: int = 1) -> None:
        gpu.launch("faults", name, (blocks,), ctypes.c_void_p(y.data_ptr()), ctypes.c_int32(256))
        assert library.emulation_contexts() == 0

    faults = {
        "misaligned": "not a multiple of 16",
        "outside": "a write of 4 bytes outside",
        "unread": "a read of 4 bytes outside",
        "race": "written by one thread and used by another",
        "hazard": "written by one thread and used by another",
        "missed": "missed by a thread of the warp",
        "hurried": "shared memory is (written by one thread and used by another|read) before",
        "overtaken": "shared memory is written by one thread and used by another before they met",
        "empty": "shared memory is read before it is written",
        "beyond": "a write of 4 bytes outside of shared memory",
        "crooked": "not a multiple of 16",
        "large": "more than 49152 bytes of shared memory",
        "unmet": "missed by a thread of the block",
    }
    for name, wanted in faults.items():
        library.emulation_forget()
        allow(library, y, write=True)
        with pytest.raises(DriverError, match=wanted):
            run(name)
        assert library.emulation_contexts() == 0
    library.emulation_forget()
    allow(library, y, write=True)
    run("sound")
    backwards = y.flip(0)
    run("met")
    assert torch.equal(y, backwards)
    with pytest.raises(DriverError, match="cuLaunchKernel: invalid argument"):
        run("sound", 0)
    with pytest.raises(DriverError, match="cuModuleGetFunction: named symbol not found"):
        run("unknown")
    library.emulation_forget()
    allow(library, y, write=False)
    with pytest.raises(DriverError, match="a write"):
        run("sound")


def test_the_doubling_forms_are_what_the_references_say() -> None:
    case = Case(5, 2, 5, 6, 3, 4, torch.float64, 1, None, True, 0)
    draw = Draw(case, torch.device("cpu"))
    x, weight = draw.normal(2, 5, 3, 4).double(), draw.normal(5, 6, 3, 3).double()
    finish = exact(draw.finish(6, 8))
    transposed = ops.styled_conv2d_up(x, weight, TAPS.double(), finish)  # type: ignore[arg-type]
    filters = ops.phases(weight.transpose(0, 1), TAPS.double())
    assert filters.shape == (24, 5, 3, 3)
    phases = ops.styled_conv2d_phases(x, filters, finish)  # type: ignore[arg-type]
    assert torch.allclose(transposed, phases, rtol=0, atol=1e-12)
