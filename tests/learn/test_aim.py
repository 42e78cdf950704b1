"""The differentiable corrected score is the score of the command, and its gradient is right."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from audioreactive.correlation import score_total
from audioreactive.correlation.chance import score_features
from audioreactive.learn.aim import Aim
from audioreactive.learn.tables import RATE


def tables(seed: int, frames: int, widths: dict[str, int]) -> dict[str, np.ndarray]:
    stream = np.random.RandomState(seed)
    made = {}
    for name, width in widths.items():
        noise = stream.randn(frames + 5, width)
        made[name] = np.stack([np.convolve(column, np.ones(6) / 6, "valid") for column in noise.T], 1)
    return {name: table.astype(np.float32) for name, table in made.items()}


HEARD = tables(0, 480, {"rms": 1, "chroma": 4, "onsets": 1})
SEEN = tables(1, 480, {"rgb": 3, "flow": 1})
SEEN["flow"] = SEEN["flow"] + HEARD["onsets"]


@pytest.mark.parametrize("weights", [{}, {"onsets": 5.0}, {"rms": 0.0}])
def test_it_is_the_score_of_the_command(weights: dict[str, float]) -> None:
    seen = {name: torch.from_numpy(table) for name, table in SEEN.items()}
    wanted = score_total(HEARD, SEEN, fps=RATE, heard_weights=weights)
    shifts = score_features(HEARD, SEEN, fps=RATE).shifts
    fits = Aim(HEARD, weights).passage(0, 480).fits(seen, shifts)
    assert float(fits.raw) == pytest.approx(wanted.raw, abs=1e-4)
    # A shift changes the norm of the sound a little, because its windows are other ones; that is left out here.
    assert float(fits.others.mean()) == pytest.approx(wanted.mean, rel=0.02)


def test_a_passage_is_scored_as_a_song_of_its_own() -> None:
    cut = {name: table[100:400] for name, table in HEARD.items()}
    seen = {name: torch.from_numpy(table[100:400]) for name, table in SEEN.items()}
    part, whole = Aim(HEARD, {}).passage(100, 400).fits(seen, [50]), Aim(cut, {}).passage(0, 300).fits(seen, [50])
    torch.testing.assert_close(part.raw, whole.raw)
    torch.testing.assert_close(part.others, whole.others)


def test_silence_and_still_pictures_score_nothing() -> None:
    silent = {name: np.zeros_like(table) for name, table in HEARD.items()}
    moving = {name: torch.from_numpy(table) for name, table in SEEN.items()}
    fits = Aim(silent, {}).passage(0, 480).fits(moving, [40])
    assert float(fits.raw) == 0 == float(fits.others[0])
    still = {name: torch.ones(480, 2, requires_grad=True) for name in SEEN}
    raw = Aim(HEARD, {}).passage(0, 480).fits(still, [40]).raw
    assert abs(float(raw.detach())) < 1e-4
    (gradient,) = torch.autograd.grad(raw, still["rgb"])
    assert torch.isfinite(gradient).all()


def test_changes_at_strokes() -> None:
    passage = Aim(HEARD, {}).passage(0, 480)
    assert float(passage.at_strokes(torch.from_numpy(HEARD["onsets"]))) == pytest.approx(1, abs=1e-4)
    assert abs(float(passage.at_strokes(torch.from_numpy(HEARD["rms"])))) < 0.5
    without = Aim(HEARD, {"onsets": 0.0}).passage(0, 480)
    assert float(without.at_strokes(torch.from_numpy(HEARD["onsets"]))) == 0


def test_gradients_against_finite_differences() -> None:
    aim = Aim({name: table.astype(np.float64)[:60] for name, table in HEARD.items()}, {"rms": 2.0})
    passage = aim.passage(0, 60)
    edges = np.cumsum([0, 3, 1])

    def value(joined: torch.Tensor) -> torch.Tensor:
        parts = [joined[:, a:b] for a, b in pairwise(edges)]
        fits = passage.fits(dict(zip(("rgb", "flow"), parts, strict=True)), [13, 29])
        return fits.raw - fits.others.mean() + passage.at_strokes(parts[1])

    start = torch.from_numpy(np.concatenate([SEEN["rgb"][:60], SEEN["flow"][:60]], 1)).double().requires_grad_()
    assert gradcheck(value, (start,), fast_mode=True)
