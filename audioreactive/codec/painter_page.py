"""A page that plays a recipe of the painter: it draws the video itself, at the window's size.

What the motion is lies in it as tables of whole numbers; colours, noise fields and pictures are made in the browser, by
the painter's own shaders and a script that does what `Painter` does.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive.codec.embedding import PAGE, deflated, page
from audioreactive.errors import CodecError
from audioreactive.generators.painter import Painter, painter, webgl
from audioreactive.generators.painter.parameters import LATENTS
from audioreactive.generators.painter.schemes import _TO_LMS, _TO_RGB, SCHEMES, STOPS, VIVID
from audioreactive.patches.fields import depth_slices
from audioreactive.patches.schema import NOISE_OCTAVES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from audioreactive.patches.motion import Motion
    from audioreactive.pipeline.production import Production

STEPS: Final = {"l": 2.0**-12, "n": 2.0**-11, "s": 2.0**-11, "p": 2.0**-14, "gain": 2.0**-14, "mean": 2.0**-11,
                "deviation": 2.0**-11}  # fmt: skip
"""First part of a table's name -> step of its numbers: weights of latents, of noise fields, shares and phases of loops,
the noise's gain and levels. Steps four times as long move edges by whole levels; shorter ones bring nothing more."""
LARGEST_NUMBER: Final = 1 << 23
MOST_ORDER: Final = 2
DIGITS: Final = 5
"""Digits of the palette's numbers behind the point."""


@dataclass(frozen=True)
class Scene:
    """What the script needs of one recipe."""

    about: dict[str, Any]
    """Rate, length, palette and noise, and how the tables are written."""
    tables: bytes
    families: tuple[str, ...]


def recipe_page(production: Production, song: bytes | None, *, title: str, start: float = 0.0) -> bytes:
    """Make the page of a recipe; the song is a file's content in a format that browsers play.

    Raises:
        CodecError: the recipe is not of the painter.
    """
    scene = scene_of(production)
    width, height = production.encoding.settings.size
    about = {"size": [width, height], "start": start, **scene.about, "painter": constants()}
    texts = json.dumps(shaders(list(scene.families))).encode()
    blobs = {
        "tables": deflated(scene.tables), "shaders": deflated(texts), **({"song": song} if song is not None else {})
    }  # fmt: skip
    return page(title=title, about=about, blobs=blobs, scripts=("player.js", "painter.js", "recipe.js"), loop=False)


def scene_of(production: Production) -> Scene:
    """Write down the motion, palette and noise of a recipe.

    Raises:
        CodecError: the recipe is not of the painter.
    """
    generator = production.generator
    if not isinstance(generator, Painter):
        raise CodecError(
            f"a page draws recipes of the painter, and this one is of {production.scene.source.name}: make a video"
        )
    moving = production.scene.motion.at(slice(production.start, production.stop))
    columns, data = packed_tables(_tables(moving))
    fps, palette = production.encoding.settings.fps, production.scene.palette
    families = _families(generator, palette)
    names = tuple(generator.families[k] for k in families)
    about = {
        "fps": [fps.numerator, fps.denominator], "frames": production.frames,
        "tables": {"frames": production.frames, "columns": columns}, "noise": _noise(moving, generator),
        "palette": [_vector(vector, families, len(generator.families)) for vector in palette], "families": names,
    }  # fmt: skip
    return Scene(about, data, names)


def constants() -> dict[str, Any]:
    """Return what the script needs to know of the painter."""
    return {
        "schemes": [[[c[0], c[1], float(np.deg2rad(c[2]))] for c in scheme] for scheme in SCHEMES.values()],
        "toLms": _TO_LMS, "toRgb": _TO_RGB, "stops": STOPS, "vivid": VIVID,
        "leastShare": painter.LEAST_SHARE,
        "finestRows": painter.FINEST_ROWS, "mostSamples": painter.MOST_SAMPLES, "bloomRows": painter.BLOOM_ROWS,
        "longest": painter.LONGEST,
    }  # fmt: skip


def shaders(families: list[str]) -> dict[str, str]:
    """Fragment shaders of some families and of all passes, by name."""
    made = {family: webgl.painting(family) for family in families}
    made |= {"revealing": webgl.revealing(), "finishing": webgl.finishing()}
    head = made["finishing"][: made["finishing"].index("// The finishing pass")]
    head = head.replace("uniform ivec2 size;", "uniform ivec2 size;\n#define DECAY " + str(painter.BLOOM_DECAY))
    enlarged = (PAGE / "enlarged.glsl").read_text("ascii")
    passes = re.split(r"^//: (\w+)$", (PAGE / "passes.glsl").read_text("ascii"), flags=re.MULTILINE)[1:-2]
    made |= {name: f"{head}\n{enlarged}\n{text}" for name, text in zip(passes[::2], passes[1::2], strict=True)}
    return {name: _short(text) for name, text in made.items()}


def packed_tables(tables: Mapping[str, NDArray[np.floating]]) -> tuple[list[list[Any]], bytes]:
    """Write tables as whole numbers: a list for each that says how, and bytes.

    Of a table that changes, the list is [name, "numbers", step, order]: `order` times differences were taken, which are
    interleaved (0, -1, 1, -2, ...) and stand in three planes of bytes.
    """
    columns: list[list[Any]] = []
    parts: list[bytes] = []
    known: dict[bytes, str] = {}
    for name, values in tables.items():
        step = STEPS[name.partition(".")[0]]
        numbers = np.round(np.asarray(values, np.float64) / step).astype(np.int64)
        same = known.setdefault(numbers.tobytes(), name)
        if (numbers == numbers[0]).all():
            columns.append([name, "constant", float(values[0]), 0])
            continue
        if same != name:
            columns.append([name, "same", same, 0])
            continue
        order = min(range(MOST_ORDER + 1), key=lambda k: int(np.abs(_differences(numbers, k)).sum()))
        changed = _differences(numbers, order)
        zigzag = np.where(changed < 0, -2 * changed - 1, 2 * changed)
        if zigzag.max() >= LARGEST_NUMBER:
            raise CodecError(f"the motion has numbers up to {int(np.abs(numbers).max())}, too large for a page")
        columns.append([name, "numbers", step, order])
        parts += [((zigzag >> shift) & 255).astype(np.uint8).tobytes() for shift in (0, 8, 16)]
    return columns, b"".join(parts)


def _differences(numbers: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    for _ in range(order):
        numbers = np.diff(numbers, prepend=0)
    return numbers


def _tables(moving: Motion) -> dict[str, NDArray[np.floating]]:
    """Name -> (T,) numbers of a motion."""
    noise = moving.noise
    made: dict[str, NDArray[np.floating]] = {"gain": noise.gain}
    for g in range(moving.latents.shape[1]):
        made |= {f"l.{g}.{p}": moving.latents[:, g, p] for p in range(moving.latents.shape[2])}
        made |= {f"n.{g}.{f}": noise.weights[:, g, f] for f in range(noise.weights.shape[2])}
    for k, loop in enumerate(noise.loops):
        made[f"p.{k}"] = loop.phase - np.floor(loop.phase[0])
        made |= {f"s.{k}.{g}": loop.share[:, g] for g in range(loop.share.shape[1])}
    if noise.levels is not None:
        for octave in range(NOISE_OCTAVES):
            made |= {f"mean.{octave}": noise.levels.mean[:, octave],
                     f"deviation.{octave}": noise.levels.deviation[:, octave]}  # fmt: skip
    return made


def _noise(moving: Motion, generator: Painter) -> dict[str, Any]:
    sizes = generator.noise_sizes
    groups = [0] * len(sizes)
    for group, layers in enumerate(depth_slices(len(sizes))):
        for layer in range(*layers.indices(len(sizes))):
            groups[layer] = group
    return {
        "sizes": sizes, "groups": groups, "strength": painter.NOISE_STRENGTH,
        "octaves": [round(float(np.log2(size[0] / sizes[0][0]))) for size in sizes],
        "seeds": len(moving.noise.seeds),
        "keys": [[_key(seed, layer) for layer in range(len(sizes))] for seed in moving.noise.seeds],
        "loops": [{"seeds": loop.seeds, "reach": loop.reach} for loop in moving.noise.loops],
    }  # fmt: skip


def _key(seed: int, layer: int) -> list[int]:
    """Seed of a fixed field's random stream (see `patches.noise.draw_field` and `named_stream`)."""
    digest = hashlib.sha256(f"noise field {seed} layer {layer}".encode()).digest()
    return [int(number) for number in np.frombuffer(digest, "<u4")]


def _families(generator: Painter, palette: NDArray[np.float32]) -> list[int]:
    """Numbers of the families that a palette's vectors use."""
    slots = palette[:, 0, : len(generator.families) * (1 + LATENTS)].reshape(len(palette), -1, 1 + LATENTS)
    return [int(k) for k in np.flatnonzero(np.abs(slots).max(axis=(0, 2)) > 0)] or [0]


def _vector(vector: NDArray[np.float32], families: list[int], count: int) -> dict[str, Any]:
    """A palette's vector as the script reads it: [place among the families in use, its nine numbers], and latents."""
    slots = vector[0, : count * (1 + LATENTS)].reshape(count, 1 + LATENTS)
    used = [(place, slots[k]) for place, k in enumerate(families) if np.abs(slots[k]).max() > 0]
    return {
        "coarse": [[place, _rounded(slot)] for place, slot in used],
        "middle": _rounded(vector[1, :LATENTS]),
        "fine": _rounded(vector[2, : LATENTS + len(SCHEMES)]),
    }


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [round(float(value), DIGITS) for value in values]


def _short(shader: str) -> str:
    """A shader without comments and empty lines."""
    lines = (re.sub(r"\s*//.*$", "", line) for line in shader.splitlines())
    return "\n".join(line for line in lines if line.strip())
