"""StyleGAN1 agrees with the original implementation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylegan_ops import StyleGAN1Generator, StyleGANError, convert_checkpoint, load_generator
from stylegan_ops.checkpoint import Checkpoint, made_generator, read_checkpoint, save_checkpoint

GOLDEN = Path(__file__).parent.parent / "golden"
NAMES = ("sg1_128", "sg1_cond32")


def load(name: str) -> tuple[StyleGAN1Generator, dict[str, torch.Tensor]]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        vectors = {key: torch.from_numpy(values) for key, values in arrays.items()}
    generator = load_generator(GOLDEN / f"{name}.pkl")
    assert isinstance(generator, StyleGAN1Generator)
    return generator, vectors


def assert_close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> None:
    """Within a share of the largest value."""
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_mapping(name: str) -> None:
    generator, vectors = load(name)
    z, labels = vectors["z"], vectors.get("c")
    assert_close(generator.mapping(z, labels), vectors["ws_psi1"], 1e-5)
    assert_close(generator.mapping(z, labels, 0.7), vectors["ws_psi07"], 1e-5)
    assert_close(generator.mapping(z, labels, 0.7, truncation_cutoff=8), vectors["ws_psi07_first8"], 1e-5)


@pytest.mark.parametrize("kind", ["const", "none", "noise"])
@pytest.mark.parametrize("name", NAMES)
def test_pictures(name: str, kind: str) -> None:
    generator, vectors = load(name)
    maps = [vectors[f"noise_{index}"][None, None] for index in range(len(generator.noise_sizes))]
    found = generator.synthesis(vectors["mixed"], maps if kind == "noise" else kind)  # type: ignore[arg-type]
    assert_close(found, vectors[f"img_{kind}"], 1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_converted_files_make_the_same_pictures(name: str, tmp_path: Path) -> None:
    convert_checkpoint(GOLDEN / f"{name}.pkl", tmp_path / "a.safetensors")
    generator, vectors = load(name)
    converted = load_generator(tmp_path / "a.safetensors")
    assert torch.equal(converted.synthesis(vectors["mixed"]), generator.synthesis(vectors["mixed"]))


def test_a_network_that_has_not_grown_up_blends_two_resolutions(tmp_path: Path) -> None:
    """At a level of detail of 1.25, a quarter of the picture comes from two resolutions below the largest."""
    whole = read_checkpoint(GOLDEN / "sg1_cond32.pkl")
    ws = load("sg1_cond32")[1]["mixed"]
    architecture = whole.architecture
    pictures = {}
    for level in (1.0, 1.25, 2.0):
        unfinished = dataclasses.replace(architecture, lod=level)  # type: ignore[type-var]
        draw = torch.Generator().manual_seed(1)
        state = {
            name: whole.state[name] if name in whole.state else torch.randn(shape, generator=draw)
            for name, shape in unfinished.shapes().items()
        }
        for resolution in (8, 16):  # the same colours at every level
            for name, size in ((f"synthesis.b{resolution}.torgb.weight", (3, 16, 1, 1)),):
                state[name] = torch.randn(size, generator=torch.Generator().manual_seed(resolution))
            state[f"synthesis.b{resolution}.torgb.bias"] = torch.zeros(3)
        checkpoint = Checkpoint("made", unfinished, {k: state[k] for k in unfinished.shapes()}, None, ())
        save_checkpoint(checkpoint, tmp_path / "a.safetensors")
        assert torch.equal(
            load_generator(tmp_path / "a.safetensors").synthesis(ws), made_generator(checkpoint).synthesis(ws)
        )
        pictures[level] = made_generator(checkpoint).synthesis(ws)
    assert pictures[1.25].shape == (3, 3, 32, 32)
    assert_close(pictures[1.25], 0.75 * pictures[1.0] + 0.25 * pictures[2.0], 1e-5)
    assert torch.equal(pictures[1.0], F.interpolate(pictures[1.0][..., ::2, ::2], scale_factor=2))


def test_wider_pictures_and_what_cannot_be_taken() -> None:
    generator, vectors = load("sg1_cond32")
    wide = generator.enlarged(const_size=(4, 7))
    assert wide.img_size == (32, 56) and wide.noise_sizes[1] == (4, 7)
    assert wide.synthesis(vectors["mixed"]).shape == (3, 3, 32, 56)
    with pytest.raises(StyleGANError, match="it can only grow"):
        generator.enlarged(const_size=(3, 4))
    with pytest.raises(StyleGANError, match="this model takes 8, one for a layer"):
        generator.synthesis(vectors["mixed"], [torch.zeros(1, 1, 4, 4)])
    with pytest.raises(StyleGANError, match=r"this model takes \(batch, 8, 32\)"):
        generator.synthesis(vectors["mixed"][:, :3])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close(dtype: torch.dtype) -> None:
    vectors = load("sg1_cond32")[1]
    generator = load_generator(GOLDEN / "sg1_cond32.pkl", dtype=dtype)
    assert_close(generator.synthesis(vectors["mixed"]), vectors["img_const"], 0.05)


@pytest.mark.parametrize("name", NAMES)
def test_no_samples_give_no_pictures(name: str) -> None:
    generator, vectors = load(name)
    found = generator.synthesis(vectors["mixed"][:0])
    assert found.shape == (0, *vectors["img_const"].shape[1:])
    with pytest.raises(StyleGANError, match="smaller constant"):
        generator.enlarged(const_size=(4, 100_000))
