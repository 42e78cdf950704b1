"""The demo song is what its script composes, and what its ground truth says can be heard in it."""

import importlib.util
import itertools
import json
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from audioreactive.media.demo import DEMO_SONG, ground_truth
from audioreactive.video import ffmpeg_path

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "demo_song.py"
ANALYSIS_RATE = 22050


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("demo_song", SCRIPT)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    """(N, 2) float32, decoded."""
    samples, sample_rate = soundfile.read(DEMO_SONG, dtype="float32")
    assert sample_rate == ground_truth().sample_rate
    return samples


@pytest.fixture(scope="module")
def mono(song: np.ndarray) -> np.ndarray:
    import librosa

    return librosa.resample(song.mean(1), orig_sr=ground_truth().sample_rate, target_sr=ANALYSIS_RATE)


def matches(found: np.ndarray, truth: np.ndarray, tolerance: float) -> int:
    """How many times of the truth have a found time to themselves within the tolerance (both sorted)."""
    count = position = 0
    for time in truth:
        while position < len(found) and found[position] < time - tolerance:
            position += 1
        if position < len(found) and found[position] <= time + tolerance:
            count, position = count + 1, position + 1
    return count


def f_measure(found: np.ndarray, truth: np.ndarray, tolerance: float = 0.05) -> float:
    return 2 * matches(found, truth, tolerance) / (len(found) + len(truth))


def test_the_file_is_what_the_script_composes(script: ModuleType, song: np.ndarray) -> None:
    composed = script.compose()
    assert composed.dtype == np.float32 and composed.shape == song.shape
    # Vorbis keeps the wave but for the finest noise.
    for side in range(2):
        assert np.corrcoef(composed[:, side], song[:, side])[0, 1] > 0.995
    assert json.loads(DEMO_SONG.with_name("demo.json").read_text()) == script.truth()


def test_the_package_stays_small() -> None:
    assert DEMO_SONG.stat().st_size < 700_000


def test_the_truth_hangs_together() -> None:
    truth = ground_truth()
    beat = 60 / truth.tempo
    np.testing.assert_allclose(np.diff(truth.beats), beat, rtol=0, atol=2e-6)
    assert truth.downbeats == truth.beats[::4] and len(truth.beats) == 4 * 12 + 1
    assert [section.label for section in truth.sections] == ["A", "B", "A", "B"]
    for spans in (truth.sections, truth.chords):
        assert spans[0].start == truth.beats[0] and spans[-1].end == truth.duration
        assert all(a.end == b.start for a, b in itertools.pairwise(spans))
    assert all(section.start in truth.downbeats for section in truth.sections)
    on_grid = (np.array(truth.onsets) - truth.beats[0]) / (beat / 4)
    np.testing.assert_allclose(on_grid, np.round(on_grid), rtol=0, atol=1e-4)


def test_it_begins_and_ends_cleanly(song: np.ndarray) -> None:
    first = round(ground_truth().beats[0] * ground_truth().sample_rate)
    # Vorbis smears a hit over one short window before it, of 256 samples.
    assert np.abs(song[: first - 256]).max() < 1e-2 < np.abs(song[first : first + 256]).max()
    assert np.abs(song[-100:]).max() < 1e-3
    assert 24 < len(song) / ground_truth().sample_rate < 27


def test_it_is_as_loud_as_streamed_music_and_never_clips(song: np.ndarray) -> None:
    command = [str(ffmpeg_path()), "-hide_banner", "-i", str(DEMO_SONG), "-af", "ebur128=peak=true", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stderr
    summary = said[said.rindex("Summary") :].split()
    loudness, peak = (float(summary[summary.index(unit) - 1]) for unit in ("LUFS", "dBFS"))
    assert abs(loudness + 14) < 0.3 and peak < -1
    assert np.abs(song).max() < 0.95


def test_every_stroke_is_heard(mono: np.ndarray) -> None:
    import librosa

    struck = librosa.effects.percussive(mono, margin=8)
    found = librosa.onset.onset_detect(y=struck, sr=ANALYSIS_RATE, units="time")
    assert f_measure(found, np.array(ground_truth().onsets)) >= 0.98


def test_tempo_and_beats_are_found(mono: np.ndarray) -> None:
    import librosa

    truth = ground_truth()
    tempo, beats = librosa.beat.beat_track(y=mono, sr=ANALYSIS_RATE, units="time")
    assert abs(tempo.item() / truth.tempo - 1) < 0.01
    assert f_measure(beats, np.array(truth.beats), 0.07) > 0.95


def test_sections_return_and_differ(mono: np.ndarray) -> None:
    import librosa

    harmonic = librosa.effects.harmonic(mono, margin=8)
    for feature in (
        librosa.feature.chroma_cens(y=harmonic, sr=ANALYSIS_RATE),
        librosa.feature.mfcc(y=mono, sr=ANALYSIS_RATE, n_mfcc=20)[1:],
        librosa.feature.rms(y=mono),
    ):
        times = librosa.times_like(feature, sr=ANALYSIS_RATE)
        means = [
            feature[:, (times >= section.start) & (times < min(section.end, ground_truth().beats[-1]))].mean(1)
            for section in ground_truth().sections
        ]
        a, b, a_again, b_again = means
        same = max(np.linalg.norm(a - a_again), np.linalg.norm(b - b_again))
        different = min(np.linalg.norm(first - second) for first in (a, a_again) for second in (b, b_again))
        assert different > 3 * same


def test_chords_sound(mono: np.ndarray) -> None:
    """In the seconds of each chord, its root is among its four strongest notes."""
    import librosa

    chroma = librosa.feature.chroma_cqt(y=librosa.effects.harmonic(mono), sr=ANALYSIS_RATE)
    times = librosa.times_like(chroma, sr=ANALYSIS_RATE)
    for chord in ground_truth().chords:
        strength = chroma[:, (times >= chord.start) & (times < chord.end)].mean(1)
        root = librosa.note_to_midi(chord.label.split(":")[0] + "4") % 12
        assert root in np.argsort(strength)[-4:]
