"""Batches: anchored at frame 0, always full, and smaller where memory runs out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from emulated_graphs import Graph, play_graphs

from audioreactive.errors import RenderError
from audioreactive.generators import Cost, to_pixels
from audioreactive.generators.devices import total_memory
from audioreactive.generators.stylegan2 import StyleGAN2
from audioreactive.rendering import renderer
from audioreactive.rendering.delivery import CudaDelivery
from audioreactive.rendering.renderer import Renderer, iter_frames
from stylegan_ops import Generator, memory


class Recorder:
    """Inputs and generator in one: a frame's picture is its index, and every request is written down."""

    device = torch.device("cpu")
    cost = Cost(bytes=48, multiplications=0)

    def __init__(self, frames: int) -> None:
        self.length, self.asked = frames, []

    def __len__(self) -> int:
        return self.length

    def frames(self, start: int, stop: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        self.asked.append((start, stop))
        return torch.arange(start, stop).clamp(max=self.length - 1), []

    def synthesis(self, ws: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
        return (ws / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)

    def frame_function(self, layout: str) -> Levels:
        return Levels(self, layout)


@dataclass
class Levels:
    """The step from a generator's values to levels; whether memory was to be given back."""

    generator: Recorder
    layout: str
    released: int = 0

    def __call__(self, ws: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
        return to_pixels(self.generator.synthesis(ws, noise), self.layout, compiled=False)

    def release(self) -> None:
        self.released += 1


@pytest.mark.parametrize(
    ("start", "stop", "batches"),
    [(0, 10, [(0, 4), (4, 8), (8, 12)]), (5, 7, [(4, 8)]), (3, 9, [(0, 4), (4, 8), (8, 12)]), (9, 10, [(8, 12)])],
)
def test_batches_are_full_and_anchored_at_frame_zero(start: int, stop: int, batches: list[tuple[int, int]]) -> None:
    recorder = Recorder(10)
    frames = np.concatenate(list(iter_frames(recorder, recorder, start, stop, batch=4)))
    np.testing.assert_array_equal(frames[:, 0, 0, 0], np.arange(start, stop))
    assert recorder.asked == batches


def test_a_small_picture_is_computed_on_one_thread(monkeypatch) -> None:
    before, recorder = torch.get_num_threads(), Recorder(8)
    try:
        for given, wanted, taken in ((3, 1, 1), (3, 2, 2), (2, 8, 2)):
            torch.set_num_threads(given)
            monkeypatch.setattr(renderer, "useful_threads", lambda cost, wanted=wanted: wanted)
            batches = Renderer(recorder, recorder, batch=4).batches([0, 4])
            next(batches)
            assert torch.get_num_threads() == taken
            batches.close()
            assert torch.get_num_threads() == given
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("words", "lacks"),
    [
        ("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried", True),
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("GET was unable to find an engine to execute this computation", True),
        ("FIND was unable to find an engine to execute this computation", True),
        ("CUDA error: an illegal memory access was encountered", False),
    ],
)
def test_a_lack_of_memory_in_pytorchs_words(words: str, lacks: bool) -> None:
    assert renderer._is_out_of_memory(RuntimeError(words)) == lacks


class Short(Recorder):
    """Has memory for so many frames at once."""

    def __init__(self, frames: int, room: int) -> None:
        super().__init__(frames)
        self.room = room

    def synthesis(self, ws: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
        if len(ws) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().synthesis(ws, noise)


@pytest.mark.parametrize(("batch", "room", "at_once"), [(8, 8, 8), (8, 5, 4), (8, 1, 1), (5, 4, 3), (5, 2, 2)])
def test_out_of_memory_halves_the_work_and_loses_no_frame(batch: int, room: int, at_once: int) -> None:
    short, said = Short(22, room), []
    renders = Renderer(short, short, batch=batch, say=said.append)
    found = dict(renders.batches(range(0, 22, batch)))
    assert renders.computed_at_once == at_once
    assert bool(said) == bool(renders._make.released) == (batch > room)
    for first, frames in found.items():
        np.testing.assert_array_equal(frames[:, 0, 0, 0], np.minimum(np.arange(first, first + batch), 21))


def test_a_plan_that_needs_less_memory_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN is refused memory and goes on, without an error: only PyTorch's statistics know."""
    refused = iter([0, 0, 2, 2, 3, 3, 3, 3])
    monkeypatch.setattr(renderer, "refused_allocations", lambda device: next(refused))
    recorder, said = Recorder(20), []
    renders = Renderer(recorder, recorder, batch=4, say=said.append)
    assert len(list(renders.batches(range(0, 20, 4)))) == 5
    assert len(said) == 1 and "the last bits of the pixels may differ" in said[0]


def test_refusals_are_counted_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda device: {"num_ooms": 3, "num_alloc_retries": 9})
    assert renderer.refused_allocations(torch.device("cuda:0")) == 3
    assert renderer.refused_allocations(torch.device("cpu")) == 0


def test_without_page_locked_memory_pixels_arrive_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = torch.empty

    def empty(*shape: Any, pin_memory: bool = False, **others: Any) -> torch.Tensor:
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory\nmore words")
        return real(*shape, **others)

    play_graphs(monkeypatch)
    monkeypatch.setattr(torch, "empty", empty)
    sender = CudaDelivery(torch.device("cpu"))
    for k in range(2):
        pixels = torch.full((2, 3), k, dtype=torch.uint8)
        np.testing.assert_array_equal(sender.send(pixels)(), pixels.numpy())
    assert [record.message for record in caplog.records] == [
        "no page-locked memory is left (CUDA error: out of memory): pixels are copied more slowly from here on"
    ]
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: empty(1, pin_memory=True))
    moved_values = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *rest, **others: moved_values.append(rest) or self)
    assert memory.moved(torch.ones(2), torch.device("cuda")).tolist() == [1, 1]


def test_no_memory_for_one_frame_is_a_sentence() -> None:
    short = Short(4, 0)
    with pytest.raises(RenderError, match=r"not enough memory for one frame \(CUDA out of memory"):
        list(iter_frames(short, short, batch=4))


def test_other_faults_are_not_taken_for_a_lack_of_memory() -> None:
    class Broken(Recorder):
        def synthesis(self, ws: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    broken = Broken(4)
    with pytest.raises(RuntimeError, match="shapes"):
        list(iter_frames(broken, broken, batch=4))


class Slow:
    """Stands in for a GPU: writes down when a copy is begun and when it is waited for."""

    def __init__(self, lookahead: int) -> None:
        self.lookahead, self.events = lookahead, []

    def send(self, pixels: torch.Tensor):
        number = int(pixels[0, 0, 0, 0])
        self.events.append(("send", number))
        copy = pixels.clone()

        def wait() -> np.ndarray:
            self.events.append(("wait", number))
            return copy.numpy()

        return wait


def test_a_gpu_has_its_next_batches_before_the_oldest_is_waited_for() -> None:
    recorder, slow = Recorder(16), Slow(2)
    renders = Renderer(recorder, recorder, batch=4, delivery=slow)
    found = [(first, frames[0, 0, 0, 0]) for first, frames in renders.batches([8, 0, 12, 4])]
    assert found == [(8, 8), (0, 0), (12, 12), (4, 4)], "in the order of the asking"
    assert slow.events == [
        ("send", 8), ("send", 0), ("send", 12), ("wait", 8), ("send", 4), ("wait", 0), ("wait", 12), ("wait", 4)
    ]  # fmt: skip


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_pinned_copies_are_whole() -> None:
    delivery = CudaDelivery(torch.device("cuda"))
    shape = (4, 512, 512, 3)  # large enough that a copy is still under way when the next batch is painted
    waits = [delivery.send(torch.full(shape, level, dtype=torch.uint8, device="cuda")) for level in range(8)]
    for level, wait in enumerate(waits):
        assert (wait() == level).all(), "another batch was painted over it"


class Moving:
    """Latents and noise for a small network that differ from frame to frame; memory may run out once, at a frame."""

    def __init__(self, network: StyleGAN2, frames: int) -> None:
        stream = torch.Generator().manual_seed(1)
        self.ws = torch.randn(frames, network.num_ws, network.w_dim, generator=stream)
        self.maps = [torch.randn(frames, 1, *size, generator=stream) for size in network.noise_sizes]
        self.lacks_memory_at: int | None = None

    def __len__(self) -> int:
        return len(self.ws)

    def frames(self, start: int, stop: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        if self.lacks_memory_at in range(start, stop):
            self.lacks_memory_at = None
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.ws[start:stop], [values[start:stop] for values in self.maps]


@pytest.mark.parametrize("layout", ["rgb24", "yuv420p"])
def test_batches_recorded_as_a_graph_are_the_same(monkeypatch, layout: str) -> None:
    network = StyleGAN2(
        Generator.random(img_resolution=16, channel_base=128, seed=0, z_dim=8, w_dim=8, mapping_layers=1)
    )
    moving = Moving(network, 32)
    renders = [Renderer(network, moving, batch=4, layout=layout) for _ in range(2)]
    plain = dict(renders[0].batches(range(0, 32, 4)))
    streams = play_graphs(monkeypatch)
    moving.lacks_memory_at = 18
    found = dict(renders[1].batches(range(0, 32, 4)))
    for first in range(0, 16, 4):
        np.testing.assert_array_equal(found[first], plain[first])
    # Two frames at once from here on: the graph for four has gone, one for two is recorded.
    for first in range(16, 32, 4):
        assert np.abs(found[first].astype(int) - plain[first]).max() <= 1
    assert renders[1].computed_at_once == 2 and streams.recorded == 2
    assert len(renders[1]._make._graphs._graphs) == 1
    assert Graph.replays == 3 + 7


@pytest.mark.cuda
@pytest.mark.spoiling
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_that_lacks_memory_goes_on_with_smaller_batches() -> None:
    network = StyleGAN2(
        Generator.random(img_resolution=256, channel_base=8192, seed=0, mapping_layers=1, device="cuda")
    )
    moving, said = Moving(network, 64), []
    plain = dict(Renderer(network, moving, batch=16).batches(range(0, 64, 16)))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    network.synthesis(*moving.frames(0, 16))
    room = 0.75 * torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(room / total_memory(torch.device("cuda")))
    try:
        renders = Renderer(network, moving, batch=16, say=said.append)
        found = dict(renders.batches(range(0, 64, 16)))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert renders.computed_at_once < 16 and said
    for first, frames in found.items():
        assert np.abs(frames.astype(int) - plain[first]).max() <= 1
