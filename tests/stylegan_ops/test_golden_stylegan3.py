"""StyleGAN3, its forks and StyleGAN-XL agree with the original implementations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from compilers import needs_compiler
from safetensors import safe_open
from safetensors.torch import save_file

from stylegan_ops import AliasFreeGenerator, CheckpointError, StyleGANError, convert_checkpoint, load_generator
from stylegan_ops.memory import Workspace
from stylegan_ops.stylegan3 import generator as generator_module
from stylegan_ops.stylegan3.design import Plan
from stylegan_ops.stylegan3.filtered import Resampling, filtered_lrelu

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = {
    "sg3_t32": ".pkl", "sg3_r32": ".pkl", "sg3_r32_state": ".pt", "sg3_alt64": ".pkl", "sg3_human32": ".pkl",
    "xl_stem16": ".pkl", "xl_super64": ".pkl",
}  # fmt: skip
MOVABLE = ("sg3_t32", "sg3_r32", "sg3_r32_state", "sg3_alt64", "sg3_human32")
ANY = ("reference", "auto")


def load(name: str, implementation: str = "auto") -> tuple[AliasFreeGenerator, dict[str, torch.Tensor]]:
    with np.load(GOLDEN / f"{name.removesuffix('_state')}.npz") as arrays:
        vectors = {key: torch.from_numpy(values) for key, values in arrays.items()}
    generator = load_generator(GOLDEN / f"{name}{FILES[name]}", implementation=implementation)  # type: ignore[arg-type]
    assert isinstance(generator, AliasFreeGenerator)
    return generator, vectors


def assert_close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> None:
    """Within a share of the largest value."""
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.mark.parametrize("name", FILES)
def test_mapping(name: str) -> None:
    generator, vectors = load(name)
    labels = vectors.get("c")
    assert_close(generator.mapping(vectors["z"], labels), vectors["ws_psi1"], 1e-5)
    assert_close(generator.mapping(vectors["z"], labels, truncation_psi=0.7), vectors["ws_psi07"], 1e-5)


@pytest.mark.parametrize("implementation", ANY)
@pytest.mark.parametrize("name", FILES)
def test_pictures(name: str, implementation: str) -> None:
    generator, vectors = load(name, implementation)
    assert_close(generator.synthesis(vectors["mixed"]), vectors["img"], 1e-4)


@pytest.mark.parametrize("kind", ["transform", "zoom"])
@pytest.mark.parametrize("name", MOVABLE)
def test_moved_pictures(name: str, kind: str) -> None:
    generator, vectors = load(name)
    if kind not in vectors:
        assert name == "sg3_human32"
        return
    found = generator.synthesis(vectors["mixed"], transform=vectors[kind])
    assert_close(found, vectors[f"img_{kind}"], 1e-4)
    one_each = torch.stack([torch.eye(3), vectors[kind], torch.eye(3)])
    assert_close(generator.synthesis(vectors["mixed"], transform=one_each)[1:2], vectors[f"img_{kind}"][1:2], 1e-4)


@pytest.mark.parametrize("implementation", ANY)
@pytest.mark.parametrize("name", ["sg3_t32", "sg3_r32", "sg3_r32_state", "sg3_alt64"])
def test_other_canvases(name: str, implementation: str) -> None:
    generator, vectors = load(name, implementation)
    height, width = vectors["img_wide"].shape[2:]
    wide = generator.resized((height, width))
    assert wide.img_size == (height, width)
    assert_close(wide.synthesis(vectors["mixed"]), vectors["img_wide"], 1e-4)
    assert torch.equal(
        wide.resized(generator.img_size).synthesis(vectors["mixed"]), generator.synthesis(vectors["mixed"])
    )


def test_a_canvas_of_a_fork_that_is_not_square_keeps_its_margin() -> None:
    generator, vectors = load("sg3_human32")
    picture, wide = (g.synthesis(vectors["mixed"]) for g in (generator, generator.resized((32, 24))))
    assert wide.shape == (3, 3, 32, 24)
    middle = wide[..., 4:20]
    assert (middle - picture).abs().mean() < 0.1 * picture.abs().mean()


@pytest.mark.parametrize("name", ["sg3_alt64", "sg3_human32", "sg3_r32_state", "xl_super64"])
def test_converted_files_make_the_same_pictures(name: str, tmp_path: Path) -> None:
    convert_checkpoint(GOLDEN / f"{name}{FILES[name]}", tmp_path / "a.safetensors")
    generator, vectors = load(name)
    converted = load_generator(tmp_path / "a.safetensors")
    assert torch.equal(converted.synthesis(vectors["mixed"]), generator.synthesis(vectors["mixed"]))
    assert torch.equal(
        converted.mapping(vectors["z"], vectors.get("c"), 0.5), generator.mapping(vectors["z"], vectors.get("c"), 0.5)
    )


def test_a_state_dict_may_lack_its_transform_and_mean_latent(tmp_path: Path) -> None:
    generator, vectors = load("sg3_r32_state")
    state = torch.load(GOLDEN / "sg3_r32_state.pt", weights_only=True)
    del state["synthesis.input.transform"]
    average = state.pop("mapping.w_avg")
    torch.save({"state_dict": {f"decoder.{k}": v for k, v in state.items()}, "latent_avg": average}, tmp_path / "a.pt")
    found = load_generator(tmp_path / "a.pt")
    assert torch.equal(found.synthesis(vectors["mixed"]), generator.synthesis(vectors["mixed"]))
    labels = vectors["c"]
    assert torch.equal(found.mapping(vectors["z"], labels, 0.7), generator.mapping(vectors["z"], labels, 0.7))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"synthesis.L3_36_24.magnitude_ema": torch.tensor(0.0)}, "magnitude_ema is no positive number"),
        ({"synthesis.L3_36_24.up_filter": torch.zeros(11)}, "filters of its own; give the .pkl"),
        ({"synthesis.L3_36_24.up_filter": torch.zeros(3, 4)}, r"has the shape \(3, 4\), which no filter"),
        ({"synthesis.L3_36_24.weight": None}, "some of its layers are missing; give the .pkl"),
        ({"synthesis.L3_36_24.bias": None}, r"it lacks synthesis\.L3_36_24\.bias"),
        ({"synthesis.L3_36_24.bias": torch.zeros(25)}, r"has the shape \(25,\) instead of \(24,\)"),
        ({"mapping.fc0.weight": None}, "StyleGAN3 model, but it has no mapping network"),
        ({"synthesis.input.freqs": torch.full((24, 2), torch.nan)}, "not finite"),
        ({"synthesis.extra.weight": torch.zeros(4, 4)}, "which StyleGAN3 does not have"),
    ],
)
def test_damaged_state_dicts_are_refused(change: dict[str, torch.Tensor | None], words: str, tmp_path: Path) -> None:
    state = torch.load(GOLDEN / "sg3_r32_state.pt", weights_only=True) | change
    torch.save({name: values for name, values in state.items() if values is not None}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=words):
        load_generator(tmp_path / "a.pt")


def test_what_it_cannot_take_is_said() -> None:
    generator, vectors = load("sg3_t32")
    ws = vectors["mixed"]
    with pytest.raises(StyleGANError, match=r"this model takes \(batch, 16, 32\)"):
        generator.synthesis(ws[:, :7])
    with pytest.raises(StyleGANError, match=r"give \(3, 3\), or \(3, 3, 3\): one a sample"):
        generator.synthesis(ws, transform=torch.eye(2))
    with pytest.raises(StyleGANError, match="this model has no noise"):
        generator.synthesis(ws, [torch.zeros(1, 1, 4, 4)])
    with pytest.raises(StyleGANError, match="cannot be made"):
        generator.resized((32, 100_000))
    with pytest.raises(StyleGANError, match="cannot be made"):
        generator.resized((0, 32))
    with pytest.raises(StyleGANError, match="has no classes"):
        generator.mapping(vectors["z"], torch.zeros(3, 2))


def test_a_picture_does_not_depend_on_its_batch() -> None:
    for name in ("sg3_t32", "sg3_r32"):
        generator, vectors = load(name)
        whole = generator.synthesis(vectors["mixed"])
        alone = torch.cat([generator.synthesis(ws[None]) for ws in vectors["mixed"]])
        assert (whole - alone).abs().max() < 1e-5 * whole.abs().max()
        assert torch.equal(generator.synthesis(vectors["mixed"]), whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close(dtype: torch.dtype) -> None:
    for name in ("sg3_t32", "sg3_r32"):
        _, vectors = load(name)
        generator = load_generator(GOLDEN / f"{name}.pkl", dtype=dtype)
        assert_close(generator.synthesis(vectors["mixed"]), vectors["img"], 0.04 if dtype == torch.bfloat16 else 0.005)


def described(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Tensors and description of a converted StyleGAN3."""
    convert_checkpoint(GOLDEN / "sg3_t32.pkl", path)
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["stylegan3"])  # noqa: SIM118


@pytest.mark.parametrize(
    ("module", "change", "words"),
    [
        ("synthesis.L3_36_16", {"out_size": [1 << 40, 36]}, "L3_36_16 has -1 columns"),
        ("synthesis.L3_36_16", {"out_size": [16384, 16384]}, "GiB between its filters|makes another size"),
        ("synthesis.L3_36_16", {"padding": [1 << 60, 0, 0, 0]}, "has a padding of"),
        ("synthesis.L3_36_16", {"padding": "abcd"}, "has no padding of four numbers"),
        ("synthesis.L3_36_16", {"up_factor": 1000}, "has 1000 as its factor up"),
        ("synthesis.L3_36_16", {"up_factor": 0}, "has 0 as its factor up"),
        ("synthesis.L3_36_16", {"in_sampling_rate": 64}, "does not take what the one before it gives"),
        ("synthesis.L3_36_16", {"conv_clamp": float("nan")}, "has a clamp of"),
        ("synthesis.L3_36_16", {"is_torgb": True}, "is at the wrong place"),
        ("synthesis.input", {"size": [1 << 50, 1 << 50]}, "the width of the input is -1"),
        ("synthesis.input", {"bandwidth": 1e300}, "bandwidth of its input"),
        ("synthesis", {"layer_names": ["L0_36_16"] * 4000}, "does not list its layers"),
        ("synthesis", {"output_scale": 0}, "scale of its output"),
        ("synthesis", {"img_resolution": 1 << 30}, "the resolution is"),
    ],
)
def test_hostile_numbers_are_refused_before_anything_is_made(
    module: str, change: dict[str, object], words: str, tmp_path: Path
) -> None:
    tensors, text = described(tmp_path / "a.safetensors")
    text["modules"][module] |= change  # type: ignore[index]
    save_file(tensors, tmp_path / "b.safetensors", metadata={"stylegan3": json.dumps(text)})
    with pytest.raises(CheckpointError, match=words):
        load_generator(tmp_path / "b.safetensors")


def test_metadata_that_is_no_description_is_refused(tmp_path: Path) -> None:
    tensors, text = described(tmp_path / "a.safetensors")
    for metadata in ("[]", "{}", '{"modules": []}', '{"modules": {"synthesis": 3}}', "[" * 100_000, "not json"):
        save_file(tensors, tmp_path / "b.safetensors", metadata={"stylegan3": metadata})
        with pytest.raises(CheckpointError):
            load_generator(tmp_path / "b.safetensors")
    text["mapping_lr"] = float("inf")
    save_file(tensors, tmp_path / "b.safetensors", metadata={"stylegan3": json.dumps(text)})
    with pytest.raises(CheckpointError, match="learning-rate multiplier"):
        load_generator(tmp_path / "b.safetensors")


@pytest.mark.parametrize("up_taps", [4, 9, 12])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 2), (4, 2), (2, 4), (3, 2)])
@pytest.mark.parametrize("kind", ["row", "square", "mirrored"])
def test_the_compiled_activation_is_the_plain_one(up: int, down: int, kind: str, up_taps: int) -> None:
    """Filters that are not symmetric, paddings that crop, channels that fill no vector."""
    draw = torch.Generator().manual_seed(up * 100 + down * 10 + up_taps)
    x = torch.randn(2, 21, 19, 33, generator=draw).contiguous(memory_format=torch.channels_last)
    taps = 7 if kind == "row" else 6
    down_filter = torch.randn((taps,) if kind == "row" else (taps, taps), generator=draw)
    if kind == "mirrored":
        down_filter = down_filter + down_filter.flip(0)
    padding = (3, -4, -2, 5)
    fine = [n * up + a + b - up_taps + 1 for n, a, b in ((33, 3, -4), (19, -2, 5))]
    out_size = tuple((n - taps) // down + 1 for n in fine)
    resampling = Resampling(
        torch.randn(up_taps, generator=draw), down_filter, up, down, padding, out_size, 1.5, kind == "mirrored"
    )
    scale, bias, style = torch.rand(2, 21, generator=draw), torch.randn(21, generator=draw), torch.randn(2, 21)
    needs_compiler()
    for own_style in (style, None):
        found = filtered_lrelu(x, scale, bias, own_style, resampling, Workspace(), "y")
        wanted = filtered_lrelu(x, scale, bias, own_style, resampling)
        assert found.shape == wanted.shape == (2, 21, *out_size[::-1])
        assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_large_batches_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fits: parts of parts too, and memory that an earlier batch has left large."""
    plan = Plan(64, 512, 16, num_layers=8, margin_size=2)
    wanted = None
    for limit in (1 << 30, 400_000, 200_000, 120_000, 70_000, 1):
        generator = AliasFreeGenerator.random(plan, z_dim=8, w_dim=8, seed=1)
        monkeypatch.setattr(generator_module, "CPU_WORKING_SET", limit)
        ws = torch.randn(5, generator.num_ws, 8, generator=torch.Generator().manual_seed(1))
        for _ in range(2):
            found = generator.synthesis(ws)
            wanted = found if wanted is None else wanted
            assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max(), limit
