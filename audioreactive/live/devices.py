"""Sound devices: microphones, lines, and what the computer plays, where the system lets it be heard.

sounddevice (PortAudio) and SoundCard are optional; a missing one gives a sentence. A device that is lost is looked for
again, and silence is heard meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive.errors import LiveError, did_you_mean, printable, shown
from audioreactive.live.inputs import FRESH, Ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

LACKING: Final = (
    "sound devices need a few more packages: pip install 'audioreactive[live]'; a file as --input needs none"
)
NO_PORTAUDIO: Final = (
    "the library PortAudio is missing: install it (apt install libportaudio2), or give a file as --input"
)
LOOPBACK: Final = "loopback"
MONITORS: Final = ("monitor", "loopback", "stereo mix", "blackhole", "what u hear")
"""Words in the names of devices that give what the computer plays."""
BLOCKS: Final = 96
"""Capture blocks a second."""
LOST: Final = 0.5
"""Seconds without a block after which a device counts as lost."""
AGAIN: Final = 2.0
"""Seconds between two attempts to find it."""


class DeviceInput:
    """A sound device; `close` lets go of it.

    Args:
        open_stream: function that opens the device, given where samples (n, channels) are to go.
        name: name of the device.
        rate: samples a second.
        channels: number of channels.
    """

    position = None

    def __init__(
        self, open_stream: Callable[[Callable[[FloatArray], None]], Any], name: str, rate: int, channels: int
    ) -> None:
        self._name, self.rate, self.channels = name, rate, channels
        self._open = open_stream
        self.ring = Ring(rate)
        self.tap: Callable[[FloatArray], None] | None = None
        """Function that is given all samples (n, channels) as they come in."""
        self._arrived = time.perf_counter()
        self._lost = False
        self._closed = threading.Event()
        self._stream = open_stream(self._take)
        self._watch: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Name of the device."""
        return self._name

    @property
    def ended(self) -> bool:
        """Never: a lost device may come back."""
        return False

    @property
    def lost(self) -> int:
        """Samples that nobody fetched in time."""
        return self.ring.lost

    @property
    def delay(self) -> float:
        """Length of a capture block, and what the driver holds back."""
        latency = getattr(self._stream, "latency", 0.0)
        return 1 / BLOCKS + (float(latency) if isinstance(latency, int | float) else 0.0)

    @property
    def trouble(self) -> str:
        """A word if the device is lost."""
        return f"{printable(self._name, 40)} is lost: looking for it" if self._lost else ""

    def read(self, now: float) -> FloatArray:
        """Return what came in; silence in the place of a lost device."""
        missing = time.perf_counter() - self._arrived
        if missing > LOST:
            self._arrived += missing
            self._put(np.zeros((round(missing * self.rate), self.channels), np.float32))
            if not self._lost:
                self._lost = True
                self._watch = threading.Thread(target=self._look_for_it, daemon=True, name="device")
                self._watch.start()
        return self.ring.take()

    def next_block(self, now: float) -> float:
        """Return when the next block is expected: one block after the last one; `now` if it is there or late."""
        since = time.perf_counter() - self._arrived
        if self._lost or (since < FRESH and self.ring.waiting):
            return now
        return now + max(1 / BLOCKS - since, 0.0)

    def begin(self) -> None:
        """Drop what came in before."""
        self.ring.take()

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        if self._watch is not None:
            self._watch.join(timeout=AGAIN)
        _close(self._stream)

    def _take(self, samples: FloatArray) -> None:
        """Take a block; called in the thread of the device."""
        self._arrived = time.perf_counter()
        self._lost = False
        self._put(samples)

    def _put(self, samples: FloatArray) -> None:
        self.ring.put(samples.mean(axis=1))
        if self.tap is not None:
            self.tap(samples)

    def _look_for_it(self) -> None:
        """Open the device again and again, until it gives sound."""
        while self._lost and not self._closed.is_set():
            _close(self._stream)
            # Whatever a driver raises about a device that is not there, it is looked for again.
            with contextlib.suppress(Exception):
                self._stream = self._open(self._take)
            self._closed.wait(AGAIN)


def open_device(text: str | None) -> DeviceInput:
    """Open the default input, one by (part of) its name or its number, or what the computer plays (`loopback`).

    Raises:
        LiveError: a package is missing, or there is no such device.
    """
    if text is not None and text.lower() == LOOPBACK:
        return _open_loopback()
    portaudio = open_portaudio()
    found = _chosen(_inputs(portaudio), text, portaudio)
    channels, rate = min(int(found["max_input_channels"]), 2), int(found["default_samplerate"])
    name = str(found["name"])

    def opened(take: Callable[[FloatArray], None]) -> Any:
        return _open_stream(portaudio, name, rate, channels, take)

    try:
        return DeviceInput(opened, name, rate, channels)
    except portaudio.PortAudioError as error:
        raise LiveError(
            f"the input {shown(name)} cannot be opened ({printable(str(error), 200)}): choose another, see "
            "--list-devices"
        ) from error


def device_lines() -> list[str]:
    """Return lines for a person: the inputs of this computer, and what is missing to hear them."""
    lines = []
    try:
        portaudio = open_portaudio()
    except LiveError as error:
        lines.append(str(error))
    else:
        default = portaudio.default.device[0]
        for number, device in _inputs(portaudio):
            mark = " (default)" if number == default else ""
            rate, channels = device["default_samplerate"] / 1000, device["max_input_channels"]
            lines.append(f"{number:3d}  {printable(device['name'], 60)}{mark}: {channels} channels, {rate:g} kHz")
        if not lines:
            lines.append("this computer has no input for sound: give a file as --input, or - for raw samples")
    lines += [f"     {printable(name, 60)}: --input loopback" for name in _loopbacks()]
    return lines


def open_portaudio() -> Any:
    """Return the package sounddevice.

    Raises:
        LiveError: it or its library PortAudio is missing.
    """
    try:
        import sounddevice
    except ModuleNotFoundError:
        raise LiveError(LACKING) from None
    except OSError:
        raise LiveError(NO_PORTAUDIO) from None
    return sounddevice


def _inputs(portaudio: Any) -> list[tuple[int, Any]]:
    return [(n, device) for n, device in enumerate(portaudio.query_devices()) if device["max_input_channels"] > 0]


def _chosen(inputs: list[tuple[int, Any]], text: str | None, portaudio: Any) -> Any:
    if not inputs:
        raise LiveError("this computer has no input for sound: give a file as --input, or - for raw samples")
    if text is None:
        default = portaudio.default.device[0]
        return next((device for number, device in inputs if number == default), inputs[0][1])
    for number, device in inputs:
        if text.isdecimal() and number == int(text):
            return device
    matching = [device for _, device in inputs if text.lower() in device["name"].lower()]
    if matching:
        return matching[0]
    names = [device["name"] for _, device in inputs]
    known = ", ".join(printable(name, 40) for name in names[:8])
    raise LiveError(f"there is no input {shown(text)}{did_you_mean(text, names) or ';'} there are {known}")


def _open_stream(portaudio: Any, name: str, rate: int, channels: int, take: Callable[[FloatArray], None]) -> Any:
    """Open a device by its name, after the list of devices was made anew if it is not in it."""
    if not any(device["name"] == name for _, device in _inputs(portaudio)):
        portaudio._terminate()  # PortAudio lists devices once; this is its own way to list them again
        portaudio._initialize()

    def heard(data: Any, frames: int, times: Any, status: Any) -> None:
        take(np.array(data, np.float32))

    stream = portaudio.InputStream(
        device=next(number for number, device in _inputs(portaudio) if device["name"] == name),
        samplerate=rate,
        channels=channels,
        blocksize=rate // BLOCKS,
        latency="low",
        dtype="float32",
        callback=heard,
    )
    stream.start()
    return stream


def _open_loopback() -> DeviceInput:
    """Open what the computer plays: by SoundCard, or a device of PortAudio that is named as one."""
    with contextlib.suppress(ModuleNotFoundError, OSError, RuntimeError, AssertionError, IndexError):
        import soundcard

        speaker = soundcard.default_speaker()
        monitors = [m for m in soundcard.all_microphones(include_loopback=True) if m.isloopback]
        if monitors:
            name = next((m.name for m in monitors if speaker.name in m.name), monitors[0].name)
            return DeviceInput(lambda take: _Recorder(name, take), name, 48_000, 2)
    portaudio = open_portaudio()
    for _, device in _inputs(portaudio):
        if any(word in device["name"].lower() for word in MONITORS):
            return open_device(str(device["name"]))
    raise LiveError(
        "what this computer plays cannot be heard here: install SoundCard (pip install soundcard), or a virtual cable "
        "(BlackHole on macOS), and see --list-devices"
    )


def _loopbacks() -> list[str]:
    with contextlib.suppress(Exception):  # a listing must not fail for want of a sound server
        import soundcard

        return [m.name for m in soundcard.all_microphones(include_loopback=True) if m.isloopback]
    return []


class _Recorder:
    """A loopback of SoundCard, read in a thread."""

    latency = 0.0

    def __init__(self, name: str, take: Callable[[FloatArray], None]) -> None:
        self._name, self._take = name, take
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="loopback")
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def close(self) -> None:
        self._over.set()
        self._thread.join(timeout=1)

    def _work(self) -> None:
        import soundcard

        # A device that goes away ends the thread; it is looked for from outside.
        with contextlib.suppress(Exception):
            device = soundcard.get_microphone(self._name, include_loopback=True)
            with device.recorder(samplerate=48_000, channels=2, blocksize=500) as recorder:
                while not self._over.is_set():
                    self._take(np.asarray(recorder.record(500), np.float32))


def _close(stream: Any) -> None:
    with contextlib.suppress(Exception):  # a device that is gone cannot be closed properly
        stream.close()
