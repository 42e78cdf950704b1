"""The networks of the thesis: their sizes, losses, pairs, rounding and the gate."""

from __future__ import annotations

import lzma
import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from codec_clips import RATE, moving, tone

from audioreactive.codec.clip import Clip, Sound
from audioreactive.codec.container import open_archive
from audioreactive.codec.denoise import spectral_gate
from audioreactive.codec.distill import (
    Batch,
    Samples,
    combined_loss,
    distillation_loss,
    hard_loss,
    soft_loss,
    sound_loss,
    train_student,
    train_teacher,
    video_loss,
)
from audioreactive.codec.metrics import psnr
from audioreactive.codec.quantise import compressed, decompressed, dequantised, packed, unpacked
from audioreactive.codec.seed import player_of, read_student, write_student
from audioreactive.codec.siren import Outputs, parameter_count, student, teacher
from audioreactive.errors import CodecError

if TYPE_CHECKING:
    from pathlib import Path


def test_table_8_2() -> None:
    assert parameter_count(teacher()) == 2_369_029
    assert parameter_count(student()) == 1_298_029
    shapes = {name: tuple(value.shape) for name, value in student().named_parameters() if name.endswith("weight")}
    assert shapes == {
        "sound_first.linear.weight": (300, 1),
        "video_first.linear.weight": (300, 3),
        "shared.0.linear.weight": (512, 600),
        "shared.1.linear.weight": (512, 512),
        "shared.2.linear.weight": (512, 512),
        "video.0.linear.weight": (300, 512),
        "video.1.weight": (3, 300),
        "sound.0.linear.weight": (300, 512),
        "sound.1.weight": (1, 300),
        "twin.0.linear.weight": (300, 512),
        "twin.1.weight": (1, 300),
    }


def test_first_weights() -> None:
    network = teacher(0)
    bounds = {"sound_first": 25.0, "video_first": 2 / 3, "shared.1": math.sqrt(6 / 512) / 30}
    for name, bound in bounds.items():
        weights = network.get_parameter(f"{name}.linear.weight").detach()
        assert 0.97 * bound < float(weights.abs().max()) <= bound
    same, other = teacher(0).state_dict(), teacher(1).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in network.state_dict().items())
    assert not torch.equal(other["sound_first.linear.weight"], same["sound_first.linear.weight"])


def test_a_sine_network_is_what_its_equations_say() -> None:
    network = student(3)
    place, moment = torch.rand(5, 3) * 2 - 1, torch.rand(5, 1)
    state = {name: value.double().numpy() for name, value in network.state_dict().items()}

    def sine(x: np.ndarray, name: str) -> np.ndarray:
        return np.sin(30 * (x @ state[f"{name}.linear.weight"].T + state[f"{name}.linear.bias"]))

    x = np.concatenate([sine(moment.double().numpy(), "sound_first"), sine(place.double().numpy(), "video_first")], 1)
    for k in range(3):
        x = sine(x, f"shared.{k}")
    made = network(place, moment)
    for name, output in zip(("video", "sound", "twin"), made, strict=True):
        expected = sine(x, f"{name}.0") @ state[f"{name}.1.weight"].T + state[f"{name}.1.bias"]
        assert np.allclose(output.detach().numpy(), expected, atol=1e-3)


def test_losses_by_hand() -> None:
    batch = Batch(torch.zeros(2, 3), torch.zeros(2, 1), torch.zeros(2, 3), torch.zeros(2, 1))
    made = Outputs(torch.full((2, 3), 2.0), torch.full((2, 1), 3.0), torch.full((2, 1), 5.0))
    taught = Outputs(torch.full((2, 3), 1.0), torch.full((2, 1), 1.0), torch.full((2, 1), 2.0))
    assert float(sound_loss(made, batch.sound)) == 0.5 * 9 + 0.5 * 25
    assert float(video_loss(made, batch.video)) == 4
    assert float(combined_loss(made, batch, sound=2, video=3)) == 2 * 17 + 3 * 4
    assert float(hard_loss(made, batch)) == 0.5 * 4 + 0.5 * (0.5 * 9 + 0.5 * 25)
    assert float(soft_loss(made, taught)) == 0.5 * 1 + 0.5 * (0.5 * 4 + 0.5 * 9)
    assert float(distillation_loss(made, batch, taught, 0.25)) == 0.25 * 10.5 + 0.75 * 3.75


@pytest.mark.parametrize("seconds", [0.1, 1.0])
def test_pairs_are_those_of_repeated_arrays(seconds: float) -> None:
    frames = moving(3, (20, 15))  # 900 pixels, 1600 or 16000 samples
    clip = Clip(frames if seconds > 0.5 else moving(8, (20, 15)), Fraction(3), Sound(tone(seconds), RATE))
    samples = Samples(clip)
    video, sound = clip.frames.reshape(-1, 3) / 255, clip.sound.samples[:, 0] / samples.peak  # type: ignore[union-attr]
    size = max(len(video), len(sound))
    # Algorithm 3: whole repetitions, then the first of the rest.
    video, sound = (np.concatenate([one] * (size // len(one)) + [one[: size % len(one)]]) for one in (video, sound))
    made = samples.batch(torch.arange(len(samples)))
    assert len(samples) == size
    assert np.allclose(made.video.numpy(), video) and np.allclose(made.sound[:, 0].numpy(), sound)
    assert made.place.min(0).values.tolist() == [-1, -1, 0] and made.place.max(0).values.tolist() == [1, 1, 1]
    assert torch.allclose(made.place[1] - made.place[0], torch.tensor([2 / 19, 0, 0]))
    assert float(made.moment.max()) == 1


def test_training_learns_and_gives_the_same_numbers_again() -> None:
    clip = Clip(moving(2, (12, 8)), Fraction(2), Sound(tone(0.02), RATE))
    samples = Samples(clip)
    first = train_teacher(samples, epochs=25, rate=1e-4)
    assert len(first.losses) == 25 and min(first.losses[-5:]) < 0.5 * first.losses[0]
    batch = samples.batch(torch.arange(len(samples)))
    best = float(combined_loss(first.network(batch.place, batch.moment), batch))
    assert best == pytest.approx(min(first.losses), rel=1e-4)
    learnt = [train_student(samples, first.network, epochs=6) for _ in range(2)]
    assert learnt[0].losses == learnt[1].losses and learnt[0].losses[-1] < learnt[0].losses[0]
    assert all(
        torch.equal(one, other)
        for one, other in zip(learnt[0].network.parameters(), learnt[1].network.parameters(), strict=True)
    )


@pytest.mark.parametrize("bits", [1, 2, 3, 7, 8, 13, 16, 18, 24, 31, 32])
def test_weights_come_back_rounded(bits: int) -> None:
    draw = torch.Generator().manual_seed(0)
    state = {"a": torch.randn(5, 7, generator=draw), "b": torch.randn(3, generator=draw) * 9}
    data = packed(state, bits)
    assert len(data) == 8 + math.ceil(38 * bits / 8)
    back = unpacked(data, {name: tuple(value.shape) for name, value in state.items()}, bits)
    wanted = dequantised(state, bits)
    for name, value in state.items():
        assert torch.equal(back[name], wanted[name])
        if bits > 1:
            step = float(value.abs().max()) / (2 ** (bits - 1) - 1)
            assert float((back[name] - value).abs().max()) <= 0.5001 * step + 1e-6
    with pytest.raises(CodecError):
        unpacked(data + b"x", {"a": (5, 7), "b": (3,)}, bits)


def test_more_bits_are_closer() -> None:
    state = {"a": torch.randn(50, 50, generator=torch.Generator().manual_seed(0))}
    errors = [float((dequantised(state, bits)["a"] - state["a"]).square().mean()) for bits in range(2, 20)]
    assert errors == sorted(errors, reverse=True)


def test_xz() -> None:
    data = b"abc" * 10_000
    made = compressed(data)
    assert lzma.decompress(made) == data and decompressed(made, len(data)) == data
    for size in (len(data) - 1, len(data) + 1):
        with pytest.raises(CodecError, match="do not decompress"):
            decompressed(made, size)
    with pytest.raises(CodecError):
        decompressed(made[:-20], len(data))
    with pytest.raises(CodecError, match="cannot be decompressed"):
        decompressed(b"nothing that xz could read" * 9, 10)


def test_the_gate_takes_noise_and_leaves_sound() -> None:
    draw = np.random.RandomState(0)
    clean = tone(2.0)[:, 0] * 0 + 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    noise = 0.02 * draw.randn(2, len(clean)).astype(np.float32)
    gated = spectral_gate(clean + noise[0], noise[1], rate=RATE)
    before, after = (float(np.square(x - clean).mean()) for x in (clean + noise[0], gated))
    assert len(gated) == len(clean) and after < before / 3
    assert np.array_equal(spectral_gate(clean[:100], noise[1], rate=RATE), clean[:100])


def test_a_student_is_written_and_read(tmp_path: Path) -> None:
    clip = Clip(moving(2, (12, 8)), Fraction(2), Sound(tone(0.2), RATE))
    network = student(5).requires_grad_(False)
    sizes = {bits: write_student(tmp_path / f"{bits}.arc", network, clip, bits) for bits in (8, 16)}
    assert 0.85 * 2 * 1_298_029 < sizes[16] < 2 * 1_298_029 + 1000 and sizes[8] < 0.6 * sizes[16]
    back, own = read_student(open_archive(tmp_path / "16.arc")), player_of(network, clip)
    assert psnr(own.frames(), back.frames()) > 40
    assert back.sound() is not None and len(back.sounds()[0]) == 3200
    assert np.corrcoef(back.sounds()[0], own.sounds()[0])[0, 1] > 0.99
    data = bytearray((tmp_path / "8.arc").read_bytes())
    data[-100] ^= 1
    (tmp_path / "bad.arc").write_bytes(data)
    with pytest.raises(CodecError, match="damaged"):
        read_student(open_archive(tmp_path / "bad.arc"))


def test_the_command_trains_writes_and_plays(clip_file: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from audioreactive.commands.pack import command as pack
    from audioreactive.commands.unpack import command as unpack
    from audioreactive.video import probe

    words = [str(clip_file), "-o", str(tmp_path / "a.arc"), "--codec", "seed", "--epochs", "2", "--batch", "64", "-q"]
    assert "picture" in CliRunner().invoke(pack, words, catch_exceptions=False).output
    words = [str(tmp_path / "a.arc"), "-o", str(tmp_path / "a.mp4"), "--size", "24x16", "--fps", "4", "-q"]
    assert CliRunner().invoke(unpack, words, catch_exceptions=False).exit_code == 0
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height, info.frames, info.audio_codec) == (24, 16, 4, "aac")
