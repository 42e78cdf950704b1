"""`python -m fuzz.seeds`: the corpus, small and valid files of every kind that is read."""

from __future__ import annotations

import io
import json
import lzma
import pickle
import shutil
import subprocess
import tempfile
from collections import OrderedDict
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import safetensors.numpy
import soundfile
import torch

from audioreactive.codec.container import write_archive
from audioreactive.codec.grids import GridNetwork, Layout
from audioreactive.codec.network import described, sections_of
from audioreactive.codec.quantise import compressed, packed
from audioreactive.codec.recipe import THUMB
from audioreactive.codec.siren import student
from audioreactive.learn.generators import KINDS
from audioreactive.learn.model_file import Configuration, SynthesizerNetwork, embeddable, write_model
from audioreactive.media.ffmpeg import ffmpeg_path
from audioreactive.patches.preset import MadeWith, RenderDefaults, preset_of
from audioreactive.patches.presets import preset_text, shipped_presets
from audioreactive.patches.randomizer import draw_around, random_patch
from audioreactive.patches.schema import Hippo
from audioreactive.video import VideoSettings, VideoWriter
from fuzz import arguments as fuzz_arguments
from fuzz import folders as fuzz_folders
from fuzz.targets import CORPUS
from stylegan_ops.architecture import Architecture
from stylegan_ops.checkpoint import Checkpoint, save_checkpoint
from stylegan_ops.initial import random_state
from stylegan_ops.stylegan1.architecture import StyleGAN1Architecture
from stylegan_ops.stylegan3.design import Plan
from stylegan_ops.stylegan3.initial import planned
from stylegan_ops.stylegan3.initial import random_state as alias_free_state

if TYPE_CHECKING:
    from torch import Tensor

TINY: Final = Architecture(z_dim=2, w_dim=2, mapping_features=(2,), channels=(1, 1))
RATE: Final = RenderDefaults(fps="24000/1001")
LEAST: Final = "schema = 1\n[palette]\nseeds = [1]\n[latents]\nbase = [0]\n[noise]\nseeds = [1]\nbase = [0]\n"
MEDIA: Final = {
    "mp3": ("-c:a", "libmp3lame", "-b:a", "32k"),
    "ogg": ("-c:a", "libvorbis"),
    "opus": ("-c:a", "libopus", "-b:a", "16k"),
    "m4a": ("-c:a", "aac", "-b:a", "32k"),
    "aac": ("-c:a", "aac", "-b:a", "32k"),
    "mka": ("-c:a", "pcm_s16le"),
    "wv": ("-c:a", "wavpack"),
    "tta": ("-c:a", "tta"),
    "oga": ("-c:a", "flac"),
    "ac3": ("-c:a", "ac3", "-ar", "32000", "-b:a", "64k"),
    "eac3": ("-c:a", "eac3", "-ar", "32000", "-b:a", "64k"),
    "wma": ("-c:a", "wmav2", "-ar", "22050", "-b:a", "32k"),
    "flv": ("-c:a", "libmp3lame", "-ar", "22050", "-b:a", "32k"),
    "avi": ("-c:a", "pcm_s16le"),
    "ts": ("-c:a", "aac", "-b:a", "32k"),
    "mpg": ("-c:a", "mp2", "-ar", "32000", "-ac", "1", "-b:a", "32k"),
}
"""Sounds that ffmpeg reads, by extension: the encoder's arguments."""


class Name:
    """Pickles as a name that cannot be imported here."""

    def __init__(self, name: str) -> None:
        self.name = name


class Call:
    """Pickles as a call of such a name."""

    def __init__(self, name: str, *arguments: object, state: object = None) -> None:
        self.name, self.arguments, self.state = name, arguments, state


_PythonPickler: Any = getattr(pickle, "_Pickler")  # noqa: B009  # the one in C looks names up


class Pickler(_PythonPickler):  # type: ignore[misc]
    """Writes names and calls without having them."""

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        """Write an object."""
        if isinstance(obj, Name):
            module, _, name = obj.name.rpartition(".")
            self.write(f"c{module}\n{name}\n".encode())
        elif isinstance(obj, Call):
            self.save(Name(obj.name))
            self.save(obj.arguments)
            self.write(b"R")
            if obj.state is not None:
                self.save(obj.state)
                self.write(b"b")
        else:
            super().save(obj, save_persistent_id)


def pickled(obj: object) -> bytes:
    """A pickle of protocol 2, as NVIDIA's programs write them."""
    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(obj)
    return buffer.getvalue()


# Models.


def nvidia(state: dict[str, Tensor]) -> bytes:
    """StyleGAN2-ADA for PyTorch: modules that hold modules."""
    root: dict[str, Any] = {}
    for name, tensor in state.items():
        *path, last = name.split(".")
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node[last] = tensor
    return pickled({"G_ema": _module(root, z_dim=2, w_dim=2, c_dim=0, img_resolution=8)})


def _module(tree: dict[str, Any], **attributes: object) -> Call:
    tensors = {name: _tensor(value) for name, value in tree.items() if not isinstance(value, dict)}
    modules = {name: _module(value) for name, value in tree.items() if isinstance(value, dict)}
    state = {"_parameters": tensors, "_buffers": {}, "_modules": modules, **attributes}
    meta = {"type": "class", "version": 6, "module_src": "", "class_name": "G", "state": state}
    return Call("torch_utils.persistence._reconstruct_persistent_obj", meta)


def _tensor(value: Tensor) -> Call:
    buffer = io.BytesIO()
    typed: Any = torch.storage.TypedStorage
    storage = typed(wrap_storage=value.clone().untyped_storage(), dtype=value.dtype, _internal=True)
    torch.save(storage, buffer, _use_new_zipfile_serialization=False)
    loaded = Call("torch.storage._load_from_bytes", buffer.getvalue())
    return Call("torch._utils._rebuild_tensor_v2", loaded, 0, tuple(value.shape), value.stride(), False, OrderedDict())


def tensorflow(state: dict[str, Tensor]) -> bytes:
    """StyleGAN2 for TensorFlow: three networks with lists of variables."""
    mapping = [("Dense0/weight", state["mapping.fc0.weight"].T), ("Dense0/bias", state["mapping.fc0.bias"])]
    synthesis = [("4x4/Const/const", state["synthesis.b4.const"][None])]
    for number, (layer, name) in enumerate(
        (("b4.conv1", "4x4/Conv"), ("b8.conv0", "8x8/Conv0_up"), ("b8.conv1", "8x8/Conv1"))
    ):
        synthesis += [(f"noise{number}", state[f"synthesis.{layer}.noise_const"][None, None])]
        synthesis += [(f"{name}/noise_strength", state[f"synthesis.{layer}.noise_strength"])]
        synthesis += _tf_layer(state, layer, name)
    for layer, name in (("b4.torgb", "4x4/ToRGB"), ("b8.torgb", "8x8/ToRGB")):
        synthesis += _tf_layer(state, layer, name)
    static = {"latent_size": 2, "resolution": 8, "resample_kernel": [1, 3, 3, 1], "fmap_max": 1}
    parts = {"mapping": _network(mapping), "synthesis": _network(synthesis)}
    whole = _network([("dlatent_avg", state["mapping.w_avg"])], static_kwargs=static, components=parts)
    return pickled((None, None, whole))


def _tf_layer(state: dict[str, Tensor], layer: str, name: str) -> list[tuple[str, Tensor]]:
    tensors = {key: state[f"synthesis.{layer}.{key}"] for key in ("weight", "bias", "affine.weight", "affine.bias")}
    weight = tensors["weight"].permute(2, 3, 1, 0)
    return [
        (f"{name}/weight", weight), (f"{name}/bias", tensors["bias"]),
        (f"{name}/mod_weight", tensors["affine.weight"].T), (f"{name}/mod_bias", tensors["affine.bias"] - 1),
    ]  # fmt: skip


def _network(variables: list[tuple[str, Tensor]], **more: object) -> Call:
    arrays = [(name, tensor.numpy().copy(order="C")) for name, tensor in variables]
    state = {"version": 4, "name": "G", "static_kwargs": {}, "components": {}, "variables": arrays, **more}
    return Call("dnnlib.tflib.network.Network", state=state)


def rosinality(state: dict[str, Tensor]) -> dict[str, object]:
    """The names of rosinality's network."""
    g: dict[str, Tensor] = {
        "style.1.weight": state["mapping.fc0.weight"], "style.1.bias": state["mapping.fc0.bias"],
        "input.input": state["synthesis.b4.const"][None],
    }  # fmt: skip
    for number, (layer, name) in enumerate((("b4.conv1", "conv1"), ("b8.conv0", "convs.0"), ("b8.conv1", "convs.1"))):
        prefix = f"synthesis.{layer}"
        g[f"{name}.conv.weight"] = state[f"{prefix}.weight"][None]
        g[f"{name}.conv.modulation.weight"] = state[f"{prefix}.affine.weight"]
        g[f"{name}.conv.modulation.bias"] = state[f"{prefix}.affine.bias"]
        g[f"{name}.activate.bias"] = state[f"{prefix}.bias"]
        g[f"{name}.noise.weight"] = state[f"{prefix}.noise_strength"].reshape(1)
        g[f"noises.noise_{number}"] = state[f"{prefix}.noise_const"][None, None]
    for layer, name in (("b4.torgb", "to_rgb1"), ("b8.torgb", "to_rgbs.0")):
        prefix = f"synthesis.{layer}"
        g[f"{name}.conv.weight"] = state[f"{prefix}.weight"][None]
        g[f"{name}.conv.modulation.weight"] = state[f"{prefix}.affine.weight"]
        g[f"{name}.conv.modulation.bias"] = state[f"{prefix}.affine.bias"]
        g[f"{name}.bias"] = state[f"{prefix}.bias"].reshape(1, 3, 1, 1)
    return {"g_ema": {name: tensor.clone() for name, tensor in g.items()}, "latent_avg": state["mapping.w_avg"]}


def models(folder: Path) -> None:
    """The smallest network in every format."""
    state = random_state(TINY, seed=1)
    save_checkpoint(Checkpoint("seed", TINY, state, "a note", ()), folder / "own.safetensors")
    (folder / "nvidia.pkl").write_bytes(nvidia(state))
    (folder / "tensorflow.pkl").write_bytes(tensorflow(state))
    torch.save(rosinality(state), folder / "rosinality.pt")
    torch.save(rosinality(state), folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(
        {"state_dict": {name: tensor for name, tensor in state.items() if "w_avg" not in name}}, folder / "dict.pt"
    )
    _alias_free(folder)
    stylegan1 = StyleGAN1Architecture(z_dim=2, w_dim=2, mapping_features=(2,), channels=(2, 1), lod=0.5)
    draw = torch.Generator().manual_seed(1)
    weights = {name: torch.randn(shape, generator=draw) for name, shape in stylegan1.shapes().items()}
    save_checkpoint(Checkpoint("seed", stylegan1, weights, None, ()), folder / "stylegan1.safetensors")


def _alias_free(folder: Path) -> None:
    """The smallest StyleGAN3, as our own file and as a state dict."""
    plan = Plan(16, channel_base=64, channel_max=2, num_layers=3, num_critical=1)
    architecture = planned(plan, z_dim=2, w_dim=2, mapping_layers=1)
    state = alias_free_state(architecture, plan, seed=1)
    save_checkpoint(Checkpoint("seed", architecture, state, None, ()), folder / "stylegan3.safetensors")
    torch.save(state, folder / "stylegan3.pt", _use_new_zipfile_serialization=False)


def synthesizers(folder: Path) -> None:
    """The smallest synthesizer of every kind."""
    for kind in KINDS:
        torch.manual_seed(1)
        write_model(SynthesizerNetwork(Configuration(kind=kind, hidden=1, depth=1)), folder / f"{kind}.safetensors")


# The other targets.


def presets(folder: Path) -> None:
    """Drawn ones, shipped ones, those with synthesizers, and the least."""
    with tempfile.TemporaryDirectory() as made:
        synthesizers(Path(made))
        trained = embeddable(Path(made) / "transformer.safetensors", 7)
    for name, synthesizer in (
        ("hippo", Hippo(kind="hippo", name="it", coefficients=8, steps=1, weights={"onsets": 10.0})),
        ("trained", trained),
    ):
        (folder / f"{name}.toml").write_text(preset_text(preset_of(draw_around(synthesizer, 1), render=RATE)), "utf-8")
    (folder / "least.toml").write_text(LEAST, "utf-8")
    for name, path in shipped_presets().items():
        if path.stat().st_size < 4096:
            (folder / f"{name}.toml").write_bytes(path.read_bytes())
    drawn = (preset_of(random_patch(seed), made_with=MadeWith(seed=seed), render=RATE) for seed in range(1000))
    texts = (text for text in map(preset_text, drawn) if len(text) < 4096)
    for number, text in enumerate(islice(texts, 3)):
        (folder / f"drawn{number}.toml").write_text(text, "utf-8")


def audio(folder: Path) -> None:
    """A twentieth of a second in every container."""
    tone = 0.3 * np.sin(np.arange(400) * 0.3)
    for name, kind, subtype in (
        ("plain.wav", "WAV", "PCM_16"), ("float.wav", "WAV", "FLOAT"), ("extended.wav", "WAVEX", "PCM_24"),
        ("long.wav", "RF64", "PCM_16"), ("w64.w64", "W64", "PCM_16"), ("a.aiff", "AIFF", "PCM_16"),
        ("a.au", "AU", "PCM_16"), ("a.caf", "CAF", "PCM_16"), ("a.flac", "FLAC", "PCM_16"),
    ):  # fmt: skip
        soundfile.write(folder / name, np.stack([tone, -tone], axis=1), 8000, format=kind, subtype=subtype)
    for extension, encoder in MEDIA.items():
        arguments = ["-v", "error", "-y", "-i", str(folder / "plain.wav"), *encoder, str(folder / f"a.{extension}")]
        subprocess.run([str(ffmpeg_path()), *arguments], check=True)
    two = ["-i", str(folder / "a.wv"), "-i", str(folder / "a.mp3"), "-map", "0:a", "-map", "1:a", "-c", "copy"]
    subprocess.run([str(ffmpeg_path()), "-v", "error", "-y", *two, str(folder / "tracks.mka")], check=True)
    for extension, other in (("ogg", "opus"), ("flac", "flac"), ("mp3", "mp3"), ("aac", "aac")):
        parts = (folder / f"a.{extension}", folder / f"a.{other}")
        (folder / f"joined.{extension}").write_bytes(b"".join(part.read_bytes() for part in parts))
    plain = (folder / "plain.wav").read_bytes()
    (folder / "unfinished.wav").write_bytes(plain[:40] + bytes(4) + plain[44:])
    aiff = (folder / "a.aiff").read_bytes()
    (folder / "unfinished.aiff").write_bytes(aiff[:4] + bytes(4) + aiff[8:42] + bytes(4) + aiff[46:])
    surround = np.stack([tone] * 6, axis=1)
    soundfile.write(folder / "surround.wav", surround, 8000, format="WAV", subtype="PCM_16")


def videos(folder: Path) -> None:
    """Three frames with a preset, in every container."""
    for extension in ("mp4", "mkv", "mov", "webm"):
        with VideoWriter(
            folder / f"a.{extension}",
            VideoSettings(fps=Fraction(24), size=(16, 16)),
            frame_size=(16, 16),
            sound=None,
            preset=LEAST,
        ) as file:
            file.write(np.zeros((3, 16, 16, 3), np.uint8))


def metadata(folder: Path) -> None:
    """The two texts in a folder of frames; tags as ffmpeg prints them."""
    info = json.dumps({"fps": "24000/1001", "size": [16, 16], "frames": 1}).encode()
    (folder / "folder").write_bytes(info + b"\0" + LEAST.encode())
    escaped = LEAST.replace("=", "\\=").replace("\n", "\\\n")
    (folder / "tags").write_bytes(
        b";FFMETADATA1\ntitle=a\ncomment=\\# audioreactive preset\\\n" + escaped.encode() + b"\n"
    )


def sync(folder: Path) -> None:
    """A second of strokes that are seen and heard, in two containers; and the two texts in a folder of frames."""
    tone = folder / "tone.wav"
    frames = np.zeros((26, 16, 16, 3), np.uint8)
    sound = np.zeros(26 * 500, np.float32)
    for frame in (3, 7, 9, 14, 17, 23):
        frames[frame] = 200
        sound[frame * 500 : frame * 500 + 200] = 0.5
    soundfile.write(tone, sound, 12000)
    settings = VideoSettings(fps=Fraction(24), size=(16, 16))
    with VideoWriter(
        folder / "a.mp4", settings, frame_size=(16, 16), sound=tone, duration=Fraction(26, 24), preset=LEAST
    ) as file:
        file.write(frames)
    other = ["-i", str(folder / "a.mp4"), "-c:v", "copy", "-c:a", "libopus", "-b:a", "16k", str(folder / "a.mkv")]
    subprocess.run([str(ffmpeg_path()), "-v", "error", "-y", *other], check=True)
    tone.unlink()
    info = json.dumps({"fps": "24", "size": [16, 16], "frames": 48}).encode()
    (folder / "folder").write_bytes(info + b"\0" + LEAST.encode())


def folders(folder: Path) -> None:
    """Work folders as renders leave them, and with what archives may hold."""
    for name, data in fuzz_folders.seeds().items():
        (folder / name).write_bytes(data)


def arguments(folder: Path) -> None:
    """Calls that people make."""
    for name, data in fuzz_arguments.seeds().items():
        (folder / name).write_bytes(data)


def latents(folder: Path) -> None:
    """Latents as projectors and encoders write them."""
    ws = np.random.RandomState(0).randn(2, 3, 4).astype(np.float32)
    np.save(folder / "whole.npy", ws)
    np.save(folder / "turned.npy", np.asfortranarray(ws[0].astype(np.float64)))
    np.savez(folder / "stored.npz", w=ws, noise=np.zeros(3), names=np.array(["a", "b"]))
    np.savez_compressed(folder / "deflated.npz", projected_w=ws.astype(np.float16))
    torch.save({"a.png": {"latent": torch.from_numpy(ws[0])}}, folder / "encoder.pt")
    (folder / "array.pkl").write_bytes(pickle.dumps({"w": ws}))
    safetensors.numpy.save_file({"w": ws}, folder / "sidecar.safetensors")


def clips(folder: Path) -> None:
    """Packed clips of each kind; the thesis' network has no weights but 0, which xz makes short."""
    picture = {"fps": "8", "frames": 10, "height": 6, "width": 9}
    draw = torch.Generator().manual_seed(0)
    for name, every in (("moving", 4), ("grids", 0)):
        network = GridNetwork(Layout(10, (9, 6), every), hidden=4)
        for parameter in network.parameters():
            parameter.data.normal_(0, 1.5, generator=draw)
        header: dict[str, Any] = {"kind": "network", "network": described(network), "picture": picture}
        write_archive(folder / f"{name}.arc", header, sections_of(network))
    header["sound"] = {"suffix": ".opus"}
    write_archive(folder / "sounding.arc", header, {**sections_of(network), "sound": b"OggS"})
    silent = {name: torch.zeros_like(value) for name, value in student(0).state_dict().items()}
    header = {"kind": "seed", "picture": picture, "seed": {"bits": 8, "network": "student"}}
    header["sound"] = {"peak": 0.5, "rate": 8000, "samples": 99}
    write_archive(folder / "seed.arc", header, {"weights": compressed(packed(silent, 8))})
    told = {"frames": [0, 9], "kernels": "painter", "model": {"name": "painter", "sha256": "00"},
            "sha256": ["00", "11"], "start": "0"}  # fmt: skip
    header = {"kind": "recipe", "picture": picture, "recipe": told, "sound": {"suffix": ".wav"}}
    width, height = THUMB
    thumbs = bytes(2 * 3 * width * height)
    write_archive(
        folder / "recipe.arc", header, {"recipe": lzma.compress(LEAST.encode()), "song": b"", "thumbs": thumbs}
    )


def main() -> None:
    """Write the corpus anew."""
    for make in (presets, models, synthesizers, latents, audio, videos, clips, metadata, sync, folders, arguments):
        with tempfile.TemporaryDirectory() as made:
            make(Path(made))
            shutil.rmtree(CORPUS / make.__name__, ignore_errors=True)
            shutil.copytree(made, CORPUS / make.__name__)
    size = sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file())
    print(f"{CORPUS}: {size} bytes")


if __name__ == "__main__":
    main()
