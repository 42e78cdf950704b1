"""Where generators come from: files that may change or travel, and the model that ships."""

from __future__ import annotations

import hashlib
import pickle
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from support import save_small_model

from audioreactive.errors import RenderError
from audioreactive.generators import BuiltinModel, ModelFile, open_generator
from audioreactive.generators.sources import PainterSource
from audioreactive.generators.stylegan2 import StyleGAN2
from stylegan_ops import StyleGANError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_small_model(path)
    return path


def pictures(generator: StyleGAN2) -> torch.Tensor:
    ws = torch.randn(2, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(0))
    return generator.synthesis(ws)


def test_a_file_is_what_it_was(model: Path) -> None:
    source = ModelFile.at(model)
    assert (source.name, source.sha256) == (model.name, hashlib.sha256(model.read_bytes()).hexdigest())
    generator = source.load(CPU, torch.float32)
    assert isinstance(generator, StyleGAN2) and generator.img_size == (32, 32) and generator.dtype == torch.float32
    assert source.load(CPU, torch.bfloat16).dtype == torch.bfloat16


def test_its_path_holds_wherever_the_program_goes(model: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(model.parent)
    source = ModelFile.at(Path(model.name))
    monkeypatch.chdir(tmp_path)
    assert source.load(CPU, torch.float32).img_size == (32, 32)


def test_a_file_that_changes_is_told(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(model.read_bytes())
    source = ModelFile.at(path)
    path.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(RenderError, match=r"mine\.safetensors was changed while it was being rendered with"):
        source.load(CPU, torch.float32)


def test_a_file_travels_with_its_content(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(model.read_bytes())
    source = ModelFile.at(path)
    carried = source.carried()
    before = pictures(source.load(CPU, torch.float32))
    path.unlink()
    there = pickle.loads(pickle.dumps(carried))
    assert (there.name, there.sha256) == (source.name, source.sha256)
    torch.testing.assert_close(pictures(there.load(CPU, torch.float32)), before, rtol=0, atol=0)
    assert not list(tmp_path.iterdir())


def test_what_ships_needs_no_file() -> None:
    source = BuiltinModel()
    data = (files("audioreactive") / "assets" / "builtin.safetensors").read_bytes()
    assert (source.name, source.sha256) == ("built-in", hashlib.sha256(data).hexdigest())
    assert pickle.loads(pickle.dumps(source.carried())) == source
    assert len(pickle.dumps(source.carried())) < 1000
    assert source.load(CPU, torch.float32).img_size == (256, 256)


def test_a_model_is_opened_where_and_as_it_is_asked_for(model: Path) -> None:
    opened = open_generator(model, device="cpu", precision="bf16")
    assert opened.source == ModelFile.at(model)
    assert opened.generator.device == CPU and opened.generator.dtype == torch.bfloat16
    ships = open_generator(device="cpu", precision="fp32")
    assert ships.source == PainterSource() and ships.generator.dtype == torch.float32


def test_what_is_wrong_is_told(model: Path, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="the device 'toaster' cannot be used"):
        open_generator(model, device="toaster")
    (tmp_path / "words.pkl").write_text("words")
    for name in ("words.pkl", "none.pkl"):
        with pytest.raises(StyleGANError, match=name):
            open_generator(tmp_path / name, device="cpu")
