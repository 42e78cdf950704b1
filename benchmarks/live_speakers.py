"""Sound against picture of a file that is played: clicks, heard through the monitor of the output.

Needs an output that can be recorded, such as PulseAudio's null sink, whose monitor is then the default input:

    pulseaudio -n --daemonize=yes --exit-idle-time=-1 -L "module-null-sink sink_name=out" -L module-native-protocol-unix
"""

from __future__ import annotations

import argparse
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import soundfile

from audioreactive.generators import open_generator
from audioreactive.live.clock import RealClock
from audioreactive.live.devices import open_portaudio
from audioreactive.live.inputs import FileInput
from audioreactive.live.loop import Loop
from audioreactive.live.perform import Performance, prepare
from audioreactive.live.presets import opening_presets
from audioreactive.live.speakers import play

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.live.show import Show

RATE: Final = 44_100
CLICK: Final = np.hanning(400) * np.sin(0.5 * np.arange(400))
LOUD: Final = 0.2
"""Sample from which a click is heard."""


class Monitor:
    """What the computer plays, with the time of each sample."""

    def __init__(self) -> None:
        self.blocks: list[tuple[float, NDArray[np.float32]]] = []
        self.stream = open_portaudio().InputStream(
            samplerate=RATE, channels=1, blocksize=RATE // 100, latency="low", callback=self._take
        )
        self.stream.start()

    def _take(self, data: Any, frames: int, times: Any, status: Any) -> None:
        now = time.perf_counter() - (times.currentTime - times.inputBufferAdcTime)
        self.blocks.append((now, np.array(data[:, 0])))

    def peaks(self) -> NDArray[np.float64]:
        """Times of the clicks."""
        found = [
            at + int(np.abs(block).argmax()) / RATE for at, block in self.blocks if np.abs(block).max(initial=0) > LOUD
        ]
        return np.array([at for k, at in enumerate(found) if k == 0 or at - found[k - 1] > 0.5])


class Watched:
    """A screen that notes when each picture was there, how much sound it knew, and when the file began by its clock."""

    def __init__(self, show: Show, heard: FileInput) -> None:
        self._show, self._heard = show, heard
        self.pictures: list[tuple[float, float, float]] = []

    def show(self, pixels: NDArray[np.uint8], word: str) -> None:
        """Note a picture."""
        assert self._heard.speakers is not None
        began = time.perf_counter() - self._heard.speakers.heard()
        self.pictures.append((time.perf_counter(), self._show.seconds, began))

    def closed(self) -> bool:
        """Never."""
        return False


def main() -> None:
    """Print how much later than its sound the first picture is that knows of a click."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    asked = parser.parse_args()
    sound = np.zeros(asked.seconds * RATE)
    for second in range(1, asked.seconds):
        sound[second * RATE :][: len(CLICK)] = 0.8 * CLICK
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clicks.wav"
        soundfile.write(path, np.stack((sound, sound), axis=1), RATE)
        heard = FileInput(path)
        presets = opening_presets(["pulse"])
        show, _ = prepare(Performance(presets[0], presets, size=(160, 90)), open_generator("painter"))
        monitor, screen = Monitor(), Watched(show, heard)
        play(heard)
        loop = Loop(show, heard, [screen], RealClock(), fps=Fraction(60))
        loop.run(asked.seconds)
        monitor.stream.close()
        heard.close()
    # A click is loudest in its middle; a picture knows it when it has heard so much.
    clicks, late, off = monitor.peaks(), [], []
    for second in range(2, asked.seconds - 1):
        middle = second + len(CLICK) / 2 / RATE
        knows = next(((at, began) for at, seconds, began in screen.pictures if seconds >= middle), None)
        near = clicks[np.abs(clicks - knows[0]) < 0.4] if knows else clicks[:0]
        if knows is not None and len(near):
            late.append(1000 * (knows[0] - near[0]))
            off.append(1000 * (knows[1] + middle - near[0]))
    if not late:
        raise SystemExit("no click was heard: make the monitor of the output the default input")
    low, half, high = np.percentile(late, (10, 50, 90))
    print(f"{len(late)} clicks: picture {half:.0f} ms after its sound (10 to 90 of 100: {low:.0f} to {high:.0f} ms)")
    low, half, high = np.percentile(off, (10, 50, 90))
    print(f"clock {half:.0f} ms after the sound ({low:.0f} to {high:.0f} ms)")
    print(f"{loop.measured.frames} pictures; sound to picture {loop.measured.report()['latency_ms_median']:.0f} ms")


if __name__ == "__main__":
    main()
