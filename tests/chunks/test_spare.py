"""A GPU's encoder that fails in the middle of a video: its chunks stay, x264 makes the rest, and it is one video."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from crews import SIZE, Ears, Painter, make_film_of, picture, tone

from audioreactive.chunks.film import make_film
from audioreactive.chunks.making import LocalExecutor, Shares, encoders_at_once, limit_of
from audioreactive.errors import VideoError
from audioreactive.video import VideoSettings, ffmpeg_path, frame_times, nvenc, read_frames
from audioreactive.video import chunks as chunks_module
from audioreactive.video.chunks import NVENC_AT_ONCE, Encoding
from audioreactive.video.formats import FORMATS, NVENC

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.chunks.film import Film


@pytest.fixture
def film(tmp_path: Path) -> Film:
    """A film for NVENC, in chunks of a second."""
    made = make_film_of(tmp_path / "out.mp4", tone(tmp_path / "song.wav", 5), frames=96, length=24)
    settings = replace(made.encoding.settings, crf=1)
    return replace(made, encoding=replace(made.encoding, kind=NVENC, settings=settings))


class Encoders:
    """Plays NVENC: an encoder with other parameters than x264's, of which few can be open and which may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, at_most: int = 9, last: int = 10**6) -> None:
        self.opened: list[str] = []
        self.running: list[Any] = []
        real = Encoding.open
        words = ["-profile:v", "main", "-bf", "0", "-g", "24", "-crf", "1", "-refs", "2"]
        stand_in = replace(FORMATS[".mp4"], video_options=lambda settings: words)

        def open_(encoding: Encoding, folder: Path, name: str) -> Any:
            self.opened.append(encoding.kind.video_encoder)
            if encoding.kind is not NVENC:
                return real(encoding, folder, name)
            self.running = [one for one in self.running if not one.has_ended]
            refused = len(self.running) >= at_most or self.opened.count("h264_nvenc") > last
            kind = replace(stand_in, video_options=lambda settings: ["-nonsense", "1"]) if refused else stand_in
            made = real(replace(encoding, kind=kind), folder, name)
            if not refused:
                self.running.append(made)
            return made

        monkeypatch.setattr(Encoding, "open", open_)


def made_with(film: Film, encoders: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Painter]:
    painter, ears = Painter(), Ears()
    monkeypatch.setattr("audioreactive.chunks.making.encoders_at_once", lambda *args, **others: encoders)
    executor = LocalExecutor(lambda: painter, film.encoding, ears.say)  # type: ignore[arg-type,return-value]
    make_film(film, executor, overwrite=False, fresh=False, progress=ears)
    return ears.said, painter


def assert_whole(film: Film) -> None:
    frames = np.stack(list(read_frames(film.output)))
    wanted = np.stack([picture(index) for index in range(96)])
    assert frames.shape == wanted.shape
    apart = np.abs(frames.astype(float) - wanted).mean((1, 2, 3))
    assert apart.max() < 12, "chroma is halved, and crf 1 loses little"
    others = np.abs(frames[:-1].astype(float) - wanted[1:]).mean((1, 2, 3))
    assert (others > 1.2 * apart[:-1]).all(), "each frame is its own"
    assert frame_times(film.output).frames == pytest.approx(np.arange(96) / 24, abs=1e-6)


def test_a_failure_in_the_middle_costs_no_chunk(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = Encoders(monkeypatch, last=2)
    said, painter = made_with(film, 1, monkeypatch)
    assert encoders.opened == ["h264_nvenc"] * 3 + ["libx264"] * 2
    assert len(said) == 1 and said[0].startswith("the encoder of the GPU failed; x264 encodes what is left (")
    assert painter.rendered <= 96 + 24
    assert_whole(film)
    entry = ffmpeg_output("-v", "error", "-i", film.output, "-map", "0:v", "-c", "copy", "-f", "framecrc", "-")
    assert entry.count("\n0,") == 96


def ffmpeg_output(*arguments: object) -> str:
    return subprocess.run([str(ffmpeg_path()), *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def test_a_limit_of_the_driver_costs_encoders_and_not_the_kind(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = Encoders(monkeypatch, at_most=2)
    said, _ = made_with(film, 4, monkeypatch)
    assert set(encoders.opened) == {"h264_nvenc"}
    assert said and all(message.startswith("an encoder of the GPU failed; ") for message in said)
    assert_whole(film)


def test_nvenc_that_is_not_there_is_x264(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    if nvenc.why_no_nvenc() is None:
        pytest.skip("there is one")
    said, _ = made_with(film, 1, monkeypatch)
    assert len(said) == 1 and "x264 encodes what is left" in said[0]
    assert_whole(film)


def test_where_x264_fails_too_the_render_ends(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(FORMATS[".mp4"], video_options=lambda settings: ["-nonsense", "1"])
    monkeypatch.setattr(chunks_module, "FORMATS", {".mp4": broken})
    Encoders(monkeypatch, last=1)
    with pytest.raises(VideoError, match="nonsense"):
        made_with(film, 1, monkeypatch)


def test_an_interrupted_render_keeps_the_chunks_of_both(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    Encoders(monkeypatch, last=2)
    painter = Painter(fail_at=72)
    with pytest.raises(KeyboardInterrupt):
        make_film(
            film, LocalExecutor(lambda: painter, film.encoding, print),  # type: ignore[arg-type,return-value]
            overwrite=False, fresh=False, progress=Ears(),
        )  # fmt: skip
    journal = (film.output.parent / ".out.mp4.render" / "chunks.jsonl").read_text().splitlines()
    spare = ["x264" in json.loads(line)["name"] for line in journal]
    assert spare[:2] == [False, False] and all(spare[2:])  # the third may not have ended yet
    said, again = made_with(film, 1, monkeypatch)
    assert f"{len(spare)} of 4 chunks are there from before" in said
    assert again.rendered <= 2 * 24 * (4 - len(spare))
    assert_whole(film)


# --- before the render


def test_nvenc_is_tried_with_the_video_that_is_to_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def run(command: list[str], **others: Any) -> Any:
        tried.append(command)
        wide = any("size=5000x" in word for word in command)
        return subprocess.CompletedProcess(
            command, int(wide), b"", b"[h264_nvenc] Width 5000 not within range\n" * wide
        )

    nvenc.why_no_nvenc.cache_clear()
    monkeypatch.setattr(nvenc.subprocess, "run", run)
    try:
        fine = VideoSettings(fps=Fraction(24), size=(1024, 1024))
        assert nvenc.encoder_for(NVENC, fine, "auto") == (NVENC, None)
        assert any("size=1024x1024:rate=24" in word for word in tried[0])
        wide = replace(fine, size=(5000, 1024))
        kind, reason = nvenc.encoder_for(NVENC, wide, "auto")
        assert kind is FORMATS[".mp4"] and reason is not None and "not within range" in reason
        with pytest.raises(VideoError, match=r"nvenc cannot encode 5000x1024 at 24 frames a second \(.*Width 5000 not"):
            nvenc.encoder_for(NVENC, wide, "nvenc")
        assert nvenc.encoder_for(FORMATS[".mp4"], wide, "auto") == (FORMATS[".mp4"], None) and len(tried) == 2
    finally:
        nvenc.why_no_nvenc.cache_clear()


@pytest.mark.parametrize("fps", [Fraction(1, 10), Fraction(1), Fraction(2), Fraction(9, 4), Fraction(5), Fraction(24)])
def test_groups_are_longer_than_runs_of_bidirectional_pictures(fps: Fraction) -> None:
    words = NVENC.arguments(VideoSettings(fps=fps, size=(256, 256)))
    between, group = (int(words[words.index(name) + 1]) for name in ("-bf", "-g"))
    assert between == 0 or group >= between + 2
    assert between == 3 or fps < Fraction(5, 2)


def test_few_nvenc_encoders_are_open_at_once(film: Film) -> None:
    assert encoders_at_once(64, on_gpu=True) == 8
    assert encoders_at_once(64, on_gpu=True, most=film.encoding.most_at_once) == NVENC_AT_ONCE
    assert replace(film.encoding, kind=FORMATS[".mp4"]).most_at_once is None
    assert film.encoding.frame_size == SIZE


def test_what_held_a_gpu_up_is_told(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = replace(film.encoding, settings=replace(film.encoding.settings, speed="medium"))
    h264, vp9, x264 = (replace(usual, kind=kind) for kind in (NVENC, FORMATS[".webm"], FORMATS[".mp4"]))
    told = limit_of(Shares(frames=8.0, encoders=2.0), x264)
    assert told == "the generator was the limit: 80% of the time was spent waiting for its pictures"
    told = limit_of(Shares(frames=2.0, encoders=6.0), x264)
    assert told.startswith("the encoder was the limit: the GPU waited 75% of the time for libx264; faster: ")
    assert "--encoder nvenc" in told and ".mkv" in told and "--encoder-speed veryfast instead of medium" in told
    assert "nvenc if" not in limit_of(Shares(0.0, 1.0), vp9)
    assert "--encoder" not in limit_of(Shares(0.0, 1.0), h264) and ".mkv" in limit_of(Shares(0.0, 1.0), h264)
    quick = replace(x264, settings=replace(x264.settings, speed="ultrafast"))
    assert "--encoder-speed" not in limit_of(Shares(0.0, 1.0), quick)
    counted: list[str] = []
    monkeypatch.setattr("audioreactive.chunks.making.Shares.waiting_for", lambda self, what: Counted(counted, what))
    monkeypatch.setattr(
        "audioreactive.chunks.making.limit_of", lambda shares, encoding: f"the limit of {encoding.kind.video_encoder}"
    )
    plain, ears = replace(film, encoding=replace(film.encoding, kind=FORMATS[".mp4"])), Ears()
    painter = Painter(on_gpu=True)
    executor = LocalExecutor(lambda: painter, plain.encoding, ears.say)  # type: ignore[arg-type,return-value]
    make_film(plain, executor, overwrite=False, fresh=False, progress=ears)
    assert ears.said == ["the limit of libx264"]
    assert counted == ["frames", "encoders"] * 24 + ["frames"]


class Counted:
    def __init__(self, counted: list[str], what: str) -> None:
        counted.append(what)

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *error: object) -> None:
        """End."""
