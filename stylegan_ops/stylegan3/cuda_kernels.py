"""The compiled kernel of the filtered activation for NVIDIA GPUs, registered with PyTorch.

A block of threads makes a tile of the output, with all that lies between the filters in shared memory. The tile's size
is chosen here, for the least work; filters for which not even the smallest one fits are left to plain PyTorch.
"""

import ctypes
import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_ops.cuda_kernels import (
    NAMES,
    check_activations,
    divided_up,
    launch,
    pointer,
    strided_rows,
)
from stylegan_ops.stylegan3.kernels import check_filters

FOURS = 3072
"""Groups of four numbers in a block's shared memory, as in filtered.cu."""

RUN = 4
"""Results along a row that a thread makes at once, as in filtered.cu: a tile's width is a multiple of it."""

PARTS = 4
"""Parts of a square filter's rows, as in filtered.cu."""

LARGEST_TILE = 32
"""Longest side of a tile."""

GROUP_BYTES = 32
"""Bytes of neighbouring channels that a block takes one after the other: what a GPU reads from memory at least."""

MOST_BLOCKS = (1 << 31) - 1
"""Most blocks of one sample, and most places along a side at the high rate."""

MOST_SAMPLES = 65535
"""Most samples of a batch."""

MOST_PADDING = 1 << 24
"""Most zeros, or samples that are cut off, at one side."""

KINDS = {(2, 12, 2, 12): "double", (4, 24, 2, 12): "fourfold"}
"""Factor up, its taps, factor down, its taps of the published networks, for which there are kernels of their own."""


class _Filtered(ctypes.Structure):
    """Arguments of the kernel in filtered.cu; the same fields in the same order as its `Filtered`."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        *(
            (name, ctypes.c_int32)
            for name in ("height", "width", "out_height", "out_width", "channels", "type", "vector")
        ),
        ("scale", ctypes.c_void_p),
        ("scale_stride", ctypes.c_int64),
        ("bias", ctypes.c_void_p),
        ("style", ctypes.c_void_p),
        ("style_stride", ctypes.c_int64),
        ("up_filter", ctypes.c_void_p),
        ("down_filter", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("up", "down", "up_taps", "down_taps", "left", "top")),
        *((name, ctypes.c_float) for name in ("gain", "slope", "clamp")),
        *((name, ctypes.c_int32) for name in ("tile_height", "tile_width", "tiles_across", "in_height", "in_width")),
        *((name, ctypes.c_int32) for name in ("fine_height", "fine_width", "second", "group")),
    )


@dataclass(frozen=True)
class Filters:
    """Factors and filters, as far as they decide on sizes."""

    up: int
    up_taps: int
    down: int
    down_taps: int
    square: bool

    def fine(self, length: int) -> int:
        """Samples between the filters that so many results need."""
        return (length - 1) * self.down + self.down_taps

    def inputs(self, length: int) -> int:
        """Most input samples that so many results need, wherever they begin."""
        return (self.fine(length) + self.up - 2) // self.up + divided_up(self.up_taps, self.up)


@dataclass(frozen=True)
class Tile:
    """Size of a tile, and how its memory is divided."""

    height: int
    width: int
    second: int
    """Groups of four numbers in the first area, after which the second one begins."""
    size: int
    """Groups of four numbers in both."""

    @classmethod
    def of(cls, height: int, width: int, filters: Filters) -> "Tile":
        """A tile of this size."""
        fine_height, fine_width = filters.fine(height), filters.fine(width)
        in_height, in_width = filters.inputs(height), filters.inputs(width)
        first = max(in_height * (in_width | 1), fine_height * (fine_width | 1))
        lines = height * PARTS if filters.square else fine_height
        second = max(in_height * (fine_width | 1), lines * (width | 1))
        return cls(height, width, first, first + second)


@functools.lru_cache(1024)
def best_tile(filters: Filters, out_size: tuple[int, int]) -> Tile | None:
    """The tile with which a plane of (h, w) takes the least work; None: not even the smallest fits into the memory."""
    heights, widths = range(1, LARGEST_TILE + 1), range(RUN, LARGEST_TILE + 1, RUN)
    tiles = [Tile.of(height, width, filters) for height in heights for width in widths]
    fitting = [tile for tile in tiles if tile.size <= FOURS]

    def work(tile: Tile) -> int:
        tiles = divided_up(out_size[0], tile.height) * divided_up(out_size[1], tile.width)
        return tiles * filters.fine(tile.height) * filters.fine(tile.width)

    return min(fitting, key=work, default=None)


def _filters(up_filter: Tensor, down_filter: Tensor, up: int, down: int) -> Filters:
    """Sizes of filters.

    Raises:
        ValueError: they are of another form than the kernel's.
    """
    check_filters(up_filter, down_filter, up, down)
    return Filters(up, len(up_filter), down, len(down_filter), down_filter.ndim == 2)


def fits(
    shape: tuple[int, ...], out_size: tuple[int, int], up_filter: Tensor, down_filter: Tensor, up: int, down: int
) -> bool:
    """Whether the kernel can make (h, w) of activations (B, C, h, w); if not, plain PyTorch has to.

    Raises:
        ValueError: the filters are of another form than the kernel's.
    """
    filters = _filters(up_filter, down_filter, up, down)
    tile = best_tile(filters, out_size)
    if tile is None or min(*shape, *out_size) < 1 or shape[0] > MOST_SAMPLES:
        return False
    tiles = divided_up(out_size[0], tile.height) * divided_up(out_size[1], tile.width)
    sides = [*(filters.fine(size) for size in out_size), *(size * up for size in shape[2:])]
    return divided_up(shape[1], RUN) * tiles <= MOST_BLOCKS and 4 * max(sides) <= MOST_BLOCKS


def _filtered_lrelu(
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    bias: Tensor,
    style: Tensor | None,
    up_filter: Tensor,
    down_filter: Tensor,
    up: int,
    down: int,
    left: int,
    top: int,
    gain: float,
    slope: float,
    clamp: float,
) -> None:
    """`torch.ops.stylegan_ops.filtered_lrelu` on a GPU: y (B, C, h', w') of x (B, C, h, w), both channels-last."""
    batch, channels, height, width = x.shape
    out_height, out_width = y.shape[2:]
    check_activations(x)
    check_activations(y)
    if y.shape[:2] != x.shape[:2] or y.dtype != x.dtype or y.device != x.device:
        raise ValueError(f"the output is {y.dtype} {y.shape}, the input {x.dtype} {x.shape}")
    if max(abs(left), abs(top)) > MOST_PADDING:
        raise ValueError(f"a padding of {left} and {top} is beyond the kernel")
    filters = _filters(up_filter, down_filter, up, down)
    tile = best_tile(filters, (out_height, out_width))
    if tile is None or not fits(x.shape, (out_height, out_width), up_filter, down_filter, up, down):
        raise ValueError(f"{filters} for activations of {tuple(x.shape)} and {tuple(y.shape)} are beyond the kernel")
    scale_pointer, scale_stride = strided_rows(x, scale, batch, channels)
    style_pointer, style_stride = strided_rows(x, style, batch, channels)
    across, group = divided_up(out_width, tile.width), GROUP_BYTES // x.itemsize
    together = RUN * x.itemsize
    job = _Filtered(
        x=x.data_ptr(),
        y=y.data_ptr(),
        height=height,
        width=width,
        out_height=out_height,
        out_width=out_width,
        channels=channels,
        type=list(NAMES).index(x.dtype),
        vector=channels % RUN == 0 and x.data_ptr() % together == 0 and y.data_ptr() % together == 0,
        scale=scale_pointer,
        scale_stride=scale_stride,
        bias=pointer(x, bias, channels),
        style=style_pointer,
        style_stride=style_stride,
        up_filter=pointer(x, up_filter, *up_filter.shape),
        down_filter=pointer(x, down_filter, *down_filter.shape),
        up=up,
        down=down,
        up_taps=len(up_filter),
        down_taps=len(down_filter),
        left=left,
        top=top,
        gain=gain,
        slope=slope,
        clamp=clamp,
        tile_height=tile.height,
        tile_width=tile.width,
        tiles_across=across,
        in_height=filters.inputs(tile.height),
        in_width=filters.inputs(tile.width),
        fine_height=filters.fine(tile.height),
        fine_width=filters.fine(tile.width),
        second=tile.second,
        group=group,
    )
    kind = KINDS.get((up, len(up_filter), down, len(down_filter)), "any")
    name = f"filtered_{kind}_{'square' if filters.square else 'row'}"
    blocks = divided_up(channels, group) * across * divided_up(out_height, tile.height)
    launch("filtered", name, x.device, (blocks, batch), job)


torch.library.define(
    "stylegan_ops::filtered_lrelu",
    "(Tensor x, Tensor(a!) y, Tensor scale, Tensor bias, Tensor? style, Tensor up_filter, Tensor down_filter, int up, "
    "int down, int left, int top, float gain, float slope, float clamp) -> ()",
)
torch.library.impl("stylegan_ops::filtered_lrelu", "CUDA", _filtered_lrelu)
torch.library.register_fake("stylegan_ops::filtered_lrelu", lambda *args: None)

filtered_lrelu = torch.ops.stylegan_ops.filtered_lrelu.default
