"""Noise within CUDA graphs: what is started one by one for a batch, and whether the frames stay the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from emulated_graphs import Graph, Launches, play_graphs
from support import make_features

from audioreactive.generators.stylegan2 import StyleGAN2
from audioreactive.patches.motion import motion
from audioreactive.patches.noise import _Maps
from audioreactive.patches.schema import Patch
from audioreactive.rendering.renderer import Renderer
from stylegan_ops import Generator, graphs

if TYPE_CHECKING:
    from audioreactive.patches.motion import Inputs

ALONE = 8
"""Operations of a batch that are started one by one: its latents, copies, and two replays; the noise has none."""

LOOPS = (
    {"strategy": "loop", "seconds": 2, "sigma": 7, "fields": [2, 0, 1], "intensity": 2},
    {"strategy": "loop", "seconds": 3, "sigma": 5, "fields": [0, 1, 2], "merge": "modulate",
     "modulator": {"feature": "onsets"}},
    {"strategy": "loop", "bars": 1, "sigma": 9, "fields": [1, 2, 0], "depth": ["coarse"], "intensity": 1},
)  # fmt: skip


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    """Where graphs are recorded: on a GPU, or on the CPU after `play`."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    return "cuda" if request.param == "cuda" else "cpu"


def play(device: str, patch: pytest.MonkeyPatch) -> None:
    if device == "cpu":
        play_graphs(patch)


def network_on(device: str) -> StyleGAN2:
    small = Generator.random(
        img_resolution=32, channel_base=256, seed=0, z_dim=8, w_dim=8, mapping_layers=1, device=device
    )
    return StyleGAN2(small)


def inputs_for(network: StyleGAN2, *loops: dict, onsets: np.ndarray | None = None) -> Inputs:
    """Inputs with loops of noise, of which the second is there where `onsets` are."""
    noise = {"seeds": [1, 2, 3], "base": [0, 1], "sequences": loops}
    patch = Patch.model_validate({"palette": {"seeds": [1, 2]}, "latents": {"base": [0, 1]}, "noise": noise})
    return motion(patch, make_features(onsets=np.zeros(192) if onsets is None else onsets)).on(network)


def test_the_noise_of_a_batch_starts_no_kernel_of_its_own(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    network = network_on(device)
    inputs = inputs_for(network, *LOOPS)
    plain = [frames for _, frames in Renderer(network, inputs, batch=4).batches(range(0, 32, 4))]
    play(device, monkeypatch)
    renderer = Renderer(network, inputs, batch=4)
    counts = []
    for first in range(0, 32, 4):
        with Launches() as launches:
            found = [frames for _, frames in renderer.batches([first])]
        counts.append(len(launches.names))
        np.testing.assert_array_equal(found[0], plain[first // 4])
    assert counts[0] > 150, "the first batch is started kernel by kernel"
    assert max(counts[2:]) <= ALONE, launches.names


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_frames_do_not_depend_on_where_a_render_begins(
    monkeypatch: pytest.MonkeyPatch, device: str, batch: int
) -> None:
    """As after an interruption, or by another worker; with loops that come and go."""
    network = network_on(device)
    onsets = np.repeat([0.0, 1.0, 0.0, 0.5], 48)
    inputs = inputs_for(network, *LOOPS, onsets=onsets)
    firsts = list(range(0, 192, batch))
    plain = dict(Renderer(network, inputs, batch=batch).batches(firsts))
    play(device, monkeypatch)
    for order in (firsts, firsts[len(firsts) // 3 :], firsts[::-2]):
        for first, frames in Renderer(network, inputs, batch=batch).batches(order):
            np.testing.assert_array_equal(frames, plain[first])


def test_each_combination_of_loops_has_a_graph_up_to_a_number(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    network = network_on(device)
    inputs = inputs_for(network, *LOOPS, onsets=np.tile(np.repeat([0.0, 1.0], 8), 12))
    firsts = list(range(0, 192, 4))
    plain = dict(Renderer(network, inputs, batch=4).batches(firsts))
    play(device, monkeypatch)
    for most, kept in ((graphs.MOST_MAKERS, 2), (1, 1), (0, 0)):
        monkeypatch.setattr(graphs, "MOST_MAKERS", most)
        renderer = Renderer(network, inputs, batch=4)
        found = dict(renderer.batches(firsts))
        for first, frames in found.items():
            np.testing.assert_array_equal(frames, plain[first])
        (graph,) = renderer._make._graphs._graphs.values()
        assert len(graph.makings) == kept


def test_noise_that_cannot_be_recorded_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_on("cpu")
    inputs = inputs_for(network, *LOOPS)
    plain = dict(Renderer(network, inputs, batch=4).batches(range(0, 32, 4)))
    streams = play_graphs(monkeypatch)
    whole = _Maps.__call__

    def looked_at(make: _Maps, tables: torch.Tensor) -> list[torch.Tensor]:
        return [maps * float(maps.isfinite().all()) for maps in whole(make, tables)]

    monkeypatch.setattr(_Maps, "__call__", looked_at)
    renderer = Renderer(network, inputs, batch=4)
    for first, frames in renderer.batches(range(0, 32, 4)):
        np.testing.assert_array_equal(frames, plain[first])
    (graph,) = renderer._make._graphs._graphs.values()
    assert list(graph.makings.values()) == [None] and streams.recorded == 1 and Graph.replays == 7
