"""The picture that a recipe foretells for a sound, held against the picture that is there.

A video of this program carries its preset. From it and the sound, small pictures are made again, and the changes of
their cells are compared with those of the video: not whether something happened, but what. So the lag is told to a few
milliseconds, in calm videos too. Where the generator is not at hand (a model file), the motion itself stands for the
pictures: how much the weights over the palette change.

Conventions: T frames of the video; foretold frame i is the picture for the sound at i / fps seconds. Lags as in
`evidence`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from audioreactive.errors import AudioReactiveError, SyncError, printable, shown
from audioreactive.sync.evidence import REACH, Evidence
from audioreactive.sync.heard import HEARD_RATE
from audioreactive.video import probe, read_preset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators import Generator, WeightFile
    from audioreactive.patches.motion import Motion
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch

    FloatArray = NDArray[np.float32]

GRID: Final = (9, 16)
"""Rows and columns of cells in which pictures are compared."""
LONGEST_SIDE: Final = 64
"""Pixels of the longer side of foretold pictures."""
MOST_FRAMES: Final = 1800
"""Most frames that are foretold: 60 s at 30 a second, in passages spread over a longer video."""
NULLS: Final = 7
"""Shifts of the recipe backwards that represent chance."""
LEAST_EXPLAINED: Final = 0.05
"""Least share of a passage's changes that its recipe must explain to tell where it lies."""
STEADY: Final = 7
"""Frames over which steady changes are averaged: a quarter of a second at 30 a second."""
RETIMED: Final = 0.002
"""Share by which a video's frame rate may differ from its recipe's, as after a repair of its drift."""
PASSAGE_SECONDS: Final = 5.0
"""Length of a passage, which is one block of the evidence."""


def passages_of(frames: int, fps: Fraction, *, most: int = MOST_FRAMES) -> list[range]:
    """Ranges of frames to compare: all of a short video, evenly spread passages of a long one."""
    length = max(round(PASSAGE_SECONDS * fps), 2)
    count = max(frames // length, 1)
    edges = [round(frames * i / count) for i in range(count + 1)]
    every = [range(a, b) for a, b in pairwise(edges)]
    kept = max(most // length, 2)
    if count <= kept:
        return every
    return [every[round(i * (count - 1) / (kept - 1))] for i in range(kept)]


def cells(frame: NDArray[np.uint8]) -> FloatArray:
    """Mean colour of each cell of a picture (H, W, 3): (cells · 3,) float32 in [0, 1]."""
    import cv2

    small = cv2.resize(frame, GRID[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(-1) / np.float32(255)


def steps(table: FloatArray) -> FloatArray:
    """Changes from frame to frame (frames - 1, C)."""
    return np.diff(table, axis=0)


def sharp_changes(table: FloatArray) -> FloatArray:
    """Changes from frame to frame (frames - 1, C), less what changes steadily: their differences from their mean
    over `STEADY` frames.

    Loops run by the tempo, and a tempo that is estimated a little otherwise in another coding of a song makes them
    drift; what a stroke moves comes with the stroke.
    """
    changes = np.diff(table, axis=0)
    if len(changes) <= STEADY:
        return np.asarray(changes - changes.mean(0), np.float32)
    half = STEADY // 2
    padded = np.concatenate([changes[:1].repeat(half, 0), changes, changes[-1:].repeat(half, 0)])
    total = np.concatenate([np.zeros((1, table.shape[1])), np.cumsum(padded, axis=0, dtype=np.float64)])
    return np.asarray(changes - (total[STEADY:] - total[:-STEADY]) / STEADY, np.float32)


class Synthesizing(Protocol):
    """Function that makes the envelopes of a patch's synthesizers, by name, with the generator that they may need."""

    def __call__(
        self, patch: Patch, features: Features, generator: Generator | None
    ) -> Mapping[str, NDArray[np.float32]]:
        """Make the envelopes (T, 17) of each."""
        ...


class RecipeForetold:
    """What a preset makes of a sound, as small pictures or, without a generator, as motion.

    Args:
        preset: the recipe.
        generator: makes the pictures; None: the motion is compared.
        step: frames of the recipe for each frame of the video; 2 for a draft.
        aspect: width over height of the video's pictures.
        synthesize: makes the envelopes of the preset's synthesizers; `learn.synthesize` is the program's.
    """

    def __init__(
        self,
        preset: Preset,
        generator: Generator | None,
        *,
        step: int = 1,
        aspect: float = 16 / 9,
        synthesize: Synthesizing | None = None,
    ) -> None:
        self.preset, self.step, self._synthesize = preset, step, synthesize
        self._size = (
            (LONGEST_SIDE, max(round(LONGEST_SIDE / aspect), 8))
            if aspect >= 1
            else (max(round(LONGEST_SIDE * aspect), 8), LONGEST_SIDE)
        )
        self._generator = generator

    @property
    def shows_pictures(self) -> bool:
        """Whether pictures are compared, and not only how much moves."""
        return self._generator is not None

    def __call__(self, features: Features, passages: Sequence[range]) -> list[FloatArray]:
        """Tables (frames, C) of each passage."""
        from audioreactive.patches.motion import motion

        def made(patch: Patch, features: Features) -> Mapping[str, FloatArray]:
            assert self._synthesize is not None
            return self._synthesize(patch, features, self._generator)

        moving = motion(
            self.preset.patch, features, None if self._synthesize is None else made, sections=self.preset.sections
        )
        moving = moving.at(slice(None, None, self.step)) if self.step > 1 else moving
        if self._generator is None:
            return list(_motion_tables(moving, passages))
        return list(self._pictures(moving, self._generator, passages))

    def _pictures(self, moving: Motion, generator: Generator, passages: Sequence[range]) -> Iterator[FloatArray]:
        from audioreactive.rendering.renderer import iter_frames

        inputs = moving.on(generator, size=self._size, fit=self.preset.render.fit or "widen")
        width, height = inputs.canvas.frame_size
        small = generator.resized((height, width))
        wanted = _clipped(passages, len(moving))
        frames = np.unique(np.concatenate(wanted))
        table = np.empty((len(frames), GRID[0] * GRID[1] * 3), np.float32)
        runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
        count = 0
        for run in runs:
            for batch in iter_frames(small, inputs, int(run[0]), int(run[-1]) + 1):
                for picture in inputs.canvas.finished(batch):
                    table[count] = cells(picture)
                    count += 1
        for rows in wanted:
            yield table[np.searchsorted(frames, rows)]


def _clipped(passages: Sequence[range], frames: int) -> list[NDArray[np.int64]]:
    """Frames of each passage; before the first and after the last one, these are repeated."""
    return [np.clip(np.arange(passage.start, passage.stop), 0, frames - 1) for passage in passages]


def _motion_tables(moving: Motion, passages: Sequence[range]) -> Iterator[FloatArray]:
    """How much the motion has moved up to each frame, (frames, 1): its differences are what the picture must show."""
    joined = np.concatenate([table.reshape(len(moving), -1) for table in moving.tables().values()], axis=1)
    steps = np.linalg.norm(np.diff(joined, axis=0, prepend=joined[:1]), axis=1)
    total = np.cumsum(steps)
    for rows in _clipped(passages, len(moving)):
        yield total[rows, None].astype(np.float32)


def foretold_evidence(
    seen: Sequence[FloatArray],
    foretold: Sequence[FloatArray],
    passages: Sequence[range],
    fps: Fraction,
    *,
    reach: float = REACH,
) -> Evidence:
    """Compare the cells of a video with those of its recipe.

    Args:
        seen: (frames, C) tables of the video in each passage.
        foretold: (frames, C) tables of the recipe in each passage, whose range reaches `reach` further on both sides.
        passages: ranges of the video's frames.
        fps: frames a second.
        reach: largest lag in seconds.
    """
    lags = round(reach * fps)
    true = np.stack([_block(a, b, lags) for a, b in zip(seen, foretold, strict=True)])
    nulls = np.stack([_block(a[::-1], b, lags) for a, b in zip(seen, foretold, strict=True)])
    spread = np.sqrt(np.mean(nulls.astype(np.float64) ** 2, axis=1, keepdims=True))
    # Lags are equal or not for the whole block: half a block of frames are as independent as they come.
    spread = np.maximum(spread, np.abs(true).mean(axis=1, keepdims=True) * 0.5 + 1e-12)
    fine, grid = _finer(true / spread, fps, lags)
    backwards, _ = _finer(nulls / spread, fps, lags)
    middles = np.array([(passage.start + passage.stop) / 2 / fps for passage in passages], np.float64)
    shape = Evidence(fine.astype(np.float32), grid, middles, np.zeros(0))
    rolled = [np.roll(backwards, round(i * backwards.shape[1] / NULLS), axis=1) for i in range(NULLS)]
    signs = np.random.RandomState(0).choice([-1.0, 1.0], size=(len(rolled), len(fine), 1))
    chance = [
        float(Evidence((null * sign).astype(np.float32), grid, middles, np.zeros(0)).whole.max())
        for null, sign in zip(rolled, signs, strict=True)
    ]
    return Evidence(shape.curves, grid, middles, np.array(chance))


def _block(seen: FloatArray, foretold: FloatArray, lags: int) -> NDArray[np.float64]:
    """Correlation of the changes of one passage at each lag, (2 · lags + 1,)."""
    mine, other = np.diff(seen, axis=0), np.diff(foretold, axis=0)
    if other.shape[1] == 1 and mine.shape[1] > 1:  # motion alone: how much changes
        mine = np.abs(mine).mean(1, keepdims=True)
        mine, other = (np.log(values + 0.1 * values.mean() + 1e-9) for values in (mine, other))
    mine, other = mine - mine.mean(0), other - other.mean(0)
    products = mine.astype(np.float64) @ other.astype(np.float64).T  # [frames, frames + 2 lags]
    count = len(mine)
    # The sum of a diagonal is one lag: element (i, i + k) of all i.
    strided = np.lib.stride_tricks.as_strided(
        products, (2 * lags + 1, count), (products.strides[1], products.strides[0] + products.strides[1])
    )
    sizes = np.sqrt(np.convolve(np.square(other).sum(1), np.ones(count), "valid"))[: 2 * lags + 1]
    norm = np.linalg.norm(mine) * np.maximum(sizes, 1e-3 * sizes.max(initial=0) + 1e-12)
    found: NDArray[np.float64] = strided.sum(1) / np.maximum(norm, 1e-12)
    return found


def likeness(seen: Sequence[FloatArray], foretold: Sequence[FloatArray]) -> float:
    """Correlation of the changes of a video with those that its recipe foretells, at the best of a few lags.

    Args:
        seen: (frames, C) tables of the video in each passage.
        foretold: (frames + 2 n, C) tables of the recipe, whose ranges reach n frames further on both sides.
    """
    mine = np.concatenate([steps(table) for table in seen]).ravel()
    best = -1.0
    for first in range(len(foretold[0]) - len(seen[0]) + 1):
        other = np.concatenate([
            steps(table[first : first + len(part)]) for table, part in zip(foretold, seen, strict=True)
        ]).ravel()  # fmt: skip
        size = float(np.linalg.norm(mine)) * float(np.linalg.norm(other))
        best = max(best, float(mine @ other) / size if size > 0 else 0.0)
    return best


def between(seen: FloatArray, earlier: FloatArray, later: FloatArray, apart: float, *, sharp: bool) -> float:
    """Where a passage of the video lies between the recipe's pictures for two moments, in seconds from their middle.

    The changes (frames, C) of the video are explained by those of both, by least squares; a picture that is made of as
    much of
    both lies in the middle. Unlike the peak of a correlation at whole frames, that is not drawn to whole frames. Not a
    number where the recipe explains little of the video, or its pictures hardly differ.

    Args:
        seen: the video's table.
        earlier: the recipe's, for sound that comes `apart` / 2 earlier.
        later: the same for as much later.
        apart: seconds between the two.
        sharp: compare only what changes suddenly.
    """
    changes = sharp_changes if sharp else steps
    mine, first, second = (changes(table).ravel().astype(np.float64) for table in (seen, earlier, later))
    mean, half = (first + second) / 2, (second - first) / 2
    a, b, c = mean @ mean, mean @ half, half @ half
    determinant = a * c - b * b
    if not determinant > 1e-9 * a * c or a <= 0:
        return np.nan
    p, q = mean @ mine, half @ mine
    size, shift = (c * p - b * q) / determinant, (a * q - b * p) / determinant
    explained = (size * p + shift * q) / max(float(mine @ mine), 1e-12)
    place = float(shift / size * apart / 2) if size > 0 else math.nan
    return place if explained > LEAST_EXPLAINED and abs(place) < 2 * apart else math.nan


def _finer(curves: NDArray[np.float64], fps: Fraction, lags: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Curves (B, 2 · lags + 1) at whole frames -> on the grid of HEARD_RATE, by cubic splines; and its lags."""
    from scipy.interpolate import CubicSpline

    at = np.arange(-lags, lags + 1) / float(fps)
    rows = int(at[-1] * HEARD_RATE)
    grid = np.arange(-rows, rows + 1) / HEARD_RATE
    return np.asarray(CubicSpline(at, curves, axis=1)(grid)), grid


def recipe_of(
    video: Path,
    model: Path | None = None,
    *,
    synthesize: Synthesizing | None = None,
    weights: Callable[[Preset], Sequence[WeightFile]] = lambda preset: (),
    say: Callable[[str], None] = lambda sentence: None,
) -> RecipeForetold | None:
    """The recipe that a video carries, with its generator if that is at hand; None without a recipe.

    A file that carries text that is no recipe has none; `say` is told so.

    Args:
        video: the file, or a folder of frames.
        model: file of the model that made the video; None: the generator that the recipe names, if it ships.
        synthesize: makes the envelopes of the preset's synthesizers.
        weights: finds the files by which the preset moves the weights of a network that is at hand.
        say: receives remarks.

    Raises:
        VideoError: the video does not exist or cannot be read.
        SyncError: a model is given, and the video was not made by it.
        StyleGANError: the file contains no StyleGAN model.
    """
    from audioreactive.patches.presets import parse_preset

    text = read_preset(video)
    if text is None:
        if model is not None:
            raise SyncError(f"{video.name} carries no preset that {model.name} could make pictures of: omit --model")
        return None
    try:
        preset = parse_preset(text, video.name)
        info = probe(video)
        step = _step(preset, info.fps)
        generator = _shipped(preset) if model is None else None
    except AudioReactiveError as error:
        say(f"the preset in {video.name} is not used: {error}")
        return None
    if model is not None:
        generator = _from_file(model, preset, video.name, weights)
    if generator is None and any(getattr(one, "aim", None) == "seen" for one in preset.patch.synthesizers):
        say(
            f"the motion in {video.name} was fitted to pictures of a model that is not at hand: its preset is used if "
            "the model is given with --model FILE"
        )
        return None
    if generator is None and preset.made_with is not None and preset.made_with.model is not None:
        name = printable(preset.made_with.model, 80)
        say(f"only how much moves is compared: the pictures were made by {name}; give its file with --model FILE")
    if step is None:
        say(f"{video.name} has {info.fps} frames a second and its preset {preset.render.fps}: it is not used")
        return None
    return RecipeForetold(preset, generator, step=step, aspect=info.width / info.height, synthesize=synthesize)


def _step(preset: Preset, fps: Fraction) -> int | None:
    """Frames of the recipe for each frame of the video: 1, or 2 for a draft; None for another frame rate."""
    if preset.render.fps is None:
        return 1
    ratio = Fraction(preset.render.fps) / fps
    step = round(ratio)
    return step if step in (1, 2) and abs(ratio / step - 1) < RETIMED else None


def _shipped(preset: Preset) -> Generator | None:
    """The generator that a preset names, if it ships; None for a model file, whatever its name."""
    from audioreactive.generators import named_source
    from audioreactive.generators.devices import choose_device, choose_dtype

    made = preset.made_with
    source = named_source(made.model) if made and made.model is not None and made.model_sha256 is None else None
    if source is None:
        return None
    device = choose_device("auto")
    return source.load(device, choose_dtype("auto", device))


def _from_file(model: Path, preset: Preset, video: str, weights: Callable[[Preset], Sequence[WeightFile]]) -> Generator:
    """The network in a file, if it made the video."""
    from audioreactive.generators import named_source, open_generator
    from audioreactive.generators.sources import digests_of

    made = preset.made_with
    if made and made.model is not None and made.model_sha256 is None and named_source(made.model) is not None:
        raise SyncError(f"{video} was made by {printable(made.model, 80)} and not by a model file: omit --model")
    loaded = open_generator(model, weights=weights(preset))
    if made and made.model_sha256 is not None and made.model_sha256 not in digests_of(loaded.source):
        raise SyncError(
            f"{shown(str(model))} is not the model that made {video}, which is {shown(made.model or '')} with the "
            f"SHA-256 {printable(made.model_sha256, 64)}"
        )
    return loaded.generator
