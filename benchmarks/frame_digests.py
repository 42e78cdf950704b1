"""Are the frames still the same? Digests of rendered frames, before and after a change that should move no pixel.

Renders the demo song by the real command: every preset that ships, drawn recipes from the beginning and from within,
with two workers, with a fitted synthesizer, widened, the best of four, and a sheet; prints the digest of each. Frames
depend on the machine's arithmetic, so compare two runs of one machine.

    python benchmarks/frame_digests.py --json before.json
    python benchmarks/frame_digests.py --against before.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from audioreactive.media.demo import DEMO_SONG
from audioreactive.patches.presets import shipped_presets

SHORT = ("--duration", "0.6")


def cases() -> dict[str, tuple[str, ...]]:
    """Name -> options of `render`."""
    found = {f"preset {name}": ("--preset", name, "--start", "3", *SHORT) for name in shipped_presets()}
    return found | {
        "seed 42": ("--seed", "42", *SHORT),
        "seed 42 from 2.03 s": ("--seed", "42", "--start", "2.03", *SHORT),
        "seed 42, two workers": ("--seed", "42", "--duration", "1.2", "--workers", "2", "--chunk", "0.5"),
        "hippo": ("--seed", "7", "--synthesizer", "hippo", *SHORT),
        "widened": ("--seed", "8", "--size", "448x256", "--duration", "0.3"),
        "best of four": ("--best-of", "4", "--duration", "0.3"),
    }


def digest_of(output: Path) -> str:
    """First digits of the SHA-256 of a file, or of all pictures in a folder, and how many there are."""
    files = sorted(output.glob("*.png")) if output.is_dir() else [output]
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files))
    return f"{digest.hexdigest()[:16]} of {len(files)}"


def run(*words: object) -> None:
    """Run the command line."""
    subprocess.run([sys.executable, "-m", "audioreactive", *map(str, words)], check=True, capture_output=True)


def main() -> int:
    """Render, print, compare; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the digests")
    parser.add_argument("--against", type=Path, help="compare with these")
    options = parser.parse_args()
    before: dict[str, str] = json.loads(options.against.read_text("utf-8")) if options.against else {}
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "demo.ogg"
        song.write_bytes(DEMO_SONG.read_bytes())
        for name, look in cases().items():
            run("render", song, "-q", *look, "-o", Path(folder) / name.replace(" ", "_").replace(".", "_"))
            found[name] = digest_of(Path(folder) / name.replace(" ", "_").replace(".", "_"))
            print(f"{name:24} {found[name]:24} {_verdict(before, name, found[name])}", flush=True)
        run("sheet", song, "--seeds", "1-4", "--duration", "1", "-q", "-o", Path(folder) / "sheet.mp4")
        found["sheet"] = digest_of(Path(folder) / "sheet.mp4")
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
