"""Batches: anchored at frame 0, always full; and the step from the network's values to levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audioreactive.errors import RenderError
from audioreactive.renderer import choose_device, choose_dtype, render_frames, to_uint8


class Recorder:
    """Latents, noise and generator in one: a frame's picture is its index, and every request is written down."""

    def __init__(self, frames: int) -> None:
        self.length, self.asked = frames, []

    def __len__(self) -> int:
        return self.length

    def frames(self, start: int, stop: int) -> torch.Tensor:
        self.asked.append((start, stop))
        return torch.arange(start, stop).clamp(max=self.length - 1)

    def synthesis(self, ws: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return (ws / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


@pytest.mark.parametrize(
    ("start", "stop", "batches"),
    [(0, 10, [(0, 4), (4, 8), (8, 12)]), (5, 7, [(4, 8)]), (3, 9, [(0, 4), (4, 8), (8, 12)]), (9, 10, [(8, 12)])],
)
def test_batches_are_full_and_anchored_at_frame_zero(start: int, stop: int, batches: list[tuple[int, int]]) -> None:
    recorder = Recorder(10)
    frames = np.concatenate(list(render_frames(recorder, recorder, recorder, batch=4, start=start, stop=stop)))
    np.testing.assert_array_equal(frames[:, 0, 0, 0], np.arange(start, stop))
    assert recorder.asked[::2] == batches


def test_levels_are_rounded_and_clamped() -> None:
    values = torch.tensor([-9.0, -1.0, -0.996, 0.0, 0.5, 1.0, 9.0]).view(1, 1, 1, 7).expand(1, 3, 1, 7)
    levels = to_uint8(values)
    assert levels.shape == (1, 1, 7, 3)
    assert levels[0, 0, :, 0].tolist() == [0, 0, 1, 128, 191, 255, 255]


def test_devices_and_precisions() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    assert choose_dtype("auto", torch.device("cuda")) == torch.float16
    with pytest.raises(RenderError, match="the device 'toaster' cannot be used"):
        choose_device("toaster")
