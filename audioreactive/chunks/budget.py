"""Keep a film to a size and a bit rate: code its chunks again at the qualities that fit.

The chunks as they were rendered are the first pass. A quadratic program (`admm`) divides the room among them: of each
chunk's bytes a share y <= 1 stays, so that the sum of (1 - y)² is smallest, the whole file has at most its size, and no
chunk more than its bit rate. Chunks that must shrink are decoded and encoded again, without the network, at the x264 or
VP9 quality (CRF) that gives their bytes: at first by the rule that 6 steps halve them, then between what was measured.
What counts in the end is the length of the joined file.
"""

from __future__ import annotations

import contextlib
import math
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive._support.admm import solve
from audioreactive._support.amounts import bytes_in_words
from audioreactive.chunks.again import GivenUpError, Replay, in_threads
from audioreactive.chunks.making import MOST_ENCODERS, ChunkMaker, available_cores, chunk_name
from audioreactive.chunks.sizes import Trial, choose, picture_bytes
from audioreactive.errors import VideoError
from audioreactive.video.chunks import read_chunks
from audioreactive.video.formats import WORST_CRF

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.chunks.film import Film, Pieces
    from audioreactive.chunks.plan import MadeChunk
    from audioreactive.progress import Progress

MOST_ROUNDS: Final = 12
"""Most rounds of coding again; three or four are usual."""
AIM: Final = 0.99
"""Share of a limit that is aimed at."""
LEAST_SHARE: Final = 0.98
"""Share of the size from which a file is accepted."""
ITERATIONS: Final = 500
"""Iterations of the quadratic program. Twenty, as in the paper, keep the limits too, but are further from the best."""
MARGIN: Final = 1.02
"""Factor on the least that is told to be possible."""
SHORTEST: Final = 1.0
"""Shortest time in seconds over which a bit rate is taken: a last chunk of few frames is one expensive key frame."""


@dataclass(frozen=True)
class Budget:
    """Limits of a film, and how it is made to keep them; see `film.Fitting`."""

    progress: Progress
    size: int | None = None
    """Most bytes of the file."""
    rate: int | None = None
    """Most bits a second of picture and sound together, over each chunk."""
    look: Callable[[Film, Mapping[int, Pieces], Path], None] | None = None
    """Function that looks at the chunks once more if they were coded again."""

    def check_sound(self, film: Film, size: int, made: MadeChunk, folder: Path) -> None:
        """Raise VideoError if the sound alone has more bytes than the whole file may have.

        The least that is possible is foretold from the chunk that is there, at the worst quality.
        """
        if size < self.most(film):
            return
        place = next(i for i, chunk in enumerate(film.chunks) if chunk.index == made.index)
        worst = Trial(WORST_CRF, film.encoding.kind.crf_step or 1, made.bytes).worst
        coder = _Coder(film, {made.index: ((made.name, made.frames),)}, folder, self.progress)
        least = coder.code({place: worst})[place] / made.frames * sum(map(len, film.chunks)) + size
        raise VideoError(
            f"{self._limits()} was asked for, and the sound alone has {bytes_in_words(size)}: with the worst picture "
            f"about {self._as_asked(film, 1.1 * least)} are possible; give so much, or a smaller --size or --fps"
        )

    def most(self, film: Film) -> float:
        """Most bytes of the file."""
        size = math.inf if self.size is None else self.size
        return size if self.rate is None else min(size, self.rate * float(film.duration) / 8)

    def _limits(self) -> str:
        limits = [f"--max-size {bytes_in_words(self.size)}"] if self.size is not None else []
        return " with ".join([*limits, *([f"--max-bitrate {_thousands(self.rate)}"] if self.rate is not None else [])])

    def _as_asked(self, film: Film, size: float) -> str:
        """A size as the option that is broken takes it, rounded up."""
        if self.size is not None and size > self.size:
            return f"{math.ceil(size / 1000)}kB"
        return f"{math.ceil(8 * size / float(film.duration) / 1000)}k"

    def __call__(
        self, film: Film, pieces: Mapping[int, Pieces], folder: Path, joined: Callable[[Mapping[int, Pieces]], int]
    ) -> Mapping[int, Pieces]:
        """Files of all chunks that keep to the limits; the ones given, if these do."""
        fps, crf, step = film.encoding.settings.fps, film.encoding.settings.crf, film.encoding.kind.crf_step
        assert step is not None, "the format was checked"
        size = joined(pieces)
        trials = [
            Trial(crf, step, sum(picture_bytes(folder / name) for name, _ in pieces[chunk.index]))
            for chunk in film.chunks
        ]
        most = self.most(film)
        seconds = np.array([max(len(chunk) / fps, SHORTEST) for chunk in film.chunks], np.float64)
        share = np.array([len(chunk) for chunk in film.chunks]) / sum(map(len, film.chunks))
        room = _Room(self, most, seconds, share, size - sum(trial.rendered for trial in trials))
        if size <= room.size and all(trial.rendered <= most for trial, most in zip(trials, room.caps, strict=True)):
            self.progress.say(f"{film.output.name} has {bytes_in_words(size)}: nothing had to be given up")
            return pieces
        fitted = _Coder(film, pieces, folder, self.progress)
        found = self._search(trials, room, fitted, joined)
        self.progress.say(_report(film, size, found, trials, self))
        files = fitted.files(found.crfs)
        if self.look:
            self.look(film, files, folder)
        return files

    def _search(
        self, trials: list[Trial], room: _Room, coder: _Coder, joined: Callable[[Mapping[int, Pieces]], int]
    ) -> _Found:
        """The qualities that make the largest file within the limits; stops at one that is large enough."""
        best: _Found | None = None
        for _ in range(MOST_ROUNDS):
            wanted = room.wanted(trials)
            again = {i: crf for i, trial in enumerate(trials) if (crf := trial.next(wanted[i])) is not None}
            for i, count in coder.code(again).items():
                trials[i].tried[again[i]] = count
            crfs = choose(trials, wanted, room.caps, room.size - room.overhead)
            if crfs is not None and not (best and crfs == best.crfs):
                size = joined(coder.files(crfs))
                room = replace(room, overhead=size - sum(t.bytes(c) for t, c in zip(trials, crfs, strict=True)))
                if size <= room.size and (best is None or size > best.size):
                    best = _Found(size, crfs)
            if best and (not again or best.size >= LEAST_SHARE * room.size):
                return best
            if not again:
                break
        if best is None:
            raise room.refusal(trials)
        return best


@dataclass(frozen=True)
class _Found:
    """A file that keeps to the limits."""

    size: int
    crfs: tuple[float | None, ...]
    """Quality of each chunk; None: as it was rendered."""


@dataclass(frozen=True)
class _Room:
    """Bytes that the chunks may have."""

    budget: Budget
    size: float
    """Most bytes of the file."""
    seconds: NDArray[np.float64]
    """Seconds over which each chunk's bit rate is taken."""
    share: NDArray[np.float64]
    """Share of the video's frames that each chunk has."""
    overhead: int
    """Bytes of the file that are not picture: sound, container, tags."""

    @property
    def caps(self) -> NDArray[np.float64]:
        """Most bytes of each chunk's picture by the bit rate."""
        if self.budget.rate is None:
            return np.full(len(self.share), np.inf)
        return np.asarray(self.budget.rate * self.seconds / 8 - self.overhead * self.share)

    def wanted(self, trials: list[Trial]) -> NDArray[np.float64]:
        """Bytes to aim at for each chunk, by the quadratic program."""
        rendered = np.array([trial.rendered for trial in trials], np.float64)
        low = np.minimum([trial.least() for trial in trials], rendered) / rendered
        high = np.maximum(np.minimum(AIM * self.caps / rendered, 1), low)
        total = AIM * self.size - self.overhead
        if low @ rendered >= total:
            return rendered * low
        if not math.isfinite(total):
            return rendered * high
        # In units of the largest chunk, so that the rounding of huge numbers plays no part.
        unit = rendered.max()
        y = solve(np.ones(len(trials)), rendered[None] / unit, np.array([total / unit]), low, high,
                  iterations=ITERATIONS)  # fmt: skip
        return np.asarray(rendered * y)

    def refusal(self, trials: list[Trial]) -> VideoError:
        """The error that says the least that is possible."""
        least = np.array([trial.least() for trial in trials])
        size, whole = self.budget.size, (float(least.sum()) + self.overhead) * MARGIN
        less = "give so much, or a smaller --size, --fps or --duration"
        if size is not None and whole > size:
            told = f"--max-size is {bytes_in_words(size)}, and even at the worst quality the video has more"
            return VideoError(f"{told}: {math.ceil(whole / 1000)}kB are possible; {less}")
        seconds = self.size * 8 / self.budget.rate if self.budget.rate else 1.0
        rate = MARGIN * max(float((8 * (least + self.overhead * self.share) / self.seconds).max()), 8 * whole / seconds)
        told = f"--max-bitrate is {_thousands(self.budget.rate or 0)}, and even at the worst quality a chunk has more"
        return VideoError(f"{told}: {math.ceil(rate / 1000)}k are possible; {less}")


@dataclass
class _Coder:
    """Codes chunks again from what was rendered; every version is kept, under a name with its quality."""

    film: Film
    pieces: Mapping[int, Pieces]
    folder: Path
    progress: Progress
    given_up: threading.Event = field(default_factory=threading.Event)

    def code(self, crfs: Mapping[int, float]) -> dict[int, int]:
        """Code chunks at these qualities; (place of the chunk in the film) -> bytes of its picture."""
        if not crfs:
            return {}
        parts = [((i, crf), len(self.film.chunks[i])) for i, crf in crfs.items()]
        at_once = min(max(available_cores() // 2, 1), MOST_ENCODERS)
        return dict(in_threads(self.progress, "fitting", self._code, parts, at_once=at_once, given_up=self.given_up))

    def files(self, crfs: tuple[float | None, ...]) -> dict[int, Pieces]:
        """Files of all chunks at these qualities; None: as they were rendered."""
        return {
            chunk.index: self.pieces[chunk.index] if crf is None else ((self._name(chunk.index, crf), len(chunk)),)
            for chunk, crf in zip(self.film.chunks, crfs, strict=True)
        }

    def _code(self, part: tuple[int, float]) -> tuple[int, int]:
        place, crf = part
        chunk, again = self.film.chunks[place], self.film.encoding.finished()
        again = replace(again, settings=replace(again.settings, crf=crf))
        names = [name for name, _ in self.pieces[chunk.index]]
        frames = read_chunks(self.film.encoding, self.folder, names, layout=again.settings.layout, threads=1)
        with contextlib.closing(frames):
            maker = ChunkMaker(Replay(frames), again, self.folder, treat=self._go_on, kind=_kind(crf))
            for _ in maker.make([chunk], lambda count: None):
                pass
        return place, picture_bytes(self.folder / self._name(chunk.index, crf))

    def _name(self, index: int, crf: float) -> str:
        return chunk_name(index, self.film.encoding.suffix, _kind(crf))

    def _go_on(self, first: int, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.given_up.is_set():
            raise GivenUpError
        return frames


def _kind(crf: float) -> str:
    """First word of the name of a chunk that was coded again at this quality."""
    return f"crf{round(crf * 1000):05d}"


def _report(film: Film, before: int, found: _Found, trials: list[Trial], budget: Budget) -> str:
    """Sentence about what was given up where."""
    usual = film.encoding.settings.crf
    crfs = np.array([usual if crf is None else crf for crf in found.crfs])
    counts = np.array([len(chunk) for chunk in film.chunks])
    limits = [f"at most {bytes_in_words(budget.size)}"] if budget.size is not None else []
    limits += [f"at most {_thousands(budget.rate)} bits a second"] if budget.rate is not None else []
    worst = int(np.argmax(crfs))
    chunk, fps = film.chunks[worst], film.encoding.settings.fps
    place = "-".join(_clock(float(frame / fps)) for frame in (chunk.start, chunk.stop))
    kept = sum(crf is None for crf in found.crfs)
    untouched = f"; {kept} of {len(crfs)} chunks stay as they were" if kept else ""
    if budget.rate is None and found.size < LEAST_SHARE * budget.most(film):
        untouched += "; no quality of so few chunks comes closer"
    average = float(crfs @ counts / counts.sum())
    return (
        f"{film.output.name} has {bytes_in_words(found.size)} instead of {bytes_in_words(before)}, to have "
        f"{' and '.join(limits)}: the quality is crf {average:.1f} on average instead of {usual:g}, "
        f"and at worst {crfs.max():.1f} at {place} of the song{untouched}"
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _thousands(rate: int) -> str:
    """Bits a second as the option takes them: 4M, 800k."""
    return f"{rate / 10**6:g}M" if rate >= 10**6 else f"{rate / 1000:g}k"
