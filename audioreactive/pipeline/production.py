"""Makes the video of a prepared production, in chunks, by one of several executors."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from audioreactive.chunks.plan import CHUNK_SECONDS
from audioreactive.errors import RenderError, VideoError
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.chunks.film import Executor
    from audioreactive.chunks.scene import Scene
    from audioreactive.chunks.workers import WorkerPool
    from audioreactive.features import Features
    from audioreactive.features.names import BeatTracker
    from audioreactive.generators import Canvas, Fit, Generator, GeneratorSource
    from audioreactive.generators.devices import Precision
    from audioreactive.patches.motion import Motion
    from audioreactive.patches.preset import Preset
    from audioreactive.video import OutputFormat, VideoEncoder
    from audioreactive.video.chunks import Encoding


LOOP_SECONDS: Final = 2.0
"""Seconds at the end of a loop in which it turns into what comes before its beginning."""
DRAFT_STEP: Final = 2
"""Step between the frames that a draft shows."""
DRAFT_CRF: Final = 26
"""Quality of a draft, as x264's CRF."""
DRAFT_SPEED: Final = "veryfast"
"""Speed of the encoder for a draft, as x264's preset."""
LARGE_PIXELS: Final = 1920 * 1080
LARGE_SPEED: Final = "veryfast"
"""Speed of x264 for pictures of so many pixels or more. The usual one takes three times as long, longer than to paint
them, for files that are a twentieth smaller; SSIM is 0.983 instead of 0.985 (`benchmarks/results/painter.md`)."""


@dataclass(frozen=True)
class RenderSettings:
    """Settings of a render that are not part of its recipe."""

    fps: Fraction | None = None
    """Frames a second; None: those that the preset was rendered with, or 24."""
    size: tuple[int, int] | None = None
    """(width, height); None: the size that the preset was rendered with, or the model's own."""
    fit: Fit | None = None
    """Way to fit the model's picture to the size; None: the one that the preset was rendered with, or widen."""
    start: Fraction = Fraction(0)
    """Start of the video in the song, in seconds."""
    duration: Fraction | None = None
    """Length of the video in seconds; None: to the end of the song."""
    track: int | None = None
    """Number of the sound track in the song's file, from 1; None: the default one, unless it is silent."""
    device: str = "auto"
    precision: Precision = "auto"
    batch: int | None = None
    crf: int = 18
    """Quality of H.264 and VP9: 1 is nearly lossless, 18 looks lossless, 28 gives small files."""
    encoder: VideoEncoder = "auto"
    """Encoder of H.264; auto: NVENC if the frames are made on a GPU that has it, else x264."""
    encoder_speed: str | None = None
    """Speed of x264 and VP9, one of `video.formats.SPEEDS`; None: the one that suits the size, or a draft."""
    chunk: Fraction = CHUNK_SECONDS
    """Length of a chunk in seconds: the most that a crash costs, and the unit of work of a worker."""
    beat_tracker: BeatTracker = "librosa"
    draft: bool = False
    """Whether to make a draft: a small picture with every second frame, encoded fast, with the same motion."""
    tempo: float | None = None
    """Tempo in beats per minute, if known; None: estimated from the song."""
    tempo_range: tuple[float, float] | None = None
    """Range in beats per minute in which the tempo is searched."""
    follow: Path | None = None
    """Take of the song that the preset was made for: sections, bars and beats are moved along to the take rendered."""
    loop: bool = False
    """Whether the end of the video leads on to its beginning."""
    flash_safe: bool = False
    """Whether to dim passages with more than three flashes a second (WCAG 2.2)."""
    max_size: int | None = None
    """Most bytes of the video."""
    deadline: Fraction | None = None
    """Seconds from the beginning in which the video should be finished; it may be encoded faster for that."""
    max_bitrate: int | None = None
    """Most bits a second of picture and sound together, over each chunk."""
    weights: tuple[Path, ...] = ()
    """Files of second models and of edits, which a preset's `[[weights]]` may name."""
    folder: Path | None = None
    """Folder of the preset's file, in which such files are looked for too."""


@dataclass(frozen=True)
class Production:
    """Everything that `produce` needs to render, made and checked."""

    song: Path
    features: Features
    preset: Preset
    generator: Generator
    """Generator, resized for the video."""
    scene: Scene
    encoding: Encoding
    start: int
    """First frame."""
    stop: int
    """One past the last frame."""
    settings: RenderSettings
    chosen: str | None = None
    """Sentence about the choice among several presets, with the score; None if there was one preset."""
    begun: float = field(default_factory=time.monotonic)
    """Time at which the work began, on `time.monotonic`."""

    @property
    def frames(self) -> int:
        """Number of frames of the video."""
        return self.stop - self.start


@dataclass(frozen=True)
class Rendered:
    """Result of a render."""

    path: Path
    frames: int
    preset: Preset = field(repr=False)
    chosen: str | None = None
    """Sentence about the choice among several presets, with the score; None if there was one preset."""


def check_limits(kind: OutputFormat, settings: RenderSettings) -> None:
    """Raise VideoError if a size, a bit rate or a speed is asked of a format that has no choice of it."""
    speed = settings.encoder_speed
    if speed is not None and kind.crf_step is None:
        raise VideoError(f"{kind.description} has no --encoder-speed {speed}: give it to an .mp4 or a .webm")
    if speed is not None and settings.encoder == "nvenc":
        raise VideoError(f"--encoder-speed {speed} is one of x264, and NVENC has none: leave one of the two out")
    asked = {"--max-size": settings.max_size, "--max-bitrate": settings.max_bitrate}
    for option, value in asked.items():
        if value is not None and kind.crf_step is None:
            raise VideoError(f"{kind.description} cannot be kept to {option}: give it to an .mp4 or a .webm")


def make_encoding(kind: OutputFormat, canvas: Canvas, fps: Fraction, settings: RenderSettings) -> Encoding:
    """Encoding of the chunks of a render."""
    from audioreactive.video import VideoSettings
    from audioreactive.video.chunks import ENCODER_THREADS, Encoding

    look = VideoSettings(
        fps=fps,
        size=canvas.size,
        filters=canvas.filters,
        crf=max(settings.crf, DRAFT_CRF) if settings.draft else settings.crf,
        speed=settings.encoder_speed or (DRAFT_SPEED if settings.draft else _speed(kind, canvas.size)),
        layout=kind.best_layout(canvas.filters),
        threads=ENCODER_THREADS,
    )
    return Encoding(kind, look, canvas.frame_size)


def _speed(kind: OutputFormat, size: tuple[int, int]) -> str:
    return LARGE_SPEED if kind.extension == ".mp4" and size[0] * size[1] >= LARGE_PIXELS else "medium"


def make_scene(
    motion: Motion, source: GeneratorSource, generator: Generator, encoding: Encoding, settings: RenderSettings
) -> Scene:
    """Scene of a render: the motion of the recipe for this song, and the generator in its final size."""
    from audioreactive.chunks.scene import Scene
    from audioreactive.generators.devices import default_batch

    return Scene(
        source=source,
        img_size=generator.img_size,
        device=str(generator.device),
        dtype=generator.dtype,
        fingerprint=generator.fingerprint,
        motion=motion,
        palette=motion.vectors(generator).cpu().numpy(),
        batch=settings.batch or default_batch(generator.device, generator.cost),
        layout=encoding.settings.layout,
        sketched=settings.draft,
    )


def produce(
    production: Production,
    output: Path,
    *,
    workers: int | None = None,
    pool: WorkerPool | None = None,
    cluster: str | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Rendered:
    """Make the video, or finish one that was interrupted.

    Args:
        production: production to render.
        output: path of the video.
        workers: number of worker processes; None: render in this process.
        pool: pool that keeps the workers, with the network in memory, for the next video.
        cluster: Ray cluster that renders: auto or ray://host:port.
        overwrite: replace an existing file.
        fresh: throw away the chunks of another job for this output.
        progress: receives the progress.
    """
    from audioreactive.chunks.budget import Budget
    from audioreactive.chunks.film import Film, make_film
    from audioreactive.chunks.job import Origin, describe_job
    from audioreactive.chunks.plan import chunk_length, plan_chunks
    from audioreactive.chunks.safe_light import SafeLight
    from audioreactive.patches.presets import preset_text

    progress = progress or Silent()
    features, scene, encoding = production.features, production.scene, production.encoding
    if encoding.kind.animation:
        progress.say(encoding.kind.animation.remark)
    text = preset_text(production.preset)
    origin = Origin(features.digest, scene.source.sha256, text)
    fps = encoding.settings.fps
    length = chunk_length(production.settings.chunk, fps, scene.batch)
    frames = range(production.start, production.stop)
    size, rate = production.settings.max_size, production.settings.max_bitrate
    safe = SafeLight(progress) if production.settings.flash_safe else None
    film = Film(
        output=output,
        encoding=encoding,
        chunks=plan_chunks(frames.start, frames.stop, length),
        job=describe_job(scene, encoding, origin, frames=frames, length=length) | _hurry(production.settings),
        song=production.song,
        track=production.settings.track,
        song_digest=features.digest,
        start=frames.start / fps,
        duration=len(frames) / fps,
        preset=text,
        revise=safe,
        fit=Budget(progress, size, rate, safe.look_again if safe else None) if (size, rate) != (None, None) else None,
    )
    executor = _executor(production, workers=workers, pool=pool, cluster=cluster, progress=progress)
    make_film(film, executor, overwrite=overwrite, fresh=fresh, progress=progress)
    return Rendered(output, production.frames, production.preset, production.chosen)


def _executor(
    production: Production, *, workers: int | None, pool: WorkerPool | None, cluster: str | None, progress: Progress
) -> Executor:
    """The executor that makes the chunks."""
    from audioreactive.chunks.deadline import Punctual

    deadline = production.settings.deadline
    usual = _usual_executor(production, workers=workers, pool=pool, cluster=cluster, progress=progress)
    if deadline is None:
        return usual
    settings, hurried = production.encoding.settings, None
    # Workers and clusters keep their encoders; NVENC has nothing to gain.
    if workers is None and cluster is None and production.encoding.kind.video_encoder in ("libx264", "libvpx-vp9"):
        faster = replace(production.encoding, settings=replace(settings, hurried=True))
        quick = replace(production, encoding=faster)
        hurried = _usual_executor(quick, workers=None, pool=None, cluster=None, progress=progress)
    return Punctual(usual, hurried, production.begun + float(deadline), progress)


def _hurry(settings: RenderSettings) -> dict[str, str]:
    """What a deadline adds to the description of a job: the speed of its encoders is not known before."""
    return {} if settings.deadline is None else {"speed": "as a deadline allows"}


def _usual_executor(
    production: Production, *, workers: int | None, pool: WorkerPool | None, cluster: str | None, progress: Progress
) -> Executor:
    from audioreactive.chunks.making import LocalExecutor

    scene, encoding = production.scene, production.encoding
    if workers is not None and cluster is not None:
        raise RenderError("workers of this machine or a cluster make the chunks: give one of the two")
    if cluster is not None:
        from audioreactive.chunks.cluster import RayExecutor

        return RayExecutor(scene, encoding, cluster)
    if workers is not None:
        from audioreactive.chunks.workers import WorkerExecutor

        return WorkerExecutor(scene, encoding, workers, progress, pool)
    return LocalExecutor(lambda: scene.renderer_with(production.generator, say=progress.say), encoding, progress.say)
