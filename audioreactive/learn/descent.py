"""Adam without PyTorch's own optimisers, which load its compiler first: two seconds, and a hundred megabytes.

All parameters lie in one row of numbers, so that a step is a few operations however many tables there are.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Decay of the two running means, and the value that is added to the divisor (Kingma and Ba, 2015)."""


def cosine(done: float) -> float:
    """Return the factor of the learning rate after a share of the steps: from 1 to 0 along a cosine."""
    return 0.5 * (1 + math.cos(math.pi * min(done, 1)))


class Descent:
    """Adam, or AdamW (Loshchilov and Hutter, 2019), with a learning rate that changes along the way."""

    def __init__(
        self,
        start: Sequence[Tensor],
        *,
        rate: float,
        steps: int,
        decay: float = 0.0,
        betas: tuple[float, float] = BETAS,
        schedule: Callable[[float], float] = cosine,
    ) -> None:
        """Start with copies of tables of one dtype.

        Args:
            start: values of the parameters.
            rate: largest learning rate.
            steps: number of steps of the whole schedule.
            decay: weight decay relative to the learning rate.
            betas: decay of the running means of the gradient and of its square.
            schedule: share of the steps that are done -> factor of the learning rate.
        """
        self._row = torch.cat([table.detach().flatten() for table in start])
        edges = np.cumsum([0, *(table.numel() for table in start)]).tolist()
        self.parameters = [
            self._row[a:b].view(table.shape).requires_grad_()
            for (a, b), table in zip(pairwise(edges), start, strict=True)
        ]
        """The parameters; `step` changes them in place."""
        self._mean, self._square = torch.zeros_like(self._row), torch.zeros_like(self._row)
        self._rate, self._steps, self._decay, self._done = rate, steps, decay, 0
        self._betas, self._schedule = betas, schedule

    def step(self, loss: Tensor) -> float:
        """Take a step against the gradient of a loss (), and return its value."""
        gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, self.parameters)])
        rate = self._rate * self._schedule(self._done / self._steps)
        self._done += 1
        first, second = (1 - beta**self._done for beta in self._betas)
        with torch.no_grad():
            self._row.mul_(1 - rate * self._decay)
            self._mean.lerp_(gradient, 1 - self._betas[0])
            self._square.mul_(self._betas[1]).addcmul_(gradient, gradient, value=1 - self._betas[1])
            divisor = self._square.sqrt().div_(math.sqrt(second)).add_(EPSILON)
            self._row.addcdiv_(self._mean, divisor, value=-rate / first)
        return float(loss.detach())

    def found(self) -> list[Tensor]:
        """Copies of the parameters as they are now."""
        return [part.detach().clone() for part in self.parameters]
