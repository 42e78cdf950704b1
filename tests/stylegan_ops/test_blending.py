"""Blends of two models, and rank-one edits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stylegan_ops import CheckpointError, load_generator
from stylegan_ops.blending import blended, edited, layer_prefixes
from stylegan_ops.checkpoint import Checkpoint, made_generator, read_checkpoint, save_checkpoint

GOLDEN = Path(__file__).parent.parent / "golden"
NAMES = ("nvidia_skip64", "nvidia_resnet32", "sg3_t32", "sg3_alt64", "sg1_cond32")


def pair(name: str) -> tuple[Checkpoint, Checkpoint]:
    """A model, and another one of its architecture."""
    first = read_checkpoint(GOLDEN / f"{name}.pkl")
    draw = torch.Generator().manual_seed(1)
    state = {
        key: values + 0.1 * torch.randn(values.shape, generator=draw) * (not key.endswith(("_filter", "magnitude_ema")))
        for key, values in first.state.items()
    }
    return first, dataclasses.replace(first, state=state)


def picture(checkpoint: Checkpoint) -> torch.Tensor:
    generator = made_generator(checkpoint)
    z = torch.randn(2, generator.z_dim, generator=torch.Generator().manual_seed(2))
    c = torch.eye(generator.c_dim)[:2] if generator.c_dim else None
    return generator.synthesis(generator.mapping(z, c))


@pytest.mark.parametrize("name", NAMES)
def test_at_its_ends_a_blend_is_one_of_the_models_exactly(name: str) -> None:
    first, second = pair(name)
    assert torch.equal(picture(blended(first, second, 0)), picture(first))
    assert torch.equal(picture(blended(first, second, 1)), picture(second))
    half = picture(blended(first, second, 0.5))
    assert not torch.equal(half, picture(first)) and not torch.equal(half, picture(second))


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_of_the_synthesis_belongs_to_one_layer(name: str) -> None:
    first, _ = pair(name)
    prefixes = layer_prefixes(first.architecture)
    for key in first.architecture.shapes():
        if key.startswith("synthesis."):
            assert sum(key.startswith(some) for some in prefixes) == 1, key


def test_layers_are_swapped_coarse_to_fine() -> None:
    first, second = pair("nvidia_skip64")
    swapped = blended(first, second, (0, 1)).state
    assert torch.equal(swapped["synthesis.b4.const"], first.state["synthesis.b4.const"])
    assert torch.equal(swapped["mapping.fc0.weight"], first.state["mapping.fc0.weight"])
    assert torch.equal(swapped["synthesis.b64.conv1.weight"], second.state["synthesis.b64.conv1.weight"])


def test_what_does_not_fit_is_refused() -> None:
    first, second = pair("nvidia_skip64")
    other = read_checkpoint(GOLDEN / "sg3_t32.pkl")
    with pytest.raises(CheckpointError, match="cannot be blended: give two models of the same kind"):
        blended(first, other, 0.5)
    with pytest.raises(CheckpointError, match="each must be from 0 to 1"):
        blended(first, second, 1.5)


def test_rank_one_edits(tmp_path: Path) -> None:
    first, _ = pair("nvidia_skip64")
    weight = first.state["synthesis.b8.conv0.weight"]
    out, inside = torch.randn(weight.shape[0]), torch.randn(weight.shape[1])
    path = tmp_path / "edit.safetensors"
    save_file({"b8.conv0.out": out, "b8.conv0.in": inside}, path)
    found = edited(first, path, 0.5).state["synthesis.b8.conv0.weight"]
    torch.testing.assert_close(found - weight, (0.5 * torch.outer(out, inside))[:, :, None, None].expand_as(weight))
    save_checkpoint(edited(first, path), tmp_path / "a.safetensors")
    assert not torch.equal(picture(read_checkpoint(tmp_path / "a.safetensors")), picture(first))
    assert load_generator(tmp_path / "a.safetensors").img_resolution == 64
    cases = {
        "for another model": {"b8.conv0.out": out[:3], "b8.conv0.in": inside},
        "does not have": {"b9.conv0.out": out, "b9.conv0.in": inside},
        "holds 1 tensors": {"b8.conv0.out": out},
        "not finite": {"b8.conv0.out": out * torch.inf, "b8.conv0.in": inside},
    }
    for words, tensors in cases.items():
        save_file({name: values.contiguous() for name, values in tensors.items()}, path)
        with pytest.raises(CheckpointError, match=words):
            edited(first, path)
    path.write_bytes(b"not a file of edits at all")
    with pytest.raises(CheckpointError, match="no file of edits"):
        edited(first, path)
