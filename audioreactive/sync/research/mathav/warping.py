"""Dynamic time warping of section 4.3.3, and soft-DTW, which has a gradient.

    DTW(H_v, H_a) = min over paths π of Σ |H_v[i] - H_a[j]| over (i, j) in π

Its minimum has no useful gradient at ties. Where a gradient is needed, in the loss, the minimum of three is replaced by
the soft one -γ log Σ exp(-x/γ) (Cuturi and Blondel, "Soft-DTW", 2017, which the seed cites); for γ -> 0 it is DTW.

Conventions: costs (B, n, m), n rows of the picture against m of the sound; steps (1, 0), (0, 1) and (1, 1), from the
first pair to the last. All cells of an antidiagonal are computed at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor


def euclidean(seen: Tensor, heard: Tensor) -> Tensor:
    """Distances (B, n, m) between rows (B, n, d) and (B, m, d); smooth where two rows are equal."""
    squares = (seen**2).sum(2)[:, :, None] + (heard**2).sum(2)[:, None] - 2 * seen @ heard.transpose(1, 2)
    return (squares.clamp_min(0) + 1e-6).sqrt()


def dtw(costs: Tensor) -> Tensor:
    """Cost (B,) of the cheapest path; no gradient is meant."""
    return _accumulate(costs.detach(), 0.0).total


def soft_dtw(costs: Tensor, gamma: float) -> Tensor:
    """Soft minimum (B,) of the costs of all paths, differentiable in the costs (B, n, m).

    Args:
        costs: of each pair.
        gamma: how soft, in units of the costs; more than 0.

    Raises:
        ValueError: gamma is not positive.
    """
    if not gamma > 0:
        raise ValueError(f"gamma is {gamma:g}; soft-DTW needs more than 0, and `dtw` is its limit")
    return cast("Tensor", _SoftDtw.apply(costs, gamma))  # type: ignore[no-untyped-call]


def path_means(costs: Tensor) -> Tensor:
    """Mean column (B, n) of the cheapest path in each row: where in the sound each frame of the picture lies."""
    table = _accumulate(costs.detach(), 0.0).table
    clips, n, m = costs.shape
    every = torch.arange(clips, device=costs.device)
    i, j = torch.full((clips,), n - 1, device=costs.device), torch.full((clips,), m - 1, device=costs.device)
    total, count = costs.new_zeros(clips, n), costs.new_zeros(clips, n)
    for _ in range(n + m - 1):
        at_start = (i == 0) & (j == 0)
        total[every, i] += j
        count[every, i] += 1
        # A step of both, of the picture alone, of the sound alone; row i lies at i + 1, see `_Accumulated`.
        before = torch.stack([table[i + j, every, i], table[i + j + 1, every, i], table[i + j + 1, every, i + 1]])
        step = before.argmin(0)
        i = i - ((step != 2) & ~at_start).long()
        j = j - ((step != 1) & ~at_start).long()
        if bool(at_start.all()):
            break
    return total / count


class _Accumulated(NamedTuple):
    """Costs along antidiagonals: cell (i, j) of the accumulated cost is `table[i + j + 2, :, i + 1]`."""

    total: Tensor
    """(B,) of the last cell."""
    table: Tensor
    """(n + m + 1, B, n + 1)."""
    minima: Tensor
    """(n + m - 1, B, n) minimum of the cells before each; -inf where there is no cell."""


def _accumulate(costs: Tensor, gamma: float) -> _Accumulated:
    clips, n, m = costs.shape
    skewed, inside = _skewed(costs)
    table = costs.new_full((n + m + 1, clips, n + 1), torch.inf)
    table[0, :, 0] = 0
    minima = costs.new_full((n + m - 1, clips, n), -torch.inf)
    for k in range(n + m - 1):
        three = torch.stack([table[k, :, :-1], table[k + 1, :, :-1], table[k + 1, :, 1:]])
        least = three.amin(0)
        if gamma > 0:
            # The least is taken out first; where there is no cell before, the least alone (infinity) stays.
            rest = torch.where(least.isfinite(), torch.exp(-(three - least.nan_to_num(0, 0, 0)) / gamma).sum(0), 1.0)
            least = least - gamma * rest.log()
        table[k + 2, :, 1:] = least + skewed[k]
        minima[k] = torch.where(inside[k], least, -torch.inf)
    return _Accumulated(table[-1, :, -1].clone(), table, minima)


def _skewed(costs: Tensor) -> tuple[Tensor, Tensor]:
    """Costs by antidiagonal, (n + m - 1, B, n), infinite where no cell is, and where there is one, (n + m - 1, n)."""
    _, n, m = costs.shape
    row = torch.arange(n, device=costs.device)
    column = torch.arange(n + m - 1, device=costs.device)[:, None] - row
    inside = (column >= 0) & (column < m)
    picked = costs[:, row.expand_as(column), column.clamp(0, m - 1)].transpose(0, 1)
    return torch.where(inside[:, None], picked, torch.inf), inside


class _SoftDtw(torch.autograd.Function):
    """Gradient by the recursion of Cuturi and Blondel, algorithm 2: the share of the paths that cross each cell."""

    @staticmethod
    def forward(ctx: Any, costs: Tensor, gamma: float) -> Tensor:
        found = _accumulate(costs, gamma)
        ctx.save_for_backward(found.table, found.minima)
        ctx.gamma, ctx.size = gamma, costs.shape
        return found.total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        table, minima = ctx.saved_tensors
        clips, n, m = ctx.size
        last = n + m - 2
        # shares[k, :, i] of cell (i, k - i); one antidiagonal and one row more than there are, both of share 0
        shares = table.new_zeros(last + 3, clips, n + 1)
        shares[last, :, n - 1] = 1
        padded = table.new_full((last + 3, clips, n + 1), -torch.inf)
        padded[: last + 1, :, :n] = minima
        for k in range(last - 1, -1, -1):
            here = table[k + 2, :, 1:]
            total = torch.zeros_like(here)
            for after, rows in ((k + 1, slice(1, n + 1)), (k + 1, slice(0, n)), (k + 2, slice(1, n + 1))):
                total += shares[after, :, rows] * torch.exp((padded[after, :, rows] - here) / ctx.gamma)
            shares[k, :, :n] = total
        row, column = torch.arange(n, device=table.device)[:, None], torch.arange(m, device=table.device)
        result = shares[row + column, :, row.expand(n, m)].permute(2, 0, 1)
        return gradients[0][:, None, None] * result, None
