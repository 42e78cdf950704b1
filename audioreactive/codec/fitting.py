"""Fit a `GridNetwork` to a clip: small error, and few bits once its numbers are rounded and coded.

A step draws some frames, adds noise of the size of rounding to the grids' numbers (later rounds them), and follows the
gradient of squared error + weight · bits. The bits are those of a Laplace distribution for each channel of each grid,
whose scale is learnt. Only the slices of a grid that the drawn frames see are moved.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch.nn import functional

from audioreactive._support.streams import named_stream
from audioreactive.codec.analysis import GREY, SMALLEST, TO_RGB, Pyramid, analyse, finest_step
from audioreactive.codec.entropy import BESIDE, MARGIN, OTHER_CHANNEL, encode
from audioreactive.codec.grids import (
    BASE,
    LARGEST_VALUE,
    LIGHT_UNIT,
    MOTION_UNIT,
    GridNetwork,
    Layout,
    displaced,
    enlarged,
    piled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

GRID_RATE: Final = 0.03
"""Learning rate of the grids' numbers, whose steps are 1."""
NET_RATE: Final = 3e-3
"""Learning rate of the decoder and of the scales."""
LOWEST_RATE: Final = 0.03
"""Share of the learning rate that is left at the end."""
NOISY: Final = 0.8
"""Share of the steps with noise; in the rest, numbers are rounded."""
WEIGHTS: Final = (1e-6, 0.1)
"""Bounds of the weight."""
SEARCHES: Final = 5
"""Weights that are tried."""
FITTED: Final = 0.75
"""Bytes that a fit leaves of its beginning, measured on three clips."""
LOG2: Final = math.log2(math.e)
EVERY: Final = (0, 4, 8, 16)
"""Frames between keys that are tried."""
SMALLER: Final = 0.8
"""Exponent with which a clip's bytes follow its number of pixels."""
WORTH: Final = 0.95
"""Share of the cost without keys that one with them must be below."""
FEWEST_FRAMES: Final = 5
"""Frames from which a clip may have keys."""
BETAS: Final = (0.9, 0.99)
PIXELS_AT_ONCE: Final = 1 << 17
"""Pixels of the frames that are drawn in one step."""


@dataclass
class _Slices:
    """Adam for the slices of a grid, each with its own count of steps."""

    grid: torch.Tensor
    mean: torch.Tensor = field(init=False)
    square: torch.Tensor = field(init=False)
    count: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.square = torch.zeros_like(self.grid), torch.zeros_like(self.grid)
        self.count = torch.zeros(len(self.grid))

    def move(self, at: torch.Tensor, gradient: torch.Tensor, rate: float) -> None:
        """Move the slices `at`, which are distinct."""
        self.count[at] += 1
        one, two = (1 - beta ** self.count[at].view(-1, 1, 1, 1) for beta in BETAS)
        mean = self.mean[at].lerp_(gradient, 1 - BETAS[0])
        square = self.square[at].lerp_(gradient.square(), 1 - BETAS[1])
        self.mean[at], self.square[at] = mean, square
        moved = self.grid[at] - rate * (mean / one) / ((square / two).sqrt() + 1e-8)
        self.grid[at] = moved.clamp_(-LARGEST_VALUE, LARGEST_VALUE)


class Fit:
    """A fit in progress.

    Args:
        frames: (T, H, W, 3) uint8.
        steps: steps of the whole fit, which decide about learning rates.
        weight: squared error, in units of the full scale, that one bit a pixel may cost.
        seed: seed of the noise and the order of the frames.
        pyramid: the frames' pyramid; None: that of a clip that does not move.
    """

    def __init__(
        self, frames: NDArray[np.uint8], *, steps: int, weight: float, seed: int = 0, pyramid: Pyramid | None = None
    ) -> None:
        count, height, width, _ = frames.shape
        self.frames, self.steps, self.weight = frames, steps, weight
        self.size = (width, height)
        pyramid = pyramid or analyse(frames, Layout(count, self.size))
        self.layout = pyramid.layout
        self.done = 0
        self._draw = torch.Generator().manual_seed(seed)
        self._order = named_stream(f"codec frames {seed}")
        self._queue: list[int] = []
        self.network = GridNetwork(self.layout)
        begin(self.network, pyramid, weight, seed)
        self._slices = [_Slices(grid.data) for grid in self.network.grids]
        self._kinds = [kind for kind, parts in self.layout.parts.items() for _ in parts]
        self.scales = [_scales(grid.data) for grid in self.network.grids]
        """For each grid (2, C, 1, 1): the logarithm of a value's expected magnitude is one plus the other times the
        logarithm of those nearby."""
        small = [p for name, p in self.network.named_parameters() if not name.startswith("grids")]
        self._adam = torch.optim.Adam([*small, *self.scales], lr=NET_RATE, betas=BETAS, foreach=False)
        self.network.requires_grad_(False)
        for parameter in small:
            parameter.requires_grad_()

    @property
    def is_noisy(self) -> bool:
        """Whether noise stands for rounding."""
        return self.done < NOISY * self.steps

    def step(self) -> tuple[float, float]:
        """Take a step; returns the mean squared error and the bits a pixel."""
        drawn = self._drawn()
        target = torch.from_numpy(self.frames[drawn]).permute(0, 3, 1, 2).float() / 255
        bits = torch.zeros(())
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        slices: dict[str, list[torch.Tensor]] = {}
        wanted = self._seen(drawn)
        grids = zip(self._slices, self.scales, self._kinds, strict=True)
        for grid, scale, kind in grids:
            at = wanted[kind]
            part = grid.grid[at].requires_grad_()
            rounded = self._rounded(part, kind)
            around = (nearby(part.detach()) + 0.05).log()
            cost: torch.Tensor = _Bits.apply(rounded, scale, around)  # type: ignore[no-untyped-call]
            bits = bits + cost * (len(grid.grid) / (len(self.frames) * len(at)))
            slices.setdefault(kind, []).append(rounded)
            seen.append((at, part))
        made = self._draw_frames(drawn, slices, wanted)
        error = (made - target).square().mean()
        rate = bits / (self.size[0] * self.size[1])
        self._adam.zero_grad(set_to_none=True)
        (error + self.weight * rate).backward()
        self._move(seen)
        self.done += 1
        return float(error.detach()), float(rate.detach())

    def _seen(self, drawn: Sequence[int]) -> dict[str, torch.Tensor]:
        """Kind of grids -> the slices that some frames see."""
        every = torch.tensor(drawn)
        if not self.layout.knots:
            return {"own": every}
        spans = {self.layout.span(i)[0] for i in drawn}
        keys = spans | {k + 1 for k in spans}
        return {
            "own": every, "light": every, "still": torch.zeros(1, dtype=torch.long),
            "motion": torch.tensor(sorted(spans)), "keys": torch.tensor(sorted(keys)),
        }  # fmt: skip

    def _draw_frames(
        self, drawn: Sequence[int], slices: Mapping[str, list[torch.Tensor]], seen: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Decode frames (B, 3, H, W) from the slices that they see."""
        network, layout = self.network, self.layout
        width, height = self.size
        units = network.unit("own")
        parts = [enlarged(part * unit, (height, width)) for part, unit in zip(slices["own"], units, strict=True)]
        if layout.knots:
            spans = [layout.span(i) for i in drawn]
            k = torch.tensor([span for span, _ in spans])
            keys = network.keys(slices["still"], slices["keys"])
            before, after = (torch.searchsorted(seen["keys"], at) for at in (k, k + 1))
            way = enlarged(piled(slices["motion"]) * MOTION_UNIT, (height, width))
            way = way[torch.searchsorted(seen["motion"], k)]
            shares = torch.tensor([share for _, share in spans])
            found = displaced(keys[before], keys[after], way, shares, range(height), height)
            light = 1 + LIGHT_UNIT * enlarged(piled(slices["light"]), (height, width))
            parts.insert(0, light * found)
        return network.decode(torch.cat(parts, 1).flatten(2)).view(len(drawn), 3, height, width)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that a fit needs to go on later, as arrays."""
        made: dict[str, NDArray[Any]] = {"done": np.array(self.done), "queue": np.array(self._queue, np.int64)}
        made["weight"] = np.array(self.weight)
        made["draw"] = self._draw.get_state().numpy()
        made["order"] = np.frombuffer(json.dumps(_plain(self._order.get_state())).encode(), np.uint8)
        for i, grid in enumerate(self._slices):
            made |= {f"grid {i}": grid.grid.numpy(), f"mean {i}": grid.mean.numpy()}
            made |= {f"square {i}": grid.square.numpy(), f"count {i}": grid.count.numpy()}
        adam = self._adam.state_dict()["state"]
        for i, parameter in enumerate(self._adam.param_groups[0]["params"]):
            made[f"parameter {i}"] = parameter.detach().numpy()
            if i in adam:
                made |= {f"adam {i} {key}": value.numpy() for key, value in adam[i].items()}
        return made

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` returned.

        Raises:
            KeyError, ValueError: it belongs to another fit.
        """
        for i, grid in enumerate(self._slices):
            for name, goal in (
                ("grid", grid.grid),
                ("mean", grid.mean),
                ("square", grid.square),
                ("count", grid.count),
            ):
                goal.copy_(_same_shape(state[f"{name} {i}"], goal))
        adam: dict[int, dict[str, torch.Tensor]] = {}
        with torch.no_grad():
            for i, parameter in enumerate(self._adam.param_groups[0]["params"]):
                parameter.copy_(_same_shape(state[f"parameter {i}"], parameter))
                prefix = f"adam {i} "
                found = {key.removeprefix(prefix): torch.from_numpy(np.array(value))
                         for key, value in state.items() if key.startswith(prefix)}  # fmt: skip
                if found:
                    adam[i] = found
        self._adam.load_state_dict({**self._adam.state_dict(), "state": adam})
        self.done, self.weight = int(state["done"]), float(state["weight"])
        self._queue = state["queue"].tolist()
        self._draw.set_state(torch.from_numpy(np.array(state["draw"])))
        kind, keys, *rest = json.loads(state["order"].tobytes())
        self._order.set_state((kind, np.array(keys, np.uint32), *rest))

    def _drawn(self) -> list[int]:
        width, height = self.size
        wanted = min(max(PIXELS_AT_ONCE // (width * height), 1), len(self.frames))
        if len(self._queue) < wanted:
            self._queue += self._order.permutation(len(self.frames)).tolist()
        drawn, self._queue = self._queue[:wanted], self._queue[wanted:]
        return sorted(drawn)

    def _rounded(self, part: torch.Tensor, kind: str) -> torch.Tensor:
        # Noise on motion would blur what it moves.
        if self.is_noisy and kind not in ("motion", "light"):
            return part + torch.rand(part.shape, generator=self._draw) - 0.5
        return part + (part.round() - part).detach()

    def _move(self, seen: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        left = self.done / self.steps
        share = LOWEST_RATE + (1 - LOWEST_RATE) * 0.5 * (1 + math.cos(math.pi * min(left, 1.0)))
        for group in self._adam.param_groups:
            group["lr"] = NET_RATE * share
        self._adam.step()
        with torch.no_grad():
            for grid, (at, part) in zip(self._slices, seen, strict=True):
                assert part.grad is not None
                grid.move(at, part.grad, GRID_RATE * share)


def _plain(state: Any) -> list[Any]:
    kind, keys, *rest = state
    return [kind, keys.tolist(), *rest]


def _same_shape(values: NDArray[Any], goal: torch.Tensor) -> torch.Tensor:
    if values.shape != tuple(goal.shape):
        raise ValueError(f"an array of {values.shape} is no state of {tuple(goal.shape)}")
    return torch.from_numpy(np.array(values))


class _Bits(torch.autograd.Function):
    """Sum of `laplace_bits`, whose derivatives are known: a pass over the numbers instead of ten."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, scale: torch.Tensor, around: torch.Tensor) -> torch.Tensor:
        """Bits of values (t, c, r, k); logarithms of their scales are scale[0] + scale[1] · around."""
        bits, by_value, by_scale = _laplace(values, scale[:1] + scale[1:] * around)
        to_scale = torch.stack([by_scale.sum((0, 2, 3)), (by_scale * around).sum((0, 2, 3))])[..., None, None]
        ctx.save_for_backward(by_value, to_scale)
        return bits.sum()

    @staticmethod
    def backward(ctx: Any, *given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Derivatives by values and scale."""
        by_value, to_scale = ctx.saved_tensors
        return by_value * given[0], to_scale * given[0], None


def laplace_bits(values: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """Bits of values, rounded to whole numbers, under Laplace distributions with these logarithms of their scales."""
    return _laplace(values, log_scale)[0]


def _laplace(values: torch.Tensor, log_scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Bits of values, and their derivatives by the values and by the logarithms of the scales."""
    narrow, far = (-log_scale).exp_().clamp_(max=1e3), values.abs()
    # Outside the middle, a whole number has 0.5 exp((0.5 - far) / scale) (1 - exp(-1 / scale)).
    once = torch.exp(-narrow)
    gone = (-torch.expm1(-narrow)).clamp_(min=1e-12)
    reach = (far - 0.5) * narrow
    bits = 1 + reach * LOG2 - gone.log2()
    by_far, by_scale = LOG2 * narrow, LOG2 * (narrow * once / gone - reach)
    # In it, 1 - 0.5 (exp((far - 0.5) / scale) + exp((-far - 0.5) / scale)).
    middle = far < 0.5
    right, left = torch.exp(reach.clamp(max=0)), torch.exp((-far - 0.5) * narrow)
    inside = (1 - 0.5 * (right + left)).clamp_(min=1e-12)
    factor = 0.5 * LOG2 * narrow / inside
    bits = torch.where(middle, -inside.log2(), bits)
    by_far = torch.where(middle, factor * (right - left), by_far)
    by_scale = torch.where(middle, factor * (right * (0.5 - far) + left * (0.5 + far)), by_scale)
    return bits, by_far * values.sign(), by_scale


def nearby(values: torch.Tensor) -> torch.Tensor:
    """Weighted mean magnitude (t, c, r, k) of what the coder knows of a cell: its neighbours, and channels before."""
    rows, columns = values.shape[2:]
    size = functional.pad(values.abs(), (MARGIN, MARGIN, MARGIN, MARGIN))
    total = torch.zeros_like(values)
    for down, right, weight in BESIDE:
        top, left = MARGIN + down, MARGIN + right
        total += weight * size[:, :, top : top + rows, left : left + columns]
    before = values.abs().cumsum(1) - values.abs()
    weights = sum(weight for _, _, weight in BESIDE) + OTHER_CHANNEL * torch.arange(values.shape[1])
    return (total + OTHER_CHANNEL * before) / weights[:, None, None]


def suited(frames: NDArray[np.uint8], weight: float, room: int | None = None) -> Layout:
    """Choose how many frames lie between keys, of a few: by what begins with the least error + weight · bits.

    That is found out with the clip in half its size.

    Args:
        frames: (T, H, W, 3) uint8.
        weight: weight of the bits.
        room: bytes that the numbers may take, from which the weight follows instead.
    """
    count, height, width, _ = frames.shape
    if count < FEWEST_FRAMES:
        return Layout(count, (width, height))
    small = frames
    if min(height, width) >= 2 * SMALLEST:
        whole = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
        half = functional.interpolate(whole, (height // 2, width // 2), mode="area").permute(0, 2, 3, 1)
        small = (half + 0.5).to(torch.uint8).numpy()
    if room is not None:
        share = (small.size / frames.size) ** SMALLER
        weight = weight_for(analyse(small, Layout(count, (small.shape[2], small.shape[1]))), round(share * room))
    costs = {every: _begun_cost(small, every, weight) for every in EVERY if every < count}
    costs[0] *= WORTH
    return Layout(count, (width, height), min(costs, key=lambda every: costs[every]))


def _begun_cost(frames: NDArray[np.uint8], every: int, weight: float) -> float:
    """Error + weight · bits of the network with which a fit begins."""
    count, height, width, _ = frames.shape
    network = GridNetwork(Layout(count, (width, height), every))
    begin(network, analyse(frames, network.layout), weight, 0)
    for grid in network.grids:
        grid.data.round_()
    numbers = [grid.data.to(torch.int32).numpy() for grid in network.grids]
    last = max(count - 1, 1)
    error = 0.0
    for i, frame in enumerate(frames):
        made = network.picture(i / last, (width, height)).float()
        error += float((made - torch.from_numpy(frame).float()).square().mean()) / 255**2
    return float(error / count + weight * 8 * len(encode(numbers)) / (count * height * width))


def weight_for(pyramid: Pyramid, size: int) -> float:
    """Find the weight with which a fit ends with about `size` bytes of numbers."""
    low, high = WEIGHTS
    for _ in range(SEARCHES):
        weight = math.sqrt(low * high)
        numbers = [part.round().to(torch.int32).numpy() for part in pyramid.numbers(finest_step(weight))]
        if FITTED * len(encode(numbers)) > size:
            low = weight
        else:
            high = weight
    return math.sqrt(low * high)


def begin(network: GridNetwork, pyramid: Pyramid, weight: float, seed: int) -> None:
    """Give the grids the clip's own pyramid, in steps that suit the weight, and make the decoder add it up."""
    finest, layout = finest_step(weight), network.layout
    draw = torch.Generator().manual_seed(seed)
    for grid, numbers in zip(network.grids, pyramid.numbers(finest), strict=True):
        grid.requires_grad_(False)
        grid.data.copy_(numbers)
    colours = torch.tensor(TO_RGB)
    steps, units, columns = pyramid.steps(finest), [], []
    for name in ("still", "keys", "own"):
        for level, step in zip(layout.parts.get(name, ()), steps[name], strict=True):
            # A base is in colours; a step of what each frame has for itself is what it does to the picture.
            size = colours.norm(dim=0)[: level.channels] if name == "own" else torch.ones(level.channels)
            units.append(size * step)
            if name == "own":
                columns.append(colours[:, : level.channels] / size)
    if layout.knots:
        columns.insert(0, colours[:, :BASE])
    with torch.no_grad():
        network.units.copy_(torch.cat(units))
        network.skip.weight.copy_(torch.cat(columns, 1))
        assert network.skip.bias is not None and network.first.bias is not None and network.second.bias is not None
        network.skip.bias.fill_(0.0 if layout.knots else GREY)
        network.first.bias.zero_()
        network.second.bias.zero_()
        network.last.weight.zero_()
        network.first.weight.copy_(torch.randn(network.first.weight.shape, generator=draw))
        bound = network.hidden**-0.5
        network.second.weight.copy_(torch.randn(network.second.weight.shape, generator=draw) * bound)


def _scales(grid: torch.Tensor) -> torch.Tensor:
    size = grid.abs().mean((0, 2, 3)).clamp(min=0.02).log() * 0.5
    return torch.stack([size, torch.full_like(size, 0.5)])[:, :, None, None].requires_grad_()
