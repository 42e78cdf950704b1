"""Trains the two towers that tell where a sound fits a picture, on made scenes, on signs and, if given, on renders.

Scenes of odd seeds from 201 on train, 101 and 103 validate, even ones test (`sync_table.py`). Signs of seeds from 2000
on train, 1900 to 1947 validate, 1000 to 1899 test (`sync_signs.py`). Renders are videos of this program as they were
written, so that their lag is 0. In each step the sound is moved by up to half a second; at
each place, one and two and a half seconds must tell the true lag from all within a second (cross entropy, with a target
of 10 ms).

    python benchmarks/sync_towers.py --write audioreactive/assets/sync.safetensors [--seeds 20] [--signs 400]
        [--steps 2600] [--renders FOLDER] [--start FILE]
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from audioreactive.media.audio import load
from audioreactive.sync.heard import band_levels
from audioreactive.sync.research.scenes import FPS, KINDS, make_scene
from audioreactive.sync.research.signs import make_signs
from audioreactive.sync.seen import measure_changes
from audioreactive.sync.towers import (
    BLOCK,
    DILATIONS,
    EMBEDDED,
    TEMPERATURE,
    TOWER_RATE,
    heard_input,
    seen_input,
)
from audioreactive.sync.watching import watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HIDDEN = 24
ROWS = 10 * TOWER_RATE - BLOCK
"""Rows of an example."""
LAGS = TOWER_RATE
"""Rows of the largest lag."""
MOVED = 64
"""Most rows by which a sound is moved."""
WINDOWS = (128, 320)
"""Rows that must tell the lag."""
TARGET = 0.010
"""Deviation of the target in seconds."""
STEADY = 0.04
"""Most by which the lag may change within a window."""
BATCH = 12
RATE = 2e-3
VALIDATION = (101, 103)
FIRST = 201
SIGNS = 2000
"""Seed of the first film of a sign that trains."""
SIGNS_VALIDATION = range(1900, 1948)
SIGNS_SHARE = 3
"""One of so many examples of a step is a sign."""


@dataclass(frozen=True, eq=False)
class Example:
    """A picture, its sound, and the lag at each row."""

    seen: NDArray[np.float32]
    heard: NDArray[np.float32]
    lag: NDArray[np.float64]


class Tower(nn.Module):
    """One side's network."""

    def __init__(self, channels: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        one, two = dilations
        self.layers = nn.ModuleList(
            [
                nn.Conv1d(channels, HIDDEN, 9, dilation=one, padding=4 * one),
                nn.Conv1d(HIDDEN, HIDDEN, 5, dilation=two, padding=2 * two),
                nn.Conv1d(HIDDEN, EMBEDDED, 1),
            ]
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Input (B, channels, n) -> embedding (B, EMBEDDED, n)."""
        first, second, last = self.layers
        result: Tensor = last(functional.relu(second(functional.relu(first(inputs)))))
        return result


class Towers(nn.Module):
    """Both sides."""

    def __init__(self, seen: int, heard: int) -> None:
        super().__init__()
        self.sides = nn.ModuleDict({"seen": Tower(seen, DILATIONS["seen"]), "heard": Tower(heard, DILATIONS["heard"])})

    def forward(self, seen: Tensor, heard: Tensor) -> Tensor:
        """Logarithm of the likelihood of each lag in each block, (B, blocks, 2 LAGS + 1)."""
        a, b = self.sides["seen"](seen), self.sides["heard"](heard)
        blocks, size = a.shape[2] // BLOCK, BLOCK + 2 * LAGS
        around = functional.pad(b, (LAGS, LAGS)).unfold(2, size, BLOCK)[:, :, :blocks]
        own = a[:, :, : blocks * BLOCK].unfold(2, BLOCK, BLOCK)
        spectrum = (torch.fft.rfft(around, size) * torch.fft.rfft(own, size).conj()).sum(1)
        found: Tensor = torch.fft.irfft(spectrum, size)[..., : 2 * LAGS + 1] / TEMPERATURE
        return found

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Arrays by the names that `towers` reads."""
        return {_read_name(name): tensor.numpy() for name, tensor in self.state_dict().items()}

    def read(self, path: Path) -> None:
        """Take the weights of a file; columns that it does not know count for nothing at first."""
        found, state = load_file(path), {}
        for name, own in self.state_dict().items():
            weights = torch.from_numpy(found[_read_name(name)])
            state[name] = torch.zeros_like(own)
            state[name][tuple(slice(size) for size in weights.shape)] = weights
        self.load_state_dict(state)


def _read_name(name: str) -> str:
    """The name `sides.seen.layers.0.weight` of PyTorch as `seen.1.weight`."""
    _, side, _, number, kind = name.split(".")
    return f"{side}.{int(number) + 1}.{kind}"


def scenes(seeds: Sequence[int]) -> list[Example]:
    """All kinds and complexities of these seeds."""
    found = []
    for seed in seeds:
        for kind in KINDS:
            for complexity in (1, 2, 3, 4, 5) if kind != "silence" else ():
                scene = make_scene(kind, complexity, seed)
                seen = seen_input(measure_changes(scene.frames), scene.times + 0.5 / float(FPS))
                frames = np.minimum(np.arange(seen.shape[1]) * float(FPS) / TOWER_RATE, len(scene.truth) - 1)
                found.append(Example(seen, heard_input(band_levels(scene.sound)), -scene.truth[frames.astype(int)]))
    return found


def signs(seeds: Sequence[int]) -> list[Example]:
    """The films of signs of these seeds, in sync."""
    found = []
    for seed in seeds:
        film = make_signs(seed)
        seen = seen_input(measure_changes(film.frames), film.middles)
        found.append(Example(seen, heard_input(band_levels(film.sound)), np.zeros(seen.shape[1])))
    return found


def renders(folder: Path) -> list[Example]:
    """The videos of a folder, in sync."""
    found = []
    for path in sorted(folder.glob("*.mp4")):
        watched, sound = watch(path), load(path)
        late = round(watched.times.sound_start * TOWER_RATE)
        heard = np.roll(heard_input(band_levels(sound.samples)), late, axis=1)
        seen = seen_input(watched.changes, watched.clock.middles)
        found.append(Example(seen, heard, np.zeros(seen.shape[1])))
    return found


def batch(
    examples: Sequence[Example], stream: np.random.RandomState, *, changed: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Pieces of the examples; `changed`: the sound moved, everything a little louder or softer and noisy."""
    seen, heard, lags = [], [], []
    for example in examples:
        last = min(example.seen.shape[1], example.heard.shape[1]) - ROWS
        first = stream.randint(last + 1) if changed and last > 0 else 0
        move = stream.randint(-MOVED, MOVED + 1) if changed else 0
        rows = np.clip(np.arange(first, first + ROWS) - move, 0, example.heard.shape[1] - 1)
        tables: list[NDArray[np.floating]] = [example.seen[:, first : first + ROWS], example.heard[:, rows]]
        if changed:
            tables = [
                table * stream.uniform(0.8, 1.2, (len(table), 1)) + 0.05 * stream.standard_normal(table.shape)
                for table in tables
            ]
        seen.append(tables[0])
        heard.append(tables[1])
        lags.append(example.lag[first : first + ROWS] + move / TOWER_RATE)
    one, two, three = (torch.from_numpy(np.stack(tables).astype(np.float32)) for tables in (seen, heard, lags))
    return one, two, three


def loss_of(found: Tensor, lag: Tensor) -> tuple[Tensor, float]:
    """(cross entropy, share of the longer windows whose best lag is within half a frame)."""
    grid = torch.arange(-LAGS, LAGS + 1) / TOWER_RATE
    total, count, share = torch.zeros(()), 0, 0.0
    for window in WINDOWS:
        summed = found.unfold(1, window // BLOCK, window // BLOCK // 2).sum(-1)
        true = lag.unfold(1, window, window // BLOCK // 2 * BLOCK)[:, : summed.shape[1]]
        summed = summed[:, : true.shape[1]]
        middle = true.median(2).values.clamp(-1, 1)
        steady = (true.amax(2) - true.amin(2) < STEADY) & (middle.abs() < 0.98)
        target = torch.exp(-0.5 * ((grid - middle[..., None]) / TARGET) ** 2)
        target = target / target.sum(-1, keepdim=True)
        entropy = -(target * functional.log_softmax(summed, -1)).sum(-1)
        total = total + entropy[steady].sum()
        count += int(steady.sum())
        share = float(((grid[summed.argmax(-1)] - middle).abs() < 0.5 / float(FPS))[steady].float().mean())
    return total / max(count, 1), share


def main() -> None:
    """Train, print the loss now and then, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--signs", type=int, default=400)
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--renders", type=Path, default=None)
    parser.add_argument("--start", type=Path, default=None)
    parser.add_argument("--write", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    draw, stream = random.Random(0), np.random.RandomState(0)
    validation, train = scenes(VALIDATION), scenes([FIRST + 2 * i for i in range(options.seeds)])
    flashes, own = signs(range(SIGNS, SIGNS + options.signs)), renders(options.renders) if options.renders else []
    sides = {"scenes": validation, "signs": signs(SIGNS_VALIDATION)}
    print(f"{len(train)} scenes, {len(flashes)} signs and {len(own)} renders to train on")
    towers = Towers(len(train[0].seen), len(train[0].heard))
    if options.start is not None:
        towers.read(options.start)
    optimizer = torch.optim.Adam(towers.parameters(), RATE)
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * max(1 - step / options.steps, 0.05) * (0.5 if options.start else 1.0)
        some = draw.sample(own, min(len(own), BATCH // 4)) + draw.sample(
            flashes, min(len(flashes), BATCH // SIGNS_SHARE)
        )
        seen, heard, lag = batch([*some, *draw.sample(train, BATCH - len(some))], stream, changed=True)
        loss, _ = loss_of(towers(seen, heard), lag)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 100 == 99 or step == options.steps - 1:
            print(f"{step + 1:6} loss {loss.item():.3f}", *(_told(towers, *side) for side in sides.items()), flush=True)
            save_file(towers.weights(), options.write)


def _told(towers: Towers, name: str, examples: Sequence[Example]) -> str:
    """How well the towers tell the lags of examples that they were not trained on."""
    with torch.no_grad():
        seen, heard, lag = batch(examples, np.random.RandomState(0), changed=False)
        loss, share = loss_of(towers(seen, heard), lag)
    return f"{name} {loss.item():.3f}, {share:.1%} of windows"


if __name__ == "__main__":
    main()
