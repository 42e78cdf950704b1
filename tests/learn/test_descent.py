"""Adam of `learn.descent`: the same steps as PyTorch's optimisers and schedule."""

from __future__ import annotations

import pytest
import torch

from audioreactive.learn.descent import Descent


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_it_takes_the_steps_of_pytorch(decay: float) -> None:
    torch.manual_seed(0)
    start = [torch.randn(4, 3, dtype=torch.float64), torch.randn(5, dtype=torch.float64)]
    wanted = [torch.randn_like(table) for table in start]

    def loss(tables):
        return sum((table - aim).abs().pow(1.5).sum() for table, aim in zip(tables, wanted, strict=True))

    own = Descent(start, rate=0.1, steps=20, decay=decay)
    theirs = [table.clone().requires_grad_() for table in start]
    optimiser = torch.optim.AdamW(theirs, lr=0.1, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 20)
    values = []
    for _ in range(20):
        values.append(own.step(loss(own.parameters)))
        optimiser.zero_grad()
        loss(theirs).backward()
        optimiser.step()
        schedule.step()
        for found, table in zip(own.found(), theirs, strict=True):
            torch.testing.assert_close(found, table.detach(), rtol=1e-9, atol=1e-12)
    assert values[-1] < values[0]
    kept = own.found()
    own.step(loss(own.parameters))
    torch.testing.assert_close(kept, own.found(), rtol=0, atol=0.1)
    assert all(table.equal(first) for table, first in zip(start, start, strict=True))
