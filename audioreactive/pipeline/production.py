"""From a prepared production to its video: chunks, and whoever makes them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from audioreactive.chunks.plan import CHUNK_SECONDS
from audioreactive.errors import RenderError
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


DRAFT_STEP: Final = 2
"""A draft shows every second frame."""
DRAFT_CRF: Final = 26
DRAFT_SPEED: Final = "veryfast"


@dataclass(frozen=True)
class RenderSettings:
    """Everything about a render that is not its recipe."""

    fps: Fraction | None = None
    """None: what the preset was rendered with, else 24."""
    size: tuple[int, int] | None = None
    """(width, height); None: what the preset was rendered with, else the model's own."""
    fit: Fit | None = None
    """None: what the preset was rendered with, else widen."""
    start: Fraction = Fraction(0)
    """Seconds into the song."""
    duration: Fraction | None = None
    """Seconds; None to the end."""
    track: int | None = None
    """Which of several sounds in the song's file, counted from 1; None: the default one, unless it is silent."""
    device: str = "auto"
    precision: Precision = "auto"
    batch: int | None = None
    crf: int = 18
    """Quality of H.264 and VP9: 1 nearly lossless, 18 looks so, 28 small."""
    encoder: VideoEncoder = "auto"
    """Of H.264: NVENC where frames are made on a GPU that has it, else x264."""
    chunk: Fraction = CHUNK_SECONDS
    """Seconds of the video that are made as one piece: what a crash costs at most, and what a worker gets at a time."""
    beat_tracker: BeatTracker = "librosa"
    draft: bool = False
    """A small picture with every second frame, quickly coded; it moves as the whole one does."""
    tempo: float | None = None
    """Beats per minute, where they are known; None: as heard."""
    tempo_range: tuple[float, float] | None = None
    """Beats per minute between which the tempo is looked for."""
    flash_safe: bool = False
    """Keep to three flashes a second, by WCAG 2.2: dim where there are more."""


@dataclass(frozen=True)
class Production:
    """Everything that a render needs, made and checked: what `produce` renders."""

    song: Path
    features: Features
    preset: Preset
    generator: Generator
    """With pictures of the right size."""
    scene: Scene
    encoding: Encoding
    start: int
    """First frame."""
    stop: int
    """One past the last frame."""
    settings: RenderSettings
    chosen: str | None = None
    """Which of many presets was chosen, and with what score, for a person."""

    @property
    def frames(self) -> int:
        """Number of frames of the video."""
        return self.stop - self.start


@dataclass(frozen=True)
class Rendered:
    """What came out."""

    path: Path
    frames: int
    preset: Preset
    chosen: str | None = None
    """Which of many presets was chosen, and with what score, for a person."""


def make_encoding(kind: OutputFormat, canvas: Canvas, fps: Fraction, settings: RenderSettings) -> Encoding:
    """How a render's chunks are coded."""
    from audioreactive.video import VideoSettings
    from audioreactive.video.chunks import ENCODER_THREADS, Encoding

    look = VideoSettings(
        fps=fps,
        size=canvas.size,
        filters=canvas.filters,
        crf=max(settings.crf, DRAFT_CRF) if settings.draft else settings.crf,
        speed=DRAFT_SPEED if settings.draft else "medium",
        layout=kind.best_layout(canvas.filters),
        threads=ENCODER_THREADS,
    )
    return Encoding(kind, look, canvas.frame_size)


def make_scene(
    motion: Motion, source: GeneratorSource, generator: Generator, encoding: Encoding, settings: RenderSettings
) -> Scene:
    """What a render's frames are made of: the recipe's motion for this song, and the generator in its final size."""
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
    """Make the video, or finish one that was begun before and cut short.

    Args:
        production: what to render.
        output: the video's name.
        workers: so many processes make it; None: this one.
        pool: where the workers stay for the next video, with the network in their memory.
        cluster: a Ray cluster makes it: auto or ray://host:port.
        overwrite: replace what has the name already.
        fresh: throw away what another job has left of this output.
        progress: told how far it is.
    """
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
    film = Film(
        output=output,
        encoding=encoding,
        chunks=plan_chunks(frames.start, frames.stop, length),
        job=describe_job(scene, encoding, origin, frames=frames, length=length),
        song=production.song,
        track=production.settings.track,
        song_digest=features.digest,
        start=frames.start / fps,
        duration=len(frames) / fps,
        preset=text,
        revise=SafeLight(progress) if production.settings.flash_safe else None,
    )
    executor = _executor(production, workers=workers, pool=pool, cluster=cluster, progress=progress)
    make_film(film, executor, overwrite=overwrite, fresh=fresh, progress=progress)
    return Rendered(output, production.frames, production.preset, production.chosen)


def _executor(
    production: Production, *, workers: int | None, pool: WorkerPool | None, cluster: str | None, progress: Progress
) -> Executor:
    """Whoever makes the chunks."""
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
    return LocalExecutor(lambda: scene.renderer_with(production.generator, say=progress.say), encoding)
