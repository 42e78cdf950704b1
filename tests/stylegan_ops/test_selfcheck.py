"""A kernel that is wrong is found before it is used, and the reference does its work."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from typing import TYPE_CHECKING

import pytest
import torch
from emulated_gpu import emulated, loaded, use_default_stream

from stylegan_ops import Architecture, Generator, build, cuda_build, cuda_kernels, kernels, ops, selfcheck
from stylegan_ops.cuda_kernels import Availability
from stylegan_ops.initial import random_state
from stylegan_ops.memory import Workspace
from stylegan_ops.stylegan3 import cuda_kernels as stylegan3
from stylegan_ops.stylegan3 import filtered
from stylegan_ops.stylegan3.filtered import Resampling, filtered_lrelu
from stylegan_ops.styles import Styles

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator
    from pathlib import Path

CPU = torch.device("cpu")
SMALL = Architecture(z_dim=8, w_dim=12, mapping_features=(12,), channels=(16, 8, 6), conv_clamp=2.0)
needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty cache, a compiler that does not take long, and nothing that was checked before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "FLAGS", tuple(flag.replace("-O3", "-O1") for flag in build.FLAGS))
    monkeypatch.setattr(selfcheck, "_verdicts", {})
    kernels._cpu_kernels.cache_clear()
    yield
    monkeypatch.undo()
    kernels._cpu_kernels.cache_clear()


@pytest.fixture
def wrong_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources, for a test to spoil."""
    folder = tmp_path / "csrc"
    shutil.copytree(build.SOURCES, folder)
    monkeypatch.setattr(build, "SOURCES", folder)
    return folder


def spoil(path: Path, right: str, wrong: str) -> None:
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))


def pictures(generator: Generator) -> torch.Tensor:
    ws = torch.randn(2, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(1))
    return generator.synthesis(ws)


def small(**options: object) -> Generator:
    return Generator(SMALL, random_state(SMALL, seed=3), device=CPU, dtype=torch.float32, **options)  # type: ignore[arg-type]


@needs_compiler
def test_sound_kernels_pass_once_for_each_build(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = list(selfcheck.check_all(CPU))
    assert {(outcome.op, outcome.precision) for outcome in outcomes} == {
        ("styled_conv2d", "float32"), ("styled_conv2d", "bfloat16"), ("styled_conv2d_up", "float32"),
        ("styled_conv2d_up", "bfloat16"), ("rgb_to_yuv420", "float32"), ("filtered_lrelu", "float32"),
        ("filtered_lrelu", "bfloat16"),
    }  # fmt: skip
    assert all(outcome.reason is None for outcome in outcomes)
    checked = []
    monkeypatch.setattr(selfcheck, "_checked", lambda subject, *rest: checked.append(subject))
    for _ in range(2):  # the second time as in another process
        pictures(small())
        selfcheck._verdicts.clear()
    assert sorted(checked) == ["styled_conv2d", "styled_conv2d_up"]
    monkeypatch.setattr(build, "chip", lambda: "another")
    pictures(small())
    assert len(checked) == 4


@needs_compiler
@pytest.mark.parametrize(("name", "right", "wrong", "op"), [
    ("vector.h", "0.2f", "0.25f", "styled_conv2d"),
    ("columns.cpp", "taps.here[2 + tap]", "taps.here[1 + tap]", "styled_conv2d_up"),
])  # fmt: skip
def test_a_wrong_kernel_for_cpus_is_not_used(wrong_sources: Path, name: str, right: str, wrong: str, op: str) -> None:
    spoil(wrong_sources / name, right, wrong)
    expected = pictures(small(implementation="reference"))
    with pytest.warns(RuntimeWarning, match=f"the compiled {op}.* is wrong on CPU in float32 .* is not used") as told:
        found = [pictures(small()) for _ in range(2)]
    assert len({str(one.message) for one in told}) == len(told) <= 2
    assert all((one - expected).abs().max() < 1e-4 for one in found)
    with warnings.catch_warnings(record=True):  # others may share what is wrong
        warnings.simplefilter("always")
        assert op in selfcheck.wrong(CPU, torch.float32)
    outcomes = {outcome.op: outcome.reason for outcome in selfcheck.check_all(CPU) if outcome.precision == "float32"}
    assert outcomes[op] is not None and "instead of at most" in outcomes[op]
    assert outcomes["rgb_to_yuv420"] is None


@needs_compiler
def test_a_wrong_conversion_is_not_used(wrong_sources: Path) -> None:
    spoil(wrong_sources / "yuv.h", "0.0722f", "0.0822f")
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with pytest.warns(RuntimeWarning, match="the compiled rgb_to_yuv420 is wrong .*levels differ by up to"):
        found = ops.rgb_to_yuv420(image, compiled=True)
    assert torch.equal(found, ops.rgb_to_yuv420(image))


@needs_compiler
def test_a_wrong_activation_of_stylegan3_is_not_used(wrong_sources: Path) -> None:
    spoil(wrong_sources / "filtered.cpp", "value * job.gain", "value * job.gain * 1.01f")
    x, one = torch.randn(1, 5, 6, 7, generator=torch.Generator().manual_seed(1)), torch.ones(1, 5)
    around = Resampling(None, None, 1, 1, (0, 0, 0, 0), (7, 6), None)
    with pytest.warns(RuntimeWarning, match="the compiled filtered_lrelu is wrong on CPU in float32"):
        found = filtered_lrelu(x, one, one[0], None, around, Workspace(CPU), "y")
    assert torch.equal(found, filtered_lrelu(x, one, one[0], None, around))


# --- on an emulated GPU


def on_gpu(library: ctypes.CDLL, programs: list[cuda_build.Program], patch: pytest.MonkeyPatch, identity: str) -> None:
    """Let the forms for GPUs run on the CPU's memory, without a check of their accesses."""
    found = Availability(dataclasses.replace(loaded(library, programs), identity=identity), identity)
    library.emulation_allow_all()
    use_default_stream(patch)
    patch.setattr(cuda_kernels, "cuda_kernels", lambda device=None: found)
    patch.setattr(kernels, "finish", cuda_kernels._finish)
    patch.setattr(kernels, "rgb_to_yuv420", cuda_kernels._rgb_to_yuv420)
    patch.setattr(cuda_kernels, "finish_phases", cuda_kernels._finish_phases)
    patch.setattr(cuda_kernels, "smooth", cuda_kernels._smooth)
    patch.setattr(stylegan3, "filtered_lrelu", stylegan3._filtered_lrelu)
    patch.setattr(ops, "_on_gpu", lambda x: True)
    patch.setattr(filtered, "_on_gpu", lambda x: True)


GPU_OPS = ("styled_conv2d", "styled_conv2d_up", "styled_conv2d_phases", "rgb_to_yuv420", "filtered_lrelu")


def passing(dtype: torch.dtype) -> set[str]:
    return {op for op in GPU_OPS if selfcheck.trusted(op, "cuda", CPU, dtype)}


def test_sound_kernels_pass_on_an_emulated_gpu(emulated_kernels: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu(emulated_kernels, cuda_kernels.programs(), monkeypatch, "sound")
    for dtype in cuda_kernels.NAMES:
        assert passing(dtype) == set(GPU_OPS)


def test_wrong_kernels_on_an_emulated_gpu_are_not_used(
    wrong_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(wrong_sources / "smooth.cu", "sums[n] * taps[0]", "sums[n] * taps[1]")
    spoil(wrong_sources / "yuv.cu", "KB = 0.0722f", "KB = 0.0822f")
    programs = cuda_kernels.programs()
    on_gpu(emulated(programs, tmp_path / "wrong.so"), programs, monkeypatch, "wrong")
    generator = small(implementation="reference")
    expected = pictures(generator)
    generator.compiled = True
    generator._styles = Styles.of(generator._blocks)
    with pytest.warns(RuntimeWarning, match="the compiled styled_conv2d_up is wrong .*is not used") as told:
        found = [pictures(generator) for _ in range(2)]
    assert len(told) == 1
    assert all((one - expected).abs().max() < 1e-4 for one in found)
    with pytest.warns(RuntimeWarning, match="the compiled rgb_to_yuv420 is wrong"):
        assert passing(torch.float32) == {"styled_conv2d", "styled_conv2d_phases", "filtered_lrelu"}


@pytest.mark.parametrize(("right", "wrong"), [
    ("output * down - before;", "output * down - before + 1;"),  # the padding
    ("value *= job.gain;", "value *= job.gain * 1.02f;"),
    ("taps * (part + 1) / PARTS", "taps * (part + 1) / PARTS - part % 2"),  # the last taps of a square
    ("row >= job.out_height ||", "row >= job.out_height - 1 ||"),
    ("value < 0 ? value * job.slope", "value < -0.1f ? value * job.slope"),
])  # fmt: skip
def test_a_wrong_activation_of_stylegan3_on_an_emulated_gpu_is_not_used(
    wrong_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: str, wrong: str
) -> None:
    spoil(wrong_sources / "filtered.cu", right, wrong)
    programs = [program for program in cuda_kernels.programs() if program.name == "cuda-filtered"]
    on_gpu(emulated(programs, tmp_path / "wrong.so"), programs, monkeypatch, "wrong")
    x, one = torch.randn(1, 5, 6, 7, generator=torch.Generator().manual_seed(1)), torch.ones(1, 5)
    around = Resampling(None, None, 1, 1, (0, 0, 0, 0), (7, 6), None)
    for dtype in (torch.float32, torch.float16):
        name = selfcheck.NAMES[dtype]
        with pytest.warns(RuntimeWarning, match=f"the compiled filtered_lrelu is wrong on CPU in {name} .*is not used"):
            found = filtered_lrelu(x.to(dtype), one, one[0], None, around, Workspace(CPU), "y")
        assert torch.equal(found, filtered_lrelu(x.to(dtype), one, one[0], None, around))


def test_a_gpu_that_refuses_a_kernel_is_not_asked_again(
    emulated_kernels: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu(emulated_kernels, cuda_kernels.programs(), monkeypatch, "refusing")
    emulated_kernels.emulation_forget()  # no memory may be read
    with pytest.warns(RuntimeWarning, match=r"rgb_to_yuv420 is wrong .* failed on cpu: cuLaunchKernel: a read of 8"):
        assert not selfcheck.trusted("rgb_to_yuv420", "cuda", CPU, torch.float32)


def test_a_lack_of_memory_says_nothing_about_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(trial: selfcheck.Trial) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(selfcheck, "OPS", {"some": selfcheck.Compiled("some", ("cpu",), check, precise=False)})
    with pytest.raises(torch.OutOfMemoryError):
        selfcheck.trusted("some", "cpu", CPU, torch.float32)
    monkeypatch.setattr(selfcheck, "OPS", {"some": selfcheck.Compiled("some", ("cpu",), lambda trial: None, False)})
    assert selfcheck.trusted("some", "cpu", CPU, torch.float32)


def test_what_is_not_a_number_differs() -> None:
    trial = selfcheck.Trial(CPU, torch.float32)
    with pytest.raises(selfcheck.Difference, match="nan instead of at most"):
        trial.compare(torch.full((2,), torch.nan), torch.zeros(2))
    with pytest.raises(selfcheck.Difference, match=r"the shape is \(2,\), not \(1, 2\)"):
        trial.compare(torch.zeros(2), torch.zeros(1, 2))


def test_every_operation_with_a_kernel_has_a_check() -> None:
    assert set(selfcheck.OPS) >= set(GPU_OPS)
