"""How fast is the generator, and how much faster than the plain formulation?

    python benchmarks/generator.py [--resolution 256] [--channel-base 16384] [--batches 1,4,8] [--json FILE]

The plain formulation modulates a filter for each sample and convolves in groups, as the original code does. Both
run the same random network in the same process, by turns; each row is the fastest of its rounds. CPU time a frame shows
what a busy machine hides.
"""

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops import Architecture, Generator, keep_freed_memory
from stylegan_ops.initial import random_state

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Row:
    """One measurement."""

    formulation: str
    dtype: str
    batch: int
    fps: float
    cpu_ms: float
    """CPU time a frame, over all cores."""


class Grouped:
    """StyleGAN2 in its plain formulation: filters modulated for each sample, grouped convolutions."""

    def __init__(self, architecture: Architecture, state: dict[str, Tensor], dtype: torch.dtype) -> None:
        self._architecture = architecture
        self._state = {name: values.to(dtype) for name, values in state.items()}
        taps = torch.tensor(architecture.resample_filter)
        self._taps = (4 * torch.outer(taps, taps)).to(dtype)

    @torch.no_grad()
    def synthesis(self, ws: Tensor) -> Tensor:
        """(B, L, W) -> (B, 3, H, W)."""
        ws = ws.to(self._taps.dtype)
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


def measure(run: Callable[[], object], frames: int, rounds: int) -> tuple[float, float]:
    """(frames a second, CPU milliseconds a frame) of the fastest round."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return frames / min(walls), min(cpus) / frames * 1e3


def compare(architecture: Architecture, batches: list[int], dtypes: list[str], rounds: int) -> list[Row]:
    """Both formulations for every precision and batch size."""
    state = random_state(architecture, seed=0)
    rows = []
    for dtype in dtypes:
        dense = Generator(architecture, state, dtype=DTYPES[dtype])
        grouped = Grouped(architecture, state, DTYPES[dtype])
        for batch in batches:
            ws = torch.randn(batch, architecture.num_ws, architecture.w_dim, generator=torch.Generator().manual_seed(0))
            difference = (dense.synthesis(ws) - grouped.synthesis(ws)).abs().max() / grouped.synthesis(ws).abs().max()
            assert difference < (1e-4 if dtype == "float32" else 0.2), f"the two disagree by {difference:.1e}"
            for name, generator in (("grouped", grouped), ("dense", dense)):
                fps, cpu_ms = measure(lambda run=generator.synthesis, ws=ws: run(ws), batch, rounds)  # type: ignore[misc]
                rows.append(Row(name, dtype, batch, fps, cpu_ms))
    return rows


def show(rows: list[Row]) -> None:
    """Print the table, with the gain over the plain formulation."""
    plain = {(row.dtype, row.batch): row.fps for row in rows if row.formulation == "grouped"}
    print(f"{'precision':<10}{'batch':>6}{'formulation':>13}{'frames/s':>10}{'ms/frame':>10}{'CPU ms':>9}{'gain':>7}")
    for row in rows:
        gain = row.fps / plain[row.dtype, row.batch]
        print(
            f"{row.dtype:<10}{row.batch:>6}{row.formulation:>13}{row.fps:>10.2f}{1e3 / row.fps:>10.1f}"
            f"{row.cpu_ms:>9.0f}{gain:>6.2f}×"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of the generator on this machine's CPU.")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--channel-base", type=int, default=16384)
    parser.add_argument("--batches", default="1,4,8")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--keep-memory", action="store_true", help="let the C library keep freed memory")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kept = options.keep_memory and keep_freed_memory()
    resolutions = [4 << index for index in range(options.resolution.bit_length() - 2)]
    architecture = Architecture(
        z_dim=512,
        w_dim=512,
        mapping_features=(512,) * 8,
        channels=tuple(min(options.channel_base // resolution, 512) for resolution in resolutions),
    )
    print(f"{options.resolution}², channel base {options.channel_base}, {options.threads} threads, "
          f"freed memory {'kept' if kept else 'given back'}, torch {torch.__version__}")  # fmt: skip
    batches = [int(batch) for batch in options.batches.split(",")]
    rows = compare(architecture, batches, options.dtypes.split(","), options.rounds)
    show(rows)
    if options.json:
        facts = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "kept": kept}
        options.json.write_text(json.dumps(facts | {"rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
