"""A GPU for the CUDA kernels: the real one where there is one, and always one that the CPU plays."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stylegan_ops import build, cuda_kernels, kernels, ops

EMULATION = Path(__file__).parent / "emulation"


@dataclass(frozen=True)
class Machine:
    """Where the CUDA kernels run."""

    device: torch.device
    float32_tolerance: float
    """Relative, of sums of up to 360 products: cuDNN may take Winograd's algorithm."""


def emulated(sources: Sequence[Path], library: Path) -> ctypes.CDLL:
    """CUDA sources, compiled for the CPU."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    flags = ["-std=c++20", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-unknown-pragmas", f"-I{EMULATION}"]
    files = [str(path) for path in [*sources, EMULATION / "emulation.cpp"]]
    subprocess.run([compiler, *flags, f"-I{build.SOURCES}", "-x", "c++", *files, "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def allow(library: ctypes.CDLL, values: Tensor, *, write: bool) -> None:
    """Let kernels read a tensor, or write it too."""
    last = sum((size - 1) * step for size, step in zip(values.shape, values.stride(), strict=True))
    size = values.itemsize * (last + 1) if values.numel() else 0
    library.emulation_allow(ctypes.c_void_p(values.data_ptr()), ctypes.c_size_t(size), int(write))


def guarded(library: ctypes.CDLL, operation: Callable[..., None], *written: int) -> Callable[..., None]:
    """An operation that may read its arguments and write those with the positions `written`; and nothing else."""

    def run(*arguments: object) -> None:
        library.emulation_forget()
        tensors = [(at, values) for at, values in enumerate(arguments) if isinstance(values, Tensor)]
        for at, values in sorted(tensors, key=lambda pair: pair[0] not in written):
            allow(library, values, write=at in written)
        operation(*arguments)

    return run


@pytest.fixture(scope="module")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The operations' form for GPUs, on tensors in the CPU's memory."""
    path = tmp_path_factory.mktemp("emulation") / "kernels.so"
    emulated(sorted(build.SOURCES.glob("*.cu")), path)
    library = cuda_kernels.load(path)

    def launch(function: str, device: torch.device, *arguments: object) -> None:
        if function == "stylegan_rgb_to_yuv420":
            image, y, batch, height, width = arguments
            library.emulation_forget()
            pixels = batch * height * width  # type: ignore[operator]
            library.emulation_allow(ctypes.c_void_p(image), ctypes.c_size_t(12 * pixels), 0)  # type: ignore[arg-type]
            library.emulation_allow(ctypes.c_void_p(y), ctypes.c_size_t(3 * pixels // 2), 1)  # type: ignore[arg-type]
        error = getattr(library, function)(*arguments, 0, None)
        assert error is None, error.decode()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_kernels, "_launch", launch)
        patch.setattr(kernels, "finish", guarded(library, cuda_kernels._finish, 1, 15))
        patch.setattr(kernels, "rgb_to_yuv420", cuda_kernels._rgb_to_yuv420)
        patch.setattr(cuda_kernels, "finish_phases", guarded(library, cuda_kernels._finish_phases, 1))
        patch.setattr(cuda_kernels, "smooth", guarded(library, cuda_kernels._smooth, 1))
        patch.setattr(ops, "_on_gpu", lambda x: True)
        yield Machine(torch.device("cpu"), 1e-5)


@pytest.fixture(scope="module", params=["emulation", pytest.param("cuda", marks=pytest.mark.cuda)])
def machine(request: pytest.FixtureRequest) -> Machine:
    """Both, one after the other."""
    if request.param == "emulation":
        found: Machine = request.getfixturevalue("emulation")
        return found
    return real_gpu()


@pytest.fixture(scope="module")
def gpu() -> Machine:
    """The real one."""
    return real_gpu()


def real_gpu() -> Machine:
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    assert cuda_kernels.cuda_kernels().library is not None, cuda_kernels.cuda_kernels().reason
    return Machine(torch.device("cuda"), 1e-4)
