"""What moves, stands still and is lit: flows, paths, and the parts of a clip."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from audioreactive.codec.analysis import analyse
from audioreactive.codec.entropy import encode
from audioreactive.codec.fitting import suited
from audioreactive.codec.grids import LIGHT_UNIT, GridNetwork, Layout, displaced, piled
from audioreactive.codec.motion import flow, moved, paths


def texture(width: int, height: int, right: float = 0.0, down: float = 0.0) -> np.ndarray:
    """A smooth picture (h, w, 3) uint8 without a period, moved by some pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    x, y = x - right, y - down
    parts = [np.sin(x / 3.1 + 0.4 * np.sin(y / 5)), np.cos(y / 4.3 + x / 17), np.sin((x + 1.7 * y) / 7)]
    mixed = [0.5 * parts[k] + 0.3 * parts[k - 1] for k in range(3)]
    return np.clip(127 + 90 * np.stack(mixed, -1), 0, 255).round().astype(np.uint8)


def size_of(frames: np.ndarray, every: int) -> int:
    """Bytes of a clip's parts with keys at a distance."""
    height, width = frames.shape[1:3]
    numbers = analyse(frames, Layout(len(frames), (width, height), every)).numbers(0.05)
    return len(encode([part.round().to(torch.int32).numpy() for part in numbers]))


@pytest.mark.parametrize(("right", "down"), [(0.0, 0.0), (2.5, -1.25), (-6.0, 3.0)])
def test_a_flow_is_how_far_a_picture_moved(right: float, down: float) -> None:
    first, second = (
        torch.from_numpy(texture(96, 64, *by)).permute(2, 0, 1)[None].float() / 255 for by in ((0, 0), (right, down))
    )
    found = flow(first, second)[0, :, 12:-12, 12:-12]
    assert found.mean((1, 2)).tolist() == pytest.approx([right, down], abs=0.06)
    assert float((moved(second, flow(first, second)) - first)[..., 12:-12, 12:-12].abs().mean()) < 0.01


def test_paths_come_back_from_their_flows() -> None:
    draw = torch.Generator().manual_seed(0)
    way, bend = torch.randn(2, 2, 3, 4, generator=draw) * 5
    shares = torch.tensor([0.25, 0.5, 0.75])
    s = shares.view(-1, 1, 1, 1)
    before, after = -s * way + s * (1 - s) * bend, (1 - s) * way + s * (1 - s) * bend
    found = paths(before, after, shares, torch.ones(3, 1, 3, 4))
    assert torch.allclose(found[0], way, atol=0.02) and torch.allclose(found[1], bend, atol=0.02)


def test_a_key_is_drawn_as_it_is_at_its_moment_and_moves_between() -> None:
    keys = torch.from_numpy(np.stack([texture(60, 40), texture(60, 40, 8)])).permute(0, 3, 1, 2).float() / 255
    way = torch.zeros(1, 4, 40, 60)
    way[:, 0] = 8

    def at(share: float) -> torch.Tensor:
        return displaced(keys[:1], keys[1:], way, torch.tensor([share]), range(40), 40)[0]

    assert torch.allclose(at(0.0), keys[0], atol=1e-5) and torch.allclose(at(1.0), keys[1], atol=1e-5)
    half = torch.from_numpy(texture(60, 40, 4)).permute(2, 0, 1).float() / 255
    assert float((at(0.5) - half)[:, :, 10:-10].abs().max()) < 0.02
    way[:, 2] = 4  # at half the way, a quarter of the bend is added
    bent = torch.from_numpy(texture(60, 40, 3)).permute(2, 0, 1).float() / 255
    assert float((at(0.5) - bent)[:, :, 10:-10].abs().max()) < 0.02


def test_rows_are_drawn_as_in_the_whole() -> None:
    keys = torch.from_numpy(np.stack([texture(30, 20), texture(30, 20, 3)])).permute(0, 3, 1, 2).float()
    way = torch.randn(1, 4, 20, 30, generator=torch.Generator().manual_seed(0))
    share = torch.tensor([0.3])
    whole = displaced(keys[:1], keys[1:], way, share, range(20), 20)
    rows = displaced(keys[:1], keys[1:], way[:, :, 7:11], share, range(7, 11), 20)
    assert torch.equal(rows, whole[:, :, 7:11])


def test_what_moves_is_drawn_once() -> None:
    frames = np.stack([texture(96, 64, 1.7 * i, -0.6 * i) for i in range(9)])
    left, whole = (analyse(frames, Layout(9, (96, 64), every)).parts["own"][-1].abs().mean() for every in (4, 0))
    assert float(left) < 0.3 * float(whole)
    assert suited(frames, 5e-4).every > 0


def test_what_stands_still_is_drawn_once_whatever_the_light() -> None:
    lights = np.array([1, 0.8, 0.7, 0.9, 1, 0.75, 0.95, 1, 0.7])
    plain = texture(96, 64) * 0.9
    frames = (plain * lights[:, None, None, None]).round().astype(np.uint8)
    parts = analyse(frames, Layout(9, (96, 64), 4)).parts
    light = 1 + LIGHT_UNIT * piled(parts["light"])
    found = light.mean((1, 2, 3)).numpy()
    assert found / found[0] == pytest.approx(lights, abs=0.02)
    assert size_of(frames, 4) < 0.35 * size_of(frames, 0)
    assert max(float(part.abs().max()) for part in parts["motion"]) <= 1


def test_frames_with_nothing_in_common_have_no_keys() -> None:
    frames = np.random.RandomState(0).randint(0, 256, (6, 64, 96, 3)).astype(np.uint8)
    assert suited(frames, 5e-4).every == 0
    # Where they are asked for, they are switched off between themselves.
    light = 1 + LIGHT_UNIT * piled(analyse(frames, Layout(6, (96, 64), 5)).parts["light"])
    assert float(light[1:-1].abs().mean()) < 0.1 and float(light[[0, -1]].mean()) > 0.9


@pytest.mark.parametrize(("frames", "every"), [(2, 1), (9, 4), (10, 4), (72, 16), (5, 64)])
def test_keys_are_at_whole_frames_from_the_first_to_the_last(frames: int, every: int) -> None:
    layout = Layout(frames, (40, 30), every)
    knots = layout.knots
    assert knots[0] == 0 and knots[-1] == frames - 1
    assert all(0 < b - a <= every for a, b in itertools.pairwise(knots))
    for k, knot in enumerate(knots):
        span, share = layout.span(knot)
        assert knots[span + round(share)] == knot and share in (0, 1) and span in (k, k - 1)
    assert Layout(frames, (40, 30)).knots == () and Layout(1, (40, 30), 4).knots == ()


def test_a_moment_may_be_a_number_of_numpy() -> None:
    network = GridNetwork(Layout(5, (40, 24), 2))
    assert network.layout.knots
    with torch.no_grad():
        for grid in network.grids:
            grid.copy_(torch.randn(grid.shape, generator=torch.Generator().manual_seed(1)) * 3)
    assert torch.equal(network.picture(np.float64(0.3), (40, 24)), network.picture(0.3, (40, 24)))
