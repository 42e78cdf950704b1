"""How much bends slow a network down: each transform alone, and ten at once.

Times are those of the processor, so that other programs on the machine do not matter, and rounds go by turns.

    python benchmarks/bends.py [--model FILE] [--batch 4] [--share 0.5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from audioreactive.generators import open_generator
from audioreactive.generators.moves import Bending, Moves

if TYPE_CHECKING:
    from stylegan_ops.bending import Transform

AMOUNTS: dict[Transform, float] = {
    "translate": 0.05, "rotate": 15.0, "scale": 0.3, "flip": 0.5, "erode": 0.02, "dilate": 0.02, "multiply": 1.5,
    "threshold": 0.7, "invert": 0.5, "ablate": 0.5,
}  # fmt: skip
"""Transform -> an amount that changes the picture clearly."""


def main() -> None:
    """Print one row for each transform, at the middle layer, and one for all, at layers from coarse to fine."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="stylegan2")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="Also measure each transform alone, at the finest layer.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    named = options.model in ("stylegan2",)
    generator = open_generator(
        options.model if named else Path(options.model), device="cpu", precision="fp32"
    ).generator
    draw = torch.Generator().manual_seed(0)
    c = torch.eye(generator.c_dim)[:1].repeat(options.batch, 1) if generator.c_dim else None
    ws = generator.mapping(torch.randn(options.batch, generator.z_dim, generator=draw), c)
    noise = [torch.randn(options.batch, 1, *size, generator=draw) for size in generator.noise_sizes]
    cases: dict[str, Moves] = {"none": Moves()}
    if options.alone:
        cases |= {
            name: Moves(bends=((Bending(1.0, name, share=options.share), (amount,) * options.batch),))
            for name, amount in AMOUNTS.items()
        }
    cases["ten at once"] = Moves(
        bends=tuple(
            (Bending(at / (len(AMOUNTS) - 1), name, share=options.share), (amount,) * options.batch)
            for at, (name, amount) in enumerate(AMOUNTS.items())
        )
    )
    least = dict.fromkeys(cases, float("inf"))
    for _ in range(options.rounds + 1):
        for name, moves in cases.items():
            start = time.process_time()
            with torch.inference_mode():
                generator.synthesis(ws, noise, moves)
            least[name] = min(least[name], time.process_time() - start)
    rows = [{"bends": name, "seconds": found, "ratio": found / least["none"]} for name, found in least.items()]
    print(f"{'':14}{'s a batch':>10}{'ratio':>8}")
    for row in rows:
        print(f"{row['bends']:14}{row['seconds']:10.3f}{row['ratio']:8.2f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2), "utf-8")


if __name__ == "__main__":
    main()
