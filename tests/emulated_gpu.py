"""A GPU that the CPU plays: CUDA sources compiled against `stylegan_ops/emulation` instead of the toolkit."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from stylegan_ops import build

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EMULATION = Path(__file__).parent / "stylegan_ops" / "emulation"


@dataclass(frozen=True)
class Machine:
    """Where the CUDA kernels run."""

    device: torch.device
    float32_tolerance: float
    """Relative, of sums of up to 360 products: cuDNN may take Winograd's algorithm."""


def emulated(sources: Sequence[Path], library: Path, *options: str) -> ctypes.CDLL:
    """CUDA sources, compiled for the CPU."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    player = _player(compiler)
    flags = ["-std=c++20", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-unknown-pragmas", f"-I{EMULATION}"]
    files = ["-x", "c++", *(str(path) for path in sources), "-x", "none", str(player)]
    subprocess.run([compiler, *flags, f"-I{build.SOURCES}", *options, *files, "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


@functools.cache
def _player(compiler: str) -> Path:
    """What runs kernels, compiled once in a process."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "emulation.o")
    weakref.finalize(_player, folder.cleanup)
    subprocess.run(
        [compiler, "-std=c++20", "-O1", "-fPIC", "-fvisibility=hidden", "-c", EMULATION / "emulation.cpp", "-o", path],
        check=True,
    )
    return path


def allow(library: ctypes.CDLL, values: torch.Tensor, *, write: bool) -> None:
    """Let kernels read a tensor, or write it too."""
    last = sum((size - 1) * step for size, step in zip(values.shape, values.stride(), strict=True))
    size = values.itemsize * (last + 1) if values.numel() else 0
    library.emulation_allow(ctypes.c_void_p(values.data_ptr()), ctypes.c_size_t(size), int(write))


def guarded(library: ctypes.CDLL, operation: Callable[..., None], *written: int) -> Callable[..., None]:
    """An operation that may read its arguments and write those with the positions `written`; and nothing else."""

    def run(*arguments: object) -> None:
        library.emulation_forget()
        tensors = [(at, values) for at, values in enumerate(arguments) if isinstance(values, torch.Tensor)]
        for at, values in sorted(tensors, key=lambda pair: pair[0] not in written):
            allow(library, values, write=at in written)
        operation(*arguments)

    return run
