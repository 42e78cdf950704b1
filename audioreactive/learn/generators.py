"""Sequence models from features to envelopes, compared in section 5.5.4 (appendix A.3).

All have the same structure: an encoder of each frame (a linear layer, GELU, a linear layer to the hidden size), `depth`
layers of a sequence model of that size, and a linear layer to the 17 envelopes. The width of the encoder is chosen so
that all have about 15 000 parameters at depth 4 and hidden size 17, within 5 %.

Conventions: (B, T, C) in and out; any T; the same weights for any frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audioreactive.learn import wavefront
from audioreactive.learn.losses import ENVELOPES
from audioreactive.learn.s4 import SashimiBlock

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["gru", "lstm", "mlp_asr", "convnext", "transformer", "sashimi"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ENCODERS: dict[Kind, int] = {
    "gru": 99,
    "lstm": 67,
    "mlp_asr": 39,
    "convnext": 61,
    "transformer": 0,
    "sashimi": 98,
}
"""Width of the encoder, chosen for an equal number of parameters; 0 for a single linear layer."""
CONVNEXT_KERNEL = 7
"""Frames of a convolution of ConvNeXt."""
MLP_KERNEL = 31
"""Frames of the convolution of a gate, as in the convolutional gating of Sakuma, Komatsu and Scheibler (2021)."""
HEADS, HEAD_SIZE = 4, 4
"""Attention heads of the transformer, and channels of each."""


class EnvelopeGenerator(nn.Module):
    """Encoder, sequence model, envelopes."""

    def __init__(self, kind: Kind, *, inputs: int, hidden: int, depth: int) -> None:
        """`inputs` is the number of input channels; the sequence model has `depth` layers of `hidden` channels."""
        super().__init__()
        width = ENCODERS[kind]
        wide = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, hidden)) if width else None
        self.encoder = wide or nn.Linear(inputs, hidden)
        self.body = _BODIES[kind](hidden, depth)
        self.head = nn.Linear(hidden, ENVELOPES)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, inputs) in [0, 1] -> (B, T, 17), any range."""
        envelopes: Tensor = self.head(self.body(self.encoder(2 * features - 1)))
        return envelopes


@dataclass(frozen=True)
class _Recurrent:
    """Constructor of a recurrent sequence model."""

    cell: type[nn.GRU | nn.LSTM]

    def __call__(self, hidden: int, depth: int) -> nn.Module:
        return RecurrentBody(self.cell(hidden, hidden, depth, batch_first=True))


class RecurrentBody(nn.Module):
    """PyTorch's GRU (Cho et al. 2014) or LSTM (Hochreiter and Schmidhuber 1997)."""

    def __init__(self, layers: nn.GRU | nn.LSTM) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H) -> (B, T, H)."""
        if isinstance(self.layers, nn.GRU) and torch.is_grad_enabled():
            return wavefront.gru(x, self.layers)  # forward and backward take half the time of PyTorch's
        states: Tensor = self.layers(x)[0]
        return states


class ConvNextBlock(nn.Module):
    """Liu et al. 2022, along time instead of two dimensions: a wide depthwise convolution, then two dense layers."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(hidden, hidden, CONVNEXT_KERNEL, padding=CONVNEXT_KERNEL // 2, groups=hidden)
        self.norm = nn.LayerNorm(hidden)
        self.widen = nn.Linear(hidden, 4 * hidden)
        self.narrow = nn.Linear(4 * hidden, hidden)
        self.scale = nn.Parameter(torch.full((hidden,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H) -> (B, T, H)."""
        mixed = self.norm(self.mix(x.mT).mT)
        refined: Tensor = x + self.scale * self.narrow(F.gelu(self.widen(mixed)))
        return refined


class GatedMlpBlock(nn.Module):
    """MLP-ASR's convolutional gating unit (Sakuma et al. 2021): half of the channels, convolved, gate the other
    half.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        inner = 2 * hidden  # the thesis' channel multiplier
        self.norm = nn.LayerNorm(hidden)
        self.widen = nn.Linear(hidden, 2 * inner)
        self.gate_norm = nn.LayerNorm(inner)
        self.gate = nn.Conv1d(inner, inner, MLP_KERNEL, padding=MLP_KERNEL // 2, groups=inner)
        self.narrow = nn.Linear(inner, hidden)
        # Open at first, so that the block starts as a dense one.
        nn.init.zeros_(self.gate.weight)
        nn.init.ones_(self.gate.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H) -> (B, T, H)."""
        kept, gating = F.gelu(self.widen(self.norm(x))).chunk(2, dim=-1)
        refined: Tensor = x + self.narrow(kept * self.gate(self.gate_norm(gating).mT).mT)
        return refined


class TransformerBlock(nn.Module):
    """An encoder block that normalises first: attention of 4 heads of 4 channels, then two dense layers."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.queries = nn.Linear(hidden, 3 * HEADS * HEAD_SIZE, bias=False)
        self.join = nn.Linear(HEADS * HEAD_SIZE, hidden, bias=False)
        self.dense = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H) -> (B, T, H)."""
        query, key, value = self.queries(self.norm(x)).unflatten(-1, (3, HEADS, HEAD_SIZE)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)  # [B, heads, T, 4]
        x = x + self.join(seen.transpose(1, 2).flatten(2))
        refined: Tensor = x + self.dense(x)
        return refined


class Positions(nn.Module):
    """Adds sines of the frame number (Vaswani et al. 2017), because attention ignores the order of frames."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H) -> (B, T, H)."""
        frames, hidden = x.shape[1:]
        channel = torch.arange(hidden, device=x.device)
        rate = 10_000.0 ** (-(channel // 2) * 2 / hidden)
        phase = torch.arange(frames, device=x.device)[:, None] * rate
        return x + torch.where(channel % 2 == 0, phase.sin(), phase.cos())


def _stack(block: Callable[[int], nn.Module], *first: Callable[[], nn.Module]) -> Callable[[int, int], nn.Module]:
    def make(hidden: int, depth: int) -> nn.Module:
        return nn.Sequential(*(module() for module in first), *(block(hidden) for _ in range(depth)))

    return make


_BODIES: dict[Kind, Callable[[int, int], nn.Module]] = {
    "gru": _Recurrent(nn.GRU),
    "lstm": _Recurrent(nn.LSTM),
    "mlp_asr": _stack(GatedMlpBlock),
    "convnext": _stack(ConvNextBlock),
    "transformer": _stack(TransformerBlock, Positions),
    "sashimi": _stack(SashimiBlock),
}


def parameters(module: nn.Module) -> int:
    """Number of learned parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
