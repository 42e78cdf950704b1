"""HiPPO: the reduced loss is the loss, its optimum is found, seeds and weights do what they say."""

from __future__ import annotations

from functools import partial
from itertools import pairwise as pairwise_of

import numpy as np
import pytest
import torch
from support import threads
from torch.autograd import gradcheck

from audioreactive.learn.hippo import fit, problem_of
from audioreactive.learn.legendre import Windows
from audioreactive.learn.losses import SEQUENCES, chance, normalised, pairwise, procrustes, variation
from audioreactive.learn.tables import centred_targets

RATE = 24.0


def sound(frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Smooth features of several widths, centred and of norm 1."""
    stream = np.random.RandomState(seed)
    steps = np.ones(6) / 6
    made = {}
    for name, channels in (("onsets", 1), ("chroma", 12), ("mfcc", 5), ("rms", 1)):
        noise = stream.randn(frames + 5, channels)
        made[name] = np.stack([np.convolve(column, steps, "valid") for column in noise.T], 1).astype(np.float32)
    return centred_targets(made)


def by_frames(
    coefficients: np.ndarray, windows: Windows, tables: dict, weights: dict, correction: float, calm: float
) -> float:
    """The loss from the envelopes themselves."""
    envelopes = torch.from_numpy(windows.reconstruct(coefficients, np.arange(float(windows.frames)))).double()[None]
    sequences = [envelopes[..., list(columns)] for columns in SEQUENCES]
    # Centring is left to the features: what an envelope's mean adds to its norm counts against it.
    made = torch.cat([part / part.norm() for part in sequences], 2)
    heard = torch.from_numpy(np.concatenate(list(tables.values()), 1))[None]

    def score(sound: torch.Tensor) -> torch.Tensor:
        if not weights:
            return torch.linalg.svdvals(sound.mT @ made).sum() / (len(tables) * len(SEQUENCES)) ** 0.5
        edges = np.cumsum([0, *(table.shape[1] for table in tables.values())])
        values = [
            np.mean([float(torch.linalg.svdvals(sound[0, :, a:b].T @ (p / p.norm())[0]).sum()) for p in sequences])
            for a, b in pairwise_of(edges)
        ]
        return torch.tensor(np.average(values, weights=[weights.get(name, 1) for name in tables]))

    frames = windows.frames
    others = [score(heard.roll(round(frames * (i + 1) / 5), 1)) for i in range(4)]
    steps = torch.stack([(part / part.norm()).diff(dim=1).norm(dim=2).mean() for part in sequences]).mean()
    calm = calm / 4 if weights else calm
    return float(1 - score(heard) + correction * torch.stack(others).mean() + calm * frames**0.5 * steps)


@pytest.mark.parametrize("frames", [100, 500, 800, 1000])
@pytest.mark.parametrize("weights", [{}, {"onsets": 10.0}])
def test_the_reduced_loss_is_the_loss_of_the_frames(frames: int, weights: dict) -> None:
    tables, windows = sound(frames), Windows.over(frames, RATE)
    basis, legendre = windows.orthonormal(20)
    problem, span = problem_of(tables, windows, basis, weights, 0.5, 0.7)
    mixture = np.random.RandomState(1).randn(problem.cross.shape[2], 17)
    reduced = float(problem.loss(torch.from_numpy(mixture)))
    # In directions that need large coefficients, the ridge counts for a little.
    coefficients = legendre @ (span.solutions @ mixture)
    assert reduced == pytest.approx(by_frames(coefficients, windows, tables, weights, 0.5, 0.7), abs=2e-2)


@pytest.mark.parametrize("weights", [{}, {"onsets": 10.0}])
def test_gradients_against_finite_differences(weights: dict) -> None:
    tables, windows = sound(450), Windows.over(450, RATE)
    problem, _ = problem_of(tables, windows, windows.orthonormal(6)[0], weights, 0.5, 0.7)
    start = torch.from_numpy(np.random.RandomState(2).randn(problem.cross.shape[2], 17)).requires_grad_()
    assert gradcheck(problem.loss, (start,), fast_mode=True)


def best_by_turns(tables: dict, windows: Windows, count: int) -> float:
    """The highest correlation, by another way: the best rotation and the best envelopes in turns."""
    inner = windows.orthonormal(count)[0]
    size = inner.shape[1]
    basis = np.zeros((windows.frames, windows.count * size))
    for index in range(windows.count):
        start = index * windows.hop
        part = inner * windows.share(index, np.arange(float(windows.length)))[:, None]
        rows = min(windows.length, windows.frames - start)
        basis[start : start + rows, index * size : (index + 1) * size] = part[:rows]
    q = np.linalg.qr(basis)[0]
    heard = q.T @ np.concatenate(list(tables.values()), 1) / len(tables) ** 0.5
    made = np.random.RandomState(0).randn(q.shape[1], 17)
    value = 0.0
    for _ in range(100):
        for columns in SEQUENCES:
            made[:, list(columns)] /= np.linalg.norm(made[:, list(columns)]) * len(SEQUENCES) ** 0.5
        u, s, vh = np.linalg.svd(heard.T @ made, full_matrices=False)
        value = float(s.sum())
        made = heard @ (u @ vh)
    return value


def test_the_best_motion_is_found() -> None:
    tables, windows = sound(380), Windows.over(380, RATE)
    result = fit(tables, rate=RATE, coefficients=24, steps=400, weights={}, correction=0.0, calm=0.0, seed=0)
    best = best_by_turns(tables, windows, 24)
    assert 0.96 * best < 1 - result.losses[-1] < best + 1e-6
    assert len(result.losses) < 400  # it stopped when nothing was gained
    assert result.losses[-1] == pytest.approx(by_frames(result.coefficients, windows, tables, {}, 0.0, 0.0), abs=2e-3)


def test_a_seed_names_a_motion() -> None:
    tables = sound(300)
    common = {"rate": RATE, "coefficients": 16, "steps": 40, "weights": {}, "correction": 0.5, "calm": 1.0}
    with threads(2):
        first, again, other = (fit(tables, seed=seed, **common) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.coefficients, again.coefficients)
    assert abs(first.losses[-1] - other.losses[-1]) < 0.02  # as good
    assert abs(np.corrcoef(first.coefficients.ravel(), other.coefficients.ravel())[0, 1]) < 0.6  # and another


@pytest.mark.parametrize("name", ["onsets", "chroma"])
def test_the_weighted_feature_leads(name: str) -> None:
    tables = sound(400)
    common = {"rate": RATE, "coefficients": 64, "steps": 60, "correction": 0.0, "calm": 0.0, "seed": 0}

    def score(weights: dict) -> float:
        result = fit(tables, weights=weights, **common)
        envelopes = torch.from_numpy(result.windows.reconstruct(result.coefficients, np.arange(400.0)))[None]
        blocks = [slice(min(columns), max(columns) + 1) for columns in SEQUENCES[:3]]
        table = torch.from_numpy(tables[name]).float()[None]
        return float(pairwise(table, envelopes, [slice(0, None)], blocks, torch.ones(1)))

    assert score({name: 10.0}) > score({other: 10.0 for other in tables if other != name}) + 0.1


def drift_and_beats() -> dict[str, np.ndarray]:
    stream = np.random.RandomState(3)
    drift = np.cumsum(stream.randn(700, 4), 0).astype(np.float32)  # slow: fits anything slow
    beats = (stream.rand(700, 2) < 0.1).astype(np.float32)
    return centred_targets({"chroma": drift, "onsets": beats})


def test_correction_lowers_what_other_times_score() -> None:
    tables = drift_and_beats()
    common = {"rate": RATE, "coefficients": 96, "steps": 150, "weights": {}, "calm": 0.0, "seed": 0}
    heard = torch.from_numpy(np.concatenate(list(tables.values()), 1))[None]

    def excess(correction: float) -> float:
        result = fit(tables, correction=correction, **common)
        made = torch.from_numpy(result.windows.reconstruct(result.coefficients, np.arange(700.0))).double()[None]
        made = torch.cat([normalised(made[..., list(columns)]) for columns in SEQUENCES], 2)
        return float(procrustes(heard, made) - chance(partial(procrustes, made=made), heard, range(50, 650, 40)))

    assert excess(1.0) > excess(0.0)


def test_calm_motion_goes_less_far() -> None:
    tables = drift_and_beats()
    common = {"rate": RATE, "coefficients": 96, "steps": 150, "weights": {}, "correction": 0.0, "seed": 0}

    def way(calm: float) -> float:
        result = fit(tables, calm=calm, **common)
        made = torch.from_numpy(result.windows.reconstruct(result.coefficients, np.arange(700.0))).double()[None]
        return float(torch.stack([variation(made[..., list(columns)]) for columns in SEQUENCES]).mean())

    assert way(1.0) < 0.8 * way(0.0)
