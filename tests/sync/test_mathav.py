"""MathAV-Net, stage by stage, against known answers and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from audioreactive.media.audio import ANALYSIS_RATE
from audioreactive.sync.research.baselines import truncated_svd as plain_svd
from audioreactive.sync.research.mathav.encoders import (
    BINS,
    ResNet18,
    SmallEncoder,
    frame_means,
    log_mel,
    mel_filters,
    normalized_frames,
    parameters_of,
)
from audioreactive.sync.research.mathav.metrics import (
    bootstrap,
    frechet_distance,
    latency_compliance,
    sync_accuracy,
    temporal_jitter,
)
from audioreactive.sync.research.mathav.network import (
    FPS,
    LstmConcatenated,
    MathAv,
    Settings,
    Told,
    Transformer,
    composite_loss,
)
from audioreactive.sync.research.mathav.stages import (
    GAMMA,
    Constraints,
    centred,
    kl_divergence,
    manifold_loss,
    production,
    truncated_svd,
)
from audioreactive.sync.research.mathav.warping import dtw, euclidean, path_means, soft_dtw


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def test_resnet_has_the_weights_of_its_paper() -> None:
    assert parameters_of(ResNet18(1000)) == 11_689_512
    assert parameters_of(ResNet18()) == 11_176_512
    assert parameters_of(SmallEncoder()) == 89_248


@pytest.mark.parametrize("encoder", [ResNet18(), SmallEncoder()], ids=["resnet18", "small"])
def test_an_encoder_gives_each_picture_its_features(encoder: torch.nn.Module) -> None:
    pictures = drawn(3, 3, 36, 64).float()
    encoder.eval()
    with torch.no_grad():
        features = encoder(pictures)
        assert features.shape == (3, 512 if isinstance(encoder, ResNet18) else 128)
        torch.testing.assert_close(encoder(pictures.flip(0)), features.flip(0))


def test_frames_are_resized_and_have_no_mean() -> None:
    frames = torch.from_numpy(np.random.RandomState(2).randint(0, 255, (2, 3, 36, 64, 3), dtype=np.uint8))
    made = normalized_frames(frames, 224)
    assert made.shape == (2, 3, 3, 224, 224)
    assert made.mean((1, 3, 4)).abs().max() < 1e-4
    assert (made.std((1, 3, 4), correction=0) - 1).abs().max() < 1e-4


def test_a_tone_lies_in_its_mel_bin_and_a_click_at_its_time() -> None:
    time = np.arange(2 * ANALYSIS_RATE) / ANALYSIS_RATE
    rows = log_mel(np.sin(2 * np.pi * 1000 * time).astype(np.float32))
    assert rows.shape == (200, BINS)
    mel = 2595 * math.log10(1 + 1000 / 700) / (2595 * math.log10(1 + 8000 / 700)) * (BINS + 1) - 1
    assert abs(rows[100].argmax() - mel) <= 1
    click = np.zeros(2 * ANALYSIS_RATE, np.float32)
    click[ANALYSIS_RATE] = 1
    loud = log_mel(click).mean(1)
    assert abs(np.average(np.arange(200), weights=loud - loud.min()) - 100) < 0.5
    assert (mel_filters().sum(1) > 0).all()
    # Triangles that fall as their neighbours rise add up to 1 between the first and the last top (14 Hz, 7.7 kHz).
    np.testing.assert_allclose(mel_filters()[:, 1:490].sum(0), 1, atol=1e-12)


def test_rows_of_a_frame_are_averaged_by_their_share() -> None:
    means = frame_means(100, 30, FPS)
    np.testing.assert_allclose(means.sum(1), 1, rtol=1e-6)
    # A line stays a line: the middle of frame t lies at row (t + 1/2) 100 / 30.
    middle = (np.arange(30) + 0.5) * 100 / 30
    np.testing.assert_allclose((means @ np.arange(100))[1:-1], middle[1:-1], rtol=0, atol=0.02)  # a fiftieth of a row


def test_truncation_is_the_plain_one_in_each_clip() -> None:
    features = drawn(2, 40, 12) * torch.linspace(3, 0.1, 12, dtype=torch.float64)
    found = truncated_svd(features)
    for clip in range(2):
        plain = plain_svd(features[clip].numpy())
        assert int(found.rank[clip]) == plain.shape[1] < 12
        own = found.z[clip, :, : plain.shape[1]].numpy()
        np.testing.assert_allclose(np.abs(own), np.abs(plain), atol=1e-8)  # signs are free
        kept = np.square(own).sum() / float(features[clip].square().sum())
        without = kept - np.square(own[:, -1]).sum() / float(features[clip].square().sum())
        assert without < 0.95 <= kept
    assert truncated_svd(features, rank=3).z.shape == (2, 40, 3)


def test_a_projection_sees_the_features_without_what_truncation_leaves_out() -> None:
    features, weight = drawn(1, 30, 8), drawn(8, 5, seed=2)
    whole = truncated_svd(features, energy=1.0).projected(weight)
    torch.testing.assert_close(whole, features @ weight)
    left, values, right = np.linalg.svd(features[0].numpy(), full_matrices=False)
    kept = int(truncated_svd(features).rank)
    rest = left[:, :kept] * values[:kept] @ right[:kept] @ weight.numpy()
    np.testing.assert_allclose(truncated_svd(features).projected(weight)[0].numpy(), rest, atol=1e-9)


def test_without_centring_a_sounds_mean_is_all_that_is_left() -> None:
    loud = 5 + 0.1 * drawn(1, 200, 16)
    assert int(truncated_svd(loud).rank) == 1
    assert int(truncated_svd(centred(loud)).rank) > 10


def test_the_manifold_loss_is_its_formula() -> None:
    h, w = drawn(2, 3, 4), drawn(5, 4)
    assert manifold_loss(h, h, w).item() == pytest.approx(GAMMA * float(w.square().sum()))
    assert manifold_loss(h, h + 2, 0 * w).item() == pytest.approx(4)


def test_the_divergence_is_that_of_gaussians() -> None:
    stream = np.random.RandomState(3)
    heard, seen = 1 + 2 * stream.standard_normal((1, 400, 1)), -0.5 + 3 * stream.standard_normal((1, 400, 1))
    found = kl_divergence(torch.from_numpy(seen), torch.from_numpy(heard))
    # By integration of p log(p / q).
    (m_a, s_a), (m_v, s_v) = ((t.mean(), t.std()) for t in (heard, seen))
    x = np.linspace(-30, 30, 200_001)
    p, q = (np.exp(-0.5 * ((x - m) / s) ** 2) / s / math.sqrt(2 * math.pi) for m, s in ((m_a, s_a), (m_v, s_v)))
    integral = np.sum(np.where(p > 0, p * (np.log(p + 1e-300) - np.log(q + 1e-300)), 0)) * (x[1] - x[0])
    assert float(found) == pytest.approx(integral, rel=1e-4)
    same = torch.from_numpy(seen)
    assert float(kl_divergence(same, same)) == pytest.approx(0, abs=1e-12)


def plain_dtw(costs: np.ndarray) -> float:
    n, m = costs.shape
    table = np.full((n + 1, m + 1), np.inf)
    table[0, 0] = 0
    for i in range(n):
        for j in range(m):
            table[i + 1, j + 1] = costs[i, j] + min(table[i, j], table[i, j + 1], table[i + 1, j])
    return float(table[-1, -1])


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 1), (5, 9), (9, 5), (6, 6)])
def test_warping_is_the_plain_recursion_and_the_limit_of_the_soft_one(size: tuple[int, int]) -> None:
    costs = drawn(3, *size).abs()
    plain = torch.tensor([plain_dtw(each.numpy()) for each in costs], dtype=torch.float64)
    torch.testing.assert_close(dtw(costs), plain)
    values = [soft_dtw(costs, gamma) for gamma in (1.0, 0.1, 1e-3)]
    torch.testing.assert_close(values[2], plain, atol=1e-2, rtol=0)
    # A soft minimum lies below the minimum, and the lower the softer.
    assert (values[0] <= values[1]).all() and (values[1] <= values[2] + 1e-12).all() and (values[2] <= plain).all()


@pytest.mark.parametrize("size", [(4, 4), (3, 7), (6, 2), (1, 5)])
def test_the_gradient_of_soft_warping_is_that_of_finite_differences(size: tuple[int, int]) -> None:
    costs = drawn(2, *size).abs().requires_grad_()
    soft_dtw(costs, 0.3).sum().backward()
    step = 1e-6
    for place in np.ndindex(2, *size):
        sides = []
        for sign in (1, -1):
            moved = costs.detach().clone()
            moved[place] += sign * step
            sides.append(float(soft_dtw(moved, 0.3).sum()))
        assert costs.grad is not None
        assert float(costs.grad[place]) == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-6)


def test_gradients_reach_the_rows_through_distances() -> None:
    seen, heard = drawn(1, 4, 3), drawn(1, 6, 3, seed=2)
    assert torch.autograd.gradcheck(
        lambda a, b: soft_dtw(euclidean(a, b), 0.2), (seen.requires_grad_(), heard.requires_grad_())
    )


def test_soft_warping_needs_softness() -> None:
    with pytest.raises(ValueError, match="gamma is 0"):
        soft_dtw(torch.ones(1, 2, 2), 0)


def test_the_path_of_a_stretched_copy_is_its_stretch() -> None:
    rows = drawn(1, 12, 6)
    at = path_means(euclidean(rows, rows.repeat_interleave(3, dim=1)))
    torch.testing.assert_close(at[0], torch.arange(12, dtype=torch.float64) * 3 + 1)


def test_production_projects_onto_the_box_and_keeps_every_bound() -> None:
    stream = np.random.RandomState(4)
    wanted = stream.uniform(-2, 2, 50)
    box, jitter = production(wanted, -0.3)
    np.testing.assert_allclose(box, np.clip(wanted, -1, 1), atol=1e-3)
    assert jitter == pytest.approx(0, abs=1e-6)
    # A projection onto a convex set brings no point of it further away.
    truth = stream.uniform(-1, 1, 50)
    assert np.linalg.norm(box - truth) <= np.linalg.norm(wanted - truth)
    bits = stream.uniform(0, 1, 50)
    tight, _ = production(wanted, 0.1, bits, Constraints(latency=0.7, bitrate=0.4))
    assert (tight + 1).mean() <= 0.7 + 1e-9
    assert ((tight + 1) * bits).sum() / bits.sum() <= 0.4 + 1e-9
    assert tight.min() >= -1 and tight.max() <= 1


@pytest.mark.parametrize(
    "network",
    [
        MathAv(20, 10),
        MathAv(20, 10, Settings(fusion="path", scaled=True)),
        LstmConcatenated(20, 10),
        Transformer(20, 10),
    ],
    ids=["mathav", "path", "lstm", "transformer"],
)
def test_a_network_tells_each_frame_and_each_clip_alone(network: torch.nn.Module) -> None:
    network.eval()
    seen, heard = drawn(2, 30, 20).float(), drawn(2, 100, 10).float()
    with torch.no_grad():
        told, alone = network(seen, heard), network(seen[1:], heard[1:])
    assert told.offsets.shape == (2, 30) and told.jitter.shape == (2,) and (told.jitter > 0).all()
    torch.testing.assert_close(told.offsets[1:], alone.offsets, atol=1e-5, rtol=1e-4)


def test_attention_weighs_the_moments_of_a_clip() -> None:
    seen, heard = drawn(2, 30, 20).float(), drawn(2, 100, 10).float()
    network = MathAv(20, 10).eval()
    told = network(seen, heard)
    torch.testing.assert_close(told.attention.sum(1), torch.ones(2))
    assert told.attention.std() > 0
    plain = MathAv(20, 10, Settings(attention=False)).eval()(seen, heard)
    torch.testing.assert_close(plain.attention, torch.full((2, 30), 1 / 30))


def test_the_path_tells_a_copy_that_comes_late() -> None:
    """Stage 3 alone: rows of a sound that are those of the picture, 0.2 s later, have an offset of -0.2 s."""
    network = MathAv(8, 8, Settings(fusion="path", svd=False)).eval()
    with torch.no_grad():
        network.w_a.copy_(network.w_v)
        for layer in (network.clip, network.frame):
            layer.weight.zero_()
            layer.bias.zero_()
    rows = drawn(1, 30, 8).repeat_interleave(10, dim=1).float()  # at 300 a second
    seen, heard = rows[:, 4::10], torch.roll(rows, 60, dims=1)[:, 1::3]
    told = network(seen, heard).offsets[0, 8:-8]
    assert (told + 0.2).abs().max() < 0.02


@pytest.mark.parametrize("offset", [-0.2, 0.0, 0.3])
def test_the_manifold_loss_compares_what_belongs_together(offset: float) -> None:
    """A line in the picture and the same line moved in the sound: no difference at the true offset alone."""
    times = (torch.arange(60) + 0.5) / 30
    seen = times[None, :, None].expand(1, 60, 4)
    heard = (torch.arange(200) / 100 + offset)[None, :, None].expand(1, 200, 4)
    zero = torch.zeros(1)
    told = Told(torch.zeros(1, 60), zero, seen, heard, None, (zero, zero))
    settings = Settings(kl=False, dtw=False)
    truth = torch.full((1, 60), offset)
    assert composite_loss(told, truth, settings)["manifold"] < 1e-8
    assert composite_loss(told, truth + 0.1, settings)["manifold"] > 1e-4


def test_the_loss_weighs_its_parts_as_the_seed_does() -> None:
    seen, heard, truth = drawn(2, 30, 20).float(), drawn(2, 100, 10).float(), torch.zeros(2, 30)
    network = MathAv(20, 10).eval()
    terms = composite_loss(network(seen, heard), truth, Settings())
    parts = 0.3 * terms["manifold"] + 0.5 * (terms["kl"] + 0.5 * terms["dtw"]) + 0.2 * terms["production"]
    torch.testing.assert_close(terms["total"], parts)
    terms["total"].backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    assert set(composite_loss(network(seen, heard), truth, Settings(kl=False, dtw=False, manifold=False))) == {
        "production", "total",
    }  # fmt: skip


def test_the_distance_of_frechet_is_its_formula() -> None:
    stream = np.random.RandomState(5)
    one, two = stream.standard_normal((50, 4)) @ stream.standard_normal((4, 4)), 1 + stream.standard_normal((60, 4))
    covs = [np.cov(rows.T, bias=True) for rows in (one, two)]
    root = np.real(sqrtm(covs[0] @ covs[1]))
    formula = np.square(one.mean(0) - two.mean(0)).sum() + np.trace(covs[0] + covs[1] - 2 * root)
    assert frechet_distance(one, two) == pytest.approx(formula, rel=1e-9)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, one + np.array([3, 0, 0, 0])) == pytest.approx(9)


def test_measures_have_known_answers() -> None:
    assert sync_accuracy(np.array([0.0, 0.016, -0.017, 0.5])) == 0.5
    assert temporal_jitter(np.array([3.0, -4.0])) == pytest.approx(12.5**0.5)
    assert latency_compliance([0.03, 0.04, 0.05, 0.09]) == 0.5
    low, high = bootstrap(np.repeat([0.0, 1.0], 50))
    assert low == pytest.approx(0.4, abs=0.02) and high == pytest.approx(0.6, abs=0.02)
    assert bootstrap(np.full(9, 4.0), np.sqrt) == (2.0, 2.0)
