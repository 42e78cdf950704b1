"""Choice between the implementations of the operations: compiled kernels or plain PyTorch."""

import os
from collections.abc import Callable, Mapping
from typing import Literal

import torch

from stylegan_ops import cuda_kernels, kernels
from stylegan_ops.errors import StyleGANError

Implementation = Literal["auto", "reference", "compiled"]

VARIABLE = "STYLEGAN_OPS"
"""Environment variable that selects the implementation if no argument does."""

Availability = kernels.Availability | cuda_kernels.Availability

KERNELS: Mapping[str, tuple[Callable[[torch.device], Availability], Mapping[torch.dtype, str]]] = {
    "cpu": (lambda device: kernels.cpu_kernels(), kernels.NAMES),
    "cuda": (lambda device: cuda_kernels.cuda_kernels(device), cuda_kernels.NAMES),
}
"""For each kind of device, the function that finds its kernels, and the element types that they support."""


def wanted_implementation(argument: str | None) -> Implementation:
    """The argument, or else the environment variable, or else "auto".

    Raises:
        StyleGANError: it is none of the three.
    """
    value = argument if argument is not None else os.environ.get(VARIABLE) or "auto"
    for known in ("auto", "reference", "compiled"):
        if value == known:
            return known
    place = "implementation" if argument is not None else f"the environment variable {VARIABLE}"
    raise StyleGANError(f"{place} is {value!r}; give auto, reference or compiled")


def use_compiled(implementation: Implementation, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether to use the kernels for this device and precision; builds them if necessary.

    Raises:
        StyleGANError: they were asked for and cannot be used.
    """
    if implementation == "reference":
        return False
    find, names = KERNELS.get(device.type, (None, {}))
    reason = None
    if find is None or dtype not in names:
        reason = f"there are none for {str(dtype).removeprefix('torch.')} on {device.type}"
    elif find(device).library is None:
        reason = find(device).reason
    if reason is not None and implementation == "compiled":
        raise StyleGANError(f"compiled kernels were asked for and cannot be used: {reason}; or ask for auto")
    return reason is None
