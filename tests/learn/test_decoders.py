"""Decoders: bounded, centred, and blind to what should not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audioreactive.learn.decoders import (
    FILL,
    LARGEST_GAIN,
    REACH,
    LearnedDecoder,
    averaging_motion,
    residual_motion,
    rotation,
)
from audioreactive.learn.losses import procrustes
from audioreactive.learn.model_file import evened

LATENTS = 9


def envelopes(frames: int = 200) -> torch.Tensor:
    return torch.randn(2, frames, 17, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 10, 17)


def test_motion_stays_in_its_ball_and_rests_in_the_middle() -> None:
    motion = residual_motion(envelopes(), filled=True)
    for group in range(3):
        reach = motion[..., 3 * group : 3 * group + 3].norm(dim=-1)
        assert float(reach.max()) < REACH
        assert 0.4 < float(reach.mean()) < 0.8
    assert float(motion[..., LATENTS:].abs().max()) < REACH
    assert torch.equal(residual_motion(torch.full((1, 50, 17), 3.0), filled=True), torch.zeros(1, 50, 17))


@pytest.mark.parametrize("power", [1, 3])
def test_rare_peaks_fill_the_ball_as_even_motion_does(power: int) -> None:
    motion = residual_motion(envelopes(2000).double() ** power, filled=True)
    for group in range(3):
        square = motion[..., 3 * group : 3 * group + 3].square().sum(-1).mean(-1) / REACH**2
        torch.testing.assert_close(square, torch.full((2,), FILL, dtype=torch.float64), atol=1e-6, rtol=0)


def test_what_rests_nearly_always_rests() -> None:
    """One swing of a second in a hundred, and a tremble of a thousandth of it: the tremble does not fill the ball."""
    frames = torch.arange(2400, dtype=torch.float64)
    x = 1e-3 * (0.4 * frames).sin() + torch.where(frames // 24 == 50, (frames / 24 * 2 * torch.pi).sin(), 0.0)
    motion = residual_motion(x[None, :, None] * torch.ones(17), filled=True)[..., :3]
    assert float(motion.abs().max()) > 0.5
    assert float(motion[:, :1100].norm(dim=-1).max()) < 1e-3 / float(x.square().mean().sqrt()) * LARGEST_GAIN


def test_gradients_are_those_of_finite_differences() -> None:
    x = (envelopes(24)[:1].double() ** 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: residual_motion(x, filled=False), x, atol=1e-6, rtol=1e-4)


def test_size_and_offset_of_the_envelopes_do_not_matter() -> None:
    x = envelopes()
    torch.testing.assert_close(
        residual_motion(5 * x + 3, filled=True), residual_motion(x, filled=True), atol=1e-5, rtol=1e-4
    )


def test_forms_glide_and_colours_more() -> None:
    """Of a motion of 0.5 Hz and one of 5 Hz, a Gaussian of s seconds keeps exp(-(2 pi s f)² / 2) of each."""
    seconds = torch.arange(240) / 24
    swing = (2 * torch.pi * 0.5 * seconds).sin() + (2 * torch.pi * 5 * seconds).sin()
    motion = residual_motion(swing[None, :, None] * torch.ones(17), filled=True)[0]
    spectrum = torch.fft.rfft(motion, dim=0).abs()  # tenths of a hertz
    fast = spectrum[50] / spectrum[5]
    assert 0.2 < float(fast[:6].min()) <= float(fast[:6].max()) < 0.3  # 0.29, less what the bounds bend
    assert float(fast[6:9].max()) < 0.02
    assert float(fast[9:].min()) > 0.8


def test_a_single_frame_is_at_rest() -> None:
    assert torch.equal(residual_motion(envelopes(1), filled=True), torch.zeros(2, 1, 17))


def test_a_song_moves_alike_alone_and_in_a_batch() -> None:
    x = envelopes()
    torch.testing.assert_close(residual_motion(x, filled=True)[1], residual_motion(x[1], filled=True))


def test_averages_are_averages() -> None:
    motion = averaging_motion(envelopes())
    for group in range(3):
        part = motion[..., 3 * group : 3 * group + 3]
        assert float(part.min()) >= 0
        torch.testing.assert_close(part.sum(-1), torch.ones(2, 200))


def test_a_motion_seed_turns_the_motion_and_fits_as_well() -> None:
    heard, made = torch.randn(1, 200, 6).double(), evened(envelopes()[:1]).double()
    for seed in (1, 7):
        turn = rotation(seed)
        torch.testing.assert_close(turn @ turn.T, torch.eye(17, dtype=torch.float64))
        turned = made @ turn
        torch.testing.assert_close(procrustes(heard, turned), procrustes(heard, made))
        assert float((turned - made).norm() / made.norm()) > 0.5
    assert torch.equal(rotation(0), torch.eye(17, dtype=torch.float64))
    assert not torch.allclose(rotation(1), rotation(2))
    torch.testing.assert_close(rotation(7), rotation(7))


def test_rotations_are_drawn_evenly() -> None:
    """The mean of the turned first axis is 0, and its spread the same in all directions."""
    first = np.stack([rotation(seed)[0, :LATENTS].numpy() for seed in range(1, 301)])
    np.testing.assert_allclose(first.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(np.square(first).mean(0), 1 / LATENTS, atol=0.04)


@pytest.mark.parametrize("residual", [True, False])
def test_the_learned_decoder_and_its_short_columns(residual: bool) -> None:
    torch.manual_seed(0)
    decoder = LearnedDecoder(64).requires_grad_(False)
    decoded = decoder(envelopes(40), residual=residual)
    assert decoded.latents.shape == (2, 40, 3, 64)
    assert [part.shape[2] for part in decoded.noise] == [16, 64, 256, 1024]
    if residual:
        assert float(decoded.latents.mean(1).abs().max()) < 1e-5
    heard = torch.randn(2, 40, 6)
    whole = [*decoded.latents.unbind(2), *decoded.noise]
    for columns, output in zip(decoder.score_columns(decoded), whole, strict=True):
        assert columns.shape[2] <= 34
        torch.testing.assert_close(procrustes(heard, columns), procrustes(heard, output), atol=1e-4, rtol=1e-4)
