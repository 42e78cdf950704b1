"""How much of a render is spent waiting: the generator alone, the encoder alone, and the whole of it.

On the same model, frames and settings, in turns. The whole can be no faster than the slower of the two; where both
compute on the same cores, it can be no faster than their times added up. Prints frames a second of each, and the
whole's share of both bounds. All of them work from prepared inputs, without listening, on the chunks of a render.

    python benchmarks/pipeline.py [--resolution 1024] [--builtin] [--frames 240] [--device auto] [--encoders 1,2,4]
                                  [--workers N] [--workers-only] [--json FILE]

--workers also makes the same chunks in one process of their own and in so many, from their start on and once more when
they are awake; with --workers-only nothing else is measured. --encoders also has so many encoders at once.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import torch
from common import save_model

from audioreactive.chunks.making import ChunkMaker, LocalExecutor, available_cores, encoders_at_once
from audioreactive.chunks.plan import chunk_length, plan_chunks
from audioreactive.chunks.workers import WorkerExecutor, WorkerPool
from audioreactive.media.demo import DEMO_SONG
from audioreactive.pipeline.planning import plan_render
from audioreactive.pipeline.preparing import prepare
from audioreactive.pipeline.production import Production, RenderSettings, produce
from audioreactive.pipeline.recipe import Recipe
from audioreactive.progress import Silent
from stylegan_ops import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from audioreactive.chunks.film import Executor
    from audioreactive.chunks.plan import Chunk


class Repeated:
    """Stands in for a renderer whose frames cost nothing: one rendered batch, again and again."""

    def __init__(self, frames: NDArray[np.uint8], *, on_gpu: bool) -> None:
        self.batch, self.on_gpu, self._frames = len(frames), on_gpu, frames

    def batches(self, firsts: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The same pictures, moved a little, so that the encoder has something to do."""
        for first in firsts:
            yield first, np.roll(self._frames, 2 * first, axis=1)


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--channel-base", type=int, default=16384)
    parser.add_argument("--builtin", action="store_true", help="the model that ships, for pictures of that resolution")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "fp16"])
    parser.add_argument("--encoder", default="auto", choices=["auto", "x264", "nvenc"])
    parser.add_argument("--batch", type=int)
    parser.add_argument("--workers", type=int, help="also with so many processes")
    parser.add_argument("--workers-only", action="store_true", help="measure nothing but them")
    parser.add_argument("--encoders", help="also with so many encoders at once, separated by commas")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        production = _prepared(folder, options)
        length = chunk_length(production.settings.chunk, production.features.fps, production.scene.batch)
        chunks = plan_chunks(0, production.frames, length)
        encoders = [int(count) for count in options.encoders.split(",")] if options.encoders else []
        rounds = []
        for _ in range(options.rounds):
            times = {} if options.workers_only else _round(production, chunks, folder, encoders)
            for count in sorted({1, options.workers}) if options.workers else []:
                times |= _round_of_workers(production, chunks, folder, count)
            rounds.append(times)
    rates = {key: production.frames / float(np.median([times[key] for times in rounds])) for key in rounds[0]}
    scene, kind = production.scene, production.encoding.kind
    print(
        f"{options.resolution}², {scene.device}, {str(scene.dtype).removeprefix('torch.')}, batch {scene.batch}, "
        f"{scene.layout}, {kind.video_encoder}, {available_cores()} cores, {torch.get_num_threads()} threads"
    )
    for key, rate in rates.items():
        print(f"{key:28} {rate:8.2f} frames/s")
    shares = {}
    if not options.workers_only:
        shares["share_of_slower"] = rates["whole render"] / min(rates["generator alone"], rates["encoder alone"])
        print(f"{'whole / slower of both':28} {shares['share_of_slower']:8.3f}")
        if production.generator.device.type == "cpu":
            added = 1 / (1 / rates["generator alone"] + 1 / rates["encoder alone"])
            shares["share_of_one_after_other"] = rates["whole render"] / added
            print(f"{'whole / one after the other':28} {shares['share_of_one_after_other']:8.3f}")
    if options.workers:
        name = _workers(options.workers)
        shares["time_of_workers"] = rates[_workers(1)] / rates[name]
        shares["time_of_workers_awake"] = rates[f"{_workers(1)}, awake"] / rates[f"{name}, awake"]
        print(f"{f'time of {name} / one':28} {shares['time_of_workers']:8.3f}")
        print(f"{'the same, awake':28} {shares['time_of_workers_awake']:8.3f}")
    if options.json:
        facts = {**vars(options), "json": None, "cores": available_cores(), "video_encoder": kind.video_encoder}
        options.json.write_text(json.dumps({**facts, "rates": rates, **shares}, indent=1) + "\n", "utf-8")


def _workers(count: int) -> str:
    return f"{count} worker{'s' * (count > 1)}"


def _prepared(folder: Path, options: argparse.Namespace) -> Production:
    model = None if options.builtin else folder / "model.safetensors"
    if model:
        save_model(model, img_resolution=options.resolution, channel_base=options.channel_base)
    settings = RenderSettings(
        duration=Fraction(options.frames, 24),
        size=(options.resolution, options.resolution),
        device=options.device,
        precision=options.precision,
        encoder=options.encoder,
        batch=options.batch,
    )
    song = _song(folder, options.frames / 24)
    plan = plan_render(song, folder / "out.mp4", model=model, recipe=Recipe(seed=0), settings=settings)
    return prepare(plan)


def _song(folder: Path, seconds: float) -> Path:
    """The demo song, as often as it takes."""
    samples, rate = soundfile.read(DEMO_SONG)
    times = math.ceil(seconds * rate / len(samples))
    if times == 1:
        return DEMO_SONG
    soundfile.write(folder / "song.wav", np.tile(samples, (times, 1)), rate)
    return folder / "song.wav"


def _round(production: Production, chunks: list[Chunk], folder: Path, encoders: list[int]) -> dict[str, float]:
    """Seconds of each."""
    scene, encoding = production.scene, production.encoding
    renderer = scene.renderer_with(production.generator)
    firsts = range(0, production.frames, scene.batch)

    def generate() -> None:
        for _ in renderer.batches(firsts):
            pass

    *_, (_, pictures) = renderer.batches([0] * 4)  # on a GPU the second is recorded
    repeated = Repeated(pictures, on_gpu=renderer.on_gpu)

    def encode(at_once: int) -> None:
        maker = ChunkMaker(repeated, encoding, folder, encoders=at_once)
        list(maker.make(chunks, lambda frames: None))

    def whole(executor: Executor) -> None:
        list(executor.make(chunks, folder, lambda frames: None))

    times = {
        "whole render": _seconds(lambda: whole(LocalExecutor(lambda: renderer, encoding))),
        "generator alone": _seconds(generate),
        "encoder alone": _seconds(lambda: encode(encoders_at_once(available_cores(), on_gpu=renderer.on_gpu))),
        "whole, to the file": _seconds(lambda: produce(production, folder / "out.mp4", overwrite=True)),
    }
    for count in encoders:
        times[f"encoder alone, {count} at once"] = _seconds(lambda count=count: encode(count))
    return times


def _round_of_workers(production: Production, chunks: list[Chunk], folder: Path, count: int) -> dict[str, float]:
    """Seconds that so many take from their start on, and again when they are awake."""
    with WorkerPool() as pool:
        executor = WorkerExecutor(production.scene, production.encoding, count, Silent(), pool)
        cold, awake = (_seconds(lambda: list(executor.make(chunks, folder, lambda frames: None))) for _ in range(2))
    return {_workers(count): cold, f"{_workers(count)}, awake": awake}


def _seconds(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
