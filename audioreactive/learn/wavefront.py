"""A stack of GRU layers, computed at the same time.

Layer l at frame t needs layer l - 1 at frame t and itself at frame t - 1. So in step d every layer l can compute its
frame d - l (Appleyard, Kočiský and Blunsom, "Optimizing Performance of Recurrent Neural Networks on GPUs", 2016,
section 3.3). With 17 channels, PyTorch's GRU spends most time on the overhead of operations. Here a step has five
operations for all layers together, forward and backward, with the same gradient.

Conventions: B clips of T frames, H channels in and out, L layers, D = T + L - 1 steps. The input of a layer (2H)
is the layer before and then its own last state; its gates (4H) are, in PyTorch's notation, r, z, n and the factor of r
in n.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def gru(x: Tensor, layers: nn.GRU) -> Tensor:
    """Compute `layers(x)[0]`, (B, T, H) -> (B, T, H), for layers whose input is as wide as their state."""
    every = [(getattr(layers, f"weight_ih_l{i}"), getattr(layers, f"weight_hh_l{i}")) for i in range(layers.num_layers)]
    biases = [(getattr(layers, f"bias_ih_l{i}"), getattr(layers, f"bias_hh_l{i}")) for i in range(layers.num_layers)]
    weight = torch.stack([_side_by_side(given.mT, own.mT) for given, own in every])
    bias = torch.stack([_side_by_side(given[None], own[None], joined=False).sum(0) for given, own in biases])
    outputs: Tensor = _Wavefront.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return outputs


def _side_by_side(given: Tensor, own: Tensor, *, joined: bool = True) -> Tensor:
    """Join the weights of the input (I, 3H) and of the layer's own state (I, 3H) to (2I, 4H)."""
    both, new = given.shape[1] // 3 * 2, given.shape[1] // 3
    nothing = given.new_zeros(len(given), new)
    first = torch.cat([given[:, :both], given[:, both:], nothing], 1)
    second = torch.cat([own[:, :both], nothing, own[:, both:]], 1)
    return torch.cat([first, second])


class _Wavefront(torch.autograd.Function):
    """Outputs of the last layer from x (B, T, H), weight (L, 2H, 4H) and bias (L, 4H)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(B, T, H) -> (B, T, H)."""
        clips, frames, width = x.shape
        count = len(weight)
        steps = frames + count - 1
        # Before step d, states[d, :, 0] is the next frame, and states[d, :, l + 1] the last state of layer l. The
        # layers are adjacent in memory, so that the input of a layer is a view and nothing is copied.
        states = x.new_zeros(steps + 1, clips, count + 1, width)
        states[:frames, :, 0] = x.transpose(0, 1)
        made = states[:, :, 1:].transpose(1, 2)  # [D + 1, L, B, H]
        gates = bias[:, None].expand(steps, -1, clips, -1).contiguous()  # [D, L, B, 4H]
        switches, new, held = (part.unbind(0) for part in torch.split(gates, [2 * width, width, width], dim=3))
        reset, keep = (part.unbind(0) for part in gates[..., : 2 * width].chunk(2, dim=3))
        own = made.unbind(0)
        for step, (row, gate) in enumerate(zip(_taken(states[:-1]).unbind(0), gates.unbind(0), strict=True)):
            gate.baddbmm_(row, weight)
            switches[step].sigmoid_()
            new[step].addcmul_(reset[step], held[step]).tanh_()
            torch.lerp(new[step], own[step], keep[step], out=own[step + 1])
            if step < count - 1:
                own[step + 1][step + 1 :] = 0  # layers that have not reached their first frame
        ctx.save_for_backward(states, gates, weight)
        return states[count:, :, -1].transpose(0, 1).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, H) -> gradients of x, weight and bias."""
        states, gates, weight = ctx.saved_tensors
        steps, count, clips, wide = gates.shape
        width = wide // 4
        reset, keep, new, held = gates.split(width, dim=3)
        before = states[:-1, :, 1:].transpose(1, 2)
        through = (1 - keep) * (1 - new.square())
        # The gradient of each gate is the gradient of the layer's state times a factor: [D, L, B, 4, H]
        factors = torch.stack(
            [through * held * reset * (1 - reset), (before - new) * keep * (1 - keep), through, through * reset], dim=3
        )
        inner = torch.empty_like(factors)
        rows = gates.new_empty(steps, count, clips, 2 * width)
        given, own = (part.unbind(0) for part in rows.split(width, dim=3))
        keeps, turned = keep.unbind(0), weight.mT.contiguous()
        flat = inner.flatten(3).unbind(0)
        last = gradients[0].transpose(0, 1).unbind(0)
        state = states.new_zeros(count, clips, width)
        for step in range(steps - 1, -1, -1):
            if step >= count - 1:
                state[-1] += last[step - count + 1]
            else:
                state[step + 1 :] = 0
            torch.mul(state[:, :, None], factors[step], out=inner[step])
            torch.bmm(flat[step], turned, out=rows[step])
            state = torch.addcmul(own[step], state, keeps[step])
            state[:-1] += given[step][1:]
        inner = inner.flatten(3).transpose(0, 1).flatten(1, 2)  # [L, D · B, 4H]
        taken = _taken(states[:-1]).transpose(0, 1).flatten(1, 2)
        frames = steps - count + 1
        return rows[:frames, 0, :, :width].transpose(0, 1), taken.mT @ inner, inner.sum(1)


def _taken(states: Tensor) -> Tensor:
    """Inputs of each layer as a view, (D, B, L + 1, H) contiguous -> (D, L, B, 2H)."""
    steps, clips, count, width = states.shape
    strides = (clips * count * width, width, count * width, 1)
    return states.as_strided((steps, count - 1, clips, 2 * width), strides)
