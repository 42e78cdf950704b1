"""Model files: what is read, what is refused, and that nothing in them is executed."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pickle
import random
import re
import stat
import tempfile
import zipfile
from collections import Counter, OrderedDict, defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stylegan_ops import CheckpointError, checkpoint, convert_checkpoint, inspect_checkpoint, load_generator
from stylegan_ops.architecture import Architecture
from stylegan_ops.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from stylegan_ops.initial import random_state

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = ("nvidia_skip64.pkl", "nvidia_cond32.pkl", "nvidia_resnet32.pkl", "tf_legacy32.pkl", "rosinality32.pt")
TINY = Architecture(z_dim=8, w_dim=8, mapping_features=(8, 8), channels=(6, 4, 4))


class Global:
    """Pickles as a name, so that a test can write one that it cannot import."""

    def __init__(self, name: str) -> None:
        self.name = name


class Call:
    """Pickles as a call of a name."""

    def __init__(self, name: str, *args: object) -> None:
        self.name, self.args = name, args


class Writer(pickle._Pickler):  # the one in Python: the C pickler would look names up
    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Global):
            module, _, name = obj.name.rpartition(".")
            self.write(b"c" + f"{module}\n{name}\n".encode())
        elif isinstance(obj, Call):
            self.save(Global(obj.name))
            self.save(obj.args)
            self.write(b"R")
        else:
            super().save(obj, save_persistent_id)


def pickled(obj: object) -> bytes:
    buffer = io.BytesIO()
    Writer(buffer, 2).dump(obj)
    return buffer.getvalue()


def module(class_name: str, modules: dict[str, object] | None = None, **buffers: object) -> Call:
    state = {"_parameters": {}, "_buffers": buffers, "_modules": modules or {}}
    meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": class_name, "state": state}
    return Call("torch_utils.persistence._reconstruct_persistent_obj", meta)


def tensor(*shape: int) -> Call:
    buffer = io.BytesIO()
    values = torch.zeros(shape)
    typed = torch.storage.TypedStorage(wrap_storage=values.untyped_storage(), dtype=values.dtype, _internal=True)
    torch.save(typed, buffer, _use_new_zipfile_serialization=False)
    storage = Call("torch.storage._load_from_bytes", buffer.getvalue())
    return Call("torch._utils._rebuild_tensor_v2", storage, 0, tuple(shape), values.stride(), False, OrderedDict())


def network(version: int, variables: list[str], components: dict[str, object] | None = None) -> Call:
    """A TensorFlow network without numbers, as (constructed object, then its state)."""
    return TfNetwork({
        "version": version, "name": "G", "static_kwargs": {}, "components": components or {},
        "variables": [(name, 0.0) for name in variables],
    })  # fmt: skip


class TfNetwork:
    def __init__(self, state: dict[str, object]) -> None:
        self.state = state


def save_network(writer: Writer, obj: TfNetwork) -> None:
    writer.save(Global("dnnlib.tflib.network.Network"))
    writer.write(b")\x81")
    writer.save(obj.state)
    writer.write(b"b")


Writer.dispatch = {**pickle._Pickler.dispatch, TfNetwork: save_network}


def write(tmp_path: Path, content: bytes, name: str = "model.pkl") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def tiny(path: Path, architecture: Architecture = TINY) -> Path:
    save_checkpoint(Checkpoint("test", architecture, random_state(architecture, seed=1), None, ()), path)
    return path


# What is read.


@pytest.mark.parametrize("name", FILES)
def test_inspect_tells_what_is_inside(name: str) -> None:
    info = inspect_checkpoint(GOLDEN / name)
    size = 64 if "64" in name else 32
    assert (info.resolution, info.img_size, info.z_dim, info.w_dim) == (size, (size, size), 64, 64)
    assert info.kind == ("resnet" if "resnet" in name else "skip")
    assert info.c_dim == (5 if "cond" in name else 0)
    assert info.conv_clamp == (256 if "cond" in name else None)
    assert info.num_ws == (10 if size == 64 else 8)
    assert list(info.channels)[:2] == [4, 8] and list(info.channels)[-1] == size
    assert info.mapping_layers == (2 if "resnet" in name else 8)
    assert len(info.digest) == 64 and info.warnings == ()
    for word in (info.format, info.digest, f"{size} × {size}", f"{info.num_ws} inputs"):
        assert word in str(info)


@pytest.mark.parametrize("name", FILES)
def test_conversion_changes_nothing(name: str, tmp_path: Path) -> None:
    converted = tmp_path / "model.safetensors"
    convert_checkpoint(GOLDEN / name, converted)
    assert list(tmp_path.iterdir()) == [converted]
    before, after = read_checkpoint(GOLDEN / name), read_checkpoint(converted)
    assert after.architecture == before.architecture
    assert all(torch.equal(after.state[key], values) for key, values in before.state.items())
    assert inspect_checkpoint(converted).format == "safetensors"


def test_conversion_writes_nothing_when_it_fails(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="choose another folder"):
        convert_checkpoint(GOLDEN / FILES[1], tmp_path / "missing" / "model.safetensors")
    with pytest.raises(CheckpointError, match="no model file"):
        convert_checkpoint(tmp_path / "missing.pkl", tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())
    taken = tmp_path / "folder.safetensors"
    taken.mkdir()
    with pytest.raises(CheckpointError, match="cannot be written"):
        convert_checkpoint(GOLDEN / FILES[1], taken)
    assert list(tmp_path.iterdir()) == [taken]


@pytest.mark.parametrize("tiny_disk", [40], indirect=True)
def test_a_full_disk_is_told_with_the_remedy(tiny_disk: Path) -> None:
    with pytest.raises(CheckpointError, match="its disk is full; make room, or choose another folder"):
        convert_checkpoint(GOLDEN / "rosinality32.pt", tiny_disk / "a.safetensors")
    assert not list(tiny_disk.iterdir())


def test_a_model_is_not_written_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put into the temporary file's place by somebody who may rename files in the folder."""
    (tmp_path / "letter").write_text("dear")
    (tmp_path / "letter").chmod(0o600)

    def swapped(**choice: object) -> tuple[int, str]:
        handle, aside = tempfile.mkstemp(**choice)
        Path(aside).unlink()
        Path(aside).symlink_to(tmp_path / "letter")
        return handle, aside

    monkeypatch.setattr(checkpoint, "tempfile", SimpleNamespace(mkstemp=swapped))
    with contextlib.suppress(CheckpointError):
        convert_checkpoint(GOLDEN / "rosinality32.pt", tmp_path / "a.safetensors")
    assert (tmp_path / "letter").read_text() == "dear"
    assert stat.S_IMODE((tmp_path / "letter").stat().st_mode) == 0o600


def test_the_note_in_a_converted_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    note = "CC BY-NC 4.0\x1b[31m, by someone"
    save_checkpoint(Checkpoint("test", TINY, random_state(TINY, seed=1), note, ()), path)
    assert inspect_checkpoint(path).note == "CC BY-NC 4.0 [31m, by someone"  # no escape sequences reach a terminal


def test_half_precision_weights_are_read(tmp_path: Path) -> None:
    state = random_state(TINY, seed=1)
    path = tmp_path / "half.safetensors"
    save_checkpoint(Checkpoint("test", TINY, state, None, ()), path, dtype=torch.float16)
    read = read_checkpoint(path).state
    assert all(torch.equal(read[name], values.half().float()) for name, values in state.items())


def test_wide_constants_and_large_latents_follow_from_the_shapes(tmp_path: Path) -> None:
    wide = Architecture(z_dim=12, w_dim=10, mapping_features=(9, 11, 7, 10), channels=(8, 6, 6), const_size=(4, 2))
    generator = load_generator(tiny(tmp_path / "wide.safetensors", wide))
    assert generator.architecture == wide
    assert generator.img_size == (16, 8) and generator.noise_sizes == [(4, 2), (8, 4), (8, 4), (16, 8), (16, 8)]


@pytest.mark.parametrize("container", ["zip", "legacy"])
@pytest.mark.parametrize("form", ["converted", "training", "bare"])
def test_rosinality_in_all_its_forms(container: str, form: str, tmp_path: Path) -> None:
    original = torch.load(GOLDEN / "rosinality32.pt", weights_only=True)
    g_ema = original["g_ema"]
    saved: dict[str, object] = {"g_ema": g_ema, "latent_avg": original["latent_avg"]}
    if form == "training":
        saved = {
            "g": g_ema, "d": {"final_conv.0.weight": torch.zeros(3)}, "g_ema": g_ema, "ada_aug_p": 0.0,
            "g_optim": {"state": {0: {"step": 1, "exp_avg": torch.zeros(2)}}, "param_groups": [{"betas": (0.0, 0.99)}]},
            "args": argparse.Namespace(size=32, r1=10.0),
        }  # fmt: skip
    path = tmp_path / "model.pt"
    torch.save(g_ema if form == "bare" else saved, path, _use_new_zipfile_serialization=container == "zip")
    read, golden = read_checkpoint(path), read_checkpoint(GOLDEN / "rosinality32.pt")
    for name, values in golden.state.items():
        if name != "mapping.w_avg" or form == "converted":
            assert torch.equal(read.state[name], values)
    if form != "converted":
        assert any("estimated" in warning for warning in read.warnings)
        z = torch.from_numpy(np.random.RandomState(9).randn(20_000, 64).astype(np.float32))
        w = load_generator(path).mapping(z)[:, 0]
        # Two means of ten and twenty thousand samples differ by about a hundredth of the spread; four times that.
        assert (read.state["mapping.w_avg"] - w.mean(0)).abs().max() < 0.05 * w.std(0).max()


# The same network as other programs write it.

Tensors = dict[str, torch.Tensor]


def under(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


ENCODER = {
    "encoder.input_layer.0.weight": torch.zeros(4, 3, 3, 3),
    "encoder.styles.0.convs.0.weight": torch.zeros(2, 2, 3, 3),
    "encoder.latlayer1.bias": torch.zeros(2),
}
CRITIC = {"final_linear.0.weight": torch.zeros(3, 3), "final_conv.0.weight": torch.zeros(2, 2)}
WRAPPINGS: dict[str, Callable[[Tensors, torch.Tensor], object]] = {
    "DataParallel": lambda g, mean: {"g_ema": under("module.", g), "latent_avg": mean},
    "rows of the mean": lambda g, mean: {"g_ema": g, "latent_avg": mean.repeat(8, 1)},
    "rows that are one in memory": lambda g, mean: {
        "g_ema": g, "latent_avg": mean.reshape(1, -1).expand(8, -1), "d": {"step": torch.ones(1).expand(3, 7)},
    },
    "options of plain types": lambda g, mean: {
        "g_ema": g, "latent_avg": mean, "opts": argparse.Namespace(
            dtype=torch.bfloat16, device=torch.device("cpu"), kinds=frozenset({"a"}), steps=range(3),
            seen=Counter("ab"), spent=timedelta(1), begun=datetime(2020, 1, 1), root=1j, logs=defaultdict(list, a=[1]),
            activation=float, more=SimpleNamespace(raw=bytearray(b"a"), part=slice(1)), path=Path("a"),
            day=date(2020, 1, 1),
        ),
    },
    "a batch of rows": lambda g, mean: {"g_ema": g, "latent_avg": mean.repeat(8, 1)[None]},
    "one row": lambda g, mean: {"g_ema": g, "latent_avg": mean[None]},
    "pSp": lambda g, mean: {
        "state_dict": ENCODER | under("decoder.", g), "latent_avg": mean.repeat(8, 1),
        "opts": argparse.Namespace(checkpoint_path=Path("a"), device="cuda"),
    },
    "e4e": lambda g, mean: {
        "state_dict": ENCODER | under("decoder.", g), "latent_avg": mean, "opts": {"lr": 0.1, "w": [1, 2]},
        "discriminator_state_dict": CRITIC, "global_step": 7,
    },
    "ReStyle in DataParallel": lambda g, mean: {
        "state_dict": under("module.", ENCODER | under("decoder.", g)), "latent_avg": mean.repeat(8, 1),
    },
    "JoJoGAN": lambda g, mean: {"g": g, "g_optim": {"state": {0: {"exp_avg": torch.ones(3)}}}, "latent_avg": mean},
    "StyleGAN-NADA": lambda g, mean: {
        "state_dict": {
            **under("generator_frozen.generator.", {name: 0 * tensor for name, tensor in g.items()}),
            **under("generator_trainable.generator.", g),
        },
        "latent_avg": mean,
    },
    "averages after those in training": lambda g, mean: {
        "g": {name: 0 * tensor for name, tensor in g.items()}, "d": CRITIC, "g_ema": g, "latent_avg": mean,
    },
    "one flat dict": lambda g, mean: under("G_ema.", g) | under("D.", CRITIC) | {"latent_avg": mean},
    "a mean among the tensors": lambda g, mean: g | {"latent_avg": mean.repeat(8, 1)},
    "a mean inside": lambda g, mean: {"state_dict": under("decoder.", g | {"latent_avg": mean})},
    "dicts in dicts": lambda g, mean: {
        "model": {"net": under("_orig_mod.module.generator.", g)}, "mean_latent": mean,
    },
    "half of a generator first": lambda g, mean: {
        "g_ema": {name: g[name] for name in list(g)[:20]}, "latent_avg": mean, "other": under("decoder.", g),
    },
    "arrays": lambda g, mean: {
        "g_ema": {name: tensor.numpy() for name, tensor in g.items()}, "latent_avg": mean.numpy(),
    },
}  # fmt: skip


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_one_network_in_many_wrappings(wrapping: str, container: str, tmp_path: Path) -> None:
    """Prefixes, dicts around it and repeated rows are ways of writing, not other networks."""
    original = torch.load(GOLDEN / "rosinality32.pt", weights_only=True)
    saved = WRAPPINGS[wrapping](original["g_ema"], original["latent_avg"])
    torch.save(saved, tmp_path / "model.pt", _use_new_zipfile_serialization=container == "zip")
    read, golden = read_checkpoint(tmp_path / "model.pt"), read_checkpoint(GOLDEN / "rosinality32.pt")
    assert read.architecture == golden.architecture and set(read.state) == set(golden.state)
    assert all(torch.equal(read.state[name], tensor) for name, tensor in golden.state.items())
    in_training = "there is no averaged generator (g_ema); the one in training (g) is used"
    assert read.warnings == ((in_training,) if wrapping == "JoJoGAN" else ())


def test_wrappings_in_safetensors(tmp_path: Path) -> None:
    original = torch.load(GOLDEN / "rosinality32.pt", weights_only=True)
    golden = read_checkpoint(GOLDEN / "rosinality32.pt")
    rows = {"latent_avg": original["latent_avg"].repeat(8, 1)}
    for number, tensors in enumerate((
        under("module.", original["g_ema"]) | rows, original["g_ema"] | rows, under("G_ema.", dict(golden.state)),
    )):  # fmt: skip
        save_file(tensors, path := tmp_path / f"{number}.safetensors")
        state = read_checkpoint(path).state
        assert all(torch.equal(state[name], tensor) for name, tensor in golden.state.items())


def test_the_mean_latent_must_fit(tmp_path: Path) -> None:
    original = torch.load(GOLDEN / "rosinality32.pt", weights_only=True)
    for mean in (torch.zeros(63), torch.zeros(0), torch.zeros(64 * 100), torch.tensor(1.0)):
        torch.save({"g_ema": original["g_ema"], "latent_avg": mean}, tmp_path / "model.pt")
        with pytest.raises(CheckpointError, match="its mean latent has the shape"):
            read_checkpoint(tmp_path / "model.pt")
    torch.save({"g_ema": original["g_ema"], "latent_avg": torch.full((64,), torch.nan)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="the mean latent holds values that are not finite"):
        read_checkpoint(tmp_path / "model.pt")
    rows = torch.arange(8.0)[:, None].repeat(1, 64)
    torch.save({"g_ema": original["g_ema"], "latent_avg": rows}, tmp_path / "model.pt")
    read = read_checkpoint(tmp_path / "model.pt")
    assert torch.equal(read.state["mapping.w_avg"], torch.full((64,), 3.5))
    assert read.warnings == ("its mean latent is another one for each latent input; their mean is used",)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128, torch.int8, torch.int64, torch.bool])
def test_weights_are_floating_point_numbers(dtype: torch.dtype, tmp_path: Path) -> None:
    """Complex ones were taken, and lost their imaginary parts."""
    words = "complex numbers" if dtype.is_complex else "no floating-point numbers"
    original = torch.load(GOLDEN / "rosinality32.pt", weights_only=True)
    state = {name: tensor.to(dtype) for name, tensor in random_state(TINY, seed=1).items()}
    names = ("b.pt", "c.pt", "d.pt")
    if dtype != torch.complex128:  # which safetensors does not have
        save_file(state, tmp_path / "a.safetensors")
        names = ("a.safetensors", *names)
    torch.save({name: tensor.to(dtype) for name, tensor in original["g_ema"].items()}, tmp_path / "b.pt")
    torch.save({name: tensor.numpy() for name, tensor in state.items()}, tmp_path / "c.pt")
    torch.save(state, tmp_path / "d.pt", _use_new_zipfile_serialization=False)
    for name in names:
        with pytest.raises(CheckpointError, match=f"its weights are {words}"):
            read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_every_precision_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    state = random_state(TINY, seed=1)
    for zipped in (True, False):
        torch.save({name: tensor.to(dtype) for name, tensor in state.items()}, tmp_path / "model.pt",
                   _use_new_zipfile_serialization=zipped)  # fmt: skip
        read = read_checkpoint(tmp_path / "model.pt").state
        assert all(torch.equal(read[name], tensor.to(dtype).float()) for name, tensor in state.items())


def test_models_without_noise_and_files_without_constant_maps(tmp_path: Path) -> None:
    state = random_state(TINY, seed=1)
    drawn = {name: values for name, values in state.items() if not name.endswith("noise_const")}
    save_file(drawn, tmp_path / "drawn.safetensors")
    first, second = (read_checkpoint(tmp_path / "drawn.safetensors") for _ in range(2))
    assert any("fixed seed" in warning for warning in first.warnings)
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    assert first.state["synthesis.b8.conv0.noise_const"].std() == pytest.approx(1, abs=0.3)
    silent = {name: values for name, values in drawn.items() if not name.endswith("noise_strength")}
    save_file(silent, tmp_path / "silent.safetensors")
    read = read_checkpoint(tmp_path / "silent.safetensors")
    assert any("without noise" in warning for warning in read.warnings)
    assert not read.state["synthesis.b8.conv0.noise_strength"]


def test_unknown_settings_of_tensorflow_files_warn(tmp_path: Path) -> None:
    content = (GOLDEN / "tf_legacy32.pkl").read_bytes()
    # The same length, so that the pickle's frames stay whole.
    path = write(tmp_path, content.replace(b"fmap_base", b"fmap_bass", 1))
    assert any("fmap_bass" in warning for warning in inspect_checkpoint(path).warnings)


# What is refused, by name.


def test_relatives_and_strangers_are_named(tmp_path: Path) -> None:
    stylegan3 = module("Generator", {"mapping": module("M"), "synthesis": module("S", {"input": module("I")})})
    mapping_xl = module("M", w_avg=tensor(10, 4))
    stylegan_xl = module("Generator", {"mapping": mapping_xl, "synthesis": module("S", {"input": module("I")})})
    discriminator = module("Discriminator", {"b4": module("B")})
    parts = {"mapping": network(4, []), "synthesis": network(4, ["4x4/ToRGB_lod0/weight"])}
    cases: dict[str, object] = {
        "StyleGAN3": {"G_ema": stylegan3},
        "StyleGAN-XL": {"G_ema": stylegan_xl},
        "a discriminator, not a generator": {"G_ema": discriminator},
        "'D' but no generator": {"D": discriminator},
        "StyleGAN1": (network(3, [], {"mapping": network(3, []), "synthesis": network(3, [])}),),
        "configurations A to D": (network(4, [], parts),),
        "a discriminator alone, or a Progressive GAN": (network(4, ["4x4/Dense0/weight"]),),
        "holds a list but no StyleGAN2": [1, 2, 3],
        "holds a dict but no StyleGAN2": {"epoch": 3},
    }
    for words, content in cases.items():
        path = write(tmp_path, pickled(content))
        with pytest.raises(CheckpointError, match=words) as caught:
            load_generator(path)
        assert str(path) in str(caught.value)


STRANGERS = {
    "GFPGAN, a restoration network": ["conv_body_first.weight", "stylegan_decoder.style_mlp.1.weight"],
    "GPEN, a restoration network": ["generator.input.input", "generator.style.1.weight", "ecd0.0.weight"],
    "CodeFormer": ["encoder.blocks.0.weight", "quantize.embedding.weight", "fuse_convs_dict.32.scale.0.weight"],
    "ESRGAN": ["conv_first.weight", "body.0.rdb1.conv1.weight"],
    "StyleGAN-XL": ["mapping.embed_proj.weight", "synthesis.L0_36_512.weight"],
    "StyleGAN3 model": ["module.synthesis.input.freqs", "module.mapping.fc0.weight"],
    "EG3D": ["backbone.synthesis.b4.conv1.weight", "decoder.net.0.weight"],
    "BasicSR": ["style_mlp.1.weight", "constant_input.weight", "style_convs.0.modulated_conv.weight"],
    "MMGeneration": ["generator_ema.style_mapping.1.weight", "generator_ema.constant_input.const"],
    "GenForce": ["mapping.dense0.weight", "synthesis.layer0.weight"],
    "StyleGAN1 model for PyTorch": ["generator.progression.0.conv1.0.weight_orig", "style.1.linear.weight_orig"],
    "lucidrains' stylegan2-pytorch": [
        "GAN.S.net.0.weight",
        "GAN.G.initial_block",
        "GAN.G.blocks.0.to_noise1.bias",
        "GAN.D.final_conv.weight",
        "GAN.SE.net.0.weight",
        "GAN.GE.blocks.0.conv1.weight",
    ],
    "lucidrains": ["S.net.0.weight", "G.initial_conv.weight", "G.blocks.0.to_style1.weight"],
    "StyleSwin": ["style.1.weight", "layers.0.blocks.0.attn.0.relative_position_bias_table"],
    "Progressive GAN": ["scaleLayers.0.0.module.weight", "toRGBLayers.0.module.weight"],
    "FastGAN": ["module.init.init.0.weight_orig", "module.se_64.main.1.weight_orig"],
    "BigGAN": ["linear.weight", "blocks.0.0.bn1.gain.weight", "shared.weight"],
    "SWAGAN": ["g_ema.to_rgb1.conv.weight", "g_ema.to_rgbs.0.iwt.ll", "g_ema.iwt.hh"],
    "LoRA": ["lora_unet_down_blocks_0.lora_down.weight"],
    "a diffusion model": ["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.encoder.conv_in.weight"],
    "a diffusion model, which": ["down_blocks.0.resnets.0.conv1.weight", "time_embedding.linear_1.weight"],
    "an encoder into": ["encoder.input_layer.0.weight", "encoder.latlayer1.weight"],
    "a discriminator alone": ["convs.0.0.weight", "final_linear.0.weight"],
}


@pytest.mark.parametrize("words", STRANGERS)
def test_known_networks_are_called_by_their_names(words: str, tmp_path: Path) -> None:
    """By the names of their tensors, bare and within other dicts, as a torch file and as safetensors."""
    tensors = {name: torch.zeros(2, 2) for name in STRANGERS[words]}
    torch.save(tensors, tmp_path / "bare.pt")
    torch.save({"epoch": 1, "params_ema": tensors}, tmp_path / "inside.pt")
    save_file(tensors, tmp_path / "a.safetensors")
    for name in ("bare.pt", "inside.pt", "a.safetensors"):
        with pytest.raises(CheckpointError, match=f"this is .*{words}") as caught:
            read_checkpoint(tmp_path / name)
        assert "; " in str(caught.value)


class Painter(torch.nn.Module):
    """A network as rosinality's is, with layers in lists."""

    def __init__(self) -> None:
        super().__init__()
        self.style = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())


WHOLE: dict[str, Callable[[], object]] = {
    "bare": Painter,
    "among weights": lambda: {"g_ema": Painter(), "latent_avg": torch.zeros(2)},
    "DataParallel": lambda: {"g_ema": torch.nn.DataParallel(Painter())},
}


@pytest.mark.parametrize("form", WHOLE)
@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_networks_saved_as_objects_are_told_from_attacks(form: str, container: str, tmp_path: Path) -> None:
    """Many people write `torch.save(model)`; they were told that the file may be hostile."""
    path = tmp_path / "model.pt"
    torch.save(WHOLE[form](), path, _use_new_zipfile_serialization=container == "zip")
    with pytest.raises(CheckpointError, match=r"a whole network as an object of Python .* save .*state_dict\(\)"):
        read_checkpoint(path)
    torch.save([WHOLE[form](), Payload(os.system, "true")], path)
    with pytest.raises(CheckpointError, match=r"nothing was run, and the file may be hostile"):
        read_checkpoint(path)


@pytest.mark.parametrize(("channels", "words"), [(1, r"1 channel \(grey\)"), (4, "4 channels")])
def test_pictures_without_colour_are_named(channels: int, words: str, tmp_path: Path) -> None:
    state = dict(random_state(TINY, seed=1))
    for name in [name for name in state if re.search(r"torgb\.(weight|bias)", name)]:
        state[name] = torch.zeros(channels, *state[name].shape[1:])
    save_file(state, tmp_path / "grey.safetensors")
    with pytest.raises(CheckpointError, match=f"its pictures have {words}; only models of 3"):
        read_checkpoint(tmp_path / "grey.safetensors")


def test_a_whole_stylegan2_with_foreign_names_beside_it_is_not_used(tmp_path: Path) -> None:
    """Only StyleGAN-XL comes with classes of other libraries in its discriminator."""
    mapping = module("M", {"embed": Call("torch.nn.modules.sparse.Embedding")}, w_avg=tensor(4))
    generator = module("Generator", {"mapping": mapping, "synthesis": module("S")})
    path = write(tmp_path, pickled({"D": Call("dill._dill._create_code", "set"), "G_ema": generator}))
    with pytest.raises(CheckpointError, match="asks Python for 'dill"):
        load_generator(path)
    plain = module("Generator", {"mapping": module("M", w_avg=tensor(4)), "synthesis": module("S")})
    path = write(tmp_path, pickled({"D": Call("dill._dill._create_code", "set"), "G_ema": plain}))
    with pytest.raises(CheckpointError, match=r"asks Python for 'dill\._dill\._create_code'.*nothing was run"):
        load_generator(path)


def test_foreign_parts_inside_the_generator_are_refused(tmp_path: Path) -> None:
    inside = module("S", {"input": Call("timm.models.Thing")})
    mapping = module("M", w_avg=tensor(4))
    path = write(tmp_path, pickled({"G_ema": module("Generator", {"mapping": mapping, "synthesis": inside})}))
    with pytest.raises(CheckpointError, match=r"asks Python for 'timm\.models\.Thing'"):
        load_generator(path)


def test_dangerous_names_beside_a_stylegan_xl_are_refused(tmp_path: Path) -> None:
    content = (GOLDEN / "xl_super64.pkl").read_bytes()
    assert b"cbuiltins\ngetattr\n" in content
    # As long as before, because protocol 4 counts bytes.
    path = write(tmp_path, content.replace(b"cbuiltins\ngetattr\n", b"cposix\nsystem    \n"))
    with pytest.raises(CheckpointError, match=r"asks Python for 'posix.system.*nothing was run"):
        load_generator(path)


def test_whole_networks_with_unknown_names_are_not_used(tmp_path: Path) -> None:
    original = torch.load(GOLDEN / "rosinality32.pt", weights_only=True)
    torch.save({**original, "opts": Payload(os.system, "true")}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"system.*nothing was run"):
        load_generator(tmp_path / "model.pt")


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("readme.txt", "hello")
    cases = {
        "is empty": b"",
        "a web page": b"\n<!DOCTYPE html><html>Quota exceeded</html>",
        "a text file": b"this is not a model\n",
        "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        "a gzip archive": b"\x1f\x8b\x08\x00 ...",
        "full of zeros": bytes(1000),
        "of a known kind": bytes(range(200, 256)),
        "a zip archive of 'readme.txt'": archive.getvalue(),
    }
    for words, content in cases.items():
        with pytest.raises(CheckpointError, match=words):
            load_generator(write(tmp_path, content))
    with pytest.raises(CheckpointError, match="there is no model file"):
        load_generator(tmp_path / "missing.pkl")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_generator(tmp_path)
    torch.save({"d": {"final_conv.0.weight": torch.zeros(3)}}, tmp_path / "d.pt")
    with pytest.raises(CheckpointError, match="a discriminator alone"):
        load_generator(tmp_path / "d.pt")
    torch.save({"layer1.weight": torch.zeros(3)}, tmp_path / "resnet.pt")
    with pytest.raises(CheckpointError, match=r"'layer1.weight', no StyleGAN2 generator"):
        load_generator(tmp_path / "resnet.pt")
    save_file({"layer1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="a safetensors file of another network"):
        load_generator(tmp_path / "other.safetensors")


def test_compressed_archives_are_refused(tmp_path: Path) -> None:
    """A few kilobytes of zip can hold gigabytes of zeros; torch itself stores without compression."""
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", pickled({}))
        archive.writestr("model/data/0", bytes(10_000_000))
    with pytest.raises(CheckpointError, match="compressed zip archive"):
        load_generator(tmp_path / "bomb.pt")


@pytest.mark.parametrize("change", ["numel", "cut", "key"])
def test_legacy_files_whose_storages_do_not_fit_are_refused(change: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"g_ema": {"a": torch.full((300,), 7.0)}}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    numel = (300).to_bytes(8, "little")
    at = content.index(numel + torch.tensor(7.0).numpy().tobytes())
    match change:
        case "numel":
            content = content[:at] + (301).to_bytes(8, "little") + content[at + 8 :]
        case "cut":
            content = content[:-4]
        case "key":
            key = content[: at - 2].rindex(b"X") + 5  # in the list of storages, just before the first
            content = content[:key] + b"#" + content[key + 1 :]
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="in the middle of a tensor" if change != "key" else "does not fit"):
        load_generator(path)


class Payload:
    """What an attacker writes: `pickle.load` would run it."""

    def __init__(self, function: object, *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.args


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_payloads_are_refused_by_name_and_not_run(protocol: int, tmp_path: Path) -> None:
    sign = tmp_path / "owned"
    payloads = {
        f"{os.name}.system": Payload(os.system, f"touch {sign}"),
        "eval": Payload(eval, f"open({str(sign)!r}, 'w')"),
        "exec": Payload(exec, f"open({str(sign)!r}, 'w')"),
        "getattr": Payload(getattr, "", "join"),
        "open": Payload(open, str(sign), "w"),
        "pickle.loads": Payload(pickle.loads, pickle.dumps(Payload(os.system, f"touch {sign}"))),
    }
    for name, payload in payloads.items():
        for content in (payload, {"G_ema": payload}, [1, {"x": (payload,)}]):
            path = write(tmp_path, pickle.dumps(content, protocol=protocol))
            with pytest.raises(CheckpointError, match=name.removeprefix("posix.")) as caught:
                load_generator(path)
            assert "nothing was run" in str(caught.value)
    torch.save({"g_ema": payloads["eval"]}, tmp_path / "zip.pt")
    torch.save({"g_ema": payloads["eval"]}, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    for name in ("zip.pt", "legacy.pt"):
        with pytest.raises(CheckpointError, match="eval"):
            load_generator(tmp_path / name)
    assert not sign.exists()


def test_source_in_a_file_is_not_run(tmp_path: Path) -> None:
    content = (GOLDEN / "nvidia_cond32.pkl").read_bytes()
    assert content.count(b"# removed") == 1
    path = write(tmp_path, content.replace(b"# removed", b"1 / 0    "))
    assert load_generator(path).num_ws == 8


# What is damaged.


@pytest.mark.parametrize("change", ["missing", "shape", "extra", "nan", "clamp", "z_dim"])
def test_networks_that_are_not_whole_are_refused(change: str, tmp_path: Path) -> None:
    state = random_state(TINY, seed=1)
    described: dict[str, object] = {}
    name = "synthesis.b8.conv1.affine.weight"
    words = {
        "missing": f"lacks {name}",
        "shape": rf"{name} has the shape \(5, 8\) instead of \(4, 8\)",
        "extra": "holds synthesis.b8.attention, which",
        "nan": f"{name} holds values that are not finite",
        "clamp": "its clamp is -1.0",
        "z_dim": "it says z_dim = 9, but its tensors have 8",
    }
    match change:
        case "missing":
            del state[name]
        case "shape":
            state[name] = torch.zeros(5, 8)
        case "extra":
            state["synthesis.b8.attention"] = torch.zeros(2, 2)
        case "nan":
            state[name][1, 2] = torch.nan
        case "clamp":
            described = {"conv_clamp": -1}
        case "z_dim":
            described = {"z_dim": 9}
    path = tmp_path / "model.safetensors"
    save_file(state, path, metadata={"stylegan2": json.dumps(described)})
    with pytest.raises(CheckpointError, match=words[change]):
        load_generator(path)


@pytest.mark.parametrize("name", [*FILES, "own.safetensors"])
def test_damaged_files_raise_nothing_but_a_checkpoint_error(name: str, tmp_path: Path) -> None:
    source = tiny(tmp_path / name) if name == "own.safetensors" else GOLDEN / name
    content, stream = source.read_bytes(), random.Random(4)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        near_an_end = stream.choice([0, max(0, len(content) - 4000)])
        for _ in range(stream.choice([1, 1, 3, 10])):
            damaged[near_an_end + stream.randrange(min(4000, len(content) - near_an_end))] = stream.randrange(256)
        if stream.random() < 0.3:
            del damaged[stream.randrange(len(damaged)) :]
        path = write(tmp_path, damaged, f"damaged{source.suffix}")
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            refused += 1
            assert str(path) in str(error) and str(error).isprintable()
        path.unlink()
    assert refused > 20
    for length in (1, 3, 17, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(CheckpointError):
            read_checkpoint(write(tmp_path, content[:length], f"short{source.suffix}"))
