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
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from correlation_groups import MUSIC
from synthesizers_frames import OwnPictures, Shot, learned_inputs, one_picture, restlessness, still
from synthesizers_motion import hippo_tables, made_by, random_envelopes, repeated
from synthesizers_report import METHODS, report

from audioreactive._support.files import write_aside
from audioreactive.commands.train import command as train_command
from audioreactive.correlation import score_total, sound_tables, watch
from audioreactive.generators import open_generator, to_uint8
from audioreactive.generators.sources import NETWORK_NAME
from audioreactive.learn.dataset import Song, hear_music, split_songs
from audioreactive.learn.generators import KINDS
from audioreactive.learn.model_file import SynthesizerModel, embeddable, read_model, write_model
from audioreactive.learn.research.frechet import fixed_features, load_swav
from audioreactive.learn.synthesize import synthesize
from audioreactive.learn.tables import input_table
from audioreactive.learn.training import Plan, gather, train
from audioreactive.patches.fields import depth_slices
from audioreactive.patches.motion import Motion, motion
from audioreactive.patches.randomizer import draw_around, random_patch
from audioreactive.patches.schema import Hippo
from audioreactive.rendering.previews import shrink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from audioreactive.generators import Generator
    from audioreactive.rendering.renderer import InputSource

    FloatArray = NDArray[np.float32]
    Task = Callable[[], Any]

LEARNED = {"Supervised": "supervised", "Self-supervised": "self"}
TAKES = 2
"""Recipes of each method for each song."""
STEP, BATCH, HEIGHT = 2, 8, 64
"""Every second frame is rendered, eight at a time, and watched at 64 pixels, as for --best-of."""
RESTLESS = (4, 144)
"""Songs and consecutive frames of each in which it is measured how restless a method's frames are."""
WEIGHTED = ("drop_weight", "onsets", "chroma", "spectral_flatness")
COUNTS = (4, 8, 16, 32, 64, 128, 256, 512)
LENGTHS = (30, 60, 180, 600, 1800, 3600)
DEPTHS_TRIED = (1, 2, 4, 6)


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
    targets: int
    ablation: int
    """Examples for each variant of the ablations."""


SHORT = Scale(songs=8, frames=240, samples=1024, examples=48_000, targets=60, ablation=12_800)
FULL = Scale(songs=100, frames=600, samples=30_000, examples=128_000, targets=1000, ablation=128_000)


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
        self.results: dict[str, Any] = json.loads(self.file.read_text("utf-8")) if self.file.exists() else {}

    @cached_property
    def songs(self) -> tuple[tuple[Song, ...], tuple[Song, ...]]:
        """(learned from, held out), as `audioreactive train` divides them; of those held out the ones that are long
        enough for the rendered passage.
        """
        learned, held = split_songs(hear_music(self.music))
        return learned, tuple(song for song in held if song.frames > STEP * self.scale.frames)[: self.scale.songs]

    @cached_property
    def generator(self) -> Generator:
        """The model whose frames are watched, as `render` runs it on this machine."""
        return open_generator(self.model or NETWORK_NAME, device="cpu").generator

    @cached_property
    def describe(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Features for the Fréchet distance."""
        return fixed_features if self.swav is None else load_swav(self.swav)

    def stored(self, name: str) -> Path:
        """The file of a trained synthesizer."""
        return self.folder / f"{name}-{self.file.stem}.safetensors"

    def trained(self, name: str, **choices: Any) -> SynthesizerModel:
        """The synthesizer of this name, trained once."""
        path = self.stored(name)
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
        with write_aside(self.file) as file:
            file.write(json.dumps(self.results, indent=1).encode() + b"\n")

    # Figures 5.2 and 5.3: rendered frames.

    def teach(self, method: str) -> dict[str, float]:
        """Train a synthesizer of Figure 5.2 by the command that is documented."""
        began = time.perf_counter()
        path = self.stored(LEARNED[method])
        if not path.exists():
            words = ["--music", str(self.music), "-o", str(path), "--quiet"]
            if method == "Supervised":
                words += ["--supervised", "--patches", str(self.scale.targets), "--examples", str(self.scale.examples)]
            train_command.main(words, standalone_mode=False)
        return {"seconds": time.perf_counter() - began}

    def recipe(self, method: str, song: Song, seed: int) -> Motion:
        """What a recipe of this method makes of a song."""
        if method == "Randomizer":
            return motion(random_patch(seed), song.features)
        hippo = Hippo(kind="hippo", name="it", motion_seed=seed)
        if method in LEARNED:
            trained = embeddable(self.stored(LEARNED[method]), 0)
            patch = draw_around(trained.model_copy(update={"name": "it"}), seed)
            return motion(patch, song.features, synthesize)
        patch = draw_around(hippo, seed)
        if method == "HiPPO":
            return motion(patch, song.features, synthesize)
        table = random_envelopes(song.features.frames, seed)
        return motion(patch, song.features, lambda patch, features: {"it": table})

    def film_path(self, method: str, index: int, take: int) -> Path:
        """What is kept of a film for the distances and the report."""
        return self.folder / f"film-{self.file.stem}-{method}-{index}-{take}.npz"

    def film(self, method: str, index: int, take: int) -> dict[str, Any]:
        """Scores of a rendered passage from the middle of a held-out song, and of all that the generator is fed."""
        song = self.songs[1][index]
        made = self.recipe(method, song, 1000 * (take + 1) + index)
        shot = self.shoot(song, made.on(self.generator))
        fed = score_total(sound_tables(song.features)[0], made.tables(), fps=song.features.fps)
        np.savez(self.film_path(method, index, take), described=shot.described.numpy(), ws=shot.ws.numpy())
        found = {"raw": shot.card.raw, "corrected": shot.card.z, "fed raw": fed.raw, "fed corrected": fed.z}
        return {"song": song.name, **found}

    def shoot(self, song: Song, inputs: InputSource) -> Shot:
        """Render a passage from the middle of a song, and watch it."""
        first = (song.features.frames - STEP * self.scale.frames) // 2
        shown = np.arange(first, first + STEP * self.scale.frames, STEP)
        described, ws = [], []

        def frames() -> Iterator[NDArray[np.uint8]]:
            for batch, images in self.rendered(shown, inputs):
                with torch.inference_mode():
                    described.append(self.describe(images))
                ws.append(batch)
                yield from to_uint8(shrink(images, HEIGHT)).cpu().numpy()

        seen = watch(frames())
        heard, _ = sound_tables(song.features)
        since = np.maximum(shown[:, None] - np.arange(STEP), 0)
        passage = {name: table[since].max(axis=1) for name, table in heard.items()}
        card = score_total(passage, seen, fps=song.features.fps / STEP)
        groups = [torch.cat(ws)[:, layers].mean(1) for layers in depth_slices(ws[0].shape[1])]
        return Shot(card, torch.cat(described), torch.stack(groups, 1))

    def rendered(self, shown: NDArray[np.int64], inputs: InputSource) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Latents (B, L, W) and pictures (B, 3, h, w) in [-1, 1] of these frames, batch by batch."""
        for at in range(0, len(shown), BATCH):
            chosen = [int(i) for i in shown[at : at + BATCH]]
            with torch.inference_mode():
                ws, noise = zip(*(inputs.frames(i, i + 1) for i in chosen), strict=True)
                batch = torch.cat(ws)
                maps = [torch.cat(one) for one in zip(*noise, strict=True)]
                images = self.generator.synthesis(batch, maps).float().clamp(-1, 1)
            yield batch, images

    def motion(self, method: str) -> dict[str, float]:
        """How restless frames are, and how they answer onsets: means over RESTLESS songs, some seconds of each."""
        found = []
        for index, song in enumerate(self.songs[1][: RESTLESS[0]]):
            shown = song.features.frames // 2 + np.arange(RESTLESS[1])
            fed = self.rendered(shown, self.recipe(method, song, 1000 + index).on(self.generator))
            frames = np.concatenate([to_uint8(shrink(images, HEIGHT)).cpu().numpy() for _, images in fed])
            onsets = song.features["onsets"][shown, 0]
            found.append(restlessness(frames, float(song.features.fps), onsets))
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}

    def sample(self) -> dict[str, int]:
        """The model's own pictures and latents, from seeds 0 upwards."""
        described, ws = [], []
        stream = np.random.RandomState(1)
        for first in range(0, self.scale.samples, BATCH):
            seeds = range(first, min(first + BATCH, self.scale.samples))
            z = np.concatenate([np.random.RandomState(s).randn(1, self.generator.z_dim) for s in seeds])
            with torch.inference_mode():
                batch = self.generator.mapping(torch.from_numpy(z).float()).float()
                maps = [torch.from_numpy(stream.randn(len(z), 1, *size)).float() for size in self.generator.noise_sizes]
                described.append(self.describe(self.generator.synthesis(batch, maps).float().clamp(-1, 1)))
            ws.append(batch[:, 0])
        np.savez(self.folder / f"samples-{self.file.stem}.npz", described=torch.cat(described), ws=torch.cat(ws))
        return {"samples": self.scale.samples}

    @cached_property
    def own(self) -> OwnPictures:
        """The model's samples, as a measure of distance."""
        kept = np.load(self.folder / f"samples-{self.file.stem}.npz")
        return OwnPictures.of(torch.from_numpy(kept["described"]), torch.from_numpy(kept["ws"]))

    def distances(self) -> dict[str, Any]:
        """Fréchet distances of all frames of each method from the model's samples, of pictures and of latents."""
        found: dict[str, Any] = {}
        # More palettes are nearer: only passages that all methods have been filmed in.
        places = [
            (index, take)
            for index in range(len(self.songs[1]))
            for take in range(TAKES)
            if all(self.film_path(method, index, take).exists() for method in METHODS)
        ]
        for method in METHODS if places else ():
            films = [np.load(self.film_path(method, *place)) for place in places]
            latents = torch.from_numpy(np.concatenate([film["ws"] for film in films])).flatten(0, 1)
            pictures = torch.from_numpy(np.concatenate([film["described"] for film in films]))
            found[method] = self.own.distances(pictures, latents)
        # As many pictures of the model itself as a method has shown: what such a distance is at the least.
        half = len(self.own.latents) // 2
        found["half of the samples"] = self.own.distances(self.own.pictures[:half], self.own.latents[:half])
        return found

    # Figure 5.4.

    def seconds_for(self, seconds: int) -> dict[str, float]:
        """Seconds that each synthesizer takes for a song of this length, features given, nothing rendered."""
        features = repeated(max(self.songs[1], key=lambda song: song.frames).features, seconds)
        model = read_model(self.stored(LEARNED["Self-supervised"]))
        patch, hippo = random_patch(1), draw_around(Hippo(kind="hippo", name="it"), 1)
        inputs = input_table(features)

        def randomizer() -> None:
            motion(patch, features)

        tasks: dict[str, Callable[[], object]] = {
            "Randomizer": randomizer,
            "trained": lambda: model.motion(inputs, 0),
            "HiPPO": lambda: synthesize(hippo, features),
        }
        randomizer()  # what is imported on first use
        found = {}
        for name, task in tasks.items():
            began = time.perf_counter()
            task()
            found[name] = time.perf_counter() - began
        return found

    # Tables 5.2 and 5.3, Figures 5.5 and 5.6: scored on the generator's inputs.

    def scores(self, play: Callable[[Song], dict[str, FloatArray]]) -> dict[str, Any]:
        """Raw and corrected scores of what a synthesizer makes for each held-out song."""
        cards = []
        for song in self.songs[1]:
            heard, _ = sound_tables(song.features)
            made = play(song)
            frames = min(map(len, made.values()))  # a song's last frame may be cut short, and is then not learned from
            heard = {name: table[:frames] for name, table in heard.items()}
            cards.append(score_total(heard, made, fps=song.features.fps))
        return {"raw": [card.raw for card in cards], "corrected": [card.z for card in cards]}

    def variant_on_frames(self, name: str, **choices: Any) -> dict[str, Any]:
        """Film what a variant makes of each held-out song, about one picture: scores, and distances of all frames."""
        model = self.trained(name, **self.plan(**choices))
        shots = []
        for index, song in enumerate(self.songs[1]):
            patch = one_picture(index)
            inputs: InputSource
            if model.network.decoder is None:
                embedded = embeddable(self.stored(name), 0).model_copy(update={"name": "it"})
                patch = patch.model_copy(update={"synthesizers": (embedded,)})
                inputs = motion(patch, song.features, synthesize).on(self.generator)
            else:
                rest = motion(still(patch), song.features).on(self.generator)
                inputs = learned_inputs(model, song, self.generator, rest)
            shots.append(self.shoot(song, inputs))
        far = self.own.distances(
            torch.cat([shot.described for shot in shots]), torch.cat([shot.ws for shot in shots]).flatten(0, 1)
        )
        return {"raw": [shot.card.raw for shot in shots], "corrected": [shot.card.z for shot in shots], **far}

    def plan(self, **choices: Any) -> dict[str, Any]:
        """Of a variant."""
        return {"examples": self.scale.ablation, "targets": self.scale.targets, **choices}

    def variant(self, name: str, **choices: Any) -> dict[str, Any]:
        """Train a variant, and score it."""
        model = self.trained(name, **self.plan(**choices))
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


def tasks(bench: Bench) -> dict[str, Task]:
    """Everything that is measured, the most important first."""
    found: dict[str, Task] = {}
    for method in LEARNED:
        found[f"train {method}"] = partial(bench.teach, method)
    for take in range(TAKES):
        for index in range(len(bench.songs[1])):
            for method in METHODS:
                found[f"film {method} {index} {take}"] = partial(bench.film, method, index, take)
    for method in METHODS:
        found[f"motion {method}"] = partial(bench.motion, method)
    found["samples"] = bench.sample
    found["distances"] = bench.distances
    for seconds in LENGTHS:
        found[f"seconds for {seconds}"] = partial(bench.seconds_for, seconds)
    for name in WEIGHTED:
        found[f"table 5.3 {name}"] = partial(bench.weighted, name)
    for supervised in (False, True):
        for learned in (False, True):
            for residual in (True, False):
                choices = {"supervised": supervised, "learned_decoder": learned, "residual": residual}
                key = variant_name(**choices)
                name = f"table52 {key}".replace(" ", "-")
                found[f"table 5.2 {key}"] = partial(bench.variant, name, **choices)
                found[f"frames of {key}"] = partial(bench.variant_on_frames, name, **choices)
    for n in COUNTS:
        found[f"figure 5.6 {n}"] = partial(bench.hippo, coefficients=n)
    for kind in KINDS:
        found[f"figure 5.5a {kind}"] = partial(bench.variant, f"kind-{kind}", kind=kind)
    for depth in DEPTHS_TRIED:
        found[f"figure 5.5b depth {depth}"] = partial(bench.variant, f"depth-{depth}", depth=depth)
    return found


def variant_name(*, supervised: bool, learned_decoder: bool, residual: bool) -> str:
    """A row of Table 5.2."""
    words = ["supervised" if supervised else "self-supervised", "learned" if learned_decoder else "parameter-free"]
    return " ".join(words + ["residual"] * residual)


def main() -> None:
    """Measure what is not there yet, print all that is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--music", type=Path, default=MUSIC, help="folder of songs; they are split by song")
    parser.add_argument("--folder", type=Path, default=Path("synthesizers-benchmark"), help="where results are kept")
    parser.add_argument("--minutes", type=float, help="stop after the task that passes these [default: 60]")
    parser.add_argument("--full", action="store_true", help="the thesis' scale, without a limit of time")
    parser.add_argument("--model", type=Path, help="a model file; without it, the network that ships")
    parser.add_argument("--swav-weights", type=Path, help="SwAV's published ResNet-50, for the Fréchet distance")
    parser.add_argument("--only", nargs="*", default=[""], metavar="TASK", help="tasks whose names begin so")
    options = parser.parse_args()
    limit = options.minutes if options.minutes is not None else float("inf") if options.full else 60.0
    began = time.monotonic()
    bench = Bench(options)
    todo = {key: task for key, task in tasks(bench).items() if key not in bench.results}
    todo = {key: task for key, task in todo.items() if key.startswith(tuple(options.only))}
    for number, (key, task) in enumerate(todo.items()):
        if time.monotonic() - began > 60 * limit:
            print(f"{limit:g} minutes are over; {len(todo) - number} tasks are left: call it again to go on")
            break
        started = time.monotonic()
        bench.keep(key, task())
        print(f"{key}: {time.monotonic() - started:.1f} s", flush=True)
    report(bench.results)


if __name__ == "__main__":
    main()
