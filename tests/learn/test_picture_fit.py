"""Latents fitted to a picture: known answers, and pictures that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from support import GOLDEN

from audioreactive.errors import RenderError
from audioreactive.generators import to_uint8
from audioreactive.generators.sources import plain_network
from audioreactive.learn.picture_fit import PictureFitter, read_target
from audioreactive.learn.picture_loss import Features, PictureLoss, psnr

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ["nvidia_resnet32.pkl", "sg1_cond32.pkl"]


def own_picture(network, path: Path, seed: int = 77) -> Path:
    """A picture that the network can make."""
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, network.z_dim)).float()
    c = torch.eye(network.c_dim)[:1] if network.c_dim else None
    Image.fromarray(to_uint8(network.synthesis(network.mapping(z, c)))[0].numpy()).save(path)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_of_the_model_itself_is_found_again(name: str, tmp_path: Path) -> None:
    network = plain_network(GOLDEN / name, device="cpu")
    target = read_target(own_picture(network, tmp_path / "a.png"), network.img_size)
    fitter = PictureFitter(network, target, label=0 if network.c_dim else None)
    start = fitter.best.loss
    best = fitter.run(25)
    (after, near), (before, far) = fitter.after(), best.before
    assert best.loss < 0.8 * start and after > before + 2 and near < 0.8 * far
    torch.testing.assert_close(network.synthesis(best.ws), best.picture, rtol=0, atol=1e-4)


def test_the_distance_grows_with_noise_and_blur_and_is_0_for_the_same() -> None:
    draw = torch.Generator().manual_seed(0)
    target = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16, generator=draw) * 2 - 1, (64, 64), mode="bicubic")
    loss = PictureLoss(target)
    assert float(loss.perceptual(target)) == 0
    noisy = [target + amount * torch.randn(target.shape, generator=draw) for amount in (0.02, 0.1, 0.4)]
    blurred = [torch.nn.functional.avg_pool2d(target, size, 1, size // 2) for size in (3, 7, 15)]
    for worse in (noisy, blurred):
        near = [float(loss(picture)) for picture in worse]
        assert float(loss(target)) < near[0] < near[1] < near[2]
    assert psnr(target, target + 0.2) == pytest.approx(10 * np.log10(4 / 0.04), abs=0.5)
    first, second = Features("a", target.device)(target), Features("b", target.device)(target)
    assert (first[0] == second[0]).all() and (first[1] != second[1]).any()


def test_pictures_are_cut_to_the_shape_of_the_models(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    Image.fromarray(wide).save(tmp_path / "a.png")
    target = read_target(tmp_path / "a.png", (10, 10))
    assert target.shape == (1, 3, 10, 10) and float(target.min()) > 0.8
    with pytest.raises(RenderError, match="cannot be read"):
        read_target(tmp_path / "none.png", (10, 10))
