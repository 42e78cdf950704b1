"""What people try first: addresses, folders, drafts, knobs; and mistakes that are told before anything takes time."""

from __future__ import annotations

import shutil
from fractions import Fraction

import cv2
import numpy as np
import pytest

import audioreactive.features
from audioreactive.commands.bars import Bars
from audioreactive.patches.presets import load_preset
from audioreactive.progress import in_words
from audioreactive.video import probe, read_frames

ADDRESSES = ("https://youtu.be/dQw4w9WgXcQ", "http://example.com/a.mp3", "www.example.com/song.mp3", "youtu.be/abc")


@pytest.fixture
def deaf(monkeypatch) -> None:
    """A song that must not be listened to."""

    def listens(*arguments: object, **options: object) -> None:
        raise AssertionError("it listened")

    monkeypatch.setattr(audioreactive.features, "analyze_file", listens)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "words",
    [["render", "{}"], ["analyze", "{}"], ["score", "{}"], ["sheet", "{}", "--seeds", "1", "-o", "a.png"],
     ["render", "--demo", "--model", "{}"], ["render", "--demo", "--stem", "drums={}"],
     ["render", "--demo", "--preset", "{}"], ["model", "inspect", "{}"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_web_address_is_told_apart(call, tmp_path, monkeypatch, words, address: str) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*(word.format(address) for word in words))
    assert done.code == 2
    assert "is a web address: download it" in done.err and "on this computer" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_called_like_an_address_is_a_file(call, song, model, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(song, "www.example.com.wav")
    assert call("render", "www.example.com.wav", "--model", model, "--duration", 0.2, "-q").code == 0


def test_of_several_songs_the_folder_is_made(call, song, model, tmp_path) -> None:
    for name in ("a.wav", "b.wav"):
        shutil.copy(song, tmp_path / name)
    songs, goal = [tmp_path / "a.wav", tmp_path / "b.wav"], tmp_path / "deep" / "many"
    done = call("render", *songs, "-o", goal, "--model", model, "--duration", 0.2, "-q")
    assert done.code == 0, done.err
    assert sorted(path.name for path in goal.iterdir()) == ["a.mp4", "b.mp4"]


def test_a_folder_that_nothing_came_into_is_not_left(call, song, model, tmp_path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"no sound")
    songs = [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert call("render", *songs, "-o", tmp_path / "many", "--model", model, "-q").code == 1
    assert not (tmp_path / "many").exists()
    for name in ("a.wav", "b.wav"):
        shutil.copy(song, tmp_path / name)
    done = call("render", *songs, "-o", tmp_path / "many", "--model", model, "--dry-run", "-q")
    assert done.code == 0, done.err
    assert not (tmp_path / "many").exists()


@pytest.mark.parametrize("name", ["taken", "video.mp4", "video.GIF"])
def test_of_several_songs_a_video_or_a_file_is_no_folder(call, song, tmp_path, name: str) -> None:
    (tmp_path / "taken").write_bytes(b"x")
    done = call("render", song, tmp_path / "other.wav", "-o", tmp_path / name)
    assert done.code == 2 and "-o names a folder" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "{}/no.pkl"], "no.pkl"),
        (["--model", "{}/text.pkl"], "text.pkl"),
        (["--model", "{}/half.safetensors"], "half.safetensors"),
        (["--model", "{model}", "--label", "3"], "label 3"),
        (["--label", "99"], "label 99"),
        (["--model", "{model}", "--size", "4000x200"], "to widen the picture"),
        (["-o", "{}/x.mp5"], "not a known kind of video"),
        (["-o", "{}/none/x.mp4"], "does not exist"),
        (["-o", "{}/x.gif", "--fps", "60"], "50"),
        (["-o", "{}/x.mkv", "--encoder", "nvenc"], "nvenc"),
        (["--duration", "0"], "not positive"),
        (["--device", "cuda:7"], "cuda"),
        (["--preset", "puls"], "pulse"),
    ],
)
def test_mistakes_are_told_before_listening(call, deaf, song, model, tmp_path, options, message: str) -> None:
    (tmp_path / "text.pkl").write_text("no model")
    (tmp_path / "half.safetensors").write_bytes(model.read_bytes()[:500])
    before = sorted(path.name for path in tmp_path.iterdir())
    words = [option.format(tmp_path, model=model) for option in options]
    output = [] if "-o" in words else ["-o", tmp_path / "x.mp4"]
    done = call("render", song, *words, *output)
    assert done.code == 2 and message in done.err, done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_good_render_does_listen(deaf, call, song, model, tmp_path) -> None:
    with pytest.raises(AssertionError, match="it listened"):
        call("render", song, "--model", model, "-o", tmp_path / "x.mp4")


def test_a_draft_is_every_second_frame_of_the_same_motion(call, song, model, tmp_path) -> None:
    whole, draft = tmp_path / "whole.mkv", tmp_path / "draft.mkv"
    common = ["render", song, "--model", model, "--seed", 4, "--start", 0.5, "--duration", 1, "--size", "64x36", "-q"]
    assert call(*common, "-o", whole).code == 0
    assert call(*common, "-o", draft, "--draft").code == 0
    full, half = np.stack(list(read_frames(whole))), np.stack(list(read_frames(draft)))
    assert probe(draft).fps == Fraction(12) and len(half) == 12
    # Batches are of other frames: numbers may differ in their last bits.
    assert np.abs(half.astype(int) - full[::2]).max() <= 2
    again = load_preset(str(draft))
    assert again.patch == load_preset(str(whole)).patch
    assert (again.render.fps, again.render.size) == ("24", "64x36")  # it gives the whole video


def test_a_draft_is_small(call, song, model, tmp_path) -> None:
    draft = tmp_path / "d.mp4"
    words = ["render", song, "--model", model, "--size", "1080p", "--duration", 0.3, "--draft", "-q", "-o", draft]
    assert call(*words).code == 0
    assert (probe(draft).width, probe(draft).height) == (480, 270)
    assert load_preset(str(draft)).render.size == "1920x1080"  # it gives the whole video


def test_a_draft_of_the_painter_is_sketched_by_every_worker_alike(call, song, tmp_path) -> None:
    common = ("render", song, "--model", "painter:silk", "--seed", 4, "--duration", 0.4, "--size", "1280x720", "-q")
    alone, both, whole = tmp_path / "a.mkv", tmp_path / "b.mkv", tmp_path / "c.mkv"
    assert call(*common, "--draft", "-o", alone).code == 0
    assert call(*common, "--draft", "--workers", 2, "--chunk", 0.1, "-o", both).code == 0
    assert call(*common, "-o", whole).code == 0
    first, second = (np.stack(list(read_frames(path))) for path in (alone, both))
    assert np.array_equal(first, second)
    (large, *_) = read_frames(whole)
    small = cv2.resize(large, first[0].shape[1::-1], interpolation=cv2.INTER_AREA)
    assert 0.01 < np.abs(first[0].astype(int) - small).mean() < 6, "the same picture, painted anew"


def test_knobs_are_in_the_video(call, song, model, tmp_path) -> None:
    output = tmp_path / "k.mkv"
    words = ["--preset", "pulse", "--motion", 0.5, "--beat", 1.5, "--texture", 2, "--colour", 0.5, "--speed", 2]
    assert call("render", song, "--model", model, "--duration", 0.2, "-q", *words, "-o", output).code == 0
    given, carried = load_preset("pulse"), load_preset(str(output))
    halved = [reach * factor for reach, factor in zip(given.patch.latents.reach, (0.5, 0.5, 0.25), strict=True)]
    assert carried.patch.latents.reach == pytest.approx(halved)
    assert carried.patch.noise.strength == 2 * given.patch.noise.strength
    text = call("preset", "new", "--preset", "pulse", *words).out
    assert f"reach = {list(carried.patch.latents.reach)}" in text


def test_a_knob_that_changes_nothing_says_so(call, song, model, tmp_path) -> None:
    still = "noise.sequences = []"
    words = ["--preset", "pulse", "--beat", 2, "--set", "latents.sequences = []", "--set", still,
             "--set", "noise.amplitude.envelope.feature = chroma"]  # fmt: skip
    done = call("render", song, "--model", model, "--dry-run", *words[:-1], "noise.amplitude.envelope.feature = rms")
    assert done.code == 0, done.err
    assert "--beat changes nothing: nothing in this preset answers hits" in done.err


@pytest.mark.parametrize("knob", ["--motion", "--beat", "--texture", "--colour", "--speed"])
@pytest.mark.parametrize("value", ["-1", "11", "much", "nan"])
def test_knobs_out_of_range_are_refused(call, song, knob: str, value: str) -> None:
    done = call("render", song, f"{knob}={value}", "--seed", 1)
    assert done.code == 2 and (knob in done.err or knob[2:] in done.err)


def test_best_of_foretells_and_names_the_winner_at_the_end(call, model, tmp_path) -> None:
    from audioreactive.media.demo import DEMO_SONG

    done = call("render", DEMO_SONG, "--model", model, "--best-of", 3, "--seed", 5, "-o", tmp_path / "b.mp4",
                "--start", 1, "--duration", 0.2)  # fmt: skip
    assert done.code == 0, done.err
    lines = [line for line in done.err.replace("\r", "\n").splitlines() if line.startswith("note: ")]
    foretold = next(i for i, line in enumerate(lines) if "choosing the best of 3 presets takes" in line)
    assert "about" in lines[foretold] or "less than a second" in lines[foretold]
    seed = load_preset(str(tmp_path / "b.mp4")).made_with.seed
    last = lines[-1]
    assert foretold < len(lines) - 1
    assert f"the best of 3 was seed {seed}, with a score of" in last and "deviations above chance" in last
    assert done.err.rindex("rendering") < done.err.rindex(last)


@pytest.mark.parametrize("dry", [False, True])
def test_the_score_of_what_evolved_is_said_once(call, model, tmp_path, monkeypatch, dry: bool) -> None:
    from audioreactive.media.demo import DEMO_SONG
    from audioreactive.pipeline import evolve as module

    monkeypatch.setattr(module, "evolve", lambda patch, *_, count, **__: module.Evolution(patch, 5.0, 2.0, count))
    more = ("--dry-run", "--save-preset", tmp_path / "e.toml") if dry else ("--start", 1, "--duration", 0.2)
    done = call("render", DEMO_SONG, "--model", model, "--evolve", 8, "--seed", 5, "-o", tmp_path / "e.mp4", *more)
    assert done.code == 0, done.err
    said = [line for line in done.err.replace("\r", "\n").splitlines() if "above chance" in line]
    assert len(said) == 1 and "of 8 presets that evolved" in said[0] and "seed 5" in said[0]


@pytest.mark.usefixtures("little_learning")
def test_hippo_foretells_from_its_first_steps(call, song, model, tmp_path) -> None:
    words = ["--synthesizer", "hippo", "--duration", 0.2, "-o", tmp_path / "h.mkv"]
    done = call("render", song, "--model", model, *words)
    assert done.code == 0, done.err
    assert "note: fitting the motion to the song takes" in done.err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "less than a second"), (12.4, "about 12 s"), (59.7, "about 1 min"), (200, "about 3 min"),
     (3600, "about 1 h 0 min"), (5000, "about 1 h 23 min")],
)  # fmt: skip
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_bars_count_frames_and_no_percent_a_second(capsys) -> None:
    with Bars().track("rendering", 50, "frame") as advance:
        advance(10)
    with Bars().track("listening", 100, "%") as advance:
        advance(10)
    frames, _, share = capsys.readouterr().err.partition("listening")
    assert "10 of 50 frames" in frames and "frames/s" in frames
    assert "%/s" not in share and " 10%" in share and "left" in share
