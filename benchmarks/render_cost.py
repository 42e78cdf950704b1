"""What does everything that is not the generator cost?

Renders at 256², channel_base 16384, and times the generator alone on the same inputs, in turns, so that both see
the same machine. Prints the share of the wall time that is not the generator, and each part's time a frame. The
target is 15 %.

    python benchmarks/render_cost.py [--frames 48] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from audioreactive.features import analyze_file
from audioreactive.generators import to_uint8
from audioreactive.generators.devices import CPU_BATCH
from audioreactive.generators.stylegan2 import StyleGAN2
from audioreactive.media.demo import DEMO_SONG
from audioreactive.patches.motion import motion
from audioreactive.patches.randomizer import random_patch
from audioreactive.rendering.renderer import iter_frames
from audioreactive.video import VideoSettings, VideoWriter
from stylegan_ops import Generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray


def seconds_for(work: Callable[[], object], repeats: int = 1) -> float:
    """Wall time of one call, the median of `repeats`."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--channel-base", type=int, default=16384)
    parser.add_argument("--seed", type=int, default=0, help="seed of the patch")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    frames, batch = options.frames, CPU_BATCH
    features = analyze_file(DEMO_SONG, fps=Fraction(24))
    network = Generator.random(img_resolution=options.resolution, channel_base=options.channel_base, seed=0)
    generator = StyleGAN2(network)
    patch = random_patch(options.seed)
    inputs = motion(patch, features).on(generator)
    size = (generator.img_size[1], generator.img_size[0])

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        fed = [inputs.frames(first, first + batch) for first in range(0, frames, batch)]
        images = generator.synthesis(*fed[0])
        pictures = to_uint8(images).numpy()

        def write(batches: Iterable[NDArray[np.uint8]]) -> None:
            settings = VideoSettings(fps=features.fps, size=size)
            length = frames / features.fps
            path = Path(folder) / "out.mp4"
            with VideoWriter(
                path, settings, frame_size=size, sound=DEMO_SONG, duration=length, overwrite=True
            ) as writer:
                for pictures in batches:
                    writer.write(pictures)

        def render() -> None:
            write(iter_frames(generator, inputs, batch=batch, stop=frames))

        def synthesise() -> None:
            for ws, maps, *_ in fed:
                generator.synthesis(ws, maps)

        def encode() -> None:
            write(pictures for _ in fed)

        render()
        rounds = [(seconds_for(render), seconds_for(synthesise)) for _ in range(options.rounds)]
        per_batch = {
            "latents": seconds_for(lambda: inputs.latents.frames(0, batch), 9),
            "noise": seconds_for(lambda: list(inputs.noise.frames(0, batch)), 9),
            "to uint8 RGB": seconds_for(lambda: to_uint8(images).numpy(), 9),
        }
        encoding = seconds_for(encode)
        moving = seconds_for(lambda: motion(patch, features), 3)

    total, alone = (float(np.median(column)) / frames for column in zip(*rounds, strict=True))
    shares = [1 - generator_time / render_time for render_time, generator_time in rounds]
    parts = {name: value / batch for name, value in per_batch.items()}
    parts["encoding alone (its own process)"] = encoding / frames
    parts["motion of the song"] = moving / features.frames
    print(
        f"{options.resolution}², channel_base {options.channel_base}, batch {batch}, {torch.get_num_threads()} threads"
    )
    print(f"{'render, wall time a frame':36} {total * 1e3:8.2f} ms")
    print(f"{'generator alone':36} {alone * 1e3:8.2f} ms")
    for name, value in parts.items():
        print(f"  {name:34} {value * 1e3:8.2f} ms")
    each = ", ".join(f"{100 * share:.1f}" for share in shares)
    print(f"{'not the generator':36} {100 * float(np.median(shares)):8.1f} %   (rounds: {each})")
    if options.json:
        result = {"render_s": total, "generator_s": alone, "share": float(np.median(shares)), "parts_s": parts}
        options.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
