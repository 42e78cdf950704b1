"""What does it cost to keep a video's flashes within the rules?

For square frames of each size, on one thread: milliseconds a frame of measuring (every frame of a render with
--flash-safe), of planning (every frame, and more where something flashes), of correcting (only the frames that are
changed), and of a whole render on this machine, the encoder included. The target is under 5 % of the render. The last
column is the share of measuring and planning where nothing flashes; correcting is given beside it, in the worst case
that every frame changes.

    python benchmarks/flashes.py [--sizes 256 512 1024] [--frames 24] [--no-render] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.demo import DEMO_SONG
from audioreactive.flashes import Thumbnails, measure, plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FPS = Fraction(24)
SONG_SECONDS = 60


@dataclass(frozen=True)
class Row:
    """Milliseconds a frame at one size; None where it was not measured."""

    size: int
    measure_ms: float
    plan_calm_ms: float
    plan_strobe_ms: float
    apply_ms: float
    render_ms: float | None


def milliseconds(work: Callable[[], object], frames: int, repeats: int = 3) -> float:
    """Wall time a frame, the least of `repeats`."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times) / frames * 1e3


def paint(size: int, frames: int) -> NDArray[np.uint8]:
    """(frames, size, size, 3): a smooth picture that drifts."""
    y, x = (np.mgrid[:size, :size] / size).astype(np.float32)
    painted = np.empty((frames, size, size, 3), np.uint8)
    for i, picture in enumerate(painted):
        for channel, slant in enumerate((3, 5, 8)):
            picture[..., channel] = 128 + 115 * np.sin(7 * x + slant * y + 0.05 * i)
    return painted


def song(size: int, *, strobe: bool) -> Thumbnails:
    """Thumbnails of a minute that is calm, or flashes eight times a second throughout."""
    frames = round(SONG_SECONDS * FPS)
    calm = measure(paint(size, 24))
    thumbnails = np.concatenate([calm] * (frames // 24))
    if strobe:
        thumbnails[(np.arange(len(thumbnails)) // 3) % 2 == 1] //= 4
    return Thumbnails([thumbnails], (size, size))


def render_milliseconds(size: int, frames: int) -> float:
    """A render of random weights (channel_base 16384, as trained models of this size have), with its encoder."""
    from audioreactive.features import analyze_file
    from audioreactive.patches.latents import Latents, latent_weights, make_palette
    from audioreactive.patches.noise import make_noise
    from audioreactive.patches.schema import Patch
    from audioreactive.renderer import choose_device, choose_dtype, default_batch, render_frames
    from audioreactive.video import VideoSettings, VideoWriter
    from stylegan_ops import Generator

    features = analyze_file(DEMO_SONG, fps=FPS)
    device = choose_device("auto")
    generator = Generator.random(
        img_resolution=size, channel_base=16384, seed=0, device=device, dtype=choose_dtype("auto", device)
    )
    patch = Patch.random(0)
    palette = make_palette(patch.palette, generator)
    latents = Latents(latent_weights(patch.latents, features, len(palette)), palette)
    noise = make_noise(patch.noise, features, generator.noise_sizes, device)

    def render() -> None:
        with tempfile.TemporaryDirectory() as folder:
            settings = VideoSettings(fps=FPS, size=(size, size))
            with VideoWriter(Path(folder) / "out.mp4", settings, frame_size=(size, size), sound=None) as writer:
                for batch in render_frames(generator, latents, noise, batch=default_batch(device), stop=frames):
                    writer.write(batch)

    render()
    return milliseconds(render, frames, repeats=2)


def cost(size: int, count: int, *, with_render: bool) -> Row:
    """Everything at one size."""
    frames = paint(size, count)
    calm, strobe = song(size, strobe=False), song(size, strobe=True)
    made = plan(strobe, FPS)
    first = made.passages[0].start + 48
    return Row(
        size=size,
        measure_ms=milliseconds(lambda: measure(frames), count),
        plan_calm_ms=milliseconds(lambda: plan(calm, FPS), len(calm)),
        plan_strobe_ms=milliseconds(lambda: plan(strobe, FPS), len(strobe), 1),
        apply_ms=milliseconds(lambda: made.apply(frames, first), count),
        render_ms=render_milliseconds(size, count) if with_render else None,
    )


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    import cv2

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--no-render", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    print(f"{'size':>5} {'measure':>8} {'plan':>6} {'strobe':>7} {'apply':>7} {'render':>8}   ms a frame")
    for size in options.sizes:
        row = cost(size, options.frames, with_render=not options.no_render)
        rows.append(row)
        text = (
            f"{row.size:5} {row.measure_ms:8.2f} {row.plan_calm_ms:6.2f} {row.plan_strobe_ms:7.2f} {row.apply_ms:7.2f}"
        )
        if row.render_ms is not None:
            share = (row.measure_ms + row.plan_calm_ms) / row.render_ms
            text += (
                f" {row.render_ms:8.2f}   {100 * share:.1f} % calm, {100 * row.apply_ms / row.render_ms:.1f} % apply"
            )
        print(text, flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
