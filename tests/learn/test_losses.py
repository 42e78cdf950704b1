"""Losses: gradients, invariances, and the correlation of another room as an oracle."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.autograd import gradcheck

from audioreactive.correlation import orthogonal_procrustes
from audioreactive.learn.losses import (
    ENVELOPES,
    SEQUENCES,
    OwnLatents,
    chance,
    heard_together,
    membership,
    nuclear_norm,
    off_the_shell,
    paces,
    pairwise,
    procrustes,
    supervised,
    variation,
)
from audioreactive.learn.research.frechet import frechet

BLOCKS = [slice(0, 1), slice(1, 4), slice(4, 6)]
MADE = [slice(0, 3), slice(3, 5)]
WEIGHTS = torch.tensor([10.0, 1.0, 0.5])


def tables(seed: int = 0, batch: int = 2, frames: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(batch, frames, channels, dtype=torch.float64, generator=generator) for channels in (6, 5))


def test_gradients_against_finite_differences() -> None:
    heard, made = tables()
    made.requires_grad_()
    assert gradcheck(lambda x: procrustes(heard, x), (made,))
    assert gradcheck(lambda x: pairwise(heard, x, BLOCKS, MADE, WEIGHTS), (made,))
    assert gradcheck(lambda x: chance(partial(procrustes, made=x), heard, [3, 7]), (made,))
    assert gradcheck(lambda x: off_the_shell(x.square().sum(-1)), (made,))
    own = OwnLatents.of(torch.randn(100, made.shape[-1], generator=torch.Generator().manual_seed(3)).double())
    assert gradcheck(lambda x: own.distance(x.flatten(0, 1)[:, None]), (made,))
    assert gradcheck(lambda x: variation(x), (made,))
    assert gradcheck(lambda x: paces([x[..., :3], x[..., 3:]]), (made,))
    assert gradcheck(lambda x: supervised(x, torch.ones_like(made)), (made,))
    heard.requires_grad_()
    assert gradcheck(lambda a, b: procrustes(a, b), (heard, made))


def test_gradient_of_a_nuclear_norm_that_lacks_rank() -> None:
    """Along directions in which it can be differentiated: within the column and row space."""
    u, v = torch.randn(5, 2, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    assert gradcheck(lambda a, b: nuclear_norm(a @ b), (u.requires_grad_(), v.requires_grad_()))


def test_it_is_the_correlation_of_chapter_3() -> None:
    heard, made = tables()
    expected = torch.stack([orthogonal_procrustes(a, b) for a, b in zip(heard, made, strict=True)])
    torch.testing.assert_close(procrustes(heard, made), expected)


def test_rotation_scale_and_offset_do_not_matter() -> None:
    heard, made = tables()
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    changed = 3 * made @ turn + 7
    torch.testing.assert_close(procrustes(heard, changed), procrustes(heard, made))
    scales = torch.tensor([2.0, 2, 2, 5, 5], dtype=torch.float64)
    torch.testing.assert_close(
        pairwise(heard, made * scales + 1, BLOCKS, MADE, WEIGHTS), pairwise(heard, made, BLOCKS, MADE, WEIGHTS)
    )


def test_equal_tables_score_one_and_shifted_ones_less() -> None:
    heard, _ = tables(frames=400)
    torch.testing.assert_close(procrustes(heard, heard), torch.ones(2, dtype=torch.float64))
    assert (chance(partial(procrustes, made=heard), heard, [100, 200]) < 0.4).all()


def test_a_weight_makes_its_feature_count() -> None:
    heard, made = tables(frames=400)
    made[..., 0] = heard[..., 0]  # follows the first feature alone
    light, heavy = (pairwise(heard, made, BLOCKS, MADE, torch.tensor([w, 1.0, 1.0])) for w in (0.1, 10.0))
    assert (heavy > light + 0.1).all()


def test_silence_scores_nothing_and_teaches_nothing() -> None:
    heard, made = tables()
    heard, made = torch.zeros_like(heard), made.requires_grad_()
    score = procrustes(heard, made).sum() + pairwise(heard, made, BLOCKS, MADE, WEIGHTS).sum()
    score.backward()
    assert score.item() == 0
    assert torch.equal(made.grad, torch.zeros_like(made))
    still = torch.ones(2, 12, 5, requires_grad=True)
    procrustes(tables()[0].float(), still).sum().backward()
    assert torch.isfinite(still.grad).all()


def test_all_features_count_alike() -> None:
    loud, soft = 100 * torch.randn(1, 50, 3), 0.01 * torch.randn(1, 50, 2)
    together = heard_together([loud, soft])
    torch.testing.assert_close(together[..., :3].norm(), together[..., 3:].norm())


def test_every_envelope_belongs_to_one_sequence() -> None:
    assert sorted(column for columns in SEQUENCES for column in columns) == list(range(ENVELOPES))
    torch.testing.assert_close(membership().sum(0), torch.ones(ENVELOPES))


@pytest.mark.parametrize("radius", [1.0, 0.5, 3.0])
def test_latents_on_the_shell_cost_nothing(radius: float) -> None:
    assert float(off_the_shell(torch.full((4,), radius))) == pytest.approx((radius - 1) ** 2)


def test_latents_of_the_model_are_near_and_the_distance_is_that_of_two_normal_distributions() -> None:
    """Against the definition, by matrix roots, for a model of eight directions of which all are principal."""
    stream = torch.Generator().manual_seed(1)
    shape = torch.randn(8, 8, generator=stream).double() * torch.linspace(2, 0.1, 8).double()
    samples = torch.randn(4000, 8, generator=stream).double() @ shape
    samples = (samples - samples.mean(0)) / (samples - samples.mean(0)).square().sum(1).mean().sqrt()
    own = OwnLatents.of(samples)
    assert float(own.distance(samples[:, None])) < 1e-6
    made = torch.randn(500, 3, 8, generator=stream).double() @ torch.randn(8, 8, generator=stream).double() + 0.3
    expected = torch.stack([torch.tensor(frechet(group, samples)) for group in made.unbind(1)]).mean()
    assert float(own.distance(made)) == pytest.approx(float(expected), rel=5e-3)  # covariances there have n - 1


def test_few_directions_of_many_are_principal_and_the_others_have_room() -> None:
    stream = torch.Generator().manual_seed(2)
    samples = torch.randn(4000, 80, generator=stream).double() * torch.linspace(3, 1, 80).double()
    samples = (samples - samples.mean(0)) / (samples - samples.mean(0)).square().sum(1).mean().sqrt()
    own = OwnLatents.of(samples)
    assert own.directions.shape == (80, 32) and 0.2 < own.rest < 0.8
    principal = samples @ own.directions @ own.directions.T
    assert float(own.distance(samples[:, None])) < 1e-6
    assert float(own.distance(principal[:, None])) < 1e-6, "what is missing costs nothing"
    assert float(own.distance((principal + 3 * (samples - principal))[:, None])) == pytest.approx(
        4 * own.rest, rel=1e-3
    )


def test_the_way_of_known_motions() -> None:
    """Two frames there and two back: two of four steps are as long as twice the root mean square. A jump is as far as a
    ramp of the same height and size, and what rests goes nowhere; sizes do not matter.
    """
    square = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(100)[None, :, None]
    assert float(variation(5 * square + 3)) == pytest.approx(1.0, abs=5e-3)
    assert float(variation(torch.ones(1, 50, 3))) == 0
    still = torch.zeros(1, 50, 3, requires_grad=True)
    variation(still).sum().backward()
    assert torch.isfinite(still.grad).all()
    noise = torch.randn(1, 4000, 1, generator=torch.Generator().manual_seed(0))
    assert float(variation(noise)) == pytest.approx(2 / torch.pi**0.5, abs=0.03)  # mean of |N(0, 2)|


def test_the_pace_of_known_motions() -> None:
    """A jump is one fast frame, a ramp of the same height many slow ones; sizes do not matter."""
    jump, ramp = torch.zeros(1, 40, 1), torch.linspace(-1, 1, 40)[None, :, None]
    jump[:, 20:] = 5
    pace = paces([jump, ramp, torch.ones(1, 40, 3)])[0]
    expected = torch.zeros(40)
    expected[20] = 2.0
    torch.testing.assert_close(pace[:, 0], expected, atol=2e-3, rtol=0)
    torch.testing.assert_close(pace[:, 1], pace[:1, 1].expand(40))
    assert torch.equal(pace[:, 2], torch.zeros(40))
    torch.testing.assert_close(paces([7 * jump + 1])[0, :, 0], pace[:, 0])
