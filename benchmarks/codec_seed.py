r"""How good is the thesis' codec on clips of its kinds, before and after rounding, and how much does xz save?

Its Tables 9-1 to 9-4 and 9-15 and Figures 9-13 to 9-16, on clips made here. A processor cannot run 7000 epochs of
448x256 in a day; a shorter run shows the trend, and the whole one is one command, for a machine with a GPU:

    python benchmarks/codec_seed.py --size 448x256 --epochs 7000 --batch 600000 --device cuda [--json FILE]
    python benchmarks/codec_seed.py --clips face --size 24x14 --seconds 0.5 --rate 4000 --batch 256 \
        --epochs 700 --faster 10 --student-epochs 2000 --student-faster 3
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import asdict, dataclass, replace
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

WATCHED = 8
"""Points of the curves, each at twice the epochs of the one before."""
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
    parser.add_argument("--student-epochs", type=int, help="default: six sevenths of the teacher's")
    parser.add_argument("--seconds", type=float, help="length of the clips; default: each kind's own")
    parser.add_argument("--rate", type=int, help="sample rate of the sound; default: 48 000 Hz")
    parser.add_argument(
        "--faster", type=float, default=1.0, help="factor of the teacher's learning rate, for short runs"
    )
    parser.add_argument("--student-faster", type=float, default=1.0, help="factor of the student's learning rates")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", nargs="*", choices=list(KINDS), default=["stills", "face", "dance"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    rows: list[Row] = []
    curves: dict[str, list[float]] = {}
    seen: dict[str, list[tuple[int, float, float]]] = {}
    for name in options.clips:
        clip = make_clip(name, (width, height), options.seconds)
        if options.rate:
            assert clip.sound is not None
            clip = replace(clip, sound=resampled(clip.sound, options.rate))
        samples = Samples(clip, options.device)
        start = time.perf_counter()
        watch = _Watch(clip, options.epochs)
        taught = train_teacher(
            samples, epochs=options.epochs, batch=options.batch, rate=1e-5 * options.faster, watch=watch
        )
        seen[f"{name} teacher"] = watch.seen
        spent = time.perf_counter() - start
        count = options.student_epochs or max(round(options.epochs * STUDENT_SHARE), 1)
        watch = _Watch(clip, count)
        start = time.perf_counter()
        rates = (1e-4 * options.student_faster, 1e-5 * options.student_faster)
        learnt = train_student(samples, taught.network, epochs=count, batch=options.batch, rates=rates, watch=watch)
        seen[f"{name} student"] = watch.seen
        took = time.perf_counter() - start
        curves |= {f"{name} teacher": taught.losses, f"{name} student": learnt.losses}
        rows.append(_row(name, "teacher", taught.network.cpu(), clip, options.epochs, spent))
        rows += _rounded(name, learnt.network.cpu(), clip, count, took)
        _show(rows)
        for told, points in seen.items():
            print(f"{told}: epoch, PSNR of the picture, of the sound")
            print("\n".join(f"{epoch:6} {picture:6.2f} {sound:6.2f}" for epoch, picture, sound in points), flush=True)
        if options.json:
            options.json.write_text(
                json.dumps({"rows": [asdict(row) for row in rows], "losses": curves, "seen": seen}, indent=1), "utf-8"
            )


class _Watch:
    """PSNR of picture and sound after some epochs."""

    def __init__(self, clip: Clip, epochs: int) -> None:
        self.clip, self.epochs = clip, epochs
        self.at = {max(round(epochs * 2**-k), 1) for k in range(WATCHED)}
        self.seen: list[tuple[int, float, float]] = []

    def __call__(self, epoch: int, network: SineNetwork) -> None:
        if epoch in self.at:
            player = player_of(copy.deepcopy(network).cpu(), self.clip)
            assert self.clip.sound is not None
            sound = Sound(player.sounds()[0][:, None], player.rate)
            self.seen.append((epoch, psnr(self.clip.frames, player.frames()), sound_psnr(self.clip.sound, sound)))


def resampled(sound: Sound, rate: int) -> Sound:
    """A sound at another sample rate."""
    import soxr

    return Sound(np.asarray(soxr.resample(sound.samples, sound.rate, rate), np.float32), rate)


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
