"""CUDA graphs: what is recorded and when, on a CPU that plays them."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import torch
from emulated_graphs import Graph, Streams, play_graphs

from stylegan_ops import (
    AliasFreeGenerator,
    Architecture,
    Generator,
    GraphSynthesis,
    StyleGANError,
    deferred,
    graphs,
    ops,
)
from stylegan_ops.initial import random_state
from stylegan_ops.stylegan3.design import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = Architecture(z_dim=16, w_dim=24, mapping_features=(20, 24), channels=(20, 17, 8, 4), conv_clamp=2.0)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    return play_graphs(monkeypatch)


def small(**options: object) -> Generator:
    return Generator(SMALL, random_state(SMALL, seed=3), **options)  # type: ignore[arg-type]


def inputs(batch: int, seed: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    stream = torch.Generator().manual_seed(seed)
    ws = torch.randn(batch, SMALL.num_ws, SMALL.w_dim, generator=stream)
    return ws, [torch.randn(batch, 1, *size, generator=stream) for size in SMALL.noise_sizes]


@pytest.mark.parametrize("implementation", ["reference", "auto"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_second_batch_of_a_shape_is_recorded_and_the_pixels_stay(
    streams: Streams, implementation: str, dtype: torch.dtype
) -> None:
    generator = small(implementation=implementation, dtype=dtype)
    convert = functools.partial(ops.rgb_to_yuv420, compiled=generator.compiled)
    synthesise = GraphSynthesis(generator, convert)
    with torch.inference_mode():
        for seed in range(4):
            for batch in (1, 3):
                ws, noise = inputs(batch, seed)
                found = synthesise(ws, noise)
                wanted = convert(generator.synthesis(ws, noise))
                for given in (ws, *noise):
                    given.fill_(7)  # the caller's own again
                kept = found.clone()
                synthesise(*inputs(batch, seed + 10))
                assert torch.equal(found, wanted) and torch.equal(found, kept)
    assert streams.recorded == 2 and Graph.replays == 2 * (8 - 1)


def test_given_and_constant_noise_are_told_apart(streams: Streams) -> None:
    generator = small()
    synthesise = GraphSynthesis(generator)
    ws, noise = inputs(2, 1)
    for _ in range(3):
        for kind in ("const", "none", noise, [values[:1] for values in noise]):
            assert torch.equal(synthesise(ws, kind), generator.synthesis(ws, kind))
    assert streams.recorded == 4
    with pytest.raises(StyleGANError, match="ws has the shape"):
        synthesise(ws[:, 1:])


def test_what_cannot_be_recorded_is_computed(streams: Streams, caplog: pytest.LogCaptureFixture) -> None:
    generator = small()
    synthesise = GraphSynthesis(generator, lambda pictures: pictures * float(pictures.max()))
    ws, _ = inputs(2, 1)
    with caplog.at_level(logging.DEBUG, logger="stylegan_ops"):
        found = [synthesise(ws) for _ in range(4)]
    assert all(torch.equal(pictures, found[0]) for pictures in found)
    assert [record.message.partition(": ")[0] for record in caplog.records] == [
        "synthesis is not recorded as a CUDA graph"
    ]
    assert "not permitted when stream is capturing" in caplog.text
    assert streams.current == "the caller's" and not Graph.replays


@pytest.mark.parametrize(("version", "again"), [("2.6.0+cu124", False), ("2.11.1", False), ("2.12.0", True)])
def test_a_recording_that_fails_leaves_the_allocator_as_it_was(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str, again: bool
) -> None:
    """PyTorch before 2.12 forgets to tell its allocator; nothing is recorded after it there, in any network."""
    monkeypatch.setattr(torch, "__version__", version)
    generator = small()
    ws, _ = inputs(2, 1)
    spoilt = GraphSynthesis(generator, lambda pictures: pictures * float(pictures.max()))
    for _ in range(3):
        spoilt(ws)
    assert bool(streams.captures_underway) == again  # the newer version cleans up by itself
    sound = GraphSynthesis(generator)
    assert all(torch.equal(sound(ws), generator.synthesis(ws)) for _ in range(3))
    assert streams.recorded == int(again)
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == int(not again) and all("kernel by kernel from here on" in message for message in told)


def test_too_many_shapes_are_computed(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 1)
    generator = small()
    synthesise = GraphSynthesis(generator)
    with caplog.at_level(logging.DEBUG, logger="stylegan_ops"):
        for batch in (1, 2, 1, 2, 1, 2):
            ws, _ = inputs(batch, batch)
            assert torch.equal(synthesise(ws), generator.synthesis(ws))
    assert streams.recorded == 1 and Graph.replays == 2
    assert "there are 1 graphs already" in caplog.text


def test_what_is_forgotten_is_recorded_anew(streams: Streams) -> None:
    generator = small()
    synthesise = GraphSynthesis(generator)
    ws, _ = inputs(2, 1)
    for _ in range(2):
        for _ in range(3):
            assert torch.equal(synthesise(ws), generator.synthesis(ws))
        synthesise.forget()
    assert streams.recorded == 2 and Graph.replays == 4


class Doubling:
    """Makes every map twice its table, whatever the table's place; counts how often it is asked."""

    def __init__(self, sizes: list[tuple[int, int]], batch: int) -> None:
        self.shapes, self.asked = [(batch, 1, *size) for size in sizes], 0

    def __call__(self, tables: torch.Tensor) -> list[torch.Tensor]:
        self.asked += 1
        return [2 * part for part in deferred.unpacked(tables, self.shapes)]

    def of(self, maps: list[torch.Tensor]) -> deferred.Deferred:
        tables = deferred.packed([values.numpy() / 2 for values in maps])
        return deferred.Deferred(self, tables, self.shapes, torch.device("cpu"))


def test_deferred_noise_is_made_in_a_graph_and_nobody_looks_at_it(streams: Streams) -> None:
    generator = small()
    synthesise, make = GraphSynthesis(generator), Doubling(SMALL.noise_sizes, 2)
    for seed in range(5):
        ws, noise = inputs(2, seed)
        given = make.of(noise)
        assert torch.equal(synthesise(ws, given), generator.synthesis(ws, noise))
        assert (given._made is None) == (seed > 1)
    # For the first batch, for the memory of the graph, and to record it; replays do not ask.
    assert make.asked == 1 + 1 + graphs.WARM_UPS + 1 and streams.recorded == 2
    ws, noise = inputs(2, 9)
    assert torch.equal(synthesise(ws, noise), generator.synthesis(ws, noise)), "a list goes the same way"
    assert streams.recorded == 2


def test_what_is_remembered_is_bounded(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_SEEN", 3)
    generator = small()
    synthesise = GraphSynthesis(generator)
    for seed in range(12):
        ws, noise = inputs(2, seed)
        assert torch.equal(synthesise(ws, Doubling(SMALL.noise_sizes, 2).of(noise)), generator.synthesis(ws, noise))
        assert len(synthesise._seen) <= 3
    assert streams.recorded == 1, "each way to make noise came once"


def test_one_recording_at_a_time(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process, as PyTorch wants it; two threads may have networks."""
    under_way, most, whole = [], [], streams.graph

    @contextlib.contextmanager
    def slowly(graph: Graph, **options: Any) -> Iterator[None]:
        under_way.append(graph)
        most.append(len(under_way))
        time.sleep(0.2)
        with whole(graph, **options):
            yield
        under_way.remove(graph)

    monkeypatch.setattr(torch.cuda, "graph", slowly)
    generators = [small(), small()]
    ws, _ = inputs(2, 1)

    def run(generator: Generator) -> None:
        synthesise = GraphSynthesis(generator)
        for _ in range(3):
            synthesise(ws)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, generators))
    assert most == [1, 1]


def test_a_plane_that_moves_is_recorded_too(streams: Streams) -> None:
    """StyleGAN3: without a transform, with one for all samples, and with one for each."""
    plan = Plan(16, 128, 8, num_layers=4, margin_size=4)
    generator = AliasFreeGenerator.random(plan, z_dim=8, w_dim=8, seed=1, implementation="reference")
    synthesise = GraphSynthesis(generator)
    for seed in range(3):
        stream = torch.Generator().manual_seed(seed)
        ws = torch.randn(2, generator.num_ws, 8, generator=stream)
        one = torch.eye(3) + 0.1 * torch.randn(3, 3, generator=stream)
        for transform in (None, one, torch.stack([one, torch.eye(3)])):
            found = synthesise(ws, transform=transform)
            assert torch.equal(found, generator.synthesis(ws, transform=transform))
    assert streams.recorded == 3 and Graph.replays == 3 * 2
    with pytest.raises(StyleGANError, match="has the shape"):
        synthesise(ws, transform=torch.eye(2))
    with pytest.raises(StyleGANError, match="no plane that it could move"):
        GraphSynthesis(small())(inputs(1, 0)[0], transform=torch.eye(3))
