"""The whole way: a song, a model and a recipe go in, a video comes out. For the command line and for Python alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from audioreactive.errors import AudioReactiveError, RenderError, shown
from audioreactive.exact import exact
from audioreactive.features.names import DEFAULT_FEATURES
from audioreactive.production import Production, Rendered, RenderSettings, make_encoding, make_scene, produce
from audioreactive.progress import Progress, Silent, track_share
from audioreactive.sizes import Canvas, plan_canvas

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from audioreactive.chunks.scene import ModelFile
    from audioreactive.features import Features
    from audioreactive.patches.schema import Patch, Synthesizer
    from audioreactive.presets import Preset
    from stylegan_ops import Generator

DEFAULT_FPS = Fraction(24)

BUILTIN_MODEL = "built-in"


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, for as many songs as there are."""

    name: str
    file: ModelFile
    generator: Generator


@dataclass(frozen=True)
class Recipe:
    """How to come by a preset: a given one, or a drawn one, and what to change in it."""

    preset: Preset | None = None
    seed: int | None = None
    """Without a preset and a seed, the seed comes from the song's content: the same song, the same video."""
    palette: tuple[int, ...] | None = None
    truncation: float | None = None
    label: int | None = None
    overrides: tuple[str, ...] = field(default=())
    best_of: int | None = None
    """Draw so many, from the seed upwards, and keep the most audio-reactive one."""
    synthesizer: Synthesizer | None = None
    """What makes the motion of a drawn recipe; None: the Randomizer's sub-sequences."""

    @property
    def needs_song(self) -> bool:
        """Whether the seed is the song's to give."""
        return self.preset is None and self.seed is None

    def make(self, song_seed: int = 0) -> Preset:
        """The preset, all changes made.

        Raises:
            PresetError: a change does not fit.
        """
        from audioreactive.patches.randomizer import draw_around, draw_patch
        from audioreactive.presets import MadeWith, override, preset_of

        preset = self.preset
        if preset is None:
            seed = song_seed if self.seed is None else self.seed
            patch = draw_patch(seed) if self.synthesizer is None else draw_around(self.synthesizer, seed)
            preset = preset_of(patch, made_with=MadeWith(seed=seed))
        changes = {"seeds": self.palette, "truncation": self.truncation, "label": self.label}
        expressions = [
            f"palette.{key} = {list(value) if isinstance(value, tuple) else value}"
            for key, value in changes.items()
            if value is not None
        ]
        return override(preset, (*expressions, *self.overrides))


def song_seed(digest: str) -> int:
    """The seed of a song that nobody gave one: the first 32 bits of its content's digest."""
    return int(digest[:8], 16)


def listen(
    song: Path,
    *,
    fps: Fraction,
    stems: Mapping[str, Path],
    settings: RenderSettings,
    progress: Progress,
    names: tuple[str, ...] = (),
) -> Features:
    """Features of the song, from the cache where they are.

    Always the whole default set, so that one analysis serves every preset after it.
    """
    from audioreactive.audio import check_file
    from audioreactive.features import analyze_file

    for file in (song, *stems.values()):
        check_file(file)  # before the bar begins
    with track_share(progress, "listening") as report:
        return analyze_file(
            song,
            fps=fps,
            names=tuple(dict.fromkeys((*DEFAULT_FEATURES, *names))),
            stems=stems,
            beat_tracker=settings.beat_tracker,
            progress=report,
            warn=progress.say,
        )


def load_model(model: Path | None, *, device: torch.device, dtype: torch.dtype) -> Generator:
    """A model file, or the built-in model."""
    if model is None:
        from audioreactive.builtin import builtin_generator

        return builtin_generator(device, dtype)
    from stylegan_ops import load_generator

    return load_generator(model, device=device, dtype=dtype)


def open_model(model: Path | None, settings: RenderSettings = RenderSettings()) -> LoadedModel:
    """The model on the device and in the precision that are asked for.

    Raises:
        RenderError: the device cannot be used.
        StyleGANError: the file holds no model.
    """
    from audioreactive.builtin import builtin_digest
    from audioreactive.chunks.scene import ModelFile, file_digest
    from audioreactive.renderer import choose_device, choose_dtype

    device = choose_device(settings.device)
    generator = load_model(model, device=device, dtype=choose_dtype(settings.precision, device))
    if model is None:
        return LoadedModel(BUILTIN_MODEL, ModelFile(None, builtin_digest()), generator)
    return LoadedModel(model.name, ModelFile(model.absolute(), file_digest(model)), generator)


def prepare(
    song: Path,
    output: Path,
    *,
    model: Path | LoadedModel | None = None,
    recipe: Recipe = Recipe(),
    settings: RenderSettings = RenderSettings(),
    stems: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> Production:
    """Listen, draw or read the recipe, load the model, plan the picture: all that can fail before the first frame."""
    from audioreactive.learn.synthesize import synthesized
    from audioreactive.renderer import choose_device, default_batch
    from audioreactive.video import choose_encoder, output_format

    progress = progress or Silent()
    if settings.device not in ("auto", "cpu"):
        choose_device(settings.device)  # a wrong name shows at once
    preset = recipe.make()  # before anything takes time, so that mistakes show at once
    if isinstance(model, Path) and not model.is_file():
        open_model(model, settings)  # says what is there instead
    fps = _frame_rate(settings, preset)

    def hear(names: tuple[str, ...]) -> Features:
        return listen(song, fps=fps, stems=stems or {}, settings=settings, progress=progress, names=names)

    features = hear(() if recipe.needs_song else preset.feature_names())
    if recipe.needs_song:
        preset = recipe.make(song_seed(features.digest))
        if not set(preset.feature_names()) <= set(features):  # a change made in the recipe asks for more
            features = hear(preset.feature_names())
    start, stop = frame_range(features, settings.start, settings.duration)
    # PyTorch is not imported before: its 200 MB and the analysis' memory need not meet.
    loaded = model if isinstance(model, LoadedModel) else open_model(model, settings)
    generator = loaded.generator
    kind = choose_encoder(output_format(output), settings.encoder, on_gpu=generator.device.type == "cuda")
    if recipe.best_of is not None:
        batch = settings.batch or default_batch(generator.device, generator)
        preset = _most_reactive(recipe, features, generator, batch, progress)
    canvas = _canvas(generator, preset, settings, even=kind.even, progress=progress)
    if canvas.const_size != generator.architecture.const_size:
        generator = generator.enlarged(const_size=canvas.const_size)
    preset = _signed(preset, features, canvas, settings, fps, loaded)
    features = synthesized(preset.patch, features, progress)
    encoding = make_encoding(kind, canvas, fps, settings)
    return Production(
        song=song,
        features=features,
        preset=preset,
        generator=generator,
        scene=make_scene(preset, features, generator, loaded.file, encoding, settings),
        canvas=canvas,
        encoding=encoding,
        start=start,
        stop=stop,
        settings=settings,
    )


def render(
    song: Path | str,
    output: Path | str | None = None,
    *,
    model: Path | str | None = None,
    preset: Preset | str | None = None,
    patch: Patch | None = None,
    seed: int | None = None,
    settings: RenderSettings = RenderSettings(),
    stems: Mapping[str, Path] | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Rendered:
    """Render a song to a video; without `output`, an mp4 beside the song.

    The recipe is a preset (or its name or file), a patch or a seed; with none of these, drawn from the song's content.
    A render that was cut short goes on from the chunks that it left, and `fresh` throws away those of another job.
    `workers` so many processes of this machine, or a Ray `cluster` (auto or ray://host:port), make the chunks.
    Raises AudioReactiveError or stylegan_ops.StyleGANError, with a sentence, where an input cannot be used.
    """
    from audioreactive.chunks.folder import work_folder
    from audioreactive.files import keep_apart
    from audioreactive.presets import load_preset, preset_of, preset_path
    from audioreactive.video import check_output

    if sum(choice is not None for choice in (preset, patch, seed)) > 1:
        raise AudioReactiveError("give one of preset, patch and seed, not several")
    song = Path(song)
    if not song.name:
        raise AudioReactiveError(f"{str(song)!r} is a folder; give a song in it")
    output = Path(output) if output is not None else song.with_suffix(".mp4")
    inputs = (song, *(Path(file) for file in (model, *(stems or {}).values()) if file is not None))
    inputs = (*inputs, *((preset_path(preset),) if isinstance(preset, str) else ()))
    keep_apart(output, inputs, cleared=(work_folder(output),))
    check_output(output, overwrite)
    if isinstance(preset, str):
        preset = load_preset(preset)
    if patch is not None:
        preset = preset_of(patch)
    production = prepare(
        song,
        output,
        model=Path(model) if model is not None else None,
        recipe=Recipe(preset=preset, seed=seed),
        settings=settings,
        stems=stems,
        progress=progress,
    )
    return produce(
        production, output, workers=workers, cluster=cluster, overwrite=overwrite, fresh=fresh, progress=progress
    )


def frame_range(features: Features, start: Fraction, duration: Fraction | None) -> tuple[int, int]:
    """(first frame, one past the last) of the asked part of the song.

    Raises:
        RenderError: the part lies outside of the song, or is empty.
    """
    length = features.duration
    if not 0 <= start < length:
        raise RenderError(f"the start at {float(start):g} s is not inside the song, which lasts {float(length):.2f} s")
    if duration is not None and duration <= 0:
        raise RenderError(f"the duration of {float(duration):g} s is not positive")
    first = features.frame_at(start)
    stop = features.frames
    if duration is not None:
        stop = min(stop, first + max(math.ceil(duration * features.fps), 1))
    return first, stop


def parse_frame_rate(text: str) -> Fraction:
    """Frames a second from text such as "30" or "30000/1001"; at most 240."""
    try:
        fps = exact(text)
    except ValueError:
        fps = Fraction(0)
    if not 1 <= fps <= 240 or fps.denominator > 1_000_000:
        raise RenderError(f"the frame rate {shown(text)} is not between 1 and 240, such as 24, 59.94 or 30000/1001")
    return fps


def _most_reactive(recipe: Recipe, features: Features, generator: Generator, batch: int, progress: Progress) -> Preset:
    from audioreactive.choose import choose

    first = song_seed(features.digest) if recipe.seed is None else recipe.seed
    seeds = [(first + i) % 2**32 for i in range(recipe.best_of or 1)]
    presets = [replace(recipe, seed=seed).make() for seed in seeds]
    choice = choose([preset.patch for preset in presets], features, generator, batch=batch, progress=progress)
    progress.say(f"{choice.sentence}; its seed is {seeds[choice.index]}")
    return presets[choice.index]


def _frame_rate(settings: RenderSettings, preset: Preset) -> Fraction:
    if settings.fps is not None:
        return settings.fps
    if preset.render.fps is not None:
        return parse_frame_rate(preset.render.fps)
    return DEFAULT_FPS


def _canvas(
    generator: Generator, preset: Preset, settings: RenderSettings, *, even: tuple[bool, bool], progress: Progress
) -> Canvas:
    from audioreactive.sizes import parse_size

    size = settings.size
    if size is None and preset.render.size is not None:
        size = parse_size(preset.render.size)
    canvas = plan_canvas(
        const_size=generator.architecture.const_size,
        img_size=generator.img_size,
        size=size,
        fit=settings.fit or preset.render.fit or "widen",
        even=even,
    )
    if size is not None and canvas.size != size:
        progress.say(f"{size[0]}x{size[1]} is rounded to {canvas.size[0]}x{canvas.size[1]}: video needs even sides")
    return canvas


def _signed(
    preset: Preset, features: Features, canvas: Canvas, settings: RenderSettings, fps: Fraction, model: LoadedModel
) -> Preset:
    """The preset with what it was rendered with, so that a video's preset gives the same video again."""
    from audioreactive.presets import MadeWith, RenderDefaults

    made_with = MadeWith(
        program=f"audioreactive {version('audioreactive')}",
        model=model.name,
        model_sha256=None if model.file.path is None else model.file.sha256,
        song_sha256=features.digest,
        seed=preset.made_with.seed if preset.made_with else None,
    )
    fit = settings.fit or preset.render.fit
    render = RenderDefaults(fps=str(fps), size=f"{canvas.size[0]}x{canvas.size[1]}", fit=fit)
    return preset.model_copy(update={"made_with": made_with, "render": render})
