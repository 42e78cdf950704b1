"""How fast is the generator, how much faster than the plain formulation, and how near to what the machine can do?

    python benchmarks/generator.py [--devices cpu,cuda] [--resolutions 256,1024] [--batches 1,4,8] [--rounds 3]
                                   [--json FILE]

The plain formulation modulates a filter for each sample and convolves in groups, as the original code does: planar,
nothing fused, the allocator as it comes, and on a CPU in float32, which is its precision there. `reference` is this
package without its kernels, `fast` with them, `graph` with them and recorded as a CUDA graph. Each formulation has a
process of its own with the same random weights; they run by turns, so that a busy machine is busy for all. A row is the
median of its rounds. Gains are over the plain formulation in the same precision, or else in float32. The floor is the
time that the convolutions' products would take at the rate of a large matrix product in that precision, measured in the
same way. On a machine that is busy with other things, believe CPU times alone, with --threads 1.

A file that holds rows of the same machine already keeps those that are not measured again, so that a long table can be
made in parts.
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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops import Architecture, Generator, GraphSynthesis, op_status
from stylegan_ops.initial import random_state

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CHANNEL_BASE = {256: 16384, 512: 32768, 1024: 32768}
FORMULATIONS = {
    "cpu": (("grouped", "float32"), ("fast", "float32"), ("fast", "bfloat16")),
    "cuda": (
        ("grouped", "float32"),
        ("grouped", "float16"),
        ("grouped", "bfloat16"),
        *((form, dtype) for dtype in ("float32", "float16", "bfloat16") for form in ("reference", "fast", "graph")),
    ),
}
"""What is compared on a device: the first paints the pictures that the others are compared with."""

REPEATS = {"cpu": 1, "cuda": 10}
"""Batches in one measurement: a GPU works through them without a pause, as it does for a video."""


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
    """To the plain formulation, in the same precision where it was measured in it."""
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
    channels = tuple(min(CHANNEL_BASE.get(resolution, 16384) // side, 512) for side in resolutions)
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
    """Of one call."""
    repeats = REPEATS[device]
    synchronize(device)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        run()
    synchronize(device)
    return Cost((time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats)


def product_cost(device: str, dtype: torch.dtype) -> Cost:
    """One multiplication's share of a large matrix product."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = a @ b
    whole = cost(lambda: torch.mm(a, b, out=out), device)
    return Cost(whole.wall / size**3, whole.cpu / size**3)


def painter(device: str, formulation: str, dtype: torch.dtype, resolution: int) -> Callable[[Tensor], Tensor]:
    """What paints (B, L, W) -> (B, 3, H, W)."""
    architecture = architecture_of(resolution)
    state = random_state(architecture, seed=0)
    if formulation == "grouped":
        return Grouped(architecture, state, device, dtype).synthesis
    if formulation == "reference":
        return Generator(architecture, state, device=device, dtype=dtype, implementation="reference").synthesis
    generator = Generator(architecture, state, device=device, dtype=dtype)
    return GraphSynthesis(generator) if formulation == "graph" else generator.synthesis


def work(device: str, formulation: str, dtype_name: str, resolution: int, threads: int) -> None:
    """A process of its own: reads a batch size and a file name a line, paints, and answers with what it cost."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # float32 is to mean the same for all
    architecture, dtype = architecture_of(resolution), DTYPES[dtype_name]
    paint = painter(device, formulation, dtype, resolution)
    for line in sys.stdin:
        batch, _, path = line.strip().partition(" ")
        stream = torch.Generator().manual_seed(0)
        ws = torch.randn(int(batch), architecture.num_ws, architecture.w_dim, generator=stream).to(device)
        try:
            if path:  # not timed: a shape that is seen for the first time, and on a GPU the one that is recorded
                for _ in range(1 if device == "cpu" else 3):
                    pictures = paint(ws)
                torch.save(pictures.cpu(), path)
                answer: object = "painted"
            else:
                answer = [asdict(cost(functools.partial(paint, ws), device)), asdict(product_cost(device, dtype))]
        except torch.OutOfMemoryError:
            answer = None
        if device == "cuda":
            torch.cuda.empty_cache()  # the other processes need room too
        print(json.dumps(answer), flush=True)


class Worker:
    """The other end of `work`."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, __file__, "--work", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    def paint(self, batch: int, path: Path) -> bool:
        """Paint into a file; whether memory suffices."""
        return self._ask(batch, path) is not None

    def measure(self, batch: int) -> tuple[Cost, Cost]:
        """What the batch cost, and one multiplication of a matrix product."""
        batch_cost, product = (Cost(**item) for item in self._ask(batch, ""))
        return batch_cost, product

    def _ask(self, batch: int, path: Path | str) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{batch} {path}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@dataclass(frozen=True)
class Measured:
    """A formulation's batch: the median of its rounds."""

    formulation: str
    dtype: str
    whole: Cost
    product: Cost
    """The least of the rounds."""
    pictures: Tensor


def measure(workers: dict[tuple[str, str], Worker], batch: int, rounds: int, folder: Path) -> list[Measured]:
    """A batch by all formulations, by turns; those that lack the memory are left out."""
    pictures: dict[tuple[str, str], Tensor] = {}
    for (formulation, dtype), worker in workers.items():
        path = folder / f"{formulation}-{dtype}.pt"
        if worker.paint(batch, path):
            pictures[formulation, dtype] = torch.load(path, weights_only=True)
        else:
            print(f"batch {batch}, {formulation} in {dtype}: not enough memory", flush=True)
    costs: dict[tuple[str, str], list[tuple[Cost, Cost]]] = {which: [] for which in pictures}
    for _ in range(rounds):
        for which, own in costs.items():
            own.append(workers[which].measure(batch))
    return [
        Measured(
            *which,
            whole=Cost(*(statistics.median(getattr(c, kind) for c, _ in own) for kind in ("wall", "cpu"))),
            product=Cost(*(min(getattr(c, kind) for _, c in own) for kind in ("wall", "cpu"))),
            pictures=pictures[which],
        )
        for which, own in costs.items()
    ]


def compare(
    device: str, resolution: int, batches: list[int], rounds: int, threads: int, which: Sequence[tuple[str, str]]
) -> list[Row]:
    """Measure these formulations."""
    rows = []
    work_of_frame = products(architecture_of(resolution))
    workers = {one: Worker(device, *one, resolution, threads) for one in which}
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches:
            found = measure(workers, batch, rounds, Path(folder))
            plain = {own.dtype: own.whole for own in found if own.formulation == "grouped"}
            if not plain:
                continue
            for own in found:
                base = plain.get(own.dtype) or next(iter(plain.values()))
                error = (own.pictures - found[0].pictures).square().mean()
                time_of_batch, product = (
                    (own.whole.wall, own.product.wall) if device == "cuda" else (own.whole.cpu, own.product.cpu)
                )
                row = Row(
                    device=device,
                    resolution=resolution,
                    batch=batch,
                    formulation=own.formulation,
                    dtype=own.dtype,
                    fps=batch / own.whole.wall,
                    ratio=base.wall / own.whole.wall,
                    cpu_ms=own.whole.cpu / batch * 1e3,
                    cpu_ratio=base.cpu / own.whole.cpu,
                    floor=work_of_frame * batch * product / time_of_batch,
                    psnr=float(10 * torch.log10((2 * found[0].pictures.abs().max()) ** 2 / error)),
                )
                show(row)
                rows.append(row)
    for worker in workers.values():
        worker.close()
    return rows


def show(row: Row) -> None:
    """Print one line of the table."""
    psnr = "" if math.isinf(row.psnr) else f"{row.psnr:.0f} dB"
    print(
        f"{row.device:<6}{row.resolution:>6}{row.batch:>6}  {row.formulation:<10}{row.dtype:<10}{row.fps:>9.2f}"
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
    devices = "cpu,cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--devices", default=devices)
    parser.add_argument("--resolutions", default="256,1024")
    parser.add_argument("--batches", default="1,4,8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--formulations", help="some of them, as form:precision, separated by commas")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine = platform.processor() or platform.machine()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{machine}, {options.threads} threads, {gpu}, torch {torch.__version__}")
    for status in op_status():
        print(f"  {status.op:<18}{status.implementation:<11}{status.reason}")
    print("device  size batch  form      precision  frames/s  ms/frame    gain   CPU ms    gain  floor     PSNR")
    rows: list[Row] = []
    for kind in options.devices.split(","):
        for resolution in options.resolutions.split(","):
            batches = [int(size) for size in options.batches.split(",")]
            which = FORMULATIONS[kind]
            if options.formulations:
                pairs = (name.partition(":") for name in options.formulations.split(","))
                which = tuple((form, dtype) for form, _, dtype in pairs)
            rows += compare(kind, int(resolution), batches, options.rounds, options.threads, which)
    if options.json:
        facts = {"machine": machine, "gpu": gpu, "torch": torch.__version__, "threads": options.threads}
        kept = kept_rows(options.json, facts, rows)
        options.json.write_text(json.dumps(facts | {"rows": [*kept, *map(asdict, rows)]}, indent=1) + "\n", "utf-8")


def kept_rows(path: Path, facts: dict[str, object], rows: list[Row]) -> list[dict[str, object]]:
    """Rows of an earlier run on the same machine that this one did not measure."""
    if not path.exists():
        return []
    earlier = json.loads(path.read_text("utf-8"))
    if {name: earlier.get(name) for name in facts} != facts:
        return []
    own = {(row.device, row.resolution, row.batch) for row in rows}
    return [row for row in earlier["rows"] if (row["device"], row["resolution"], row["batch"]) not in own]


if __name__ == "__main__":
    main()
