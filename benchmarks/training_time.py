"""How long will a training run take, and how much memory?

    python benchmarks/training_time.py [--plan gpu] [--device cuda] [--steps 20] [--json FILE]

Takes some steps of every stage of a plan (training/plan.py) and reckons from them: pictures a second, hours for the
whole stage, and on a GPU the most memory. The first steps of a stage are not counted, and every sixteenth, with its two
extra losses, is counted as often as it comes. Nothing is kept.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parent.parent))  # the training is not installed

from stylegan_ops import keep_freed_memory
from training.plan import plans
from training.trainer import Trainer

WARM_UP = 3


@dataclass(frozen=True)
class Row:
    """One stage."""

    stage: int
    resolution: int
    batch: int
    pictures_per_s: float
    hours: float
    memory_gb: float | None


def measure(trainer: Trainer, index: int, steps: int) -> Row:
    """Some steps of a stage, as if all before it were done."""
    stages = trainer.plan.stages
    stage, on_gpu = stages[index], trainer.device.type == "cuda"
    trainer.pictures_seen = sum(earlier.pictures for earlier in stages[:index])
    for _ in range(WARM_UP):
        trainer.step()
    trainer.step_number += -trainer.step_number % 16
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for _ in range(steps):
        losses = trainer.step()
    if on_gpu:
        torch.cuda.synchronize()
    rate = steps * stage.batch / (time.perf_counter() - start)
    if not math.isfinite(losses.fit):
        raise SystemExit(f"stage {index} has come apart: its loss is {losses.fit}")
    memory = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None
    return Row(index, stage.resolution, stage.batch, rate, stage.pictures / rate / 3600, memory)


def main() -> None:
    """Measure every stage, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description="How long a training run will take.")
    parser.add_argument("--plan", choices=sorted(plans()), default="gpu")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=16, help="of each stage; in multiples of sixteen")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    trainer = Trainer(plans()[options.plan], options.device)
    print(f"plan {options.plan} on {options.device}, torch {torch.__version__}")
    print("stage  size batch  pictures/s   hours  memory GB")
    rows = []
    for index in range(len(trainer.plan.stages)):
        row = measure(trainer, index, options.steps)
        memory = "" if row.memory_gb is None else f"{row.memory_gb:.1f}"
        print(f"{index:>5}{row.resolution:>6}{row.batch:>6}{row.pictures_per_s:>12.1f}{row.hours:>8.2f}{memory:>11}")
        rows.append(row)
    hours = sum(row.hours for row in rows)
    print(f"{hours:.1f} hours in all")
    if options.json:
        facts = {"plan": options.plan, "device": options.device, "steps": options.steps, "hours": hours}
        options.json.write_text(json.dumps(facts | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
