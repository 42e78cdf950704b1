"""Are renders that are killed at random points finished by the next run, with the same frames?

Each time, a render is begun and killed with SIGKILL (the main process, or one of its workers) after a random while;
then the same command is given again. Prints how many ended with frames that are bit-identical to those of an
uninterrupted render, how many chunks were there already, how many had been begun and were lost (no more than one for
each worker), and what was left behind.

    python benchmarks/interruptions.py [--times 20] [--workers 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import save_small_model

from audioreactive.demo import DEMO_SONG
from audioreactive.video import read_frames

RENDER = (sys.executable, "-m", "audioreactive", "render", str(DEMO_SONG))


def main() -> None:
    """Kill, finish, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, out = folder / "model.safetensors", folder / "out.mkv"
        save_small_model(model, img_resolution=64)
        look = ["--model", str(model), "--seed", "3", "--chunk", "1", "--size", "256x256", "-o", str(out)]
        child = _begin([*RENDER, *look], folder)
        began = time.monotonic()
        child.wait()
        whole = time.monotonic() - began
        expected, good = _digest(out), 0
        for number in range(options.times):
            out.unlink()
            workers = options.workers if number % 2 else 0
            victim = "a worker" if number % 4 == 3 else "the main process"
            command = [*RENDER, *look, *(["--workers", str(workers)] if workers else [])]
            after = _kill(command, folder, victim, whole, draw)
            lost = _lost(folder)
            again = subprocess.run([*RENDER, *look], capture_output=True, text=True) if not out.exists() else None
            found = re.search(r"(\d+ of \d+) chunks are there", again.stderr) if again else None
            same = out.exists() and _digest(out) == expected
            stray = [path.name for path in folder.iterdir() if path not in (model, out)]
            good += same and not stray and lost <= max(workers, 1)
            rows.append({
                "killed": victim, "workers": workers, "after_s": round(after, 2),
                "there": found[1] if found else None, "lost": lost, "same": same, "stray": stray,
            })  # fmt: skip
            print(
                f"{number + 1:3} killed {victim:16} ({workers or 'no'} workers) after {after:5.2f} s: "
                f"{found[1] + ' chunks were there' if found else 'from the start' if again else 'finished by itself'}, "
                f"{lost} lost, frames {'the same' if same else 'NOT THE SAME'}"
                f"{', left ' + str(stray) if stray else ''}",
                flush=True,
            )
    print(f"{good} of {options.times} ended with the same frames and nothing left behind")
    if options.json:
        options.json.write_text(json.dumps({"times": options.times, "good": good, "rows": rows}, indent=1) + "\n")
    sys.exit(good < options.times)


def _begin(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """A render that has done listening, and begins to make chunks."""
    child = subprocess.Popen([*command, "-q"], stderr=subprocess.DEVNULL)
    while child.poll() is None and not list(folder.glob(".*.render/chunks.jsonl")):
        time.sleep(0.005)
    return child


def _kill(command: list[str], folder: Path, victim: str, whole: float, draw: random.Random) -> float:
    """Begin a render and kill at a random time; when."""
    child = _begin(command, folder)
    after = draw.uniform(0.0, 1.0) * whole
    time.sleep(after)
    if victim == "a worker":
        workers = subprocess.run(["pgrep", "-f", "-P", str(child.pid), "spawn_main"], capture_output=True, text=True)
        if workers.stdout.split():
            subprocess.run(["kill", "-9", draw.choice(workers.stdout.split())], check=False)
    else:
        child.kill()
    child.wait()
    return after


def _lost(folder: Path) -> int:
    """Chunks that were begun and are not in the journal."""
    begun = {path.name.partition(".")[0] for path in folder.glob(".*.render/chunk_*")}
    return len(begun) - sum(len(journal.read_bytes().splitlines()) for journal in folder.glob(".*.render/chunks.jsonl"))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for frame in read_frames(path):
        digest.update(frame.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
