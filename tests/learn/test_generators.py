"""Envelope generators: of equal size, of any length, causal where they say so."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from audioreactive.learn import wavefront
from audioreactive.learn.generators import KINDS, EnvelopeGenerator, parameters
from audioreactive.learn.model_file import BLOCK, Configuration, SynthesizerNetwork
from audioreactive.learn.s4 import DiagonalStateSpace
from audioreactive.learn.tables import INPUTS


def make(kind: str, depth: int = 4) -> EnvelopeGenerator:
    torch.manual_seed(0)
    return EnvelopeGenerator(kind, inputs=INPUTS, hidden=17, depth=depth)


def test_they_have_as_many_parameters_as_each_other() -> None:
    counts = [parameters(make(kind)) for kind in KINDS]
    assert max(counts) <= 1.05 * min(counts)
    assert all(abs(count - 15_000) < 750 for count in counts)


@pytest.mark.parametrize("kind", KINDS)
def test_any_length_and_every_parameter_learns(kind: str) -> None:
    generator = make(kind, depth=2)
    for frames in (1, 5, 200):
        assert generator(torch.rand(2, frames, INPUTS)).shape == (2, frames, 17)
    generator(torch.rand(2, 64, INPUTS)).square().sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        # What a gate does to its input shows once its kernel, 0 at first, has moved.
        assert parameter.grad.abs().max() > 0 or "gate_norm" in name, name


@pytest.mark.parametrize(("layers", "frames"), [(4, 12), (1, 5), (3, 1), (5, 2)])
def test_all_layers_at_once_are_the_layers_one_by_one(layers: int, frames: int) -> None:
    """PyTorch's own GRU is the oracle, of values and of every gradient; also where there are fewer frames than
    layers.
    """
    torch.manual_seed(0)
    oracle = nn.GRU(6, 6, layers, batch_first=True).double()
    ours = copy.deepcopy(oracle)
    theirs_in = torch.randn(3, frames, 6, dtype=torch.float64, requires_grad=True)
    ours_in = theirs_in.detach().clone().requires_grad_()
    wanted = torch.randn(3, frames, 6, dtype=torch.float64)
    theirs_out, ours_out = oracle(theirs_in)[0], wavefront.gru(ours_in, ours)
    torch.testing.assert_close(ours_out, theirs_out, rtol=0, atol=1e-12)
    (theirs_out * wanted).sum().backward()
    (ours_out * wanted).sum().backward()
    torch.testing.assert_close(ours_in.grad, theirs_in.grad, rtol=0, atol=1e-12)
    for (name, first), second in zip(ours.named_parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("kind", ["gru", "lstm", "sashimi"])
def test_what_comes_later_does_not_matter_to_causal_ones(kind: str) -> None:
    generator, features = make(kind).double(), torch.rand(1, 50, INPUTS).double()
    changed = features.clone()
    changed[:, 30:] = 0
    torch.testing.assert_close(generator(features)[:, :30], generator(changed)[:, :30])
    assert not torch.allclose(generator(features)[:, 30:], generator(changed)[:, 30:])


def test_the_state_space_is_the_recurrence_that_it_stands_for() -> None:
    torch.manual_seed(1)
    layer = DiagonalStateSpace(3).double()
    u = torch.randn(1, 40, 3).double()
    step = layer.log_step.exp()[:, None]
    state = torch.complex(-layer.log_decay.exp(), layer.frequency)
    decay, gain = torch.exp(state * step), (torch.exp(state * step) - 1) / state
    x, expected = torch.zeros_like(state), []
    for frame in u[0]:
        x = decay * x + gain * frame[:, None]
        y = 2 * (torch.view_as_complex(layer.readout) * x).sum(1).real
        expected.append(y + layer.through * frame)
    torch.testing.assert_close(layer(u)[0], torch.stack(expected))


def test_attention_goes_through_long_songs_in_blocks() -> None:
    torch.manual_seed(0)
    network = SynthesizerNetwork(Configuration(kind="transformer")).eval()
    features = torch.rand(1, 3 * BLOCK + 17, INPUTS)
    with torch.no_grad():
        whole = network.envelopes(features)
        short = network.envelopes(features[:, :BLOCK])
        torch.testing.assert_close(short, network.generator(features[:, :BLOCK]))
    assert whole.shape == (1, 3 * BLOCK + 17, 17)
    # The first half block is in no other block.
    torch.testing.assert_close(whole[:, : BLOCK // 2], short[:, : BLOCK // 2], atol=1e-5, rtol=1e-4)
