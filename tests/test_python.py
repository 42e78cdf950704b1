"""The program from Python: docs/python.md is run as it stands, and what it promises holds."""

from __future__ import annotations

import inspect
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support import save_small_model

import audioreactive as ar
from audioreactive.video import VideoSettings, VideoWriter, probe, read_frames

DOCUMENT = Path(__file__).parent.parent / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a song of 2 s, in which something is heard, and a small model."""
    folder = tmp_path_factory.mktemp("python")
    rate = 22_050
    times = np.arange(2 * rate) / rate
    hits = np.exp(-(times % 0.5) / 0.05) * np.random.RandomState(0).randn(len(times))
    soundfile.write(folder / "song.flac", 0.2 * np.sin(2 * np.pi * 220 * times) + 0.2 * np.clip(hits, -2, 2), rate)
    (folder / "song.mp3").symlink_to(folder / "song.flac")
    save_small_model(folder / "small.safetensors")
    return folder


@pytest.mark.parametrize("block", BLOCKS, ids=["frames and a video", "cancelling"])
def test_the_document_runs(block: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "song.mp3").symlink_to(home / "song.flac")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    # Our own document, in a smaller picture: a painting takes its time for every pixel.
    exec(compile(block.replace("320x192", "80x48"), str(DOCUMENT), "exec"), names)
    if "frames" in names:
        frames = names["frames"]
        assert isinstance(frames, np.ndarray) and frames.shape == (10, 48, 80, 3) and frames.std() > 5
        assert "320x192" in block and "(10, 192, 320, 3)" in block
        lines = [line for line in block.splitlines() if line and not line.startswith((" ", "#"))]
        assert len(lines) <= 10
        info = probe(tmp_path / "song.mp4")
        assert (info.width, info.height, info.frames) == (80, 48, 48)
        coded = np.stack(list(read_frames(tmp_path / "song.mp4"))[:10])
        assert np.abs(coded.astype(int) - frames).mean() < 8  # a codec lies between them
    else:
        assert probe(tmp_path / "stopped.mp4").frames == 60


def test_the_names_are_there() -> None:
    assert set(ar.__all__) <= set(dir(ar))
    assert {"analyze_file", "random_patch", "load_preset", "load_generator", "motion", "render_frames", "iter_frames",
            "render", "__version__"} <= set(dir(ar))  # fmt: skip
    for name in dir(ar):
        assert getattr(ar, name) is not None
    assert re.match(r"\d+\.\d+", ar.__version__)
    with pytest.raises(AttributeError, match="no attribute 'rendr'"):
        _ = ar.rendr


@pytest.mark.usefixtures("little_learning")
def test_what_people_write_is_taken(home: Path, tmp_path: Path) -> None:
    song, model = str(home / "song.mp3"), str(home / "small.safetensors")
    made = ar.render(song, str(tmp_path / "a.mkv"), model=model, preset="tides", fps=29.97, size=(48, 32),
                     start="0:01", duration=0.5, motion=0.5, texture=0.5)  # fmt: skip
    info = probe(made.path)
    assert (info.width, info.height) == (48, 32) and info.fps == Fraction(2997, 100)
    assert made.preset.patch.noise.strength == pytest.approx(0.5 * ar.load_preset("tides").patch.noise.strength)
    patch = ar.random_patch(1)
    again = ar.render(Path(song), tmp_path / "b.mkv", model=Path(model), patch=patch, duration=Fraction(1, 2))
    assert ar.load_preset(str(again.path)).patch == patch
    best = ar.render(song, tmp_path / "c.mkv", model=model, patch=None, seed=3, duration=0.25, synthesizer="hippo")
    assert best.preset.patch.synthesizers[0].name == "hippo"


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"preset": "pulse", "seed": 1}, "seed draws that: leave one of them out"),
        ({"preset": "pulse", "best_of": 2}, "best_of draws that"),
        ({"preset": "pulse", "synthesizer": "hippo"}, "synthesizer draws that"),
        ({"best_of": 2, "synthesizer": "hippo"}, "best_of draws the Randomizer's presets"),
        ({"preset": "pulse", "patch": ar.random_patch(0)}, "preset and patch both"),
        ({"fps": 0}, "frame rate"),
        ({"fps": "fast"}, "frame rate 'fast'"),
        ({"size": "720"}, "did you mean '720p'"),
        ({"size": (0, 5)}, "the size '0x5'"),
        ({"precision": 16}, "precision=16 is none of"),
        ({"motion": 9}, "motion 9 was asked for"),
        ({"motion": "much"}, "motion='much' is not a number"),
        ({"seed": "random"}, "seed='random' is not a whole number"),
        ({"fit": "wider"}, "did you mean 'widen'"),
        ({"start": "soon"}, "is not a time"),
        ({"workers": 2, "cluster": "auto"}, "give one of the two"),
    ],
)
def test_what_does_not_go_together_is_said(home: Path, tmp_path: Path, keywords: dict, sentence: str) -> None:
    with pytest.raises(ar.AudioReactiveError, match=re.escape(sentence)):
        ar.render(home / "song.mp3", tmp_path / "x.mkv", model=home / "small.safetensors", **keywords)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "words", "never"),
    [
        (lambda out, song: ar.render(song, out, device="tpu"), "try device auto, cpu", "--device"),
        (lambda out, song: ar.render(song, song.with_name("a.mkv")), "or replace it with overwrite=True", "--"),
        (lambda out, song: ar.render(song, out, preset="pulse", best_of=3), "and best_of draws that", "--"),
        (lambda out, song: ar.render(song, out, overrides=["a ="], seed=1), "overrides 'a ='", "--set"),
        (lambda out, song: ar.render(song, out.with_suffix(".gif"), fps=99, seed=1), "give fps 50", "--fps"),
        (lambda out, song: ar.analyze_file(song, fps=24, names=["drums.rms"]), "stems={'drums': FILE}", "--stem"),
        (lambda out, song: ar.load_generator(device="tpu"), "try device auto", "--device"),
        (lambda out, song: ar.score(song.with_name("a.mkv")), "give the song with audio FILE", "--audio"),
    ],
)  # fmt: skip
def test_errors_speak_of_parameters_and_not_of_options(home: Path, tmp_path: Path, call, words, never) -> None:
    song = tmp_path / "song.flac"
    song.symlink_to(home / "song.flac")
    with VideoWriter(
        tmp_path / "a.mkv", VideoSettings(fps=Fraction(24), size=(16, 16)), frame_size=(16, 16), sound=None
    ) as writer:
        writer.write(np.zeros((250, 16, 16, 3), np.uint8))
    with pytest.raises(ar.AudioReactiveError) as told:
        call(tmp_path / "out.mkv", song)
    assert words in str(told.value) and never not in str(told.value)
    assert ar.render is ar.render and ar.render.__doc__ and "song" in str(inspect.signature(ar.render))


def test_a_web_address_is_no_song() -> None:
    with pytest.raises(ar.AudioReactiveError, match="is a web address: download it"):
        ar.render("https://youtu.be/x")


@pytest.mark.parametrize("name", ["song.mp3", "small.safetensors"])
def test_inputs_are_never_overwritten(home: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / "out.mp4"
    output.symlink_to(home / name)
    before = (home / name).read_bytes()
    with pytest.raises(ar.AudioReactiveError, match="inputs are never overwritten"):
        ar.render(home / "song.mp3", output, model=home / "small.safetensors", overwrite=True)
    assert (home / name).read_bytes() == before


def test_frames_do_not_depend_on_the_range_or_the_batch(home: Path) -> None:
    features = ar.analyze_file(home / "song.mp3", fps=24)
    generator = ar.load_generator(home / "small.safetensors", precision="fp32")
    for fit in ("widen", "crop", "pad", "stretch"):
        inputs = ar.motion(ar.load_preset("pulse"), features).on(generator, size="60x44", fit=fit)
        whole = ar.render_frames(generator, inputs, 0, 12)
        assert whole.shape == (12, 44, 60, 3)
        np.testing.assert_array_equal(ar.render_frames(generator, inputs, 5, 9), whole[5:9])
        np.testing.assert_array_equal(np.concatenate(list(ar.iter_frames(generator, inputs, 3, 12))), whole[3:12])
    assert ar.render_frames(generator, inputs, 4, 4).shape == (0, 44, 60, 3)


@pytest.mark.usefixtures("quick_workers")
@pytest.mark.parametrize("workers", [None, 2])
def test_cancelling_leaves_what_can_be_resumed(home: Path, tmp_path: Path, workers: int | None) -> None:
    output = tmp_path / "out.mkv"
    look = {"model": home / "small.safetensors", "seed": 5, "chunk": "0.25", "batch": 2}
    steps: list[ar.Step] = []

    def stop_late(step: ar.Step) -> bool:
        steps.append(step)
        return not (step.stage == "rendering" and step.done >= 20)

    with pytest.raises(ar.Cancelled, match="cancelled while rendering, at 2"):
        ar.render(home / "song.mp3", output, progress=stop_late, workers=workers, **look)
    assert steps[-1].done <= 20 + 2 * (workers or 1), "within one batch"
    assert not output.exists()
    (folder,) = tmp_path.iterdir()
    kept = {path.name: path.read_bytes() for path in folder.glob("chunk_*")}
    assert kept, "whole chunks are kept"
    ar.render(home / "song.mp3", output, **look)
    ar.render(home / "song.mp3", tmp_path / "whole.mkv", **look)
    assert output.read_bytes() == (tmp_path / "whole.mkv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"out.mkv", "whole.mkv"}


def test_what_a_callback_raises_comes_out(home: Path, tmp_path: Path) -> None:
    def fail(step: ar.Step) -> None:
        raise KeyError(step.stage)

    with pytest.raises(KeyError):
        ar.render(home / "song.mp3", tmp_path / "out.mkv", model=home / "small.safetensors", progress=fail)
