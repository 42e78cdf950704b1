"""Fewer pixels where a picture takes too long, and all of them again."""

from __future__ import annotations

import numpy as np
import torch

from audioreactive.generators import open_generator
from audioreactive.live.sizing import BUDGET, FAST_ENOUGH, TOO_SLOW, Sizing


def sizing(*, adapts: bool) -> Sizing:
    return Sizing(open_generator("painter", device="cpu").generator.resized((96, 160)), adapts=adapts)


def test_slow_pictures_are_painted_smaller_and_shown_in_the_same_size() -> None:
    size = sizing(adapts=True)
    painter = open_generator("painter", device="cpu").generator.resized((96, 160))
    ws = painter.mapping(torch.from_numpy(np.random.RandomState(1).randn(1, painter.z_dim)).float())
    noise = [torch.zeros(1, 1, *shape) for shape in painter.noise_sizes]
    whole = size.paint(ws, noise)
    for _ in range(TOO_SLOW):
        size.took(2 * BUDGET)
    assert size.painted == (160, 96) and size.is_whole, "fewer samples come first"
    rough = size.paint(ws, noise)
    assert 0 < np.abs(rough.astype(float) - whole).mean() < 12
    for _ in range(2 * TOO_SLOW):
        size.took(2 * BUDGET)
    assert size.painted == (120, 72)
    smaller = size.paint(ws, noise)
    assert smaller.shape == whole.shape == (1, 96, 160, 3)
    assert 0 < np.abs(smaller.astype(float) - whole).mean() < 12
    for _ in range(50):
        size.took(2 * BUDGET)
    assert size.painted == (40, 24)
    for _ in range(8 * FAST_ENOUGH):
        size.took(0.05 * BUDGET)
    assert size.painted == (160, 96)


def test_a_single_slow_picture_changes_nothing_and_nor_does_any_where_all_pixels_are_wanted() -> None:
    patient, strict = sizing(adapts=True), sizing(adapts=False)
    for k in range(20):
        patient.took(2 * BUDGET if k % TOO_SLOW else 0.8 * BUDGET)
        strict.took(1.0)
    assert patient.painted == strict.painted == (160, 96)


def test_it_becomes_finer_where_there_is_room_for_it() -> None:
    size = sizing(adapts=True)
    for _ in range(5 * TOO_SLOW):
        size.took(2 * BUDGET)
    assert size.painted == (80, 48)
    for _ in range(FAST_ENOUGH + 1):
        size.took(0.6 * BUDGET)  # 0.92 with 1.54 times the pixels
    assert size.painted == (80, 48)
    for _ in range(FAST_ENOUGH + 1):
        size.took(0.55 * BUDGET)
    assert size.painted == (100, 60)
