"""`render`, end to end: the real command, the real file, decoded."""

from __future__ import annotations

import itertools
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support import GOLDEN

from audioreactive.patches.presets import load_preset
from audioreactive.video import probe, read_frames


def frames_of(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


@pytest.mark.parametrize("missing", ["song", "stem", "model"])
def test_what_is_not_there_is_told_in_one_line_before_anything_begins(call, song, model, tmp_path, missing) -> None:
    here = {"song": song, "stem": song, "model": model, missing: tmp_path / "none"}
    words = [here["song"], "--stem", f"drums={here['stem']}", "--model", here["model"], "-o", tmp_path / "out.mp4"]
    result = call("render", *words)
    assert result.code == 2 and not list(tmp_path.iterdir())
    assert result.err.startswith("error: there is no ") and result.err.count("\n") == 1 and "none" in result.err


def test_a_song_becomes_a_video_with_sound_and_its_recipe(call, song, model, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    result = call("render", song, "--model", model, "--seed", 7, "--fps", "30000/1001", "-o", out)
    assert result.code == 0, result.err
    assert result.out.strip() == str(out)
    info = probe(out)
    assert (info.width, info.height, info.fps) == (32, 32, Fraction(30000, 1001))
    assert len(list(read_frames(out))) == 90
    assert list(tmp_path.iterdir()) == [out]
    preset = load_preset(str(out))
    assert preset.made_with.seed == 7
    assert (preset.render.fps, preset.render.size) == ("30000/1001", "32x32")
    assert preset.made_with.model == "small.safetensors"


def test_the_same_recipe_gives_the_same_pixels_whole_or_in_part(call, song, model, tmp_path) -> None:
    whole, again, part, copy = (tmp_path / f"{name}.mkv" for name in ("whole", "again", "part", "copy"))
    common = ("--model", model, "--quiet")
    assert call("render", song, *common, "--seed", 3, "-o", whole).code == 0
    assert call("render", song, *common, "--seed", 3, "-o", again).code == 0
    assert call("render", song, *common, "--seed", 3, "--start", "1.1", "--duration", "0.9", "-o", part).code == 0
    assert call("render", song, *common, "--preset", whole, "-o", copy).code == 0
    expected = frames_of(whole)
    assert expected.shape == (72, 32, 32, 3)
    assert expected.std(axis=0).mean() > 2  # it moves
    np.testing.assert_array_equal(frames_of(again), expected)
    np.testing.assert_array_equal(frames_of(copy), expected)
    np.testing.assert_array_equal(frames_of(part), expected[27:49])  # frame 27 is the first at or after 1.1 s


def test_a_video_renders_again_at_its_own_rate_size_and_fit(call, song, model, tmp_path) -> None:
    first, again, other = (tmp_path / f"{name}.mkv" for name in ("first", "again", "other"))
    common = ("--model", model, "--duration", 0.5, "-q")
    shape = ("--fps", 12, "--size", "48x32", "--fit", "stretch")
    assert call("render", song, *common, "--seed", 3, *shape, "-o", first).code == 0
    assert call("render", song, *common, "--preset", first, "-o", again).code == 0
    np.testing.assert_array_equal(frames_of(again), frames_of(first))
    assert (probe(again).fps, probe(again).width) == (12, 48)
    assert call("render", song, *common, "--preset", first, "--fps", 24, "--size", "32x32", "-o", other).code == 0
    assert (probe(other).fps, probe(other).width) == (24, 32)


def test_another_batch_moves_hardly_a_pixel(call, song, model, tmp_path) -> None:
    four, three = tmp_path / "4.mkv", tmp_path / "3.mkv"
    for batch, path in ((4, four), (3, three)):
        look = ("--model", model, "--seed", 3, "--precision", "fp32", "--batch", batch)
        assert call("render", song, *look, "-q", "-o", path).code == 0
    difference = np.abs(frames_of(four).astype(int) - frames_of(three)).max(axis=-1)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_the_song_chooses_the_seed(call, song, model, tmp_path) -> None:
    renamed = tmp_path / "other name.wav"
    shutil.copy(song, renamed)
    louder = tmp_path / "louder.wav"
    sound, rate = soundfile.read(song)
    soundfile.write(louder, sound * 1.1, rate)
    seeds = []
    for source in (song, renamed, louder):
        preset = tmp_path / f"{source.stem}.toml"
        arguments = ("--model", model, "--dry-run", "--save-preset", preset, "-o", tmp_path / "x.mp4")
        assert call("render", source, *arguments).code == 0
        seeds.append(load_preset(str(preset)).made_with.seed)
    assert seeds[0] == seeds[1] != seeds[2]
    assert not (tmp_path / "x.mp4").exists()


def test_a_rolled_seed_is_written_down(call, song, model, tmp_path) -> None:
    seeds = set()
    for name in "abc":
        path = tmp_path / f"{name}.toml"
        assert call("render", song, "--model", model, "--seed", "random", "--dry-run", "--save-preset", path).code == 0
        seeds.add(load_preset(str(path)).made_with.seed)
    assert len(seeds) > 1


@pytest.mark.parametrize("name", ["out.webm", "out.mov", "out.mkv", "frames"])
def test_every_kind_of_output(call, song, model, tmp_path, name: str) -> None:
    out = tmp_path / name
    result = call("render", song, "--model", model, "--seed", 1, "--duration", 1, "-q", "-o", out)
    assert result.code == 0, result.err
    assert frames_of(out).shape == (24, 32, 32, 3)
    assert load_preset(str(out)).made_with.seed == 1


@pytest.mark.parametrize(
    ("size", "fit", "expected"),
    [
        ("96x54", None, (96, 54)),
        ("54x96", "crop", (54, 96)),
        ("64x48", "pad", (64, 48)),
        ("33x35", "stretch", (34, 36)),
    ],
)
def test_any_shape(call, song, model, tmp_path, size: str, fit: str | None, expected: tuple[int, int]) -> None:
    out = tmp_path / "out.mp4"
    fits = ("--fit", fit) if fit else ()
    result = call("render", song, "--model", model, "--seed", 1, "--duration", 0.2, "--size", size, *fits, "-o", out)
    assert result.code == 0, result.err
    info = probe(out)
    assert (info.width, info.height) == expected
    rounded = "33x35 is rounded to 34x36" in result.err
    assert rounded == (size == "33x35")


def test_set_palette_truncation_and_presets_meet(call, song, model, tmp_path) -> None:
    out = tmp_path / "out.toml"
    arguments = (
        "--preset", "pulse", "--palette", "66,230,389-391", "--truncation", 0.5, "--set", "noise.strength *= 0.5",
        "--set", "latents.sequences.0.intensity = 0.25", "--dry-run", "--save-preset", out,
    )  # fmt: skip
    result = call("render", song, "--model", model, *arguments)
    assert result.code == 0, result.err
    preset = load_preset(str(out))
    assert preset.patch.palette.seeds == (66, 230, 389, 390, 391)
    assert preset.patch.palette.truncation == 0.5
    assert preset.patch.noise.strength == 0.5
    assert preset.patch.latents.sequences[0].intensity == 0.25
    assert "hears    chroma, hits, percussive.rms, rms, spectral_contrast, sections of mfcc\n" in result.out


def test_without_motion_every_frame_is_the_same_picture(call, song, model, tmp_path) -> None:
    for name, of in (("network", model), ("painting", "painter:ink")):
        out = tmp_path / f"{name}.mkv"
        words = ("--model", of, "--seed", 7, "--motion", 0, "--size", "64x48", "--duration", 1, "-q", "-o", out)
        assert call("render", song, *words).code == 0
        frames = frames_of(out).astype(int)
        assert np.abs(frames - frames[0]).max() <= 1, "rounding of the last bit, if anything"
        assert frames[0].std() > 5


def test_the_painter_has_thirty_frames_a_second_however_it_is_asked_for(call, song, model, tmp_path) -> None:
    def planned(*words) -> str:
        done = call("render", *words, "--seed", 1, "--dry-run", "-q")
        assert done.code == 0, done.err
        return done.out

    for words in ((), ("--model", "painter"), ("--model", "painter:ink")):
        assert " at 30 a second" in planned(song, *words), words
    assert " at 24 a second" in planned(song, "--model", model)
    shutil.copy(song, tmp_path / "other.wav")
    assert planned(song, tmp_path / "other.wav", "-o", tmp_path / "new").count(" at 30 a second") == 2


def test_a_stem_is_a_source(call, song, model, tmp_path) -> None:
    arguments = ("--model", model, "--preset", "pulse", "--duration", 0.5, "-q")
    stem = ("--set", "latents.sequences.1.modulator.feature = drums.onsets")
    refused = call("render", song, *arguments, *stem, "-o", tmp_path / "no.mp4")
    assert refused.code == 2
    assert "--stem drums=FILE" in refused.err
    result = call("render", song, *arguments, *stem, "--stem", f"drums={song}", "-o", tmp_path / "out.mp4")
    assert result.code == 0, result.err


class Payload:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def bad_files(folder: Path) -> dict[str, Path]:
    """Songs and models that are none."""
    files = {name: folder / name for name in ("text.mp3", "empty.wav", "nan.wav", "zip.pkl", "page.pkl", "evil.pkl",
                                              "cut.pkl", "discriminator.pt", "silent.wav", "short.wav")}  # fmt: skip
    files["text.mp3"].write_text("These are words, not sound.\n" * 50)
    files["empty.wav"].write_bytes(b"")
    soundfile.write(files["nan.wav"], np.array([0.1, np.nan, 0.2] * 999, np.float32), 44100, subtype="FLOAT")
    with zipfile.ZipFile(files["zip.pkl"], "w") as archive:
        archive.writestr("readme.txt", "no model")
    files["page.pkl"].write_text("<!DOCTYPE html><html><body>Sign in to download</body></html>")
    files["evil.pkl"].write_bytes(pickle.dumps({"G_ema": Payload()}))
    files["cut.pkl"].write_bytes((GOLDEN / "nvidia_skip64.pkl").read_bytes()[:50_000])
    import torch

    torch.save({"d": {"convs.0.0.weight": torch.zeros(4, 3, 1, 1)}}, files["discriminator.pt"])
    soundfile.write(files["silent.wav"], np.zeros(44100), 44100)
    soundfile.write(files["short.wav"], np.sin(np.arange(2205) / 5) * 0.5, 44100)
    return files


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.mp3"], "nowhere.mp3"),
        (["text.mp3"], "text.mp3"),
        (["empty.wav"], "empty.wav"),
        (["nan.wav"], "nan.wav"),
        (["SONG", "--model", "nowhere.pkl"], "nowhere.pkl"),
        (["SONG", "--model", "zip.pkl"], "zip.pkl"),
        (["SONG", "--model", "page.pkl"], "page.pkl"),
        (["SONG", "--model", "evil.pkl"], "mkdir"),
        (["SONG", "--model", "cut.pkl"], "cut.pkl"),
        (["SONG", "--model", "discriminator.pt"], "discriminator"),
        (["SONG", "--model", "SONG"], "song.wav"),
        (["SONG", "-o", "no/such/folder/out.mp4"], "no/such/folder"),
        (["SONG", "-o", "out.avi"], ".avi"),
        (["SONG", "--preset", "nope"], "there is no preset 'nope'"),
        (["SONG", "--preset", "pulse", "--seed", "3"], "leave one of them out"),
        (["SONG", "--preset", "pulse", "--set", "x = 1"], "unknown key 'x'"),
        (["SONG", "--fps", "0"], "frame rate '0'"),
        (["SONG", "--fps", "1/0"], "frame rate '1/0'"),
        (["SONG", "--fps", "1e999999999"], "frame rate '1e999999999'"),
        (["SONG", "--start", "1e999999999"], "'1e999999999' is not a time"),
        (["SONG", "--chunk", "-5"], "'-5' is not a time"),
        (["SONG", "--size", "12"], "size '12'"),
        (["SONG", "--start", "99"], "lasts 3.00 s"),
        (["SONG", "--duration", "0"], "not positive"),
        (["SONG", "--device", "cuda:7"], "cuda:7"),
        (["SONG", "--label", "3"], "the model has no classes"),
        (["SONG", "--palette", "5-1"], "5-1"),
        (["SONG", "--seed", "-1"], "-1"),
        (["SONG", "--stem", "rms=x.wav"], "rms"),
        (["SONG", "--truncation", "9"], "9"),
        (["SONG", "--nonsense"], "--nonsense"),
        ([], "give a song, or --demo"),
    ],
)  # fmt: skip
def test_bad_input_is_a_sentence(call, song, model, tmp_path, monkeypatch, arguments: list[str], words: str) -> None:
    monkeypatch.chdir(tmp_path)
    bad_files(tmp_path)
    before = sorted(tmp_path.iterdir())
    arguments = [str(song) if argument == "SONG" else argument for argument in arguments]
    if arguments and "--model" not in arguments:
        arguments += ["--model", str(model)]
    if arguments and "-o" not in arguments:
        arguments += ["-o", "out.mp4"]
    result = call("render", *arguments)
    assert result.code == 2
    assert words in result.err
    assert "Traceback" not in result.err
    assert len(result.err.strip().splitlines()[-1]) < 700
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["silent.wav", "short.wav"])
def test_silence_and_a_blink_of_sound_are_rendered(call, model, tmp_path, name: str) -> None:
    out = tmp_path / "out.mkv"
    result = call("render", bad_files(tmp_path)[name], "--model", model, "--seed", 2, "-q", "-o", out)
    assert result.code == 0, result.err
    frames = frames_of(out)
    assert len(frames) == (24 if name == "silent.wav" else 2)
    if name == "silent.wav":  # calm: no jumps, whatever the recipe
        steps = np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
        assert steps.max() < 12


def test_an_existing_file_is_kept_without_overwrite(call, song, model, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("precious")
    arguments = ("render", song, "--model", model, "--seed", 1, "--duration", 0.2, "-q", "-o", out)
    refused = call(*arguments)
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert out.read_text() == "precious"
    assert call(*arguments, "--overwrite").code == 0
    assert probe(out).width == 32


@pytest.mark.parametrize("name", ['it\'s a "song" %d.wav', "-dash.wav", "new\nline.wav", "ünïcode ☃.wav", "a:b.wav"])
def test_a_name_is_just_a_name(call, song, model, tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(song, tmp_path / name)
    result = call("render", "--model", model, "--seed", 1, "--duration", 0.2, "-q", "--", name)
    assert result.code == 0, result.err
    assert probe(tmp_path / Path(name).with_suffix(".mp4")).width == 32


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_scheduler_may_close_all_streams(song, model, tmp_path, closed: str) -> None:
    code = "from audioreactive.commands import render_main; render_main()"
    words = (sys.executable, "-c", code, song, "--model", model, "--duration", "0.2", "-o", out := tmp_path / "a.mp4")
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *map(str, words)], capture_output=True)
    assert (done.returncode, probe(out).frames) == (0, 5)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("words", [("missing.wav",), ("--bogus",)])
def test_a_log_on_a_full_disk_leaves_the_exit_code(words: tuple[str, ...], tmp_path: Path) -> None:
    code = "from audioreactive.commands import render_main; render_main()"
    with Path("/dev/full").open("w") as full:
        assert subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, stderr=full).returncode == 2


def test_help_needs_nothing_heavy() -> None:
    heavy = "{'torch', 'librosa', 'scipy', 'numpy', 'pydantic', 'matplotlib'}"
    for module, name in (("audioreactive.commands.render", "render"), ("audioreactive.commands", "audioreactive")):
        code = (
            "import sys, importlib\n"
            f"command = importlib.import_module({module!r})\n"
            f"getattr(command, 'command', getattr(command, 'group', None)).main(['--help'], standalone_mode=False)\n"
            f"sys.exit(len({heavy} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, (name, done.stderr)
        assert "Usage" in done.stdout


def test_python_renders_too(song, model, tmp_path) -> None:
    import audioreactive

    half = Fraction(1, 2)
    out = audioreactive.render(song, tmp_path / "a.mkv", model=model, preset="tides", duration=half)
    assert (out.frames, out.preset.patch.palette) == (12, load_preset("tides").patch.palette)
    patch = audioreactive.random_patch(1)
    audioreactive.render(song, tmp_path / "b.mkv", model=model, patch=patch, duration=half)
    assert load_preset(str(tmp_path / "b.mkv")).patch == patch
    with pytest.raises(audioreactive.AudioReactiveError, match="leave one of them out"):
        audioreactive.render(song, tmp_path / "c.mkv", patch=patch, seed=1)


def test_presets_differ_on_one_song(call, song, model, tmp_path) -> None:
    pictures = {}
    for name in ("pulse", "chords", "tides"):
        out = tmp_path / f"{name}.mkv"
        assert call("render", song, "--model", model, "--preset", name, "-q", "-o", out).code == 0
        pictures[name] = frames_of(out).astype(int)
    for first, second in itertools.combinations(pictures.values(), 2):
        assert np.abs(first - second).mean() > 3
