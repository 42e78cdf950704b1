"""Choose the device, the precision, the batch size and the number of threads of a generator."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, Literal

from audioreactive.errors import RenderError, printable, shown

if TYPE_CHECKING:
    import torch

    from audioreactive.generators.protocol import Cost

Precision = Literal["auto", "fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16", "fp16")

CPU_BATCH = 4
CUDA_BATCH = 8
MEMORY_SHARE: Final = 0.25
"""Share of all memory that a batch may take; the rest is for other programs, the weights and the encoders."""

WORK_OF_A_THREAD: Final = 5 * 10**8
"""Multiplications per picture that each CPU thread needs to be worth starting. With less work, waiting for one another
and taking a core from the encoder costs more than it gains. Measured on two cores."""


def choose_device(name: str) -> torch.device:
    """Choose a device by name; "auto" is the first GPU if there is one, else the CPU.

    Raises:
        RenderError: the device is not available.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if re.fullmatch(r"cpu(:0)?|(cuda|mps|xpu)(:[0-9]{1,2})?", name) is None:
        raise RenderError(f"the device {shown(name)} cannot be used; try --device auto, cpu, cuda or cuda:1")
    try:
        device = torch.device(name.removesuffix(":0") if name.startswith("cpu") else name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ValueError, AttributeError, ImportError) as error:
        reason = printable(str(error).partition("\n")[0], 300)
        raise RenderError(f"the device {shown(name)} cannot be used ({reason}); try --device auto or cpu") from None
    return device


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Choose a precision; "auto" is float16 on an NVIDIA GPU, bfloat16 on a CPU that computes in it, else float32."""
    import torch

    if precision == "auto":
        precision = "fp16" if device.type == "cuda" else "bf16" if _cpu_has_bf16() else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _cpu_has_bf16() -> bool:
    """Whether the CPU multiplies matrices in bfloat16 (AMX or AVX-512); unknown, so False, before PyTorch 2.10."""
    import torch

    told: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(told.get("amx_bf16") or told.get("avx512_bf16"))


def default_batch(device: torch.device, cost: Cost | None = None) -> int:
    """Choose the default number of frames in a batch: 4 on a CPU, 8 on a GPU, halved until they fit.

    What fits depends on the total memory, not on the free memory: a frame's last bits depend on its batch, and the same
    machine must always give the same video.
    """
    batch = CUDA_BATCH if device.type == "cuda" else CPU_BATCH
    if cost is not None:
        allowed = total_memory(device) * MEMORY_SHARE
        while batch > 1 and batch * cost.bytes > allowed:
            batch //= 2
    return batch


def total_memory(device: torch.device) -> int:
    """Return the bytes of memory of a GPU, or of the computer."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 8 << 30


def useful_threads(cost: Cost) -> int:
    """Return the largest number of CPU threads that still makes a picture faster; at least 1."""
    return max(cost.multiplications // WORK_OF_A_THREAD, 1)
