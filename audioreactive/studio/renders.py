"""The queue of finished videos: one at a time, with progress, cancelling, and going on where a render stopped."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from audioreactive.errors import AudioReactiveError, Cancelled, OutputError, RenderError, shown
from audioreactive.generators import parse_size
from audioreactive.patches.fields import Part
from audioreactive.pipeline.listening import parse_frame_rate
from audioreactive.pipeline.planning import plan_render
from audioreactive.pipeline.preparing import prepare
from audioreactive.pipeline.production import RenderSettings, produce
from audioreactive.pipeline.recipe import Recipe
from stylegan_ops import StyleGANError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from audioreactive.generators import LoadedGenerator
    from audioreactive.patches.preset import Preset
    from audioreactive.progress import Advance

MOST_JOBS: Final = 64
"""Most videos in the queue, finished ones included."""
TOLD_EVERY: Final = 0.2
"""Seconds between two reports of the progress, at least."""
FORMATS: Final = (".mp4", ".webm", ".mov", ".mkv", ".gif", ".webp")
_NAME: Final = re.compile(r"[^/\\\x00-\x1f]{1,120}")


class Delivery(Part):
    """One video that the page asks for."""

    name: Annotated[str, Field(min_length=1, max_length=120)]
    """File name without folder and ending."""
    format: Literal[".mp4", ".webm", ".mov", ".mkv", ".gif", ".webp"] = ".mp4"
    size: Annotated[str, Field(max_length=20)] = "1080p"
    fit: Literal["widen", "crop", "pad", "stretch"] | None = None
    flash_safe: bool = False
    loop: bool = False
    draft: bool = False
    start: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    duration: Annotated[float, Field(gt=0, le=86_400)] | None = None
    fps: Annotated[str, Field(max_length=20)] | None = None
    """Frames a second; None: the project's."""
    folder: Annotated[str, Field(max_length=4096)] | None = None
    """One of the folders that were named at the start; None: the song's."""

    def output(self, folders: Sequence[Path]) -> Path:
        """Return the path of the video in one of these folders, the first if none is named.

        Raises:
            RenderError: the name or the folder cannot be used.
        """
        folder = next((one for one in folders if self.folder in (None, str(one))), None)
        if folder is None:
            raise RenderError(f"videos cannot be saved in {shown(self.folder)}: name the folder with --folder")
        name = self.name.strip()
        if _NAME.fullmatch(name) is None or name.startswith("."):
            raise RenderError(f"a video cannot be called {name[:60]!r}: give a name without slashes and dots in front")
        return folder / f"{name}{self.format}"


@dataclass
class Job:
    """A video in the queue."""

    number: int
    delivery: Delivery
    output: Path
    preset: Preset
    state: Literal["waiting", "rendering", "done", "cancelled", "failed"] = "waiting"
    stage: str = ""
    done: int = 0
    total: int = 0
    message: str = ""
    begun: float = 0.0
    at_begin: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)

    def described(self) -> dict[str, Any]:
        """Return the job for the page."""
        left = None
        if self.state == "rendering" and self.done > self.at_begin and self.stage == "rendering":
            left = (time.monotonic() - self.begun) * (self.total - self.done) / (self.done - self.at_begin)
        return {
            "number": self.number, "name": self.output.name, "state": self.state, "stage": self.stage,
            "done": self.done, "total": self.total, "left": left, "message": self.message,
            "size": self.delivery.size, "bytes": self.output.stat().st_size if self._is_there() else None,
        }  # fmt: skip

    def _is_there(self) -> bool:
        return self.state == "done" and self.output.is_file()


class Renders:
    """Renders videos, in the order in which they were asked for.

    Args:
        folders: folders in which videos may be saved; the first is the usual one.
        tell: called whenever something has changed, from the rendering thread.
        jobs: the queue as it was left.
        keep: called with all jobs whenever one has come, ended or been cancelled, one call at a time.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        tell: Callable[[], None],
        *,
        jobs: Sequence[Job] = (),
        keep: Callable[[Sequence[Job]], None] = lambda jobs: None,
    ) -> None:
        self.folders, self._tell, self._keep = tuple(folders), tell, keep
        self.jobs: list[Job] = list(jobs)
        self._changed = threading.Condition()
        self._stopped = False
        self._open: Callable[[], tuple[Path, int | None, dict[str, Path], LoadedGenerator, Fraction]] | None = None
        self._thread = threading.Thread(target=self._work, name="renders", daemon=True)
        self._thread.start()

    def use(self, opened: Callable[[], tuple[Path, int | None, dict[str, Path], LoadedGenerator, Fraction]]) -> None:
        """Set the function that returns (song, track, stems, generator, frame rate) of the open project."""
        self._open = opened

    def add(self, delivery: Delivery, preset: Preset) -> Job:
        """Put a video into the queue; one of the same name that was cancelled goes on where it stopped.

        Raises:
            RenderError: the name, the size or the rate cannot be used, or another job has the name.
        """
        output = delivery.output(self.folders)
        parse_size(delivery.size)
        if delivery.fps is not None:
            parse_frame_rate(delivery.fps)
        with self._changed:
            if any(job.output == output and job.state in ("waiting", "rendering") for job in self.jobs):
                raise RenderError(f"{output.name} is in the queue already: choose another name")
            if len(self.jobs) >= MOST_JOBS:
                del self.jobs[0]
            job = Job(self._next_number(), delivery, output, preset)
            self.jobs = [other for other in self.jobs if other.output != output]
            self.jobs.append(job)
            self._kept()
            self._changed.notify_all()
        self._tell()
        return job

    def cancel(self, number: int) -> None:
        """Cancel a job; its finished chunks are kept."""
        with self._changed:
            for job in self.jobs:
                if job.number == number:
                    job.cancelled.set()
                    if job.state == "waiting":
                        job.state = "cancelled"
            self._kept()
        self._tell()

    def resume(self, number: int) -> None:
        """Put a cancelled or failed job into the queue again; it goes on from its finished chunks."""
        with self._changed:
            for job in self.jobs:
                if job.number == number and job.state in ("cancelled", "failed"):
                    job.cancelled.clear()
                    job.state, job.message = "waiting", ""
            self._kept()
            self._changed.notify_all()
        self._tell()

    def video(self, number: int) -> Path | None:
        """Return the finished video of a job."""
        return next((job.output for job in self.jobs if job.number == number and job.state == "done"), None)

    @property
    def busy(self) -> bool:
        """Whether a video is being rendered."""
        return any(job.state == "rendering" for job in self.jobs)

    def stop(self) -> None:
        """Cancel everything and end the thread."""
        with self._changed:
            self._stopped = True
            for job in self.jobs:
                job.cancelled.set()
            self._changed.notify_all()
        self._thread.join()

    def _next_number(self) -> int:
        return max((job.number for job in self.jobs), default=0) + 1

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (job := self._waiting()) is None:
                    self._changed.wait()
                if self._stopped or job is None:
                    return
                job.state = "rendering"
            self._tell()
            try:
                self._render(job)
                job.state = "done"
            except Cancelled:
                job.state = "cancelled"
            except (AudioReactiveError, StyleGANError, OSError) as error:
                job.state, job.message = "failed", str(error)
            with self._changed:
                self._kept()
            self._tell()

    def _kept(self) -> None:
        """Keep the queue; a disk that is full takes nothing from what is rendered."""
        with contextlib.suppress(OutputError):
            self._keep(self.jobs)

    def _waiting(self) -> Job | None:
        return next((job for job in self.jobs if job.state == "waiting"), None)

    def _render(self, job: Job) -> None:
        assert self._open is not None
        song, track, stems, loaded, fps = self._open()
        progress = ToldProgress(job, self._tell)
        wanted = job.delivery
        plan = plan_render(
            song,
            job.output,
            model=loaded,
            recipe=Recipe(preset=job.preset),
            settings=RenderSettings(
                fps=fps if wanted.fps is None else parse_frame_rate(wanted.fps),
                size=parse_size(wanted.size),
                fit=wanted.fit,
                start=Fraction(wanted.start).limit_denominator(1000),
                duration=None if wanted.duration is None else Fraction(wanted.duration).limit_denominator(1000),
                track=track,
                flash_safe=wanted.flash_safe,
                loop=wanted.loop,
                draft=wanted.draft,
            ),
            stems=stems,
            progress=progress,
        )
        produce(prepare(plan, progress), job.output, overwrite=True, fresh=True, progress=progress)


class ToldProgress:
    """Progress of a job; raises `Cancelled` at the next step after the job was cancelled."""

    def __init__(self, job: Job, tell: Callable[[], None]) -> None:
        self.job, self._tell, self._last = job, tell, 0.0

    def say(self, message: str) -> None:
        """Keep the last remark for the page."""
        self.job.message = message[:500]

    @contextlib.contextmanager
    def track(self, stage: str, total: int, unit: str) -> Iterator[Advance]:
        """Track a stage."""
        job = self.job
        job.stage, job.total, job.done = stage, total, 0
        job.begun, job.at_begin = time.monotonic(), 0

        def advance(count: int) -> None:
            if job.cancelled.is_set():
                raise Cancelled(f"cancelled while {stage}, at {job.done} of {total}")
            if job.done == 0:
                job.at_begin = count  # finished chunks from before come first, all at once
            job.done += count
            if time.monotonic() - self._last > TOLD_EVERY:
                self._last = time.monotonic()
                self._tell()

        yield advance
