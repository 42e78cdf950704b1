"""A performance: what was asked for, checked, and then played."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audioreactive.errors import LiveError, shown
from audioreactive.live.clock import RealClock, SimulatedClock
from audioreactive.live.inputs import FileInput, RawInput
from audioreactive.live.loop import Loop, NoScreen
from audioreactive.live.motion import what_waits
from audioreactive.live.safety import FlashLimiter
from audioreactive.live.show import Show, check_patch
from audioreactive.live.speakers import LEAD
from audioreactive.live.stage import Extras, staged

if TYPE_CHECKING:
    from audioreactive.generators import LoadedGenerator
    from audioreactive.live.inputs import SoundInput
    from audioreactive.patches.preset import Preset

LIVE_FPS: Final = Fraction(60)
"""Most pictures a second if nobody asks for another rate: what most displays show."""
LIVE_SIZE: Final = (1280, 720)
"""Size of the painter's pictures if nobody asks for another."""


@dataclass(frozen=True)
class Performance:
    """Settings of a performance."""

    preset: Preset
    presets: tuple[Preset, ...] = ()
    """Presets that the keys 1 to 9 and N play."""
    size: tuple[int, int] | None = None
    fps: Fraction = LIVE_FPS
    seconds: float | None = None
    """Length; None: until the input ends or the person is done."""
    simulated: bool = False
    cost: float | None = None
    """Seconds that a picture takes under the simulated clock; None: as measured."""
    every_pixel: bool = False
    """Whether every pixel is painted, however long it takes."""
    flashes: bool = False
    """Whether flashes are shown as they come."""
    extras: Extras = field(default_factory=Extras)


def open_input(text: str | None, *, simulated: bool, rate: int, channels: int, again: bool = False) -> SoundInput:
    """Open an input by what a person wrote: a file, `-` for standard input, `loopback`, a device, or nothing.

    Raises:
        LiveError: there is no such input.
        AudioError: the file cannot be used.
    """
    if text == "-":
        if simulated:
            raise LiveError("standard input comes in real time: leave --clock simulated out, or give a file")
        return RawInput(rate=rate, channels=channels)
    if text is not None and (Path(text).is_file() or Path(text).suffix):
        return FileInput(Path(text), again=again)
    if simulated:
        raise LiveError(
            f"a simulated clock needs a file as --input, and {shown(text) if text else 'none'} was given: devices are "
            "in real time"
        )
    from audioreactive.live.devices import open_device

    try:
        return open_device(text)
    except LiveError:
        if text is not None and Path(text).is_dir():
            raise LiveError(f"{shown(text)} is a folder, and no device has that name: give a sound file") from None
        raise


def perform(asked: Performance, loaded: LoadedGenerator, sound: SoundInput) -> dict[str, Any]:
    """Play until the end; return the report.

    Raises:
        LiveError: the preset needs what live sound does not have, or no sound came.
    """
    for preset in (asked.preset, *asked.presets):
        check_patch(preset.patch)
    show, size = prepare(asked, loaded)
    clock = SimulatedClock(asked.cost) if asked.simulated else RealClock()
    limiter = None if asked.flashes else FlashLimiter(size)
    silent = NoScreen()
    sound.begin()
    loop = Loop(show, sound, [silent], clock, fps=asked.fps, limiter=limiter)
    loop.log = asked.extras.say
    with staged(asked.extras, loop, asked.presets or (asked.preset,), size, asked.fps):
        clock.begin()
        with contextlib.suppress(KeyboardInterrupt):  # the usual end of what has none
            loop.run(asked.seconds)
        seconds = clock.now()
    measured = loop.measured
    heard = isinstance(sound, FileInput) and sound.speakers is not None
    return measured.report(
        picture_after_sound_ms=measured.milliseconds_after(sound.delay + LEAD) if heard else None,
        seconds=round(seconds, 3),
        seconds_heard=round(show.seconds, 3),
        fps=round(measured.frames / max(seconds, 1e-9), 2),
        clock="simulated" if asked.simulated else "real",
        input=sound.name,
        generator=loaded.source.name,
        preset=show.preset.name,
        size=list(size),
        painted=list(show.sizing.painted),
        held_back=limiter.held_back if limiter else None,
        tempo=round(show.foretold.tempo, 2),
        tempo_confidence=round(show.foretold.confidence, 3),
        words=silent.words,
        not_live=list(what_waits(show.preset)),
    )


def prepare(asked: Performance, loaded: LoadedGenerator) -> tuple[Show, tuple[int, int]]:
    """Make the show in its size; the first picture is painted, so that the second takes no longer than others."""
    from audioreactive.generators import plan_canvas

    wanted = asked.size
    if wanted is None and len(loaded.generator.noise_sizes) and loaded.source.name.startswith("painter"):
        wanted = LIVE_SIZE
    canvas = plan_canvas(loaded.generator, size=wanted, fit="widen")
    generator = loaded.generator.resized((canvas.frame_size[1], canvas.frame_size[0]))
    names = tuple(dict.fromkeys(name for preset in asked.presets for name in preset.patch.feature_names()))
    adapts = asked.cost is None and not asked.every_pixel
    show = Show(generator, canvas, asked.preset, names, adapts=adapts)
    for _ in range(2):
        show.paint(0.0)
    return show, canvas.size
