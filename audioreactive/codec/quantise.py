"""Symmetric quantisation of a network's weights to 1 to 32 bits, layer by layer, and their bytes by xz (LZMA2)."""

from __future__ import annotations

import lzma
import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from audioreactive.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

MOST_BITS: Final = 32
MEMORY: Final = 128 << 20
"""Bytes that xz may take to decode; its strongest setting takes 65 MB."""


def quantised(weights: torch.Tensor, bits: int) -> tuple[NDArray[np.int64], float]:
    """Round weights to whole numbers of `bits` bits, symmetric around 0, and return them with their scale.

    With one bit, they are -1 or 1 times their mean magnitude.
    """
    values = weights.detach().double().cpu().numpy()
    if bits == 1:
        return np.where(values < 0, -1, 1), float(np.float32(np.abs(values).mean()))
    most = 2 ** (bits - 1) - 1
    scale = float(np.float32(np.abs(values).max(initial=0) / most)) or 1.0
    return np.clip(np.round(values / scale), -most, most).astype(np.int64), scale


def dequantised(state: Mapping[str, torch.Tensor], bits: int) -> dict[str, torch.Tensor]:
    """Return the weights as they are after rounding to `bits` bits and back."""
    made = {}
    for name, weights in state.items():
        numbers, scale = quantised(weights, bits)
        made[name] = torch.from_numpy((numbers * scale).astype(np.float32)).view(weights.shape)
    return made


def packed(state: Mapping[str, torch.Tensor], bits: int) -> bytes:
    """Write weights: for each layer's weights and for its biases a float32 scale, then all numbers with `bits` bits."""
    layers = [quantised(weights, bits) for weights in state.values()]
    scales = np.array([scale for _, scale in layers], "<f4").tobytes()
    return scales + _bits(np.concatenate([numbers.ravel() for numbers, _ in layers]), bits)


def unpacked(data: bytes, shapes: Mapping[str, Sequence[int]], bits: int) -> dict[str, torch.Tensor]:
    """Read weights of these shapes.

    Raises:
        CodecError: the bytes do not fit the shapes.
    """
    counts = [math.prod(shape) for shape in shapes.values()]
    if not 1 <= bits <= MOST_BITS or len(data) != 4 * len(counts) + (sum(counts) * bits + 7) // 8:
        raise CodecError(f"{len(data)} bytes of weights with {bits} bits do not fit the network: get the file again")
    scales = np.frombuffer(data[: 4 * len(counts)], "<f4")
    if not np.isfinite(scales).all():
        raise CodecError("the network has scales that are no numbers: get the file again")
    numbers = _numbers(data[4 * len(counts) :], sum(counts), bits)
    made = {}
    for scale, (name, shape), count in zip(scales, shapes.items(), counts, strict=True):
        part, numbers = numbers[:count], numbers[count:]
        made[name] = torch.from_numpy((part * float(scale)).astype(np.float32)).view(*shape)
    return made


def compressed(data: bytes) -> bytes:
    """Compress bytes with xz at its strongest."""
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def decompressed(data: bytes, size: int) -> bytes:
    """Decompress to `size` bytes.

    Raises:
        CodecError: the data are damaged, or give another number of bytes.
    """
    try:
        reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
        made = reader.decompress(data, max_length=size + 1)
    except lzma.LZMAError as error:
        raise CodecError(f"the weights cannot be decompressed ({error}): get the file again") from None
    if len(made) != size or not reader.eof:
        raise CodecError(f"the weights do not decompress to the {size} bytes of the network: get the file again")
    return made


def _bits(numbers: NDArray[np.int64], bits: int) -> bytes:
    if bits in (8, 16, 32):
        return numbers.astype(f"<i{bits // 8}").tobytes()
    shifted = _offset(numbers, bits)
    return b"".join(
        np.packbits((part[:, None] >> np.arange(bits - 1, -1, -1)) & 1).tobytes() for part in _parts(shifted)
    )


def _numbers(data: bytes, count: int, bits: int) -> NDArray[np.int64]:
    if bits in (8, 16, 32):
        return np.frombuffer(data, f"<i{bits // 8}").astype(np.int64)
    single = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    shifted = np.zeros(count, np.int64)
    for column in single.T:
        shifted = (shifted << 1) | column
    return 2 * shifted - 1 if bits == 1 else shifted - 2 ** (bits - 1)


def _offset(numbers: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    return (numbers + 1) // 2 if bits == 1 else numbers + 2 ** (bits - 1)


def _parts(numbers: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Parts of a multiple of eight numbers, so that each ends with a whole byte."""
    for first in range(0, len(numbers), 1 << 16):
        yield numbers[first : first + (1 << 16)]
