"""What does --flash-safe cost, beside the render?

The demo song is rendered with the built-in model, once as it is and once with two frames of each four dark, six flashes
a second throughout: nothing to change, and everything. Stages are timed on the clock. The frames of the first are
compressed once and a second time, as those are that lie in a group of pictures with others that change. OpenCV, which
measures frames, is loaded before, and that is timed apart: it happens once, however long the video.

    python benchmarks/flashes.py [--sizes 256 512] [--seconds 24] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.chunks import safe_light
from audioreactive.flashes import find_flashes
from audioreactive.generators import stylegan2
from audioreactive.generators.sources import NETWORK_NAME
from audioreactive.media.demo import DEMO_SONG
from audioreactive.pipeline.planning import plan_render
from audioreactive.pipeline.preparing import prepare
from audioreactive.pipeline.production import RenderSettings, produce
from audioreactive.pipeline.recipe import Recipe
from audioreactive.progress import Silent
from audioreactive.video.chunks import read_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch
    from numpy.typing import NDArray

    from audioreactive.progress import Advance
    from audioreactive.video.chunks import Encoding


@dataclass(frozen=True)
class Row:
    """Milliseconds a frame on the clock."""

    size: int
    video: str
    frames: int
    changed: float
    """Share of the frames that were dimmed."""
    render_ms: float
    """Frames, encoder and join, without the stages below."""
    watch_ms: float
    plan_ms: float
    dim_ms: float
    once_db: float | None
    """PSNR of the coded frames, luma and chroma, against those that were rendered; none where the encoder enlarges."""
    twice_db: float | None
    """The same of frames that were decoded and coded again."""

    @property
    def share(self) -> float:
        """Of the render, what the rest adds."""
        return (self.watch_ms + self.plan_ms + self.dim_ms) / self.render_ms


class Clock(Silent):
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def track(self, stage: str, total: int, unit: str) -> Iterator[Advance]:
        """Time a stage."""
        with self.timed(stage):
            yield lambda count: None

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Likewise."""
        began = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - began


def strobe(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) in [-1, 1] -> the same, two frames of each four dark."""
    images = images.clone()
    images[2::4] = 0.5 * (images[2::4] - 1)
    images[3::4] = 0.5 * (images[3::4] - 1)
    return images


def generations(rendered: NDArray[np.uint8], encoding: Encoding) -> tuple[float, float] | tuple[None, None]:
    """(n, bytes) frames in YUV 4:2:0 -> PSNR after one compression and after two."""
    if encoding.settings.layout != "yuv420p":
        return None, None
    found = []
    source: Iterable[NDArray[np.uint8]] = rendered
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(2):
            chunk = f"{number}{encoding.suffix}"
            encoder = encoding.open(folder, chunk)
            for frame in source:
                encoder.write(frame[None])
            encoder.close()
            encoder.finish()
            encoder.abandon()
            errors = [
                ((mine.astype(np.float32) - theirs) ** 2).mean()
                for mine, theirs in zip(rendered, read_chunks(encoding, folder, [chunk], layout="yuv420p"), strict=True)
            ]
            found.append(float(10 * np.log10(255**2 / np.mean(errors))))
            source = read_chunks(encoding, folder, [chunk], layout="yuv420p")
    return found[0], found[1]


def measure(size: int, seconds: int, *, flashing: bool) -> Row:
    """One render."""
    clock, changed, rendered = Clock(), [], []
    painted, dimmed = vars(stylegan2), vars(safe_light)
    plain_pixels, plain_plan = painted["to_pixels"], dimmed["plan"]

    def pixels(images, layout, *, compiled):  # type: ignore[no-untyped-def]
        frames = plain_pixels(strobe(images) if flashing else images, layout, compiled=compiled)
        rendered.append(frames.numpy())
        return frames

    def plan(thumbnails, fps):  # type: ignore[no-untyped-def]
        with clock.timed("planning"):
            made = plain_plan(thumbnails, fps)
        changed.append(made.changed_frames)
        return made

    painted["to_pixels"], dimmed["plan"] = pixels, plan
    try:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "out.mp4"
            settings = RenderSettings(size=(size, size), duration=Fraction(seconds), flash_safe=True)
            production = prepare(
                plan_render(DEMO_SONG, output, model=NETWORK_NAME, recipe=Recipe(seed=1), settings=settings)
            )
            with clock.timed("all"):
                produce(production, output, progress=clock)
            assert find_flashes(output).within
    finally:
        painted["to_pixels"], dimmed["plan"] = plain_pixels, plain_plan
    once, twice = generations(np.concatenate(rendered)[: production.frames], production.encoding)
    each = 1000 / production.frames
    watch, plan_s, dim = (clock.seconds[stage] for stage in ("watching", "planning", "dimming"))
    return Row(
        size=size,
        video="strobe" if flashing else "as it is",
        frames=production.frames,
        changed=changed[0] / production.frames,
        render_ms=(clock.seconds["all"] - watch - plan_s - dim) * each,
        watch_ms=watch * each,
        plan_ms=plan_s * each,
        dim_ms=dim * each,
        once_db=once,
        twice_db=twice,
    )


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--seconds", type=int, default=24)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    began = time.perf_counter()
    importlib.import_module("cv2")
    load = time.perf_counter() - began
    print(f"loading OpenCV: {load:.2f} s")
    print(f"{'size':>5} {'video':9} {'changed':>8} {'render':>7} {'watch':>6} {'plan':>5} {'dim':>6}   ms a frame")
    for size in options.sizes:
        for flashing in (False, True):
            row = measure(size, options.seconds, flashing=flashing)
            rows.append(row)
            print(
                f"{row.size:5} {row.video:9} {100 * row.changed:6.0f} % {row.render_ms:7.1f} {row.watch_ms:6.2f} "
                f"{row.plan_ms:5.2f} {row.dim_ms:6.2f}   adds {100 * row.share:.1f} %"
                + (f"   {row.once_db:.1f} dB, twice {row.twice_db:.1f}" if row.once_db and row.twice_db else ""),
                flush=True,
            )
    if options.json:
        cores = len(os.sched_getaffinity(0))
        rounded = [{k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows]
        options.json.write_text(
            json.dumps({"cores": cores, "load_opencv_s": round(load, 3), "rows": rounded}, indent=2) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
