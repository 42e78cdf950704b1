"""The functions and types that the shaders' text takes for granted, for PyTorch's tensors.

Conventions: a `Float` of the text is a tensor (..., h, w), a `float` one that broadcasts against it; rows and columns
are even, because derivatives are differences within squares of 2 × 2 pixels, as on a GPU.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Vector:
    """Two to four numbers for each pixel: `Vec2`, `Vec3`, `Vec4` and `vec3` of the text."""

    parts: tuple[Any, ...]

    def __getattr__(self, name: str) -> Any:
        place = "xyzw".find(name)
        if len(name) != 1 or not 0 <= place < len(self.parts):
            raise AttributeError(name)
        return self.parts[place]

    def _with(self, other: Any, apply: Callable[[Any, Any], Any]) -> Vector:
        others = other.parts if isinstance(other, Vector) else (other,) * len(self.parts)
        return Vector(tuple(map(apply, self.parts, others)))

    def __add__(self, other: Any) -> Vector:
        return self._with(other, operator.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Vector:
        return self._with(other, operator.sub)

    def __neg__(self) -> Vector:
        return Vector(tuple(-part for part in self.parts))

    def __mul__(self, other: Any) -> Vector:
        return self._with(other, operator.mul)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Vector:
        return self._with(other, operator.truediv)


# Functions that every target of the text provides.


def _tensor(value: Any) -> torch.Tensor:
    return value if isinstance(value, torch.Tensor) else torch.tensor(float(value))


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], torch.Tensor]:
    return lambda x: function(_tensor(x))


def _pairs(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Difference of the two halves of each pair of pixels along a dimension, at both."""
    first, second = (x.index_select(dim, torch.arange(k, x.shape[dim], 2, device=x.device)) for k in (0, 1))
    return (second - first).repeat_interleave(2, dim)


def _derivative(dim: int) -> Callable[[Any], torch.Tensor]:
    def difference(x: Any) -> torch.Tensor:
        x = _tensor(x)
        return _pairs(x, dim) if x.ndim >= 2 and x.shape[dim] > 1 else torch.zeros(())

    return difference


_BITS: Final = 0xFFFFFFFF


def _hash(i: Any, j: Any, seed: int) -> torch.Tensor:
    """32 random bits for each lattice point (i, j), as int64."""
    column, row = _tensor(i).long(), _tensor(j).long()
    h = (column * 0x9E3779B1 + row * 0x85EBCA77 + seed * 0xC2B2AE3D) & _BITS
    h = (h * 0x2C1B3C6D) & _BITS
    h = h ^ (h >> 15)
    h = (h * 0x297A2D39) & _BITS
    found: torch.Tensor = h ^ (h >> 15)
    return found


def _table_value(table: Table, x: Any, y: Any) -> torch.Tensor:
    """Values of a table (..., r, c) at (x, y), in entries of the table, with smooth steps between them."""
    x, y = _tensor(x).clamp(0, table.columns - 1.001), _tensor(y).clamp(0, table.rows - 1.001)
    i, j = x.floor(), y.floor()
    u, v = (t * t * (3 - 2 * t) for t in (x - i, y - j))
    index = (j * table.columns + i).long()
    flat = table.values.flatten(-2)

    def corner(offset: int) -> torch.Tensor:
        if flat.ndim == 1:
            return flat[index + offset]
        places = (index + offset).expand(*flat.shape[:-1], *index.shape[-2:])
        return flat.gather(-1, places.flatten(-2)).view(places.shape)

    above = corner(0) + (corner(1) - corner(0)) * u
    below = corner(table.columns) + (corner(table.columns + 1) - corner(table.columns)) * u
    value: torch.Tensor = above + (below - above) * v
    return value


def _pow(x: Any, y: Any) -> torch.Tensor:
    return torch.pow(_tensor(x).clamp(min=1.2e-38), y)


def _sqrt(x: Any) -> torch.Tensor:
    """Square root whose slope at 0 is 0 and not infinite, so that flat places have finite gradients."""
    return _tensor(x).clamp(min=1.2e-38).sqrt()


def broadcast(*values: Any) -> tuple[torch.Tensor, ...]:
    """Expand numbers and tensors to their common shape, on their common device; numbers are at home on any."""
    return tuple(torch.broadcast_tensors(*_together(*values)))  # type: ignore[no-untyped-call]


def _together(*values: Any) -> list[torch.Tensor]:
    """Numbers and tensors as tensors on one device: where a tensor of pixels lies, else on the CPU."""
    devices = [value.device for value in values if isinstance(value, torch.Tensor) and value.device.type != "cpu"]
    made = [value if isinstance(value, torch.Tensor) else _number(value, *devices[:1]) for value in values]
    return [value.to(devices[0]) for value in made] if devices else made


def _number(value: float | bool, device: torch.device | None = None) -> torch.Tensor:
    return torch.full((), value if isinstance(value, bool) else float(value), device=device)


def _vector(*parts: Any) -> Vector:
    """A vector of its parts, or a uniform vector as one of pixels."""
    return parts[0] if isinstance(parts[0], Vector) else Vector(parts)


_SAME_IN_TORCH: Final = ("abs", "floor", "exp", "exp2", "log2", "sin", "cos", "tanh")

BUILTINS: Final[Mapping[str, Any]] = {
    "min": lambda a, b: torch.minimum(*broadcast(a, b)),
    "max": lambda a, b: torch.maximum(*broadcast(a, b)),
    "select": lambda c, a, b: torch.where(*_together(c, a, b)),
    "pow": _pow,
    "sqrt": _sqrt,
    "atan": lambda y, x: torch.atan2(*_together(y, x)),
    **{name: _unary(getattr(torch, name)) for name in _SAME_IN_TORCH},
    "fract": _unary(lambda x: x - x.floor()),
    "inversesqrt": _unary(torch.rsqrt),
    "dFdx": _derivative(-1),
    "dFdy": _derivative(-2),
    "hash": _hash,
    "low": lambda bits: (bits & 0xFFFF).float() / 65536,
    "high": lambda bits: (bits >> 16).float() / 65536,
    "table_value": _table_value,
    **dict.fromkeys(("Vec2", "Vec3", "Vec4", "vec2", "vec3"), _vector),
    "float": lambda x: float(x) if isinstance(x, int) else x,
    "Float": lambda x: x,
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Noise of a frame (..., r, c)."""

    values: torch.Tensor

    @property
    def rows(self) -> int:
        """R."""
        return self.values.shape[-2]

    @property
    def columns(self) -> int:
        """C."""
        return self.values.shape[-1]


@dataclass(frozen=True)
class Place:
    """Pixels of a picture: the `Place` of the text."""

    x: torch.Tensor
    """(1, columns), in units of half the picture's shorter side."""
    y: torch.Tensor
    """(rows, 1)."""
    px: float
    """Width of a pixel."""
    right: float
    """x of the right edge; the left one is at -right."""
    bottom: float
    table: Table


class Raster(NamedTuple):
    """Grid of pixels on which a picture is painted."""

    size: tuple[int, int]
    """(h, w) of the picture, which may end before the grid does."""
    sides: tuple[int, int]
    """Rows and columns of the grid, multiples of 4."""


def places(raster: Raster, table: Table, device: torch.device) -> Place:
    """Make the pixels of a raster."""
    height, width = raster.size
    px = 2 / min(height, width)
    rows, columns = (torch.arange(side, device=device) for side in raster.sides)
    return Place(
        x=((columns + 0.5 - 0.5 * width) * px)[None],
        y=((rows + 0.5 - 0.5 * height) * px)[:, None],
        px=px, right=0.5 * width * px, bottom=0.5 * height * px, table=table,
    )  # fmt: skip
