"""Motion of what only some generators have: the plane of the picture, activations, and directions of latents.

Conventions: T = video frames. A camera's table has a column for each of `TARGETS`: x to the right and y upwards in
widths of the picture, rotation in degrees counter-clockwise, zoom in doublings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.errors import RenderError, shown
from audioreactive.generators.moves import AMOUNT_STEPS, NEEDS, Bending, Moves, Weighting, abilities
from audioreactive.patches.fields import DEPTHS, depth_slices
from audioreactive.patches.move_schema import TARGETS, CameraDrift, CameraEnvelope, CameraSwing
from audioreactive.patches.schema import LatentDirection
from audioreactive.patches.tables import WHOLE_SONG, bar_position, held, shape_envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators.directions import Method
    from audioreactive.generators.moves import Ability
    from audioreactive.generators.protocol import Generator, Mapper
    from audioreactive.patches.fields import Depth
    from audioreactive.patches.move_schema import Bend, Camera, WeightChange
    from audioreactive.patches.noise import Window
    from audioreactive.patches.schema import Patch
    from audioreactive.patches.tables import FloatArray
    from stylegan_ops.bending import Transform

FARTHEST_ZOOM: Final = 4.0
"""Most doublings by which a camera enlarges or shrinks: beyond, nothing of the picture is left."""


@dataclass(frozen=True)
class Direction:
    """A direction of latents, without the way along it."""

    method: Method
    index: int
    depth: tuple[Depth, ...]

    def inputs(self, layers: int) -> list[int]:
        """Return the latent inputs, out of L = `layers`, that it moves."""
        every = list(range(layers))
        parts: dict[Depth, list[int]] = {
            depth: every[part] for depth, part in zip(DEPTHS, depth_slices(layers), strict=True)
        }
        return [at for depth in self.depth for at in parts[depth]]


@dataclass(frozen=True)
class MoveMotion:
    """Motion of a camera, of bends and along directions over the song."""

    camera: FloatArray | None = None
    """(T, 4) place of the camera, a column for each of `TARGETS`; None: it rests."""
    bends: tuple[tuple[Bending, FloatArray], ...] = ()
    """Transforms of activations, each with its amounts (T,)."""
    directions: tuple[tuple[Direction, FloatArray], ...] = ()
    """Directions of latents, each with the way along it (T,) in standard deviations."""
    weights: tuple[tuple[Weighting, FloatArray], ...] = ()
    """Changes of weights, each with its amounts (T,)."""

    def __bool__(self) -> bool:
        """Whether a generator must be given anything besides latents and noise."""
        return self.camera is not None or bool(self.bends) or bool(self.weights)

    def needs(self) -> list[Ability]:
        """Return what a generator must be able to do."""
        needed: list[tuple[Ability, bool]] = [
            ("camera", self.camera is not None),
            ("bends", bool(self.bends)),
            ("directions", bool(self.directions)),
            ("weights", bool(self.weights)),
        ]
        return [ability for ability, wanted in needed if wanted]

    def frames(self, start: int, stop: int) -> Moves:
        """Compute what moves in frames start to stop - 1; after the end, the last frame is repeated."""
        import torch

        transform = None
        if self.camera is not None:
            transform = torch.from_numpy(inverse_transforms(held(self.camera, start, stop)))
        bends = tuple((bending, tuple(held(amounts, start, stop).tolist())) for bending, amounts in self.bends)
        weights = tuple((change, stepped(held(amounts, start, stop))) for change, amounts in self.weights)
        return Moves(transform, bends, weights)

    def at(self, frames: NDArray[np.int64] | slice) -> MoveMotion:
        """Return the motion of some frames, in any order: at these indices, or in a slice."""
        camera = None if self.camera is None else np.ascontiguousarray(self.camera[frames])
        bends = tuple((bending, amounts[frames].copy()) for bending, amounts in self.bends)
        directions = tuple((way, place[frames].copy()) for way, place in self.directions)
        weights = tuple((change, amounts[frames].copy()) for change, amounts in self.weights)
        return MoveMotion(camera, bends, directions, weights)

    def mixed(self, other: MoveMotion, share: FloatArray) -> MoveMotion:
        """Return the motion that is this one with a share (T,) of another of the same parts."""
        camera = self.camera
        if camera is not None and other.camera is not None:
            camera = (1 - share[:, None]) * camera + share[:, None] * other.camera
        bends = tuple(
            (bending, (1 - share) * amounts + share * others)
            for (bending, amounts), (_, others) in zip(self.bends, other.bends, strict=True)
        )
        directions = tuple(
            (direction, (1 - share) * place + share * others)
            for (direction, place), (_, others) in zip(self.directions, other.directions, strict=True)
        )
        weights = tuple(
            (change, (1 - share) * amounts + share * others)
            for (change, amounts), (_, others) in zip(self.weights, other.weights, strict=True)
        )
        return replace(self, camera=camera, bends=bends, directions=directions, weights=weights)

    def tables(self) -> dict[str, FloatArray]:
        """Return tables, name -> (T, C), that represent the motion; see `motion.Motion.tables`."""
        found: dict[str, FloatArray] = {}
        if self.camera is not None:
            turn = np.deg2rad(self.camera[:, 2:3])
            found["camera"] = np.concatenate([self.camera[:, [0, 1, 3]], np.cos(turn), np.sin(turn)], 1)
        if self.bends:
            found["bends"] = np.stack([amounts for _, amounts in self.bends], 1)
        if self.directions:
            found["directions"] = np.stack([place for _, place in self.directions], 1)
        if self.weights:
            found["weights"] = np.stack([amounts for _, amounts in self.weights], 1)
        return found


def stepped(amounts: FloatArray) -> tuple[float, ...]:
    """Round amounts of changes of weights to whole steps, so that many frames share one network."""
    return tuple((np.round(amounts.astype(np.float64) * AMOUNT_STEPS) / AMOUNT_STEPS).tolist())


RESTING: Final = MoveMotion()


def move_motion(patch: Patch, features: Features, span: slice = WHOLE_SONG) -> MoveMotion:
    """Compute the motion of a patch's camera and bends for the frames of a span."""
    bends = [(_bending(bend), _amounts(bend, features)[span]) for bend in patch.bends if not bend.muted]
    camera = None if patch.camera is None else camera_path(patch.camera, features)[span]
    ways = [s for s in patch.latents.sequences if isinstance(s, LatentDirection) and not s.muted]
    directions = tuple((_direction(way), _place(way, features)[span]) for way in ways)
    weights = tuple((_weighting(one), _shares(one, features)[span]) for one in patch.weights if not one.muted)
    return MoveMotion(camera, tuple(bends), directions, weights)


def _weighting(change: WeightChange) -> Weighting:
    return Weighting("toward" if change.toward is not None else "edits", change.file, *change.layers)


def _shares(change: WeightChange, features: Features) -> FloatArray:
    """Compute the amount of a change of weights over the song, (T,)."""
    if change.envelope is None:
        return np.full(features.frames, change.high, np.float32)
    low, values = np.float32(change.low or 0.0), shape_envelope(change.envelope, features)[:, 0]
    return (low * (1 - values) + np.float32(change.high) * values).astype(np.float32)


def _direction(way: LatentDirection) -> Direction:
    return Direction(way.method, way.index, way.depth)


def _place(way: LatentDirection, features: Features) -> FloatArray:
    """Compute the way along a direction over the song, (T,)."""
    return np.float32(way.reach * way.intensity) * shape_envelope(way.envelope, features)[:, 0]


def camera_path(camera: Camera, features: Features) -> FloatArray:
    """Compute the place of a camera over the song, (T, 4)."""
    path = np.zeros((features.frames, len(TARGETS)))
    for move in camera.moves:
        path[:, TARGETS.index(move.target)] += camera.reach * _course(move, features)
    path[:, TARGETS.index("zoom")] = np.clip(path[:, TARGETS.index("zoom")], -FARTHEST_ZOOM, FARTHEST_ZOOM)
    return path.astype(np.float32)


def _course(move: CameraEnvelope | CameraSwing | CameraDrift, features: Features) -> NDArray[np.float64]:
    """Compute one movement over the song, (T,)."""
    if isinstance(move, CameraEnvelope):
        followed: NDArray[np.float64] = shape_envelope(move.envelope, features)[:, 0].astype(np.float64)
        followed *= move.high - move.low
        followed += move.low
        return followed
    turns: NDArray[np.float64] = bar_position(features) if move.seconds is None else features.times
    turns = turns / (move.seconds or move.bars or 1)
    if isinstance(move, CameraSwing):
        swing: NDArray[np.float64] = np.sin(2 * np.pi * (turns + move.phase))
        swing *= move.amount
        return swing
    if move.envelope is None:
        turns -= turns[0]
        turns *= move.amount
        return turns
    speed = shape_envelope(move.envelope, features)[:, 0].astype(np.float64)
    speed *= np.diff(turns, prepend=turns[0])
    course: NDArray[np.float64] = np.cumsum(speed)
    course *= move.amount
    return course


def _bending(bend: Bend) -> Bending:
    return Bending(bend.layer, bend.transform, bend.angle, bend.share, bend.seed, bend.cluster, bend.clusters)


def _amounts(bend: Bend, features: Features) -> FloatArray:
    """Compute the amount of a bend over the song, (T,)."""
    if bend.envelope is None:
        return np.full(features.frames, bend.high, np.float32)
    low = identity(bend.transform) if bend.low is None else bend.low
    values = shape_envelope(bend.envelope, features)[:, 0]
    return (np.float32(low) * (1 - values) + np.float32(bend.high) * values).astype(np.float32)


def identity(transform: Transform) -> float:
    """Return the amount at which a transform changes nothing."""
    from stylegan_ops.bending import IDENTITY

    return IDENTITY[transform]


def inverse_transforms(camera: FloatArray) -> FloatArray:
    """Compute the inverse (B, 3, 3) of what a camera at places (B, 4) does to the picture."""
    x, y, rotation, zoom = camera.astype(np.float64).T
    cos, sin, scale = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation)), np.exp2(zoom)
    matrices = np.zeros((len(camera), 3, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = scale * cos
    matrices[:, 0, 1], matrices[:, 1, 0] = scale * sin, -scale * sin
    matrices[:, 0, 2], matrices[:, 1, 2], matrices[:, 2, 2] = x, -y, 1
    return np.linalg.inv(matrices).astype(np.float32)


def faded_moves(parts: Sequence[MoveMotion], windows: Sequence[Window], frames: int) -> MoveMotion:
    """Compute the cross-faded motion of parts of a song; outside of its part each bend comes to rest.

    Args:
        parts: the motion of each part.
        windows: place and share of each part.
        frames: T.
    """
    if not any(part.needs() for part in parts):
        return RESTING
    camera = None
    if any(part.camera is not None for part in parts):
        camera = np.zeros((frames, len(TARGETS)), np.float32)
    tables: dict[Bending, FloatArray] = {}
    ways: dict[Direction, FloatArray] = {}
    changes: dict[Weighting, FloatArray] = {}
    for part, (start, share) in zip(parts, windows, strict=True):
        seen = slice(start, start + len(share))
        if camera is not None and part.camera is not None:
            camera[seen] += share[:, None] * part.camera
        for bending, amounts in part.bends:
            rest = np.float32(identity(bending.transform))
            table = tables.setdefault(bending, np.full(frames, rest, np.float32))
            table[seen] += share * (amounts - rest)
        for direction, place in part.directions:
            ways.setdefault(direction, np.zeros(frames, np.float32))[seen] += share * place
        for change, amounts in part.weights:
            changes.setdefault(change, np.zeros(frames, np.float32))[seen] += share * amounts
    return MoveMotion(camera, tuple(tables.items()), tuple(ways.items()), tuple(changes.items()))


def check_moves(moves: MoveMotion, generator: object) -> None:
    """Raise RenderError if a generator cannot be moved in the way that a motion needs."""
    able = abilities(generator)
    files: Sequence[str] = getattr(generator, "weight_files", ())
    for ability in moves.needs():
        if ability not in able:
            key = _KEYS[ability]
            raise RenderError(
                f"the preset has {key}, and {NEEDS[ability]}: give such a model with --model, or leave {key} out"
            )
    for change, _ in moves.weights:
        if change.file not in files:
            raise RenderError(
                f"the preset's [[weights]] need the file {shown(change.file)}: put it beside the preset, "
                "or give it with --with"
            )


_KEYS: Final[dict[Ability, str]] = {
    "camera": "[camera]",
    "bends": "[[bends]]",
    "directions": 'strategy = "direction"',
    "weights": "[[weights]]",
}
"""What a generator can do -> how a preset asks for it."""


def check_patch(patch: Patch, generator: object) -> None:
    """Raise RenderError if a generator cannot be moved in the way that a patch says."""
    camera = np.zeros((1, len(TARGETS)), np.float32) if patch.camera is not None else None
    bends = tuple((_bending(bend), np.zeros(1, np.float32)) for bend in patch.bends if not bend.muted)
    ways = [s for s in patch.latents.sequences if isinstance(s, LatentDirection) and not s.muted]
    directions = tuple((_direction(way), np.zeros(1, np.float32)) for way in ways)
    weights = tuple((_weighting(change), np.zeros(1, np.float32)) for change in patch.weights if not change.muted)
    check_moves(MoveMotion(camera, bends, directions, weights), generator)


def direction_vectors(moves: MoveMotion, generator: Generator) -> torch.Tensor | None:
    """Find the vectors (D, L, W) along which latents move on a generator; None without directions.

    Raises:
        RenderError: the generator has fewer directions.
    """
    import torch

    from audioreactive.generators.directions import find_directions

    if not moves.directions:
        return None
    vectors = torch.zeros(len(moves.directions), generator.num_ws, generator.w_dim)
    known: dict[tuple[Method, tuple[Depth, ...]], torch.Tensor] = {}
    for at, (direction, _) in enumerate(moves.directions):
        inputs = direction.inputs(generator.num_ws)
        key = (direction.method, direction.depth)
        if len(known.get(key, ())) <= direction.index:
            known[key] = find_directions(generator, direction.method, inputs, direction.index + 1)  # type: ignore[arg-type]
        vectors[at, inputs] = known[key][direction.index]
    return vectors.to(generator.device)


def latents_of_others(moves: MoveMotion, generator: Generator) -> list[tuple[int, Mapper]]:
    """List the models towards which every layer moves, so that latents do too, by their numbers among the changes."""
    from audioreactive.generators.weights import other_mapper

    found = []
    for at, (change, _) in enumerate(moves.weights):
        if change.everywhere:
            found.append((at, other_mapper(generator, change.file)))
    return found
