"""The training program.

python -m training train --plan cpu --folder run
"""

import dataclasses
import json
import math
import time
from pathlib import Path

import click
import torch
from PIL import Image
from torch import Tensor

from stylegan_ops.memory import keep_freed_memory
from training.plan import plans
from training.trainer import Losses, Trainer


@click.group()
def main() -> None:
    """Train the model that comes with the program, on pictures that it makes itself."""


@main.command()
@click.option("--plan", "plan_name", type=click.Choice(sorted(plans())), default="cpu", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("run"), show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--every", default=300.0, show_default=True, help="Seconds between checkpoints and sheets.")
@click.option("--seconds", type=float, help="Stop after so long, to go on another time.")
def train(plan_name: str, folder: Path, device: str, every: float, seconds: float | None) -> None:
    """Train, or go on where an earlier run stopped."""
    keep_freed_memory()
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(plans()[plan_name], device)
    checkpoint = folder / "state.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)
    started = saved = time.monotonic()
    recent: list[Losses] = []
    since = time.monotonic()
    while not trainer.finished:
        recent.append(trainer.step())
        now = time.monotonic()
        if trainer.step_number % 50 == 0 or trainer.finished:
            index, stage, _ = trainer.stage()
            row = {"pictures": trainer.pictures_seen, "stage": index, "resolution": stage.resolution}
            row["pictures_per_s"] = round(len(recent) * stage.batch / (now - since), 2)
            for name in ("fit", "tone", "deep", "generator", "real", "fake", "r1", "path_length"):
                values = [getattr(losses, name) for losses in recent]
                values = [value for value in values if not math.isnan(value)]
                if values:
                    row[name] = round(sum(values) / len(values), 5)
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            click.echo(json.dumps(row))
            recent, since = [], time.monotonic()
        late = seconds is not None and now - started > seconds
        if now - saved > every or late or trainer.finished:
            trainer.save(checkpoint)
            sheet(trainer, 4, 6).save(folder / f"sheet-{trainer.pictures_seen:08d}.png")
            saved = time.monotonic()
        if late:
            break


def sheet(trainer: Trainer, rows: int, columns: int) -> Image.Image:
    """Targets and results of the averaged weights, in turn; the last two columns of a pair mix latents."""
    _, stage, _ = trainer.stage()
    if not stage.resolution:
        stage = dataclasses.replace(stage, resolution=trainer.plan.architecture.img_resolution)
    random = torch.Generator(trainer.device).manual_seed(7)
    size = rows * columns
    with torch.no_grad():
        now, trainer.generator = trainer.generator, trainer.average
        batch = trainer.batch(stage, random, size)
        image = trainer.generator(batch.ws, batch.noise, stage.resolution)
        trainer.generator = now
    both = torch.stack([batch.target, image], 1).flatten(0, 1)
    return tiled(both, 2 * columns)


def tiled(images: Tensor, columns: int) -> Image.Image:
    """Pictures (N, 3, h, w) in [-1, 1] -> one, row by row."""
    rows = [torch.cat(list(row), 2) for row in images.split(columns)]
    picture = torch.cat(rows, 1)
    return Image.fromarray(((picture + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())


if __name__ == "__main__":
    main()
