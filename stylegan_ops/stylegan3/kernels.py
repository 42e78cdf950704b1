"""The compiled kernel of the filtered activation, for the CPU; it lies in the same library as StyleGAN2's kernels."""

import ctypes
import math
from collections.abc import Callable

import torch
from torch import Tensor

from stylegan_ops.errors import StyleGANError
from stylegan_ops.kernels import NAMES, cpu_kernels
from stylegan_ops.stylegan3.architecture import MAX_PHASE_TAPS

SQUARE, MIRRORED_SQUARE = 1, 2
"""Codes of a filter that is a square of taps, and of one that is the same upside down, which takes half the work."""


class _Filtered(ctypes.Structure):
    """Arguments of the kernel in filtered.cpp; the same fields in the same order as its `Filtered`."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("y_stride", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in ("batch", "height", "width", "channels", "out_height", "out_width")),
        *((name, ctypes.c_void_p) for name in ("scale", "bias", "style", "up_filter", "down_filter")),
        *((name, ctypes.c_int64) for name in ("up_taps", "down_taps", "up", "down", "left", "top", "radial")),
        ("gain", ctypes.c_float),
        ("clamp", ctypes.c_float),
    )


def _entry(name: str) -> Callable[..., int]:
    library = cpu_kernels().library
    if library is None:
        raise StyleGANError(f"the compiled kernels cannot be used: {cpu_kernels().reason}")
    entry = getattr(library.functions, f"stylegan_filtered_{name}")
    entry.argtypes, entry.restype = [ctypes.POINTER(_Filtered)], ctypes.c_int
    found: Callable[..., int] = entry
    return found


def filtered_lrelu(
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    bias: Tensor,
    style: Tensor | None,
    up_filter: Tensor,
    down_filter: Tensor,
    *,
    up: int,
    down: int,
    left: int,
    top: int,
    mirrored: bool,
    gain: float,
    clamp: float | None,
) -> None:
    """Write y (B, C, h', w') = style · down(clamp(gain · lrelu(up(x · scale + bias)))), both channels-last.

    Args:
        x: (B, C, h, w), without gaps.
        y: the result; samples may lie apart.
        scale: (B, C) float32.
        bias: (C,) float32.
        style: (B, C) float32, or None.
        up_filter: (taps,) float32, as a correlation, with its gain.
        down_filter: (taps,) or (taps, taps) float32.
        up: factor up.
        down: factor down.
        left: zeros at the left of the enlarged input; negative numbers crop.
        top: zeros above it.
        mirrored: whether a square `down_filter` is the same upside down.
        gain: gain of the activation.
        clamp: limit of its result; None: none.

    Raises:
        StyleGANError: memory ran out.
    """
    batch, channels, height, width = x.shape
    out_height, out_width = y.shape[2:]
    _check(x, y, up_filter, down_filter, up, down)
    square = MIRRORED_SQUARE if mirrored else SQUARE
    job = _Filtered(
        x=x.data_ptr(),
        y=y.data_ptr(),
        y_stride=y.stride(0),
        batch=batch,
        height=height,
        width=width,
        channels=channels,
        out_height=out_height,
        out_width=out_width,
        scale=_pointer(scale, batch, channels),
        bias=_pointer(bias, channels),
        style=None if style is None else _pointer(style, batch, channels),
        up_filter=_pointer(up_filter, *up_filter.shape),
        down_filter=_pointer(down_filter, *down_filter.shape),
        up_taps=len(up_filter),
        down_taps=len(down_filter),
        up=up,
        down=down,
        left=left,
        top=top,
        radial=square if down_filter.ndim == 2 else 0,
        gain=gain,
        clamp=math.inf if clamp is None else clamp,
    )
    if _entry(NAMES[x.dtype])(ctypes.byref(job)):
        raise StyleGANError("memory ran out in a compiled kernel; close other programs, or use a smaller batch")


def check_filters(up_filter: Tensor, down_filter: Tensor, up: int, down: int) -> None:
    """Raise ValueError unless these are filters of the forms that the kernels take, for CPUs and for GPUs."""
    if up < 1 or down < 1 or up_filter.ndim != 1 or len(up_filter) < 1:
        raise ValueError(f"the filter {tuple(up_filter.shape)} with factors of {up} and {down} is beyond the kernel")
    if down_filter.ndim not in (1, 2) or len(set(down_filter.shape)) != 1 or len(down_filter) < 1:
        raise ValueError(f"the filter {tuple(down_filter.shape)} is neither a row nor a square")


def _check(x: Tensor, y: Tensor, up_filter: Tensor, down_filter: Tensor, up: int, down: int) -> None:
    """Raise ValueError unless the kernel can take these, because it checks nothing."""
    if x.dtype not in NAMES or y.dtype != x.dtype or x.shape[:2] != y.shape[:2]:
        raise ValueError(f"activations of {x.dtype} {tuple(x.shape)} cannot become {y.dtype} {tuple(y.shape)}")
    if not x.is_contiguous(memory_format=torch.channels_last) or not y[:1].is_contiguous(
        memory_format=torch.channels_last
    ):
        raise ValueError(f"channels-last activations were expected, not {x.stride()} and {y.stride()}")
    check_filters(up_filter, down_filter, up, down)
    if -(-len(up_filter) // up) > MAX_PHASE_TAPS:
        raise ValueError(f"the filter {tuple(up_filter.shape)} with a factor of {up} is beyond the kernel")


def _pointer(values: Tensor, *shape: int) -> int:
    """Address of a contiguous float32 tensor on the CPU."""
    if values.shape != shape or values.dtype != torch.float32 or not values.is_contiguous():
        raise ValueError(f"a contiguous float32 tensor of {shape} was expected, not {values.dtype} {values.shape}")
    return values.data_ptr()
