"""Every kind of model file, through the command line."""

from __future__ import annotations

import pytest
from support import GOLDEN

from audioreactive.patches.presets import load_preset, network_presets
from audioreactive.video import probe


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("sg3_t32.pkl", ("--size", "114x64"), (114, 64)),
        ("sg3_r32_state.pt", ("--size", "32x50", "--label", 1), (32, 50)),
        ("sg3_human32.pkl", (), (16, 32)),
        ("xl_stem16.pkl", ("--size", "16x16"), (16, 16)),
        ("sg1_cond32.pkl", ("--size", "56x32"), (56, 32)),
    ],
)
def test_every_kind_renders(call, song, tmp_path, name: str, options: tuple[object, ...], size) -> None:
    out = tmp_path / "a.mp4"
    result = call("render", song, "--model", GOLDEN / name, "--seed", 1, "--duration", 0.5, "-o", out, *options)
    assert result.code == 0, result.err
    seen = probe(out)
    assert (seen.width, seen.height) == size


def test_a_stylegan3_is_inspected_and_converted(call, tmp_path) -> None:
    shown = call("model", "inspect", GOLDEN / "sg3_r32.pkl").out
    assert "StyleGAN3-R" in shown and "32 × 32" in shown and "16 inputs" in shown
    assert call("model", "convert", GOLDEN / "xl_super64.pkl", tmp_path / "a.safetensors").code == 0
    assert "StyleGAN1" in call("model", "inspect", GOLDEN / "sg1_128.pkl").out
    assert "StyleGAN-XL-T" in call("model", "inspect", tmp_path / "a.safetensors").out
    assert call("palette", tmp_path / "a.safetensors", "--seeds", "0-3", "-o", tmp_path / "grid.png").code == 0


def test_directions_are_shown(call, tmp_path) -> None:
    out = tmp_path / "sheet.png"
    result = call("directions", GOLDEN / "sg3_t32.pkl", "--count", 3, "--method", "ganspace", "-o", out)
    assert result.code == 0 and out.is_file(), result.err
    refused = call("directions", "painter", "-o", tmp_path / "b.png")
    assert refused.code == 2 and "only the latents of a StyleGAN have directions" in refused.err


def test_presets_that_a_model_cannot_follow_are_refused_before_anything_is_written(call, song, model, tmp_path) -> None:
    preset = tmp_path / "a.toml"
    preset.write_text(
        "schema = 1\n[palette]\nseeds = [1, 2]\n[latents]\nbase = [0, 1]\n[noise]\nseeds = [1]\nbase = [0]\n"
        '[[camera.moves]]\ntarget = "rotation"\nstrategy = "drift"\namount = 30\nbars = 1\n'
    )
    for name in (model, "painter"):
        result = call("render", song, "--preset", preset, "--model", name, "-o", tmp_path / "a.mp4")
        assert result.code == 2 and "only StyleGAN3 and StyleGAN-XL models" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


@pytest.mark.parametrize("name", sorted(network_presets()))
def test_presets_for_networks_render(call, song, tmp_path, name: str) -> None:
    out = tmp_path / "a.mp4"
    result = call("render", song, "--preset", name, "--model", GOLDEN / "sg3_t32.pkl", "--duration", 0.5, "-o", out)
    assert result.code == 0, result.err
    if "[camera]" not in network_presets()[name].read_text("utf-8"):
        result = call("render", song, "--preset", name, "--model", GOLDEN / "sg1_cond32.pkl", "--duration", 0.5,
                      "-o", tmp_path / "b.mp4")  # fmt: skip
        assert result.code == 0, result.err


def test_there_are_presets_for_networks() -> None:
    assert len(network_presets()) >= 4
    moving = [load_preset(name).patch for name in network_presets()]
    assert any(patch.camera for patch in moving) and any(patch.bends for patch in moving)
