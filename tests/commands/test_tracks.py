"""`--track`: a film with several sounds, through the real command."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from audioreactive.media.audio import load
from audioreactive.media.ffmpeg import ffmpeg_path
from audioreactive.video import read_frames

if TYPE_CHECKING:
    from pathlib import Path

RATE = 22_050
SECONDS = 2
SHORT = ("--seed", 5, "--fps", 12, "-q")


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Silence, and two songs of different rhythm, by the number of their track."""
    folder, time = tmp_path_factory.mktemp("tracks"), np.arange(SECONDS * RATE) / RATE
    songs = {1: 0 * time}
    for number, period, pitch in ((2, 0.5, 220), (3, 0.31, 700)):
        songs[number] = 0.4 * np.sin(2 * np.pi * pitch * time) * np.exp(-(time % period) * 25)
    for number, samples in songs.items():
        soundfile.write(folder / f"{number}.wav", samples, RATE)
    return {number: folder / f"{number}.wav" for number in songs}


@pytest.fixture(scope="module")
def film(tracks: dict[int, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture and the three sounds; the silent one is the default."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    picture = ("-f", "lavfi", "-i", f"color=s=32x32:r=5:d={SECONDS}")
    sounds = [word for track in tracks.values() for word in ("-i", str(track))]
    maps = [word for number in range(4) for word in ("-map", str(number))]
    flags = ("-disposition:a:0", "default", "-disposition:a:1", "0", "-disposition:a:2", "0")
    command = [str(ffmpeg_path()), "-v", "error", *picture, *sounds, *maps, "-c:a", "flac", *flags, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


@pytest.mark.parametrize("number", [2, 3])
def test_the_chosen_track_moves_the_picture_and_is_played(call, film, tracks, model, tmp_path, number: int) -> None:
    chosen, alone = tmp_path / "chosen.mkv", tmp_path / "alone.mkv"
    common = ("--model", model, *SHORT)
    assert call("render", film, "--track", number, *common, "-o", chosen).code == 0
    assert call("render", tracks[number], *common, "-o", alone).code == 0
    np.testing.assert_array_equal(list(read_frames(chosen)), list(read_frames(alone)))
    heard = {track: load(path).samples for track, path in (*tracks.items(), (0, chosen))}
    near = {track: np.corrcoef(heard[0], heard[track])[0, 1] for track in (2, 3)}
    assert max(near, key=near.__getitem__) == number and near[number] > 0.95


def test_a_silent_default_track_is_passed_over_with_a_word(call, film, tracks, model, tmp_path) -> None:
    chosen, alone = tmp_path / "chosen.mkv", tmp_path / "alone.mkv"
    result = call("render", film, "--model", model, *SHORT[:-1], "-o", chosen)
    assert result.code == 0, result.err
    words = "film.mkv has 3 tracks of sound; track 2 (flac, mono) is used, as the default track 1 is silent"
    assert words in " ".join(result.err.split())
    assert call("render", tracks[2], "--model", model, *SHORT, "-o", alone).code == 0
    np.testing.assert_array_equal(list(read_frames(chosen)), list(read_frames(alone)))


@pytest.mark.parametrize("command", ["render", "analyze"])
@pytest.mark.parametrize(
    ("number", "words"),
    [("4", "film.mkv' has 3 tracks of sound, and no track 4"), ("64", "no track 64"), ("0", "'--track'"),
     ("-1", "'--track'"), ("65", "'--track'"), ("two", "'--track'"), ("1.5", "'--track'")],
)  # fmt: skip
def test_a_track_that_is_not_there_is_a_sentence(
    call, film, model, tmp_path, command: str, number: str, words: str
) -> None:
    more = ("--model", model, "-o", tmp_path / "out.mp4") if command == "render" else ()
    result = call(command, film, "--track", number, *more)
    assert result.code == 2
    assert words in result.err and number in result.err
    last = result.err.strip().splitlines()[-1]
    assert last.lower().startswith("error: ") and "Traceback" not in result.err
    assert not list(tmp_path.iterdir())
