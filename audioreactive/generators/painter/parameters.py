"""What a painting is made from, in the form that the shaders' text takes: `Parameters` of `shaders/lanes.h`."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from audioreactive.generators.painter.schemes import SCHEMES, STOPS, Colours, colours

if TYPE_CHECKING:
    from collections.abc import Sequence

LATENTS: Final = 8
"""Latents of each group of a family: coarse, middle, fine."""

COLOURS: Final = ("dark", "shadow", "body", "accent", "light", "twin", "sun")


FIELDS: Final = (
    *((group, LATENTS) for group in "cmf"),
    *((name, 3 * STOPS) for name in ("ramp", "tone")),
    *((name, 3) for name in COLOURS),
)
"""Fields of `Parameters` in `shaders/lanes.h` and how many floats each has, in order."""


class Native(ctypes.Structure):
    """The C structure `Parameters`."""

    _fields_ = tuple((name, ctypes.c_float * length) for name, length in FIELDS)


@dataclass(frozen=True)
class Parameters:
    """Latents and colours of one family in B pictures."""

    c: torch.Tensor
    """(B, 8) coarse latents: structure."""
    m: torch.Tensor
    """(B, 8) middle latents: matter."""
    f: torch.Tensor
    """(B, 8) fine latents: light."""
    colours: Colours
    sun: torch.Tensor
    """(B, 3) direction of the light."""

    @classmethod
    def of(cls, c: torch.Tensor, m: torch.Tensor, f: torch.Tensor, schemes: torch.Tensor) -> Parameters:
        """Derive the colours and the light from latents (B, 8) and weights of the schemes (B, S)."""
        if schemes.shape[-1] != len(SCHEMES):
            raise ValueError(f"{schemes.shape[-1]} weights were given for {len(SCHEMES)} schemes")
        palette = colours(schemes, 0.42 * f[..., 2].tanh(), 1 + 0.15 * f[..., 3].tanh())
        angle = -math.pi / 2 + 0.9 * f[..., 4].tanh()  # from above, leaning left or right
        sun = torch.stack([0.72 * angle.cos(), 0.72 * angle.sin(), torch.full_like(angle, 0.69)], -1)
        return cls(c, m, f, palette, sun)

    @classmethod
    def of_native(cls, native: Native, device: torch.device) -> Parameters:
        """Read the parameters of one picture from the C structure."""
        values = torch.frombuffer(bytearray(native), dtype=torch.float32).to(device)[None]
        c, m, f, ramp, tone, *others = torch.split(values, [length for _, length in FIELDS], 1)
        *palette, sun = others
        stops = (ramp.view(1, STOPS, 3), tone.view(1, STOPS, 3))
        return cls(c, m, f, Colours(*stops, *palette), sun)

    def native(self, sample: int) -> Native:
        """Make the C structure of one picture."""
        return Native.from_buffer_copy(self.flat()[sample].contiguous().numpy().tobytes())

    def flat(self) -> torch.Tensor:
        """Return the numbers (B, N) of the C structures in their order."""
        values = [self.c, self.m, self.f, *self.colours, self.sun]
        return torch.cat([value.flatten(1) for value in values], 1).detach()

    def uniform(self) -> Uniform:
        """Make the values that the plain form takes, each (B, 1, 1)."""
        return Uniform(self)


def natives(c: torch.Tensor, m: torch.Tensor, f: torch.Tensor, schemes: torch.Tensor) -> list[Native]:
    """Derive the C structures of N pictures on the CPU, at once, from what `Parameters.of` takes.

    The last bits of sums depend on N. So they are computed in float64, and rounded away.
    """
    made = Parameters.of(c.double(), m.double(), f.double(), schemes.double())
    return [Native.from_buffer_copy(row.tobytes()) for row in made.flat().float().contiguous().numpy()]


class Uniform:
    """Parameters as the parsed text reads them: `z.c[3]`, `z.ramp[k]`, `z.sun.x`."""

    def __init__(self, parameters: Parameters) -> None:
        from audioreactive.generators.painter.functions import Vector

        def vector(values: torch.Tensor) -> Any:
            return Vector(tuple(part[:, None, None] for part in values.unbind(-1)))

        def numbers(values: torch.Tensor) -> Sequence[torch.Tensor]:
            return [part[:, None, None] for part in values.unbind(-1)]

        palette = parameters.colours
        self.c, self.m, self.f = numbers(parameters.c), numbers(parameters.m), numbers(parameters.f)
        self.ramp = [vector(stop) for stop in palette.ramp.unbind(-2)]
        self.tone = [vector(stop) for stop in palette.tone.unbind(-2)]
        self.dark, self.shadow, self.body = vector(palette.dark), vector(palette.shadow), vector(palette.body)
        self.accent, self.light, self.twin = vector(palette.accent), vector(palette.light), vector(palette.twin)
        self.sun = vector(parameters.sun)
