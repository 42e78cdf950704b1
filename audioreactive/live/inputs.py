"""Sound that comes in: a file as if it were live, raw samples from standard input; devices are in `devices`.

Conventions: an input gives mono float32 at ANALYSIS_RATE, in whole capture blocks of `BLOCK` samples, as they are
complete; it never waits.
"""

from __future__ import annotations

import sys
import threading
from typing import IO, TYPE_CHECKING, Final, Protocol

import numpy as np

from audioreactive.errors import LiveError
from audioreactive.features.blocks import FINE_HOP
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.live.speakers import Speakers

    FloatArray = NDArray[np.float32]

BLOCK: Final = FINE_HOP
"""Samples of a capture block: 10.4 ms."""
FRESH: Final = 0.002
"""Seconds for which a block has just come in: waiting for the next one would take longer."""
RING_SECONDS: Final = 2.0
"""Most seconds of sound that wait; what is older is not worth hearing any more."""
LOWEST_RATE, HIGHEST_RATE, MOST_CHANNELS = 8_000, 192_000, 32


class SoundInput(Protocol):
    """Sound as it comes in."""

    @property
    def name(self) -> str:
        """Name for people to read."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no more sound will come."""
        ...

    @property
    def delay(self) -> float:
        """Seconds from the sound to the moment at which its block is complete, at most."""
        ...

    @property
    def position(self) -> float | None:
        """Time of the newest sound that was read, on the clock; None if only its arrival is known."""
        ...

    @property
    def trouble(self) -> str:
        """Word for the screen about what is wrong now; empty if nothing is."""
        ...

    @property
    def lost(self) -> int:
        """Samples that came in, and that nobody fetched in time."""
        ...

    def read(self, now: float) -> FloatArray:
        """Return the sound that came in since the last call, until `now`."""
        ...

    def next_block(self, now: float) -> float:
        """Return when the next capture block will be complete; `now` if one has just come in, or nobody knows."""
        ...

    def begin(self) -> None:
        """Forget what came in before: the performance begins now."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class FileInput:
    """A sound file, heard as if it were live.

    Args:
        path: the file.
        again: whether it begins anew at its end.
    """

    def __init__(self, path: Path, *, again: bool = False) -> None:
        from audioreactive.media.audio import load

        self.path, self.again = path, again
        self.audio = load(path)
        self.speakers: Speakers | None = None
        """Loudspeakers on which it is heard; then their clock says where in the file it is."""
        self._position, self._behind = 0, 0.0

    lost = 0

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    @property
    def ended(self) -> bool:
        """Whether its end was heard."""
        return not self.again and self._position + BLOCK > len(self.audio.samples)

    @property
    def delay(self) -> float:
        """Length of a capture block."""
        return BLOCK / ANALYSIS_RATE

    @property
    def position(self) -> float:
        """Seconds of the file that were heard, on the clock of the one who reads."""
        return self._position / ANALYSIS_RATE + self._behind

    @property
    def trouble(self) -> str:
        """Nothing: a file is there."""
        return ""

    def read(self, now: float) -> FloatArray:
        """Return the blocks that are complete at this time; of a file that is played, those soon heard."""
        place = self._place(now)
        self._behind, now = now - place, place
        complete = int(now * ANALYSIS_RATE + 1e-6) // BLOCK * BLOCK
        length = len(self.audio.samples)
        if self.again:
            places = np.arange(self._position, max(complete, self._position)) % length
            self._position = max(complete, self._position)
            return np.asarray(self.audio.samples[places], np.float32)
        stop = min(complete, length)
        heard = np.asarray(self.audio.samples[self._position : stop], np.float32)
        self._position = max(stop, self._position)
        return heard

    def next_block(self, now: float) -> float:
        """Return when the next block of the file will be complete."""
        return now + until_block(self._place(now), self._position / ANALYSIS_RATE)

    def _place(self, now: float) -> float:
        """Seconds of the file that may be read."""
        if self.speakers is None:
            return now
        from audioreactive.live.speakers import LEAD

        self.speakers.start()
        return self.speakers.heard() + LEAD

    def begin(self) -> None:
        """Nothing to do: a file begins when it is read."""

    def close(self) -> None:
        """Let the rest be heard."""
        if self.speakers is not None:
            self.speakers.close()


def until_block(place: float, taken: float) -> float:
    """Seconds from this place in the sound to the end of a block; 0 if one has just ended that was not taken yet.

    Args:
        place: seconds of sound so far.
        taken: seconds of it that were read.
    """
    block = BLOCK / ANALYSIS_RATE
    since = (place + 1e-6) % block
    if since < FRESH and taken < place - since:
        return 0.0
    return block - since + 2e-6


class Ring:
    """Samples on their way from another thread; the oldest are dropped where nobody fetches them.

    Args:
        rate: samples a second that are put in.
    """

    def __init__(self, rate: int) -> None:
        import soxr

        self._resampler = None
        if rate != ANALYSIS_RATE:
            self._resampler = soxr.ResampleStream(rate, ANALYSIS_RATE, 1, dtype="float32", quality="LQ")
        self._lock = threading.Lock()
        self._blocks: list[FloatArray] = []
        self.waiting = 0
        """Number of samples that wait."""
        self.lost = 0
        """Number of samples that were dropped."""
        self.total = 0
        """Number of samples that were put in, after resampling."""

    def put(self, samples: FloatArray) -> None:
        """Add mono samples."""
        sound = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        if self._resampler is not None:
            sound = self._resampler.resample_chunk(sound)
        with self._lock:
            self._blocks.append(sound)
            self.waiting += len(sound)
            self.total += len(sound)
            while self.waiting > RING_SECONDS * ANALYSIS_RATE and len(self._blocks) > 1:
                oldest = self._blocks.pop(0)
                self.waiting -= len(oldest)
                self.lost += len(oldest)

    def take(self) -> FloatArray:
        """Return all that waits."""
        with self._lock:
            blocks, self._blocks, self.waiting = self._blocks, [], 0
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


class RawInput:
    """Raw samples from a stream, such as `ffmpeg ... -f s16le - |`.

    Args:
        stream: the stream; by default standard input.
        rate: samples a second.
        channels: number of channels.
        float32: whether samples are 32-bit floats instead of 16-bit integers; little-endian both.
    """

    delay = BLOCK / ANALYSIS_RATE
    position = None
    trouble = ""
    name = "standard input"

    def __init__(
        self, stream: IO[bytes] | None = None, *, rate: int = 44_100, channels: int = 2, float32: bool = False
    ) -> None:
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise LiveError(f"a rate of {rate} Hz was given; sound has from {LOWEST_RATE} to {HIGHEST_RATE} Hz")
        if not 1 <= channels <= MOST_CHANNELS:
            raise LiveError(f"{channels} channels were given; there are from 1 to {MOST_CHANNELS}")
        self.ring = Ring(rate)
        self.rate, self.channels = rate, channels
        self.tap: Callable[[FloatArray], None] | None = None
        """Function that is given all samples (n, channels) as they come in."""
        self._stream = sys.stdin.buffer if stream is None else stream
        self._type, self._channels = np.dtype("<f4" if float32 else "<i2"), channels
        self._block = max(rate // 96, 1) * channels * self._type.itemsize
        self._over = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="raw input")
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the stream has ended and all of it was read."""
        return self._over and not self.ring.waiting

    @property
    def lost(self) -> int:
        """Samples that nobody fetched in time."""
        return self.ring.lost

    def read(self, now: float) -> FloatArray:
        """Return what came in."""
        return self.ring.take()

    def next_block(self, now: float) -> float:
        """Return `now`: nobody knows when a program writes."""
        return now

    def begin(self) -> None:
        """Nothing to do: all of a stream is heard."""

    def close(self) -> None:
        """Stop listening; the thread ends with the stream."""

    def _work(self) -> None:
        while len(data := self._stream.read(self._block)) == self._block:
            sound = np.frombuffer(data, self._type).reshape(-1, self._channels).astype(np.float32)
            sound = sound / np.float32(32768) if self._type.kind == "i" else sound
            self.ring.put(sound.mean(axis=1))
            if self.tap is not None:
                self.tap(sound)
        self._over = True
