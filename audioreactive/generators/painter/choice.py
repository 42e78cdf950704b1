"""Which form of the painter's kernels runs on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from audioreactive.errors import RenderError
from audioreactive.generators.painter import cuda_kernels
from audioreactive.generators.painter.kernels import cpu_kernels
from audioreactive.generators.painter.proven import Proven
from stylegan_ops.choice import wanted_implementation

if TYPE_CHECKING:
    from audioreactive.generators.painter.kernels import Kernels


def kernels(device: torch.device | None = None) -> Proven | None:
    """Find or build the compiled form for a device, by default the CPU; None where plain PyTorch paints.

    That is so without a compiler (one warning), or if the environment variable STYLEGAN_OPS asks for it. A family is
    built when it is first painted, which takes some seconds.

    Raises:
        RenderError: compiled kernels are asked for and cannot be had.
    """
    wanted = wanted_implementation(None)
    if wanted == "reference":
        return None
    found = _found(device or torch.device("cpu"))
    if not isinstance(found, str):
        return Proven(found)
    if wanted == "compiled":
        raise RenderError(f"compiled kernels were asked for and cannot be used: {found}; or ask for auto")
    return None


def _found(device: torch.device) -> Kernels | str:
    """The compiled form, or the reason why there is none."""
    if device.type == "cpu":
        return cpu_kernels()
    if device.type == "cuda":
        return cuda_kernels.why_none(device) or cuda_kernels.CudaKernels(device)
    return f"there are none for {device.type}"
