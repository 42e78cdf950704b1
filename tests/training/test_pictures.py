"""The pictures: in range, smooth, each number at its own depth, noise in the details."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.palettes import NUMBERS, oklab_to_rgb, palettes, ramp
from training.pictures import MATTER, STRUCTURE, Z_DIM, Window, meaning, paint, paint_ground, paint_points

SIZES = [4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128]


def drawn(count: int, seed: int) -> tuple[Tensor, list[Tensor]]:
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, Z_DIM, generator=random)
    return z, [torch.randn(count, 1, side, side, generator=random) for side in SIZES]


def test_pictures_fill_their_range_and_are_the_same_every_time() -> None:
    z, noise = drawn(24, 1)
    images = paint(meaning(z, z, z), noise, (128, 128))
    assert images.shape == (24, 3, 128, 128)
    assert images.min() >= -1 and images.max() <= 1
    assert images.std((1, 2, 3)).min() > 0.04  # none is blank
    assert images.std() > 0.4
    torch.testing.assert_close(paint(meaning(z, z, z), noise, (128, 128)), images, rtol=0, atol=0)


def test_each_picture_depends_on_its_own_row_alone() -> None:
    z, noise = drawn(6, 2)
    whole = paint(meaning(z, z, z), noise, (128, 128))
    one = paint(meaning(z[3:4], z[3:4], z[3:4]), [octave[3:4] for octave in noise], (128, 128))
    torch.testing.assert_close(one, whole[3:4], rtol=0, atol=1e-4)


def test_what_lies_between_is_near_both() -> None:
    z, noise = drawn(16, 3)
    other, _ = drawn(16, 4)
    before = paint(meaning(z, z, z), noise, (128, 128))
    near, far = (paint(meaning(at, at, at), noise, (128, 128)) for at in (z.lerp(other, 0.01), z.lerp(other, 0.1)))
    assert (near - before).abs().mean() < 0.3 * (far - before).abs().mean() < 0.1


def test_each_depth_says_its_own() -> None:
    """Structure moves the ground, matter leaves it, colour leaves the tone."""
    z, _ = drawn(8, 5)
    other, _ = drawn(8, 6)
    values = [None] * len(SIZES)
    base = paint_points(meaning(z, z, z), values, 24)
    matter = paint_points(meaning(z, other, z), values, 24)
    colour = paint_points(meaning(z, z, other), values, 24)
    structure = paint_points(meaning(other, z, z), values, 24)
    assert (structure.ground - base.ground).abs().mean() > 0.2
    torch.testing.assert_close(matter.ground, base.ground)
    assert (matter.tone - base.tone).abs().mean() > 0.05
    torch.testing.assert_close(colour.tone, base.tone)
    assert (colour.rgb - base.rgb).abs().mean() > 0.1


def test_points_are_pictures_at_those_points() -> None:
    """The same painter, but for light that needs a neighbourhood."""
    z, noise = drawn(8, 7)
    values = [None if octave.shape[-1] != 128 else octave[:, 0] for octave in noise]
    flat = [octave if octave.shape[-1] == 128 else octave * 0 for octave in noise]
    points = paint_points(meaning(z, z, z), values, 128)
    assert (points.rgb - paint(meaning(z, z, z), flat, (128, 128))).abs().mean() < 0.12


def test_noise_moves_details_rather_than_masses() -> None:
    z, noise = drawn(16, 8)
    _, other = drawn(16, 9)
    change = paint(meaning(z, z, z), noise, (128, 128)) - paint(meaning(z, z, z), other, (128, 128))
    coarse = torch.nn.functional.avg_pool2d(change, 16)
    assert change.square().mean() > 0.002
    assert coarse.square().mean() < 0.25 * change.square().mean()


def test_a_window_is_a_part_of_the_whole() -> None:
    z, noise = drawn(8, 12)
    still = [octave * 0 for octave in noise]
    whole = paint(meaning(z, z, z), still, (128, 128))
    halves = [octave[..., : octave.shape[-1] // 2, : octave.shape[-1] // 2] for octave in still]
    window = Window(top=-0.5, left=0.0, height=1.0, width=1.0)
    part = paint(meaning(z, z, z), halves, (64, 64), window)
    inside = slice(12, -12)  # bloom reaches as far
    difference = (whole[:, :, 32:96, 64:128] - part)[..., inside, inside].abs()
    assert difference.mean() < 0.004 and difference.max() < 0.4
    ground = paint_ground(meaning(z, z, z), 16)
    torch.testing.assert_close(paint_ground(meaning(z, z, z), 8, window), ground[:, :, 4:12, 8:16], atol=1e-5, rtol=0)


def test_a_larger_picture_shows_the_same() -> None:
    z, noise = drawn(8, 13)
    still = [octave * 0 for octave in noise]
    large, small = (paint(meaning(z, z, z), still, (side, side)) for side in (128, 64))
    halved = torch.nn.functional.avg_pool2d(large, 2)
    assert (halved - small).abs().mean() < 0.04


def test_the_ground_is_what_points_stand_on() -> None:
    z, _ = drawn(4, 10)
    of = meaning(z, z, z)
    torch.testing.assert_close(paint_ground(of, 16), paint_points(of, [None] * len(SIZES), 16).ground)
    assert of.structure.shape == (4, STRUCTURE) and of.matter.shape == (4, MATTER)


def test_noise_vectors_count_by_their_direction() -> None:
    z, noise = drawn(3, 11)
    torch.testing.assert_close(
        paint(meaning(z, z, z), noise, (64, 64)),
        paint(meaning(5 * z, 5 * z, 5 * z), noise, (64, 64)),
        atol=1e-3,
        rtol=0,
    )


def test_palettes_run_from_dark_to_light_in_several_hues() -> None:
    stops = palettes(torch.randn(500, NUMBERS, generator=torch.Generator().manual_seed(1)))
    assert stops.shape == (500, 5, 3)
    assert (stops[:, 1:, 0] > stops[:, :-1, 0]).all()
    assert stops[..., 0].min() > 0.05 and stops[..., 0].max() < 1
    hues = torch.atan2(stops[:, 1, 2], stops[:, 1, 1])
    counts = torch.histc(hues, 6, -torch.pi, torch.pi)
    assert counts.min() > 20  # every sixth of the circle is a key at times


def test_the_ramp_passes_through_the_stops() -> None:
    stops = palettes(torch.randn(4, NUMBERS, generator=torch.Generator().manual_seed(2)))
    tone = torch.linspace(0, 1, 5).expand(4, 1, 5)
    torch.testing.assert_close(ramp(tone, stops)[:, :, 0].transpose(1, 2), stops)


@pytest.mark.parametrize(
    ("lab", "rgb"),  # from the definition of OKLab: white, black, and a grey of half the linear light's cube root
    [
        ((1.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ((0.5, 0.0, 0.0), (0.3886, 0.3886, 0.3886)),
    ],
)
def test_oklab_greys(lab: tuple[float, ...], rgb: tuple[float, ...]) -> None:
    made = oklab_to_rgb(torch.tensor(lab).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(made, torch.tensor(rgb), atol=2e-3, rtol=0)


def test_oklab_hues_are_where_they_belong() -> None:
    """Red, yellow, green and blue have these hues in OKLab (Ottosson 2020), in radians."""
    for hue, strongest, weakest in ((0.51, 0, None), (1.92, None, 2), (2.49, 1, None), (4.61, 2, 0)):
        angle = torch.tensor(hue)
        lab = torch.stack([torch.tensor(0.6), 0.1 * torch.cos(angle), 0.1 * torch.sin(angle)]).view(1, 3, 1, 1)
        rgb = oklab_to_rgb(lab).flatten()
        assert weakest is None or int(rgb.argmin()) == weakest
        assert strongest is None or int(rgb.argmax()) == strongest
