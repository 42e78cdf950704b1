"""Trains MathAV-Net, its ablations, and the LSTM and the transformer of its Table 8 on made scenes; prints how well.

Scenes of odd seeds from 201 on train, 101 and 103 validate, even ones test, as for `sync_towers.py` and
`sync_table.py`.
An example is half of a scene, five seconds, whose sound is moved by up to 0.4 s in each step. Loss, Adam at 1e-4,
batches of 32, dropout of 0.3, at most 100 epochs, and the end after 15 without improvement are the seed's.

On a CPU, features are computed once and kept in FOLDER: of the small encoder, which first learns for some minutes to
tell from two pictures what has changed between them (the nine changes of `seen`), of an untrained ResNet-18 on pictures
of 36 x 64, or those nine changes themselves, beside the six of the sound. The whole of it, ResNet-18 at 224 x 224
learning with the rest, is one command for a GPU:

    python benchmarks/sync_mathav.py FOLDER --features resnet18 --end-to-end --device cuda --minutes 600 --seeds 200

    python benchmarks/sync_mathav.py FOLDER [--features small|resnet18|changes] [--seeds 20] [--minutes 10]
        [--epochs 100] [--networks NAME,...] [--rate 1e-4] [--threads 1] [--evaluate] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from audioreactive.sync.heard import HEARD_RATE, heard_changes
from audioreactive.sync.research.baselines import best_lag, on_frames
from audioreactive.sync.research.mathav.encoders import (
    BINS,
    SIDE,
    SMALL_D,
    D,
    ResNet18,
    SmallEncoder,
    log_mel,
    normalized_frames,
    parameters_of,
)
from audioreactive.sync.research.mathav.metrics import (
    bootstrap,
    frechet_distance,
    latency_compliance,
    sync_accuracy,
    temporal_jitter,
)
from audioreactive.sync.research.mathav.network import (
    LstmConcatenated,
    MathAv,
    Settings,
    Told,
    Transformer,
    composite_loss,
    means_of,
    production_loss,
)
from audioreactive.sync.research.mathav.stages import production
from audioreactive.sync.research.scenes import FPS, KINDS, Kind, Scene, make_scene
from audioreactive.sync.seen import SEEN, measure_changes, seen_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

RATE: Final = 1e-4
BATCH: Final = 32
EPOCHS: Final = 100
PATIENCE: Final = 15
CLIP: Final = 150
"""Frames of an example, five seconds."""
ROWS: Final = 500
"""Rows of its sound."""
MOVED: Final = 40
"""Most rows, of 10 ms, by which a sound is moved in training."""
FIRST, VALIDATION, TEST = 201, (101, 103), (0, 2, 4)
FEATURES: Final = ("small", "resnet18", "changes")
SIZES: Final = {"small": (SMALL_D, BINS), "resnet18": (D, BINS), "changes": (len(SEEN), 6)}
"""Features of the picture and of the sound."""
FULL: Final = Settings()
ABLATIONS: Final = {
    "w/o SVD": replace(FULL, svd=False), "w/o KL": replace(FULL, kl=False), "w/o DTW": replace(FULL, dtw=False),
    "w/o manifold": replace(FULL, manifold=False), "w/o attention": replace(FULL, attention=False),
}  # fmt: skip
READINGS: Final = {
    "path": replace(FULL, fusion="path"), "scaled": replace(FULL, scaled=True),
    "scaled path": replace(FULL, fusion="path", scaled=True),
    "production alone": Settings(kl=False, dtw=False, manifold=False),
}  # fmt: skip
SETTINGS: Final = {"MathAV-Net": FULL, **ABLATIONS, **READINGS}
NETWORKS: Final = (*SETTINGS, "LSTM", "transformer")


@dataclass(frozen=True, eq=False)
class Example:
    """Features of a scene of ten seconds."""

    scene: str
    """Kind, complexity and seed."""
    seen: NDArray[np.float32] | NDArray[np.uint8]
    """(300, D); end to end, the frames (300, H, W, 3) uint8."""
    heard: FloatArray
    """(1000, F)."""
    truth: FloatArray
    """(300,) offsets in seconds."""


@dataclass(frozen=True)
class Limits:
    """When training ends, unless the validation loss has stopped falling before."""

    epochs: int = EPOCHS
    minutes: float = 10.0


def names_of(seeds: Sequence[int]) -> Iterator[tuple[Kind, int, int]]:
    """Kind, complexity and seed of all scenes of these seeds but those of silence."""
    for seed in seeds:
        for kind in KINDS:
            for complexity in (1, 2, 3, 4, 5) if kind != "silence" else ():
                yield kind, complexity, seed


def made(folder: Path, seeds: Sequence[int]) -> list[Path]:
    """Scenes of these seeds as files of frames, sound and truth, made where they are not there yet."""
    paths = []
    for kind, complexity, seed in names_of(seeds):
        path = folder / "scenes" / f"{kind}-{complexity}-{seed}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            scene = make_scene(kind, complexity, seed)
            tables = {
                "frames": torch.from_numpy(scene.frames), "mel": torch.from_numpy(log_mel(scene.sound)),
                "seen": torch.from_numpy(seen_changes(measure_changes(scene.frames))),
                "heard": torch.from_numpy(heard_rows(scene.sound)), "truth": torch.from_numpy(scene.truth).float(),
            }  # fmt: skip
            save_file(tables, path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)
        paths.append(path)
    return paths


def heard_rows(sound: FloatArray) -> FloatArray:
    """Changes of a sound, six columns, at 100 rows a second."""
    changes = heard_changes(sound)
    return on_frames(changes, round(len(changes) * 100 / HEARD_RATE), Fraction(100))


def seen_features(encoder: nn.Module, frames: Tensor, side: int | None, device: str) -> Tensor:
    """Frames (T, H, W, 3) -> features (T, D) of an encoder, a hundred frames at a time."""
    pictures = normalized_frames(frames[None], side)[0]
    encoder.eval()
    with torch.no_grad():
        return torch.cat([encoder(some.to(device)).cpu() for some in torch.split(pictures, 100)])


def encoder_of(features: str, folder: Path, device: str) -> nn.Module | None:
    """The encoder of a kind of features; the small one must have learned (`pretext`)."""
    torch.manual_seed(20)
    if features in ("changes", "frames"):
        return None
    if features == "resnet18":
        return ResNet18().to(device)
    encoder = SmallEncoder()
    encoder.load_state_dict(load_file(folder / "small-encoder.safetensors"))
    return encoder.to(device)


def examples_of(paths: Sequence[Path], features: str, folder: Path, device: str) -> list[Example]:
    """Features of scenes, from the folder where they are kept."""
    encoder = encoder_of(features, folder, device)
    found = []
    for path in paths:
        tables = load_file(path)
        if features == "frames":
            seen, heard = tables["frames"], tables["mel"]
        elif encoder is None:
            seen, heard = tables["seen"], tables["heard"]
        else:
            kept = folder / features / path.name
            if not kept.exists():
                kept.parent.mkdir(exist_ok=True)
                save_file({"seen": seen_features(encoder, tables["frames"], None, device)}, kept)
            seen, heard = load_file(kept)["seen"], tables["mel"]
        found.append(Example(path.stem, seen.numpy(), heard.numpy(), tables["truth"].numpy()))
    return found


def pretext(paths: Sequence[Path], folder: Path, minutes: float) -> None:
    """Let the small encoder learn from pictures alone: two neighbours' features must tell the nine changes between."""
    torch.manual_seed(21)
    stream = np.random.RandomState([21, 5])
    encoder, told = SmallEncoder(), nn.Sequential(nn.Linear(2 * SMALL_D, 64), nn.ReLU(), nn.Linear(64, len(SEEN)))
    optimizer = torch.optim.Adam([*encoder.parameters(), *told.parameters()], 1e-3)
    began, steps, mean = time.monotonic(), 0, 0.0
    while time.monotonic() - began < 60 * minutes:
        picked = [load_file(paths[i]) for i in stream.randint(len(paths), size=4)]
        first = stream.randint(2, 300 - 64)
        frames = torch.stack([tables["frames"][first : first + 64] for tables in picked])
        target = torch.stack([tables["seen"][first + 1 : first + 64] for tables in picked])
        rows = encoder(normalized_frames(frames).flatten(0, 1)).reshape(4, 64, -1)
        loss = (told(torch.cat([rows[:, :-1], rows[:, 1:]], 2)) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
        mean = loss.item() if steps == 1 else 0.98 * mean + 0.02 * loss.item()
        if steps % 200 == 0:
            print(f"encoder: step {steps}, {mean:.3f} of the changes' variance is left", file=sys.stderr, flush=True)
    print(f"encoder: {steps} steps, {mean:.3f} of the changes' variance is left")
    save_file(encoder.state_dict(), folder / "small-encoder.safetensors")


def network_of(name: str, features: str, *, whole: bool = False) -> nn.Module:
    """A network by its name, with its encoder if it is `whole`; its weights are drawn on a seed of its own."""
    torch.manual_seed(22)
    sizes = SIZES[features]
    network: nn.Module
    if name == "LSTM":
        network = LstmConcatenated(*sizes)
    else:
        network = Transformer(*sizes) if name == "transformer" else MathAv(*sizes, SETTINGS[name])
    if not whole:
        return network
    encoder = ResNet18() if features == "resnet18" else SmallEncoder()
    return EndToEnd(encoder, network, SIDE if features == "resnet18" else None)


def loss_of(name: str, told: Told, truth: Tensor) -> dict[str, Tensor]:
    """The loss by which a network is trained, by its parts."""
    if name in SETTINGS:
        return composite_loss(told, truth, SETTINGS[name])
    loss = production_loss(told, truth)
    return {"production": loss, "total": loss}


def batch(
    examples: Sequence[Example], halves: Sequence[tuple[int, int]], moves: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Clips of five seconds, (example, first frame) each, whose sound is moved by so many rows (later)."""
    seen, heard, truth = [], [], []
    for (number, first), move in zip(halves, moves, strict=True):
        example = examples[number]
        row = round(first / float(FPS) * 100)
        rows = np.clip(np.arange(row, row + ROWS) - move, 0, len(example.heard) - 1)
        seen.append(example.seen[first : first + CLIP])
        heard.append(example.heard[rows])
        truth.append(example.truth[first : first + CLIP] - move / 100)
    one, two, three = (torch.from_numpy(np.stack(tables).astype(np.float32)) for tables in (seen, heard, truth))
    return one, two, three


def train(
    name: str,
    network: nn.Module,
    examples: Sequence[Example],
    validation: Sequence[Example],
    limits: Limits,
    device: str,
    rate: float,
) -> list[dict[str, float]]:
    """Train a network until its validation loss has not fallen for 15 epochs, or time is up; what was measured in each.

    The network is left with the weights of its best epoch.
    """
    stream = np.random.RandomState([22, 6])
    optimizer = torch.optim.Adam(network.parameters(), rate)
    best, since = {key: value.clone() for key, value in network.state_dict().items()}, 0
    history: list[dict[str, float]] = []
    began, steps = time.monotonic(), 0
    while len(history) < limits.epochs and since < PATIENCE:
        network.train()
        sums: dict[str, float] = {}
        order = stream.permutation(len(examples))
        for start in range(0, len(order), BATCH):
            some = [
                (int(i), int(stream.randint(len(examples[i].seen) - CLIP + 1))) for i in order[start : start + BATCH]
            ]
            tables = batch(examples, some, stream.randint(-MOVED, MOVED + 1, len(some)).tolist())
            seen, heard, truth = (table.to(device) for table in tables)
            loss = loss_of(name, network(seen, heard), truth)
            optimizer.zero_grad()
            loss["total"].backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            steps += 1
            for key, value in loss.items():
                sums[key] = sums.get(key, 0.0) + len(some) * value.item() / len(order)
        measured = validate(name, network, validation, device)
        history.append({**{f"train {key}": value for key, value in sums.items()}, **measured, "steps": steps})
        print(
            f"{name}: epoch {len(history)}",
            {key: round(v, 4) for key, v in history[-1].items()},
            file=sys.stderr,
            flush=True,
        )
        if measured["loss"] <= min(epoch["loss"] for epoch in history):
            best, since = {key: value.clone() for key, value in network.state_dict().items()}, 0
        else:
            since += 1
        if time.monotonic() - began > 60 * limits.minutes:
            break
    network.load_state_dict(best)
    return history


def validate(name: str, network: nn.Module, examples: Sequence[Example], device: str) -> dict[str, float]:
    """Loss, error and scale of H on the halves of scenes that did not train, their sound moved by fixed amounts."""
    network.eval()
    halves = [(i, first) for i in range(len(examples)) for first in (0, CLIP)]
    moves = np.random.RandomState(7).randint(-MOVED, MOVED + 1, len(halves)).tolist()
    totals, errors, sizes = [], [], []
    with torch.no_grad():
        for start in range(0, len(halves), BATCH):
            seen, heard, truth = (
                table.to(device)
                for table in batch(examples, halves[start : start + BATCH], moves[start : start + BATCH])
            )
            told = network(seen, heard)
            totals.append(loss_of(name, told, truth)["total"].item() * len(truth))
            errors.append((told.offsets - truth).cpu().numpy())
            if told.seen is not None:
                sizes.append(float(told.seen.square().mean().sqrt()))
    every = np.concatenate(errors)
    return {
        "loss": sum(totals) / len(halves), "rms ms": 1e3 * temporal_jitter(every), "accuracy": sync_accuracy(every),
        "size of H": float(np.mean(sizes)) if sizes else float("nan"),
    }  # fmt: skip


def tell(network: nn.Module, example: Example, device: str) -> Told:
    """What a network tells of a scene of ten seconds, half by half, without stage 5."""
    network.eval()
    seen, heard, _ = batch([example] * 2, [(0, 0), (1, CLIP)], [0, 0])
    with torch.no_grad():
        told: Told = network(seen.to(device), heard.to(device))
    return told


def produced(told: Told) -> NDArray[np.float64]:
    """Offset of each frame of a scene after stage 5."""
    halves = [
        production(offsets.cpu().numpy().astype(np.float64), float(jitter))[0]
        for offsets, jitter in zip(told.offsets, told.jitter, strict=True)
    ]
    return np.concatenate(halves)


def file_of(features: str, name: str) -> str:
    """Name of the file of a network's weights."""
    return f"{features}-{name.replace('/', '')}.safetensors"


def trained(folder: Path, features: str, name: str) -> tuple[nn.Module, Callable[[Scene], Example]]:
    """A network that was trained into a folder, and how it reads a scene."""
    encoder = encoder_of(features, folder, "cpu")

    def read(scene: Scene) -> Example:
        truth = scene.truth.astype(np.float32)
        if encoder is None:
            return Example("", seen_changes(measure_changes(scene.frames)), heard_rows(scene.sound), truth)
        seen = seen_features(encoder, torch.from_numpy(scene.frames), None, "cpu")
        return Example("", seen.numpy(), log_mel(scene.sound), truth)

    network = network_of(name, features)
    network.load_state_dict(load_file(folder / file_of(features, name)))
    return network, read


def evaluate(
    name: str, network: nn.Module, examples: Sequence[Example], device: str
) -> tuple[list[dict[str, object]], tuple[float, float] | None]:
    """(a row for each test scene, Fréchet AV distance and sum of variances of the shared space, if there is one)."""
    rows: list[dict[str, object]] = []
    spaces: list[tuple[FloatArray, FloatArray]] = []
    for example in examples:
        kind, complexity, seed = example.scene.split("-")
        told = tell(network, example, device)
        found = {name: produced(told)}
        if name == "MathAV-Net":
            found["w/o ADMM"] = told.offsets.cpu().numpy().ravel().astype(np.float64)
        if name in SETTINGS:
            found[f"{name}, one lag of H"] = lags_of(told)
        if told.seen is not None and told.heard is not None:
            spaces.append((told.seen.flatten(0, 1).cpu().numpy(), told.heard.flatten(0, 1).cpu().numpy()))
        for label, offsets in found.items():
            error = offsets - example.truth
            rows.append(
                {
                    "method": label, "kind": kind, "complexity": int(complexity), "seed": int(seed),
                    "accuracy": sync_accuracy(error), "rms_ms": 1e3 * temporal_jitter(error),
                }
            )  # fmt: skip
    if not spaces:
        return rows, None
    one, two = (np.concatenate(side) for side in zip(*spaces, strict=True))
    return rows, (frechet_distance(one, two), float(one.var(0).sum() + two.var(0).sum()))


def lags_of(told: Told) -> NDArray[np.float64]:
    """Offset of each frame if the shared space alone is asked: the lag at which H_v and H_a of a half agree most."""
    assert told.seen is not None and told.heard is not None
    frames = told.seen.shape[1]
    means = means_of(told.heard.shape[1], frames, told.heard)
    tables = [
        (seen.cpu().numpy(), (means @ heard).cpu().numpy()) for seen, heard in zip(told.seen, told.heard, strict=True)
    ]
    return np.concatenate([np.full(frames, -best_lag(seen, heard, FPS)) for seen, heard in tables])


def latencies(network: nn.Module, encoder: nn.Module | None, side: int | None, device: str, clips: int) -> list[float]:
    """Seconds from decoded frames and sound of five seconds to offsets, for some clips."""
    scene = make_scene("impact", 2, 101, seconds=5.0)
    taken = []
    for _ in range(clips + 1):
        began = time.perf_counter()
        seen: NDArray[np.generic]
        if isinstance(network, EndToEnd):
            seen, heard = scene.frames, log_mel(scene.sound)
        elif encoder is None:
            seen, heard = seen_changes(measure_changes(scene.frames)), heard_rows(scene.sound)
        else:
            seen = seen_features(encoder, torch.from_numpy(scene.frames), side, device).numpy()
            heard = log_mel(scene.sound)
        with torch.no_grad():
            told = network(torch.from_numpy(seen)[None].to(device), torch.from_numpy(heard)[None].to(device))
        production(told.offsets[0].cpu().numpy().astype(np.float64), float(told.jitter[0]))
        taken.append(time.perf_counter() - began)
    return taken[1:]  # the first warms up


def printed(rows: Sequence[dict[str, object]]) -> None:
    """Tables by complexity and by event, and the whole with intervals over clips."""
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    print("\naccuracy in % (root mean square error in ms, of all clips)")
    print("| |", " | ".join(methods), "|")
    keys: list[tuple[str, object]] = [("complexity", c) for c in (1, 2, 3, 4, 5)]
    keys += [("kind", kind) for kind in KINDS if kind != "silence"]
    for key, value in [*keys, ("all", "")]:
        cells = []
        for method in methods:
            some = [row for row in rows if row["method"] == method and (key == "all" or row[key] == value)]
            accuracy, squares = (np.array([float(str(row[c])) for row in some]) for c in ("accuracy", "rms_ms"))
            cell = f"{100 * accuracy.mean():.1f} ({np.sqrt(np.square(squares).mean()):.0f})" if some else "-"
            if key == "all":
                low, high = bootstrap(100 * accuracy)
                near, far = bootstrap(np.square(squares), np.sqrt)
                cell += f", {low:.1f} to {high:.1f} ({near:.0f} to {far:.0f})"
            cells.append(cell)
        print(f"| {key} {value} |", " | ".join(cells), "|")


class EndToEnd(nn.Module):
    """Encoder and MathAV-Net as one network of frames."""

    def __init__(self, encoder: nn.Module, network: nn.Module, side: int | None) -> None:
        super().__init__()
        self.encoder, self.network, self.side = encoder, network, side

    def forward(self, frames: Tensor, heard: Tensor) -> Told:
        """Frames (B, T, H, W, 3) of 0 to 255, log-mel (B, T_a, F) -> offsets, jitter; clips are encoded one by one."""
        seen = [
            checkpoint(self.encoder, normalized_frames(clip[None], self.side)[0], use_reentrant=False)
            for clip in frames
        ]
        told: Told = self.network(torch.stack(seen), heard)
        return told


def main() -> None:
    """Make scenes, train what is asked for, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--features", choices=FEATURES, default="small")
    parser.add_argument("--end-to-end", action="store_true", help="the encoder learns with the rest, from frames")
    parser.add_argument("--seeds", type=int, default=20, help="of 35 scenes each")
    parser.add_argument("--minutes", type=float, default=10.0, help="most, for each network")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="most, for each network")
    parser.add_argument("--evaluate", action="store_true", help="networks that were trained before")
    parser.add_argument("--pretext", type=float, default=4.0, help="minutes in which the small encoder learns")
    parser.add_argument("--networks", default="MathAV-Net,LSTM,transformer", help=f"some of {', '.join(NETWORKS)}")
    parser.add_argument("--rate", type=float, default=RATE, help="learning rate of Adam")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    names = [name.strip() for name in options.networks.split(",")]
    if unknown := [name for name in names if name not in NETWORKS]:
        raise SystemExit(f"there is no network {unknown[0]!r}; there are {', '.join(NETWORKS)}")
    torch.set_num_threads(options.threads)
    folder: Path = options.folder
    training = made(folder, [FIRST + 2 * i for i in range(options.seeds)])
    whole: bool = options.end_to_end
    if whole and options.features == "changes":
        raise SystemExit("--end-to-end needs an encoder: --features small or resnet18")
    kept = "frames" if whole else options.features
    if options.features == "small" and not whole and not (folder / "small-encoder.safetensors").exists():
        pretext(training, folder, options.pretext)
    sets = [examples_of(some, kept, folder, options.device)
            for some in (training, made(folder, VALIDATION), made(folder, TEST))]  # fmt: skip
    rows: list[dict[str, object]] = []
    about: dict[str, object] = {}
    for name in names:
        network = network_of(name, options.features, whole=whole).to(options.device)
        weights = folder / file_of(("whole-" if whole else "") + options.features, name)
        if options.evaluate:
            network.load_state_dict(load_file(weights))
            history = json.loads(weights.with_suffix(".json").read_text("utf-8"))
        else:
            limits = Limits(options.epochs, options.minutes)
            history = train(name, network, sets[0], sets[1], limits, options.device, options.rate)
            save_file(network.state_dict(), weights)
            weights.with_suffix(".json").write_text(json.dumps(history, indent=1) + "\n", "utf-8")
        told, distance = evaluate(name, network, sets[2], options.device)
        rows += told
        best = min(history, key=lambda epoch: epoch["loss"])
        encoder = None if whole else encoder_of(options.features, folder, options.device)
        side = SIDE if options.features == "resnet18" else None
        taken = latencies(network, encoder, side, options.device, 3 if side else 20)
        about[name] = {"history": history, "distance": distance, "seconds": taken, "parameters": parameters_of(network)}
        print(
            f"{name}: {len(history)} epochs, {int(history[-1]['steps'])} steps; best epoch {history.index(best) + 1}, "
            f"validation loss {best['loss']:.4f}, H of {best['size of H']:.3f}; "
            f"{parameters_of(network)} weights; {1e3 * float(np.median(taken)):.0f} ms a clip of 5 s, "
            f"{latency_compliance(taken):.0%} within 40 ms; "
            + (f"FAD {distance[0]:.4f} at variance {distance[1]:.4f}" if distance else "no shared space"),
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps({"rows": rows, "about": about}, indent=1) + "\n", "utf-8")
    printed(rows)


if __name__ == "__main__":
    main()
