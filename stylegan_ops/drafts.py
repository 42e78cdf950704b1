"""A network as a file describes it, before anything is checked and before any number is read."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from stylegan_ops.budget import Budget

MAX_TENSORS = 10_000
"""Most tensors of a network: far more than any has, and few enough to be fast."""


class Stored(Protocol):
    """A tensor that lies in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the file."""
        ...

    def tensor(self, budget: Budget) -> Tensor:
        """Values in float32."""
        ...


@dataclass(frozen=True)
class Number:
    """A tensor without axes that a file holds as a plain number."""

    value: float
    shape: tuple[int, ...] = ()

    def tensor(self, budget: Budget) -> Tensor:
        """The number in float32."""
        budget.make(1)
        return torch.tensor(self.value, dtype=torch.float32)


@dataclass(frozen=True)
class Row:
    """A separable filter that a file holds as a list of taps."""

    taps: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The filter's shape."""
        return (len(self.taps), len(self.taps))

    def tensor(self, budget: Budget) -> Tensor:
        """The filter, of any gain."""
        budget.make(len(self.taps) ** 2)
        row = torch.tensor(self.taps, dtype=torch.float32)
        return torch.outer(row, row)


@dataclass(frozen=True)
class Layout:
    """Steps that convert a tensor of a file to our layout, in order: turn, reorder, remove unit axes, add."""

    turned: bool = False
    """Whether the first two axes are reversed."""
    order: tuple[int, ...] | None = None
    """Order of the file's axes in our layout."""
    unit_axes: int = 0
    """Number of leading axes of length 1 to remove."""
    flat: bool = False
    """Whether all axes of length 1 are removed."""
    added: float = 0.0
    """Number to add to each value."""

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape in our layout. A tensor that does not fit keeps its shape, which the check of shapes will refuse."""
        if self.order is not None:
            if len(shape) != len(self.order):
                return shape
            shape = tuple(shape[axis] for axis in self.order)
        if self.flat:
            return tuple(length for length in shape if length != 1)
        return shape[self.unit_axes :] if all(length == 1 for length in shape[: self.unit_axes]) else shape

    def apply(self, tensor: Tensor) -> Tensor:
        """Convert a tensor of a file whose shape has been checked."""
        shape = self.shape(tuple(tensor.shape))
        if self.turned:
            tensor = tensor.flip(0, 1)
        if self.order is not None:
            tensor = tensor.permute(self.order)
        tensor = tensor.reshape(shape)
        return tensor + self.added if self.added else tensor


AS_IT_IS = Layout()


@dataclass(frozen=True)
class Source:
    """A tensor of the network in a file, and its layout there."""

    stored: Stored
    layout: Layout = AS_IT_IS

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape in our layout, found without reading the values."""
        return self.layout.shape(tuple(self.stored.shape))

    def load(self, budget: Budget) -> Tensor:
        """Read the values: float32, contiguous."""
        return self.layout.apply(self.stored.tensor(budget)).contiguous()


@dataclass
class Draft:
    """A network in a file."""

    format: str
    network: Literal["stylegan2", "stylegan3", "stylegan1"] = "stylegan2"
    sources: dict[str, Source] = field(default_factory=dict)
    """Tensors by the names of `Architecture.shapes()`, as far as the file's names are known."""
    filters: list[Source] = field(default_factory=list)
    """Resampling filters, with any gain."""
    average: Stored | None = None
    """The mean latent as people write it beside a network: a vector, or the same one for each latent input."""
    conv_clamp: float | None = None
    mapping_lr: float = 0.01
    declared: dict[str, object] = field(default_factory=dict)
    """Description of the architecture in the file: z_dim, w_dim, c_dim, resolution, kind."""
    attributes: dict[str, dict[str, object]] = field(default_factory=dict)
    """Plain values that modules of a StyleGAN3 hold, by the module's name."""
    foreign: tuple[str, ...] | None = None
    """Names of other libraries inside the generator; None: the whole file must be free of them. StyleGAN-XL's files
    hold a discriminator of foreign parts beside a generator without any."""
    note: str | None = None
    """Text in the file about its licence or origin."""
    warnings: list[str] = field(default_factory=list)


def clean(text: str) -> str:
    """Text from a file made fit for a terminal: printable, one line, 400 characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:400]).strip()


def shown(value: object) -> str:
    """A value from a file for a message: text in quotes, otherwise the name of its type."""
    return clean(repr(value[:80])) if isinstance(value, str) else type(value).__name__


def some(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    listed = ", ".join(clean(name[:80]) for name in names[:3])
    return listed if len(names) <= 3 else f"{listed} and {len(names) - 3} more"
