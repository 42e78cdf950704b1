"""`audioreactive project` and `palette import`, to a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from support import GOLDEN

from audioreactive.generators import to_uint8
from audioreactive.generators.sources import plain_network
from audioreactive.patches.own_pictures import read_latents
from audioreactive.patches.presets import load_preset

if TYPE_CHECKING:
    from pathlib import Path

MODEL = GOLDEN / "nvidia_resnet32.pkl"


@pytest.fixture(autouse=True)
def library(tmp_path_factory, monkeypatch) -> Path:
    """A library of its own for each test."""
    folder = tmp_path_factory.mktemp("library")
    monkeypatch.setattr("audioreactive.patches.own_pictures.library", lambda: folder)
    return folder


def own_picture(network, path: Path, seed: int = 77) -> Path:
    """A picture that the network can make."""
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, network.z_dim)).float()
    c = torch.eye(network.c_dim)[:1] if network.c_dim else None
    Image.fromarray(to_uint8(network.synthesis(network.mapping(z, c)))[0].numpy()).save(path)
    return path


def test_a_project_that_is_interrupted_keeps_the_best(call, tmp_path: Path, monkeypatch) -> None:
    network = plain_network(MODEL, device="cpu")
    picture = own_picture(network, tmp_path / "a.png")
    from stylegan_ops import Generator

    count, whole = 0, Generator.differentiable

    def interrupted(self, ws, *arguments, **options):
        nonlocal count
        count += ws.requires_grad
        if count > 5:
            raise KeyboardInterrupt
        return whole(self, ws, *arguments, **options)

    monkeypatch.setattr(Generator, "differentiable", interrupted)
    result = call("project", picture, "--model", MODEL, "-o", tmp_path / "a.npz")
    assert result.code == 130 and "the best latents of 5 steps are in" in result.err
    assert read_latents(tmp_path / "a.npz").shape == (1, network.num_ws, network.w_dim)


def test_a_project_from_the_command_line(call, tmp_path: Path) -> None:
    network = plain_network(MODEL, device="cpu")
    picture = own_picture(network, tmp_path / "a.png")
    arguments = ("project", picture, "--model", MODEL, "--steps", 3)
    result = call(*arguments, "-o", tmp_path / "a.npz", "--preview", tmp_path / "b.png")
    assert result.code == 0 and "dB" in result.err and (tmp_path / "b.png").is_file(), result.err
    again = call(*arguments, "-o", tmp_path / "c.npz")
    assert again.code == 0
    np.testing.assert_array_equal(read_latents(tmp_path / "a.npz"), read_latents(tmp_path / "c.npz"))
    assert call("project", picture, "--model", "painter", "-o", tmp_path / "d.npz").code == 2
    assert call(*arguments, "--label", 3, "-o", tmp_path / "d.npz").code == 2
    (tmp_path / "bad.png").write_bytes(b"nothing")
    refused = call("project", tmp_path / "bad.png", "--model", MODEL, "-o", tmp_path / "d.npz")
    assert refused.code == 2 and "no picture that can be read" in refused.err
    assert not (tmp_path / "d.npz").exists()


def test_own_pictures_in_a_video_a_sheet_and_a_grid(call, song, tmp_path: Path) -> None:
    network = plain_network(MODEL, device="cpu")
    np.savez(tmp_path / "projected_w.npz", w=np.random.RandomState(1).randn(2, network.num_ws, network.w_dim))
    told = call("palette", "import", tmp_path / "projected_w.npz", "-o", tmp_path / "shared")
    assert told.code == 0, told.err
    entries = told.out.split()
    assert [entry[-2:] for entry in entries] == ["/0", "/1"] and len(list((tmp_path / "shared").iterdir())) == 1
    mixed = f"7,{entries[0][:-2]}/0-1"
    assert call("palette", MODEL, "--seeds", mixed, "-o", tmp_path / "grid.png").code == 0
    video = tmp_path / "a.mp4"
    options = ("--seed", 1, "--model", MODEL, "--duration", 0.3)
    result = call("render", song, *options, "--palette", mixed, "-o", video, "--save-preset", tmp_path / "mine.toml")
    assert result.code == 0, result.err
    assert load_preset(str(video)).patch.palette.seeds == (7, *entries)
    assert len(list(tmp_path.glob("w-*.safetensors"))) == 1
    sheet = ("sheet", song, "--preset", tmp_path / "mine.toml", "--model", MODEL, "-o", tmp_path / "sheet.png")
    assert call(*sheet).code == 0
    refused = call("palette", "import", tmp_path / "grid.png")
    assert refused.code == 2 and "holds no latents" in refused.err
    other = call("render", song, "--preset", video, "--model", "painter", "-o", tmp_path / "b.mp4", "--duration", 0.3)
    assert other.code == 2 and "another model" in other.err
