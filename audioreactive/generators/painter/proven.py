"""The compiled form of the painter, each function of which is compared with plain PyTorch before it is first used.

What differs is not used: after one warning, which says what it is, plain PyTorch takes its place.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from audioreactive.errors import RenderError
from audioreactive.generators.painter import plain
from audioreactive.generators.painter.families import FAMILIES
from audioreactive.generators.painter.functions import Raster
from audioreactive.generators.painter.parameters import LATENTS, Native, Parameters
from audioreactive.generators.painter.schemes import SCHEMES
from stylegan_ops import selfcheck
from stylegan_ops.ops import rgb_to_yuv420

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audioreactive.generators.painter.kernels import FinishYuv, Kernels

RASTER: Final = Raster((18, 42), (20, 44))
"""A picture whose sides no block of threads fits into; they are even, as YUV needs."""
SHARED: Final = ("finish", "reveal", "finish_yuv")
MEAN_LEVELS: Final = 0.25
"""Largest mean difference from plain PyTorch, in levels of 255; 0.1 is usual where a GPU's own functions are used."""
FAR: Final = (2.0, 0.02)
"""Levels by which a pixel is far off, and the largest share of such pixels: those at which a cell ends."""


@dataclass(frozen=True)
class Proven:
    """A compiled form, of which only what agrees with plain PyTorch is used."""

    form: Kernels

    @property
    def side_by_side(self) -> bool:
        """Whether the pictures of a batch are made side by side."""
        return self.form.side_by_side

    def paint(
        self, family: str, parameters: Native, table: torch.Tensor, colour: torch.Tensor, glow: torch.Tensor,
        size: tuple[int, int],
    ) -> None:  # fmt: skip
        """Paint a family, as `Kernels.paint`."""
        if self.trusts(family):
            self.form.paint(family, parameters, table, colour, glow, size)
            return
        made = plain.paint(family, Parameters.of_native(parameters, colour.device), table[None], _raster(colour, size))
        colour.copy_(made[0])
        glow.copy_(plain.glowing(made)[0])

    def reveal(
        self, parameters: Native, share: float, colour: torch.Tensor, other: torch.Tensor, glow: torch.Tensor,
        size: tuple[int, int],
    ) -> None:  # fmt: skip
        """Let `other` grow through `colour`, as `Kernels.reveal`."""
        if self.trusts("reveal"):
            self.form.reveal(parameters, share, colour, other, glow, size)
            return
        both, raster = Parameters.of_native(parameters, colour.device), _raster(colour, size)
        made = plain.reveal(both, colour.new_tensor([share]), colour[None], other[None], raster)
        colour.copy_(made[0])
        glow.copy_(plain.glowing(made)[0])

    def finish(self, parameters: Native, colour: torch.Tensor, bloom: torch.Tensor, picture: torch.Tensor) -> None:
        """Turn linear light and its bloom into a picture, as `Kernels.finish`."""
        if self.trusts("finish"):
            self.form.finish(parameters, colour, bloom, picture)
        else:
            picture.copy_(_finished(parameters, colour, bloom, (picture.shape[1], picture.shape[2])))

    @property
    def finish_yuv(self) -> FinishYuv | None:
        """The function that turns linear light into YUV, if the form has one; it is checked when this is asked."""
        own = self.form.finish_yuv
        return own if own is None or self.trusts("finish_yuv") else _finish_yuv

    def trusts(self, name: str) -> bool:
        """Whether a function may be used; it is compiled, and checked, when this is first asked.

        Raises:
            RenderError: it cannot be compiled.
        """
        made = selfcheck.Build(self.form.identity(name), selfcheck.place_of(self.form.device))
        check = functools.partial(_compare, self.form, name)
        return selfcheck.verdict(f"{name} of the painter", made, torch.float32, check) is None


def check_all(form: Kernels) -> Iterator[selfcheck.Outcome]:
    """Check all functions of a form, whatever is remembered; compiles all families."""
    for name in [*FAMILIES, *(name for name in SHARED if name != "finish_yuv" or form.finish_yuv is not None)]:
        start = time.perf_counter()
        try:
            form.identity(name)
            reason = selfcheck.difference(functools.partial(_compare, form, name))
        except RenderError as error:
            reason = str(error)
        place = selfcheck.place_of(form.device)
        yield selfcheck.Outcome(f"painter {name}", place, "float32", reason, time.perf_counter() - start)


def _compare(form: Kernels, name: str) -> None:
    """Compare a function with plain PyTorch.

    Raises:
        Difference: they differ.
    """
    trial = selfcheck.Trial(torch.device("cpu"), torch.float32)
    c, m, f = (trial.normal(1, LATENTS).clamp(-2, 2) for _ in range(3))
    own = Parameters.of(c, m, f, trial.normal(1, len(SCHEMES)).softmax(1)).native(0)
    light = [trial.normal(3, *RASTER.sides).abs().to(form.device) for _ in range(2)]
    bloom = trial.normal(3, 5, 11).abs().to(form.device)
    parameters = Parameters.of_native(own, form.device)
    if name == "finish":
        picture = torch.full((3, *RASTER.size), torch.nan, device=form.device)
        form.finish(own, light[0], bloom, picture)
        _alike(picture, _finished(own, light[0], bloom, RASTER.size))
        return
    if name == "finish_yuv":
        assert form.finish_yuv is not None
        height, width = RASTER.size
        pixels = torch.zeros(height * width * 3 // 2, dtype=torch.uint8)
        form.finish_yuv(own, light[0], bloom, pixels, RASTER.size)
        expected = rgb_to_yuv420(_finished(own, light[0], bloom, RASTER.size)[None])[0]
        _alike(pixels.float() / 127.5, expected.float() / 127.5)
        return
    glow = torch.full((3, *(side // 4 for side in RASTER.sides)), torch.nan, device=form.device)
    if name == "reveal":
        colour = light[0].clone()
        form.reveal(own, 0.4, colour, light[1], glow, RASTER.size)
        share = colour.new_tensor([0.4])
        expected = plain.reveal(parameters, share, light[0][None], light[1][None], RASTER)[0]
    else:
        colour = torch.full_like(light[0], torch.nan)
        table = (0.8 * trial.normal(24, 45)).to(form.device)
        form.paint(name, own, table, colour, glow, RASTER.size)
        expected = plain.paint(name, parameters, table[None], RASTER)[0]
    _alike(*(_finished(own, made, bloom, RASTER.size) for made in (colour, expected)))
    selfcheck.Trial(form.device, torch.float32).compare(glow / 16, plain.glowing(colour[None])[0] / 16)


def _alike(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Compare values in [-1, 1]."""
    mean, _ = selfcheck.mean_and_largest(127.5 * found, 127.5 * wanted)
    far = float(((found - wanted).abs() * 127.5 > FAR[0]).float().mean())
    if mean > MEAN_LEVELS or far > FAR[1]:
        raise selfcheck.Difference(f"it is {mean:.2g} levels of 255 off in the mean, and {far:.1%} of it is far off")


def _finished(own: Native, colour: torch.Tensor, bloom: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    parameters = Parameters.of_native(own, colour.device)
    return plain.finish(parameters, colour[None], bloom[None], size)[0]


def _finish_yuv(
    parameters: Native, colour: torch.Tensor, bloom: torch.Tensor, pixels: torch.Tensor, size: tuple[int, int]
) -> None:
    """Do in plain PyTorch what `Kernels.finish_yuv` does."""
    pixels.copy_(rgb_to_yuv420(_finished(parameters, colour, bloom, size)[None])[0])


def _raster(colour: torch.Tensor, size: tuple[int, int]) -> Raster:
    return Raster(size, (colour.shape[1], colour.shape[2]))
