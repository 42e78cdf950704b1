"""What does each layer of the generator have to compute and to move, and how near does it come to that?

    python benchmarks/layers.py [--resolution 1024] [--batch 8] [--dtype float16] [--device cuda] [--json FILE]

For each layer: the convolution's operations, what it must read and write, and what the pass after it must read and
write (see stylegan_ops/cuda_ops.py). Without --device that is all, with the times that it would take at the rates of an
H200 as measured through PyTorch (790 TFLOP/s, 4.3 TB/s). With a device both rates and all layers are measured; layers
that double the resolution in both ways, which is what `PHASES_UP_TO` in stylegan_ops/layers.py should be chosen by. At
the end stand the layers whose convolution is so far above its bound that one of our own may be worth writing.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from generator import DTYPES, architecture_of, cost, product_cost

from stylegan_ops import Generator, convolution
from stylegan_ops.convolution import conv2d, conv_transpose2d
from stylegan_ops.fused import ToRGB
from stylegan_ops.initial import random_state
from stylegan_ops.memory import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from stylegan_ops.architecture import Convolution
    from stylegan_ops.layers import Layer, Upsampling

H200 = (790e12, 4.3e12)
"""Operations and bytes a second."""


CALLS = 20
"""Calls of a layer that are recorded as one CUDA graph."""

WORTH = (1.5, 0.02)
"""A convolution of our own: where the library's takes so many times its bound, and as much of a picture's time could be
saved."""


@dataclass(frozen=True)
class Row:
    """One layer in one form, for one picture."""

    layer: str
    form: str
    """plain, transposed or phases."""
    channels: tuple[int, int]
    gflop: float
    convolution_mb: float
    after_mb: float
    convolution_bound_us: float
    """The least time at the machine's rates: the larger of its two."""
    bound_us: float
    """With the pass after it."""
    convolution_us: float | None
    after_us: float | None
    painting_us: float | None
    """What the block's colours, their sum with the picture before, and the next style add; of a block's last layer."""


def work_of(source: Convolution, form: str, itemsize: int) -> tuple[float, float, float]:
    """Operations of the convolution, bytes that it moves, bytes that the pass after it moves; weights left out."""
    pixels = math.prod(source.size)
    taken = pixels // 4 if source.up else pixels
    operations = 2.0 * 9 * taken * source.in_channels * source.out_channels * (4 if form == "phases" else 1)
    out = pixels * source.out_channels * itemsize
    return operations, taken * source.in_channels * itemsize + out, 2.0 * out + 4 * pixels


def rates_of(device: str, dtype: torch.dtype) -> tuple[float, float]:
    """Operations a second of a large matrix product, bytes a second of a large copy."""
    large = torch.zeros(1 << (30 if device == "cuda" else 26), dtype=torch.uint8, device=device)
    target = torch.empty_like(large)
    copy = cost(lambda: target.copy_(large), device)
    return 2 / product_cost(device, dtype).wall, 2 * len(large) / copy.wall


def seconds_of(run: Callable[[], object], device: str) -> float:
    """Seconds of one call; on a GPU of a graph of many, because Python starts a small layer slower than it runs."""
    run()
    if device == "cpu":
        return cost(run, device).wall
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            run()
    graph.replay()
    return min(cost(graph.replay, device).wall for _ in range(3)) / CALLS


def times_of(layer: Layer, batch: int, device: str, *, paints: bool) -> tuple[float, float, float | None]:
    """Seconds for a batch: of the convolution, of what follows, and of the picture where the layer paints one."""
    source, dtype = layer.source, layer.weight.dtype
    size = tuple(side // 2 for side in source.size) if source.up else source.size
    x = torch.randn(batch, source.in_channels, *size, device=device).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    scale, style = (torch.ones(batch, source.out_channels, device=device) for _ in range(2))
    convolve: Callable[[Tensor, Tensor], Tensor] = (
        conv_transpose2d if source.up and not layer.phases else functools.partial(conv2d, padding=(1, 1))
    )
    workspace = Workspace(torch.device(device))

    def whole(rgb: ToRGB | None = None) -> None:
        layer(x, scale, layer.noise_const, next_style=style, rgb=rgb, keep=True, workspace=workspace)

    with torch.no_grad():
        alone = seconds_of(functools.partial(convolve, x, layer.weight), device)
        unpainted = seconds_of(whole, device)
        if not paints:
            return alone, unpainted - alone, None
        height, width = source.size
        image, weight = (
            torch.zeros(batch, 3, *shape, device=device) for shape in (source.size, (source.out_channels,))
        )
        skip = torch.zeros(batch, 3, height // 2, width // 2, device=device)
        ones = torch.ones(4, device=device)
        rgb = ToRGB(weight, ones[:3].contiguous(), 256.0, skip, ones, image)
        return alone, unpainted - alone, seconds_of(functools.partial(whole, rgb), device) - unpainted


def layers_of(generator: Generator) -> list[Layer]:
    """All styled convolutions in order."""
    return [layer for block in generator._blocks for layer in block.layers]


def table(resolution: int, batch: int, dtype: torch.dtype, device: str | None) -> list[Row]:
    """All layers in all their forms."""
    architecture = architecture_of(resolution)
    operations_rate, bytes_rate = H200 if device is None else rates_of(device, dtype)
    rows = []
    state = random_state(architecture, seed=0)
    ways: tuple[Upsampling, ...] = ("transposed", "phases")
    for way in ways:
        made: list[Layer] | list[None] = [None] * len(list(architecture.convolutions()))
        if device is not None:
            made = layers_of(Generator(architecture, state, device=device, dtype=dtype, upsampling=way))
        for source, layer in zip(architecture.convolutions(), made, strict=True):
            if not source.up and way == "phases":
                continue
            operations, moved, after = work_of(source, way, dtype.itemsize)
            bound = max(operations / operations_rate, moved / bytes_rate)
            paints = not source.up
            times = None if layer is None or device is None else times_of(layer, batch, device, paints=paints)
            row = Row(
                layer=source.name.removeprefix("synthesis."),
                form=way if source.up else "plain",
                channels=(source.in_channels, source.out_channels),
                gflop=operations / 1e9,
                convolution_mb=moved / 1e6,
                after_mb=after / 1e6,
                convolution_bound_us=bound * 1e6,
                bound_us=(bound + after / bytes_rate) * 1e6,
                convolution_us=None if times is None else times[0] / batch * 1e6,
                after_us=None if times is None else times[1] / batch * 1e6,
                painting_us=None if times is None or times[2] is None else times[2] / batch * 1e6,
            )
            show(row)
            rows.append(row)
    return rows


@dataclass(frozen=True)
class Suspect:
    """A layer whose convolution is well above its bound."""

    layer: str
    form: str
    times_bound: float
    could_save: float
    """Share of a picture's time."""


def suspects(rows: list[Row]) -> list[Suspect]:
    """Of measured rows, where a convolution of our own may be worth writing; the worst first."""
    fastest: dict[str, Row] = {}
    for row in rows:
        best = fastest.get(row.layer)
        if best is None or time_of(row) < time_of(best):
            fastest[row.layer] = row
    whole = sum(map(time_of, fastest.values()))
    found = [
        Suspect(
            row.layer,
            row.form,
            (row.convolution_us or 0.0) / row.convolution_bound_us,
            ((row.convolution_us or 0.0) - row.convolution_bound_us) / whole,
        )
        for row in fastest.values()
    ]
    times, share = WORTH
    worth = [suspect for suspect in found if suspect.times_bound >= times and suspect.could_save >= share]
    return sorted(worth, key=lambda suspect: -suspect.could_save)


def time_of(row: Row) -> float:
    """Measured microseconds for a picture."""
    return (row.convolution_us or 0.0) + (row.after_us or 0.0) + (row.painting_us or 0.0)


def show(row: Row) -> None:
    """Print one line of the table."""
    measured = "" if row.convolution_us is None else f"{row.convolution_us:>9.1f}{row.after_us:>9.1f}"
    measured += "" if row.painting_us is None else f"{row.painting_us:>9.1f}"
    print(
        f"{row.layer:<14}{row.form:<11}{row.channels[0]:>4} → {row.channels[1]:<4}{row.gflop:>8.2f}"
        f"{row.convolution_mb:>9.1f}{row.after_mb:>9.1f}{row.bound_us:>9.1f}{measured}",
        flush=True,
    )


def main() -> None:
    """Count, measure where there is a device, and print."""
    parser = argparse.ArgumentParser(description="Work and time of the generator's layers, for one picture.")
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dtype", choices=list(DTYPES), default="float16")
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--race", action="store_true", help="let cuDNN choose algorithms by a race, not by its rules")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    convolution.RACE = options.race
    print("layer         form       channels      GFLOP  conv MB after MB bound µs  conv µs after µs paint µs")
    rows = table(options.resolution, options.batch, DTYPES[options.dtype], options.device)
    once = [row for row in rows if row.form != "phases"]
    gflop, megabytes = sum(row.gflop for row in once), sum(row.convolution_mb + row.after_mb for row in once)
    bound = sum(row.bound_us for row in once)
    print(f"all, transposed: {gflop:.1f} GFLOP, {megabytes:.0f} MB, at least {bound:.0f} µs")
    worth = [] if options.device is None else suspects(rows)
    for suspect in worth:
        print(
            f"{suspect.layer}, {suspect.form}: {suspect.times_bound:.1f} times its bound; "
            f"a convolution of our own could save {suspect.could_save:.0%} of a picture's time"
        )
    if options.json:
        facts = {"resolution": options.resolution, "batch": options.batch, "dtype": options.dtype}
        tables = {"rows": [asdict(row) for row in rows], "suspects": [asdict(suspect) for suspect in worth]}
        options.json.write_text(json.dumps(facts | tables, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
