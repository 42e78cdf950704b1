"""A file on the loudspeakers: its samples, and the clock that says what is heard now."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from audioreactive.live.inputs import FileInput
from audioreactive.live.speakers import LEAD, Speakers, play, play_or_say
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RATE, DELAY = 48_000, 0.02


class Loudspeakers:
    """Stand-in for a device and for the time: it asks for blocks, and plays them `pace` times as fast as it says."""

    def __init__(self, pace: float = 1.0) -> None:
        self.time, self.pace, self.random = 100.0, pace, np.random.RandomState(1)
        self.played: list[np.ndarray] = []
        self.closed = self.started = False

    def now(self) -> float:
        return self.time

    def open(self, fill: Callable[[np.ndarray, float], None]) -> Loudspeakers:
        self.fill = fill
        return self

    def start(self) -> None:
        self.started = True

    def close(self) -> None:
        self.closed = True

    def play(self, seconds: float, *, uneven: float = 0.0) -> None:
        """Ask for blocks of 10 ms at the times at which the device needs them."""
        begin = self.time
        for k in range(round(100 * seconds)):
            late = uneven * float(self.random.rand())
            self.time = begin + 0.01 * k / self.pace + late
            block = np.zeros((RATE // 100, 2), np.int16)
            self.fill(block, DELAY)
            self.played.append(block)
        self.time = begin + seconds / self.pace

    def whole(self) -> np.ndarray:
        return np.concatenate(self.played)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    sound = np.random.RandomState(2).uniform(-0.5, 0.5, (RATE, 2))
    soundfile.write(path, sound, RATE, subtype="PCM_16")
    return path


def on(device: Loudspeakers, path: Path, *, again: bool = False) -> tuple[FileInput, Speakers]:
    from audioreactive.media.playback import Playback

    sound = FileInput(path, again=again)
    assert sound.audio.recording is not None
    sound.speakers = Speakers(Playback(sound.audio.recording), device.open, again=again, now=device.now)
    return sound, sound.speakers


def test_the_samples_of_the_file_are_played_and_then_silence(song: Path) -> None:
    device = Loudspeakers()
    sound, _ = on(device, song)
    device.play(1.5)
    true, _ = soundfile.read(song, dtype="int16")
    np.testing.assert_allclose(device.whole()[:RATE], true, atol=1)
    assert not device.whole()[RATE:].any()
    sound.close()
    assert device.closed


def test_a_file_that_begins_anew_has_no_gap(song: Path) -> None:
    device = Loudspeakers()
    sound, _ = on(device, song, again=True)
    device.play(2.5)
    sound.close()
    true, _ = soundfile.read(song, dtype="int16")
    np.testing.assert_allclose(device.whole(), np.concatenate([true] * 3)[: len(device.whole())], atol=1)


@pytest.mark.parametrize("pace", [1.0, 0.999, 1.001])
def test_the_clock_is_that_of_the_sound(song: Path, pace: float) -> None:
    device = Loudspeakers(pace)
    _, speakers = on(device, song, again=True)
    assert speakers.heard() == 0
    device.play(60, uneven=0.004)
    assert speakers.heard() == pytest.approx(60 - DELAY, abs=0.004)
    speakers.close()


def test_a_pause_of_the_device_pauses_the_clock(song: Path) -> None:
    device = Loudspeakers()
    _, speakers = on(device, song, again=True)
    device.play(2)
    device.time += 0.5
    before = speakers.heard()
    device.play(2)
    assert speakers.heard() == pytest.approx(4 - DELAY, abs=0.002)
    assert before <= speakers.heard()
    speakers.close()


def test_the_file_is_analysed_a_picture_before_it_is_heard(song: Path) -> None:
    device = Loudspeakers()
    sound, _ = on(device, song)
    first = sound.read(0.0)
    assert device.started
    assert len(first) / ANALYSIS_RATE == pytest.approx(LEAD, abs=0.011)
    device.play(0.5)
    heard = len(first) + len(sound.read(7.0))
    assert heard / ANALYSIS_RATE == pytest.approx(0.5 - DELAY + LEAD, abs=0.011)
    assert 7.0 - 0.011 <= sound.position <= 7.0
    sound.close()


def test_without_loudspeakers_a_sentence_says_so(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = SimpleNamespace(query_devices=lambda: [{"max_output_channels": 0}])
    monkeypatch.setitem(sys.modules, "sounddevice", nothing)
    said: list[str] = []
    sound = FileInput(song)
    play_or_say(sound, said.append)
    assert sound.speakers is None
    assert said == [
        "the file is not heard: this computer has no output for sound (--silent: play it for the picture alone)"
    ]


def test_a_device_is_opened_with_the_file_s_rate_and_channels(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: dict[str, object] = {}

    def stream(**settings: object) -> Loudspeakers:
        opened.update(settings)
        return Loudspeakers()

    device = SimpleNamespace(
        query_devices=lambda: [{"max_output_channels": 2}], OutputStream=stream, PortAudioError=RuntimeError
    )
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    sound = FileInput(song)
    play(sound)
    assert (opened["samplerate"], opened["channels"], opened["dtype"]) == (RATE, 2, "int16")
    block = np.ones((480, 2), np.int16)
    opened["callback"](block, 480, SimpleNamespace(outputBufferDacTime=5.02, currentTime=5.0), None)  # type: ignore[operator]
    true, _ = soundfile.read(song, dtype="int16")
    np.testing.assert_allclose(block, true[:480], atol=1)
    sound.close()
