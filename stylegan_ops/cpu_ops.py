"""The operations of `ops` on a CPU: PyTorch convolves in bands that fit the cache; a kernel does the other steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from stylegan_ops import kernels
from stylegan_ops.convolution import conv2d

if TYPE_CHECKING:
    from torch import Tensor

    from stylegan_ops.fused import Finish, ToRGB
    from stylegan_ops.memory import Workspace

BAND_BYTES = 4 << 20
"""Bytes of output that a convolution makes at a time, so that the next pass still finds them in the cache."""


def styled_conv2d(
    x: Tensor, weight: Tensor, finish: Finish, rgb: ToRGB | None, workspace: Workspace, name: str | None
) -> Tensor | None:
    """`ops.styled_conv2d` on a CPU; without a name the activations are not kept."""
    batch, _, height, width = x.shape
    channels = len(weight)
    x = x.contiguous(memory_format=torch.channels_last)
    y = None if name is None else workspace.activations(name, (batch, channels, height, width), x.dtype)
    band = max(2, BAND_BYTES // (width * channels * x.itemsize))  # rows
    if batch * height <= band:
        _finish(conv2d(x, weight), y, 0, height, finish, rgb)
        return y
    for index in range(batch):
        sample = x[index : index + 1]
        own_finish, own_rgb = finish.sample(index), None if rgb is None else rgb.sample(index)
        for row in range(0, height, band):
            end = min(row + band, height)
            target = None if y is None else y[index : index + 1, :, row:end]
            _finish(_rows_of_conv2d(sample, weight, row, end), target, row, height, own_finish, own_rgb)
    return y


def _rows_of_conv2d(x: Tensor, weight: Tensor, start: int, stop: int) -> Tensor:
    """Rows start to stop - 1 of `conv2d` of one sample."""
    height, reach = x.shape[2], weight.shape[-1] // 2
    first, last = max(start - reach, 0), min(stop + reach, height)
    edge = start < reach or stop > height - reach  # zero padding is needed; the rows that it makes wrong are cut off
    rows = conv2d(x[:, :, first:last], weight, padding=(reach if edge else 0, reach))
    return rows[:, :, start - first :][:, :, : stop - start] if edge else rows


def _finish(x: Tensor, y: Tensor | None, first_row: int, height: int, finish: Finish, rgb: ToRGB | None) -> None:
    kernels.finish(
        x.contiguous(memory_format=torch.channels_last),
        y,
        first_row,
        height,
        *finish.arguments,
        *(kernels.NO_RGB if rgb is None else rgb.arguments),
    )


def styled_conv2d_up(
    x: Tensor, weight: Tensor, taps: Tensor, finish: Finish, workspace: Workspace, name: str
) -> Tensor:
    """`ops.styled_conv2d_up` on a CPU."""
    # One matrix product multiplies every pixel with all nine taps. It is the fastest way: one core of a Xeon with AMX
    # takes 1.7 ms for 128 to 64 channels at 256² in bfloat16, against 8 ms for the transposed convolution and 6 ms
    # for four phases with the resampling filter multiplied in; in float32 16.5, 17 and 56 ms.
    batch, inputs, height, width = x.shape
    channels = weight.shape[1]
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, inputs)
    matrix = weight.permute(0, 2, 3, 1).reshape(inputs, 9 * channels)  # a view of a channels-last weight
    y = workspace.activations(name, (batch, channels, 2 * height, 2 * width), x.dtype)
    reversed_taps = taps.flip(0)
    band = max(4, BAND_BYTES // (width * 9 * channels * x.itemsize))  # rows
    if batch * height <= band:
        products = workspace.take("products", (batch, height, width, 9, channels), x.dtype)
        torch.mm(pixels.reshape(-1, inputs), matrix, out=products.view(-1, 9 * channels))
        _columns(products, y, 0, 0, height, reversed_taps, finish)
        return y
    products = workspace.take("products", (1, band, width, 9, channels), x.dtype)
    for index in range(batch):
        own_y, own_finish = y[index : index + 1], finish.sample(index)
        first, end, done = 0, 0, 0  # `products` has input rows first to end - 1; rows before `done` are finished
        while done < height:
            if end:  # the next rows need these two as neighbours
                products[:, :2] = products[:, end - first - 2 : end - first]
                first = end - 2
            start, end = end, min(first + band, height)
            rows = products[0, start - first : end - first].view(-1, 9 * channels)
            torch.mm(pixels[index, start * width : end * width], matrix, out=rows)
            stop = end if end == height else end - 1
            _columns(products[:, : end - first], own_y, first, done, stop, reversed_taps, own_finish)
            done = stop
    return y


def _columns(products: Tensor, y: Tensor, first_row: int, start: int, stop: int, taps: Tensor, finish: Finish) -> None:
    kernels.columns(products, y, first_row, start, stop, taps, *finish.arguments)
