"""Changes of weights: towards a second model and by edits, over time, on every kind of network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import GOLDEN, make_features

from audioreactive.errors import PresetError, RenderError
from audioreactive.generators import open_generator
from audioreactive.patches.motion import motion
from audioreactive.patches.presets import parse_preset, preset_text
from audioreactive.pipeline.weights import weight_files
from audioreactive.rendering.renderer import iter_frames
from stylegan_ops.blending import blended
from stylegan_ops.checkpoint import made_generator, read_checkpoint, save_checkpoint
from stylegan_ops.errors import CheckpointError
from stylegan_ops.variants import Step, Variants

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.patches.schema import Patch

HEAD = """
schema = 1
[palette]
seeds = [1, 2, 3]
truncation = 0.7
[latents]
base = [0, 1]
[noise]
seeds = [1]
base = [0]
"""
KINDS = ["nvidia_skip64.pkl", "sg3_t32.pkl", "sg1_cond32.pkl"]


def patch(text: str = "") -> Patch:
    return parse_preset(HEAD + text, "test").patch


def tuned(name: str, path: Path) -> Path:
    """A second model of the architecture of one: every tensor is changed."""
    checkpoint = read_checkpoint(GOLDEN / name)
    noise = torch.Generator().manual_seed(1)
    state = {
        key: value if value.ndim < 1 else value * (1 + 0.3 * torch.randn(value.shape, generator=noise))
        for key, value in checkpoint.state.items()
    }
    save_checkpoint(type(checkpoint)(checkpoint.format, checkpoint.architecture, state, None, ()), path)
    return path


def rendered(patch: Patch, model: Path, features, *files: Path, size=None) -> np.ndarray:
    weights = weight_files(parse_preset(HEAD, "x").model_copy(update={"patch": patch}), files)
    network = open_generator(model, device="cpu", precision="fp32", weights=weights).generator
    inputs = motion(patch, features).on(network, size=size)
    width, height = inputs.canvas.frame_size
    return np.concatenate(list(iter_frames(network.resized((height, width)), inputs, batch=4)))


def toward(high: float, extra: str = "") -> str:
    return f'[[weights]]\ntoward = "b.safetensors"\nhigh = {high}\n{extra}'


DRUM = 'envelope = { feature = "onsets" }\n'


def strokes(*frames: int) -> np.ndarray:
    values = np.zeros(16, np.float32)
    values[list(frames)] = 1
    return values


@pytest.mark.parametrize("name", KINDS)
def test_at_0_and_1_the_frames_are_the_two_models_own(name: str, tmp_path: Path) -> None:
    features, second = make_features(0.5), tuned(name, tmp_path / "b.safetensors")
    first = rendered(patch(), GOLDEN / name, features)
    np.testing.assert_array_equal(rendered(patch(toward(0)), GOLDEN / name, features, second), first)
    there = rendered(patch(), second, features)
    assert (there != first).any()
    np.testing.assert_array_equal(rendered(patch(toward(1)), GOLDEN / name, features, second), there)


@pytest.mark.parametrize("name", KINDS)
def test_a_drum_changes_its_frames_and_no_other(name: str, tmp_path: Path) -> None:
    """Frames of a batch with different weights are each the frames of their own model, bit for bit."""
    features = make_features(16 / 24, onsets=strokes(2, 7, 8))
    second = tuned(name, tmp_path / "b.safetensors")
    moved = rendered(patch(toward(1, DRUM)), GOLDEN / name, features, second)
    ends = rendered(patch(), GOLDEN / name, features), rendered(patch(), second, features)
    for frame in range(16):
        np.testing.assert_array_equal(moved[frame], ends[frame in (2, 7, 8)][frame])


def test_layers_between_depths_are_the_second_models(tmp_path: Path) -> None:
    """Coarse layers of one and fine layers of the other, as `model blend` swaps them."""
    features, name = make_features(0.2), "nvidia_skip64.pkl"
    second = tuned(name, tmp_path / "b.safetensors")
    layers = len(open_generator(GOLDEN / name, device="cpu").generator.network.layer_names)
    amounts = [0.0] * 4 + [1.0] * (layers - 4)
    save_checkpoint(
        blended(read_checkpoint(GOLDEN / name), read_checkpoint(second), amounts), tmp_path / "c.safetensors"
    )
    swapped = rendered(patch(), tmp_path / "c.safetensors", features)
    text = toward(1, f"layers = [{3.5 / (layers - 1)}, 1]\n")
    np.testing.assert_array_equal(rendered(patch(text), GOLDEN / name, features, second), swapped)


def test_edits_move_with_an_envelope(tmp_path: Path) -> None:
    features = make_features(16 / 24, onsets=strokes(5))
    name, checkpoint = "sg3_t32.pkl", read_checkpoint(GOLDEN / "sg3_t32.pkl")
    weight = next(key for key in checkpoint.state if key.startswith("synthesis.L2") and key.endswith(".weight"))
    layer, (out, inside) = weight.split(".")[1], checkpoint.state[weight].shape[:2]
    edits = tmp_path / "smile.safetensors"
    save_file({f"{layer}.out": torch.ones(out), f"{layer}.in": torch.linspace(-1, 1, inside)}, edits)
    text = '[[weights]]\nedits = "smile.safetensors"\nhigh = 2\n' + DRUM
    still, moved = rendered(patch(), GOLDEN / name, features), rendered(patch(text), GOLDEN / name, features, edits)
    assert [frame for frame in range(16) if (still[frame] != moved[frame]).any()] == [5]
    outside = rendered(patch(text + "layers = [0.9, 1]\n"), GOLDEN / name, features, edits)
    np.testing.assert_array_equal(outside, still)


def test_frames_with_equal_amounts_share_a_network_and_few_are_kept(tmp_path: Path) -> None:
    made: list[object] = []
    base, second = read_checkpoint(GOLDEN / KINDS[0]), read_checkpoint(tuned(KINDS[0], tmp_path / "b.safetensors"))

    def make(checkpoint):
        made.append(checkpoint)
        return made_generator(checkpoint)

    variants = Variants(base, [second], make)
    one = variants.network((Step(0, 0, 1, 0.5),), None)
    assert variants.network((Step(0, 0, 1, 0.5),), None) is one and len(made) == 1
    variants._most = 2  # as of networks of half a gibibyte
    for amount in (0.1, 0.2, 0.3):
        variants.network((Step(0, 0, 1, amount),), None)
    assert len(variants._kept) == 2
    values = motion(patch(toward(1, DRUM)), make_features(16 / 24, onsets=np.linspace(0.50, 0.505, 16))).moves
    assert {amount for _, amounts in (values.frames(0, 16).weights) for amount in amounts} == {0.5}


def test_wide_pictures_and_sections(tmp_path: Path) -> None:
    second = tuned("sg3_t32.pkl", tmp_path / "b.safetensors")
    features = make_features(0.3)
    wide = rendered(patch(toward(1)), GOLDEN / "sg3_t32.pkl", features, second, size=(64, 32))
    np.testing.assert_array_equal(wide, rendered(patch(), second, features, size=(64, 32)))
    text = HEAD.replace("schema = 1", "schema = 2") + (
        "[[sections]]\nstart = 0\n[[sections]]\nstart = 0.5\n[[sections.patch.weights]]\n"
        + toward(1).partition("\n")[2]
    )
    preset = parse_preset(text, "test")
    made = motion(preset.patch, make_features(1), sections=preset.sections)
    ((_, amounts),) = made.moves.weights
    assert not amounts[:10].any() and amounts[-1] == 1
    assert parse_preset(preset_text(preset), "again").section_patches()[1].weights[0].toward == "b.safetensors"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[weights]]\ntoward = "../b.pkl"\n', "toward"),
        ('[[weights]]\ntoward = "/etc/passwd"\n', "toward"),
        ('[[weights]]\ntoward = "..\\\\b.pkl"\n', "toward"),
        ('[[weights]]\ntoward = ".b.pkl"\n', "toward"),
        ('[[weights]]\ntoward = "C:b.pkl"\n', "toward"),
        ("[[weights]]\nhigh = 1\n", "give one of the two"),
        ('[[weights]]\ntoward = "b.pkl"\nhigh = 2\n', "from 0 to 1"),
        ('[[weights]]\ntoward = "b.pkl"\nlayers = [0.5, 0.2]\n', "run backwards"),
        ('[[weights]]\ntoward = "b.pkl"\nsha256 = "12"\n', "sha256"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(PresetError, match=words):
        patch(text)


def test_files_that_are_missing_or_of_another_network(tmp_path: Path) -> None:
    preset = parse_preset(HEAD + toward(1), "x")
    with pytest.raises(RenderError, match="put it beside the preset, or give it with --with"):
        weight_files(preset)
    (tmp_path / "b.safetensors").write_bytes(b"nothing of the kind")
    (found,) = weight_files(preset, folder=tmp_path)
    with pytest.raises(CheckpointError, match=r"b\.safetensors"):
        open_generator(GOLDEN / KINDS[0], device="cpu", weights=(found,))
    save_checkpoint(read_checkpoint(GOLDEN / "sg3_t32.pkl"), tmp_path / "b.safetensors")
    with pytest.raises(RenderError, match="another architecture cannot be blended"):
        open_generator(GOLDEN / KINDS[0], device="cpu", weights=weight_files(preset, folder=tmp_path))
    other = parse_preset(HEAD + toward(1, f'sha256 = "{"0" * 64}"\n'), "x")
    with pytest.raises(RenderError, match="another file than the one that the preset was made with"):
        weight_files(other, folder=tmp_path)
    link = tmp_path / "folder"
    link.mkdir()
    (link / "b.safetensors").symlink_to(tmp_path / "b.safetensors")
    with pytest.raises(RenderError, match="put it beside the preset"):
        weight_files(preset, folder=link)
