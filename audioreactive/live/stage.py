"""What surrounds the loop: window, recording, controls and page, each only if it was asked for."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from audioreactive.errors import VideoError
from audioreactive.live.deck import Deck
from audioreactive.live.devices import DeviceInput
from audioreactive.live.inputs import FileInput, RawInput
from audioreactive.live.midi import MidiControls, MidiPort
from audioreactive.live.osc import OscIn, OscOut
from audioreactive.live.recording import Recording, SoundFile
from audioreactive.live.serving import Served
from audioreactive.live.window import Window
from audioreactive.media.audio import ANALYSIS_RATE
from audioreactive.patches.presets import preset_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from fractions import Fraction

    import numpy as np
    from numpy.typing import NDArray

    from audioreactive.live.loop import Loop
    from audioreactive.patches.preset import Preset


@dataclass(frozen=True)
class Extras:
    """Settings of a performance beside its picture: window, recording, controls, page."""

    window: bool = True
    fullscreen: bool = False
    display: int | None = None
    record: Path | None = None
    overwrite: bool = False
    osc: int | None = None
    osc_to: str | None = None
    midi: str | None = None
    mapping: Path | None = None
    serve: int | None = None
    say: Callable[[str], None] = print
    """Function that shows a sentence to the person at the terminal."""


@contextlib.contextmanager
def staged(
    extras: Extras, loop: Loop, presets: tuple[Preset, ...], size: tuple[int, int], fps: Fraction
) -> Iterator[None]:
    """Open what was asked for, and close it at the end.

    Raises:
        LiveError, VideoError, RenderError: something cannot be opened; what was opened before is closed.
    """
    deck = Deck(loop, presets)
    loop.screens.append(deck)
    with contextlib.ExitStack() as stack:
        controls = MidiControls(deck, loop, extras.mapping)
        if extras.midi is not None:
            stack.callback(MidiPort(extras.midi, controls).close)
        if extras.osc is not None:
            stack.callback(OscIn(extras.osc, deck).close)
        if extras.osc_to is not None:
            stack.callback(OscOut(extras.osc_to, loop, deck).close)
        if extras.serve is not None:
            served = Served(extras.serve, deck)
            stack.callback(served.close)
            loop.screens.append(served)
            extras.say(served.address)
        if extras.record is not None:
            stack.enter_context(_recorded(extras, loop, size, fps))
        if extras.window:
            window = Window(size, _keys(deck, controls), fullscreen=extras.fullscreen, display=extras.display)
            stack.callback(window.close)
            loop.screens.append(window)
        yield


def _keys(deck: Deck, controls: MidiControls) -> dict[str, Callable[[], None]]:
    """What the keys do, beside those of the window itself."""
    keys: dict[str, Callable[[], None]] = {
        "N": lambda: deck.ask("next"),
        "R": lambda: deck.ask("reroll"),
        "B": lambda: deck.ask("black"),
        "C": lambda: deck.ask("freeze"),
        "0": lambda: deck.ask("reset"),
        "L": controls.learn,
    }
    for number in range(1, 10):
        keys[str(number)] = functools.partial(deck.ask, "preset", number)
    return keys


@contextlib.contextmanager
def _recorded(extras: Extras, loop: Loop, size: tuple[int, int], fps: Fraction) -> Iterator[None]:
    """Record what is shown; the video is finished at the end."""
    assert extras.record is not None
    recording = Recording(extras.record, size, fps, overwrite=extras.overwrite, in_real_time=not loop.clock.simulated)
    kept = None
    sound = loop.sound
    if isinstance(sound, DeviceInput | RawInput):
        kept = SoundFile(recording.folder / "heard.wav", sound.rate, sound.channels)
        sound.begin()
        sound.tap = kept.add
    screen = _Recorder(recording, loop)
    loop.screens.append(screen)
    try:
        yield
        heard = sound.path if isinstance(sound, FileInput) else None
        if kept is not None:
            kept.close()
            heard = kept.path
            if kept.problem:
                raise VideoError(f"the sound could not be kept: {kept.problem}")
        title = Path(sound.name).stem
        recording.finish(heard, loop.show.seconds, preset_text(loop.show.preset), title)
    finally:
        recording.abandon()


class _Recorder:
    """The recording as a screen of the loop."""

    def __init__(self, recording: Recording, loop: Loop) -> None:
        self._recording, self._loop = recording, loop

    def show(self, pixels: NDArray[np.uint8], word: str) -> None:
        """Take a picture, at the place of the sound that was heard for it."""
        lost = self._loop.sound.lost / ANALYSIS_RATE
        self._recording.add(pixels, self._loop.show.seconds + lost)

    def closed(self) -> bool:
        """Never."""
        return False
