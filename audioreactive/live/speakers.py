"""A file on the loudspeakers, and one clock for sound and picture: the sound's.

A picture takes about LEAD seconds to be made. What comes in a file is known beforehand, so it is analysed that much
before the loudspeakers play it, and sound and picture come together.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from audioreactive.errors import AudioError, LiveError, printable
from audioreactive.live.devices import open_portaudio

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from audioreactive.live.inputs import FileInput
    from audioreactive.media.playback import Playback

    Samples = NDArray[np.int16]

LEAD: Final = 0.045
"""Seconds by which a file is analysed before it is played: from a sound to its picture, with a display's delay."""
BLOCKS: Final = 96
"""Blocks a second that are handed to the device, at least."""
FOLLOW: Final = 0.1
"""Share of a block's deviation from the clock by which the clock is corrected: the system calls at uneven times."""
JUMP: Final = 0.08
"""Seconds of deviation from which the sound has really paused, and the clock is set anew."""
DRAIN: Final = 1.0
"""Most seconds that the end of the sound is waited for."""


class Stream(Protocol):
    """An open output."""

    def start(self) -> None:
        """Begin to ask for samples."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


class Speakers:
    """Plays the samples of a file, and knows which of them is heard now.

    Args:
        playback: decoded file.
        open_stream: function that opens the device, given the function that fills its blocks.
        again: whether the file begins anew at its end.
        now: clock in seconds.
    """

    def __init__(
        self, playback: Playback, open_stream: Callable[[Callable[[Samples, float], None]], Stream], *,
        again: bool = False, now: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        self._playback, self._again, self._now = playback, again, now
        self._place = 0
        self._origin: float | None = None
        self._latest = 0.0
        self._lock = threading.Lock()
        self._started = False
        self._stream = open_stream(self.fill)

    def start(self) -> None:
        """Begin to play; nothing happens if it plays already."""
        if not self._started:
            self._started = True
            self._stream.start()

    def fill(self, block: Samples, delay: float) -> None:
        """Fill a block (n, channels), whose first sample is heard in `delay` seconds; called in the device's thread."""
        count, filled = len(block), 0
        length = max(self._playback.length, 1)
        while filled < count:
            place = (self._place + filled) % length if self._again else self._place + filled
            data = np.frombuffer(self._playback.passage(place, place + count - filled), "<i2")
            rows = data.reshape(-1, self._playback.channels)
            if not len(rows):
                block[filled:] = 0
                break
            block[filled : filled + len(rows)] = rows
            filled += len(rows)
        origin = self._now() + delay - self._place / self._playback.rate
        with self._lock:
            if self._origin is None or abs(origin - self._origin) > JUMP:
                self._origin = origin
            else:
                self._origin += FOLLOW * (origin - self._origin)
            self._place += count

    def heard(self) -> float:
        """Seconds of the file that were heard so far; it never goes back."""
        with self._lock:
            if self._origin is not None:
                self._latest = max(self._latest, self._now() - self._origin)
            return self._latest

    def close(self) -> None:
        """Let what is left be heard, for a moment at most, and let go of the device."""
        until = time.monotonic() + DRAIN
        seconds = self._playback.length / self._playback.rate
        near = self._started and not self._again and seconds - 2 * LEAD < self.heard() < seconds
        while near and self.heard() < seconds and time.monotonic() < until:
            time.sleep(0.01)
        with contextlib.suppress(Exception):  # a device that is gone cannot be closed properly
            self._stream.close()
        self._playback.close()


def play(sound: FileInput) -> None:
    """Let a file be heard while it plays.

    Raises:
        LiveError: sounddevice or PortAudio is missing, or there is no loudspeaker.
        AudioError: the file cannot be decoded for the ear.
    """
    from audioreactive.media.playback import Playback

    device = open_portaudio()
    if not any(found["max_output_channels"] > 0 for found in device.query_devices()):
        raise LiveError("this computer has no output for sound")
    assert sound.audio.recording is not None
    playback = Playback(sound.audio.recording)
    try:
        sound.speakers = Speakers(
            playback, lambda fill: _open_stream(device, playback.rate, playback.channels, fill), again=sound.again
        )
    except Exception as error:
        playback.close()
        if isinstance(error, device.PortAudioError):
            raise LiveError(f"the output for sound cannot be opened ({printable(str(error), 200)})") from error
        raise


def play_or_say(sound: FileInput, say: Callable[[str], None]) -> None:
    """Let a file be heard; where that is not possible, say so, and it is played for the picture alone."""
    try:
        play(sound)
    except (LiveError, AudioError) as error:
        say(f"the file is not heard: {error} (--silent: play it for the picture alone)")


def _open_stream(device: Any, rate: int, channels: int, fill: Callable[[Samples, float], None]) -> Stream:
    def wanted(block: Any, frames: int, times: Any, status: Any) -> None:
        fill(block, max(float(times.outputBufferDacTime - times.currentTime), 0.0))

    stream: Stream = device.OutputStream(
        samplerate=rate, channels=channels, blocksize=rate // BLOCKS, latency="low", dtype="int16", callback=wanted
    )
    return stream
