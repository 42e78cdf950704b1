"""StyleGAN3 as a generator: what is recorded as a CUDA graph, and what its kernels are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from emulated_graphs import Graph, play_graphs

from audioreactive.generators.moves import Moves
from audioreactive.generators.pixels import to_pixels
from audioreactive.generators.stylegan3 import StyleGAN3
from stylegan_ops import AliasFreeGenerator
from stylegan_ops.stylegan3.design import Plan

if TYPE_CHECKING:
    import pytest


def small() -> StyleGAN3:
    plan = Plan(16, 128, 8, num_layers=4, margin_size=4)
    return StyleGAN3(AliasFreeGenerator.random(plan, z_dim=8, w_dim=8, seed=1, implementation="reference"))


def test_frames_of_a_moved_plane_come_from_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = play_graphs(monkeypatch)
    generator = small()
    frames = generator.frame_function("rgb24")
    for seed in range(3):
        stream = torch.Generator().manual_seed(seed)
        ws = torch.randn(2, generator.network.num_ws, 8, generator=stream)
        for moves in (Moves(), Moves(transform=torch.eye(3) + 0.1 * torch.randn(2, 3, 3, generator=stream))):
            wanted = to_pixels(generator.synthesis(ws, (), moves), "rgb24")
            assert torch.equal(frames(ws, (), moves), wanted)
    assert streams.recorded == 2 and Graph.replays == 2 * 2


def test_the_fingerprint_tells_layers_that_plain_pytorch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = small()
    seen = {generator.fingerprint}
    monkeypatch.setattr(generator.network, "compiled", True)
    monkeypatch.setattr("stylegan_ops.selfcheck.wrong", lambda device, dtype: [])
    seen.add(generator.fingerprint)
    monkeypatch.setattr("stylegan_ops.selfcheck.wrong", lambda device, dtype: ["filtered_lrelu"])
    assert "compiled but not filtered_lrelu kernels" in generator.fingerprint
    seen.add(generator.fingerprint)
    monkeypatch.setattr("stylegan_ops.stylegan3.generator.kernel_pays", lambda device, dtype, layer: False)
    network = generator.network
    network._layers = [network._measured(layer) for layer in network._layers]
    assert f"(plain in {', '.join(network.layer_names)})" in generator.fingerprint
    assert len(seen | {generator.fingerprint}) == 4
