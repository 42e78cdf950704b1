"""How good is the thesis' codec on clips of its kinds, before and after rounding, and how much does xz save?

Its Tables 9-1 to 9-4 and 9-15 and Figures 9-13 to 9-16, on clips made here. A processor cannot run 7000 epochs of
448x256 in a day; a shorter run shows the trend, and the whole one is one command, for a machine with a GPU:

    python benchmarks/codec_seed.py --size 448x256 --epochs 7000 --batch 600000 --device cuda [--json FILE]
    python benchmarks/codec_seed.py --size 64x36 --epochs 500 --batch 2048
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from codec_clips import KINDS, make_clip

from audioreactive.codec.clip import Sound
from audioreactive.codec.denoise import spectral_gate
from audioreactive.codec.distill import Samples, train_student, train_teacher
from audioreactive.codec.metrics import log_spectral_distance, psnr, sound_psnr, sqnr, ssim
from audioreactive.codec.quantise import compressed, dequantised, packed
from audioreactive.codec.seed import STUDENT_SHARE, player_of
from audioreactive.codec.siren import parameter_count, student

if TYPE_CHECKING:
    from audioreactive.codec.clip import Clip
    from audioreactive.codec.siren import SineNetwork

SWEEP = (1, 4, 7, 8, 10, 14, 16, 18, 24, 32)


@dataclass
class Row:
    """One network on one clip."""

    clip: str
    network: str
    bits: int
    epochs: int
    psnr: float
    ssim: float
    sound_psnr: float
    """Before Algorithm 1."""
    denoised_psnr: float
    """After it."""
    lsd: float
    sqnr: float
    """Ratio of signal to quantisation noise in dB: frames against those of the unrounded network."""
    kib: float
    """Bytes of the weights / 1024."""
    xz_kib: float
    seconds: float
    """Time of training; for rounded networks, of decoding."""


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="64x36")
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--seconds", type=float, help="length of the clips; default: each kind's own")
    parser.add_argument("--faster", type=float, default=1.0, help="factor of all learning rates, for short runs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", nargs="*", default=list(KINDS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    rows: list[Row] = []
    curves: dict[str, list[float]] = {}
    for name in options.clips:
        clip = make_clip(name, (width, height), options.seconds)
        samples = Samples(clip, options.device)
        start = time.perf_counter()
        taught = train_teacher(samples, epochs=options.epochs, batch=options.batch, rate=1e-5 * options.faster)
        spent = time.perf_counter() - start
        count = max(round(options.epochs * STUDENT_SHARE), 1)
        start = time.perf_counter()
        rates = (1e-4 * options.faster, 1e-5 * options.faster)
        learnt = train_student(samples, taught.network, epochs=count, batch=options.batch, rates=rates)
        took = time.perf_counter() - start
        curves |= {f"{name} teacher": taught.losses, f"{name} student": learnt.losses}
        rows.append(_row(name, "teacher", taught.network.cpu(), clip, options.epochs, spent))
        rows += _rounded(name, learnt.network.cpu(), clip, count, took)
        _show(rows)
        if options.json:
            options.json.write_text(
                json.dumps({"rows": [asdict(row) for row in rows], "curves": curves}, indent=1), "utf-8"
            )


def _rounded(name: str, network: SineNetwork, clip: Clip, epochs: int, took: float) -> list[Row]:
    """Rows of a student, whole and rounded."""
    rows = [_row(name, "student", network, clip, epochs, took)]
    whole = player_of(network, clip).frames().astype(np.float64)
    for bits in SWEEP:
        other = student(0)
        other.load_state_dict(dequantised(network.state_dict(), bits))
        row = _row(name, "student", other.requires_grad_(False), clip, epochs, 0.0, bits)
        start = time.perf_counter()
        made = player_of(other, clip).frames()
        row.seconds = time.perf_counter() - start
        row.sqnr = sqnr(whole, made.astype(np.float64))
        data = packed(network.state_dict(), bits)
        row.kib, row.xz_kib = len(data) / 1024, len(compressed(data)) / 1024
        rows.append(row)
    return rows


def _row(name: str, kind: str, network: SineNetwork, clip: Clip, epochs: int, spent: float, bits: int = 0) -> Row:
    player = player_of(network, clip)
    frames, (first, second) = player.frames(), player.sounds()
    gated = Sound(spectral_gate(first, first - second, rate=player.rate)[:, None], player.rate)
    plain = Sound(first[:, None], player.rate)
    assert clip.sound is not None
    size = 4 * parameter_count(network) / 1024
    return Row(
        name, kind, bits, epochs, psnr(clip.frames, frames), ssim(clip.frames, frames), sound_psnr(clip.sound, plain),
        sound_psnr(clip.sound, gated), log_spectral_distance(clip.sound, plain), 0.0, size, 0.0, spent,
    )  # fmt: skip


def _show(rows: list[Row]) -> None:
    print("clip    network  bits   PSNR   SSIM  sound  gated    LSD   SQNR       KiB    xz KiB  seconds")
    for row in rows:
        bits = str(row.bits) if row.bits else "float"
        print(
            f"{row.clip:7} {row.network:8} {bits:>4} {row.psnr:6.2f} {row.ssim:6.3f} {row.sound_psnr:6.2f} "
            f"{row.denoised_psnr:6.2f} {row.lsd:6.2f} {row.sqnr:6.2f} {row.kib:9.1f} {row.xz_kib:9.1f} "
            f"{row.seconds:8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
