"""Are the frames still the same? Digests of rendered frames, before and after a change that should move no pixel.

Renders the demo song by the real command: every preset of a folder, drawn recipes from the beginning and from within,
with two workers, with a fitted synthesizer, widened, the best of four, and a sheet; prints the digest of the pixels of
each. Pixels depend on the machine's arithmetic, so compare two runs of one machine. Where presets have changed, too,
compare with the older ones.

    python benchmarks/frame_digests.py --json before.json
    python benchmarks/frame_digests.py --against before.json
    python benchmarks/frame_digests.py --against before.json --presets older/presets --model stylegan2
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from audioreactive.media.demo import DEMO_SONG
from audioreactive.patches.presets import shipped_presets
from audioreactive.video import read_frames

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORT = ("--duration", "0.6")


def cases(presets: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    """Name -> options of `render`."""
    found = {f"preset {path.stem}": ("--preset", str(path), "--start", "3", *SHORT) for path in presets}
    return found | {
        "seed 42": ("--seed", "42", *SHORT),
        "seed 42 from 2.03 s": ("--seed", "42", "--start", "2.03", *SHORT),
        "seed 42, two workers": ("--seed", "42", "--duration", "1.2", "--workers", "2", "--chunk", "0.5"),
        "hippo": ("--seed", "7", "--synthesizer", "hippo", *SHORT),
        "widened": ("--seed", "8", "--size", "448x256", "--duration", "0.3"),
        "best of four": ("--best-of", "4", "--seed", "5", "--duration", "0.3"),
    }


def digest_of(output: Path) -> str:
    """First digits of the SHA-256 of all pixels of a folder of pictures or a lossless video, and how many there are."""
    digest, count = hashlib.sha256(), 0
    for frame in read_frames(output):
        digest.update(frame.tobytes())
        count += 1
    return f"{digest.hexdigest()[:16]} of {count}"


def run(*words: object) -> None:
    """Run the command line."""
    subprocess.run([sys.executable, "-m", "audioreactive", *map(str, words)], check=True, capture_output=True)


def main() -> int:
    """Render, print, compare; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the digests")
    parser.add_argument("--against", type=Path, help="compare with these")
    parser.add_argument("--presets", type=Path, help="a folder of presets; default: those that ship")
    parser.add_argument("--model", default="stylegan2")
    options = parser.parse_args()
    presets = sorted(options.presets.glob("*.toml")) if options.presets else shipped_presets().values()
    before: dict[str, str] = json.loads(options.against.read_text("utf-8")) if options.against else {}
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "demo.ogg"
        song.write_bytes(DEMO_SONG.read_bytes())
        for name, look in cases(presets).items():
            output = Path(folder) / name.replace(" ", "_").replace(".", "_")
            run("render", song, "-q", "--model", options.model, *look, "-o", output)
            found[name] = digest_of(output)
            print(f"{name:24} {found[name]:24} {_verdict(before, name, found[name])}", flush=True)
        sheet = Path(folder) / "sheet.mkv"
        run("sheet", song, "--model", options.model, "--seeds", "1-4", "--duration", "1", "-q", "-o", sheet)
        found["sheet"] = digest_of(sheet)
        print(f"{'sheet':24} {found['sheet']:24} {_verdict(before, 'sheet', found['sheet'])}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return int(any(before.get(name, digest) != digest for name, digest in found.items()))


def _verdict(before: dict[str, str], name: str, digest: str) -> str:
    if name not in before:
        return ""
    return "as before" if before[name] == digest else f"CHANGED, it was {before[name]}"


if __name__ == "__main__":
    sys.exit(main())
