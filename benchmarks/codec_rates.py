"""How good is a packed clip at some sizes, beside H.264, H.265 and AV1 in as many bytes?

    python benchmarks/codec_rates.py --size 160x96 --bytes 8000 18000 40000 [--plot FILE] [--json FILE]
    python benchmarks/codec_rates.py --whole --size 448x256 --bytes 173000 520000 --clips stills face24 dance10

173 000 and 520 000 bytes are a fifteenth and a fifth of what the thesis' student takes (2.48 MiB). With `--whole`,
these are bytes of the file with its sound, and processor time is measured in place of other codecs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from codec_clips import KINDS, make_clip

from audioreactive.codec.compare import compare, table
from audioreactive.codec.container import open_archive
from audioreactive.codec.metrics import psnr, ssim
from audioreactive.codec.packing import PackSettings, pack, read_player

if TYPE_CHECKING:
    from audioreactive.codec.clip import Clip


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="160x96")
    parser.add_argument("--bytes", type=int, nargs="*", default=[10_000, 20_000, 40_000])
    parser.add_argument("--clips", nargs="*", choices=list(KINDS), default=["stills", "face", "dance"])
    parser.add_argument("--seconds", type=float, help="length of the clips; default: each kind's own")
    parser.add_argument("--longest", type=int, metavar="FRAMES", help="cut longer clips")
    parser.add_argument("--effort", type=float, default=1.0)
    parser.add_argument("--whole", action="store_true", help="pack with the sound, and leave other codecs out")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    found: list[dict[str, Any]] = []
    for name in options.clips:
        clip = make_clip(name, (width, height), options.seconds)
        for size in options.bytes if options.whole else ():
            found.append({"clip": name, "asked": size, **whole(clip, PackSettings(size=size, effort=options.effort))})
            print(f"{name} {options.size}: {found[-1]}", flush=True)
        for size in () if options.whole else options.bytes:
            # The sound is the same for all.
            silent = type(clip)(clip.frames[: options.longest], clip.fps, None)
            rows = compare(silent, PackSettings(size=size, effort=options.effort))
            found += [{"clip": name, "asked": size, **asdict(row)} for row in rows]
            print(f"{name} {options.size}, {len(silent.frames)} frames, {size} bytes\n{table(rows)}\n", flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1), "utf-8")
    if options.plot:
        draw(found, options.plot, options.size)


def whole(clip: Clip, settings: PackSettings) -> dict[str, Any]:
    """Pack a clip with its sound: quality, bytes, seconds of the processor to pack, frames a second to decode."""
    with tempfile.TemporaryDirectory() as folder:
        start, wall = time.process_time(), time.perf_counter()
        made = pack(clip, Path(folder) / "clip.arc", settings)
        took, passed = time.process_time() - start, time.perf_counter() - wall
        player = read_player(open_archive(made.path))
        start = time.process_time()
        frames = np.stack(list(player.pictures(clip.size, clip.fps)))
        rate = len(frames) / (time.process_time() - start)
    return {
        "bytes": made.bytes, "psnr": round(psnr(clip.frames, frames), 2), "ssim": round(ssim(clip.frames, frames), 4),
        "sound_bytes": made.sound_bytes, "sound_psnr": made.sound_psnr and round(made.sound_psnr, 2),
        "every": player.network.layout.every, "seconds": round(passed), "processor_seconds": round(took),
        "decoded_per_processor_second": round(rate, 1),
    }  # fmt: skip


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
