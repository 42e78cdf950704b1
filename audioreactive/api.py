"""The interface for notebooks and scripts: one function per stage.

    import audioreactive as ar

    features = ar.analyze_file("song.mp3", fps=24)
    patch = ar.random_patch(42)
    generator = ar.load_generator()
    inputs = ar.motion(patch, features).on(generator, size="1280x720")
    frames = ar.render_frames(generator, inputs, 0, 100)

Paths may be text, frame rates numbers or text ("30000/1001"), sizes text ("1280x720", "1080p") or (width, height),
times seconds or text ("1:20").
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from audioreactive._support.amounts import parse_bytes, parse_deadline, parse_rate
from audioreactive._support.exact import exact_time
from audioreactive._support.files import as_path
from audioreactive.errors import AudioReactiveError, RenderError, did_you_mean, shown
from audioreactive.generators import FITS, named_source, open_generator, parse_size
from audioreactive.generators.devices import PRECISIONS
from audioreactive.patches.knobs import Knobs
from audioreactive.pipeline.listening import parse_frame_rate
from audioreactive.pipeline.planning import plan_render
from audioreactive.pipeline.preparing import make_motion, prepare
from audioreactive.pipeline.production import RenderSettings, produce
from audioreactive.pipeline.recipe import Recipe
from audioreactive.progress import as_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.features.names import BeatTracker
    from audioreactive.generators import Fit, Generator
    from audioreactive.generators.devices import Precision
    from audioreactive.patches.motion import Inputs, Motion
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch, Synthesizer
    from audioreactive.pipeline.production import Rendered
    from audioreactive.progress import Progress, Step
    from audioreactive.video import VideoEncoder

    Number = int | float | str | Fraction
    ProgressLike = Progress | Callable[[Step], object]
    SizeLike = str | tuple[int, int]

Choice = TypeVar("Choice", bound=str)


def load_generator(
    model: Path | str | None = None, *, device: str = "auto", precision: Precision = "auto"
) -> Generator:
    """Load a generator.

    Args:
        model: a StyleGAN model file of any kind, or a name: painter, painter:silk, stylegan2; None: painter.
        device: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, ...
        precision: auto, fp32, bf16 or fp16.

    Raises:
        RenderError: the device cannot be used.
        StyleGANError: the file contains no StyleGAN model.
    """
    return open_generator(
        as_model(model), device=device, precision=_one_of("precision", precision, PRECISIONS)
    ).generator


def motion(
    recipe: Patch | Preset,
    features: Features,
    *,
    generator: Generator | None = None,
    progress: ProgressLike | None = None,
) -> Motion:
    """Compute the motion of a recipe for a song. It can be used with any generator.

    Args:
        recipe: a patch, or a preset with its sections. Its synthesizers are fitted or run, which may take a minute.
        features: features of the song; the motion has their frame rate.
        generator: the generator whose pictures a synthesizer is fitted to; needed by `hippo` only.
        progress: receives the progress.

    Raises:
        RenderError: the tables would not fit in memory.
        SynthesizerError: a synthesizer cannot be fitted to the song.
        FeatureError: the recipe uses a feature that was not analysed.
    """
    return make_motion(recipe, features, generator, as_progress(progress))


def iter_frames(
    generator: Generator, inputs: Inputs, start: int = 0, stop: int | None = None, *, batch: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Render frames start to stop - 1 in batches, (n, h, w, 3) uint8 RGB, in the size that the inputs were made for.

    Args:
        generator: the generator that the inputs were made for.
        inputs: its inputs, `motion(...).on(generator)`.
        start: first frame.
        stop: one past the last frame; None: to the end.
        batch: frames computed at once; None: chosen for the generator.
    """
    from audioreactive.rendering.renderer import iter_frames

    width, height = inputs.canvas.frame_size
    for frames in iter_frames(generator.resized((height, width)), inputs, start, stop, batch=batch):
        yield inputs.canvas.finished(frames)


def render_frames(
    generator: Generator, inputs: Inputs, start: int = 0, stop: int | None = None, *, batch: int | None = None
) -> NDArray[np.uint8]:
    """Render frames start to stop - 1 into one array (stop - start, h, w, 3), uint8 RGB; see `iter_frames`."""
    batches = list(iter_frames(generator, inputs, start, stop, batch=batch))
    if batches:
        return np.concatenate(batches)
    width, height = inputs.canvas.size
    return np.zeros((0, height, width, 3), np.uint8)


def render(
    song: Path | str,
    output: Path | str | None = None,
    *,
    model: Path | str | None = None,
    preset: Preset | Path | str | None = None,
    patch: Patch | None = None,
    seed: int | None = None,
    best_of: int | None = None,
    evolve: int | None = None,
    wild: bool = False,
    synthesizer: Synthesizer | Path | str | None = None,
    palette: Sequence[int | str] | None = None,
    truncation: float | None = None,
    label: int | None = None,
    overrides: Sequence[str] = (),
    motion: float = 1.0,
    beat: float = 1.0,
    texture: float = 1.0,
    colour: float = 1.0,
    speed: float = 1.0,
    fps: Number | None = None,
    size: SizeLike | None = None,
    fit: Fit | None = None,
    start: Number = 0,
    duration: Number | None = None,
    flash_safe: bool = False,
    loop: bool = False,
    draft: bool = False,
    max_size: int | str | None = None,
    max_bitrate: int | str | None = None,
    deadline: Number | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    batch: int | None = None,
    crf: int | None = None,
    encoder: VideoEncoder = "auto",
    encoder_speed: str | None = None,
    chunk: Number | None = None,
    beat_tracker: BeatTracker = "librosa",
    track: int | None = None,
    tempo: float | None = None,
    tempo_range: tuple[float, float] | None = None,
    stems: Mapping[str, Path | str] | None = None,
    weights: Sequence[Path | str] = (),
    workers: int | None = None,
    cluster: str | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    progress: ProgressLike | None = None,
) -> Rendered:
    """Render a song to a video; without `output`, an mp4 beside the song.

    The motion comes from a preset, a patch or a seed. With none of these, the seed is computed from the song itself.
    A render that was interrupted or cancelled continues from its finished chunks.

    Args:
        song: any sound file, or a video with sound.
        output: .mp4, .webm, .mov, .mkv, .gif, .webp, or a folder of pictures.
        model: a model file, or a name: painter, painter:silk, stylegan2; None: painter.
        preset: a preset, the name of an included one, or a preset file.
        patch: a patch, instead of a preset.
        seed: seed from which a random patch is drawn.
        best_of: number of random patches to draw, from `seed` upwards; the most audio-reactive one is kept.
        evolve: number of patches to score while the most audio-reactive ones of the drawn are changed further.
        wild: also draw bends, directions, a camera and weights, as far as the model has them.
        synthesizer: "hippo", a trained file, or a `Synthesizer`: makes the motion of a random patch.
        palette: seeds of the pictures to move between, and own pictures, such as w:0123456789abcdef/0.
        truncation: 1 for the model's whole variety, 0 for its average picture.
        label: class of a conditional model.
        overrides: changes such as "noise.strength *= 2".
        motion: factor on the size of all motion; 1 changes nothing (also for the next four).
        beat: factor on the response to hits and the pulse.
        texture: factor on the amount of grain.
        colour: factor on changes of light and colour.
        speed: factor on the speed of motion that follows the clock instead of the music.
        fps: frames per second; None: the preset's, else 30 for the painter and 24 for models.
        size: size of the picture; None: the preset's, else 1920x1080 for the painter and the model's own for models.
        fit: widen, crop, pad or stretch: how another aspect ratio is filled.
        start: seconds into the song.
        duration: seconds; None: to the end.
        flash_safe: limit the video to three flashes per second.
        loop: let the end lead on to the beginning, for a video that is repeated.
        draft: quick preview: small, at half the frame rate.
        max_size: most bytes of the file, as a number or as text such as "25MB"; for .mp4 and .webm.
        max_bitrate: most bits per second over each chunk, with the sound: a number or text such as "4M".
        deadline: seconds, or text such as "10m", in which to be finished, if encoding faster can do it.
        device: auto, cpu, cuda, ...
        precision: auto, fp32, bf16 or fp16.
        batch: frames computed at once.
        crf: quality of H.264 and VP9, 1 best to 51.
        encoder: auto, x264 or nvenc.
        encoder_speed: speed of x264 and VP9, ultrafast to veryslow; None: medium, or veryfast from 1080p on.
        chunk: length in seconds of the pieces in which the video is rendered.
        beat_tracker: librosa, or madmom if it is installed.
        track: number of the audio track in the song's file, from 1; None: the default one.
        tempo: known tempo in beats per minute; None: estimated.
        tempo_range: (lowest, highest) tempo to consider, in beats per minute.
        stems: name -> sound file, as further sources of features.
        weights: files of second models and of edits that the preset's weights name, if they are not beside it.
        workers: number of processes on this machine.
        cluster: Ray cluster to render on: auto, or ray://host:port.
        overwrite: replace an existing output.
        fresh: discard the chunks of a different, unfinished render of this output.
        progress: called regularly with a `Step`; the render is cancelled if it returns False.

    Raises:
        Cancelled: the progress callback returned False.
        AudioReactiveError, stylegan_ops.StyleGANError: an input cannot be used; the message is a sentence.
    """
    from audioreactive._support.files import is_web_address, keep_apart
    from audioreactive.chunks.folder import work_folder
    from audioreactive.patches.preset import Preset, preset_of
    from audioreactive.patches.presets import load_preset
    from audioreactive.pipeline.weights import folder_of, wild_of
    from audioreactive.video import VIDEO_ENCODERS, check_output
    from audioreactive.video.formats import SPEEDS

    if is_web_address(song):
        raise AudioReactiveError(
            f"{shown(str(song))} is a web address: download it, and give the file on this computer"
        )
    if preset is not None and patch is not None:
        raise AudioReactiveError("preset and patch both give the motion: leave one of them out")
    song = as_path(song)
    if not song.name:
        raise AudioReactiveError(f"{str(song)!r} is a folder; give a song in it")
    output = as_path(output) if output is not None else song.with_suffix(".mp4")
    opened = as_model(model)
    chosen = opened if isinstance(opened, Path) else None
    named = [as_path(file) for file in (song, chosen, *(stems or {}).values(), *weights) if file is not None]
    keep_apart(output, (*named, _file_of(preset), _file_of(synthesizer)), cleared=(work_folder(output),))
    check_output(output, overwrite)
    folder = folder_of(preset) if isinstance(preset, str | Path) else None
    if patch is not None:
        preset = preset_of(patch)
    elif preset is not None and not isinstance(preset, Preset):
        preset = load_preset(str(preset))
    recipe = Recipe(
        preset=preset,
        seed=None if seed is None else _whole("seed", seed),
        palette=None if palette is None else tuple(palette),
        truncation=truncation,
        label=label,
        overrides=tuple(overrides),
        best_of=best_of,
        evolve=evolve,
        wild=wild_of([as_path(file) for file in weights]) if wild else None,
        synthesizer=_synthesizer(synthesizer),
        knobs=Knobs(
            motion=_number("motion", motion),
            beat=_number("beat", beat),
            texture=_number("texture", texture),
            colour=_number("colour", colour),
            speed=_number("speed", speed),
        ),
    )
    settings = RenderSettings(
        fps=None if fps is None else frame_rate(fps),
        size=picture_size(size),
        fit=None if fit is None else _one_of("fit", fit, tuple(FITS)),
        start=_time("start", start),
        duration=None if duration is None else _time("duration", duration),
        device=device,
        precision=_one_of("precision", precision, PRECISIONS),
        batch=batch,
        encoder=_one_of("encoder", encoder, VIDEO_ENCODERS),
        encoder_speed=None if encoder_speed is None else _one_of("encoder_speed", encoder_speed, SPEEDS),
        beat_tracker=beat_tracker,
        track=track,
        tempo=tempo,
        tempo_range=tempo_range,
        flash_safe=flash_safe,
        loop=loop,
        draft=draft,
        max_size=None if max_size is None else parse_bytes(str(max_size)),
        max_bitrate=None if max_bitrate is None else parse_rate(str(max_bitrate)),
        deadline=None if deadline is None else parse_deadline(_digits(deadline)),
        weights=tuple(as_path(file) for file in weights),
        folder=folder,
    )
    settings = settings if crf is None else replace(settings, crf=crf)
    settings = settings if chunk is None else replace(settings, chunk=_time("chunk", chunk))
    told = as_progress(progress)
    plan = plan_render(
        song,
        output,
        model=opened,
        recipe=recipe,
        settings=settings,
        stems={name: as_path(file) for name, file in (stems or {}).items()},
        progress=told,
    )
    return produce(
        prepare(plan, told),
        output,
        workers=workers,
        cluster=cluster,
        overwrite=overwrite,
        fresh=fresh,
        progress=told,
    )


def as_model(model: Path | str | None) -> Path | str | None:
    """Tell a generator's name from the path of a file; raises RenderError for a family that the painter lacks."""
    if model is None or isinstance(model, Path):
        return model
    return model if named_source(model) is not None else as_path(model)


def frame_rate(value: Number) -> Fraction:
    """Parse frames per second without rounding: 29.97 is 2997/100. Raises RenderError outside 1 to 240."""
    return parse_frame_rate(_digits(value))


def picture_size(value: SizeLike | None) -> tuple[int, int] | None:
    """Parse (width, height) from "1280x720", "1080p" or two numbers; raises RenderError for anything else."""
    if value is None:
        return None
    if isinstance(value, tuple | list) and len(value) == 2:
        value = f"{value[0]}x{value[1]}"
    return parse_size(str(value))


def _file_of(value: object) -> Path | None:
    """Path of the file that a preset or a synthesizer is read from, if it was given as text or a path."""
    from audioreactive.patches.presets import preset_path

    return preset_path(str(value)) if isinstance(value, str | Path) else None


def _synthesizer(value: Synthesizer | Path | str | None) -> Synthesizer | None:
    if not isinstance(value, str | Path):
        return value
    from audioreactive.learn.named import named_synthesizer

    return named_synthesizer(str(value))


def _time(name: str, value: Number) -> Fraction:
    try:
        return exact_time(_digits(value))
    except ValueError:
        raise RenderError(f"{name}={shown(value)} is not a time, such as 95, 95.5 or '1:35'") from None


def _number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RenderError(f"{name}={shown(value)} is not a number, such as 0.5; 1 is as it is")
    return float(value)


def _whole(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RenderError(f"{name}={shown(value)} is not a whole number, such as 42")
    return value


def _digits(value: Number) -> str:
    """Write a number in decimal digits, so that 29.97 becomes 2997/100 and not the nearest float."""
    return f"{value:.12f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _one_of(name: str, value: Choice, choices: Sequence[Choice]) -> Choice:
    if value not in choices:
        raise RenderError(f"{name}={shown(value)} is none of {', '.join(choices)}{did_you_mean(str(value), choices)}")
    return value
