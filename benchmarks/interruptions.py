"""Are renders that are killed at random points finished by the next run, with the same frames?

A film that flashes is rendered with --flash-safe, so that it has all stages: rendering, dimming, joining. Each time,
the render is begun, a stage is drawn, and how far it shall have come (so many chunks in the journal, or dimmed); a
drawn while after that it is killed with SIGKILL, the main process or one of its workers, and the same command is given
again. Only kills count that hit a process at its work: where it ended before, the place is drawn again. Prints how many
ended with frames that are bit-identical to those of an uninterrupted render, how many chunks had been begun and were
made again (no more than one for each encoder that was cut short), and what was left behind.

    python benchmarks/interruptions.py [--times 20] [--workers 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from common import save_flashing_model

from audioreactive.media.demo import DEMO_SONG
from audioreactive.video import read_frames

RENDER: Final = (
    sys.executable,
    "-m",
    "audioreactive",
    "render",
    str(DEMO_SONG),
    "--model",
    "stylegan2",
    "--flash-safe",
)
SECONDS: Final = 12
"""Of the song, and chunks of one second each."""
LONGEST_WHILE: Final = 0.3
"""Seconds from the place that was drawn to the kill."""
STAGES: Final = ("rendering", "rendering", "dimming", "dimming", "joining")
"""Drawn from; the join is short."""
_LOOK: Final = 0.002
"""Seconds between two looks at the folder."""


@dataclass(frozen=True)
class Place:
    """Where a render is to be killed."""

    stage: str
    chunks: int
    """That are in the journal when it renders, or dimmed when it dims."""
    wait: float
    """Seconds."""


@dataclass(frozen=True)
class Row:
    """One kill, and what became of it."""

    killed: str
    workers: int
    stage: str
    there: int
    """Chunks in the journal at the kill."""
    lost: int
    """Chunks that were begun, and were begun again."""
    same: bool
    """Whether the frames are those of an uninterrupted render."""
    stray: list[str]
    """Files left behind."""

    @property
    def good(self) -> bool:
        """As promised."""
        return self.same and not self.stray and self.lost <= max(self.workers if "main" in self.killed else 1, 1)


class Trial:
    """One output that is begun, killed and finished."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.out = folder / "out.mkv"
        self._work = folder / ".out.mkv.render"
        look = ["--preset", "sparks", "--chunk", "1", "--size", "256x256", "--duration", str(SECONDS)]
        self._command = [*RENDER, "--model", str(model), *look, "-o", str(self.out)]
        self._said = folder / "said.txt"

    def whole(self, workers: int = 0) -> str:
        """Render to the end; what was said."""
        done = subprocess.run(self._words(workers), capture_output=True, encoding="utf-8")
        if done.returncode:
            sys.exit(f"the render failed: {done.stderr}")
        return done.stderr

    def cut(self, place: Place, workers: int, victim: str, draw: random.Random) -> tuple[str, int, int] | None:
        """Begin, and kill; (stage, chunks in the journal, chunks begun a second time), None where it came too late."""
        attempts: dict[str, set[str]] = {}
        with self._said.open("wb") as said:
            child = subprocess.Popen(self._words(workers), stderr=said, stdout=said)
            while child.poll() is None and not self._reached(place):
                time.sleep(_LOOK)
            time.sleep(place.wait)
            stage, there, begun = self._stage(), self._journal(), self._names("chunk_")
            if child.poll() is not None or stage is None:
                child.wait()
                return None
            if victim == "a worker":
                found = subprocess.run(["pgrep", "-P", str(child.pid), "-f", "spawn_main"], capture_output=True)
                pids = sorted(map(int, found.stdout.split()))
                if pids:
                    os.kill(draw.choice(pids), signal.SIGKILL)
                while child.poll() is None:
                    for name in self._names("chunk_"):
                        index, partial = name.partition(".")[0], name.partition(".partial-")[2]
                        attempts.setdefault(index, set()).update({partial} - {""})
                    time.sleep(_LOOK)
                if b"another takes its place" not in self._said.read_bytes():
                    return None
                return stage, there, sum(len(partials) > 1 for partials in attempts.values())
            child.kill()
            child.wait()
        begun |= self._names("chunk_")
        return stage, there, len({name.partition(".")[0] for name in begun}) - self._journal()

    def digest(self) -> str:
        """Of all frames."""
        digest = hashlib.sha256()
        for frame in read_frames(self.out):
            digest.update(frame.tobytes())
        return digest.hexdigest()

    def _words(self, workers: int) -> list[str]:
        return [*self._command, *(["--workers", str(workers)] if workers else [])]

    def _reached(self, place: Place) -> bool:
        if place.stage == "rendering":
            return self._journal() >= place.chunks
        if place.stage == "dimming":
            return len(self._names("safe_")) >= place.chunks
        return bool(self._names("joined"))

    def _stage(self) -> str | None:
        """At which it is now."""
        if self.out.exists() or not self._names("job.json"):
            return None
        if self._names("joined"):
            return "joining"
        if self._names("thumbnails"):
            return "dimming" if self._names("safe_") else "watching"
        return "rendering"

    def _names(self, start: str) -> set[str]:
        try:
            return {path.name for path in self._work.iterdir() if path.name.startswith(start)}
        except FileNotFoundError:
            return set()

    def _journal(self) -> int:
        try:
            return len((self._work / "chunks.jsonl").read_bytes().splitlines())
        except FileNotFoundError:
            return 0


def drawn(draw: random.Random, victim: str) -> Place:
    """Of a worker in the rendering: it has nothing to do with the rest."""
    stage = "rendering" if victim == "a worker" else draw.choice(STAGES)
    # The join of so small a film takes a tenth of a second.
    wait = draw.uniform(0, 0.05 if stage == "joining" else LONGEST_WHILE)
    return Place(stage, draw.randrange(SECONDS) if stage == "rendering" else draw.randrange(1, SECONDS // 2), wait)


def main() -> None:
    """Kill, finish, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[Row] = []
    draw, too_late = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.safetensors"
        save_flashing_model(model, img_resolution=64)
        trial = Trial(folder, model)
        assert "flashes were limited" in trial.whole(), "a film that does not flash has no dimming to be killed in"
        expected = trial.digest()
        while len(rows) < options.times:
            workers = options.workers if len(rows) % 2 else 0
            victim = "a worker" if len(rows) % 4 == 3 else "the main process"
            trial.out.unlink(missing_ok=True)
            found = trial.cut(drawn(draw, victim), workers, victim, draw)
            if found is None:
                too_late += 1
                continue
            if not trial.out.exists():
                trial.whole()
            stage, there, lost = found
            left = [path.name for path in folder.iterdir() if path.name not in (model.name, trial.out.name, "said.txt")]
            rows.append(Row(victim, workers, stage, there, lost, trial.digest() == expected, left))
            print(
                f"{len(rows):3} killed {victim:16} ({workers or 'no'} workers) {stage:9} with {there:2} of {SECONDS} "
                f"chunks: {lost} lost, frames {'the same' if rows[-1].same else 'NOT THE SAME'}"
                f"{', left ' + str(left) if left else ''}",
                flush=True,
            )
    good = sum(row.good for row in rows)
    print(f"{good} of {options.times} ended with the same frames and nothing left behind; {too_late} came too late")
    if options.json:
        told = {"times": options.times, "good": good, "too_late": too_late, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    sys.exit(good < options.times)


if __name__ == "__main__":
    main()
