"""Videos as people have them: measured, judged, repaired."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import numpy as np
import pytest
import soxr
from click.testing import CliRunner
from film_files import ffmpeg, write_sound, write_video

from audioreactive.commands import group
from audioreactive.errors import SyncError
from audioreactive.media.audio import ANALYSIS_RATE
from audioreactive.sync import BT1359, R37, measure
from audioreactive.sync.measure import watch
from audioreactive.sync.repair import correction_of, repair
from audioreactive.sync.report import Tolerance, judge
from audioreactive.sync.research.scenes import FPS, make_scene
from audioreactive.video import frame_times

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from audioreactive.sync.research.scenes import Scene

HALF_A_FRAME = 0.5 / float(FPS)


def packets(path: Path, stream: str) -> list[str]:
    """Size and checksum of each packet."""
    lines = ffmpeg("-i", path, "-map", f"0:{stream}", "-c", "copy", "-f", "framecrc", "-").decode().splitlines()
    return [",".join(line.split(",")[4:6]) for line in lines if not line.startswith("#")]


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(group, ["sync", *map(str, arguments)], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return int(result.return_value), result.output


def test_a_video_in_step_and_the_same_out_of_step(film: Path, moved: Callable[[float], Path]) -> None:
    report = measure(film)
    assert report.verdict == "in sync" and report.basis == "picture"
    assert report.offset is not None and abs(report.offset) < HALF_A_FRAME
    assert abs(report.container) < 0.002
    for seconds in (-0.35, 0.2):
        late = measure(moved(seconds))
        assert late.verdict == "out of sync" and late.offset is not None
        assert late.offset - report.offset == pytest.approx(-seconds, abs=0.01)


def test_the_container_tells_its_own_offset_exactly(moved: Callable[[float], Path]) -> None:
    assert measure(moved(0.2)).container == pytest.approx(-0.2, abs=0.045)  # the coder's delay is a packet: 42 ms


def test_silence_stillness_and_unrelated_sounds_cannot_be_told(film: Path, bounces: Scene, tmp_path: Path) -> None:
    silent = write_sound(tmp_path / "silent.wav", np.zeros(10 * ANALYSIS_RATE, np.float32))
    assert "silent" in measure(film, silent).reason
    still = write_video(tmp_path / "still.mp4", bounces.frames[:1].repeat(90, 0), None)
    heard = write_sound(tmp_path / "heard.wav", bounces.sound)
    assert "still" in measure(still, heard).reason
    other = write_sound(tmp_path / "other.wav", make_scene("rain", 2, 9).sound)
    for report in (measure(film, silent), measure(still, heard), measure(film, other)):
        assert report.verdict == "cannot tell" and report.offset is None
    with pytest.raises(SyncError, match="no sound of its own; give"):
        measure(still)


def test_an_offset_is_repaired_without_touching_a_packet(moved: Callable[[float], Path], tmp_path: Path) -> None:
    for seconds in (0.2, -0.31):
        wrong, fixed = moved(seconds), tmp_path / f"fixed{seconds}.mp4"
        before = measure(wrong)
        repair(wrong, None, fixed, before)
        for stream in ("v:0", "a:0"):
            assert packets(fixed, stream) == packets(wrong, stream)
        after = measure(fixed)
        assert after.verdict == "in sync" and after.offset is not None and abs(after.offset) < 0.005
        assert not list(tmp_path.glob("*.partial-*"))


@pytest.mark.parametrize("retime_picture", [False, True])
def test_drift_is_taken_out_of_sound_or_picture(
    film: Path, bounces: Scene, tmp_path: Path, retime_picture: bool
) -> None:
    """Half a percent is no clock's, and shows in ten seconds what a clock does in half an hour."""
    drift = 0.005
    samples = soxr.resample(bounces.sound, ANALYSIS_RATE, ANALYSIS_RATE * (1 + drift)).astype(np.float32)
    sound = write_sound(tmp_path / "drift.wav", samples)
    wrong, fixed = tmp_path / "wrong.mp4", tmp_path / "fixed.mp4"
    ffmpeg("-i", film, "-i", sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", wrong)
    report = measure(film)
    times = np.array([1.0, 9.0])
    told = type(report)(
        **{
            **vars(report), "offset": -drift * 5, "drift": -drift, "drift_deviation": 1e-6,
            "times": times, "offsets": -drift * times,
        }
    )  # fmt: skip
    repair(wrong, None, fixed, told, retime_picture=retime_picture)
    assert packets(fixed, "v:0") == packets(wrong, "v:0")
    after = measure(fixed)
    assert after.verdict == "in sync" and after.offset is not None and abs(after.offset) < 0.01
    if retime_picture:
        assert packets(fixed, "a:0") == packets(wrong, "a:0")
        assert frame_times(fixed).frames[-1] == pytest.approx(frame_times(wrong).frames[-1] * (1 + drift), abs=0.002)
    else:
        assert frame_times(fixed).frames[-1] == frame_times(wrong).frames[-1]


def test_another_sound_is_put_in_its_place(film: Path, bounces: Scene, tmp_path: Path) -> None:
    late = np.concatenate([np.zeros(ANALYSIS_RATE // 4, np.float32), bounces.sound])
    master, fixed = write_sound(tmp_path / "master.wav", late), tmp_path / "fixed.mp4"
    report = measure(film, master)
    assert report.basis == "own sound" and report.offset == pytest.approx(-0.25, abs=0.002)
    repair(film, master, fixed, report)
    assert packets(fixed, "v:0") == packets(film, "v:0")
    after = measure(fixed)
    assert after.offset is not None and abs(after.offset) < HALF_A_FRAME


def test_jumps_and_the_unknown_are_not_repaired(film: Path, tmp_path: Path) -> None:
    silent = write_sound(tmp_path / "silent.wav", np.zeros(10 * ANALYSIS_RATE, np.float32))
    with pytest.raises(SyncError, match="nothing can be repaired: the sound is silent"):
        correction_of(measure(film, silent), 10)


def test_the_command_ends_with_a_code_for_scripts(film: Path, moved: Callable[[float], Path], tmp_path: Path) -> None:
    code, text = run(film, "--json", tmp_path / "a.json", "--plot", tmp_path / "a.png", "--quiet")
    assert code == 0 and "in sync" in text and "EBU R37" in text
    numbers = json.loads((tmp_path / "a.json").read_text())
    assert numbers["verdict"] == "in sync" and abs(numbers["offset_ms"]) < 17
    assert {"offset_sd_ms", "drift_ppm", "drift_sd_ppm", "jitter_ms", "container_offset_ms"} <= set(numbers)
    assert (tmp_path / "a.png").stat().st_size > 10_000
    late = moved(0.2)
    assert run(late, "--quiet")[0] == 1
    assert run(late, "--quiet", "--tolerance", "500")[0] == 0
    code, text = run(late, "--quiet", "--repair", tmp_path / "fixed.mp4")
    assert code == 0 and "moved by " in text
    silent = write_sound(tmp_path / "silent.wav", np.zeros(10 * ANALYSIS_RATE, np.float32))
    assert run(film, "--audio", silent, "--quiet")[0] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tolerance", "soon"), "'soon' is no tolerance"),
        (("--tolerance", "0"), "'0' is no tolerance"),
        (("--tolerance", "9" * 400), "is no tolerance"),
        (("--repair", "fixed.avi"), "should end in .mp4"),
        (("other.wav", "--audio", "x.wav"), "for a video"),
        (("--audio", "missing.wav"), "missing.wav"),
        (("--model", "painter"), "painter"),
        (("--model", "missing.pt"), "missing.pt"),
    ],
)
def test_bad_options_are_one_sentence(film: Path, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(Exception, match=words.replace(".", r"\.")):
        run(film, *arguments)


def test_files_of_strangers_are_refused_in_a_sentence(tmp_path: Path) -> None:
    for name, data in (("a.mp4", b"\0" * 5000), ("b.mkv", b"RIFF" + b"x" * 99), ("c.mp4", b"")):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(Exception, match=name) as refused:
            run(path)
        assert "\n" not in str(refused.value)


def test_a_sound_alone_is_no_video(film: Path) -> None:
    with pytest.raises(click.UsageError, match="is a sound: give a video, or a second sound"):
        run(film.with_suffix(".wav"))


def test_short_videos_are_refused(bounces: Scene, tmp_path: Path) -> None:
    short = write_video(tmp_path / "short.mp4", bounces.frames[:10], None)
    with pytest.raises(SyncError, match="10 frames"):
        watch(short)


def test_a_verdict_needs_certainty() -> None:
    at = np.array
    assert judge(at([0.03]), 0.005, R37) == "in sync"
    assert judge(at([0.07]), 0.005, R37) == "out of sync"
    assert judge(at([-0.10]), 0.005, BT1359) == "in sync"
    assert judge(at([0.045]), 0.010, R37) == "in sync"  # half a deviation beyond
    assert judge(at([0.0, 0.09]), 0.005, R37) == "out of sync"  # it drifts out
    assert judge(at([0.02]), 0.2, Tolerance("x", 0.01, 0.01)) == "cannot tell"


@pytest.mark.parametrize("heard", [1, 2])
def test_of_two_sounds_the_one_that_is_measured_is_repaired(film: Path, tmp_path: Path, heard: int) -> None:
    """The first is late by 0.3 s, the second early by 0.2 s; the default one is heard, else the first."""
    video, fixed = tmp_path / "two.mkv", tmp_path / "fixed.mkv"
    offsets = {1: 0.3, 2: -0.2}
    ffmpeg(
        "-i", film, "-itsoffset", offsets[1], "-i", film, "-itsoffset", offsets[2], "-i", film, "-map", "0:v", "-map",
        "1:a", "-map", "2:a", "-c", "copy", "-avoid_negative_ts", "disabled", "-disposition:a", "0",
        f"-disposition:a:{heard - 1}", "default", video,
    )  # fmt: skip
    told = measure(video)
    assert frame_times(video).sound_start == pytest.approx(offsets[heard], abs=0.045)  # the coder's delay is 42 ms
    assert told.offset is not None and told.offset == pytest.approx(-offsets[heard], abs=0.06)
    repair(video, None, fixed, told)
    assert packets(fixed, "a:0") == packets(video, f"a:{heard - 1}")
    again = measure(fixed)
    assert again.verdict == "in sync" and again.offset is not None and abs(again.offset) < 0.03
