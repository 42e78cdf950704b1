"""Noise maps that are made when they are needed: by the caller, or within a CUDA graph from a few small tables."""

import math
from collections.abc import Hashable, Sequence
from typing import Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_ops.memory import moved


class Maker(Hashable, Protocol):
    """Function from tables to noise maps; two are equal if they compute the same.

    A CUDA graph records it: on a GPU it computes with PyTorch's operations alone, none of which waits for the GPU or
    takes values from the computer's memory, and which of them depends on nothing but the function itself.
    """

    def __call__(self, tables: Tensor) -> list[Tensor]:
        """Make maps (B, 1, h, w) float32 from tables (N,) float32 on their device."""
        ...


class Deferred(Sequence[Tensor]):
    """The noise maps of a batch: a sequence that makes them at the first look, and keeps them.

    Where `GraphSynthesis` takes it, the maps are made by a graph of their own, and nobody looks at them.
    """

    def __init__(
        self, make: Maker, tables: Tensor, shapes: Sequence[tuple[int, int, int, int]], device: torch.device
    ) -> None:
        """Make nothing yet.

        Args:
            make: the function.
            tables: (N,) float32, its argument, in the computer's memory.
            shapes: shapes of the maps.
            device: where the maps are made.
        """
        self.make, self.tables, self.shapes, self.device = make, tables, tuple(shapes), device
        self._made: list[Tensor] | None = None

    def __len__(self) -> int:
        return len(self.shapes)

    @overload
    def __getitem__(self, at: int) -> Tensor: ...
    @overload
    def __getitem__(self, at: slice) -> list[Tensor]: ...
    def __getitem__(self, at: int | slice) -> Tensor | list[Tensor]:
        if self._made is None:
            self._made = self.make(moved(self.tables, self.device))
        return self._made[at]


STEP = 16
"""Elements of float32 to a multiple of which each packed table begins: 64 bytes, as PyTorch aligns memory."""


def packed(tables: Sequence[NDArray[np.float32]]) -> Tensor:
    """Put tables of any shapes one behind the other, so that one copy brings them to a GPU: (N,) float32."""
    found = np.zeros(sum(_room(table.shape) for table in tables), np.float32)
    at = 0
    for table in tables:
        found[at : at + table.size] = table.ravel()
        at += _room(table.shape)
    return torch.from_numpy(found)


def unpacked(tables: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Find tables of these shapes in what `packed` returns; they are views."""
    found, at = [], 0
    for shape in shapes:
        found.append(tables[at : at + math.prod(shape)].view(*shape))
        at += _room(shape)
    return found


def _room(shape: Sequence[int]) -> int:
    return -(-math.prod(shape) // STEP) * STEP
