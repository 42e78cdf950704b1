"""Planning of a render from a song, a model and a recipe, for the command line and for Python.

Each stage can be called separately: `listen`, `open_generator` and `Recipe.make`; `plan_render`, which calls these and
plans the picture; `prepare`, which makes the motion; `produce`, which makes the video.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from audioreactive.errors import RenderError, did_you_mean
from audioreactive.generators import LoadedGenerator, draft_canvas, named_source, open_generator, plan_canvas
from audioreactive.generators.moves import abilities
from audioreactive.generators.sources import PainterSource
from audioreactive.patches.moves import check_patch
from audioreactive.pipeline.listening import (
    DEFAULT_FPS,
    PAINTER_FPS,
    check_duration,
    frame_range,
    listen,
    parse_frame_rate,
)
from audioreactive.pipeline.production import (
    DRAFT_STEP,
    RenderSettings,
    check_limits,
    make_encoding,
)
from audioreactive.pipeline.recipe import Recipe, song_seed
from audioreactive.pipeline.weights import given_files, weight_files
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction
    from pathlib import Path

    from audioreactive.features import Features
    from audioreactive.generators import Canvas, Fit, Generator, WeightFile
    from audioreactive.patches.preset import Preset
    from audioreactive.video import OutputFormat
    from audioreactive.video.chunks import Encoding


@dataclass(frozen=True)
class Plan:
    """A planned render: the song is analysed, the model loaded, and recipe and picture are decided.

    Steps that take long follow later: the search of `Recipe.best_of`, and fitting a motion to the song.
    """

    song: Path
    features: Features
    recipe: Recipe
    """The recipe, with the given seed or the song's."""
    preset: Preset
    """Preset of the recipe; the first of several candidates."""
    loaded: LoadedGenerator
    size: tuple[int, int]
    """(width, height) of the whole video, of which a draft is a smaller copy."""
    canvas: Canvas
    encoding: Encoding
    start: int
    """First frame."""
    stop: int
    """One past the last frame."""
    settings: RenderSettings
    begun: float = field(default_factory=time.monotonic)
    """Time at which the work began, on `time.monotonic`."""


def plan_render(
    song: Path,
    output: Path,
    *,
    model: Path | str | LoadedGenerator | None = None,
    recipe: Recipe = Recipe(),
    settings: RenderSettings = RenderSettings(),
    stems: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Check the inputs, analyse the song and plan the render. Errors are reported before the steps that take long.

    Raises AudioReactiveError or stylegan_ops.StyleGANError, with a sentence for the user, if an input cannot be used.
    """
    from audioreactive.video import output_format
    from audioreactive.video.nvenc import encoder_for

    begun = time.monotonic()
    progress = progress or Silent()
    kind = output_format(output)
    preset = recipe.make()  # before anything takes long, so that mistakes show at once
    fps = _frame_rate(settings, preset, PAINTER_FPS if _is_painter(model) else DEFAULT_FPS)
    _check_output(output, settings, fps)
    _check_files(*settings.weights, *([] if settings.follow is None else [settings.follow]))
    loaded = model if isinstance(model, LoadedGenerator) else None
    # The painter with default settings is opened after the analysis, to save memory: PyTorch takes 200 MB.
    asked = (model, recipe.label, settings.size) != (None, None, None) or settings.device not in ("auto", "cpu")
    if not isinstance(model, LoadedGenerator) and asked:
        _check_files(song, *(stems or {}).values())
        loaded = open_for(model, preset, settings, every=recipe.wild is not None)
    if recipe.wild is not None:
        able = frozenset() if loaded is None else abilities(loaded.generator)
        recipe = replace(recipe, wild=recipe.wild.on(able))
        preset = recipe.make()
        if not able:
            progress.say("--wild changes nothing: the painter has no layers, directions or weights")
    if loaded is not None:
        _check_model(loaded, preset, settings)

    def hear(names: tuple[str, ...]) -> Features:
        return listen(song, fps=fps, stems=stems, settings=settings, progress=progress, names=names)

    features = hear(() if recipe.needs_song else preset.feature_names())
    loaded = loaded or open_for(None, preset, settings)
    for path in _unused(settings.weights, loaded):
        progress.say(f"--with {path} changes nothing: no [[weights]] of the preset name it")
    if recipe.needs_song:
        recipe = _drawn_for(recipe, features, loaded.generator)
        preset = recipe.make()
        if not set(preset.feature_names()) <= set(features):  # the preset needs further features
            features = hear(preset.feature_names())
    if settings.follow is not None:
        features, preset = _following(song, features, preset, settings, progress)
    start, stop = frame_range(features, settings.start, settings.duration)
    if model is None:
        progress.say("pictures are painted by the program itself; --model FILE takes a StyleGAN instead")
    for patch in (preset.patch, *preset.section_patches()):
        check_patch(patch, loaded.generator)
    kind = encoder_kind(kind, settings, on_gpu=loaded.generator.device.type == "cuda")
    canvas = _canvas(loaded.generator, preset, settings, even=kind.even, progress=progress)
    size = canvas.size
    if settings.draft:
        canvas, fps = _draft(loaded.generator, canvas, settings.fit or preset.render.fit or "widen"), fps / DRAFT_STEP
        start, stop = -(-start // DRAFT_STEP), -(-stop // DRAFT_STEP)
    encoding = make_encoding(kind, canvas, fps, settings)
    kind, reason = encoder_for(kind, encoding.settings, settings.encoder)
    if reason is not None:
        encoding = make_encoding(kind, canvas, fps, settings)
        progress.say(f"NVENC cannot encode this video ({reason}); x264 does")
    for name in recipe.knobs.idle(preset.patch):
        progress.say(f"--{name} changes nothing: {IDLE.get(name, 'nothing in this preset moves in that way')}")
    for name in _families_not_there(preset, loaded.generator):
        close = did_you_mean(name, loaded.generator.families)
        progress.say(f"the painter has no family {name!r}{close or ';'} the preset's seeds choose one instead")
    return Plan(
        song=song,
        features=features,
        recipe=recipe,
        preset=preset,
        loaded=loaded,
        size=size,
        canvas=canvas,
        encoding=encoding,
        start=start,
        stop=max(stop, start + 1),
        settings=settings,
        begun=begun,
    )


def _following(
    song: Path, features: Features, preset: Preset, settings: RenderSettings, progress: Progress
) -> tuple[Features, Preset]:
    """Features and preset with all that has a place in the music moved along from the take that is followed.

    Raises:
        RenderError: the two have nothing in common.
    """
    from audioreactive.sync.follow import follow_features, follow_preset
    from audioreactive.sync.takes import compare_takes

    reference = settings.follow
    assert reference is not None
    report = compare_takes(reference, song, progress=progress)
    if report.way is None:
        raise RenderError(f"{song.name} cannot follow {reference.name}: {report.reason}")
    progress.say(f"{song.name} follows {reference.name}: {report.reason}")
    first = listen(
        reference,
        fps=features.fps,
        settings=replace(settings, track=None),
        progress=progress,
        names=preset.feature_names(),
    )
    return follow_features(features, first, report.way), follow_preset(preset, first, report.way)


def _drawn_for(recipe: Recipe, features: Features, generator: Generator) -> Recipe:
    """The recipe with the seed that suits the song, and with what a first video should always show."""
    from audioreactive.patches.randomizer import is_seen

    if recipe.synthesizer is not None:
        if is_seen(recipe.synthesizer):
            from audioreactive.pipeline.fitted import fitting_seed

            return replace(recipe, seed=fitting_seed(recipe, features, generator))
        return replace(recipe, seed=song_seed(features.digest))
    recipe = replace(recipe, leads=True)
    if recipe.best_of is not None:
        return replace(recipe, seed=song_seed(features.digest))
    from audioreactive.pipeline.choose import chosen_seed

    return replace(recipe, seed=chosen_seed(replace(recipe, evolve=None), features, generator))


def _families_not_there(preset: Preset, generator: Generator) -> list[str]:
    """Families of a preset that the generator lacks although it has several; with one, the user has chosen."""
    wanted = dict.fromkeys(palette.family for palette in preset.palettes())
    return [name for name in wanted if name and len(generator.families) > 1 and name not in generator.families]


def open_for(
    model: Path | str | None, preset: Preset, settings: RenderSettings, *, every: bool = False
) -> LoadedGenerator:
    """Load a generator, with the files by which a preset moves its weights, or with every file that was given.

    Raises:
        RenderError: a file of weights is missing or does not fit, or the device cannot be used.
        StyleGANError: the file contains no StyleGAN model.
    """
    given = settings.weights
    files: tuple[WeightFile, ...] = ()
    if not _is_painter(model):
        files = weight_files(preset, given, settings.folder, given_files(given) if every else ())
    return open_generator(model, device=settings.device, precision=settings.precision, weights=files)


def _unused(given: Sequence[Path], loaded: LoadedGenerator) -> list[Path]:
    """Files that were given and by which nothing moves."""
    from audioreactive.generators import WeightedSource

    files = loaded.source.files if isinstance(loaded.source, WeightedSource) else ()
    used = {one.file.path.resolve() for one in files}
    return [path for path in given if path.resolve() not in used]


def _is_painter(model: Path | str | LoadedGenerator | None) -> bool:
    """Whether a model that was asked for is the painter: by default, by name, or as it is loaded for many songs."""
    if isinstance(model, str):
        return isinstance(named_source(model), PainterSource)
    return model is None or (isinstance(model, LoadedGenerator) and isinstance(model.source, PainterSource))


def encoder_kind(kind: OutputFormat, settings: RenderSettings, *, on_gpu: bool) -> OutputFormat:
    """The format with the encoder that is asked for; x264 if one of its speeds is, because NVENC has none of them.

    Raises:
        VideoError: NVENC was asked for, and is not there.
    """
    from audioreactive.video import choose_encoder

    return choose_encoder(kind, settings.encoder, on_gpu=on_gpu and settings.encoder_speed is None)


def _check_output(output: Path, settings: RenderSettings, fps: Fraction) -> None:
    """Check, before any work, that the video can be written.

    Raises:
        VideoError: the file name has another suffix, or the format does not support these settings.
        RenderError: the duration is not positive.
    """
    from audioreactive.video import VideoSettings, choose_encoder, output_format

    kind = output_format(output)
    if settings.encoder != "auto":
        choose_encoder(kind, settings.encoder, on_gpu=False)
    check_limits(kind, settings)
    kind.check(VideoSettings(fps=fps / DRAFT_STEP if settings.draft else fps, size=(2, 2), crf=settings.crf))
    if settings.duration is not None:
        check_duration(settings.duration)
    if settings.chunk <= 0:
        raise RenderError("pieces of 0 seconds hold no frame: give --chunk a longer time, such as 5")


def _check_files(*files: Path) -> None:
    """Raise AudioError if one does not exist, or is no file."""
    from audioreactive.media.audio import check_file

    for file in files:
        check_file(file)


def _check_model(model: LoadedGenerator, preset: Preset, settings: RenderSettings) -> None:
    """Check, before the analysis, that the model can make the pictures.

    Raises:
        RenderError: the model has no such class, or the picture is many times larger than its own.
    """
    from audioreactive.patches.latents import check_label

    for palette in preset.palettes():
        check_label(palette, model.generator)
    _canvas(model.generator, preset, settings, even=(False, False), progress=Silent())


IDLE = {
    "beat": "nothing in this preset answers hits or the pulse",
    "speed": "nothing in this preset runs by the clock",
    "texture": "this preset has no noise",
}
"""Name of a knob -> message for a preset in which it has no effect."""


def _frame_rate(settings: RenderSettings, preset: Preset, usual: Fraction) -> Fraction:
    if settings.fps is not None:
        return settings.fps
    if preset.render.fps is not None:
        return parse_frame_rate(preset.render.fps)
    return usual


def _canvas(
    generator: Generator, preset: Preset, settings: RenderSettings, *, even: tuple[bool, bool], progress: Progress
) -> Canvas:
    from audioreactive.generators import parse_size

    size = settings.size
    if size is None and preset.render.size is not None:
        size = parse_size(preset.render.size)
    fit = settings.fit or preset.render.fit or "widen"
    canvas = plan_canvas(generator, size=size, fit=fit, even=even)
    if size is not None and canvas.size != size:
        progress.say(f"{size[0]}x{size[1]} is rounded to {canvas.size[0]}x{canvas.size[1]}: video needs even sides")
    return canvas


def _draft(generator: Generator, canvas: Canvas, fit: Fit) -> Canvas:
    """The canvas of a draft; a generator of any size makes small pictures at once."""
    small = draft_canvas(canvas, fit)
    width, height = small.size
    if fit == "widen" and tuple(generator.widened((height, width))) == (height, width):
        return plan_canvas(generator, size=small.size, fit=fit)
    return small
