"""What do the sound and the join of a long video cost? Memory must not grow with the song beyond a few MB an hour.

One chunk of noise is coded, and listed as often as the song is long: the join reads as many files and writes as many
bytes as for a real video. Peaks are those of this process, of the ffmpeg that codes the sound, and of the largest
ffmpeg of all: of several minutes, that is the one that joins.

    python benchmarks/join.py [--minutes 10 60] [--size 256] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

from audioreactive.chunks.making import ChunkMaker
from audioreactive.chunks.plan import Chunk
from audioreactive.video import VideoSettings, output_format, probe
from audioreactive.video.chunks import ENCODER_THREADS, Encoding, SoundTrack, join

CHUNK = 120
"""Frames."""
RATE = 44100


class Noise:
    """Stands in for a renderer."""

    batch, on_gpu = 8, False

    def __init__(self, size: int) -> None:
        self._size = size

    def batches(self, firsts: range) -> object:
        """Grey noise, which compresses badly."""
        for first in firsts:
            random = np.random.RandomState(first)
            yield first, random.randint(90, 166, (self.batch, self._size * self._size * 3 // 2)).astype(np.uint8)


def measure(folder: Path, minutes: int, size: int, results: object) -> None:
    """Make a sound and a video of so many minutes, in a process of its own, whose peaks are its own."""
    settings = VideoSettings(fps=Fraction(24), size=(size, size), layout="yuv420p", threads=ENCODER_THREADS, crf=30)
    encoding = Encoding(output_format(Path("x.mp4")), settings, (size, size))
    maker = ChunkMaker(Noise(size), encoding, folder)  # type: ignore[arg-type]
    (made,) = maker.make([Chunk(0, 0, CHUNK)], lambda frames: None)
    song = folder / "song.wav"
    with soundfile.SoundFile(song, "w", RATE, 2) as file:
        for second in range(minutes * 60):
            file.write(np.random.RandomState(second).normal(0, 0.1, (RATE, 2)))
    began = time.monotonic()
    sound = SoundTrack(encoding.kind, song, Fraction(0), Fraction(minutes * 60), folder)
    track = sound.finish()
    sound.abandon()
    heard = time.monotonic() - began
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    began = time.monotonic()
    count = minutes * 60 * 24 // CHUNK
    video = join(encoding, [(made.name, CHUNK)] * count, folder=folder, sound=track, title="x", preset=None)
    took = time.monotonic() - began
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    assert probe(video).frames == count * CHUNK
    row = {
        "minutes": minutes,
        "sound_s": heard,
        "join_s": took,
        "megabytes": video.stat().st_size / 1e6,
        "sound_peak_mb": before / 1e3,
        "children_peak_mb": peaks[0] / 1e3,
        "own_peak_mb": peaks[1] / 1e3,
    }
    results.put(row)  # type: ignore[attr-defined]


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=int, nargs="+", default=[10, 60])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    context, rows = multiprocessing.get_context("spawn"), []
    for minutes in options.minutes:
        with tempfile.TemporaryDirectory() as name:
            results = context.Queue()
            worker = context.Process(target=measure, args=(Path(name), minutes, options.size, results))
            worker.start()
            rows.append(results.get())
            worker.join()
            print(", ".join(f"{key} {value:.1f}" for key, value in rows[-1].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
