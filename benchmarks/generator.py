"""How fast is the generator, how much faster than the plain formulation, and how near to what the machine can do?

    python benchmarks/generator.py [--resolutions 256,1024] [--batches 1,4,8] [--rounds 3] [--json FILE]

The plain formulation modulates a filter for each sample and convolves in groups, as the original code does: planar,
nothing fused, the allocator as it comes, and on a CPU in float32, which is its precision there. Each formulation has a
process of its own with the same random weights; they run by turns, so that a busy machine is busy for all. A row is the
median of its rounds. The floor is the time that the convolutions' products would take at the rate of a large matrix
product in that precision, measured in the same way. On a machine that is busy with other things, believe CPU times
alone, with --threads 1.
"""

import argparse
import functools
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops import Architecture, Generator, op_status
from stylegan_ops.initial import random_state

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CHANNEL_BASE = {256: 16384, 512: 32768, 1024: 32768}
FORMULATIONS = {
    "cpu": (("grouped", "float32"), ("fast", "float32"), ("fast", "bfloat16")),
    "cuda": (("grouped", "float32"), ("grouped", "float16"), ("fast", "float32"), ("fast", "float16")),
}
"""What is compared on a device: the first is what the others are compared with."""


@dataclass(frozen=True)
class Row:
    """One measurement."""

    device: str
    resolution: int
    batch: int
    formulation: str
    dtype: str
    fps: float
    ratio: float
    """To the plain formulation."""
    cpu_ms: float
    """CPU time a frame, over all cores; shows what a busy machine hides."""
    cpu_ratio: float
    """The plain formulation's CPU time by this one's."""
    floor: float
    """Share of the frame's CPU time, or on a GPU of its time, that the matrix products alone would take."""
    psnr: float
    """Decibels against the plain formulation's pictures, whose largest value counts as half the range."""


class Grouped:
    """StyleGAN2 in its plain formulation: filters modulated for each sample, grouped convolutions."""

    def __init__(self, architecture: Architecture, state: dict[str, Tensor], device: str, dtype: torch.dtype) -> None:
        self._architecture = architecture
        self._state = {name: values.to(device, dtype) for name, values in state.items()}
        taps = torch.tensor(architecture.resample_filter)
        self._taps = (4 * torch.outer(taps, taps)).to(device, dtype)

    @torch.no_grad()
    def synthesis(self, ws: Tensor) -> Tensor:
        """(B, L, W) -> (B, 3, H, W)."""
        ws = ws.to(self._taps)
        x = self._state["synthesis.b4.const"].repeat(len(ws), 1, 1, 1)
        image: Tensor | None = None
        layer = 0
        for resolution in self._architecture.blocks:
            block = f"synthesis.b{resolution}"
            for part in ("conv0", "conv1") if resolution > 4 else ("conv1",):
                x = self._convolve(f"{block}.{part}", x, ws[:, layer], up=part == "conv0")
                x = x + self._state[f"{block}.{part}.noise_const"] * self._state[f"{block}.{part}.noise_strength"]
                bias = self._state[f"{block}.{part}.bias"]
                x = F.leaky_relu(x + bias[:, None, None], 0.2) * math.sqrt(2)
                layer += 1
            painted = self._convolve(f"{block}.torgb", x, ws[:, layer], up=False)
            image = painted if image is None else painted + self._upsample(image)
        assert image is not None
        return image.float()

    def _convolve(self, name: str, x: Tensor, w: Tensor, *, up: bool) -> Tensor:
        batch, channels, height, width = x.shape
        weight = self._state[f"{name}.weight"]
        affine = self._state[f"{name}.affine.weight"] / math.sqrt(w.shape[1])
        style = F.linear(w, affine, self._state[f"{name}.affine.bias"])
        filters = weight[None] * style[:, None, :, None, None]  # [B, O, I, k, k]
        if name.endswith("torgb"):
            filters = filters / math.sqrt(channels)
        else:
            filters = filters * torch.rsqrt(filters.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        grouped = x.reshape(1, batch * channels, height, width)
        if up:
            turned = filters.transpose(1, 2).reshape(batch * channels, -1, 3, 3)
            y = F.conv_transpose2d(grouped, turned, stride=2, groups=batch)
            taps = self._taps.expand(y.shape[1], 1, 4, 4)
            y = F.conv2d(y, taps, padding=1, groups=y.shape[1])
        else:
            y = F.conv2d(grouped, filters.flatten(0, 1), padding=weight.shape[-1] // 2, groups=batch)
        return y.view(batch, -1, *y.shape[2:])

    def _upsample(self, image: Tensor) -> Tensor:
        return F.conv_transpose2d(image, self._taps.expand(3, 1, 4, 4), stride=2, padding=1, groups=3)


def architecture_of(resolution: int) -> Architecture:
    """As published for this resolution."""
    resolutions = [4 << index for index in range(resolution.bit_length() - 2)]
    channels = tuple(min(CHANNEL_BASE[resolution] // side, 512) for side in resolutions)
    return Architecture(z_dim=512, w_dim=512, mapping_features=(512,) * 8, channels=channels)


def products(architecture: Architecture) -> int:
    """Multiplications of a frame's convolutions; a transposed one takes nine for every pixel of its input."""
    total = 0
    for layer in architecture.convolutions():
        pixels = math.prod(layer.size) // (4 if layer.up else 1)
        total += 9 * pixels * layer.in_channels * layer.out_channels
    return total


def synchronize(device: str) -> None:
    """Wait for a device that works on its own."""
    if device == "cuda":
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Cost:
    """Of one run, in seconds."""

    wall: float
    cpu: float


def cost(run: Callable[[], object], device: str) -> Cost:
    """Run once."""
    synchronize(device)
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    synchronize(device)
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def product_cost(device: str, dtype: torch.dtype) -> Cost:
    """One multiplication's share of a large matrix product."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = a @ b
    whole = cost(lambda: torch.mm(a, b, out=out), device)
    return Cost(whole.wall / size**3, whole.cpu / size**3)


def work(device: str, formulation: str, dtype_name: str, resolution: int, threads: int) -> None:
    """A process of its own: reads a batch size and a file name a line, paints, and answers with what it cost."""
    torch.set_num_threads(threads)
    architecture, dtype = architecture_of(resolution), DTYPES[dtype_name]
    state = random_state(architecture, seed=0)
    generator: Grouped | Generator
    if formulation == "grouped":
        generator = Grouped(architecture, state, device, dtype)
    else:
        generator = Generator(architecture, state, device=device, dtype=dtype)
    for line in sys.stdin:
        batch, _, path = line.strip().partition(" ")
        stream = torch.Generator().manual_seed(0)
        ws = torch.randn(int(batch), architecture.num_ws, architecture.w_dim, generator=stream).to(device)
        painted = cost(functools.partial(generator.synthesis, ws), device)
        if path:
            torch.save(generator.synthesis(ws).cpu(), path)
        print(json.dumps([asdict(painted), asdict(product_cost(device, dtype))]), flush=True)


class Worker:
    """The other end of `work`."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, __file__, "--work", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def paint(self, batch: int, path: Path | None = None) -> tuple[Cost, Cost]:
        """What the batch cost, and one multiplication of a matrix product."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{batch} {path or ''}\n")
        self._process.stdin.flush()
        batch_cost, product = (Cost(**item) for item in json.loads(self._process.stdout.readline()))
        return batch_cost, product

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def compare(device: str, resolution: int, batches: list[int], rounds: int, threads: int) -> list[Row]:
    """All formulations, by turns."""
    rows = []
    work_of_frame = products(architecture_of(resolution))
    formulations = FORMULATIONS[device]
    workers = [Worker(device, *which, resolution, threads) for which in formulations]
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches:
            pictures = []
            for index, worker in enumerate(workers):  # not timed: shapes seen for the first time
                worker.paint(batch, Path(folder, f"{index}.pt"))
                pictures.append(torch.load(Path(folder, f"{index}.pt"), weights_only=True))
            costs = list(zip(*([worker.paint(batch) for worker in workers] for _ in range(rounds)), strict=True))
            walls, cpus = (
                [statistics.median(getattr(c, kind) for c, _ in own) for own in costs] for kind in ("wall", "cpu")
            )
            floors = [min(product.wall if device == "cuda" else product.cpu for _, product in own) for own in costs]
            peak = pictures[0].abs().max()
            for index, (formulation, dtype) in enumerate(formulations):
                error = (pictures[index] - pictures[0]).square().mean()
                own_time = walls[index] if device == "cuda" else cpus[index]
                row = Row(
                    device=device,
                    resolution=resolution,
                    batch=batch,
                    formulation=formulation,
                    dtype=dtype,
                    fps=batch / walls[index],
                    ratio=walls[0] / walls[index],
                    cpu_ms=cpus[index] / batch * 1e3,
                    cpu_ratio=cpus[0] / cpus[index],
                    floor=work_of_frame * batch * floors[index] / own_time,
                    psnr=float(10 * torch.log10((2 * peak) ** 2 / error)),
                )
                show(row)
                rows.append(row)
    for worker in workers:
        worker.close()
    return rows


def show(row: Row) -> None:
    """Print one line of the table."""
    psnr = "" if math.isinf(row.psnr) else f"{row.psnr:.0f} dB"
    print(
        f"{row.device:<6}{row.resolution:>6}{row.batch:>6}  {row.formulation:<9}{row.dtype:<10}{row.fps:>9.2f}"
        f"{1e3 / row.fps:>10.1f}{row.ratio:>7.2f}×{row.cpu_ms:>9.1f}{row.cpu_ratio:>7.2f}×{row.floor:>7.0%}{psnr:>9}",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--work"]:
        device, formulation, dtype, resolution, threads = sys.argv[2:]
        work(device, formulation, dtype, int(resolution), int(threads))
        return
    parser = argparse.ArgumentParser(description="Speed of the generator on this machine.")
    parser.add_argument("--resolutions", default="256,1024")
    parser.add_argument("--batches", default="1,4,8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine = platform.processor() or platform.machine()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{machine}, {options.threads} threads, {gpu}, torch {torch.__version__}")
    for status in op_status():
        print(f"  {status.op:<18}{status.implementation:<11}{status.reason}")
    print("device  size batch  form     precision  frames/s  ms/frame    gain   CPU ms    gain  floor     PSNR")
    rows: list[Row] = []
    for kind in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for resolution in options.resolutions.split(","):
            batches = [int(size) for size in options.batches.split(",")]
            rows += compare(kind, int(resolution), batches, options.rounds, options.threads)
    if options.json:
        facts = {"machine": machine, "gpu": gpu, "torch": torch.__version__, "threads": options.threads}
        options.json.write_text(json.dumps(facts | {"rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
