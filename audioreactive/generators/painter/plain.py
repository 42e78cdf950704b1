"""The plain form of the painter: the shaders' text, run by PyTorch; differentiable, and the compiled form's oracle."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import torch

from audioreactive.generators.painter.families import SHADERS
from audioreactive.generators.painter.functions import Place, Raster, Table, Vector, broadcast, places
from audioreactive.generators.painter.shading import parse

if TYPE_CHECKING:
    from audioreactive.generators.painter.parameters import Parameters


def paint(family: str, parameters: Parameters, tables: torch.Tensor, raster: Raster) -> torch.Tensor:
    """Paint a family: linear light (B, 3, r, c), r and c the sides of the raster.

    tables: noise (B, rows, columns).
    """
    scope = _functions(family)
    made = scope[family](_places(raster, tables), parameters.uniform())
    return _stacked(made, raster)


def reveal(
    parameters: Parameters, share: torch.Tensor, colour: torch.Tensor, other: torch.Tensor, raster: Raster
) -> torch.Tensor:
    """Let `other` (B, 3, r, c) grow through `colour`; share (B,) from 0 to 1 says how far."""
    place = _places(raster, colour.new_zeros(len(colour), 2, 2))
    scope = _functions("reveal")
    made = scope["revealed"](
        Vector(colour.unbind(1)), Vector(other.unbind(1)), share[:, None, None], place, parameters.uniform()
    )
    return _stacked(made, raster)


def glowing(colour: torch.Tensor) -> torch.Tensor:
    """Mean of what glows (B, 3, r / 4, c / 4) in each block of 4 × 4 pixels of linear light (B, 3, r, c)."""
    made = _functions("finish")["glowing"](Vector(colour.unbind(1)))
    return torch.nn.functional.avg_pool2d(torch.stack(made.parts, 1), 4)


def finish(parameters: Parameters, colour: torch.Tensor, bloom: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Turn linear light (B, 3, r, c) and its bloom (B, 3, rows, columns) into pictures (B, 3, h, w) in [-1, 1]."""
    height, width = size
    sides = (colour.shape[2], colour.shape[3])
    place = _places(Raster(size, sides), colour.new_zeros(len(colour), 2, 2))
    rows, columns = (torch.arange(side, device=colour.device) for side in colour.shape[2:])
    y, x = torch.meshgrid(rows.float(), columns.float(), indexing="ij")
    glow = _sampled(bloom, (y + 0.5) * (bloom.shape[2] / height) - 0.5, (x + 0.5) * (bloom.shape[3] / width) - 0.5)
    scope = _functions("finish")
    made = scope["finished"](Vector(colour.unbind(1)), Vector(glow.unbind(1)), place, parameters.uniform())
    picture: torch.Tensor = torch.stack(made.parts, 1) * 2 - 1 + scope["dithered"](x, y)
    return picture[:, :, :height, :width]


def _sampled(maps: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Maps (B, C, rows, columns) at places (r, c) in units of their entries, linear between them, edges repeated."""
    rows, columns = maps.shape[2:]
    y, x = y.clamp(0, rows - 1.001), x.clamp(0, columns - 1.001)
    top, left = y.floor().long(), x.floor().long()
    v, u = y - top, x - left
    above = torch.lerp(maps[:, :, top, left], maps[:, :, top, left + 1], u)
    return torch.lerp(above, torch.lerp(maps[:, :, top + 1, left], maps[:, :, top + 1, left + 1], u), v)


def _places(raster: Raster, tables: torch.Tensor) -> Place:
    return places(raster, Table(tables), tables.device)


def _stacked(colour: Vector, raster: Raster) -> torch.Tensor:
    parts = [part.expand(*part.shape[:-2], *raster.sides) for part in colour.parts]
    return torch.stack(broadcast(*parts), 1)


@functools.cache
def _functions(name: str) -> dict[str, Any]:
    """The functions of a text, with those that it includes and those that all families share."""
    parts = ("common", "finish") if name == "finish" else ("common", "finish", name)
    return parse("\n".join(text(part) for part in parts))


def text(name: str) -> str:
    """The text of this name, with the texts that it includes in their places."""
    return re.sub(
        r'^#include "([a-z_]+)\.glsl"$',
        lambda found: text(found[1]),
        (SHADERS / f"{name}.glsl").read_text("utf-8"),
        flags=re.MULTILINE,
    )
