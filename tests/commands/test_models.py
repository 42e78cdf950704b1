"""Every kind of model file, through the command line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from support import GOLDEN

from audioreactive.patches.presets import load_preset, network_presets
from audioreactive.patches.randomizer import random_patch
from audioreactive.patches.wild import Wild
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


def test_latents_and_pictures_are_not_taken_for_models(call, tmp_path) -> None:
    np.savez(tmp_path / "a.npz", w=np.zeros((1, 14, 64), np.float32))
    np.save(tmp_path / "a.npy", np.zeros(3))
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    for name, words in (("a.npz", "imported into palettes"), ("a.npy", "imported into palettes"), ("a.png", "picture")):
        told = call("model", "inspect", tmp_path / name)
        assert told.code == 2 and words in told.err and "not a model: give" in told.err


def test_directions_are_shown(call, tmp_path) -> None:
    out = tmp_path / "sheet.png"
    result = call("directions", GOLDEN / "sg3_t32.pkl", "--count", 3, "--method", "ganspace", "-o", out)
    assert result.code == 0 and out.is_file(), result.err
    with Image.open(out) as sheet:  # tiles of 32 pixels are enlarged, or labels would cover them
        assert sheet.width > 7 * 128 and sheet.height > 3 * 128
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


WEIGHTS = (
    "schema = 1\n[palette]\nseeds = [1, 2]\n[latents]\nbase = [0, 1]\n[noise]\nseeds = [1]\nbase = [0]\n"
    '[[weights]]\n{what}\nenvelope = {{ feature = "rms" }}\n'
)


@pytest.fixture
def second(tmp_path):
    """A second model of the architecture of nvidia_skip64.pkl, in a folder of its own."""
    from stylegan_ops.checkpoint import read_checkpoint, save_checkpoint

    checkpoint = read_checkpoint(GOLDEN / "nvidia_skip64.pkl")
    path = tmp_path / "models" / "b.safetensors"
    path.parent.mkdir()
    state = {name: values if values.ndim < 2 else values.flip(-1) for name, values in checkpoint.state.items()}
    save_checkpoint(type(checkpoint)(checkpoint.format, checkpoint.architecture, state, None, ()), path)
    return path


@pytest.mark.usefixtures("quick_workers")
def test_weights_move_in_one_process_and_in_several_and_the_video_names_the_file(call, song, tmp_path, second) -> None:
    preset, first, again = tmp_path / "a.toml", tmp_path / "a.mkv", tmp_path / "b.mkv"
    preset.write_text(WEIGHTS.format(what='toward = "b.safetensors"'))
    options = ("--model", GOLDEN / "nvidia_skip64.pkl", "--duration", 1, "--chunk", 0.5, "--batch", 2)
    result = call("render", song, "--preset", preset, "--with", second, *options, "-o", first)
    assert result.code == 0, result.err
    beside = tmp_path / "b.safetensors"
    beside.write_bytes(second.read_bytes())
    result = call("render", song, "--preset", preset, *options, "--workers", 2, "-o", again)
    assert result.code == 0, result.err
    assert digest_of_frames(first) == digest_of_frames(again)
    carried = load_preset(str(first)).patch.weights[0]
    assert carried.sha256 is not None and carried.toward == "b.safetensors"
    plain = tmp_path / "c.mkv"
    preset.write_text(WEIGHTS.partition("[[weights]]")[0])
    assert call("render", song, "--preset", preset, *options, "-o", plain).code == 0
    assert digest_of_frames(plain) != digest_of_frames(first)


def digest_of_frames(path) -> str:
    from hashlib import sha256

    from audioreactive.video.reader import read_frames

    digest = sha256()
    for frame in read_frames(path):
        digest.update(frame.tobytes())
    return digest.hexdigest()


def test_the_job_of_a_render_knows_the_second_model(second) -> None:
    from audioreactive.generators.sources import ModelFile, WeightedSource, WeightFile

    base = ModelFile.at(GOLDEN / "nvidia_skip64.pkl")
    digests = {base.sha256}
    for kind, file in (("toward", second), ("toward", base.path), ("edits", second)):
        digests.add(WeightedSource(base, (WeightFile(kind, "b.safetensors", ModelFile.at(file)),)).sha256)
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("what", "content", "words"),
    [
        ('toward = "b.pkl"', None, "give it with --with"),
        ('toward = "b.pkl"', b"\x80\x02cos\nsystem\n(S'touch hacked'\ntR.", "b.pkl"),
        ('toward = "b.pkl"', b"", "empty"),
        ('edits = "b.pkl"', b"\x00" * 100, "no file of edits"),
        ('edits = "b.pkl"', "of another", "which this model does not have"),
        ('toward = "../b.pkl"', None, "weights.0.toward"),
    ],
)
def test_weights_that_cannot_be_used_are_a_sentence(call, song, tmp_path, what, content, words) -> None:
    preset = tmp_path / "a.toml"
    preset.write_text(WEIGHTS.format(what=what))
    if content == "of another":
        save_file({"nothing.out": torch.ones(3), "nothing.in": torch.ones(4)}, tmp_path / "b.pkl")
    elif content is not None:
        (tmp_path / "b.pkl").write_bytes(content)
    before = sorted(tmp_path.iterdir())
    model = GOLDEN / "nvidia_skip64.pkl"
    result = call("render", song, "--preset", preset, "--model", model, "-o", tmp_path / "a.mp4")
    assert result.code == 2 and words in result.err and "Traceback" not in result.err
    assert len(result.err.strip().splitlines()) <= 3
    assert sorted(tmp_path.iterdir()) == before


def test_wild_presets_are_written_and_rendered(call, song, tmp_path) -> None:
    out = tmp_path / "a.toml"
    assert call("preset", "new", "--seed", 4, "--wild", "-o", out).code == 0
    assert load_preset(str(out)).patch == Wild()(random_patch(4), 4)
    model = GOLDEN / "sg3_t32.pkl"
    assert "[[camera.moves]]" in call("preset", "new", "--seed", 4, "--wild", "--model", model).out
    video = tmp_path / "a.mp4"
    result = call("render", song, "--seed", 4, "--wild", "--model", model, "--duration", 0.3, "-o", video)
    assert result.code == 0, result.err
    drawn = load_preset(str(video)).patch
    assert drawn.camera is not None and drawn.bends == Wild()(random_patch(4), 4).bends
    calm = ("--wild", "--size", "64x64", "--duration", 0.3)
    painted = call("render", song, "--seed", 4, *calm, "-o", tmp_path / "b.mp4")
    assert painted.code == 0 and "--wild changes nothing" in painted.err
    assert call("render", song, "--preset", out, "--wild", "-o", tmp_path / "c.mp4").code == 2
    assert call("preset", "new", "--preset", out, "--wild").code == 2


def test_sync_and_pack_find_the_weights_beside_the_video(call, song, tmp_path, second) -> None:
    preset, video = tmp_path / "a.toml", tmp_path / "out" / "a.mkv"
    video.parent.mkdir()
    preset.write_text(WEIGHTS.format(what='toward = "b.safetensors"'))
    model = ("--model", GOLDEN / "nvidia_skip64.pkl")
    common = ("--preset", preset, "--with", second, *model, "--fps", 12, "--duration", 2, "-o", video)
    made = call("render", song, *common)
    assert made.code == 0, made.err
    lacking = "[[weights]] need the file 'b.safetensors'"
    assert lacking in call("sync", video, *model).err
    given = call("sync", video, *model, "--with", second)
    assert lacking not in given.err + given.out and given.code in (0, 1, 3)
    refused = call("pack", video, "--recipe", "--song", song, *model)
    assert refused.code == 2 and lacking in refused.err
    packed = call("pack", video, "--recipe", "--song", song, *model, "--with", second)
    assert packed.code == 0, packed.err
    again = tmp_path / "again.mp4"
    assert lacking in call("unpack", video.with_suffix(".arc"), *model, "-o", again).err
    (video.parent / "b.safetensors").write_bytes(second.read_bytes())
    beside = call("sync", video, *model)
    assert lacking not in beside.err + beside.out
    unpacked = call("unpack", video.with_suffix(".arc"), *model, "-o", again)
    assert unpacked.code == 0, unpacked.err
    assert "the frames are the same" in unpacked.out


def test_a_second_model_that_no_preset_names_is_told(call, song, tmp_path, second) -> None:
    options = ("--preset", "pulse", "--with", second, "--model", GOLDEN / "nvidia_skip64.pkl", "--duration", 0.5)
    made = call("render", song, *options, "-o", tmp_path / "a.mp4")
    assert made.code == 0 and f"note: --with {second} changes nothing" in made.err
