"""A state-space layer and the block of Sashimi around it (Goel, Gu, Donahue and Ré, "It's Raw!", 2022).

The layer is S4 with a diagonal state matrix, S4D-Lin (Gu, Gupta, Goel and Ré, "On the Parameterization and
Initialization of Diagonal State Space Models", 2022): for each channel, x' = Ax + Bu, y = Re(Cx) + Du, discretised by
zero-order hold, with n complex states of which A starts at -1/2 + iπk. It is computed as a convolution: the kernel is
computed once for the length of the sequence and applied by Fourier transform. Sashimi's pooling is left out, because
sequences are short and each frame needs an envelope.

Conventions: (B, T, H) in and out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STATES = 8
"""Number of complex states of a channel; their conjugates are implied."""
SHORTEST_STEP, LONGEST_STEP = 0.001, 0.1
"""Range of the initial steps of channels; they give memories from hundredths of a second to some seconds."""


class DiagonalStateSpace(nn.Module):
    """S4D-Lin, one system for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        low, high = math.log(SHORTEST_STEP), math.log(LONGEST_STEP)
        self.log_step = nn.Parameter(torch.rand(channels) * (high - low) + low)
        self.log_decay = nn.Parameter(torch.full((channels, STATES), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(STATES).float().repeat(channels, 1))
        self.readout = nn.Parameter(torch.randn(channels, STATES, 2) * 0.5**0.5)
        self.through = nn.Parameter(torch.randn(channels))

    def kernel(self, length: int) -> Tensor:
        """Impulse response (H, length). B is 1, because it can be absorbed into C."""
        step = self.log_step.exp()[:, None]
        state = torch.complex(-self.log_decay.exp(), self.frequency)  # [H, n]
        gain = torch.view_as_complex(self.readout) * (torch.exp(state * step) - 1) / state
        powers = torch.exp((state * step)[..., None] * torch.arange(length, device=step.device))
        response: Tensor = 2 * (gain[..., None] * powers).sum(1).real
        return response

    def forward(self, u: Tensor) -> Tensor:
        """(B, T, H) -> (B, T, H)."""
        length = u.shape[1]
        spectrum = torch.fft.rfft(u.mT, 2 * length) * torch.fft.rfft(self.kernel(length), 2 * length)
        made: Tensor = torch.fft.irfft(spectrum, 2 * length)[..., :length].mT + u * self.through
        return made


class SashimiBlock(nn.Module):
    """State space, GELU, gated linear layer; then a dense layer, without expansion (appendix A.3)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.states = DiagonalStateSpace(hidden)
        self.gate = nn.Linear(hidden, 2 * hidden)
        self.dense = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H) -> (B, T, H)."""
        x = x + F.glu(self.gate(F.gelu(self.states(self.norm(x)))), dim=-1)
        refined: Tensor = x + self.dense(x)
        return refined
