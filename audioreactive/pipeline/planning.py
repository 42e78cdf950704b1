"""Planning of a render from a song, a model and a recipe, for the command line and for Python.

Each stage can be called separately: `listen`, `open_generator` and `Recipe.make`; `plan_render`, which calls these and
plans the picture; `prepare`, which makes the motion; `produce`, which makes the video.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from audioreactive.errors import RenderError, did_you_mean
from audioreactive.generators import LoadedGenerator, draft_canvas, named_source, open_generator, plan_canvas
from audioreactive.generators.moves import abilities
from audioreactive.generators.sources import PainterSource
from audioreactive.patches.knobs import Knobs
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
    LOOP_SECONDS,
    Production,
    RenderSettings,
    check_limits,
    make_encoding,
    make_scene,
)
from audioreactive.pipeline.recipe import Recipe, song_seed
from audioreactive.pipeline.weights import given_files, weight_files, with_digests
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators import Canvas, Fit, Generator, WeightFile
    from audioreactive.patches.motion import Motion
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch
    from audioreactive.video import OutputFormat
    from audioreactive.video.chunks import Encoding


def make_motion(
    recipe: Patch | Preset, features: Features, generator: Generator | None = None, progress: Progress | None = None
) -> Motion:
    """Motion of a recipe for a song, including its sections and synthesizers; see `patches.motion.motion`.

    A synthesizer that is fitted to what is seen needs the generator, with pictures of its own size.
    """
    from audioreactive.learn.synthesize import synthesize
    from audioreactive.patches.motion import motion
    from audioreactive.patches.schema import Patch

    patch, sections = (recipe, ()) if isinstance(recipe, Patch) else (recipe.patch, recipe.sections)

    def made(patch: Patch, features: Features) -> dict[str, NDArray[np.float32]]:
        return synthesize(patch, features, generator, progress)

    return motion(patch, features, made, sections=sections)


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
    loaded = model if isinstance(model, LoadedGenerator) else None
    # The painter with default settings is opened after the analysis, to save memory: PyTorch takes 200 MB.
    asked = (model, recipe.label, settings.size) != (None, None, None) or settings.device not in ("auto", "cpu")
    if not isinstance(model, LoadedGenerator) and asked:
        _check_song(song, stems or {})
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
        canvas=canvas,
        encoding=encoding,
        start=start,
        stop=max(stop, start + 1),
        settings=settings,
        begun=begun,
    )


def decide(plan: Plan, progress: Progress | None = None) -> tuple[Preset, str | None]:
    """The preset to render, with the settings to embed in it; with `best_of` the most audio-reactive candidate, with
    `evolve` what evolved, of a motion that is fitted to pictures and what is drawn the better, and a sentence about the
    choice.
    """
    from audioreactive.patches.randomizer import is_seen

    if is_seen(plan.recipe.synthesizer):
        from audioreactive.pipeline.fitted import better

        preset, sentence = better(plan.recipe, plan.features, plan.loaded.generator, progress or Silent())
        return _signed(preset, plan), sentence
    if plan.recipe.evolve is not None:
        preset, sentence = _evolved(plan, plan.recipe.evolve, progress or Silent())
        return _signed(preset, plan), sentence
    if plan.recipe.best_of is None:
        return _signed(plan.preset, plan), None
    preset, sentence = _most_reactive(plan, progress or Silent())
    return _signed(preset, plan), sentence


def prepare(plan: Plan, progress: Progress | None = None) -> Production:
    """Make the motion of the planned render, and with it everything that rendering needs."""
    progress = progress or Silent()
    features, canvas, generator = plan.features, plan.canvas, plan.loaded.generator
    preset, chosen = decide(plan, progress)
    moving = make_motion(preset, features, generator, progress)
    generator = generator.resized((canvas.frame_size[1], canvas.frame_size[0]))
    moving = moving.at(slice(None, None, DRAFT_STEP)) if plan.settings.draft else moving
    if plan.settings.loop:
        moving = moving.closed(plan.start, plan.stop, round(LOOP_SECONDS * plan.encoding.settings.fps))
    return Production(
        song=plan.song,
        features=features,
        preset=preset,
        generator=generator,
        scene=make_scene(
            moving,
            plan.loaded.source,
            generator,
            plan.encoding,
            plan.settings,
        ),
        encoding=plan.encoding,
        start=plan.start,
        stop=plan.stop,
        settings=plan.settings,
        chosen=chosen,
        begun=plan.begun,
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


def _check_song(song: Path, stems: Mapping[str, Path]) -> None:
    """Raise AudioError if the song or a stem does not exist."""
    from audioreactive.media.audio import check_file

    for file in (song, *stems.values()):
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


def _most_reactive(plan: Plan, progress: Progress) -> tuple[Preset, str]:
    """The most audio-reactive preset, and a sentence about the choice."""
    from audioreactive.pipeline.choose import choose

    first = plan.recipe.seed or 0
    seeds = [(first + i) % 2**32 for i in range(plan.recipe.best_of or 1)]
    presets = [replace(plan.recipe, seed=seed).make() for seed in seeds]
    choice = choose(
        [preset.patch for preset in presets],
        plan.features,
        plan.loaded.generator,
        batch=plan.settings.batch,
        progress=progress,
    )
    progress.say(f"{choice.sentence}; its seed is {seeds[choice.index]}")
    score = f"{choice.previews[choice.index]:+.1f} deviations above chance"
    return presets[choice.index], f"the best of {len(seeds)} was seed {seeds[choice.index]}, with a score of {score}"


def _evolved(plan: Plan, count: int, progress: Progress) -> tuple[Preset, str]:
    """The preset that evolved, and a sentence about it."""
    from audioreactive.pipeline.evolve import evolve

    recipe, seed = plan.recipe, plan.recipe.seed or 0
    drawn = replace(recipe, overrides=(), knobs=Knobs()).make()
    result = evolve(drawn.patch, plan.features, plan.loaded.generator, count=count, seed=seed, progress=progress)
    progress.say(f"{result.sentence}; they began with seed {seed}")
    evolved = drawn.model_copy(update={"patch": result.patch})
    preset = replace(recipe, preset=evolved, seed=None, evolve=None, leads=False).make()
    return preset, f"the best of {count} that evolved has a score of {result.score:+.1f} deviations above chance"


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


def _signed(preset: Preset, plan: Plan) -> Preset:
    """The preset with the settings of the render, so that the preset in a video gives the same video again."""
    from audioreactive.generators import ModelFile, WeightedSource
    from audioreactive.patches.preset import MadeWith, RenderDefaults

    source, size = plan.loaded.source, plan.canvas.size
    if isinstance(source, WeightedSource):
        preset, source = with_digests(preset, source.files), source.base
    made_with = MadeWith(
        program=f"audioreactive {version('audioreactive')}",
        model=source.name,
        model_sha256=source.sha256 if isinstance(source, ModelFile) else None,
        song_sha256=plan.features.digest,
        seed=preset.made_with.seed if preset.made_with else None,
    )
    fit = plan.settings.fit or preset.render.fit
    render = RenderDefaults(fps=str(plan.features.fps), size=f"{size[0]}x{size[1]}", fit=fit)
    return preset.model_copy(update={"made_with": made_with, "render": render})
