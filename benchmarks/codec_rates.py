"""How good is a packed clip at some sizes, beside H.264, H.265 and AV1 in as many bytes?

    python benchmarks/codec_rates.py --size 448x256 --bytes 163000 490000 [--plot FILE] [--json FILE]

163 000 and 490 000 bytes are a fifteenth and a fifth of what the thesis' student takes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codec_clips import KINDS, make_clip

from audioreactive.codec.compare import compare, table
from audioreactive.codec.packing import PackSettings


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="160x96")
    parser.add_argument("--bytes", type=int, nargs="*", default=[10_000, 20_000, 40_000])
    parser.add_argument("--clips", nargs="*", default=list(KINDS))
    parser.add_argument("--seconds", type=float, help="length of the clips; default: each kind's own")
    parser.add_argument("--longest", type=int, metavar="FRAMES", help="cut longer clips")
    parser.add_argument("--effort", type=float, default=1.0)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    found: list[dict[str, Any]] = []
    for name in options.clips:
        clip = make_clip(name, (width, height), options.seconds)
        for size in options.bytes:
            # The sound is the same for all.
            silent = type(clip)(clip.frames[: options.longest], clip.fps, None)
            rows = compare(silent, PackSettings(size=size, effort=options.effort))
            found += [{"clip": name, "asked": size, **asdict(row)} for row in rows]
            print(f"{name} {options.size}, {len(silent.frames)} frames, {size} bytes\n{table(rows)}\n", flush=True)
            if options.json:
                options.json.write_text(json.dumps(found, indent=1), "utf-8")
    if options.plot:
        draw(found, options.plot, options.size)


def draw(found: list[dict[str, Any]], path: Path, size: str) -> None:
    """Draw PSNR over bytes, a panel for each clip."""
    from matplotlib.figure import Figure

    clips = list(dict.fromkeys(row["clip"] for row in found))
    figure = Figure(figsize=(4 * len(clips), 3.4), layout="constrained")
    for panel, clip in zip(figure.subplots(1, len(clips), squeeze=False)[0], clips, strict=True):
        for name in dict.fromkeys(row["name"] for row in found):
            rows = sorted((row["bytes"], row["psnr"]) for row in found if row["clip"] == clip and row["name"] == name)
            panel.plot([count / 1000 for count, _ in rows], [value for _, value in rows], "o-", label=name)
        panel.set(title=f"{clip}, {size}", xlabel="KB of the picture", ylabel="PSNR, dB")
        panel.grid(alpha=0.3)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
