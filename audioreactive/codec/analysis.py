"""A clip's pyramid, with which a fit begins: how much light and colour there is on each grid's scale.

Coarse grids are computed first, and each finer one from what is left, as in a Laplacian pyramid (Burt and Adelson
1983). Of a clip that moves, what stands still comes first (the median of its frames, where most are near it), then the
keys, the paths between them (see `motion`), and the light of each frame; `own` has what these leave.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch.nn import functional

from audioreactive.codec.grids import BASE, LARGEST_VALUE, LIGHT_UNIT, MOTION_UNIT, Layout, displaced, enlarged, piled
from audioreactive.codec.motion import blurred, flow, paths, slopes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from audioreactive.codec.grids import Level

TO_RGB: Final = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
"""From lightness and two colour differences to red, green and blue (ITU-R BT.601)."""
SMALLEST_STEP: Final = 1 / 1024
"""Smallest step of the numbers, so that they stay within their bounds."""
GREY: Final = 0.5
"""Lightness from which the grids of a clip without a base count; with one, they count from black, for the light."""
STILL: Final = 0.02
"""Median distance in lightness and colour from a pixel's median within which it counts as still; twice as far, not."""
LIT: Final = 4
"""Pixels of which a mean is taken before light is measured, and side of the cells of these that share it."""
DARK: Final = 0.04
"""Lightness below which a pixel says nothing about light."""
LIGHTS: Final = (0.2, 5.0)
STEADY: Final = 0.03
"""Change of light that is left out."""
HELP: Final = 0.8
"""Share of the error that is left where light helps, and of a frame's contrast where its base does."""
STEP_SQUARED: Final = 8.7
"""Square of the finest grids' step for a weight of 1: 12 / (2 ln 2), by the theory of fine uniform rounding."""
MOVED: Final = 0.85
"""Share of the error of keys that stand still which is left where their motion is kept."""
SMALLEST: Final = 48
"""Shorter side in pixels of a picture that is halved."""
AT_ONCE: Final = 8
"""Frames whose flow is computed at once."""


@dataclass(frozen=True)
class Pyramid:
    """Parts of a clip, one for each grid."""

    layout: Layout
    parts: dict[str, list[torch.Tensor]]
    """Kind -> for each level (t, c, r, k): light and colour in units of the full scale, motion and light in steps."""

    def steps(self, finest: float) -> dict[str, list[float]]:
        """Steps of the numbers of light and colour, where those of the finest grid of each frame have `finest`.

        A coarse one, and one for many frames, changes many pixels, so it is smaller by the root of their number.
        """
        frames, (width, height) = self.layout.frames, self.layout.size
        return {
            name: [
                max(finest * (level.rows * level.columns * level.times / (height * width * frames)) ** 0.5,
                    SMALLEST_STEP if level.rows * level.columns < height * width else 0.0)
                for level in self.layout.parts.get(name, ())
            ]
            for name in ("still", "keys", "own")
        }  # fmt: skip

    def numbers(self, finest: float) -> list[torch.Tensor]:
        """All parts in units of their steps, within the bounds of a grid's numbers, in the order of the file."""
        steps = self.steps(finest)
        made = []
        for name, parts in self.parts.items():
            scales = steps.get(name, [1.0] * len(parts))
            made += [
                (part / step).clamp(-LARGEST_VALUE, LARGEST_VALUE) for part, step in zip(parts, scales, strict=True)
            ]
        return made


def finest_step(weight: float) -> float:
    """Step of the finest grids' numbers, in units of the full scale, that suits a weight."""
    return math.sqrt(STEP_SQUARED * weight)


def analyse(frames: NDArray[np.uint8], layout: Layout) -> Pyramid:
    """Compute the pyramid of a clip (T, H, W, 3)."""
    count, height, width, _ = frames.shape
    from_rgb = torch.tensor(TO_RGB).inverse()
    left = torch.empty(count, BASE, height, width)
    for i in range(count):
        left[i] = torch.einsum("kc,hwc->khw", from_rgb, torch.from_numpy(frames[i]).float() / 255)
    parts: dict[str, list[torch.Tensor]] = {}
    if layout.knots:
        parts = _base(left, layout)
    else:
        left[:, 0] -= GREY
    parts["own"] = _pyramid(left, layout.parts["own"])
    return Pyramid(layout, parts)


def _base(left: torch.Tensor, layout: Layout) -> dict[str, list[torch.Tensor]]:
    """Parts of the base, which is taken away from the frames."""
    whole = layout.size[::-1]
    still, light = _still(left, layout)
    unlit = torch.stack([left[i] / _lit(light[i], whole) for i in range(layout.frames)])
    still_parts = _piles(still[None], layout.parts["still"])
    keys_parts = _piles(unlit[list(layout.knots)] - enlarged(piled(still_parts), whole), layout.parts["keys"])
    keys = piled([one + other for one, other in zip(still_parts, keys_parts, strict=True)])
    ways = _worth(_motion(unlit, layout), unlit, keys, layout)
    motion = [part.round() for part in _piles(ways / MOTION_UNIT, layout.parts["motion"])]
    ways = piled(motion) * MOTION_UNIT
    bases = torch.empty_like(left)
    for i in range(layout.frames):
        k, share = layout.span(i)
        way, pair = enlarged(ways[k : k + 1], whole), (keys[k : k + 1], keys[k + 1 : k + 2])
        bases[i] = displaced(*pair, way, torch.tensor([share]), range(whole[0]), whole[0])[0]
        light[i] *= _helps(left[i], bases[i] * _lit(light[i], whole), layout)
    steps = [part.round() for part in _piles((light - 1) / LIGHT_UNIT, layout.parts["light"])]
    light = 1 + LIGHT_UNIT * piled(steps)
    for i in range(layout.frames):
        left[i] -= bases[i] * enlarged(light[i : i + 1], whole)[0]
    return {"light": steps, "still": still_parts, "keys": keys_parts, "motion": motion}


def _lit(light: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The light (1, H, W) of a frame from its cells (1, r, k)."""
    return enlarged(light[None], size)[0].clamp(min=LIGHT_UNIT)


def _still(frames: torch.Tensor, layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
    """What stands still (3, H, W), 0 where nothing does, and the light (T, 1, r, k) of each frame on it."""
    level = layout.parts["light"][-1]
    cells = level.rows, level.columns
    light = torch.ones(level.shape)
    middle = frames.median(0).values
    for _ in range(2):
        for i, frame in enumerate(frames):
            light[i, 0] = _brighter(frame, middle, cells)
        unlit = torch.stack([frame / _lit(light[i], layout.size[::-1]) for i, frame in enumerate(frames)])
        middle = unlit.median(0).values
    far = (unlit - middle).abs_().mean(1, keepdim=True).median(0).values
    share = (2 - blurred(far[None], 2)[0] / STILL).clamp(0, 1)
    return middle * share, light


def _brighter(frame: torch.Tensor, middle: torch.Tensor, cells: tuple[int, int]) -> torch.Tensor:
    """By how much a frame (3, H, W) is brighter in each cell than a picture that stands still; 1 where it is not."""
    rows, columns = cells
    small = functional.interpolate(torch.stack([frame, middle]), (rows * LIT, columns * LIT), mode="area")[:, 0]
    one, other = (part.view(rows, LIT, columns, LIT).transpose(1, 2).reshape(rows, columns, -1) for part in small)
    ratio = torch.where(other > DARK, one / other.clamp(min=DARK), torch.ones(()))
    factor = ratio.median(-1).values.clamp(*LIGHTS)
    was, now = (one - other).abs().sum(-1), (one - factor[..., None] * other).abs().sum(-1)
    return torch.where((now < HELP * was) & ((factor - 1).abs() > STEADY), factor, torch.ones(()))


def _motion(frames: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Ways and bends (P - 1, 4, r, k) in pixels between the keys."""
    level = layout.parts["motion"][-1]
    cells = level.rows, level.columns
    made = torch.zeros(level.shape)
    height, width = frames.shape[2:]
    small, scale = frames, torch.ones(1, 2, 1, 1)
    if min(height, width) >= 2 * SMALLEST:  # half the size is exact enough, and takes a quarter of the time
        small = functional.interpolate(frames, (height // 2, width // 2), mode="area")
        scale = torch.tensor([width / (width // 2), height / (height // 2)]).view(1, 2, 1, 1)
    for k, (first, last) in enumerate(itertools.pairwise(layout.knots)):
        inner = list(range(first + 1, last)) or [first]
        found = []
        for key in (first, last):
            parts = [inner[i : i + AT_ONCE] for i in range(0, len(inner), AT_ONCE)]
            found.append(torch.cat([flow(small[part], small[[key] * len(part)]) for part in parts]) * scale)
        gx, gy = slopes(small[inner])
        sure = (gx.square() + gy.square()).sum(1, keepdim=True) + 1e-7
        weight = functional.interpolate(sure, cells, mode="area")
        ways = [functional.interpolate(one * sure, cells, mode="area") / weight for one in found]
        shares = torch.tensor([(i - first) / (last - first) for i in inner])
        made[k] = torch.cat(paths(ways[0], ways[1], shares, weight))
    return made


def _worth(ways: torch.Tensor, frames: torch.Tensor, keys: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Ways and bends (P - 1, 4, r, k), 0 where the frames (T, 3, H, W) are hardly nearer to the keys by them."""
    whole = layout.size[::-1]
    errors = torch.zeros(2, len(ways), 1, *ways.shape[2:])
    for i in range(layout.frames):
        k, share = layout.span(i)
        if 0 < share < 1:
            way, pair = enlarged(ways[k : k + 1], whole), (keys[k : k + 1], keys[k + 1 : k + 2])
            for error, factor in zip(errors, (1.0, 0.0), strict=True):
                made = displaced(*pair, factor * way, torch.tensor([share]), range(whole[0]), whole[0])
                far = (made - frames[i]).abs().mean(1, keepdim=True)
                error[k] += functional.interpolate(far, ways.shape[2:], mode="area")[0]
    kept: torch.Tensor = ways * (errors[0] < MOVED * errors[1])
    return kept


def _helps(frame: torch.Tensor, base: torch.Tensor, layout: Layout) -> torch.Tensor:
    """1 for each cell (1, r, k) of light in which a frame has less contrast without the base (3, H, W), else 0."""
    level = layout.parts["light"][-1]
    pictures = torch.stack([frame - base, frame])
    fine = (pictures - blurred(pictures, 8)).abs().mean(1, keepdim=True)
    near, whole = functional.interpolate(fine, (level.rows, level.columns), mode="area")
    helps: torch.Tensor = near < HELP * whole + 1e-3
    return helps.float()


def _pyramid(pictures: torch.Tensor, levels: Sequence[Level]) -> list[torch.Tensor]:
    """Parts (B, c, r, k) of pictures (B, C, H, W) on each scale, coarse ones first."""
    made: list[torch.Tensor] = []
    left = pictures
    for level in levels:
        part = functional.interpolate(left[:, : level.channels], (level.rows, level.columns), mode="area")
        made.append(part)
        left = left.clone() if left is pictures else left
        left[:, : level.channels] -= enlarged(part, (pictures.shape[2], pictures.shape[3]))
    return made


def _piles(pictures: torch.Tensor, levels: Sequence[Level]) -> list[torch.Tensor]:
    """Parts (B, c, r, k) that `piled` adds up to pictures (B, C, H, W) as they are on the finest scale."""
    made: list[torch.Tensor] = []
    for level in levels:
        here = functional.interpolate(pictures, (level.rows, level.columns), mode="area")
        if made:
            here = here - enlarged(piled(made), (level.rows, level.columns))
        made.append(here[:, : level.channels])
    return made
