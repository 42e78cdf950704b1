"""Batches: anchored at frame 0, always full; and the step from the network's values to levels."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from emulated_graphs import Graph, play_graphs

from audioreactive import renderer
from audioreactive.delivery import CudaDelivery
from audioreactive.errors import RenderError
from audioreactive.renderer import (
    MEMORY_SHARE,
    Renderer,
    choose_device,
    choose_dtype,
    default_batch,
    picture_bytes,
    render_frames,
    to_pixels,
    to_uint8,
    total_memory,
    useful_threads,
)
from audioreactive.video import VideoSettings, VideoWriter, ffmpeg_path, output_format
from audioreactive.video.formats import raw_input
from stylegan_ops import Generator


class Recorder:
    """Latents, noise and generator in one: a frame's picture is its index, and every request is written down."""

    device = torch.device("cpu")
    compiled = False
    architecture = SimpleNamespace(convolutions=list)

    def __init__(self, frames: int) -> None:
        self.length, self.asked = frames, []

    def __len__(self) -> int:
        return self.length

    def frames(self, start: int, stop: int) -> torch.Tensor:
        self.asked.append((start, stop))
        return torch.arange(start, stop).clamp(max=self.length - 1)

    def synthesis(self, ws: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return (ws / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


@pytest.mark.parametrize(
    ("start", "stop", "batches"),
    [(0, 10, [(0, 4), (4, 8), (8, 12)]), (5, 7, [(4, 8)]), (3, 9, [(0, 4), (4, 8), (8, 12)]), (9, 10, [(8, 12)])],
)
def test_batches_are_full_and_anchored_at_frame_zero(start: int, stop: int, batches: list[tuple[int, int]]) -> None:
    recorder = Recorder(10)
    frames = np.concatenate(list(render_frames(recorder, recorder, recorder, batch=4, start=start, stop=stop)))
    np.testing.assert_array_equal(frames[:, 0, 0, 0], np.arange(start, stop))
    assert recorder.asked[::2] == batches


def test_levels_are_rounded_and_clamped() -> None:
    values = torch.tensor([-9.0, -1.0, -0.996, 0.0, 0.5, 1.0, 9.0]).view(1, 1, 1, 7).expand(1, 3, 1, 7)
    levels = to_uint8(values)
    assert levels.shape == (1, 1, 7, 3)
    assert levels[0, 0, :, 0].tolist() == [0, 0, 1, 128, 191, 255, 255]


def test_devices_and_precisions() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_dtype("auto", torch.device("cuda")) == torch.float16
    assert choose_dtype("fp32", torch.device("cuda")) == torch.float32
    with pytest.raises(RenderError, match="the device 'toaster' cannot be used"):
        choose_device("toaster")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({"avx512_f": True}, "float32"),
        (None, "float32"),
    ],
)
def test_bfloat16_is_taken_where_the_cpu_computes_in_it(monkeypatch, told: dict | None, expected: str) -> None:
    if told is None:  # an older PyTorch
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert choose_dtype("auto", torch.device("cpu")) == getattr(torch, expected)


def test_the_batch_fits_the_memory_that_there_is(monkeypatch) -> None:
    network = Generator.random(img_resolution=64, channel_base=1024, seed=0, z_dim=8, w_dim=8, mapping_layers=1)
    # Four copies of 16 · 64² float32 activations, and four pictures of 3 · 64² float32.
    assert picture_bytes(network) == 4 * 16 * 64 * 64 * 4 + 4 * 3 * 64 * 64 * 4
    for pictures, batch in ((100, 4), (4, 4), (3.9, 2), (1.5, 1), (0.1, 1)):
        memory = int(pictures * picture_bytes(network) / MEMORY_SHARE) + 1
        monkeypatch.setattr(renderer, "total_memory", lambda device, memory=memory: memory)
        assert default_batch(torch.device("cpu"), network) == batch
    assert total_memory(torch.device("cpu")) > 1 << 28


def test_a_small_network_computes_on_one_thread(monkeypatch) -> None:
    small = Generator.random(img_resolution=8, channel_base=32, seed=0, z_dim=8, w_dim=8, mapping_layers=1)
    # 8 -> 8 channels at 4², 8 -> 4 and 4 -> 4 at 8², by 3 × 3.
    work = 9 * (8 * 8 * 16 + 8 * 4 * 64 + 4 * 4 * 64)
    found = []
    for at_least, threads in ((work + 1, 1), (work, 1), (work // 2, 2), (work // 5, 5)):
        monkeypatch.setattr(renderer, "WORK_OF_A_THREAD", at_least)
        found.append(useful_threads(small) == threads)
    assert all(found)
    before, recorder = torch.get_num_threads(), Recorder(8)
    try:
        for given, wanted, taken in ((3, 1, 1), (3, 2, 2), (2, 8, 2)):
            torch.set_num_threads(given)
            monkeypatch.setattr(renderer, "useful_threads", lambda generator, wanted=wanted: wanted)
            batches = Renderer(recorder, recorder, recorder, batch=4).batches([0, 4])
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

    def synthesis(self, ws: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        if len(ws) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().synthesis(ws, noise)


@pytest.mark.parametrize(("batch", "room", "at_once"), [(8, 8, 8), (8, 5, 4), (8, 1, 1), (5, 4, 3), (5, 2, 2)])
def test_out_of_memory_halves_the_work_and_loses_no_frame(batch: int, room: int, at_once: int) -> None:
    short, said = Short(22, room), []
    renders = Renderer(short, short, short, batch=batch, say=said.append)
    found = dict(renders.batches(range(0, 22, batch)))
    assert renders.computed_at_once == at_once
    assert bool(said) == (batch > room)
    for first, frames in found.items():
        np.testing.assert_array_equal(frames[:, 0, 0, 0], np.minimum(np.arange(first, first + batch), 21))


def test_no_memory_for_one_frame_is_a_sentence() -> None:
    short = Short(4, 0)
    with pytest.raises(RenderError, match=r"not enough memory for one frame \(CUDA out of memory"):
        list(render_frames(short, short, short, batch=4))


def test_other_faults_are_not_taken_for_a_lack_of_memory() -> None:
    class Broken(Recorder):
        def synthesis(self, ws: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    broken = Broken(4)
    with pytest.raises(RuntimeError, match="shapes"):
        list(render_frames(broken, broken, broken, batch=4))


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
    renders = Renderer(recorder, recorder, recorder, batch=4, delivery=slow)
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

    def __init__(self, network: Generator, frames: int) -> None:
        stream = torch.Generator().manual_seed(1)
        self.ws = torch.randn(frames, network.num_ws, network.w_dim, generator=stream)
        self.maps = [torch.randn(frames, 1, *size, generator=stream) for size in network.noise_sizes]
        self.lacks_memory_at: int | None = None

    def __len__(self) -> int:
        return len(self.ws)

    def frames(self, start: int, stop: int) -> torch.Tensor:
        if self.lacks_memory_at in range(start, stop):
            self.lacks_memory_at = None
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.ws[start:stop]

    def noise(self) -> MovingNoise:
        return MovingNoise(self)

    def inputs(self, start: int, stop: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return self.frames(start, stop), self.noise().frames(start, stop)


class MovingNoise:
    def __init__(self, moving: Moving) -> None:
        self.moving = moving

    def frames(self, start: int, stop: int) -> list[torch.Tensor]:
        return [values[start:stop] for values in self.moving.maps]


@pytest.mark.parametrize("layout", ["rgb24", "yuv420p"])
def test_batches_recorded_as_a_graph_are_the_same(monkeypatch, layout: str) -> None:
    network = Generator.random(img_resolution=16, channel_base=128, seed=0, z_dim=8, w_dim=8, mapping_layers=1)
    moving = Moving(network, 32)
    renders = [Renderer(network, moving, moving.noise(), batch=4, layout=layout) for _ in range(2)]
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
    assert len(renders[1]._paint._graphs) == 1
    assert Graph.replays == 3 + 7


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_that_lacks_memory_goes_on_with_smaller_batches() -> None:
    network = Generator.random(img_resolution=256, channel_base=8192, seed=0, mapping_layers=1, device="cuda")
    moving, said = Moving(network, 64), []
    plain = dict(Renderer(network, moving, moving.noise(), batch=16).batches(range(0, 64, 16)))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    network.synthesis(*moving.inputs(0, 16))
    room = 0.75 * torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(room / total_memory(torch.device("cuda")))
    try:
        renders = Renderer(network, moving, moving.noise(), batch=16, say=said.append)
        found = dict(renders.batches(range(0, 64, 16)))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert renders.computed_at_once < 16 and said
    for first, frames in found.items():
        assert np.abs(frames.astype(int) - plain[first]).max() <= 1


def test_yuv_frames_are_half_as_many_bytes_and_the_same_colours() -> None:
    image = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(2, 3, 4, 6)
    assert to_pixels(image, "rgb24", compiled=False).shape == (2, 4, 6, 3)
    planes = to_pixels(image, "yuv420p", compiled=False)
    assert planes.tolist() == [[63] * 24 + [102] * 6 + [240] * 6] * 2  # BT.709's red


SIZE = (128, 96)
LUMA = SIZE[0] * SIZE[1]


def soft_pictures() -> torch.Tensor:
    """(2, 3, H, W): as smooth as what networks paint."""
    noise = torch.randn(2, 3, 12, 16, generator=torch.Generator().manual_seed(0)) * 0.4
    return torch.nn.functional.interpolate(noise, SIZE[::-1], mode="bicubic").clamp(-1, 1)


def yuv_of(*source: str | Path, data: bytes | None = None) -> np.ndarray:
    """(n, H · W · 3 / 2) int: what ffmpeg makes of an input."""
    command = [str(ffmpeg_path()), "-v", "error", *map(str, source), "-f", "rawvideo", "-"]
    raw = subprocess.run(command, check=True, capture_output=True, input=data).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, LUMA * 3 // 2).astype(int)


def test_our_yuv_is_ffmpegs() -> None:
    """The same matrix, the same range, and chroma in the same place."""
    images, look = soft_pictures(), VideoSettings(fps=Fraction(24), size=SIZE)
    rgb = to_pixels(images, "rgb24", compiled=False).numpy().tobytes()
    filters = output_format(Path("x.mp4")).picture_filters(look)
    theirs = yuv_of(*raw_input(look, SIZE), "-vf", filters, data=rgb)
    ours = to_pixels(images, "yuv420p", compiled=False).numpy().astype(int)
    assert np.abs(ours - theirs)[:, :LUMA].max() <= 1  # each rounds once
    # ffmpeg's filter for chroma is a little sharper than ours.
    assert np.abs(ours - theirs)[:, LUMA:].mean() < 0.5
    assert np.percentile(np.abs(ours - theirs)[:, LUMA:], 99) <= 2
    shifted = to_pixels(torch.roll(images, 1, dims=3), "yuv420p", compiled=False).numpy().astype(int)
    assert np.abs(shifted - theirs)[:, LUMA:].mean() > 4, "half a chroma sample to the right would be seen"


@pytest.mark.parametrize("extension", [".mp4", ".webm"])
def test_yuv_frames_go_into_the_file_as_they_are(tmp_path: Path, extension: str) -> None:
    images, told = soft_pictures(), []
    for layout in ("rgb24", "yuv420p"):
        path = tmp_path / f"{layout}{extension}"
        frames = to_pixels(images, layout, compiled=False).numpy()
        settings = VideoSettings(fps=Fraction(24), size=SIZE, crf=1, layout=layout)
        with VideoWriter(path, settings, frame_size=SIZE, sound=None) as writer:
            writer.write(frames)
        command = [str(ffmpeg_path()), "-hide_banner", "-i", str(path)]
        said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stderr
        told.append(re.search(r"yuv420p\([^)]*\)", said)[0])
    assert told[0] == told[1] and "tv" in told[0] and "bt709" in told[0]
    # The codec's own loss, at its best.
    assert np.abs(yuv_of("-i", path) - frames.astype(int)).mean() < 0.7
