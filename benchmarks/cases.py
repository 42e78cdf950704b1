"""Do the cases that people sent come out right?

Runs every script of a folder of cases (each makes a small odd or hostile file, or attacks a render; its docstring says
what is right) and judges what the program does with it. Prints a table; the exit code is 1 where a case is wrong, or
where the folder has one that this script does not know.

    python benchmarks/cases.py FOLDER
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import soundfile

import audioreactive as ar
from audioreactive.media.audio import Audio, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from audioreactive.features import Features

Verdict = tuple[str, bool, str]
"""A part of a case: its name, whether it came out right, and the figures."""

FPS: Final = 24
MAX_SECONDS: Final = 2.0
MAX_MEGABYTES: Final = 300.0
"""Most processor time and memory in which a hostile model file is refused, beyond what starting the program takes."""


def make(script: Path, *arguments: object) -> None:
    """Let a case make its files here."""
    subprocess.run([sys.executable, str(script), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    command = [sys.executable, "-m", "audioreactive", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that a command printed."""
    return (done.stderr or done.stdout).strip().splitlines()[-1][:90] if (done.stderr or done.stdout).strip() else ""


def hear(path: str) -> Features:
    """A song's features."""
    return ar.analyze_file(path, fps=FPS)


def mono(audio: Audio) -> npt.NDArray[np.float32]:
    """The mean of the channels."""
    return np.asarray(audio.samples.mean(1) if audio.samples.ndim == 2 else audio.samples)


def cleanly_refused(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether it ended with 2 and a sentence."""
    return done.returncode == 2 and "Traceback" not in done.stderr and bool(done.stderr.strip())


def antiphase(script: Path) -> Iterator[Verdict]:
    """Strokes in opposite phase, against one channel alone."""
    make(script)
    samples, rate = soundfile.read("antiphase.wav")
    soundfile.write("left.wav", samples[:, 0], rate)
    both, left = hear("antiphase.wav"), hear("left.wav")
    yield "tempo", abs(both.tempo / 125 - 1) < 0.02, f"{both.tempo:.1f} BPM"
    yield "beats", np.array_equal(both.beats, left.beats), f"{len(both.beats)}, as of the left channel"
    for name in ("onsets", "rms"):
        like = float(np.corrcoef(both[name].ravel(), left[name].ravel())[0, 1])
        most = float(both[name].max())
        yield name, like > 0.99 and most > 0.99, f"correlation with the left channel {like:.4f}, {most:.2f} at most"


def crashed_recorder(script: Path) -> Iterator[Verdict]:
    """A header that was never completed."""
    make(script)
    audio = load(Path("crashed_recorder.wav"))
    seconds = float(audio.duration)
    yield "heard with a note", abs(seconds - 6) < 0.01 and bool(audio.notes), f"{seconds:.2f} s; {audio.notes[0]}"


def cut_off_iff(script: Path) -> Iterator[Verdict]:
    """Halves of files."""
    make(script)
    for name in ("cut.aiff", "cut.au", "cut.w64", "cut_rf64.wav"):
        audio = load(Path(name))
        told = any("cut off" in note for note in audio.notes)
        yield name, told and abs(float(audio.duration) - 3) < 0.05, f"{float(audio.duration):.2f} s; {audio.notes}"


def dc_offset(script: Path) -> Iterator[Verdict]:
    """Offsets against the song without one."""
    make(script, "plain.wav", 0)
    plain = hear("plain.wav")
    for offset in (0.3, 0.05):
        make(script, "offset.wav", offset)
        song = hear("offset.wav")
        quiet, loud = slice(9 * FPS, 11 * FPS), slice(0, 8 * FPS)
        rms, weight = song["rms"].ravel(), song["drop_weight"].ravel()
        yield f"{offset}: loudness", float(rms[quiet].mean()) < 0.1, f"{float(rms[quiet].mean()):.3f} where it is quiet"
        lighter = bool(weight[quiet].mean() < weight[loud].mean())
        yield f"{offset}: weight", lighter, f"{float(weight[quiet].mean()):.2f} where it is quiet"
        for name in ("rms", "drop_weight", "harmonic.rms"):
            like = float(np.corrcoef(song[name].ravel(), plain[name].ravel())[0, 1])
            yield f"{offset}: {name}", like > 0.95, f"correlation {like:.4f}"


def default_track(script: Path) -> Iterator[Verdict]:
    """A silent track before the default one."""
    make(script)
    audio = load(Path("default_track.mkv"))
    level = float(np.sqrt((mono(audio) ** 2).mean()))
    yield "the default track", level > 0.03, f"rms {level:.3f}"


def late_sound(script: Path) -> Iterator[Verdict]:
    """Sound that begins late."""
    make(script)
    audio = load(Path("late_sound.mp4"))
    hurt = any("damaged" in note or "cut off" in note for note in audio.notes)
    yield "whole", not hurt and float(audio.duration) > 5.9, f"{float(audio.duration):.2f} s; {audio.notes}"


def sound_of_the_video(song: str) -> Iterator[Verdict]:
    """Whether each eighth of a video's sound is the song's, as it was analysed."""
    done = program("render", song, "-o", "out.mp4", "--size", "64x36", "--model", "painter:ink", "--seed", 1, "-q")
    if done.returncode:
        yield song, False, last_line(done)
        return
    audio = load(Path(song))
    heard, coded = mono(audio), mono(load(Path("out.mp4")))
    parts = zip(*(np.array_split(sound[: min(len(heard), len(coded))], 8) for sound in (heard, coded)), strict=True)
    least = min(float(np.corrcoef(a, b)[0, 1]) for a, b in parts)
    whole = abs(len(heard) - len(coded)) < 0.1 * audio.sample_rate
    yield (
        "sound",
        least > 0.95 and whole,
        f"correlation {least:.3f} at least, of {len(coded) / audio.sample_rate:.1f} s",
    )
    peak = float(np.abs(coded).max())
    yield "level", 0.3 < peak < 1.2, f"peak {peak:.2f}"
    Path("out.mp4").unlink()


def float_of_integers(script: Path) -> Iterator[Verdict]:
    """Floats with the values of integers."""
    make(script)
    yield from sound_of_the_video("float_of_integers.wav")


def midstream_change(script: Path) -> Iterator[Verdict]:
    """Mono, then stereo."""
    make(script)
    yield from sound_of_the_video("midstream_change.mp3")


def inspected(path: Path) -> Verdict:
    """Whether a hostile model file is refused soon, in little memory."""
    run = (
        "import resource, runpy, sys, torch, audioreactive.commands\n"
        "def used(): use = resource.getrusage(resource.RUSAGE_SELF); "
        "return use.ru_utime + use.ru_stime, use.ru_maxrss / 1024\n"
        "seconds, megabytes = used()\n"
        "try: runpy.run_module('audioreactive', run_name='__main__')\n"
        "finally: print('USED', used()[0] - seconds, used()[1] - megabytes, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", run, "model", "inspect", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    said, _, figures = done.stderr.rpartition("USED")
    seconds, megabytes = map(float, figures.split())
    good = done.returncode == 2 and "Traceback" not in said and seconds < MAX_SECONDS and megabytes < MAX_MEGABYTES
    size = path.stat().st_size / (1 << 20)
    return path.name, good, f"{size:.1f} MB: refused ({done.returncode}) in {seconds:.2f} s, {megabytes:.0f} MB"


def nested_pickle(script: Path) -> Iterator[Verdict]:
    """Storages within storages."""
    make(script, "nested.pkl", 200)
    yield inspected(Path("nested.pkl"))


def quadratic_models(script: Path) -> Iterator[Verdict]:
    """Many tensors of one storage."""
    Path("quadratic").mkdir()
    make(script, "quadratic", 32)
    for path in sorted(Path("quadratic").iterdir()):
        yield inspected(path)


def zero_models(script: Path) -> Iterator[Verdict]:
    """Networks of no channels or sizes that paint nothing."""
    Path("zero").mkdir()
    make(script, "zero")
    for path in sorted(Path("zero").iterdir()):
        done = program("render", "crashed_recorder.wav", "--model", path, "-o", "zero.mp4", "-q")
        yield path.name, cleanly_refused(done), last_line(done)


def shared_folder(script: Path) -> Iterator[Verdict]:
    """A link in another user's folder; needs root, who can become the attacker."""
    if os.geteuid():
        yield "another user's folder", True, "left out: only root can try it"
        return
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, encoding="utf-8", check=True)
    yield "another user's folder", "'precious\\n'" in done.stdout, done.stdout.strip().replace("\n", "; ")[-90:]


def workfolder(script: Path) -> Iterator[Verdict]:
    """A fifo in a work folder."""
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, encoding="utf-8", check=True)
    code = re.search(r"exit code (\d+)", done.stdout)
    yield "a fifo", code is not None and code[1] in "02", done.stdout.strip().splitlines()[-1]


def tempo(script: Path) -> Iterator[Verdict]:
    """Patterns of known tempo; trap at 70 may also be counted at 140."""
    alias = "import sys, audioreactive.media.audio as reader\nsys.modules['audioreactive.audio'] = reader\n"
    run = alias + script.read_text(encoding="utf-8")  # it knows the reader by another name
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, encoding="utf-8", check=True)
    for line in done.stdout.splitlines():
        found = re.match(r"(.+?)\s+true (\d+) got ([\d.]+) .* 90% (\d+)", line)
        assert found is not None, line
        name, true, got, late = found[1], float(found[2]), float(found[3]), float(found[4])
        fair = [true, 2 * true] if name == "trap" else [true]
        near = any(abs(got / reading - 1) < 0.02 for reading in fair)
        if got > 1.5 * true:  # counted twice as fast: its beats lie on true ones and between them
            late = min(late, abs(late - 30000 / true))
        yield f"{name} {true:g}", near and late < 70, f"{got:.1f} BPM, beats within {late:.0f} ms"


CASES: dict[str, Callable[[Path], Iterator[Verdict]]] = {
    "float_of_integers.py": float_of_integers,
    "midstream_change.py": midstream_change,
    "antiphase.py": antiphase,
    "dc_offset.py": dc_offset,
    "default_track.py": default_track,
    "crashed_recorder.py": crashed_recorder,
    "cut_off_iff.py": cut_off_iff,
    "late_sound.py": late_sound,
    "tempo.py": tempo,
    "shared_folder.py": shared_folder,
    "workfolder.sh": workfolder,
    "nested_pickle.py": nested_pickle,
    "quadratic_models.py": quadratic_models,
    "zero_models.py": zero_models,
}


def main() -> int:
    """Print the table; 0 if all is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    scripts = [path for path in folder.iterdir() if path.suffix in (".py", ".sh")]
    wrong = [path.name for path in scripts if path.name not in CASES]
    print("\n".join(f"unknown case: {name}" for name in wrong) or f"{len(scripts)} cases", flush=True)
    begun = time.monotonic()
    count = 0
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        for name in (name for name in CASES if folder / name in scripts):
            for what, right, figures in CASES[name](folder / name):
                print(f"{'right' if right else 'WRONG':6} {name:21} {what:22} {figures}", flush=True)
                count += 1
                wrong += [] if right else [f"{name}: {what}"]
    print(f"{count - len(wrong)} of {count} right, in {time.monotonic() - begun:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
