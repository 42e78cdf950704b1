"""Cameras and bends: from a patch to what a generator is given, and what it makes of it."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from second_backend import Discs
from support import GOLDEN, make_features

from audioreactive.errors import PresetError, RenderError
from audioreactive.generators import open_generator
from audioreactive.generators.moves import Moves
from audioreactive.patches.knobs import Knobs
from audioreactive.patches.motion import Fed, motion
from audioreactive.patches.move_schema import Camera
from audioreactive.patches.moves import camera_path, inverse_transforms
from audioreactive.patches.presets import parse_preset, preset_text
from audioreactive.patches.randomizer import random_patch
from audioreactive.rendering.renderer import iter_frames
from stylegan_ops.bending import IDENTITY
from stylegan_ops.bending import Bend as BendOf

if TYPE_CHECKING:
    from audioreactive.patches.schema import Patch

HEAD = """
schema = 1
[palette]
seeds = [1, 2, 3]
[latents]
base = [0, 1]
[noise]
seeds = [1]
base = [0]
"""


def patch(text: str = "") -> Patch:
    return parse_preset(HEAD + text, "test").patch


def generator(name: str):
    return open_generator(GOLDEN / name, device="cpu", precision="fp32").generator


def onsets_at(*frames: int, count: int = 48) -> np.ndarray:
    values = np.zeros(count, np.float32)
    values[list(frames)] = 1
    return values


def rendered(patch: Patch, name: str, features) -> np.ndarray:
    network = generator(name)
    return np.concatenate(list(iter_frames(network, motion(patch, features).on(network), batch=4)))


DRUM = """
[[bends]]
transform = "{transform}"
layer = {layer}
envelope = {{ feature = "onsets" }}
high = {high}
share = {share}
"""


@pytest.mark.parametrize("name", ["nvidia_skip64.pkl", "sg3_t32.pkl", "sg1_cond32.pkl", "nvidia_resnet32.pkl"])
def test_a_bend_driven_by_a_drum_changes_its_frames_and_no_other(name: str) -> None:
    """In sync with a lag of nothing: frames without a stroke are those without a bend, bit for bit."""
    features = make_features(2, onsets=onsets_at(5, 6, 23, 40))
    still = rendered(patch(), name, features)
    text = DRUM.format(transform="rotate", layer=0.4, high=40, share=0.5)
    bent = rendered(patch(text), name, features)
    changed = [frame for frame in range(48) if (bent[frame] != still[frame]).any()]
    assert changed == [5, 6, 23, 40]


IDENTITIES = "".join(
    f'[[bends]]\ntransform = "{name}"\nlayer = {layer}\nhigh = {high}\n{channels}\n'
    for name, layer, high, channels in [
        ("translate", 0, 0, ""), ("rotate", 0.2, 0, "share = 0.3"), ("scale", 0.4, 0, "cluster = 1"),
        ("flip", 0.5, 0, ""), ("erode", 0.6, 0, ""), ("dilate", 0.7, 0, ""), ("multiply", 0.8, 1, ""),
        ("threshold", 0.9, 0, ""), ("invert", 1, 0, ""), ("ablate", 1, 0, ""),
    ]
)  # fmt: skip


@pytest.mark.parametrize("name", ["nvidia_skip64.pkl", "sg3_t32.pkl"])
def test_bends_that_change_nothing_give_the_same_frames(name: str) -> None:
    features = make_features(0.5)
    np.testing.assert_array_equal(rendered(patch(IDENTITIES), name, features), rendered(patch(), name, features))


def test_clusters_are_of_channels_that_exist_and_differ() -> None:
    features = make_features(0.2)
    texts = [f'[[bends]]\ntransform = "ablate"\nhigh = 1\ncluster = {number}\nclusters = 3\n' for number in range(3)]
    pictures = [rendered(patch(text), "sg3_t32.pkl", features) for text in texts]
    assert all((one != other).any() for one, other in pairwise(pictures))
    np.testing.assert_array_equal(pictures[1], rendered(patch(texts[1]), "sg3_t32.pkl", features))


def test_clusters_are_kept_on_disk_by_model(tmp_path, monkeypatch) -> None:
    """The second time no picture is made for them; a damaged file counts as none."""
    from audioreactive.generators import moves

    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    found, text = [], '[[bends]]\ntransform = "ablate"\nhigh = 1\ncluster = 0\n'
    whole = moves.layer_clusters
    monkeypatch.setattr(moves, "layer_clusters", lambda *a: found.append(a) or whole(*a))
    first = rendered(patch(text), "nvidia_skip64.pkl", make_features(0.1))
    (kept,) = (tmp_path / "audioreactive" / "clusters").iterdir()
    np.testing.assert_array_equal(rendered(patch(text), "nvidia_skip64.pkl", make_features(0.1)), first)
    assert len(found) == 1
    kept.write_bytes(kept.read_bytes()[:-1])
    np.testing.assert_array_equal(rendered(patch(text), "nvidia_skip64.pkl", make_features(0.1)), first)
    assert len(found) == 2
    rendered(patch(text), "rosinality32.pt", make_features(0.1))
    assert len(found) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_transform_is_what_its_definition_says(dtype: torch.dtype) -> None:
    """Against a plain form; channels that are not chosen and samples at rest stay as they are, bit for bit."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, 12, 20, generator=draw).to(dtype).contiguous(memory_format=torch.channels_last)
    channels, unit = torch.tensor([1, 2, 5]), 20.0
    part = x[:2, channels].float()
    small, large = (torch.nn.functional.max_pool2d(part, 2 * r + 1, 1, r) for r in (1, 2))
    low = -torch.nn.functional.max_pool2d(-part, 3, 1, 1)
    rms = part.square().mean((2, 3), keepdim=True).sqrt()
    wanted = {
        ("dilate", 0.07): torch.lerp(small, large, 0.4),
        ("erode", 0.05): low,
        ("flip", 1.0): part.flip(-1),
        ("multiply", 2.5): 2.5 * part,
        ("ablate", 0.25): 0.75 * part,
        ("invert", 1.0): 2 * part.mean((2, 3), keepdim=True) - part,
        ("threshold", 0.5): torch.where(part.abs() < 0.5 * rms, 0.0, part),
        ("translate", 0.1): None,
        ("rotate", 180.0): part.flip(-1, -2),
    }
    for (name, amount), values in wanted.items():
        rest = IDENTITY[name]
        found = BendOf(name, (amount, amount, rest), channels)(x.clone(memory_format=torch.channels_last), unit)
        others = [at for at in range(6) if at not in channels.tolist()]
        assert torch.equal(found[2], x[2]) and torch.equal(found[:, others], x[:, others]), name
        chosen = found[:2, channels].float()
        tolerance = 1e-4 if dtype == torch.float32 else 0.05
        if name == "translate":
            torch.testing.assert_close(chosen[..., 2:], part[..., :-2], rtol=0, atol=tolerance)
        else:
            torch.testing.assert_close(chosen, values, rtol=0, atol=tolerance, msg=name)
        assert found.is_contiguous(memory_format=torch.channels_last)


def test_muted_bends_and_sections() -> None:
    features = make_features(2, onsets=onsets_at(5, 40))
    muted = DRUM.format(transform="invert", layer=0.5, high=1, share=1) + "muted = true\n"
    np.testing.assert_array_equal(
        rendered(patch(muted), "sg3_t32.pkl", features), rendered(patch(), "sg3_t32.pkl", features)
    )
    text = HEAD.replace("schema = 1", "schema = 2") + (
        "[[sections]]\nstart = 0\n[[sections]]\nstart = 1\n[[sections.patch.bends]]\n"
        'transform = "invert"\nhigh = 1\nenvelope = { feature = "onsets" }\n'
    )
    preset = parse_preset(text, "test")
    made = motion(preset.patch, features, sections=preset.sections)
    ((_, amounts),) = made.moves.bends
    assert not amounts[:24].any() and amounts[40] == 1 and amounts[:40].max() < 1


def test_a_preset_with_moves_is_written_and_read_again() -> None:
    text = (
        DRUM.format(transform="translate", layer=0.25, high=0.1, share=0.5)
        + '[[camera.moves]]\ntarget = "rotation"\nstrategy = "drift"\namount = 90\nbars = 4\n'
        + '[[camera.moves]]\ntarget = "zoom"\nstrategy = "envelope"\nenvelope = { feature = "bass.rms" }\nhigh = 0.5\n'
    )
    preset = parse_preset(HEAD + text, "test")
    again = parse_preset(preset_text(preset), "again")
    assert again.patch == preset.patch
    assert {"onsets", "bass.rms"} <= set(preset.patch.feature_names())
    plain = preset_text(parse_preset(HEAD, "test"))
    assert "bends" not in plain and "camera" not in plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[bends]]\ntransform = "melt"\nhigh = 1\n', "melt"),
        ('[[bends]]\ntransform = "flip"\n', "bends.0.high"),
        ('[[bends]]\ntransform = "flip"\nhigh = 1\nlow = 0\n', "low needs an envelope"),
        ('[[bends]]\ntransform = "flip"\nhigh = 1\nshare = 0.5\ncluster = 1\n', "give share or cluster"),
        ('[[bends]]\ntransform = "flip"\nhigh = 1\nenvelope = { feature = "chroma" }\n', "needs one envelope"),
        ('[[bends]]\ntransform = "flip"\nhigh = 1e9\n', "less than or equal to 720"),
        ('[[camera.moves]]\ntarget = "rotation"\nstrategy = "swing"\namount = 3\n', "either bars or seconds"),
        ('[[camera.moves]]\ntarget = "tilt"\nstrategy = "swing"\namount = 3\nbars = 1\n', "tilt"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(PresetError, match=words):
        patch(text)
    with pytest.raises(PresetError, match="there can be at most 32"):
        patch('[[bends]]\ntransform = "flip"\nhigh = 1\n' * 33)


CAMERA = '[[camera.moves]]\ntarget = "x"\nstrategy = "envelope"\nenvelope = { feature = "rms" }\nhigh = 0.2\n'


def test_generators_that_cannot_be_moved_say_so() -> None:
    features = make_features(0.5)
    bends = '[[bends]]\ntransform = "flip"\nhigh = 1\n'
    for text, network, words in (
        (bends, Discs(), r"\[\[bends\]\], and only the layers of a StyleGAN can be bent"),
        (CAMERA, Discs(), r"\[camera\], and only StyleGAN3"),
        (CAMERA, generator("nvidia_skip64.pkl"), r"\[camera\], and only StyleGAN3"),
    ):
        with pytest.raises(RenderError, match=words):
            motion(patch(text), features).on(network)
    fed = motion(random_patch(1), features).on(Discs()).frames(0, 2)
    assert isinstance(fed, Fed) and len(fed) == 2


def test_a_camera_follows_its_movements() -> None:
    rms = np.linspace(0, 1, 48, dtype=np.float32)
    features = make_features(2, rms=rms, tempo=120)
    camera = Camera.model_validate({
        "moves": [
            {"strategy": "envelope", "target": "x", "envelope": {"feature": "rms"}, "low": -0.1, "high": 0.3},
            {"strategy": "swing", "target": "rotation", "amount": 10, "bars": 1},
            {"strategy": "drift", "target": "y", "amount": 0.5, "seconds": 1},
            {"strategy": "drift", "target": "zoom", "amount": 100, "seconds": 1},
        ]
    })  # fmt: skip
    path = camera_path(camera, features)
    np.testing.assert_allclose(path[:, 0], -0.1 + 0.4 * rms, atol=1e-6)
    bar = np.arange(48) / 48  # two seconds are a bar of four beats
    np.testing.assert_allclose(path[:, 2], 10 * np.sin(2 * np.pi * bar), atol=1e-4)
    np.testing.assert_allclose(path[:, 1], 0.5 * np.arange(48) / 24, atol=1e-6)
    assert path[:, 3].max() == 4
    half = camera_path(camera.model_copy(update={"reach": 0.5}), features)
    np.testing.assert_allclose(half[:, :3], path[:, :3] / 2, atol=1e-4)


def test_the_knob_of_motion_holds_cameras_and_bends() -> None:
    still = Knobs(motion=0)(patch(CAMERA + DRUM.format(transform="multiply", layer=0.5, high=3, share=1)))
    assert still.camera is not None and still.camera.reach == 0 and still.bends[0].high == 1


def psnr(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Of pictures whose range is 2, in decibels."""
    return 10 * math.log10(4 / float((found - wanted).square().mean()))


@pytest.mark.parametrize("name", ["sg3_t32.pkl", "sg3_r32.pkl"])
def test_translation_moves_the_picture(name: str) -> None:
    """EQ-T: by whole pixels, compared where both pictures show the same."""
    network = generator(name)
    z = torch.randn(4, network.z_dim, generator=torch.Generator().manual_seed(3))
    c = torch.nn.functional.one_hot(torch.arange(4) % 3, 3).float() if network.c_dim else None
    ws = network.mapping(z, c)

    def picture(x: float, y: float) -> torch.Tensor:
        camera = np.tile(np.asarray([[x / 32, y / 32, 0, 0]], np.float32), (4, 1))
        return network.synthesis(ws, moves=Moves(torch.from_numpy(inverse_transforms(camera))))

    rest = picture(0, 0)
    scale = 2 / (rest.max() - rest.min())
    # Random networks have the most content at frequencies near the limit; what moves in from the margin differs.
    moved = picture(3, 2)  # to the right and upwards
    assert psnr(scale * moved[..., 4:26, 8:28], scale * rest[..., 6:28, 5:25]) > 40
    assert psnr(scale * moved[..., 4:26, 8:28], scale * rest[..., 4:26, 8:28]) < 34


def test_rotation_turns_the_picture_of_a_network_without_preferred_axes() -> None:
    """EQ-R: by a quarter turn, for which pixels meet pixels; counter-clockwise."""
    network = generator("sg3_r32.pkl")
    z = torch.randn(4, network.z_dim, generator=torch.Generator().manual_seed(3))
    ws = network.mapping(z, torch.nn.functional.one_hot(torch.arange(4) % 3, 3).float())

    def picture(degrees: float) -> torch.Tensor:
        camera = np.tile(np.asarray([[0, 0, degrees, 0]], np.float32), (4, 1))
        return network.synthesis(ws, moves=Moves(torch.from_numpy(inverse_transforms(camera))))

    rest, turned = picture(0), picture(90)
    scale = 2 / (rest.max() - rest.min())
    assert psnr(scale * turned, scale * rest.rot90(1, (2, 3))) > 40
    assert psnr(scale * turned, scale * rest) < 30


def test_a_direction_moves_latents_by_its_envelope() -> None:
    rms = np.linspace(0, 1, 24, dtype=np.float32)
    features = make_features(1, rms=rms)
    text = (
        '[[latents.sequences]]\nstrategy = "direction"\nmethod = "{}"\nindex = 1\nreach = 2.0\n'
        'depth = ["middle"]\nenvelope = {{ feature = "rms" }}\n'
    )
    for method in ("sefa", "ganspace"):
        for name in ("nvidia_skip64.pkl", "sg3_t32.pkl", "sg1_cond32.pkl"):
            network = generator(name)
            moved = motion(patch(text.format(method)), features).on(network).frames(0, 24).ws
            still = motion(patch(), features).on(network).frames(0, 24).ws
            way = (moved - still).norm(dim=2)  # [T, L]
            third = network.num_ws // 3
            assert way[:, :third].max() == way[:, -third + 1 :].max() == 0
            middle = way[:, network.num_ws // 2]
            torch.testing.assert_close(middle, middle[-1] * torch.from_numpy(rms), rtol=1e-3, atol=1e-4)
            assert middle[-1] > 0.1


def test_the_first_direction_of_ganspace_is_where_latents_vary_most() -> None:
    """Against PyTorch's own analysis of other latents; of sefa's, the first moves the styles most."""
    from audioreactive.generators.directions import find_directions

    network = generator("nvidia_skip64.pkl")
    z = torch.randn(4096, network.z_dim, generator=torch.Generator().manual_seed(5))
    w = network.mapping(z)[:, 0].double()
    _, values, rows = torch.pca_lowrank(w, q=3, niter=10)
    found = find_directions(network, "ganspace", range(network.num_ws), 2)
    assert torch.nn.functional.cosine_similarity(found[0].double(), rows[:, 0], dim=0).abs() > 0.9
    assert found[0].norm() == pytest.approx(float(values[0]) / 64, rel=0.1)
    weights = network.style_weights(range(network.num_ws))
    weights = weights / weights.norm(dim=1, keepdim=True)
    sefa = torch.nn.functional.normalize(find_directions(network, "sefa", range(network.num_ws), network.w_dim), dim=1)
    answers = (weights @ sefa.T).norm(dim=0)
    assert (answers.diff() < 1e-4).all() and answers[0] == pytest.approx(
        float(torch.linalg.matrix_norm(weights, 2)), rel=1e-4
    )
    with pytest.raises(RenderError, match="directions 0 to"):
        find_directions(network, "sefa", range(network.num_ws), network.w_dim + 1)


def test_generators_without_directions_say_so() -> None:
    text = '[[latents.sequences]]\nstrategy = "direction"\nenvelope = { feature = "rms" }\n'
    with pytest.raises(RenderError, match="only the latents of a StyleGAN have directions"):
        motion(patch(text), make_features(0.5)).on(Discs())


def test_what_the_document_shows_is_sound() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "models.md").read_text("utf-8")
    shown = [block.partition("```")[0] for block in text.split("```TOML")[1:]]
    assert len(shown) == 4
    for block in shown:
        made = patch(block)
        assert made.camera or made.bends or made.weights or made.latents.sequences
