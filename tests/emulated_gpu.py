"""A GPU that the CPU plays: CUDA sources compiled against `stylegan_ops/emulation` instead of the toolkit."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from compilers import compiler
from once import made_once

from stylegan_ops.cuda_loading import Loaded
from stylegan_ops.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stylegan_ops import cuda_build

EMULATION = Path(__file__).parent / "stylegan_ops" / "emulation"


@dataclass(frozen=True)
class Machine:
    """Where the CUDA kernels run."""

    device: torch.device
    float32_tolerance: float
    """Relative, of sums of up to 360 products: cuDNN may take Winograd's algorithm."""


def emulated(programs: Sequence[cuda_build.Program], library: Path) -> ctypes.CDLL:
    """CUDA programs, compiled for the CPU: a library that answers as a GPU's driver does and knows their kernels."""
    found = compiler()
    if found is None:
        pytest.skip("there is no C++ compiler here")
    digest = hashlib.sha256(repr([(one.headers, one.text) for one in programs]).encode()).hexdigest()
    made = made_once(f"{digest[:24]}.so", lambda path: _compile(found, programs, path))
    shutil.copyfile(made, library)  # each has an emulated GPU of its own
    return ctypes.CDLL(str(library))


def _compile(cxx: str, programs: Sequence[cuda_build.Program], library: Path) -> None:
    files = []
    with tempfile.TemporaryDirectory() as place:
        for at, program in enumerate(programs):
            folder = Path(place, str(at))
            folder.mkdir()
            for name, text in (*program.headers, ("source.cu", program.text)):
                (folder / name).write_text(text, "utf-8")
            files.append(str(folder / "source.cu"))
        flags = ["-std=c++20", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-unknown-pragmas"]
        player = ["-x", "none", str(made_once("emulation.o", lambda path: _compile_player(cxx, path)))]
        command = [cxx, *flags, f"-I{EMULATION}", "-x", "c++", *files, *player, "-o", str(library)]
        subprocess.run(command, check=True)


def loaded(library: ctypes.CDLL, programs: Sequence[cuda_build.Program]) -> Loaded:
    """These programs on the emulated GPU; what the CPU plays is no machine code, but looks like it to the driver."""
    driver = Driver(library)
    modules = {program.name: driver.load(0, b"\x7fELF") for program in programs}
    return Loaded(torch.device("cpu"), modules, "emulated", "emulated")


def use_default_stream(patch: pytest.MonkeyPatch) -> None:
    """Let kernels be queued where there is no GPU to ask for its stream."""
    patch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=None))


def _compile_player(cxx: str, path: Path) -> None:
    """Compile what runs kernels."""
    flags = ["-std=c++20", "-O1", "-fPIC", "-fvisibility=hidden"]
    subprocess.run([cxx, *flags, "-c", EMULATION / "emulation.cpp", "-o", path], check=True)


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
