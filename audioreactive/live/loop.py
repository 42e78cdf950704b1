"""The loop: sound in, picture out; the latest state only, never a queue.

Each round takes all sound that has come in, hears it, paints one picture and shows it. If painting takes longer than a
frame, pictures are left out, and the delay does not grow: what came in meanwhile is heard at once, and the next picture
begins with the next capture block, as soon as that is in (unless it would be late anyway).
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from audioreactive.errors import LiveError
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from audioreactive.live.clock import Clock
    from audioreactive.live.inputs import SoundInput
    from audioreactive.live.safety import FlashLimiter
    from audioreactive.live.show import Show

    Pixels = NDArray[np.uint8]

QUIET: Final = 10 ** (-70 / 20)
"""Level below which it is silent."""
QUIET_SECONDS: Final = 5.0
"""Seconds of silence after which the screen says so."""
LOUD: Final = 0.999
"""Sample from which a sound is clipped."""
CLIPPED_SHARE: Final = 0.01
"""Share of clipped samples from which the screen says so."""
WORD_SECONDS: Final = 3.0
PARTS: Final = ("capture block", "features", "motion", "generator", "flash limiter", "upload")
WORTH_WAITING: Final = 0.05
"""Seconds of work for a picture up to which it waits for the next block; beyond, the picture is late anyway."""
SMALLER: Final = "this machine is slow: fewer pixels are painted, to stay in time"
WHOLE: Final = "there is time again: every pixel is painted"
MEASURED: Final = 36_000
"""Most pictures of which measurements are kept: the last ones."""


class Screen(Protocol):
    """Place where pictures are shown."""

    def show(self, pixels: Pixels, word: str) -> None:
        """Show a picture (H, W, 3), and a word of trouble if there is one; return when it is on its way."""
        ...

    def closed(self) -> bool:
        """Whether the person is done."""
        ...


class NoScreen:
    """A screen for nobody: pictures are made and measured."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def show(self, pixels: Pixels, word: str) -> None:
        """Keep what was said."""
        if word and (not self.words or self.words[-1] != word):
            self.words = [*self.words[-99:], word]

    def closed(self) -> bool:
        """Never."""
        return False


@dataclass
class Measured:
    """Delays of the pictures that were shown."""

    frames: int = 0
    dropped: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=MEASURED))
    """Seconds from the oldest sample of the newest capture block to the picture that shows it."""
    waits: deque[float] = field(default_factory=lambda: deque(maxlen=MEASURED))
    """Seconds from the oldest sound that a picture is the first to show, to that picture."""
    parts: dict[str, deque[float]] = field(default_factory=lambda: {name: deque(maxlen=MEASURED) for name in PARTS})

    def milliseconds_after(self, moment: float) -> float:
        """Median milliseconds from a moment, in seconds after the oldest sample of a block, to the picture."""
        return round(_milliseconds(self.latencies, 50) - 1000 * moment, 2)

    def report(self, **more: Any) -> dict[str, Any]:
        """Return what a program may want to read."""
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "latency_ms_median": _milliseconds(self.latencies, 50),
            "latency_ms_p95": _milliseconds(self.latencies, 95),
            "oldest_sound_ms_median": _milliseconds(self.waits, 50),
            "oldest_sound_ms_p95": _milliseconds(self.waits, 95),
            "parts_ms": {name: _milliseconds(values, 50) for name, values in self.parts.items()},
            **more,
        }


class Loop:
    """Runs a show.

    Args:
        show: hears and paints.
        sound: the input.
        screens: where pictures go.
        clock: the time.
        fps: most pictures a second.
        limiter: holds flashes back; None: nothing does.
    """

    def __init__(
        self, show: Show, sound: SoundInput, screens: Sequence[Screen], clock: Clock, *, fps: Fraction,
        limiter: FlashLimiter | None = None,
    ) -> None:  # fmt: skip
        self.show, self.sound, self.screens, self.clock = show, sound, list(screens), clock
        self.measured = Measured()
        self.dark = False
        """Whether the picture is black."""
        self.before_frame: list[Callable[[float], None]] = []
        """Called before each picture with the time: controls."""
        self.heard: list[Callable[[NDArray[np.float32]], None]] = []
        """Called with all sound that came in."""
        self.log: Callable[[str], None] = lambda text: None
        """Called with what a person at the terminal may want to know."""
        self._fps, self._limiter = fps, limiter
        self._quiet_since = 0.0
        self._word, self._word_until = "", 0.0
        self._early: list[NDArray[np.float32]] = []
        self._early_level = 0.0
        self._told: set[str] = set()

    def say(self, word: str) -> None:
        """Show a word for some seconds."""
        self._word, self._word_until = word, self.clock.now() + WORD_SECONDS

    def run(self, seconds: float | None = None) -> Measured:
        """Go on until the time is over, the input ends, or the person is done.

        Raises:
            LiveError: the input gave no sound at all.
        """
        period = float(1 / self._fps)
        due, late = 0.0, False
        while not any(screen.closed() for screen in self.screens):
            self.clock.wait_until(due)
            if late:
                self._await_block()
            start = self.clock.now()
            if seconds is not None and start >= seconds:
                break
            self._note_work(self._round(start))
            finished = self.clock.now()
            late = finished > due + period and finished - start < WORTH_WAITING
            due = max(due + period, finished)
            # The pictures that a machine fast enough would have shown by now, less those that were.
            self.measured.dropped = max(int(finished / period) - self.measured.frames, 0)
            if self.sound.ended:
                break
        if not self.show.seconds:
            raise LiveError(f"no sound came from {self.sound.name}: choose another input, see --list-devices")
        return self.measured

    def _await_block(self) -> None:
        """Hear what is in, and wait for the next capture block, so that a picture shows sound that has just come in."""
        now = self.clock.now()
        block = self.sound.next_block(now)
        if block > now:
            samples, level = self._hear(now)
            self._early.append(samples)
            self._early_level = max(self._early_level, level)
            self.clock.wait_until(block)

    def _hear(self, now: float) -> tuple[NDArray[np.float32], float]:
        """Hear what is in; return it, and its level."""
        samples = self.sound.read(now)
        for listener in self.heard:
            listener(samples)
        return samples, self.show.hear(samples)

    def _note_work(self, seconds: float) -> None:
        """Paint fewer or more pixels, by how long a picture took; say it the first time."""
        sizing = self.show.sizing
        before = sizing.is_whole
        sizing.took(seconds)
        if sizing.is_whole != before:
            word = WHOLE if sizing.is_whole else SMALLER
            if word not in self._told:
                self._told.add(word)
                self.say(word)
                self.log(word)

    def _round(self, start: float) -> float:
        """Hear, paint and show once; return how long it took until the picture went to the screens."""
        for control in self.before_frame:
            control(start)
        samples, level = self._hear(start)
        if self._early:
            samples, level = np.concatenate((*self._early, samples)), max(level, self._early_level)
            self._early, self._early_level = [], 0.0
        pixels = self.show.paint(start)
        if self.dark:
            pixels = np.zeros_like(pixels)
        painted = time.perf_counter()
        if self._limiter is not None:
            pixels = self._limiter.limited(pixels, start)
        limiting = time.perf_counter() - painted
        self.clock.worked()
        before = self.clock.now()
        word = self._trouble(samples, level, start)
        for screen in self.screens:
            screen.show(pixels, word)
        self._measure(start, before, limiting, len(samples))
        return before - start

    def _measure(self, start: float, before: float, limiting: float, samples: int) -> None:
        """Note the delays of a picture; `before` is the time at which it went to the screens."""
        measured, parts, finished = self.measured, self.show.parts, self.clock.now()
        measured.frames += 1
        newest = start if self.sound.position is None else self.sound.position
        measured.latencies.append(finished - newest + self.sound.delay)
        if samples:
            measured.waits.append(finished - newest + samples / ANALYSIS_RATE)
        spent = (self.sound.delay, parts.features, parts.motion, parts.generator, limiting, finished - before)
        for name, value in zip(PARTS, spent, strict=True):
            measured.parts[name].append(value)

    def _trouble(self, samples: NDArray[np.float32], level: float, now: float) -> str:
        """Word for the screen; empty if all is well."""
        if self.sound.trouble:
            return self.sound.trouble
        if now < self._word_until:
            return self._word
        if len(samples) and np.mean(np.abs(samples) >= LOUD) > CLIPPED_SHARE:
            self.say("the sound is clipped: turn the input down")
            return self._word
        if not len(samples) or level >= QUIET:
            self._quiet_since = now if level >= QUIET else self._quiet_since
        return "silence" if now - self._quiet_since > QUIET_SECONDS else ""


def _milliseconds(values: deque[float], percentile: float) -> float:
    return round(1000 * float(np.percentile(np.array(values), percentile)), 2) if values else 0.0
