"""Are tempo and beats of drum patterns right?

Hears songs of known tempo (benchmarks/tempo_songs.py): every pattern at eight tempi, with kits and accompaniments in
turn. Right is a tempo within 2 % of a fair reading, and beats within 70 ms of true ones at the 90th percentile. The
table shows the heard tempo over the written one; ! marks a wrong tempo, p wrong places.

    python benchmarks/tempo.py [--held-out] [--json FILE]

`--held-out` takes patterns, drum sounds and accompaniments that are not those that the analysis was made with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tempo_songs import RATE, TEMPI, Song, Verdict, songs

from audioreactive.features import analyze
from audioreactive.media.audio import from_samples


def heard(song: Song) -> Verdict:
    """How the analysis does on one song."""
    features = analyze(from_samples(song.sound(), RATE), fps=24, names=("rms",), segmentations=())
    return song.verdict(features.tempo, features.beats)


def mark(verdict: Verdict) -> str:
    """Such as "1.00 " or "0.50!"."""
    return f"{verdict.ratio:5.2f}{' ' if verdict.right else 'p' if verdict.tempo_right else '!'}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: dict[str, list[Verdict]] = {}
    print(f"{'':16}", *(f"{bpm:6g}" for bpm in TEMPI))
    for song in songs(held_out=options.held_out):
        row = rows.setdefault(song.pattern.name, [])
        row.append(heard(song))
        if len(row) == len(TEMPI):
            print(f"{song.pattern.name:16}", *(mark(verdict) for verdict in row), flush=True)
    verdicts = [verdict for row in rows.values() for verdict in row]
    right, exact = sum(v.right for v in verdicts), sum(v.right and v.tempo_exact for v in verdicts)
    print(f"{right} of {len(verdicts)} right, {exact} of them at the tempo as written")
    if options.json:
        counts = {"songs": len(verdicts), "right": right, "as_written": exact}
        options.json.write_text(json.dumps(counts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
