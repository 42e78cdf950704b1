"""How well do the synthesizers move with the sound, how far from the model do they go, and what do they cost?

The experiments of chapter 5 of the thesis on songs that were not learned from: Figures 5.2 and 5.3 (Random, Randomizer,
Supervised, Self-supervised, HiPPO on rendered frames), 5.4 (time against length), Tables 5.2 and 5.3, Figures 5.5
and 5.6. The ablations are scored on what the generator is fed, in two ways: raw correlation and corrected score.

    python benchmarks/synthesizers.py [--music DIR] [--folder DIR] [--minutes 60] [--full] [--swav-weights FILE]

Results are kept in the folder after every task. Called again, it goes on where it was; past its minutes it stops after
the task at hand. By default everything fits into an hour on two cores; --full is the thesis' scale.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from correlation_groups import MUSIC

from audioreactive.correlation import score_total, sound_tables, watch
from audioreactive.features import DEFAULT_FEATURES, SEGMENT_COUNTS, SEGMENTABLE, Features, split_name
from audioreactive.files import write_aside
from audioreactive.learn.dataset import Song, hear_music, split_songs
from audioreactive.learn.frechet import fixed_features, frechet, load_swav
from audioreactive.learn.generators import KINDS
from audioreactive.learn.losses import SEQUENCES
from audioreactive.learn.model_file import SynthesizerModel, embeddable, read_model, write_model
from audioreactive.learn.synthesize import synthesized
from audioreactive.learn.tables import input_table
from audioreactive.learn.training import Plan, gather, train
from audioreactive.patches.latents import Latents, latent_weights, make_palette
from audioreactive.patches.noise import make_noise, noise_motion
from audioreactive.patches.randomizer import draw_around, draw_patch
from audioreactive.patches.schema import Hippo, Patch, envelopes_name
from audioreactive.pipeline import load_model
from audioreactive.renderer import to_uint8
from audioreactive.sheet import shrink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from stylegan_ops import Generator

    FloatArray = NDArray[np.float32]
    Task = Callable[[], Any]

METHODS = ("Random", "Randomizer", "Supervised", "Self-supervised", "HiPPO")
LEARNED = {"Supervised": "supervised", "Self-supervised": "self"}
STEP, BATCH, HEIGHT = 2, 8, 64
"""Every second frame is rendered, eight at a time, and watched at 64 pixels, as for --best-of."""
DIRECTIONS = 32
"""Principal directions of the model's latents in which their distance is taken."""
WEIGHTED = ("drop_weight", "onsets", "chroma", "spectral_flatness")
COUNTS = (4, 8, 16, 32, 64, 128, 256, 512)
LENGTHS = (30, 60, 180, 600, 1800, 3600)
RANDOM_SIGMA = 12.0
"""Frames: standard deviation of the filter that makes random motion smooth."""


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    songs: int
    """Held-out songs that are rendered, and on which ablations are scored."""
    frames: int
    """Rendered of each."""
    samples: int
    """Of the model."""
    examples: int
    """That the two synthesizers of Figure 5.2 learn from."""
    lessons: int
    ablation: int
    """Examples for each variant of the ablations."""


SHORT = Scale(songs=6, frames=240, samples=384, examples=48_000, lessons=60, ablation=4_800)
FULL = Scale(songs=100, frames=600, samples=30_000, examples=128_000, lessons=1000, ablation=128_000)


class Bench:
    """Songs, model and results."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.scale = FULL if options.full else SHORT
        self.folder: Path = options.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.swav: Path | None = options.swav_weights
        self.music: Path = options.music
        self.model: Path | None = options.model
        self.file = self.folder / ("full.json" if options.full else "results.json")
        self.results: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}

    @cached_property
    def songs(self) -> tuple[tuple[Song, ...], tuple[Song, ...]]:
        """(learned from, held out), songs long enough for the rendered passage only."""
        heard = hear_music(self.music)
        long_enough = [song for song in heard if song.frames > STEP * self.scale.frames]
        learned, held = split_songs(long_enough)
        return learned, held[: self.scale.songs]

    @cached_property
    def generator(self) -> Generator:
        """The model whose frames are watched."""
        return load_model(self.model, device=torch.device("cpu"), dtype=torch.float32)

    @cached_property
    def describe(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Features for the Fréchet distance."""
        return fixed_features if self.swav is None else load_swav(self.swav)

    def trained(self, name: str, **choices: Any) -> SynthesizerModel:
        """The synthesizer of this name, trained once."""
        path = self.folder / f"{name}-{self.file.stem}.safetensors"
        if not path.exists():
            plan = Plan(**choices)
            mapper = self.generator if plan.learned_decoder else None
            material = gather(plan, self.songs[0], mapper)
            state = path.with_suffix(".training")
            write_model(train(plan, material, state=state).network, path)
            state.unlink(missing_ok=True)
        return read_model(path)

    def keep(self, key: str, value: Any) -> None:
        """Store a result."""
        self.results[key] = value
        with write_aside(self.file) as partial:
            partial.write_text(json.dumps(self.results, indent=1) + "\n", "utf-8")

    # Figures 5.2 and 5.3: rendered frames.

    def teach(self, supervised: bool) -> float:
        """Train one of the two synthesizers of Figure 5.2; seconds."""
        began = time.perf_counter()
        self.trained(
            "supervised" if supervised else "self",
            supervised=supervised,
            examples=self.scale.examples,
            lessons=self.scale.lessons,
            learning_rate=LEARNING_RATE,
        )
        return time.perf_counter() - began

    def patch(self, method: str, song: Song, seed: int) -> tuple[Patch, Features]:
        """The recipe and what it moves by."""
        if method == "Randomizer":
            return draw_patch(seed), song.features
        hippo = Hippo(kind="hippo", name="it", motion_seed=seed)
        if method in LEARNED:
            path = self.folder / f"{LEARNED[method]}-{self.file.stem}.safetensors"
            patch = draw_around(embeddable(path, 0).model_copy(update={"name": "it"}), seed)
            return patch, synthesized(patch, song.features)
        patch = draw_around(hippo, seed)
        if method == "HiPPO":
            return patch, synthesized(patch, song.features)
        table = random_envelopes(song.features.frames, seed)
        return patch, replace(song.features, envelopes={**song.features.envelopes, envelopes_name("it"): table})

    def film(self, method: str, index: int) -> dict[str, Any]:
        """Scores of a rendered passage from the middle of a held-out song, and what is needed for distances."""
        song = self.songs[1][index]
        patch, features = self.patch(method, song, 1000 + index)
        palette = make_palette(patch.palette, self.generator)
        latents = Latents(latent_weights(patch.latents, features, len(palette)), palette)
        noise = make_noise(patch.noise, features, self.generator.noise_sizes, self.generator.device)
        first = (features.frames - STEP * self.scale.frames) // 2
        shown = np.arange(first, first + STEP * self.scale.frames, STEP)
        described, ws = [], []

        def frames() -> Iterator[NDArray[np.uint8]]:
            for at in range(0, len(shown), BATCH):
                chosen = [int(i) for i in shown[at : at + BATCH]]
                with torch.inference_mode():
                    batch = torch.cat([latents.frames(i, i + 1) for i in chosen])
                    maps = [torch.cat(one) for one in zip(*(noise.frames(i, i + 1) for i in chosen), strict=True)]
                    images = self.generator.synthesis(batch, maps).float().clamp(-1, 1)
                    described.append(self.describe(images))
                    ws.append(batch.mean(1))
                    yield from to_uint8(shrink(images, HEIGHT)).cpu().numpy()

        seen = watch(frames())
        heard, _ = sound_tables(song.features)
        since = np.maximum(shown[:, None] - np.arange(STEP), 0)
        passage = {name: table[since].max(axis=1) for name, table in heard.items()}
        score = score_total(passage, seen, fps=song.features.fps / STEP)
        np.savez(
            self.folder / f"film-{self.file.stem}-{method}-{index}.npz",
            described=torch.cat(described).numpy(),
            ws=torch.cat(ws).numpy(),
        )
        return {"song": song.name, "raw": score.raw, "corrected": score.z}

    def sample(self) -> dict[str, int]:
        """The model's own pictures and latents, from seeds 0 upwards."""
        described, ws = [], []
        stream = np.random.RandomState(1)
        for first in range(0, self.scale.samples, BATCH):
            seeds = range(first, min(first + BATCH, self.scale.samples))
            z = np.concatenate([np.random.RandomState(s).randn(1, self.generator.z_dim) for s in seeds])
            with torch.inference_mode():
                batch = self.generator.mapping(torch.from_numpy(z).float())
                maps = [torch.from_numpy(stream.randn(len(z), 1, *size)).float() for size in self.generator.noise_sizes]
                described.append(self.describe(self.generator.synthesis(batch, maps).float().clamp(-1, 1)))
            ws.append(batch.mean(1))
        np.savez(self.folder / f"samples-{self.file.stem}.npz", described=torch.cat(described), ws=torch.cat(ws))
        return {"samples": self.scale.samples}

    def distances(self) -> dict[str, Any]:
        """Fréchet distances of all frames of each method from the model's samples, of pictures and of latents."""
        own = np.load(self.folder / f"samples-{self.file.stem}.npz")
        described, ws = torch.from_numpy(own["described"]), torch.from_numpy(own["ws"])
        centre, spread = described.mean(0), described.std(0) + 1e-6
        mean = ws.mean(0)
        directions = torch.linalg.svd(ws - mean, full_matrices=False).Vh[:DIRECTIONS].T
        size = float((ws - mean).square().sum(1).mean())
        half = len(ws) // 2
        found: dict[str, Any] = {}
        for method in METHODS:
            films = [
                np.load(self.folder / f"film-{self.file.stem}-{method}-{i}.npz") for i in range(len(self.songs[1]))
            ]
            pictures = torch.from_numpy(np.concatenate([film["described"] for film in films]))
            latents = torch.from_numpy(np.concatenate([film["ws"] for film in films]))
            found[method] = {
                "pictures": frechet((pictures - centre) / spread, (described - centre) / spread),
                "w": frechet((latents - mean) @ directions, (ws - mean) @ directions) / size,
                "radius": float((latents - mean).square().sum(1).mean()) / size,
            }
        found["samples, halved"] = {
            "pictures": frechet((described[:half] - centre) / spread, (described[half:] - centre) / spread),
            "w": frechet((ws[:half] - mean) @ directions, (ws[half:] - mean) @ directions) / size,
            "radius": 1.0,
        }
        return found

    # Figure 5.4.

    def seconds_for(self, seconds: int) -> dict[str, float]:
        """Seconds that each synthesizer takes for a song of this length, features given, nothing rendered."""
        features = random_features(seconds)
        model = read_model(self.folder / f"self-{self.file.stem}.safetensors")
        patch, hippo = draw_patch(1), draw_around(Hippo(kind="hippo", name="it"), 1)
        inputs = input_table(features)

        def randomizer() -> None:
            latent_weights(patch.latents, features, len(patch.palette.seeds))
            noise_motion(patch.noise, features)

        tasks: dict[str, Callable[[], object]] = {
            "Randomizer": randomizer,
            "trained": lambda: model.motion(inputs, 0),
            "HiPPO": lambda: synthesized(hippo, features),
        }
        found = {}
        for name, task in tasks.items():
            began = time.perf_counter()
            task()
            found[name] = time.perf_counter() - began
        return found

    # Tables 5.2 and 5.3, Figures 5.5 and 5.6: scored on the generator's inputs.

    def scores(self, motion: Callable[[Song], dict[str, FloatArray]]) -> dict[str, Any]:
        """Raw and corrected scores of what a synthesizer makes for each held-out song."""
        scores = []
        for song in self.songs[1]:
            heard, _ = sound_tables(song.features)
            scores.append(score_total(heard, motion(song), fps=song.features.fps))
        return {"raw": [score.raw for score in scores], "corrected": [score.z for score in scores]}

    def variant(self, name: str, **choices: Any) -> dict[str, Any]:
        """Train a variant, and score it."""
        common = {"examples": self.scale.ablation, "lessons": self.scale.lessons, "learning_rate": LEARNING_RATE}
        model = self.trained(name, **(common | choices))
        return self.scores(lambda song: made_by(model, song.inputs))

    def hippo(self, **choices: Any) -> dict[str, Any]:
        """Fit HiPPO with these choices, and score it."""
        return self.scores(lambda song: hippo_tables(song, **choices))

    def weighted(self, name: str) -> dict[str, float]:
        """Median raw correlation of each feature alone with HiPPO's motion where this one counts ten times."""
        found: dict[str, list[float]] = {other: [] for other in WEIGHTED}
        for song in self.songs[1]:
            heard, _ = sound_tables(song.features)
            seen = hippo_tables(song, weights={name: 10.0}, correction=0.0)
            for other in WEIGHTED:
                score = score_total({other: heard[other]}, seen, fps=song.features.fps)
                found[other].append(score.raw)
        return {other: float(np.median(values)) for other, values in found.items()}


LEARNING_RATE = 1e-3
"""Ten times the thesis': these trainings are a fraction as long as its own."""


def random_envelopes(frames: int, seed: int) -> FloatArray:
    """(T, 17) in [0, 1]: smooth, and of nothing that is heard."""
    from scipy.ndimage import gaussian_filter1d

    from audioreactive.learn.decoders import residual_motion

    noise = gaussian_filter1d(np.random.RandomState(seed).randn(frames, 17), RANDOM_SIGMA, axis=0)
    motion = residual_motion(torch.from_numpy(noise)[None])[0].numpy()
    table: FloatArray = (0.5 + 0.5 * motion).astype(np.float32)
    return table


def random_features(seconds: int) -> Features:
    """Features of a song that was never played."""
    fps, stream = Fraction(24), np.random.RandomState(0)
    frames = int(seconds * fps)
    envelopes = {
        name: stream.random_sample((frames, split_name(name)[1].channels)).astype(np.float32)
        for name in DEFAULT_FEATURES
    }
    labels = np.stack([np.arange(frames) // 240 % k for k in SEGMENT_COUNTS], axis=1).astype(np.uint8)
    beats = np.arange(0, seconds, 0.5)
    return Features(
        fps=fps, frames=frames, duration=Fraction(seconds), tempo=120.0, beats=beats, downbeats=beats[::4],
        digest="0" * 64, envelopes=envelopes, segmentations=dict.fromkeys(SEGMENTABLE, labels),
    )  # fmt: skip


def by_sequence(motion: FloatArray) -> dict[str, FloatArray]:
    """(T, 17) -> the seven sequences."""
    return {f"sequence {i}": motion[:, list(columns)] for i, columns in enumerate(SEQUENCES)}


def made_by(model: SynthesizerModel, inputs: FloatArray) -> dict[str, FloatArray]:
    """The sequences that a synthesizer makes of features, by either decoder."""
    decoder = model.network.decoder
    if decoder is None:
        return by_sequence(model.motion(inputs, 0))
    with torch.inference_mode():
        envelopes = model.network.envelopes(torch.from_numpy(inputs)[None])
        decoded = decoder(envelopes, residual=model.configuration.residual)
        return {f"sequence {i}": part[0].numpy() for i, part in enumerate(decoder.score_columns(decoded))}


def hippo_tables(song: Song, **choices: Any) -> dict[str, FloatArray]:
    """The sequences that HiPPO makes of a song."""
    hippo = Hippo(kind="hippo", name="it", **choices)
    table = synthesized(draw_around(hippo, 0), song.features)[envelopes_name("it")]
    return by_sequence(2 * table - 1)


def tasks(bench: Bench) -> dict[str, Task]:
    """Everything that is measured, the most important first."""
    count = len(bench.songs[1])
    found: dict[str, Task] = {
        "train self-supervised": lambda: bench.teach(False),
        "train supervised": lambda: bench.teach(True),
    }
    for index in range(count):
        for method in METHODS:
            found[f"film {method} {index}"] = lambda m=method, i=index: bench.film(m, i)  # type: ignore[misc]
    found["samples"] = bench.sample
    found["distances"] = bench.distances
    for seconds in LENGTHS:
        found[f"seconds for {seconds}"] = lambda s=seconds: bench.seconds_for(s)  # type: ignore[misc]
    for name in WEIGHTED:
        found[f"table 5.3 {name}"] = lambda n=name: bench.weighted(n)  # type: ignore[misc]
    for n in COUNTS:
        found[f"figure 5.6 {n}"] = lambda n=n: bench.hippo(coefficients=n)  # type: ignore[misc]
    for supervised in (False, True):
        for learned in (False, True):
            for residual in (False, True):
                choices = {"supervised": supervised, "learned_decoder": learned, "residual": residual}
                name = " ".join(word for word, given in choices.items() if given) or "plain"
                found[f"table 5.2 {name}"] = lambda n=name, c=choices: bench.variant(  # type: ignore[misc]
                    f"table52-{n.replace(' ', '-')}", **c
                )
    for kind in KINDS:
        found[f"figure 5.5a {kind}"] = lambda k=kind: bench.variant(f"kind-{k}", kind=k)  # type: ignore[misc]
    for depth in (1, 2, 4, 6):
        found[f"figure 5.5b depth {depth}"] = lambda d=depth: bench.variant(f"depth-{d}", depth=d)  # type: ignore[misc]
    return found


def interval(values: list[float], seed: int = 0) -> tuple[float, float, float]:
    """Median, and its 95 % interval by bootstrap."""
    stream = np.random.RandomState(seed)
    medians = np.median(np.array(values)[stream.randint(0, len(values), (2000, len(values)))], axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return float(np.median(values)), float(low), float(high)


def report(bench: Bench) -> None:
    """Print what is there."""
    results = bench.results
    print(f"\n{'rendered frames':18} {'raw':>22} {'corrected':>24} {'pictures':>9} {'w':>7} {'radius':>7}")
    for method in METHODS:
        films = [value for key, value in results.items() if key.startswith(f"film {method} ")]
        if not films:
            continue
        line = f"{method:18}"
        for key, width in (("raw", 3), ("corrected", 2)):
            middle, low, high = interval([film[key] for film in films])
            line += f" {middle:8.{width}f} [{low:5.{width}f}, {high:5.{width}f}]"
        far = results.get("distances", {}).get(method)
        print(line + (f" {far['pictures']:9.2f} {far['w']:7.3f} {far['radius']:7.2f}" if far else ""))
    for title in ("table 5.2", "figure 5.5a", "figure 5.5b", "figure 5.6"):
        rows = {key: value for key, value in results.items() if key.startswith(title)}
        if rows:
            print(f"\n{title}, on the generator's inputs: medians of raw, corrected")
        for key, value in rows.items():
            raw, corrected = np.median(value["raw"]), np.median(value["corrected"])
            print(f"  {key.removeprefix(title):40} {raw:6.3f} {corrected:7.2f}")
    if any(key.startswith("table 5.3") for key in results):
        print(f"\n{'table 5.3':20}" + "".join(f"{name:>20}" for name in WEIGHTED))
        for name in WEIGHTED:
            row = results.get(f"table 5.3 {name}")
            if row:
                print(f"{name + ' × 10':20}" + "".join(f"{row[other]:20.3f}" for other in WEIGHTED))
    print("\nseconds for a song of so many seconds")
    for seconds in LENGTHS:
        if row := results.get(f"seconds for {seconds}"):
            print(f"  {seconds:6}" + "".join(f"   {name} {value:8.2f}" for name, value in row.items()))


def main() -> None:
    """Measure what is not there yet, print all that is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--music", type=Path, default=MUSIC, help="folder of songs; they are split by song")
    parser.add_argument("--folder", type=Path, default=Path("synthesizers-benchmark"), help="where results are kept")
    parser.add_argument("--minutes", type=float, help="stop after the task that passes these [default: 60]")
    parser.add_argument("--full", action="store_true", help="the thesis' scale, without a limit of time")
    parser.add_argument("--model", type=Path, help="a model file; without it, the built-in one")
    parser.add_argument("--swav-weights", type=Path, help="SwAV's published ResNet-50, for the Fréchet distance")
    parser.add_argument("--only", default="", help="tasks whose names begin so")
    options = parser.parse_args()
    limit = options.minutes if options.minutes is not None else float("inf") if options.full else 60.0
    began = time.monotonic()
    bench = Bench(options)
    todo = {key: task for key, task in tasks(bench).items() if key not in bench.results}
    for number, (key, task) in enumerate(todo.items()):
        if not key.startswith(options.only):
            continue
        if time.monotonic() - began > 60 * limit:
            print(f"{limit:g} minutes are over; {len(todo) - number} tasks are left: call it again to go on")
            break
        started = time.monotonic()
        bench.keep(key, task())
        print(f"{key}: {time.monotonic() - started:.1f} s", flush=True)
    report(bench)


if __name__ == "__main__":
    main()
