"""MathAV-Net as a whole, its stage 4 (section 4.3.4) and loss (4.4), and two networks of its Table 8.

All three take features of a clip, V (B, T_v, D) and A (B, T_a, F), and give the offset of each frame and the jitter of
the clip in seconds; positive offsets: the sound is early.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn

from audioreactive.sync.research.mathav.encoders import ROWS_A_SECOND, frame_means
from audioreactive.sync.research.mathav.stages import LAMBDA, centred, kl_divergence, manifold_loss, truncated_svd
from audioreactive.sync.research.mathav.warping import euclidean, path_means, soft_dtw

SHARED: Final = 128
"""d, dimensions of the shared space (section 4.3.2)."""
HIDDEN: Final = 256
"""Hidden size of the LSTM (Table 7)."""
DROPOUT: Final = 0.3
WEIGHTS: Final = (0.3, 0.5, 0.2)
"""α, β, χ of manifold, alignment and production (section 4.4)."""
SCALE: Final = 0.4
"""Seconds of an offset that counts as 1 in the loss: the largest of a made scene of complexity 1."""
SOFTNESS: Final = 0.1
"""γ of soft-DTW: a tenth of the usual distance of two rows of H, so that paths near the best count."""
FPS: Final = 30.0


@dataclass(frozen=True)
class Settings:
    """What of the network is there: the rows of Table 12, and two points that the seed leaves open."""

    svd: bool = True
    kl: bool = True
    dtw: bool = True
    manifold: bool = True
    attention: bool = True
    fusion: Literal["index", "path"] = "index"
    """What is concatenated with H_v[t]: H_a[t], as the equation of 4.3.4 says; or what the warping path puts there, as
    "once mathematically aligned" says in 4.2, and then the path's own offset is added to the network's."""
    scaled: bool = False
    """H of mean square 1: without it, manifold and alignment loss are least where H is 0."""


@dataclass(frozen=True, eq=False)
class Told:
    """What a network tells of some clips."""

    offsets: Tensor
    """(B, T_v) seconds."""
    jitter: Tensor
    """(B,) seconds."""
    seen: Tensor | None = None
    """H_v (B, T_v, d), where there is a shared space."""
    heard: Tensor | None = None
    """H_a (B, T_a, d)."""
    attention: Tensor | None = None
    """α (B, T_v)."""
    weights: tuple[Tensor, ...] = ()
    """W_v and W_a."""


class MathAv(nn.Module):
    """Stages 1 to 4. Stage 5 is `stages.production`, and works on what this tells.

    Args:
        seen: features of the picture, D.
        heard: features of the sound, F.
        settings: what of it is there.
    """

    def __init__(self, seen: int, heard: int, settings: Settings | None = None) -> None:
        super().__init__()
        self.settings = settings or Settings()
        self.w_v = nn.Parameter(torch.empty(seen, SHARED).normal_(std=seen**-0.5))
        self.w_a = nn.Parameter(torch.empty(heard, SHARED).normal_(std=heard**-0.5))
        self.rnn = nn.LSTM(2 * SHARED, HIDDEN, batch_first=True, bidirectional=True)
        self.query = nn.Linear(2 * HIDDEN, 1, bias=False)
        self.clip = nn.Linear(2 * HIDDEN, 2)
        self.frame = nn.Linear(2 * HIDDEN, 1)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, seen: Tensor, heard: Tensor) -> Told:
        """Features (B, T_v, D) and (B, T_a, F) -> offsets and jitter."""
        h_v, h_a = self.embedded(seen, self.w_v), self.embedded(heard, self.w_a)
        means = means_of(h_a.shape[1], h_v.shape[1], h_a)
        start = torch.zeros(())
        if self.settings.fusion == "index":
            other = means @ h_a
        else:
            row = path_means(euclidean(h_v.detach(), h_a.detach()))
            other = picked(h_a, row)
            middle = (torch.arange(h_v.shape[1], device=row.device) + 0.5) / FPS
            start = middle - row / ROWS_A_SECOND
        states, _ = self.rnn(self.dropout(torch.cat([h_v, other], 2)))
        states = self.dropout(states)
        share = self.query(states)[..., 0].softmax(1)
        if not self.settings.attention:
            share = torch.full_like(share, 1 / share.shape[1])
        context = (share[..., None] * states).sum(1)
        # The seed's y_ML is one vector for a clip, and "alignment offsets" are told of it: one for all of the clip from
        # the sum that attention weighs, and from each state how far the frame is from it.
        whole = self.clip(context)
        offsets = SCALE * (whole[:, :1] + self.frame(states)[..., 0]) + start.to(whole.device)
        jitter = SCALE * nn.functional.softplus(whole[:, 1])
        return Told(offsets, jitter, h_v, h_a, share, (self.w_v, self.w_a))

    def embedded(self, features: Tensor, weight: Tensor) -> Tensor:
        """Stages 1 and 2: features (B, T, C) -> H (B, T, d)."""
        apart = centred(features)
        shared = truncated_svd(apart).projected(weight) if self.settings.svd else apart @ weight
        if self.settings.scaled:
            shared = shared / shared.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-6)
        return shared


def means_of(rows: int, frames: int, like: Tensor) -> Tensor:
    """`encoders.frame_means` as a tensor beside another."""
    return torch.from_numpy(frame_means(rows, frames, FPS)).to(like)


def picked(rows: Tensor, at: Tensor) -> Tensor:
    """Rows (B, n, C) at places (B, T) between them, (B, T, C); the ends repeat."""
    place = at.clamp(0, rows.shape[1] - 1)
    low = place.floor().long().clamp(max=rows.shape[1] - 2)
    share = (place - low)[..., None]
    every = torch.arange(len(rows), device=rows.device)[:, None]
    return rows[every, low] * (1 - share) + rows[every, low + 1] * share


class LstmConcatenated(nn.Module):
    """B3 of Table 8: a plain LSTM on concatenated features."""

    def __init__(self, seen: int, heard: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(seen + heard, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN, 2)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, seen: Tensor, heard: Tensor) -> Told:
        """Features (B, T_v, D) and (B, T_a, F) -> offsets and jitter."""
        means = means_of(heard.shape[1], seen.shape[1], heard)
        states, _ = self.rnn(torch.cat([centred(seen), means @ centred(heard)], 2))
        offsets, jitter = self.out(self.dropout(states)).unbind(2)
        return Told(SCALE * offsets, SCALE * nn.functional.softplus(jitter.mean(1)))


class Transformer(nn.Module):
    """B2 of Table 8 at the size that seven hundred clips can train: after VATT, tokens of both sides in one sequence.

    VATT itself has 155 million weights and more and was trained on two million videos; this has two layers of four
    heads and 128 dimensions. A token is a frame of the picture, or of the sound; both have a sinusoidal place in time
    and a vector that says which side they are of.
    """

    def __init__(self, seen: int, heard: int, layers: int = 2) -> None:
        super().__init__()
        self.seen, self.heard = nn.Linear(seen, SHARED), nn.Linear(heard, SHARED)
        self.side = nn.Parameter(0.02 * torch.randn(2, SHARED))
        layer = nn.TransformerEncoderLayer(SHARED, 4, 2 * SHARED, DROPOUT, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.out = nn.Linear(SHARED, 2)

    def forward(self, seen: Tensor, heard: Tensor) -> Told:
        """Features (B, T_v, D) and (B, T_a, F) -> offsets and jitter."""
        frames = seen.shape[1]
        means = means_of(heard.shape[1], frames, heard)
        place = places(frames).to(seen)
        h_v = self.seen(centred(seen)) + self.side[0]
        h_a = self.heard(means @ centred(heard)) + self.side[1]
        states = self.layers(torch.cat([h_v + place, h_a + place], 1))
        offsets, jitter = self.out(states[:, :frames]).unbind(2)
        return Told(
            SCALE * offsets, SCALE * nn.functional.softplus(jitter.mean(1)),
            states[:, :frames], states[:, frames:],
        )  # fmt: skip


def places(count: int) -> Tensor:
    """Sines and cosines (count, d) of the place in time (Vaswani et al., "Attention is all you need", section 3.5)."""
    rate = torch.exp(torch.arange(0, SHARED, 2) * (-math.log(10_000) / SHARED))
    angle = torch.arange(count)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)


def production_loss(told: Told, truth: Tensor) -> Tensor:
    """L_production of section 4.4, which the seed leaves undefined: the mean square error of offsets and jitter.

    Both in units of 0.4 s. The jitter that is meant is the root mean square of a clip's own errors.
    """
    errors = (told.offsets - truth) / SCALE
    actual = errors.detach().square().mean(1).sqrt()
    return errors.square().mean() + (told.jitter / SCALE - actual).square().mean()


def composite_loss(told: Told, truth: Tensor, settings: Settings) -> dict[str, Tensor]:
    """Section 4.4: the terms of 0.3 L_manifold + 0.5 L_align + 0.2 L_production, and their sum `total`.

    Args:
        told: what a `MathAv` told.
        truth: (B, T_v) offsets in seconds.
        settings: a term that is not there counts for nothing.
    """
    assert told.seen is not None and told.heard is not None
    h_v, h_a = told.seen, told.heard
    frames = h_v.shape[1]
    terms = {"production": production_loss(told, truth)}
    if settings.manifold:
        # What belongs to a frame by the truth: the sound of frame t lies at t - offset.
        middle = (torch.arange(frames, device=truth.device) + 0.5) / FPS
        row = (middle - truth) * ROWS_A_SECOND
        inside = ((row >= 0) & (row <= h_a.shape[1] - 1))[..., None]
        belongs = torch.where(inside, picked(h_a, row.to(h_a)), h_v)
        terms["manifold"] = manifold_loss(h_v, belongs, *told.weights)
    if settings.kl:
        terms["kl"] = kl_divergence(h_v, h_a).mean()
    if settings.dtw:
        # On frames, T_v x T_v: on all rows of the sound a step takes twice as long. The path is as long as T at least.
        costs = euclidean(h_v, means_of(h_a.shape[1], frames, h_a) @ h_a)
        terms["dtw"] = soft_dtw(costs, SOFTNESS).mean() / frames
    alpha, beta, chi = WEIGHTS
    factors = {"manifold": alpha, "kl": beta, "dtw": beta * LAMBDA, "production": chi}
    total = torch.stack([factors[name] * term for name, term in terms.items()]).sum()
    return {**terms, "total": total}
