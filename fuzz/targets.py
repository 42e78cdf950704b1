"""The readers that take strangers' files, each as a function of bytes."""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import scipy.interpolate  # what a reader imports is no deed of the input's
import scipy.ndimage  # noqa: F401
import soundfile
import torch

from audioreactive.codec.container import open_archive
from audioreactive.codec.recipe import read_recipe
from audioreactive.codec.unpacking import open_player
from audioreactive.errors import PresetError
from audioreactive.features import DEFAULT_FEATURES, SEGMENT_COUNTS, SEGMENTABLE, Features, split_name
from audioreactive.learn.losses import ENVELOPES
from audioreactive.learn.model_file import read_model
from audioreactive.learn.synthesize import synthesize
from audioreactive.learn.tables import input_table
from audioreactive.media import audio
from audioreactive.media.ffmpeg import ffmpeg_path
from audioreactive.patches.motion import motion
from audioreactive.patches.own_pictures import read_latents
from audioreactive.patches.presets import load_preset, parse_preset, preset_text
from audioreactive.patches.schema import Hippo
from audioreactive.sync import measure
from audioreactive.sync.estimate import estimate
from audioreactive.sync.evidence import REACH
from audioreactive.sync.foretell import RecipeForetold, foretold_evidence, recipe_of
from audioreactive.video import frame_times, probe, read_preset, tags
from fuzz.arguments import read_arguments
from fuzz.folders import read_folder
from stylegan_ops.checkpoint import inspect_checkpoint, made_generator, read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch

CORPUS: Final = Path(__file__).parent / "corpus"
FRAMES: Final = 12
MOST_WORK: Final = 10**7
"""Multiplications of a frame that is painted; larger networks are read alone."""


@dataclass(frozen=True)
class Target:
    """A reader, and the bounds that it promises."""

    name: str
    read: Callable[[bytes, Path], object]
    """Takes the input, and a folder for whatever it needs."""
    seconds: float
    megabytes: int
    longest: int
    """Bytes of the longest input that is tried."""
    uses_ffmpeg: bool = False
    is_guarded: bool = True
    """Whether writing outside of its folder is a finding; False where inputs choose what is written."""

    def programs(self) -> frozenset[str]:
        """Those that it may run."""
        return frozenset({str(ffmpeg_path())}) if self.uses_ffmpeg else frozenset()

    def corpus(self) -> Iterable[Path]:
        """Its seeds."""
        return sorted((CORPUS / self.name).iterdir())


def _presets(data: bytes, scratch: Path) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PresetError(f"the preset is no text: {error.reason}") from None
    preset = parse_preset(text, "it")
    share = zlib.crc32(data)
    if share % 8 == 0 and parse_preset(preset_text(preset), "it") != preset:
        raise AssertionError("the preset is another one when it is written and read again")
    if share % 32 == 0:
        _move(preset)


def _move(preset: Preset) -> None:
    """What is accepted must give numbers, whatever is in it."""
    features = _features(preset.feature_names())
    moving = motion(preset.patch, features, _synthesize)
    tables: list[NDArray[Any]] = [*moving.tables().values(), *(loop.phase for loop in moving.noise.loops)]
    if not all(np.isfinite(table).all() for table in tables):
        raise AssertionError("the motion leaves the numbers")


def _synthesize(patch: Patch, features: Features) -> dict[str, NDArray[np.float32]]:
    """What a stranger's trained synthesizers make; those that are fitted to the song, which nobody sent, rest."""
    fitted = tuple(s for s in patch.synthesizers if isinstance(s, Hippo))
    trained = tuple(s for s in patch.synthesizers if not isinstance(s, Hippo))
    rest = {s.name: np.full((FRAMES, ENVELOPES), 0.5, np.float32) for s in fitted}
    return synthesize(patch.model_copy(update={"synthesizers": trained}), features) | rest


@lru_cache(64)
def _features(names: tuple[str, ...]) -> Features:
    """Half a second of a song in which everything is heard."""
    draw = np.random.RandomState(0)
    labels = np.stack([np.arange(FRAMES) % k for k in SEGMENT_COUNTS], axis=1).astype(np.uint8)
    beats = np.array([0.0, 0.25])
    return Features(
        fps=Fraction(24), frames=FRAMES, duration=Fraction(FRAMES, 24), tempo=240.0, beats=beats, downbeats=beats[:1],
        digest="5eed" * 16, segmentations=dict.fromkeys(SEGMENTABLE, labels),
        envelopes={
            name: draw.random_sample((FRAMES, split_name(name)[1].channels)).astype(np.float32) for name in names
        },
    )  # fmt: skip


def _models(data: bytes, scratch: Path) -> None:
    """Read a model; if it is accepted, describe it and render one frame."""
    path = _file(scratch / "model", data)
    str(inspect_checkpoint(path))
    checkpoint = read_checkpoint(path)
    architecture = checkpoint.architecture
    if architecture.frame_multiplications() + 10 * math.prod(architecture.img_size) > MOST_WORK:
        return
    generator = made_generator(checkpoint, implementation="reference")  # compilers are other programs
    labels = torch.ones(1, generator.c_dim) if generator.c_dim else None
    picture = generator.synthesis(generator.mapping(torch.ones(1, generator.z_dim), labels, 0.7))
    if picture.shape != (1, 3, *architecture.img_size):
        raise AssertionError(f"a frame has the shape {tuple(picture.shape)}")


def _latents(data: bytes, scratch: Path) -> None:
    found = read_latents(_file(scratch / "latents", data))
    if found.ndim != 3 or found.dtype != np.float32 or not np.isfinite(found).all():
        raise AssertionError(f"latents of {found.shape} {found.dtype}")


def _synthesizers(data: bytes, scratch: Path) -> None:
    model = read_model(_file(scratch / "synthesizer", data))
    if model.configuration.decoder == "parameter_free":
        model.motion(input_table(_features(DEFAULT_FEATURES)), zlib.crc32(data) % 2)


def _audio(data: bytes, scratch: Path) -> None:
    audio.load(_file(scratch / "song", data))


def _videos(data: bytes, scratch: Path) -> None:
    path = _file(scratch / "video.mp4", data)
    read_preset(path)
    probe(path)
    frame_times(path)


def _clips(data: bytes, scratch: Path) -> None:
    """Read a packed clip; a network gives a picture and its page's parts, a recipe its preset and small pictures."""
    archive = open_archive(_file(scratch / "clip.arc", data))
    if archive.header.get("kind") == "recipe":
        read_recipe(archive)
        return
    player = open_player(archive)
    if player.size[0] * player.size[1] * player.fps.numerator > MOST_WORK:
        return
    picture = next(iter(player.pictures(player.size, player.fps)))
    if picture.shape != (player.size[1], player.size[0], 3):
        raise AssertionError(f"a picture has the shape {picture.shape}")


def _metadata(data: bytes, scratch: Path) -> None:
    """What ffmpeg prints of a file's tags, and the two texts in a folder of frames, which a NUL parts."""
    tags.preset_in(data)
    folder = scratch / "frames"
    folder.mkdir(exist_ok=True)
    _file(folder / "frame_000000.png", b"")
    info, _, preset = data.partition(b"\0")
    _file(folder / "video.json", info)
    _file(folder / "preset.toml", preset)
    probe(folder)
    frame_times(folder)
    load_preset(str(folder))


def _sync(data: bytes, scratch: Path) -> None:
    """Measure a video; or a folder of frames, whose two texts a NUL parts, and its sound.

    What its recipe makes of a song that nobody sent is compared by its motion: compilers are other programs.
    """
    path, sound = scratch / "film.mp4", None
    if data.startswith(b"{"):
        path, sound = scratch / "film", scratch / "film" / "sound.wav"
        if not path.exists():
            _film(path)
        info, _, preset = data.partition(b"\0")
        _file(path / "video.json", info)
        _file(path / "preset.toml", preset)
    else:
        _file(path, data)
    recipe = recipe_of(path)
    report = measure(path, sound)
    numbers = json.loads(json.dumps(report.as_json(), allow_nan=False))
    if (report.verdict == "cannot tell") != (numbers["offset_ms"] is None):
        raise AssertionError("a verdict that does not agree with its offset")
    if recipe is not None:
        _foretell(recipe)


def _foretell(recipe: RecipeForetold) -> None:
    """What a recipe foretells must be numbers, and so what is told by it."""
    features = _features(recipe.preset.feature_names())
    motion_only = RecipeForetold(
        recipe.preset, None, step=recipe.step, synthesize=lambda patch, features, _: _synthesize(patch, features)
    )
    reach = round(REACH * features.fps)
    (table,) = motion_only(features, [range(-reach, FRAMES + reach)])
    seen = np.linspace(0, 1, FRAMES, dtype=np.float32)[:, None]
    evidence = foretold_evidence([seen], [table], [range(FRAMES)], features.fps)
    if not (np.isfinite(table).all() and np.isfinite(evidence.curves).all() and np.isfinite(estimate(evidence).lag)):
        raise AssertionError("what is foretold leaves the numbers")


def _film(folder: Path) -> None:
    """Two seconds of strokes that are seen and heard."""
    folder.mkdir()
    draw = np.random.RandomState(0)
    strokes = np.cumsum(draw.randint(2, 6, 20))
    sound = np.zeros(2 * audio.ANALYSIS_RATE, np.float32)
    for frame in range(48):
        light = 250 if frame in strokes else 20
        picture = np.full((16, 16, 3), light, np.uint8)
        cv2.imwrite(str(folder / f"frame_{frame:06d}.png"), picture)
        if frame in strokes:
            first = frame * audio.ANALYSIS_RATE // 24
            sound[first : first + 800] = 0.5 * draw.standard_normal(800)[: len(sound) - first]
    soundfile.write(folder / "sound.wav", sound, audio.ANALYSIS_RATE)


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


TARGETS: Final = {
    target.name: target
    for target in (
        Target("presets", _presets, seconds=2, megabytes=200, longest=4096),
        Target("models", _models, seconds=10, megabytes=500, longest=24_576),
        Target("synthesizers", _synthesizers, seconds=2, megabytes=200, longest=24_576),
        Target("latents", _latents, seconds=2, megabytes=300, longest=24_576),
        Target("audio", _audio, seconds=20, megabytes=500, longest=8192, uses_ffmpeg=True),
        Target("videos", _videos, seconds=30, megabytes=500, longest=8192, uses_ffmpeg=True),
        Target("clips", _clips, seconds=5, megabytes=800, longest=24_576),
        Target("metadata", _metadata, seconds=2, megabytes=200, longest=4096),
        Target("sync", _sync, seconds=30, megabytes=500, longest=8192, uses_ffmpeg=True),
        Target("folders", read_folder, seconds=2, megabytes=200, longest=16_384),
        Target("arguments", read_arguments, seconds=5, megabytes=200, longest=4096, is_guarded=False),
    )
}
"""Times, of the processor, catch what grows with the square of its input. What waits is ended by libFuzzer's alarm."""
