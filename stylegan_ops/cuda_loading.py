"""Programs for NVIDIA GPUs: compiled, or found in the cache, and loaded once for each GPU of a process.

The driver queues their kernels on PyTorch's current stream, where they keep their place among PyTorch's own, in a CUDA
graph too.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from stylegan_ops import cuda_build
from stylegan_ops.build import BuildError
from stylegan_ops.driver import DriverError, Module, driver

THREADS = 256
"""Threads of a block, as in device.h."""


@dataclass(frozen=True)
class Loaded:
    """Programs that are compiled and loaded onto a GPU."""

    device: torch.device
    modules: Mapping[str, Module]
    """Kernels by the names of their programs."""
    origin: str
    """The compiler, and the place in the cache."""
    identity: str
    """Digest of the machine code."""

    def launch(self, program: str, kernel: str, grid: Sequence[int], *arguments: Any) -> None:
        """Queue a kernel on PyTorch's current stream, in blocks of `THREADS` threads.

        Raises:
            DriverError: the driver refuses it, or something that was started before has failed.
        """
        whole = (*grid, 1, 1)[:3]
        stream = torch.cuda.current_stream(self.device).cuda_stream
        self.modules[program].launch(kernel, whole, THREADS, stream, arguments)


def numbered(device: torch.device) -> torch.device:
    """A GPU with its number; without one it is the current GPU."""
    return device if ":" in str(device) else torch.device(device.type, torch.cuda.current_device())


def load(device: torch.device, programs: Sequence[cuda_build.Program]) -> Loaded:
    """Compile programs for a GPU, or find them in the cache, and load them onto it.

    Raises:
        BuildError: it is no NVIDIA GPU, it is too old, there is no compiler, or the driver refuses what was compiled.
    """
    if torch.version.cuda is None:
        raise BuildError("they are built for NVIDIA GPUs, and this is another kind")
    index = numbered(device).index
    major, minor = torch.cuda.get_device_capability(index)
    reasons = []
    for find in cuda_build.compilers(int(torch.version.cuda.partition(".")[0])):
        try:
            images = cuda_build.compile_all(programs, find(), 10 * major + minor)
            modules = {
                program.name: driver().load(index, image.content)
                for program, image in zip(programs, images, strict=True)
            }
        except (BuildError, DriverError) as error:
            reasons.append(str(error))
            continue
        identity = hashlib.sha256(b"".join(image.content for image in images)).hexdigest()[:32]
        return Loaded(torch.device("cuda", index), modules, images[0].origin, identity)
    raise BuildError("; ".join(dict.fromkeys(reasons)))
