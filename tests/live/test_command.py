"""The command: reports, recordings, and sentences for what is missing."""

from __future__ import annotations

import builtins
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from platformdirs import user_cache_path
from sounds import music

from audioreactive.commands.live import command
from audioreactive.errors import AudioReactiveError
from audioreactive.live.inputs import RawInput
from audioreactive.live.show import Show
from audioreactive.media.audio import ANALYSIS_RATE, load
from audioreactive.patches.presets import load_preset

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    soundfile.write(path, music(4), ANALYSIS_RATE)
    return path


def live(*words: object) -> Any:
    result = CliRunner().invoke(command, [str(word) for word in words])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


SIMULATED = ("--headless", "--clock", "simulated", "--size", "64x36", "--frame-cost", "20")


def test_a_report_has_counts_delays_and_parts(song: Path, tmp_path: Path) -> None:
    told = live("--input", song, *SIMULATED, "--seconds", 2, "--fps", 30, "--report", tmp_path / "live.json")
    report = json.loads((tmp_path / "live.json").read_text("utf-8"))
    assert report["frames"] == 60
    assert report["dropped"] == 0
    assert 0 < report["latency_ms_median"] <= report["latency_ms_p95"] < 60
    assert set(report["parts_ms"]) == {
        "capture block", "features", "motion", "generator", "flash limiter", "upload",
    }  # fmt: skip
    assert report["seconds_heard"] == pytest.approx(2, abs=0.05)
    assert "60 pictures in 2.0 s" in told.output


def test_a_recording_has_sound_picture_and_recipe(song: Path, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    live("--input", song, *SIMULATED, "--record", video, "--preset", "ember", "--fps", 30)
    heard = np.asarray(load(video).samples)
    assert len(heard) / ANALYSIS_RATE == pytest.approx(4, abs=1 / 30 + 0.01)
    true = music(4)
    start = ANALYSIS_RATE
    matched = np.correlate(heard[start - 200 : start + 12_200], true[start : start + 12_000], "valid")
    assert abs(int(matched.argmax()) - 200) < ANALYSIS_RATE // 200
    assert load_preset(str(video)).patch == load_preset("ember").patch
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_interrupt_is_the_end_and_the_recording_is_whole(
    song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint = Show.paint

    def interrupted(self: Show, seconds: float) -> Any:
        if seconds > 1.99:
            raise KeyboardInterrupt
        return paint(self, seconds)

    monkeypatch.setattr(Show, "paint", interrupted)
    told = live("--input", song, *SIMULATED, "--fps", 30, "--record", tmp_path / "out.mp4")
    assert told.exit_code == 0
    assert "60 pictures" in told.output
    assert len(load(tmp_path / "out.mp4").samples) / ANALYSIS_RATE == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--clock", "simulated", "--headless"], "a simulated clock needs a file as --input"),
        (["--input", "-", "--clock", "simulated"], "standard input comes in real time"),
        (["--input", "missing.wav", "--headless"], "missing.wav"),
        (["--frame-cost", "3"], "--frame-cost is for --clock simulated"),
        (["--preset", "pulss"], "pulse"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(words: list[str], said: str) -> None:
    with pytest.raises(AudioReactiveError, match=said):
        live(*words)


@pytest.mark.parametrize(
    ("words", "package", "said"),
    [
        (["--input", "mic", "--headless"], "sounddevice", "pip install 'audioreactive\\[live\\]'"),
        (["--osc", "9000", *SIMULATED], "pythonosc.dispatcher", "OSC needs a few more packages"),
        (["--midi", "x", *SIMULATED], "mido", "MIDI needs a few more packages"),
        (["--serve", "0", *SIMULATED], "uvicorn", "a page needs a few more packages"),
        (["--clock", "simulated", "--size", "64x36"], "glfw", "a window needs a few more packages"),
    ],
)
def test_a_missing_package_is_a_sentence(
    song: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], package: str, said: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == package or name.startswith(f"{package}."):
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *rest, **more)

    for loaded in [name for name in sys.modules if name.split(".")[0] == package.split(".")[0]]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(builtins, "__import__", without)
    given = words if "--input" in words else ["--input", song, *words]
    with pytest.raises(AudioReactiveError, match=said):
        live(*given)


def test_raw_samples_are_heard_from_a_stream() -> None:
    sound = np.repeat(music(1)[:, None], 2, axis=1)
    raw = RawInput(io.BytesIO((sound * 32767).astype("<i2").tobytes()), rate=ANALYSIS_RATE, channels=2)
    raw._thread.join()
    heard = raw.read(0)
    assert raw.ended
    np.testing.assert_allclose(heard, music(1)[: len(heard)], atol=1e-3)
    assert len(heard) > 0.98 * ANALYSIS_RATE


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--report", "{folder}/none/live.json"], "none"),
        (["--report", "{folder}/live.txt"], "live.txt"),
        (["--record", "{folder}/song.wav", "--overwrite"], "song.wav"),
        (["--record", "{folder}/out.gif"], "cannot be recorded"),
    ],
)
def test_names_that_cannot_be_written_are_told_before_it_plays(
    song: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    before = song.read_bytes()
    with pytest.raises(AudioReactiveError, match=said):
        live("--input", song, *SIMULATED, *(word.format(folder=tmp_path) for word in words))
    assert song.read_bytes() == before
    assert list(tmp_path.iterdir()) == [song]


def test_a_window_without_a_display_is_a_sentence(song: Path, tmp_path: Path) -> None:
    pytest.importorskip("glfw")
    words = ["live", "--input", str(song), "--size", "64x36", "--seconds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "audioreactive", *words],
        env={
            "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path),
            "XDG_CACHE_HOME": str(user_cache_path()),  # where the compiled kernels are
        },
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "no display" in done.stderr
