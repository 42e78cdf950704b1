"""Motion that flashes is smoothed where it does, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import smooth_features

from audioreactive.flashes import FLASHES
from audioreactive.flashes.detect import most_flashes
from audioreactive.generators.painter import Painter
from audioreactive.learn import calming
from audioreactive.learn.calming import calmed, flashing
from audioreactive.learn.sight import Stage
from audioreactive.patches.randomizer import draw_around
from audioreactive.patches.schema import Hippo
from audioreactive.rendering.previews import pictures_at

FEATURES = smooth_features(seconds=12)
STAGE = Stage.of(draw_around(Hippo(kind="hippo", name="hippo", aim="seen"), 3), FEATURES, Painter(("neon",)))
DARK = torch.full((FEATURES.frames, 9), 0.5)


def flashes(motion: torch.Tensor) -> float:
    frames = pictures_at(STAGE.motion(motion.numpy()), STAGE.generator, np.arange(FEATURES.frames))
    return most_flashes(frames, 24)


def strobing() -> torch.Tensor:
    """Motion in which light swings six times a second from second 5 to second 7, and which else is slow."""
    frames = torch.arange(FEATURES.frames)
    motion = 0.3 * torch.sin(frames / 40)[:, None] * torch.ones(1, 17)
    motion[120:168, 6:9] = 0.5 * torch.sign(torch.sin(np.pi * (frames[120:168] + 0.5) / 2))[:, None]
    return motion


def test_what_flashes_is_smoothed_there_alone() -> None:
    motion = strobing()
    calm = calmed(STAGE, motion, DARK)
    assert flashes(motion) > FLASHES >= flashes(calm)
    torch.testing.assert_close(calm[:72], motion[:72], rtol=0, atol=1e-5)
    torch.testing.assert_close(calm[-60:], motion[-60:], rtol=0, atol=1e-5)
    assert float(calm.abs().max()) <= float(motion.abs().max())
    slow = 0.3 * torch.sin(torch.arange(FEATURES.frames) / 40)[:, None] * torch.ones(1, 17)
    assert calmed(STAGE, slow, DARK) is slow


def test_the_passages_that_are_foretold_to_be_the_worst_are_watched(monkeypatch) -> None:
    monkeypatch.setattr(calming, "WATCHED", 48)
    monkeypatch.setattr(calming, "AT_ONCE", 48)
    for begin in (10, 130, 250):
        light = DARK.clone()
        light[begin : begin + 24 : 2] += 0.4
        (watched,) = calming._suspects(STAGE, light)
        assert begin + 12 in watched and len(watched) == 48
    everything = [range(start, start + 48) for start in range(0, 288, 48)]
    monkeypatch.setattr(calming, "WATCHED", 288)
    assert calming._suspects(STAGE, DARK) == everything


def test_light_that_goes_there_and_back_quickly_counts_as_a_flash() -> None:
    frames = torch.arange(96)
    lit = {hertz: 0.5 + 0.3 * torch.sin(2 * np.pi * hertz * frames / 24 + 0.5)[:, None] for hertz in (0.25, 3, 6, 8)}
    for hertz in (3, 6, 8):
        assert float(flashing(lit[hertz])) > 0.1, hertz
    assert float(flashing(lit[0.25])) == 0
    step = (frames > 48).float()[:, None]
    assert float(flashing(step)) < 0.1  # a cut is no flash: it does not come back
    assert float(flashing(lit[3][:4])) == 0


@pytest.mark.parametrize("count", [2, 40])
def test_the_gradient_of_flashing(count: int) -> None:
    torch.manual_seed(count)
    light = torch.rand(count, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(flashing, (light,))
